//! The house on paper: what stands in `/etc/config`, what netifd answers, and the firewall that fw4 would write of it.
//!
//! The firewall is in our own words, with fw4's chain names, hooks, priorities and order of verdicts.

use crate::house::{Interface, MAPPED_PORT, REDIRECTED_PORT, ROUTER_PORT};
use serde_json::{json, Value};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How the firewall refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Refusal {
    Reject,
    Drop,
}

impl Refusal {
    /// As in UCI.
    fn uci(self) -> &'static str {
        match self {
            Self::Reject => "REJECT",
            Self::Drop => "DROP",
        }
    }

    /// As in fw4's chain names.
    fn word(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Drop => "drop",
        }
    }

    /// What is at the end of fw4's chain.
    fn verdict(self) -> &'static str {
        match self {
            Self::Reject => "jump handle_reject",
            Self::Drop => "drop",
        }
    }
}

/// fw4's flow table (`flow_offloading`). With it, packets of an established flow are forwarded past all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowTable {
    /// As fw4 makes it since March 2023: what it forwards is counted in conntrack.
    Counting,
    /// As fw4 made it before.
    Silent,
}

/// What the firewall has besides what every house's has.
#[derive(Debug, Clone)]
pub struct Firewall {
    /// `input` of the zone `wan`.
    pub input: Refusal,
    /// `forward` of the zone `wan`. fw4 asks it only for packets that would leave by the same zone.
    pub forward: Refusal,
    /// `forward` of `defaults`: what becomes of packets from the WAN to another zone that no rule accepts.
    pub default_forward: Refusal,
    /// The kernel must have flow tables.
    pub flow_table: Option<FlowTable>,
    /// The user's own ways in: sections' options, and as `type` `rule` or `redirect`.
    pub user: Vec<Value>,
    /// Those that services publish, in the same form.
    pub services: Vec<Value>,
}

impl Default for Firewall {
    /// As a router comes.
    fn default() -> Self {
        Self {
            input: Refusal::Reject,
            forward: Refusal::Drop,
            default_forward: Refusal::Reject,
            flow_table: None,
            user: Vec::new(),
            services: Vec::new(),
        }
    }
}

impl Firewall {
    /// Refuses in the same way everywhere.
    #[must_use]
    pub fn refusing(refusal: Refusal) -> Self {
        Self {
            input: refusal,
            forward: refusal,
            default_forward: refusal,
            ..Self::default()
        }
    }

    /// With flow offload.
    #[must_use]
    pub fn offloading(mut self, flow_table: FlowTable) -> Self {
        self.flow_table = Some(flow_table);
        self
    }

    /// With this way in of the user's.
    #[must_use]
    pub fn with(mut self, way_in: Value) -> Self {
        self.user.push(way_in);
        self
    }

    /// The rules that fw4 makes for a chain of the WAN's: services first.
    fn rules(&self, chain: &str) -> String {
        let named = |section: &Value| section["name"].as_str().unwrap_or("@rule").to_owned();
        // What comes from a zone that fw4 does not know it leaves out; the user's own ways in are all from the WAN.
        let services = self.services.iter().enumerate();
        services
            .filter(|(_, section)| section["src"] == "wan")
            .map(|(index, section)| (section, published(index, section)))
            .chain(self.user.iter().map(|section| (section, named(section))))
            .map(|(section, name)| (way_in(section), name))
            .filter(|((place, _), _)| *place == chain)
            .fold(String::new(), |text, ((_, rule), name)| {
                text + "\t\t" + &rule + " comment \"!fw4: " + &name + "\"\n"
            })
    }
}

/// The options of a way in that are known here; fw4 leaves a section out in which it does not know one.
const WAY_IN_OPTIONS: [&str; 13] = [
    "type",
    "name",
    "src",
    "src_dport",
    "proto",
    "dest",
    "dest_ip",
    "dest_port",
    "family",
    "mark",
    "target",
    "reflection",
    "enabled",
];

/// What fw4 calls a rule that it has as data of an instance of a service, whatever name the rule has itself.
fn published(index: usize, section: &Value) -> String {
    let kind = section["type"].as_str().unwrap_or("rule");
    format!("ubus:lanward[instance1] {kind} {index}")
}

