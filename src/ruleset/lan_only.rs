//! LAN-only remote desktop in the table.
//!
//! The switch is `udp` in `lan_only_on`, a pause is `udp` in `lan_only_pause` with the kernel's own timeout. So the rules are constant, a switch
//! costs one element, and a pause ends with the daemon dead.

use super::parts::{
    answers, chain, configured, device_matches, device_set, element, ending, port_range, ranges, returns, rule,
    subnet_range,
};
use super::TABLE;
use crate::config::Subnet;
use crate::gather::{Gather, GatherInto};
use crate::lan_only::UDP;
use crate::network::Device;
use crate::nft::{
    Chain, Contents, Element, Field, Kind, Match, Operation, PortRange, Range, Rule, Set, Statement, Table, Timeout,
    Value,
};
use crate::policy::{Devices, Hosts, LanOnly};

/// The switch: holds `udp` while LAN-only is on.
pub const ON: &str = "lan_only_on";
/// The pause: holds `udp` with a timeout while paused.
pub const PAUSE: &str = "lan_only_pause";
/// Addresses seen behind the MACs of `host`, IPv4 and IPv6.
pub const LEARNED: [&str; 2] = ["lan_only_learned4", "lan_only_learned6"];
/// Packets that were dropped on their way out, and on their way in.
pub const DROPPED: [&str; 2] = ["lan_only_dropped", "lan_only_inbound_dropped"];
/// The same for what `observe` only counts.
pub const OBSERVED: [&str; 2] = ["lan_only_observed", "lan_only_inbound_observed"];

const SOURCE_DEVICES: &str = "lan_only_source_devices";
const DEST_DEVICES: &str = "lan_only_dest_devices";
/// What goes out, and in, in the range.
const OUTBOUND: &str = "lan_only_outbound";
const INBOUND: &str = "lan_only_inbound";
const OFF_HOURS: &str = "lan_only_off_hours";
const HOSTS: SetNames = SetNames {
    v4: "lan_only_hosts4",
    v6: "lan_only_hosts6",
    mac: "lan_only_hosts_mac",
};
const EXCEPT_HOSTS: SetNames = SetNames {
    v4: "lan_only_except4",
    v6: "lan_only_except6",
    mac: "lan_only_except_mac",
};
const EXCEPT_LEARNED: [&str; 2] = ["lan_only_except_learned4", "lan_only_except_learned6"];
const EXCEPT_DESTS: [&str; 2] = ["lan_only_except_dests4", "lan_only_except_dests6"];
const OPENINGS: [&str; 2] = ["lan_only_openings4", "lan_only_openings6"];

/// How long an address learned from a MAC is remembered: longer than the usual DHCP lease is renewed.
const LEARNED_SECONDS: u32 = 86_400;
/// A host has a handful of addresses (IPv6 privacy addresses: one more a day); a liar in the LAN fills this and no more.
const LEARNED_SIZE: u32 = 1024;

struct SetNames {
    v4: &'static str,
    v6: &'static str,
    mac: &'static str,
}

/// The element that is the switch, and the pause.
#[must_use]
pub fn udp_element(timeout: Option<u32>) -> Element {
    Element {
        key: vec![Value::InetProto(UDP).into()],
        timeout,
    }
}

/// The set that holds the switch, as it is declared.
#[must_use]
pub fn switch_set() -> Set {
    configured(ON, &[Kind::InetProto], Vec::new())
}

/// The set that holds the pause, as it is declared.
#[must_use]
pub fn pause_set() -> Set {
    Set {
        timeout: Some(Timeout::PerElement),
        contents: Contents::List,
        ..configured(PAUSE, &[Kind::InetProto], Vec::new())
    }
}

/// As much of the table as is changed while running.
#[must_use]
pub fn switches() -> Table {
    Table {
        name: TABLE.into(),
        counters: Vec::new(),
        sets: vec![switch_set(), pause_set()],
        chains: Vec::new(),
    }
}

