use super::*;
use crate::uci;
use proptest::prelude::*;
use serde_json::{json, Value};

const FIREWALL: &str = include_str!("../../tests/openwrt/firewall.uci");
const NETWORK: &str = include_str!("../../tests/openwrt/network.uci");
const DUMP: &str = include_str!("../../tests/openwrt/network.interface.dump.json");

/// Zones as `lan: br-lan`, then redirects, then warnings marked by `!`: one line each.
fn table(firewall: Option<&str>, network: Option<&str>, netifd: Option<&Value>, links: &Links) -> Vec<String> {
    let parse = |text: &str| uci::parse(text.as_bytes()).unwrap();
    let (firewall, network) = (firewall.map(parse), network.map(parse));
    let read = read(&Sources {
        firewall: firewall.as_ref(),
        network: network.as_ref(),
        netifd,
        links,
    });
    let mut lines = Vec::new();
    for zone in read.zones.values() {
        let devices: Vec<String> = zone
            .devices
            .iter()
            .map(|device| match device {
                Device::Named(name) => name.clone(),
                Device::BeginsWith(start) => format!("{start}*"),
            })
            .collect();
        lines.push(format!("{}: {}", zone.name, devices.join(" ")).trim_end().to_string());
    }
    for redirect in &read.redirects {
        let dest = redirect
            .dest
            .map_or("any".to_string(), |dest| format!("{}/{}", dest.address, dest.prefix));
        let ports = format!("{}-{}", redirect.ports.from, redirect.ports.to);
        lines.push(format!(
            "{} from {} to {dest} {ports}",
            redirect.label, redirect.source_zone
        ));
    }
    lines.extend(read.warnings.iter().map(|warning| format!("! {warning}")));
    lines
}

fn dump(interfaces: &[Value]) -> Value {
    json!({ "interface": interfaces })
}

fn up(name: &str, l3_device: &str, device: &str) -> Value {
    json!({ "interface": name, "up": true, "l3_device": l3_device, "device": device, "data": {} })
}

fn down(name: &str, device: Option<&str>) -> Value {
    json!({ "interface": name, "up": false, "device": device, "data": {} })
}

/// Zones lan (interfaces lan) and wan (the given ones), then more sections.
fn zones(wan: &str, more: &str) -> String {
    format!(
        "config zone\n\toption name 'lan'\n\tlist network 'lan'\n\
         config zone\n\toption name 'wan'\n\toption network '{wan}'\n{more}\n"
    )
}

fn interface(name: &str, options: &str) -> String {
    let options: Vec<String> = options
        .split(';')
        .filter_map(|option| option.trim().split_once(' '))
        .map(|(name, value)| format!("\toption {name} '{value}'\n"))
        .collect();
    format!("config interface '{name}'\n{}", options.concat())
}

#[test]
fn the_recorded_router() {
    let netifd: Value = serde_json::from_str(DUMP).unwrap();
    let missing = "! firewall.@zone[1].network: there is no interface 'wan6'";
    assert_eq!(
        table(Some(FIREWALL), Some(NETWORK), Some(&netifd), &Links::default()),
        [
            "lan: br-lan",
            "wan: wan0",
            "Allow-ISAKMP from wan to any 500-500",
            missing
        ]
    );
    assert_eq!(
        table(Some(FIREWALL), Some(NETWORK), None, &Links::default()),
        [
            "lan: br-lan",
            "wan: wan0",
            "Allow-ISAKMP from wan to any 500-500",
            missing
        ]
    );
}

/// fw4's own ruleset from the same files: the interface names in its jumps.
#[test]
fn fw4_jumps_from_the_same_devices() {
    let ruleset = include_str!("../../tests/openwrt/fw4.print.nft");
    let netifd: Value = serde_json::from_str(DUMP).unwrap();
    let lines = table(Some(FIREWALL), Some(NETWORK), Some(&netifd), &Links::default());
    for (zone, device) in [("lan", "br-lan"), ("wan", "wan0")] {
        assert!(ruleset.contains(&format!("iifname \"{device}\" jump forward_{zone}")));
        assert!(lines.contains(&format!("{zone}: {device}")));
    }
}