/// The chain and the rule that fw4 makes of a way in from the WAN.
fn way_in(section: &Value) -> (&'static str, String) {
    let options = section.as_object().expect("a section is an object");
    for (name, value) in options {
        assert!(
            WAY_IN_OPTIONS.contains(&name.as_str()) && value.is_string(),
            "{name}: {section}"
        );
    }
    let get = |name: &str| options.get(name).map(|value| value.as_str().unwrap_or_default());
    assert_eq!((get("src"), get("proto")), (Some("wan"), Some("tcp")), "{section}");
    let (is_redirect, target) = (get("type") == Some("redirect"), get("target"));
    assert_eq!(target, Some(if is_redirect { "DNAT" } else { "ACCEPT" }), "{section}");
    assert!(is_redirect || get("type") == Some("rule"), "{section}");
    let dest_ip: Option<IpAddr> = get("dest_ip").map(|address| address.parse().expect("dest_ip is an address"));
    let mut rule = match (dest_ip, get("family")) {
        (Some(IpAddr::V4(_)), Some("ipv6")) | (Some(IpAddr::V6(_)), Some("ipv4")) => panic!("two families: {section}"),
        (Some(IpAddr::V4(_)), _) if is_redirect => "meta nfproto ipv4 ".to_owned(),
        (Some(IpAddr::V6(_)), _) if is_redirect => "meta nfproto ipv6 ".to_owned(),
        (Some(IpAddr::V4(address)), _) => format!("ip daddr {address} "),
        (Some(IpAddr::V6(address)), _) => format!("ip6 daddr {address} "),
        (None, Some(family @ ("ipv4" | "ipv6"))) => format!("meta nfproto {family} "),
        (None, None | Some("any")) => String::new(),
        (None, Some(_)) => panic!("no family: {section}"),
    };
    let port = get(if is_redirect { "src_dport" } else { "dest_port" }).expect("a port");
    let _ = write!(rule, "tcp dport {port} ");
    if let Some(mark) = get("mark") {
        let (mark, mask) = mark.split_once('/').unwrap_or((mark, "0xffffffff"));
        let _ = write!(rule, "meta mark and {mask} == {mark} ");
    }
    rule.push_str("counter ");
    let (chain, verdict) = match (is_redirect, dest_ip, get("dest")) {
        (true, Some(IpAddr::V4(to)), _) => (
            "dstnat_wan",
            format!("dnat ip to {to}:{}", get("dest_port").unwrap_or(port)),
        ),
        (true, Some(IpAddr::V6(to)), _) => (
            "dstnat_wan",
            format!("dnat ip6 to [{to}]:{}", get("dest_port").unwrap_or(port)),
        ),
        (false, _, Some("*")) => ("forward_wan", "accept".to_owned()),
        (false, _, Some(zone)) => ("forward_wan", format!("jump accept_to_{zone}")),
        (false, _, None) => ("input_wan", "accept".to_owned()),
        _ => panic!("leads nowhere: {section}"),
    };
    (chain, rule + &verdict)
}

/// Where the WAN stands among the [`interfaces`].
pub const WAN: usize = 2;

fn interface(
    name: &'static str,
    zone: &'static str,
    device: &str,
    v4: Option<(Ipv4Addr, u8)>,
    v6: Option<(Ipv6Addr, u8)>,
) -> Interface {
    let device = device.to_owned();
    Interface {
        name,
        zone,
        proto: "static",
        l3_device: device.clone(),
        device,
        up: true,
        v4,
        v6,
    }
}

fn v6(first: u16, second: u16, third: u16, last: u16) -> Option<(Ipv6Addr, u8)> {
    Some((Ipv6Addr::new(first, second, third, 0, 0, 0, 0, last), 64))
}

/// The interfaces that every house has.
#[must_use]
pub fn interfaces() -> Vec<Interface> {
    let lan = Some((Ipv4Addr::new(192, 168, 77, 1), 24));
    let vpn = Some((Ipv4Addr::new(10, 8, 0, 1), 24));
    let wan = Some((Ipv4Addr::new(198, 51, 100, 2), 24));
    vec![
        interface("lan", "lan", "br-lan", lan, v6(0xfd77, 0, 0, 1)),
        interface("vpn", "vpn", "vpn0", vpn, v6(0xfd08, 0, 0, 1)),
        interface("wan", "wan", "wan0", wan, v6(0x2001, 0xdb8, 1, 2)),
    ]
}

/// The guest network.
#[must_use]
pub fn guest() -> Interface {
    interface(
        "guest",
        "guest",
        "guest0",
        Some((Ipv4Addr::new(192, 168, 78, 1), 24)),
        v6(0xfd78, 0, 0, 1),
    )
}

/// A second way out.
#[must_use]
pub fn second_wan() -> Interface {
    interface(
        "wanb",
        "wan",
        "wanb0",
        Some((Ipv4Addr::new(192, 0, 2, 2), 24)),
        v6(0x2001, 0xdb8, 2, 2),
    )
}