/// The sets of addresses behind the MACs of `host`, as they are declared while there are such hosts.
#[must_use]
pub fn learned_sets() -> [Set; 2] {
    [list(LEARNED[0], Kind::Ipv4Addr), list(LEARNED[1], Kind::Ipv6Addr)]
}

/// Learns the addresses behind a MAC, since what comes in from outside carries the host's address and not its MAC. In
/// prerouting, so that a host is known before it forwards anything: its first DNS or UPnP request to the router is enough. From the
/// sources' devices only: a neighbour on the WAN who sends by such a MAC must not teach us that a host is excepted.
pub(super) fn learn(lan_only: &LanOnly) -> Vec<Rule> {
    let mut rules = Vec::new();
    let learn = [
        (&lan_only.hosts, HOSTS.mac, LEARNED, "learn a host's addresses"),
        (
            &lan_only.except_hosts,
            EXCEPT_HOSTS.mac,
            EXCEPT_LEARNED,
            "learn an excepted host's addresses",
        ),
    ];
    for (hosts, macs, learned, comment) in learn {
        if hosts.macs.is_empty() {
            continue;
        }
        for incoming in device_matches(&lan_only.sources, SOURCE_DEVICES, Field::IifName) {
            for (set, field) in [(learned[0], Field::Ip4Saddr), (learned[1], Field::Ip6Saddr)] {
                let matches = incoming
                    .iter()
                    .cloned()
                    .chain([Match::In(vec![Field::EtherSaddr], macs.into())]);
                let mut statements: Vec<Statement> = matches.map(Statement::Match).gathered();
                statements.push(Statement::Element {
                    operation: Operation::Update,
                    set: set.into(),
                    key: vec![field],
                    timeout: None,
                });
                rules.push(rule(statements, comment));
            }
        }
    }
    rules
}

/// On the hook.
pub(super) fn entrance() -> Vec<Rule> {
    vec![
        answers(),
        rule(
            vec![
                Statement::Match(Match::Is(Field::L4Proto, Value::InetProto(UDP))),
                Statement::Goto("lan_only".into()),
            ],
            "UDP may be remote desktop",
        ),
    ]
}

/// The chains that are jumped to.
pub(super) fn chains(lan_only: &LanOnly) -> Vec<Chain> {
    let mut chains = vec![
        scope(lan_only),
        way(lan_only, Field::UdpDport, Field::IifName, "lan_only_out", OUTBOUND),
        outbound(lan_only),
    ];
    if lan_only.mirror {
        chains.push(way(lan_only, Field::UdpSport, Field::OifName, "lan_only_in", INBOUND));
        chains.push(inbound(lan_only));
    }
    chains
}

/// Who is meant at all. A packet that is not (QUIC, DNS) is to cost as little as can be: it is asked for one device and for its port here, and for the switch
/// and all the rest only if those are right.
fn scope(lan_only: &LanOnly) -> Chain {
    let to_wan = device_matches(&lan_only.dests, DEST_DEVICES, Field::OifName);
    // What leaves by a device that is on both sides may have come from outside all the same.
    let out = if lan_only.mirror && !are_apart(&lan_only.sources, &lan_only.dests) {
        Statement::Jump("lan_only_out".into())
    } else {
        Statement::Goto("lan_only_out".into())
    };
    let mut rules = entering(to_wan, &out, "to the WAN");
    if lan_only.mirror {
        let from_wan = device_matches(&lan_only.dests, DEST_DEVICES, Field::IifName);
        rules.extend(entering(
            from_wan,
            &Statement::Goto("lan_only_in".into()),
            "from the WAN",
        ));
    }
    chain("lan_only", rules)
}

/// Whether no device is on both sides, as far as names tell.
fn are_apart(sources: &Devices, dests: &Devices) -> bool {
    let (Devices::Only(sources), Devices::Only(dests)) = (sources, dests) else {
        return false;
    };
    let is_name = |device: &Device| matches!(device, Device::Named(_));
    sources.iter().chain(dests).all(is_name) && !sources.iter().any(|device| dests.contains(device))
}

