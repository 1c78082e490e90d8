use super::*;
use crate::config::{self, Host, LanOnly, Level, Schedule, Subnet, System};
use crate::network::{Device, Route, Zone};
use crate::nft::PortRange;
use crate::uci::{Section, Value};
use std::net::IpAddr;

const BUILD: u64 = 1_750_000_000;
const PC: &str = "192.168.1.20";
const PC6: &str = "2001:db8:1::20";
const PC_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x20];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host(text: &str) -> Host {
    Host::Address(address(text))
}

fn zone(name: &str, device: &str) -> (String, Zone) {
    (
        name.to_owned(),
        Zone {
            name: name.to_owned(),
            devices: [Device::Named(device.to_owned())].into(),
            ..Zone::default()
        },
    )
}

fn default_route(dest: &str, device: u32) -> Route {
    Route {
        table: 254,
        dest: Subnet {
            address: address(dest),
            prefix: 0,
        },
        device,
    }
}

/// `config KIND` with these options; `list` where a value holds a `|`.
fn section(kind: &str, options: &[(&str, &str)]) -> Section {
    let value = |text: &str| match text.split_once('|') {
        Some(_) => Value::Many(text.split('|').map(str::to_owned).collect()),
        None => Value::One(text.to_owned()),
    };
    let options = options
        .iter()
        .map(|(name, text)| ((*name).to_owned(), value(text)))
        .collect();
    Section {
        kind: kind.to_owned(),
        name: None,
        index: 0,
        options,
        line: 1,
    }
}

fn firewall(sections: &[Section]) -> Option<uci::Package> {
    let mut all = vec![section("defaults", &[("input", "REJECT")])];
    all.extend_from_slice(sections);
    Some(uci::Package { sections: all })
}

fn chain(family: &str, table: &str, hook: &str, priority: i32) -> BaseChain {
    let text = |text: &str| text.to_owned();
    BaseChain {
        family: text(family),
        table: text(table),
        chain: text(hook),
        hook: text(hook),
        priority,
    }
}

/// A router on which nothing is wrong: stock OpenWrt, one WAN for both families, the switch on.
fn healthy() -> Facts {
    let lan_only = LanOnly {
        enabled: true,
        ports: vec![PortRange { from: 1024, to: 65535 }],
        level: Level::Strict,
        profiles: Vec::new(),
        hosts: Vec::new(),
        except_hosts: Vec::new(),
        except_dests: Vec::new(),
        source_zones: vec!["lan".to_owned()],
        dest_zones: vec!["wan".to_owned()],
        observe: false,
        mirror: true,
        schedule: None,
    };
    let shipped = crate::profiles::parse(include_bytes!("../../files/usr/share/lanward/profiles.json")).unwrap();
    Facts {
        file: "/etc/config/lanward".to_owned(),
        is_silent: false,
        config: Config {
            lan_only,
            ..Config::default()
        },
        problems: Vec::new(),
        accounting: Some(true),
        windows: Some(true),
        tracked: Some((700, 16_384)),
        no_copies: None,
        relays: Vec::new(),
        network: Network {
            zones: [zone("lan", "br-lan"), zone("wan", "wan0")].into(),
            ..Network::default()
        },
        links: Links {
            devices: [(2, "br-lan".to_owned()), (3, "wan0".to_owned()), (4, "wg0".to_owned())].into(),
            routes: vec![default_route("0.0.0.0", 3), default_route("::", 3)],
            neighbours: vec![
                (address(PC), PC_MAC),
                (address(PC6), PC_MAC),
                (address("fe80::20"), PC_MAC),
            ],
            ..Links::default()
        },
        firewall: firewall(&[]),
        fw4_installed: true,
        fw4_gates: Some(vec!["!fw4: ubus:lanward[instance1] rule 0".to_owned()]),
        tables: Some(vec![Table {
            family: "inet".to_owned(),
            name: "fw4".to_owned(),
        }]),
        chains: vec![
            chain("inet", "fw4", "forward", 0),
            chain("inet", "fw4", "forward", -150),
            chain("inet", "lanward", "forward", -5),
        ],
        steps: Vec::new(),
        table: TableState::Same,
        missing: Vec::new(),
        upnp: Upnp::default(),
        clock: BUILD + 1,
        build: BUILD,
        timezone: Ok("JST-9".to_owned()),
        daemon: Daemon::Reachable,
        profiles: Ok(shipped),
    }
}

/// The findings of one check.
fn findings(facts: &Facts, name: &str) -> Vec<Check> {
    diagnose(facts).into_iter().filter(|check| check.name == name).collect()
}

/// The only finding of one check that is not fine: severity and message.
fn finding(facts: &Facts, name: &str) -> (Severity, String) {
    let bad: Vec<Check> = findings(facts, name).into_iter().filter(|check| !check.ok).collect();
    assert_eq!(bad.len(), 1, "{name}: {bad:?}");
    (bad[0].severity, bad[0].message.clone())
}

fn assert_fine(facts: &Facts, name: &str) {
    let found = findings(facts, name);
    assert!(
        !found.is_empty() && found.iter().all(|check| check.ok),
        "{name}: {found:?}"
    );
}