/// IPv6 on a device of its own.
#[must_use]
pub fn wan6() -> Interface {
    interface("wan6", "wan", "wan6", None, v6(0x2001, 0xdb8, 6, 2))
}

impl Interface {
    /// PPPoE over what it stands on, and not up.
    pub fn become_pppoe(&mut self) {
        self.proto = "pppoe";
        self.l3_device = format!("pppoe-{}", self.name);
        self.up = false;
    }
}

/// A zone's name and the zones that it may forward to.
const ZONES: [(&str, &[&str]); 4] = [
    ("lan", &["lan", "vpn", "wan"]),
    ("vpn", &["lan", "vpn", "wan"]),
    ("guest", &["wan"]),
    ("wan", &[]),
];

/// The zones of this house with their interfaces.
pub(crate) fn zones(interfaces: &[Interface]) -> Vec<(&'static str, &'static [&'static str], Vec<&Interface>)> {
    let members = |zone: &str| {
        interfaces
            .iter()
            .filter(|interface| interface.zone == zone)
            .collect::<Vec<_>>()
    };
    ZONES
        .iter()
        .map(|(name, to)| (*name, *to, members(name)))
        .filter(|(_, _, members)| !members.is_empty())
        .collect()
}

/// `/etc/config/network`
#[must_use]
pub fn network(interfaces: &[Interface]) -> String {
    let mut text = "config interface 'loopback'\n\toption device 'lo'\n\toption proto 'static'\n\tlist ipaddr '127.0.0.1/8'\n\n\
                    config globals 'globals'\n\toption ula_prefix 'fd77::/48'\n\n\
                    config device\n\toption name 'br-lan'\n\toption type 'bridge'\n\tlist ports 'port100'\n\tlist ports 'port101'\n"
        .to_owned();
    for Interface {
        name,
        proto,
        device,
        v4,
        v6,
        ..
    } in interfaces
    {
        let _ = write!(
            text,
            "\nconfig interface '{name}'\n\toption device '{device}'\n\toption proto '{proto}'\n"
        );
        if *proto == "pppoe" {
            text.push_str("\toption username 'house@isp.example'\n\toption password 'not a secret'\n");
            continue;
        }
        if let Some((address, prefix)) = v4 {
            let _ = writeln!(text, "\tlist ipaddr '{address}/{prefix}'");
        }
        if let Some((address, prefix)) = v6 {
            let _ = writeln!(text, "\tlist ip6addr '{address}/{prefix}'");
        }
    }
    text
}

/// `/etc/config/firewall`
#[must_use]
pub fn firewall(interfaces: &[Interface], firewall: &Firewall) -> String {
    let mut text = format!(
        "config defaults\n\toption syn_flood '1'\n\toption input 'REJECT'\n\toption output 'ACCEPT'\n\toption forward '{}'\n",
        firewall.default_forward.uci()
    );
    if firewall.flow_table.is_some() {
        text.push_str("\toption flow_offloading '1'\n");
    }
    let wan = format!(
        "\toption input '{}'\n\toption output 'ACCEPT'\n\toption forward '{}'\n\toption masq '1'\n\toption mtu_fix '1'\n",
        firewall.input.uci(),
        firewall.forward.uci()
    );
    for (zone, _, members) in zones(interfaces) {
        let _ = write!(text, "\nconfig zone\n\toption name '{zone}'\n");
        for member in members {
            let _ = writeln!(text, "\tlist network '{}'", member.name);
        }
        text.push_str(match zone {
            "wan" => &wan,
            "guest" => "\toption input 'ACCEPT'\n\toption output 'ACCEPT'\n\toption forward 'REJECT'\n",
            _ => "\toption input 'ACCEPT'\n\toption output 'ACCEPT'\n\toption forward 'ACCEPT'\n",
        });
    }
    for (zone, to, _) in zones(interfaces) {
        for to in to.iter().filter(|to| **to != zone) {
            let _ = write!(
                text,
                "\nconfig forwarding\n\toption src '{zone}'\n\toption dest '{to}'\n"
            );
        }
    }
    let _ = write!(
        text,
        "
config rule
	option name 'Allow-Ping'
	option src 'wan'
	option proto 'icmp'
	option icmp_type 'echo-request'
	option family 'ipv4'
	option target 'ACCEPT'

config rule
	option name 'Allow-WireGuard'
	option src 'wan'
	option proto 'udp'
	option dest_port '{ROUTER_PORT}'
	option target 'ACCEPT'

config rule
	option name 'Game server, IPv6'
	option src 'wan'
	option dest 'lan'
	option dest_ip 'fd77::100'
	option proto 'udp'
	option dest_port '{REDIRECTED_PORT}'
	option family 'ipv6'
	option target 'ACCEPT'

config redirect
	option name 'Game server'
	option src 'wan'
	option proto 'udp'
	option src_dport '{REDIRECTED_PORT}'
	option dest 'lan'
	option dest_ip '192.168.77.100'
	option dest_port '{REDIRECTED_PORT}'
	option target 'DNAT'
"
    );
    for section in &firewall.user {
        let _ = writeln!(text, "\nconfig {}", section["type"].as_str().unwrap_or_default());
        let options = section.as_object().into_iter().flatten();
        for (name, value) in options.filter(|(name, _)| *name != "type") {
            let _ = writeln!(text, "\toption {name} '{}'", value.as_str().unwrap_or_default());
        }
    }
    text
}

/// What netifd answers to `network.interface dump`.
#[must_use]
pub fn interface_dump(interfaces: &[Interface]) -> Value {
    let loopback = interface("loopback", "", "lo", Some((Ipv4Addr::LOCALHOST, 8)), None);
    let rows: Vec<Value> = interfaces
        .iter()
        .chain(std::iter::once(&loopback))
        .map(dump_row)
        .collect();
    json!({ "interface": rows })
}

fn dump_row(interface: &Interface) -> Value {
    let addresses = |family: Option<(String, u8)>| match family {
        Some((address, mask)) if interface.up => json!([{ "address": address, "mask": mask }]),
        _ => json!([]),
    };
    let mut row = json!({
        "interface": interface.name,
        "up": interface.up,
        "pending": !interface.up,
        "available": true,
        "autostart": true,
        "dynamic": false,
        "proto": interface.proto,
        "device": interface.device,
        "metric": 0,
        "dns_metric": 0,
        "delegation": true,
        "ipv4-address": addresses(interface.v4.map(|(address, mask)| (address.to_string(), mask))),
        "ipv6-address": addresses(interface.v6.map(|(address, mask)| (address.to_string(), mask))),
        "ipv6-prefix": [],
        "ipv6-prefix-assignment": [],
        "route": [],
        "dns-server": [],
        "dns-search": [],
        "neighbors": [],
        "data": {},
    });
    // netifd leaves these out while an interface is down.
    if interface.up {
        row["uptime"] = json!(60);
        row["l3_device"] = json!(interface.l3_device);
    }
    row
}

/// A miniupnpd-like mapping of [`MAPPED_PORT`] to `lan`, in a table of its own.
#[must_use]
pub fn upnp() -> String {
    format!(
        "table inet miniupnpd
flush table inet miniupnpd
table inet miniupnpd {{
	chain prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local meta nfproto ipv4 udp dport {MAPPED_PORT} dnat ip to 192.168.77.100:{MAPPED_PORT}
	}}
	chain forward {{
		type filter hook forward priority filter - 25; policy accept;
		udp dport {MAPPED_PORT} accept
	}}
}}
"
    )
}