#[test]
fn pppoe_with_a_tunnel_of_its_own_for_ipv6() {
    let network = interface("lan", "device br-lan; proto static")
        + &interface("wan", "device eth1; proto pppoe")
        + &interface("wan6", "device @wan; proto dhcpv6")
        + &interface("henet", "proto 6in4");
    let firewall = zones("wan wan6 henet", "");
    let everything = dump(&[
        up("lan", "br-lan", "br-lan"),
        up("wan", "pppoe-wan", "eth1"),
        up("wan6", "pppoe-wan", "pppoe-wan"),
        up("henet", "6in4-henet", "6in4-henet"),
    ]);
    let expected = ["lan: br-lan", "wan: 6in4-henet pppoe-wan"];
    assert_eq!(
        table(Some(&firewall), Some(&network), Some(&everything), &Links::default()),
        expected
    );
    let nothing = dump(&[
        up("lan", "br-lan", "br-lan"),
        down("wan", Some("eth1")),
        down("wan6", Some("@wan")),
        down("henet", None),
    ]);
    let expected = ["lan: br-lan", "wan: 6in4-henet eth1 pppoe-wan"];
    assert_eq!(
        table(Some(&firewall), Some(&network), Some(&nothing), &Links::default()),
        expected
    );
    let expected = ["lan: br-lan", "wan: 6in4-henet pppoe-wan"];
    assert_eq!(
        table(Some(&firewall), Some(&network), None, &Links::default())[..2],
        expected
    );
}

#[test]
fn ipv6_on_a_device_of_its_own_and_interfaces_that_name_their_zone() {
    let mut dynamic = up("wan_6", "eth2.6", "eth2.6");
    dynamic["data"]["zone"] = json!("wan");
    let netifd = dump(&[
        up("lan", "br-lan", "br-lan"),
        up("wan", "eth1", "eth1"),
        up("wan6", "eth2", "eth2"),
        dynamic,
    ]);
    assert_eq!(
        table(Some(&zones("wan wan6", "")), Some(""), Some(&netifd), &Links::default()),
        ["lan: br-lan", "wan: eth1 eth2 eth2.6"]
    );
}

#[test]
fn several_wans_guests_and_a_vpn() {
    let firewall = zones(
        "wan wanb",
        "config zone\n\toption name 'guest'\n\tlist network 'guest'\n\
         config zone\n\toption name 'vpn'\n\tlist network 'wg0'\n\tlist device 'tun+'\n\tlist device 'tap*'\n\tlist device 'ipsec0'\n\
         config zone\n\toption name 'off'\n\toption enabled '0'\n\tlist device 'eth9'\n",
    );
    let network = interface("lan", "type bridge; ifname eth0 eth3; proto static")
        + &interface("guest", "device br-guest.3; proto static")
        + &interface("wan", "ifname eth1; proto dhcp")
        + &interface("wanb", "proto 3g; device /dev/ttyUSB0")
        + &interface("wg0", "proto wireguard")
        + &interface("old", "proto wireguard; disabled 1");
    let expected = [
        "guest: br-guest.3",
        "lan: br-lan",
        "vpn: ipsec0 wg0 tap* tun*",
        "wan: 3g-wanb eth1",
    ];
    assert_eq!(
        table(Some(&firewall), Some(&network), None, &Links::default())[..4],
        expected
    );
    let renamed = dump(&[
        up("lan", "switch", "switch"),
        up("guest", "br-guest.3", "br-guest.3"),
        up("wan", "fibre", "fibre"),
    ]);
    let expected = [
        "guest: br-guest.3",
        "lan: switch",
        "vpn: ipsec0 wg0 tap* tun*",
        "wan: 3g-wanb fibre",
    ];
    assert_eq!(
        table(Some(&firewall), Some(&network), Some(&renamed), &Links::default()),
        expected
    );
}