/// The far end's port, then the LAN's device.
fn way(lan_only: &LanOnly, port: Field, device: Field, name: &str, to: &str) -> Chain {
    let mut rules = others(&lan_only.ports, port);
    let of_lan = device_matches(&lan_only.sources, SOURCE_DEVICES, device);
    rules.extend(entering(of_lan, &Statement::Goto(to.into()), "in the range"));
    chain(name, rules)
}

/// One rule for each alternative.
fn entering(alternatives: Vec<Vec<Match>>, last: &Statement, comment: &str) -> Vec<Rule> {
    let rules = alternatives
        .into_iter()
        .map(|matches| ending(matches, last.clone(), comment));
    rules.gathered()
}

/// What comes before everything that is about single hosts.
fn preliminaries(lan_only: &LanOnly) -> Vec<Rule> {
    let off = Match::NotIn(vec![Field::L4Proto], ON.into());
    let mut rules = vec![ending([off], Statement::Return, "LAN-only remote desktop is off")];
    // Before anything is counted: what passes in a pause or out of hours was not held back.
    rules.push(returns(vec![Field::L4Proto], PAUSE, "paused"));
    if lan_only.off_hours.is_some() {
        // Windows in which the mode is *off*: with the clock unset, or past the last window, it holds.
        rules.push(returns(vec![Field::Time], OFF_HOURS, "out of hours"));
    }
    rules
}

/// Lets all ports but these return. By comparisons, and not by a set of ranges: while a set is flushed and filled anew in one transaction, kernels
/// before Linux 6.17 may find nothing in it for a moment, and packets would escape (measured with Linux 6.1: 11 384 of a million in 200 reloads). Where an
/// exception is not found for that moment, a packet is dropped: those stay sets.
fn others(ports: &[PortRange], field: Field) -> Vec<Rule> {
    let mut ports = ports.to_vec();
    ports.sort_unstable_by_key(|range| range.from);
    let comment = others_comment(&ports);
    let returning = |matches: Vec<Match>| {
        let matches = matches.into_iter().map(Statement::Match);
        rule(matches.chain([Statement::Return]).gathered(), &comment)
    };
    // The first port behind the ranges that have been passed.
    let mut next = Some(0);
    let mut rules = Vec::new();
    for range in ports {
        let Some(free) = next.filter(|next| *next <= range.to) else {
            continue;
        };
        if free < range.from {
            let above = free.checked_sub(1).map(|last| Match::Above(field, last));
            rules.push(returning(
                above.into_iter().chain([Match::Below(field, range.from)]).gathered(),
            ));
        }
        next = range.to.checked_add(1);
    }
    if let Some(free) = next {
        let above = free.checked_sub(1).map(|last| Match::Above(field, last));
        rules.push(returning(above.into_iter().gathered()));
    }
    rules
}

/// Whoever reads the rules finds the ranges there, unless they are too many.
fn others_comment(ports: &[PortRange]) -> String {
    const LONGEST: usize = 90;
    let mut text = String::from("not in");
    for PortRange { from, to } in ports {
        text += &if from == to {
            format!(" {from}")
        } else {
            format!(" {from}-{to}")
        };
        if text.len() > LONGEST {
            return "not a port of remote desktop".into();
        }
    }
    text
}

/// What a host in the LAN sends out.
fn outbound(lan_only: &LanOnly) -> Chain {
    let mut rules = preliminaries(lan_only);
    for (family, field) in [(0, Field::Ip4Daddr), (1, Field::Ip6Daddr)] {
        if has_family(&lan_only.except_dests, family) {
            rules.push(returns(vec![field], EXCEPT_DESTS[family], "an excepted network"));
        }
    }
    for (field, set) in host_sets(&lan_only.except_hosts, &EXCEPT_HOSTS, Side::Source) {
        rules.push(returns(vec![field], set, "an excepted host"));
    }
    rules.extend(verdicts(lan_only, Side::Source, 0, "outbound"));
    chain(OUTBOUND, rules)
}