fn assert_finding(facts: &Facts, name: &str, severity: Severity, parts: &[&str]) {
    let (found, message) = finding(facts, name);
    assert_eq!(found, severity, "{message}");
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

#[test]
fn a_healthy_router_is_fine_everywhere_and_every_check_speaks() {
    let checks = diagnose(&healthy());
    assert!(
        checks.iter().all(|check| check.ok && check.severity == Severity::Info),
        "{checks:?}"
    );
    let mut names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    names.dedup();
    assert_eq!(
        names,
        [
            "configuration",
            "daemon",
            "table",
            "kernel",
            "fw4",
            "zones",
            "neighbours",
            "flow-offload",
            "clock",
            "relay",
            "ipv6",
            "upnp",
            "redirects",
            "pinholes",
            "full-cone",
            "level",
            "gate"
        ]
    );
}

#[test]
fn configuration_problems_are_findings_by_name() {
    let mut facts = healthy();
    facts.problems = vec![Problem {
        system: System::LanOnly,
        option: "lanward.lan_only.level".to_owned(),
        message: "'sed' is none of seed, recommended, strict, custom".to_owned(),
        restricts: true,
    }];
    assert_finding(
        &facts,
        "configuration",
        Severity::Error,
        &["lanward.lan_only.level: 'sed' is none of", "refused"],
    );
    facts.problems[0].restricts = false;
    assert_finding(&facts, "configuration", Severity::Warning, &["lanward.lan_only.level"]);
}

#[test]
fn a_daemon_that_is_away_is_told_from_a_bus_that_is_away() {
    let mut facts = healthy();
    facts.daemon = Daemon::NotOnBus;
    assert_finding(&facts, "daemon", Severity::Error, &["keeps dropping", "Start it"]);
    facts.daemon = Daemon::NoBus("no such file".to_owned());
    assert_finding(&facts, "daemon", Severity::Warning, &["no such file", "not known"]);
    facts.daemon = Daemon::Asking;
    assert_fine(&facts, "daemon");
}

#[test]
fn a_missing_table_matters_more_when_the_switch_is_on() {
    let mut facts = healthy();
    facts.table = TableState::Missing;
    assert_finding(&facts, "table", Severity::Error, &["'inet lanward'", "drops nothing"]);
    facts.config.lan_only.enabled = false;
    assert_finding(&facts, "table", Severity::Warning, &["off"]);
    facts.table = TableState::Differs(vec!["chain forward: rule 3".to_owned()]);
    assert_finding(&facts, "table", Severity::Error, &["chain forward: rule 3"]);
    facts.table = TableState::NotAsked;
    assert_finding(&facts, "table", Severity::Info, &["root"]);
}

#[test]
fn a_conntrack_table_that_is_nearly_full_is_named() {
    let mut facts = healthy();
    for (count, most, named) in [
        (14_745, 16_384, false),
        (14_746, 16_384, true),
        (16_384, 16_384, true),
        (0, u32::MAX, false),
    ] {
        facts.tracked = Some((count, most));
        let is_named = diagnose(&facts)
            .iter()
            .any(|check| check.message.starts_with("conntrack holds"));
        assert_eq!(is_named, named, "{count} of {most}");
    }
    facts.tracked = Some((16_000, 16_384));
    assert_finding(
        &facts,
        "kernel",
        Severity::Warning,
        &["16000 of 16384", "nf_conntrack_max"],
    );
}

#[test]
fn missing_kernel_features_name_their_package() {
    let mut facts = healthy();
    facts.missing = vec!["nf_conntrack_netlink".to_owned(), "xyz".to_owned()];
    let found = findings(&facts, "kernel");
    assert_eq!(found.len(), 2);
    assert!(found[0].message.contains("install kmod-nf-conntrack-netlink") && found[0].severity == Severity::Error);
    assert!(found[1].message.contains("'xyz'"));
}

#[test]
fn fw4_stopped_absent_and_not_asked_are_three_things() {
    let mut facts = healthy();
    facts.tables = Some(vec![Table {
        family: "ip".to_owned(),
        name: "fw4".to_owned(),
    }]);
    assert_finding(&facts, "fw4", Severity::Error, &["/etc/init.d/firewall start"]);
    facts.fw4_installed = false;
    assert_finding(&facts, "fw4", Severity::Error, &["22.03"]);
    facts.tables = None;
    assert_finding(&facts, "fw4", Severity::Info, &["root"]);
    assert_finding(&facts, "neighbours", Severity::Info, &["root"]);
}

#[test]
fn zones_that_are_not_there_or_empty() {
    let mut facts = healthy();
    facts.config.lan_only.source_zones.push("gast".to_owned());
    assert_finding(
        &facts,
        "zones",
        Severity::Error,
        &["lanward.lan_only.source_zone: 'gast'", "'lan', 'wan'"],
    );
    facts.network.zones.insert(
        "gast".to_owned(),
        Zone {
            name: "gast".to_owned(),
            ..Zone::default()
        },
    );
    assert_finding(&facts, "zones", Severity::Warning, &["'gast' has no device"]);
    facts = healthy();
    facts.network.warnings = vec!["netifd does not answer".to_owned()];
    assert_finding(&facts, "zones", Severity::Warning, &["netifd does not answer"]);
}

#[test]
fn upnp_that_cannot_be_read_is_neither_on_nor_off() {
    let mut facts = healthy();
    facts.upnp.unread = vec!["/etc/config/upnpd (permission denied)".to_owned()];
    assert_finding(&facts, "upnp", Severity::Warning, &["Not known", "/etc/config/upnpd"]);
}

#[test]
fn what_stands_beside_a_gate() {
    let with = |config: &str| {
        let mut facts = healthy();
        facts.config = crate::config::read_text(Some(config.as_bytes())).0;
        facts
    };
    let gate = "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n";
    let witness = "config witness 'imaps'\n\toption gate 'ssh'\n\toption min_bytes '1'\n";
    assert_finding(&with(gate), "gate", Severity::Warning, &["'ssh'", "by hand only"]);
    let mut facts = with(&format!("{gate}{witness}"));
    assert_fine(&facts, "gate");
    facts.accounting = Some(false);
    assert_finding(&facts, "gate", Severity::Error, &["'imaps'", "nf_conntrack_acct"]);
    facts.accounting = None;
    facts.windows = Some(false);
    assert_finding(
        &facts,
        "gate",
        Severity::Warning,
        &["'imaps'", "min_bytes", "TCP windows"],
    );
    facts.windows = None;
    for other in [
        "!fw4: lanward gate ssh2",
        "!fw4: ubus:lanward[instance1] rule 1",
        "!fw4: ubus:lanward[instance1] redirect 0",
        "!fw4: ubus:lanward2 rule 0",
        "!fw4: ubus:lanward[rule 0",
    ] {
        facts.fw4_gates = Some(vec![other.to_owned()]);
        assert_finding(&facts, "gate", Severity::Error, &["fw4 lacks a rule", "'ssh'"]);
    }
    for ours in ["!fw4: lanward gate ssh", "!fw4: ubus:lanward rule 0"] {
        facts.fw4_gates = Some(vec![ours.to_owned()]);
        assert_fine(&facts, "gate");
    }
    facts.fw4_gates = None;
    assert_fine(&facts, "gate");
    facts.no_copies = Some("nobody tells".to_owned());
    assert_finding(&facts, "gate", Severity::Warning, &["nobody tells"]);
    let key = "config gate 'ssh'\n\tlist service 'tcp:22'\nconfig spa 'laptop'\n\toption gate 'ssh'\n\toption key_file '/k'\n";
    facts.config.spas = config::read_text(Some(key.as_bytes())).0.spas;
    assert_finding(
        &facts,
        "gate",
        Severity::Error,
        &["spa 'laptop'", "never seen", "nobody tells"],
    );
    facts.clock = 86_400;
    assert_finding(
        &facts,
        "clock",
        Severity::Warning,
        &["authenticated packets are refused"],
    );
    facts.clock = healthy().clock;
    facts.config.spas.clear();
    facts.no_copies = None;
    facts.network.doors = vec![crate::network::Door {
        label: "Allow-SSH".to_owned(),
        source_zone: "wan".to_owned(),
        ports: crate::nft::PortRange { from: 20, to: 30 },
        forwards: false,
    }];
    assert_finding(
        &facts,
        "gate",
        Severity::Error,
        &["'Allow-SSH'", "20-30", "take it out"],
    );
    facts.network.doors[0].forwards = true;
    assert_fine(&facts, "gate");
}

#[test]
fn a_default_route_past_the_destination_zones() {
    let mut facts = healthy();
    facts.links.routes.push(default_route("::", 4));
    assert_finding(
        &facts,
        "zones",
        Severity::Warning,
        &["IPv6 leaves through 'wg0'", "in no zone"],
    );
    facts.network.zones.insert("vpn".to_owned(), zone("vpn", "x").1);
    facts.network.zones.get_mut("vpn").unwrap().devices = [Device::BeginsWith("wg".to_owned())].into();
    facts.network.zones.get_mut("vpn").unwrap().name = "vpn".to_owned();
    assert_finding(&facts, "zones", Severity::Warning, &["list dest_zone 'vpn'"]);
    facts.config.lan_only.dest_zones.push("vpn".to_owned());
    assert_fine(&facts, "zones");
    // An unknown device is nobody's.
    facts = healthy();
    facts.links.routes.push(default_route("::", 99));
    assert_fine(&facts, "zones");
    // Another table's route is some policy's affair (mwan3, pbr).
    facts.links.routes.push(Route {
        table: 100,
        ..default_route("::", 4)
    });
    assert_finding(
        &facts,
        "zones",
        Severity::Info,
        &["IPv6 that a rule leads to routing table 100 leaves through 'wg0'"],
    );
}

#[test]
fn zones_that_get_out_and_are_not_meant() {
    let forwarding = |from: &str, to: &str| section("forwarding", &[("src", from), ("dest", to)]);
    let mut facts = healthy();
    facts.firewall = firewall(&[
        forwarding("lan", "wan"),
        forwarding("docker", "wan"),
        forwarding("iot", "lan"),
        forwarding("docker", "wan"),
        section("forwarding", &[("src", "lan")]),
        section("forwarding", &[("src", "off"), ("dest", "wan"), ("enabled", "0")]),
    ]);
    assert_finding(&facts, "zones", Severity::Info, &["internet: 'docker'. List"]);
    facts.config.lan_only.source_zones.push("docker".to_owned());
    facts
        .network
        .zones
        .insert("docker".to_owned(), zone("docker", "docker0").1);
    assert_fine(&facts, "zones");
    facts.network.forward = crate::network::Treatment::Accept;
    assert_finding(&facts, "zones", Severity::Warning, &["a device in no zone"]);
}

#[test]
fn what_others_do_to_the_mark() {
    use crate::nft::netlink::neighbours::{Does, Step};
    let step = |chain: &str, device: Option<&str>, does: Does| Step {
        table: "other".to_owned(),
        chain: chain.to_owned(),
        device: device.map(str::to_owned),
        does,
    };
    let whole = Does::Mark { keeps: 0, may_set: 1 };
    let with = |hook: &str, priority: i32, steps: Vec<Step>| {
        let mut facts = healthy();
        let config = "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\nconfig witness 'imaps'\n\toption gate 'ssh'\n";
        facts.config = config::read_text(Some(config.as_bytes())).0;
        facts.chains.push(chain("ip", "other", hook, priority));
        facts.steps = steps.into_iter().map(|step| ("ip", step)).collect();
        facts
    };
    let clears = |facts: &Facts, chain: &str| {
        let expected = ["clear the mark 0x10000000", chain, "nobody gets in", "every bit"];
        assert_finding(facts, "gate", Severity::Warning, &expected);
    };
    for (hook, priority) in [("prerouting", -150), ("input", -10), ("forward", 5)] {
        clears(
            &with(hook, priority, vec![step(hook, None, whole.clone())]),
            &format!("'ip other {hook}'"),
        );
    }
    for (hook, priority) in [
        ("prerouting", -151),
        ("input", 6),
        ("forward", 6),
        ("output", -150),
        ("postrouting", 0),
    ] {
        assert_fine(&with(hook, priority, vec![step(hook, None, whole.clone())]), "gate");
    }
    // By which device, and from where; a chain that nobody is seen to call may be called by a map.
    for (device, is_there) in [("br-lan", false), ("wan0", true), ("w", true), ("wan01", false)] {
        let facts = with("prerouting", 0, vec![step("prerouting", Some(device), whole.clone())]);
        assert_eq!(
            findings(&facts, "gate").iter().any(|check| !check.ok),
            is_there,
            "{device}"
        );
    }
    let led = |device: Option<&str>| {
        let jump = step("prerouting", device, Does::Jump("inner".to_owned()));
        let back = step("inner", None, Does::Jump("inner".to_owned()));
        with("prerouting", 0, vec![jump, back, step("inner", None, whole.clone())])
    };
    clears(&led(None), "'ip other inner'");
    assert_fine(&led(Some("br-lan")), "gate");
    clears(
        &with("output", 0, vec![step("alone", None, whole.clone())]),
        "'ip other alone'",
    );
    // What it leaves alone, and what it sets.
    let mut facts = with("prerouting", 0, Vec::new());
    for (keeps, may_set) in [(0xffff_c0ff, 0x3f00), (0xff00_ffff, 0x00ff_0000)] {
        facts
            .steps
            .push(("ip", step("prerouting", None, Does::Mark { keeps, may_set })));
    }
    assert_fine(&facts, "gate");
    let band = Does::Mark {
        keeps: 0x61ff_ffff,
        may_set: 0x1e00_0000,
    };
    facts.steps.push(("ip", step("prerouting", None, band)));
    let expected = [
        "set the mark 0x10000000",
        "'ip other prerouting'",
        "is let in",
        "lanward.mark to 0x40000000",
    ];
    assert_finding(&facts, "gate", Severity::Error, &expected);
    // Who writes all of it on the way out leaves the bits free all the same.
    facts.chains.push(chain("ip", "other", "output", -150));
    facts.steps.push(("ip", step("output", None, whole.clone())));
    assert_finding(&facts, "gate", Severity::Error, &expected);
    facts.config.mark = 0x4000_0000;
    assert_fine(&facts, "gate");
    facts.config.gates[0].enabled = false;
    facts.config.mark = 0x1000_0000;
    assert_fine(&facts, "gate");
}

#[test]
fn what_upnp_opens_beside_a_gate() {
    let mut facts = healthy();
    let config =
        "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\tlist service 'tcp:2222>192.168.1.20:22'\n\
                  config witness 'imaps'\n\toption gate 'ssh'\n";
    facts.config = config::read_text(Some(config.as_bytes())).0;
    facts.upnp.leases =
        "UDP:22:192.168.1.20:22:0:x\nTCP:5022:192.168.1.20:23:0:x\nTCP:5022:192.168.1.21:22:0:x\n".to_owned();
    facts.fw4_gates = None;
    assert_fine(&facts, "gate");
    facts.upnp.leases = "TCP:5022:192.168.1.20:22:0:x\n".to_owned();
    assert_finding(
        &facts,
        "gate",
        Severity::Error,
        &["past gate 'ssh'", "TCP 5022 to 192.168.1.20 port 22"],
    );
    facts.upnp.leases = "TCP:993:192.168.1.21:8993:0:x\n".to_owned();
    assert_finding(
        &facts,
        "gate",
        Severity::Error,
        &["past gate 'ssh'", "TCP 993 to 192.168.1.21 port 8993"],
    );
    facts.upnp.leases = "TCP:22:192.168.1.21:2022:0:x\n".to_owned();
    assert_finding(
        &facts,
        "gate",
        Severity::Warning,
        &["port of gate 'ssh'", "TCP 22 to 192.168.1.21 port 2022"],
    );
}

#[test]
fn neighbours_before_our_chain() {
    let mut facts = healthy();
    facts.chains.push(chain("inet", "banIP", "forward", -100));
    facts.chains.push(chain("inet", "late", "forward", -4));
    facts.chains.push(chain("bridge", "early", "forward", -200));
    assert_fine(&facts, "neighbours");
    facts.chains.push(chain("ip", "custom", "forward", -5));
    assert_finding(
        &facts,
        "neighbours",
        Severity::Warning,
        &["'ip custom forward' at 'forward' -5", "offload"],
    );
    facts.chains.pop();
    facts.chains.push(chain("inet", "PassWall", "prerouting", -149));
    assert_finding(
        &facts,
        "neighbours",
        Severity::Warning,
        &["PassWall", "transparent proxy"],
    );
}

#[test]
fn flow_offload_is_a_risk_only_without_the_daemon() {
    let mut facts = healthy();
    // fw4 takes no notice of the hardware option alone.
    facts.firewall = firewall(&[section("defaults", &[("flow_offloading_hw", "1")])]);
    assert!(findings(&facts, "flow-offload")[0].message.contains("off"));
    facts.firewall = firewall(&[section("defaults", &[("flow_offloading", "1")])]);
    assert_fine(&facts, "flow-offload");
    assert!(findings(&facts, "flow-offload")[0]
        .message
        .starts_with("Flow offload is on"));
    facts.daemon = Daemon::NotOnBus;
    assert_finding(
        &facts,
        "flow-offload",
        Severity::Warning,
        &["firewall.defaults.flow_offloading", "until it falls silent"],
    );
    facts.firewall = firewall(&[section(
        "defaults",
        &[("flow_offloading", "yes"), ("flow_offloading_hw", "on")],
    )]);
    assert_finding(
        &facts,
        "flow-offload",
        Severity::Warning,
        &["Hardware flow offload is on"],
    );
    facts.firewall = None;
    assert_finding(&facts, "flow-offload", Severity::Info, &["cannot be read"]);
}

#[test]
fn the_clock_matters_where_there_is_a_schedule() {
    let mut facts = healthy();
    facts.clock = BUILD - 1;
    assert_finding(&facts, "clock", Severity::Info, &["not been set"]);
    facts.config.lan_only.schedule = Some(Schedule {
        weekdays: [true; 7],
        start: 0,
        stop: 0,
    });
    assert_finding(&facts, "clock", Severity::Warning, &["holds at all hours", "NTP"]);
    facts.clock = BUILD;
    assert_fine(&facts, "clock");
    // A build that does not know its date still tells 1970 from today.
    (facts.build, facts.clock) = (0, 86_400);
    assert_finding(&facts, "clock", Severity::Warning, &["not been set"]);
    facts.clock = BUILD;
    facts.timezone = Err("empty".to_owned());
    assert_finding(&facts, "clock", Severity::Warning, &["timezone", "UTC"]);
}

#[test]
fn gates_that_little_opens_are_said() {
    let mut facts = healthy();
    let lan_only = facts.config.lan_only.clone();
    let mut configured = |text: &str| {
        let (config, problems) = config::read(&uci::parse(text.as_bytes()).unwrap());
        assert!(problems.is_empty(), "{problems:?}");
        facts.config = Config {
            lan_only: lan_only.clone(),
            ..config
        };
        facts.clone()
    };
    let gate = |more: &str| {
        let gate = format!("config gate 'ssh'\n\tlist service 'tcp:22'\n\toption enabled '1'\n\t{more}\n");
        format!("{gate}config knock 'door'\n\toption gate 'ssh'\n\tlist open 'tcp:7000'\n\tlist open 'tcp:9000'\n")
    };
    assert_finding(
        &configured(&gate("")),
        "gate",
        Severity::Warning,
        &["gate 'ssh'", "only a knock", "no proof", "knock_alone '1'"],
    );
    let known = gate("option knock_alone '1'");
    assert_fine(&configured(&known), "gate");
    let scanned = known.replace("9000", "7001");
    assert_finding(
        &configured(&scanned),
        "gate",
        Severity::Warning,
        &["knock 'door'", "a scan"],
    );
    let proved = "\n\nconfig spa 'laptop'\n\toption gate 'ssh'\n\toption key_file '/etc/lanward/laptop.key'\n\n";
    assert_fine(&configured(&format!("{}{proved}", gate(""))), "gate");
    let lasting = format!(
        "{}\toption seconds '0'\n\tlist close 'tcp:9000'\n",
        gate("option knock_alone '1'")
    );
    assert_finding(
        &configured(&lasting),
        "gate",
        Severity::Warning,
        &["knock 'door'", "forget 'never'"],
    );
}

#[test]
fn what_a_relay_opens_is_said() {
    use crate::relay::State;
    let mut facts = healthy();
    assert_fine(&facts, "relay");
    let mut with = |state, error: Option<&str>| {
        facts.relays = vec![Way {
            relay: "office".into(),
            login: "relay@relay.example.net 22 /etc/lanward/relay_ed25519".into(),
            from: "relay.example.net (port 3389 there)".into(),
            to: "192.168.1.20:3389".into(),
            exposed: false,
            state,
            error: error.map(str::to_string),
        }];
        facts.clone()
    };
    let up = [
        "192.168.1.20:3389 is reachable from outside through relay 'office'",
        "relay.example.net (port 3389 there)",
    ];
    assert_finding(&with(State::Up, None), "relay", Severity::Info, &up);
    // Without the daemon nobody starts it.
    let mut left = with(State::Idle, None);
    assert_finding(&left, "relay", Severity::Info, &["which is being started"]);
    for daemon in [Daemon::NotOnBus, Daemon::NoBus("x".into()), Daemon::NotAsked] {
        left.daemon = daemon;
        assert_finding(
            &left,
            "relay",
            Severity::Info,
            &["'office'", "while the daemon runs", "is not known"],
        );
    }
    let waits = ["'office'", "tried again", "the line is cut"];
    assert_finding(
        &with(State::Backoff, Some("the line is cut")),
        "relay",
        Severity::Warning,
        &waits,
    );
    // Where the client has ended its sentence, it is ended.
    let ended = diagnose(&with(State::Backoff, Some("closed by remote host.")));
    assert!(ended.iter().any(|check| check.message.ends_with("remote host.")));
    let mut twice = with(State::Up, None);
    let second = Way {
        relay: "cellar".into(),
        exposed: true,
        ..twice.relays[0].clone()
    };
    twice.relays.push(second);
    let said = |severity, words: [&str; 2]| {
        let fits =
            |check: &Check| check.severity == severity && words.iter().all(|words| check.message.contains(words));
        assert!(diagnose(&twice).iter().any(fits), "{words:?}");
    };
    said(Severity::Warning, ["'office' and 'cellar'", "one key"]);
    said(Severity::Error, ["'cellar' by everybody", "GatewayPorts no"]);
    let failed = ["'office'", "waits for somebody", "ALARM"];
    assert_finding(&with(State::Failed, Some("ALARM")), "relay", Severity::Warning, &failed);
}

#[test]
fn a_host_named_by_ipv4_alone_is_open_over_ipv6() {
    let mut facts = healthy();
    facts.config.lan_only.hosts = vec![host(PC)];
    assert_finding(
        &facts,
        "ipv6",
        Severity::Warning,
        &[PC, PC6, "list host '02:00:00:00:00:20'"],
    );
    assert!(!finding(&facts, "ipv6").1.contains("fe80"));
    facts.config.lan_only.hosts.push(host(PC6));
    assert_fine(&facts, "ipv6");
    facts.config.lan_only.hosts = vec![host(PC), Host::Mac(PC_MAC)];
    assert_fine(&facts, "ipv6");
    // Nobody knows its MAC: it may have IPv6 all the same.
    facts.config.lan_only.hosts = vec![host("192.168.1.77")];
    assert_finding(&facts, "ipv6", Severity::Warning, &["192.168.1.77", "by its MAC"]);
    facts.links.routes.retain(|route| route.dest.address.is_ipv4());
    assert_fine(&facts, "ipv6");
}

#[test]
fn a_host_named_by_ipv6_alone_is_open_over_ipv4_and_by_its_other_addresses() {
    const TEMPORARY: &str = "2001:db8::abcd:1234";
    let mut facts = healthy();
    facts.config.lan_only.hosts = vec![host(PC6)];
    facts.links.neighbours.push((address(TEMPORARY), PC_MAC));
    let open = [PC6, PC, TEMPORARY, "list host '02:00:00:00:00:20'"];
    assert_finding(&facts, "ipv6", Severity::Warning, &open);
    // Also where nothing goes out by IPv6.
    let routes = facts.links.routes.clone();
    facts.links.routes.retain(|route| route.dest.address.is_ipv4());
    assert_finding(&facts, "ipv6", Severity::Warning, &open);
    facts.links.routes = routes;
    facts.config.lan_only.hosts.push(host(PC));
    let told = findings(&facts, "ipv6");
    assert!(
        told.len() == 2 && told.iter().all(|check| check.message.contains(TEMPORARY)),
        "{told:?}"
    );
    facts.config.lan_only.hosts.push(host(TEMPORARY));
    assert_fine(&facts, "ipv6");
    facts.config.lan_only.hosts = vec![host(PC6), Host::Mac(PC_MAC)];
    assert_fine(&facts, "ipv6");
    // One host's address says nothing for another's; each is told of.
    facts.config.lan_only.hosts = vec![host("192.168.1.77"), host("2001:db8::77")];
    let told: Vec<String> = findings(&facts, "ipv6")
        .into_iter()
        .map(|check| check.message)
        .collect();
    assert!(told[0].contains("192.168.1.77 names the host's IPv4 only"), "{told:?}");
    assert!(told[1].contains("2001:db8::77 names one IPv6 address"), "{told:?}");
}

#[test]
fn links_that_were_not_read_are_not_taken_for_health() {
    let mut facts = healthy();
    facts.links = Links::default();
    assert_finding(&facts, "zones", Severity::Info, &["not read"]);
    assert_finding(&facts, "ipv6", Severity::Info, &["not read"]);
    facts.config.lan_only.hosts = vec![host(PC)];
    assert_finding(&facts, "ipv6", Severity::Warning, &["may be in use", "by its MAC"]);
    facts.config.lan_only.hosts = vec![Host::Mac(PC_MAC)];
    facts.firewall = firewall(&[redirect(&[])]);
    assert_finding(
        &facts,
        "redirects",
        Severity::Warning,
        &["MAC is not known now", "3389"],
    );
    // A known neighbour with another MAC is not the host.
    facts = healthy();
    facts.config.lan_only.hosts = vec![Host::Mac([2, 0, 0, 0, 0, 0x21])];
    facts.firewall = firewall(&[redirect(&[])]);
    assert_fine(&facts, "redirects");
}

#[test]
fn upnp_contradicts_the_mode_more_without_mirror() {
    let mut facts = healthy();
    facts.upnp.enabled = true;
    assert_finding(
        &facts,
        "upnp",
        Severity::Warning,
        &["upnpd.config.enabled", "mirror still drops"],
    );
    facts.upnp.running = true;
    facts.config.lan_only.mirror = false;
    assert_finding(&facts, "upnp", Severity::Warning, &["miniupnpd runs", "mirror is off"]);
}

#[test]
fn leases_to_covered_hosts_are_named() {
    let mut facts = healthy();
    facts.config.lan_only.hosts = vec![host(PC)];
    facts.upnp.leases = format!("UDP:40000:{PC}:3389:0:a:b\u{1b}[2J\nTCP:22:192.168.1.99:22:0:other\n\n");
    assert_finding(
        &facts,
        "upnp",
        Severity::Warning,
        &["UDP 40000 to 192.168.1.20 port 3389 'a:b\\u{1b}[2J' (Microsoft Remote Desktop (RDP)'s port)."],
    );
    assert!(!finding(&facts, "upnp").1.contains("192.168.1.99"));
    // The same host, named by its MAC; then an exception.
    facts.config.lan_only.hosts = vec![Host::Mac(PC_MAC)];
    assert_finding(&facts, "upnp", Severity::Warning, &["3389"]);
    facts.config.lan_only.hosts = Vec::new();
    facts.config.lan_only.except_hosts = vec![host(PC), host("192.168.1.99")];
    assert_fine(&facts, "upnp");
}

#[test]
fn a_lease_file_of_rubbish_is_counted_and_bounded() {
    let mut facts = healthy();
    facts.upnp.leases = "SCTP:1:192.168.1.20:1:0:x\nUDP:99999:192.168.1.20:1:0:x\nUDP\n".to_owned();
    assert_finding(&facts, "upnp", Severity::Info, &["3 lines"]);
    facts.upnp.leases = "TCP:1:192.168.1.9:1:0:x\n".repeat(5000);
    assert_finding(&facts, "upnp", Severity::Warning, &["and 1016 more"]);
    assert!(finding(&facts, "upnp").1.len() < 1000);
}

fn redirect(changes: &[(&str, &str)]) -> Section {
    let mut options = vec![
        ("name", "desk"),
        ("src", "wan"),
        ("src_dport", "40000"),
        ("dest_ip", PC),
        ("dest_port", "3389"),
    ];
    options.retain(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    options.extend_from_slice(changes);
    section("redirect", &options)
}

#[test]
fn a_port_forward_to_remote_desktop_is_named() {
    let mut facts = healthy();
    facts.firewall = firewall(&[redirect(&[])]);
    let parts = [
        "firewall.@redirect[0] 'desk' forwards TCP/UDP from zone 'wan' to 192.168.1.20, port 3389 (Microsoft",
        "disable",
    ];
    assert_finding(&facts, "redirects", Severity::Warning, &parts);
    // Some game: the owner's own wish, as long as no host is named.
    facts.firewall = firewall(&[redirect(&[("dest_port", "25565"), ("proto", "tcp")])]);
    assert_fine(&facts, "redirects");
    facts.config.lan_only.hosts = vec![host(PC)];
    assert_finding(
        &facts,
        "redirects",
        Severity::Warning,
        &["forwards TCP from", "port 25565"],
    );
    facts.config.lan_only.hosts = vec![host("192.168.1.21")];
    assert_fine(&facts, "redirects");
}

#[test]
fn what_is_no_port_forward_from_outside_is_left_alone() {
    let mut facts = healthy();
    facts.config.lan_only.hosts = vec![host(PC)];
    for change in [
        ("enabled", "0"),
        ("target", "SNAT"),
        ("src", "vpn"),
        ("proto", "icmp"),
        ("dest_ip", "192.168.1.21"),
        ("dest_ip", ""),
    ] {
        facts.firewall = firewall(&[redirect(&[change])]);
        assert_fine(&facts, "redirects");
    }
    for change in [
        ("enabled", "1"),
        ("target", "DNAT"),
        ("src", "*"),
        ("proto", "tcp|udp"),
        ("dest_ip", "192.168.1.20/32"),
        ("proto", "all"),
    ] {
        facts.firewall = firewall(&[redirect(&[change])]);
        assert_finding(&facts, "redirects", Severity::Warning, &["3389"]);
    }
    // No destination port: the outer one is kept.
    let mut kept = redirect(&[("src_dport", "5900-5902")]);
    kept.options.retain(|(name, _)| name != "dest_port");
    facts.firewall = firewall(&[kept]);
    assert_finding(
        &facts,
        "redirects",
        Severity::Warning,
        &["ports 5900-5902 (VNC's port)"],
    );
    facts.firewall = None;
    assert_finding(&facts, "redirects", Severity::Info, &["cannot be read"]);
}

#[test]
fn a_forward_of_every_port_leads_to_remote_desktop_too() {
    let mut facts = healthy();
    let dmz = section("redirect", &[("src", "wan"), ("dest_ip", PC), ("proto", "all")]);
    facts.firewall = firewall(&[dmz]);
    assert_finding(&facts, "redirects", Severity::Warning, &["any port"]);
}

#[test]
fn an_accepting_rule_for_ipv6_is_a_way_in() {
    let rule = |changes: &[(&str, &str)]| {
        let mut options = vec![
            ("name", "hole"),
            ("src", "wan"),
            ("dest", "lan"),
            ("target", "ACCEPT"),
            ("proto", "tcp"),
            ("dest_port", "22|3389"),
        ];
        options.retain(|(name, _)| !changes.iter().any(|(other, _)| other == name));
        options.extend_from_slice(changes);
        firewall(&[section("rule", &options)])
    };
    let mut facts = healthy();
    facts.firewall = rule(&[("dest_ip", PC6)]);
    assert_finding(
        &facts,
        "pinholes",
        Severity::Warning,
        &["firewall.@rule[0] 'hole' accepts TCP", PC6, "port 3389"],
    );
    facts.firewall = rule(&[]);
    assert_finding(&facts, "pinholes", Severity::Warning, &["any host, port 3389"]);
    for change in [
        ("target", "REJECT"),
        ("dest", "dmz"),
        ("src", "lan"),
        ("enabled", "0"),
        ("proto", "esp"),
        ("dest_port", "500"),
    ] {
        facts.firewall = rule(&[change]);
        assert_fine(&facts, "pinholes");
    }
    // A rule for the router itself has no destination zone.
    let own = section("rule", &[("src", "wan"), ("target", "ACCEPT"), ("dest_port", "3389")]);
    facts.firewall = firewall(&[own]);
    assert_fine(&facts, "pinholes");
    facts.config.lan_only.hosts = vec![host(PC6)];
    facts.firewall = rule(&[("dest_ip", PC6), ("dest_port", "22")]);
    assert_finding(&facts, "pinholes", Severity::Warning, &["port 22"]);
}

#[test]
fn full_cone_options_of_forks_are_found() {
    let mut facts = healthy();
    facts.firewall = firewall(&[section(
        "zone",
        &[("name", "wan"), ("fullcone4", "1"), ("fullcone6", "0")],
    )]);
    assert_finding(
        &facts,
        "full-cone",
        Severity::Warning,
        &["firewall.@zone[0].fullcone4)", "mirror drops"],
    );
    facts.config.lan_only.mirror = false;
    assert_finding(&facts, "full-cone", Severity::Error, &["mirror is off"]);
    facts.firewall = firewall(&[section("defaults", &[("fullcone", "2")])]);
    assert_finding(
        &facts,
        "full-cone",
        Severity::Error,
        &["firewall.@defaults[0].fullcone"],
    );
    facts.firewall = firewall(&[section("defaults", &[("fullcone", "0")])]);
    assert_fine(&facts, "full-cone");
}

#[test]
fn profiles_and_the_level_speak_their_limits() {
    let mut facts = healthy();
    facts.config.lan_only.profiles = vec!["microsoft-rdp".to_owned()];
    assert_finding(
        &facts,
        "profiles",
        Severity::Warning,
        &["no level stops anything", "3389"],
    );
    facts.config.lan_only.level = Level::Seed;
    assert!(findings(&facts, "level")[0]
        .message
        .contains("3 of 12 outsiders connected"));
    facts.config.lan_only.level = Level::Recommended;
    assert!(findings(&facts, "level")[0].message.contains("not measured"));
    facts.profiles = Err("schema: this program reads schema 1".to_owned());
    assert_finding(
        &facts,
        "profiles",
        Severity::Warning,
        &["schema 1", "lanward.lan_only.profile"],
    );
    facts.config.lan_only.profiles.clear();
    assert_finding(&facts, "profiles", Severity::Info, &["schema 1"]);
}

#[test]
fn nothing_that_came_from_outside_reaches_a_terminal_raw() {
    let mut facts = healthy();
    let evil = "x\u{1b}[2J\n";
    facts.missing = vec![evil.to_owned()];
    facts.daemon = Daemon::NoBus(evil.to_owned());
    facts.timezone = Err(evil.to_owned());
    facts.profiles = Err(evil.to_owned());
    facts.config.lan_only.source_zones = vec![evil.to_owned()];
    facts.chains.push(chain("inet", evil, "forward", -300));
    facts.links.devices.insert(9, evil.to_owned());
    facts.links.routes.push(default_route("0.0.0.0", 9));
    facts.upnp.leases = format!("TCP:1:{PC}:1:0:{evil}");
    facts.firewall = firewall(&[redirect(&[("name", evil)])]);
    for check in diagnose(&facts) {
        assert!(
            !check.message.chars().any(char::is_control),
            "{}: {:?}",
            check.name,
            check.message
        );
    }
}