#[test]
fn without_zones_the_usual_ones_are_taken() {
    let network = interface("lan", "device br-lan") + &interface("wan", "device eth1; proto pppoe");
    let netifd = dump(&[
        up("lan", "br-lan", "br-lan"),
        up("wan", "pppoe-wan", "eth1"),
        up("wan6", "eth1", "eth1"),
    ]);
    for firewall in [None, Some(""), Some("config zone\n\toption name 'not a name'\n")] {
        let lines = table(firewall, Some(&network), Some(&netifd), &Links::default());
        assert_eq!(lines[..2], ["lan: br-lan", "wan: eth1 pppoe-wan"]);
        assert!(lines.last().unwrap().contains("no zones"), "{lines:?}");
    }
    let nothing = table(None, None, None, &Links::default());
    assert_eq!(nothing[..2], ["lan:", "wan:"]);
    assert_eq!(
        nothing
            .iter()
            .filter(|line| line.contains("zone") && line.contains("has no device"))
            .count(),
        2
    );
}

#[test]
fn what_is_odd_is_named() {
    let firewall = zones(
        "wan !modem nothing",
        "config zone\n\toption name 'x'\n\toption enabled 'maybe'\n\tlist device 'a/b'\n\tlist device 'sixteen-letters-'\n\
         \tlist device '+'\n\tlist device '!eth5'\n\tlist device 'e\"th'\n\toption subnet '10.0.0.0/8'\n\tlist device 'eth4'\n\
         config zone\n\toption input 'DROP'\n",
    );
    let network =
        interface("lan", "device br-lan") + &interface("wan", "proto qmi") + &interface("modem", "device eth1");
    let netifd = dump(&[
        json!({"up": true}),
        up("modem", "eth 1", "eth1"),
        up("lan", "br-lan", "br-lan"),
        down("wan", None),
    ]);
    assert_eq!(
        table(Some(&firewall), Some(&network), Some(&netifd), &Links::default()),
        [
            "lan: br-lan",
            "wan:",
            "x: eth4",
            "! netifd: an interface without a name",
            "! netifd: interface 'modem': 'eth 1' is no device name",
            "! firewall.@zone[1].network: interface 'wan' has no device yet",
            "! firewall.@zone[1].network: '!modem' is negated, which lanward does not follow",
            "! firewall.@zone[1].network: there is no interface 'nothing'",
            "! firewall.@zone[2].enabled: 'maybe' is neither 0 nor 1; taken as 1",
            "! firewall.@zone[2].device: 'a/b' is no device name",
            "! firewall.@zone[2].device: 'sixteen-letters-' is no device name",
            "! firewall.@zone[2].device: '+' means every device, which lanward does not follow",
            "! firewall.@zone[2].device: '!eth5' is negated, which lanward does not follow",
            "! firewall.@zone[2].device: 'e\\\"th' is no device name",
            "! firewall.@zone[2].subnet: lanward knows zones by their devices and leaves subnets out",
            "! firewall.@zone[3].name: no name that a zone can have; fw4 skips the section",
            "! firewall: zone 'wan' has no device",
        ]
    );
    let loop_of_aliases = interface("lan", "device @wan") + &interface("wan", "device @lan");
    let lines = table(Some(&zones("wan", "")), Some(&loop_of_aliases), None, &Links::default());
    assert_eq!(lines[..2], ["lan:", "wan:"]);
}

/// What sections of the firewall's configuration open, without the zones' and other lines.
fn opened(sections: &str) -> Vec<String> {
    let network = interface("lan", "device br-lan") + &interface("wan", "device eth1");
    let netifd = dump(&[up("lan", "br-lan", "br-lan"), up("wan", "eth1", "eth1")]);
    let subnet = |address: &str| Subnet {
        address: address.parse().unwrap(),
        prefix: 64,
    };
    let links = Links {
        devices: [(1, "br-lan".to_string()), (2, "eth1".to_string())].into(),
        addresses: vec![
            (1, subnet("2001:db8:1::"), "2001:db8:1::1".parse().unwrap()),
            (1, subnet("fd00::"), "fd00::1".parse().unwrap()),
            (1, subnet("fe80::"), "fe80::1".parse().unwrap()),
            (2, subnet("2001:db8:2::"), "2001:db8:2::1".parse().unwrap()),
        ],
        ..Links::default()
    };
    table(Some(&zones("wan", sections)), Some(&network), Some(&netifd), &links).split_off(2)
}