/// What comes in through a mapping, a full cone or a pinhole.
fn inbound(lan_only: &LanOnly) -> Chain {
    let mut rules = preliminaries(lan_only);
    // The user's own port forwards first: they are as wanted as the mode is.
    for (family, field) in [(0, Field::Ip4Daddr), (1, Field::Ip6Daddr)] {
        if lan_only
            .openings
            .iter()
            .any(|(network, _)| family_of(network) == family)
        {
            rules.push(returns(
                vec![field, Field::UdpDport],
                OPENINGS[family],
                "a port forward of the configuration",
            ));
        }
    }
    for (family, field) in [(0, Field::Ip4Saddr), (1, Field::Ip6Saddr)] {
        if has_family(&lan_only.except_dests, family) {
            rules.push(returns(vec![field], EXCEPT_DESTS[family], "an excepted network"));
        }
    }
    for (field, set) in host_sets(&lan_only.except_hosts, &EXCEPT_HOSTS, Side::Dest) {
        rules.push(returns(vec![field], set, "an excepted host"));
    }
    rules.extend(verdicts(lan_only, Side::Dest, 1, "inbound"));
    chain(INBOUND, rules)
}

/// Drop and count, or count only: for the whole zone, or host by host.
fn verdicts(lan_only: &LanOnly, side: Side, counter: usize, comment: &str) -> Vec<Rule> {
    let verdict = |before: Option<Match>| {
        let (counters, last) = if lan_only.observe {
            (OBSERVED, Statement::Return)
        } else {
            (DROPPED, Statement::Drop)
        };
        let mut statements: Vec<Statement> = before.into_iter().map(Statement::Match).gathered();
        statements.push(Statement::Counter(counters[counter].into()));
        statements.push(last);
        rule(statements, comment)
    };
    if lan_only.hosts.is_empty() {
        return vec![verdict(None)];
    }
    host_sets(&lan_only.hosts, &HOSTS, side)
        .into_iter()
        .map(|(field, set)| verdict(Some(Match::In(vec![field], set.into()))))
        .gathered()
}

/// On which side of the packet the LAN host stands.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Dest,
}

/// By which field and set the hosts are found. As a destination, a host that is named by MAC is found by the addresses learned.
fn host_sets(hosts: &Hosts, names: &SetNames, side: Side) -> Vec<(Field, &'static str)> {
    let learned = if names.mac == HOSTS.mac {
        LEARNED
    } else {
        EXCEPT_LEARNED
    };
    let (v4, v6) = match side {
        Side::Source => (Field::Ip4Saddr, Field::Ip6Saddr),
        Side::Dest => (Field::Ip4Daddr, Field::Ip6Daddr),
    };
    let mut found = Vec::new();
    if !hosts.v4.is_empty() {
        found.push((v4, names.v4));
    }
    if !hosts.v6.is_empty() {
        found.push((v6, names.v6));
    }
    match side {
        _ if hosts.macs.is_empty() => {}
        Side::Source => found.push((Field::EtherSaddr, names.mac)),
        Side::Dest => found.extend([(v4, learned[0]), (v6, learned[1])]),
    }
    found
}

/// Its sets. `on`: whether the switch is on.
pub(super) fn sets(lan_only: &LanOnly, on: bool) -> Vec<Set> {
    let mut sets = vec![
        // A set can hold a constant only by a field that is the same in every packet of interest: the protocol.
        Set {
            contents: Contents::Configuration(on.then(|| udp_element(None)).into_iter().gathered()),
            ..switch_set()
        },
        pause_set(),
    ];
    let devices = [(&lan_only.sources, SOURCE_DEVICES), (&lan_only.dests, DEST_DEVICES)];
    sets.gather(
        devices
            .into_iter()
            .filter_map(|(devices, name)| device_set(devices, name)),
    );
    if let Some(windows) = &lan_only.off_hours {
        let elements = windows.iter().map(|window| {
            element(vec![Range {
                from: Value::Time(window.from),
                to: Value::Time(window.to),
            }])
        });
        sets.push(ranges(OFF_HOURS, &[Kind::Time], elements.gathered()));
    }
    sets.extend(host_elements(&lan_only.hosts, &HOSTS, LEARNED));
    sets.extend(host_elements(&lan_only.except_hosts, &EXCEPT_HOSTS, EXCEPT_LEARNED));
    for (family, kind) in [(0, Kind::Ipv4Addr), (1, Kind::Ipv6Addr)] {
        let networks = lan_only
            .except_dests
            .iter()
            .filter(|network| family_of(network) == family);
        let elements: Vec<Element> = networks.map(|network| element(vec![subnet_range(network)])).gathered();
        if !elements.is_empty() {
            sets.push(ranges(EXCEPT_DESTS[family], &[kind], elements));
        }
        let openings = lan_only
            .openings
            .iter()
            .filter(|(network, _)| lan_only.mirror && family_of(network) == family);
        let elements: Vec<Element> = openings
            .map(|(network, ports)| element(vec![subnet_range(network), port_range(*ports)]))
            .gathered();
        if !elements.is_empty() {
            sets.push(ranges(OPENINGS[family], &[kind, Kind::InetService], elements));
        }
    }
    sets
}