/// The set of a zone's devices as a right-hand side.
fn devices(members: &[&Interface]) -> String {
    let names: Vec<String> = members
        .iter()
        .map(|member| format!("\"{}\"", member.l3_device))
        .collect();
    format!("{{ {} }}", names.join(", "))
}

/// fw4's flow table on the devices of all zones, and the rule that puts flows into it.
fn flow_offload(interfaces: &[Interface], flow_table: Option<FlowTable>) -> [String; 2] {
    let counter = match flow_table {
        Some(FlowTable::Counting) => "\t\tcounter\n",
        Some(FlowTable::Silent) => "",
        None => return Default::default(),
    };
    let devices = devices(&interfaces.iter().filter(|interface| interface.up).collect::<Vec<_>>());
    [
        format!("\tflowtable ft {{\n\t\thook ingress priority 0\n\t\tdevices = {devices}\n{counter}\t}}\n"),
        "\t\tmeta l4proto { tcp, udp } flow add @ft\n".to_owned(),
    ]
}

/// What fw4 does with its table before it is loaded anew; `flow_table`: whether there is one in it.
#[must_use]
pub fn emptied_fw4(flow_table: bool) -> String {
    let flow_table = if flow_table {
        "delete flowtable inet fw4 ft\n"
    } else {
        ""
    };
    format!("table inet fw4\nflush table inet fw4\n{flow_table}")
}