fn section(kind: &str, options: &str) -> String {
    interface("x", options).replace("config interface 'x'", &format!("config {kind}"))
}

#[test]
fn redirects() {
    let redirect = |options: &str| opened(&section("redirect", options));
    let base = "src wan; dest lan; dest_ip 192.168.1.20";
    for (options, expected) in [
        ("src_dport 5000", "@redirect[0] from wan to 192.168.1.20/32 5000-5000"),
        (
            "src_dport 5000; name game; target dnat",
            "game from wan to 192.168.1.20/32 5000-5000",
        ),
        (
            "src_dport 5000-5010; dest_port 6000:6010; proto udp",
            "@redirect[0] from wan to 192.168.1.20/32 6000-6010",
        ),
        (
            "src_dport 5000; proto tcp udp",
            "@redirect[0] from wan to 192.168.1.20/32 5000-5000",
        ),
        (
            "src_dport 5000; proto all",
            "@redirect[0] from wan to 192.168.1.20/32 1-65535",
        ),
        ("proto 17", "@redirect[0] from wan to 192.168.1.20/32 1-65535"),
        (
            "src_dport 5000; target ACCEPT",
            "@redirect[0] from wan to 192.168.1.20/32 5000-5000",
        ),
        (
            "src_dport x",
            "! firewall.@redirect[0].src_dport: 'x' is no port or range of ports; no exception is made for it",
        ),
        (
            "src_dport 9-1",
            "! firewall.@redirect[0].src_dport: '9-1' is no port or range of ports; no exception is made for it",
        ),
        (
            "src_dport +5",
            "! firewall.@redirect[0].src_dport: '+5' is no port or range of ports; no exception is made for it",
        ),
        (
            "enabled 2",
            "! firewall.@redirect[0].enabled: '2' is neither 0 nor 1; no exception is made for it",
        ),
        (
            "proto !tcp",
            "! firewall.@redirect[0].proto: '!tcp' is negated; no exception is made for it",
        ),
        (
            "target nonsense",
            "! firewall.@redirect[0].target: 'nonsense' is no target; no exception is made for it",
        ),
    ] {
        assert_eq!(redirect(&format!("{base}; {options}")), [expected], "{options}");
    }
    for options in ["enabled 0", "proto tcp", "proto icmp", "target SNAT"] {
        assert!(
            redirect(&format!("{base}; src_dport 5000; {options}")).is_empty(),
            "{options}"
        );
    }
    assert!(redirect("src wan; src_dport 5000").is_empty(), "to the router itself");
    assert_eq!(
        redirect("src dmz; dest_ip 192.168.1.20"),
        ["! firewall.@redirect[0].src: there is no zone 'dmz'; no exception is made for it"]
    );
}

#[test]
fn pinholes() {
    let rule = |options: &str| opened(&section("rule", options));
    let base = "src wan; dest lan; target ACCEPT";
    let to = |dest: &str, ports: &str| format!("@rule[0] from wan to {dest} {ports}");
    assert_eq!(rule(&format!("{base}; dest_port 5000")), [to("any", "5000-5000")]);
    assert_eq!(
        rule(&format!(
            "{base}; proto udp; dest_port 5000 6000-6001; dest_ip 2001:db8:1::20"
        )),
        [
            to("2001:db8:1::20/128", "5000-5000"),
            to("2001:db8:1::20/128", "6000-6001")
        ]
    );
    for suffix in ["::20/-64", "::20/::ffff:ffff:ffff:ffff", "::20/-60"] {
        let hosts = [to("2001:db8:1::20/128", "5000-5000"), to("fd00::20/128", "5000-5000")];
        assert_eq!(
            rule(&format!("{base}; dest_port 5000; dest_ip {suffix}")),
            hosts,
            "{suffix}"
        );
    }
    for suffix in ["::f:0:0:0:20/-60", "::20/-96"] {
        let unknown =
            format!("! firewall.@rule[0].dest_ip: no prefix is known for '{suffix}'; no exception is made for it");
        assert_eq!(rule(&format!("{base}; dest_port 5000; dest_ip {suffix}")), [unknown]);
    }
    assert_eq!(
        rule(&format!("{base}; dest_ip 192.168.1.0/255.255.255.0; proto udp")),
        [to("192.168.1.0/24", "1-65535")]
    );
    assert_eq!(
        rule(&format!("{base}; proto all")),
        ["! firewall.@rule[0].dest_port: without ports and hosts the rule opens everything; no exception is made for it"]
    );
    assert_eq!(
        rule("src *; dest lan; target accept; dest_port 5000"),
        [to("any", "5000-5000")]
    );
    for value in [
        "192.168.1.1-192.168.1.9",
        "lan",
        "!192.168.1.1",
        "192.168.1.1/33",
        "192.168.1.1/255.0.255.0",
        "::1/-129",
    ] {
        let lines = rule(&format!("{base}; dest_port 5000; dest_ip {value}"));
        assert!(
            lines.len() == 1 && lines[0].starts_with("! firewall.@rule[0].dest_ip"),
            "{value}: {lines:?}"
        );
    }
    for options in [
        "src wan; target ACCEPT; dest_port 5000",
        "src wan; dest lan; target DROP; dest_port 5000",
        "src wan; dest lan; dest_port 5000",
        "src wan; dest lan; target ACCEPT; proto tcp; dest_port 5000",
        "src wan; dest lan; target ACCEPT; enabled no; dest_port 5000",
    ] {
        assert!(rule(options).is_empty(), "{options}");
    }
}