fn host_elements(hosts: &Hosts, names: &SetNames, learned: [&str; 2]) -> Vec<Set> {
    let mut sets = Vec::new();
    if !hosts.v4.is_empty() {
        let elements = hosts
            .v4
            .iter()
            .map(|address| element(vec![Value::Ipv4Addr(*address).into()]));
        sets.push(configured(names.v4, &[Kind::Ipv4Addr], elements.gathered()));
    }
    if !hosts.v6.is_empty() {
        let elements = hosts
            .v6
            .iter()
            .map(|address| element(vec![Value::Ipv6Addr(*address).into()]));
        sets.push(configured(names.v6, &[Kind::Ipv6Addr], elements.gathered()));
    }
    if !hosts.macs.is_empty() {
        let elements = hosts
            .macs
            .iter()
            .map(|mac| element(vec![Value::EtherAddr(*mac).into()]));
        sets.push(configured(names.mac, &[Kind::EtherAddr], elements.gathered()));
        sets.extend([list(learned[0], Kind::Ipv4Addr), list(learned[1], Kind::Ipv6Addr)]);
    }
    sets
}

fn list(name: &str, kind: Kind) -> Set {
    Set {
        dynamic: true,
        timeout: Some(Timeout::Seconds(LEARNED_SECONDS)),
        size: Some(LEARNED_SIZE),
        contents: Contents::List,
        ..configured(name, &[kind], Vec::new())
    }
}

/// 0 for IPv4, 1 for IPv6: the index into the pairs of set names above.
fn family_of(network: &Subnet) -> usize {
    usize::from(network.address.is_ipv6())
}

fn has_family(networks: &[Subnet], family: usize) -> bool {
    networks.iter().any(|network| family_of(network) == family)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether a rule of [`others`] lets the port return.
    fn returns_to(rules: &[Rule], port: u16) -> bool {
        let holds = |statement: &Statement| match statement {
            Statement::Match(Match::Below(_, bound)) => port < *bound,
            Statement::Match(Match::Above(_, bound)) => port > *bound,
            Statement::Return => true,
            other => panic!("{other:?}"),
        };
        rules.iter().any(|rule| rule.statements.iter().all(holds))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_ports_but_the_ranges_return(bounds in prop::collection::vec((any::<u16>(), 0..3000_u16), 0..6), edges in any::<[bool; 2]>()) {
            let mut ranges: Vec<PortRange> = bounds.iter().map(|(from, more)| PortRange { from: *from, to: from.saturating_add(*more) }).collect();
            if edges[0] {
                ranges.push(PortRange { from: 0, to: 0 });
            }
            if edges[1] {
                ranges.push(PortRange { from: u16::MAX, to: u16::MAX });
            }
            let rules = others(&ranges, Field::UdpDport);
            for port in 0..=u16::MAX {
                let is_meant = ranges.iter().any(|range| (range.from..=range.to).contains(&port));
                prop_assert_eq!(returns_to(&rules, port), !is_meant, "{}: {:?}", port, ranges);
            }
        }
    }
}