/// fw4's table for these interfaces.
#[must_use]
pub fn fw4(interfaces: &[Interface], firewall: &Firewall) -> String {
    let zones = zones(interfaces);
    let [flow_table, flow_add] = flow_offload(interfaces, firewall.flow_table);
    let mut text = format!("table inet fw4 {{\n{flow_table}");
    for (zone, to, members) in &zones {
        text.push_str(&zone_chains(zone, to, &devices(members), firewall));
    }
    let redirects = firewall.rules("dstnat_wan");
    let last_forward = firewall.default_forward.verdict();
    let jumps = |direction: &str, chain: &str| {
        zones.iter().fold(String::new(), |mut lines, (zone, _, members)| {
            let _ = writeln!(lines, "\t\t{direction} {} jump {chain}_{zone}", devices(members));
            lines
        })
    };
    let known = "ct state vmap { established : accept, related : accept }";
    let wans = zones
        .iter()
        .find(|(zone, ..)| *zone == "wan")
        .map_or_else(String::new, |(_, _, members)| devices(members));
    let _ = write!(
        text,
        "	chain upnp_forward {{
		ip6 daddr fd77::100 udp dport {MAPPED_PORT} accept
	}}
	chain handle_reject {{
		meta l4proto tcp reject with tcp reset
		reject with icmpx type port-unreachable
	}}
	chain input {{
		type filter hook input priority filter; policy drop;
		iif \"lo\" accept
		{known}
{}		jump handle_reject
	}}
	chain forward {{
		type filter hook forward priority filter; policy drop;
{flow_add}		{known}
{}		{last_forward}
	}}
	chain output {{
		type filter hook output priority filter; policy accept;
		oif \"lo\" accept
		{known}
{}	}}
	chain dstnat {{
		type nat hook prerouting priority dstnat; policy accept;
		iifname {wans} jump dstnat_wan
	}}
	chain srcnat {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname {wans} jump srcnat_wan
	}}
	chain dstnat_wan {{
{redirects}		meta nfproto ipv4 udp dport {REDIRECTED_PORT} counter dnat ip to 192.168.77.100:{REDIRECTED_PORT}
	}}
	chain srcnat_wan {{
		meta nfproto ipv4 masquerade
	}}
	chain raw_prerouting {{
		type filter hook prerouting priority raw; policy accept;
	}}
	chain mangle_forward {{
		type filter hook forward priority mangle; policy accept;
		iifname {wans} tcp flags syn / syn,fin,rst tcp option maxseg size set rt mtu
	}}
}}
",
        jumps("iifname", "input"),
        jumps("iifname", "forward"),
        jumps("oifname", "output"),
    );
    text
}

/// The chains that are one zone's own.
fn zone_chains(zone: &str, to: &[&str], devices: &str, firewall: &Firewall) -> String {
    let (first_input, first_forward) = (firewall.rules("input_wan"), firewall.rules("forward_wan"));
    let (input_refusal, forward_refusal) = (firewall.input.word(), firewall.forward.word());
    let (input, last) = match zone {
        "wan" => (
            format!(
                "{first_input}\t\tmeta nfproto ipv4 icmp type echo-request counter accept
		meta nfproto ipv6 meta l4proto ipv6-icmp counter accept
		udp dport {ROUTER_PORT} counter accept
		ct status dnat accept
		jump {input_refusal}_from_wan\n"
            ),
            format!(
                "{first_forward}\t\tmeta nfproto ipv6 meta l4proto ipv6-icmp counter accept
		ip6 daddr fd77::100 udp dport {REDIRECTED_PORT} counter accept
		ct status dnat accept
		jump upnp_forward
		jump {forward_refusal}_to_wan\n"
            ),
        ),
        _ => (format!("\t\tjump accept_from_{zone}\n"), String::new()),
    };
    let forward = to.iter().fold(String::new(), |mut lines, to| {
        let _ = writeln!(lines, "\t\tjump accept_to_{to}");
        lines
    });
    format!(
        "	chain accept_from_{zone} {{
		iifname {devices} counter accept
	}}
	chain reject_from_{zone} {{
		iifname {devices} counter jump handle_reject
	}}
	chain drop_from_{zone} {{
		iifname {devices} counter drop
	}}
	chain reject_to_{zone} {{
		oifname {devices} counter jump handle_reject
	}}
	chain drop_to_{zone} {{
		oifname {devices} counter drop
	}}
	chain accept_to_{zone} {{
		meta nfproto ipv4 oifname {devices} ct state invalid counter drop
		oifname {devices} counter accept
	}}
	chain input_{zone} {{
{input}	}}
	chain output_{zone} {{
		jump accept_to_{zone}
	}}
	chain forward_{zone} {{
{forward}{last}	}}
"
    )
}