#[test]
fn warnings_have_a_bound_and_hold_no_control_characters() {
    let many: String = (0..500)
        .map(|n| format!("config zone\n\toption name 'z{n}'\n\tlist device 'bad/\u{1b}[2J{n}'\n"))
        .collect();
    let lines = table(Some(&many), None, Some(&dump(&[])), &Links::default());
    let warnings: Vec<_> = lines.iter().filter(|line| line.starts_with('!')).collect();
    assert_eq!(warnings.len(), 65);
    assert!(warnings.iter().all(|warning| !warning.contains('\u{1b}')));
    assert_eq!(quoted(&"x".repeat(100)).chars().count(), 67);
}

fn a_word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "lan",
            "wan",
            "@wan",
            "*",
            "udp",
            "all",
            "1",
            "accept",
            "dnat",
            "eth0",
            "5000-6000",
            "::1/-64",
            "10.0.0.1/8",
            "pppoe",
        ])
        .prop_map(str::to_string),
        "[ -~]{0,20}".prop_map(|text| text.replace(['\'', '\\'], "")),
    ]
}

proptest! {
    #[test]
    fn anything_gives_a_network(
        sections in prop::collection::vec((prop::sample::select(vec!["zone", "rule", "redirect", "interface"]),
            prop::collection::vec((prop::sample::select(vec![
                "name", "network", "device", "ifname", "proto", "src", "dest", "dest_ip", "dest_port", "src_dport", "target", "enabled",
            ]), a_word()), 0..6)), 0..8),
        names in prop::collection::vec((a_word(), a_word(), any::<bool>()), 0..5),
    ) {
        let mut text = String::new();
        for (number, (kind, options)) in sections.iter().enumerate() {
            text += &if *kind == "interface" { format!("config {kind} 'i{number}'\n") } else { format!("config {kind}\n") };
            options.iter().for_each(|(name, value)| text += &format!("\toption {name} '{value}'\n"));
        }
        let interfaces: Vec<Value> =
            names.iter().map(|(name, device, up)| json!({"interface": name, "l3_device": device, "up": up, "data": {"zone": name}})).collect();
        let package = uci::parse(text.as_bytes()).unwrap();
        let links = Links::default();
        let netifd = dump(&interfaces);
        let network = read(&Sources { firewall: Some(&package), network: Some(&package), netifd: Some(&netifd), links: &links });
        let all_valid = network.zones.values().flat_map(|zone| &zone.devices).all(|device| match device {
            Device::Named(name) | Device::BeginsWith(name) => is_device_name(name),
        });
        prop_assert!(all_valid);
        prop_assert!(network.redirects.iter().all(|redirect| redirect.ports.from <= redirect.ports.to));
        prop_assert!(network.redirects.is_sorted() && !network.zones.is_empty());
    }
}
