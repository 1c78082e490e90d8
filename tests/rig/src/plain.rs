//! A firewall for a house on a machine without nft: what fw4's table decides, said by lanward's own types and applied over nfnetlink. There is
//! no NAT in it, so that IPv4 is routed as IPv6 is, and no redirect; how it refuses is the same.

use crate::house::{Interface, REDIRECTED_PORT, ROUTER_PORT};
use crate::settings::{self, Firewall, Refusal};
use lanward::nft::{Base, Bits, Chain, Family, Field, Hook, Mark, Match, Reject, Rule, State, Statement, Table, Value};
use serde_json::Value as Json;

/// `IPPROTO_ICMP`
const ICMP: u8 = 1;
/// `IPPROTO_TCP`
const TCP: u8 = 6;
/// `IPPROTO_ICMPV6`
const ICMPV6: u8 = 58;

/// fw4's table for these interfaces.
#[must_use]
pub fn fw4(interfaces: &[Interface], firewall: &Firewall) -> Table {
    let zones = settings::zones(interfaces);
    let (mut input, mut forward) = (
        vec![rule([device(Field::IifName, "lo"), Statement::Accept])],
        Vec::new(),
    );
    for chain in [&mut input, &mut forward] {
        let known = Match::State(vec![State::Established, State::Related]);
        chain.push(rule([Statement::Match(known), Statement::Accept]));
    }
    for (zone, to, members) in &zones {
        for member in members {
            let from = device(Field::IifName, &member.l3_device);
            let to = zones.iter().filter(|(other, ..)| to.contains(other));
            for leaves in to.flat_map(|(_, _, members)| members) {
                let to = device(Field::OifName, &leaves.l3_device);
                forward.push(rule([from.clone(), to, Statement::Accept]));
            }
            if *zone == "wan" {
                input.push(rule([from.clone(), Statement::Jump("input_wan".into())]));
                forward.push(rule([from, Statement::Jump("forward_wan".into())]));
            } else {
                input.push(rule([from, Statement::Accept]));
            }
        }
    }
    input.push(refuses(Refusal::Reject));
    forward.push(refuses(firewall.default_forward));
    let published = |to_hosts: bool| {
        let ways = firewall.services.iter().chain(&firewall.user);
        ways.filter(move |way| way["type"] == "rule" && way["dest"].is_string() == to_hosts)
            .map(way_in)
    };
    let mut input_wan: Vec<Rule> = published(false).collect();
    input_wan.extend([
        rule([is(Field::L4Proto, Value::InetProto(ICMP)), Statement::Accept]),
        rule([is(Field::L4Proto, Value::InetProto(ICMPV6)), Statement::Accept]),
        rule([is(Field::UdpDport, Value::InetService(ROUTER_PORT)), Statement::Accept]),
        refuses(firewall.input),
    ]);
    let mut forward_wan: Vec<Rule> = published(true).collect();
    let v6 = Statement::Match(Match::Family(Family::Ipv6));
    forward_wan.extend([
        rule([is(Field::L4Proto, Value::InetProto(ICMPV6)), Statement::Accept]),
        rule([
            v6,
            is(Field::UdpDport, Value::InetService(REDIRECTED_PORT)),
            Statement::Accept,
        ]),
    ]);
    Table {
        name: "fw4".into(),
        counters: Vec::new(),
        sets: Vec::new(),
        chains: vec![
            chain("handle_reject", None, refusal()),
            chain("input_wan", None, input_wan),
            chain("forward_wan", None, forward_wan),
            chain("input", Some(Hook::Input), input),
            chain("forward", Some(Hook::Forward), forward),
        ],
    }
}

fn chain(name: &str, hook: Option<Hook>, rules: Vec<Rule>) -> Chain {
    let base = hook.map(|hook| Base { hook, priority: 0 });
    Chain {
        name: name.into(),
        base,
        rules,
    }
}

fn rule(statements: impl Into<Vec<Statement>>) -> Rule {
    Rule {
        statements: statements.into(),
        comment: "the house's".into(),
    }
}

fn is(field: Field, value: Value) -> Statement {
    Statement::Match(Match::Is(field, value))
}

fn device(field: Field, name: &str) -> Statement {
    is(field, Value::Ifname(name.into()))
}

fn refuses(how: Refusal) -> Rule {
    rule([match how {
        Refusal::Reject => Statement::Goto("handle_reject".into()),
        Refusal::Drop => Statement::Drop,
    }])
}

fn refusal() -> Vec<Rule> {
    let tcp = is(Field::L4Proto, Value::InetProto(TCP));
    vec![
        rule([tcp, Statement::Reject(Reject::TcpReset)]),
        rule([Statement::Reject(Reject::PortUnreachable)]),
    ]
}

/// The rule that fw4 makes of a way in from the WAN.
fn way_in(section: &Json) -> Rule {
    let get = |name: &str| section[name].as_str();
    let mut statements = Vec::new();
    match get("dest_ip").map(|address| address.parse().expect("dest_ip is an address")) {
        Some(std::net::IpAddr::V4(address)) => statements.push(is(Field::Ip4Daddr, Value::Ipv4Addr(address))),
        Some(std::net::IpAddr::V6(address)) => statements.push(is(Field::Ip6Daddr, Value::Ipv6Addr(address))),
        None => {}
    }
    match get("family") {
        Some("ipv4") => statements.push(Statement::Match(Match::Family(Family::Ipv4))),
        Some("ipv6") => statements.push(Statement::Match(Match::Family(Family::Ipv6))),
        _ => {}
    }
    let port = get("dest_port").and_then(|port| port.parse().ok()).expect("one port");
    statements.push(is(Field::TcpDport, Value::InetService(port)));
    if let Some(mark) = get("mark") {
        let (set, among) = mark.split_once('/').unwrap_or((mark, "0xffffffff"));
        let number = |text: &str| {
            let digits = text.strip_prefix("0x").expect("marks are hexadecimal");
            u32::from_str_radix(digits, 16).expect("marks are hexadecimal")
        };
        let bits = Bits::Exactly {
            among: number(among),
            set: number(set),
        };
        statements.push(Statement::Match(Match::Mark(Mark::Packet, bits)));
    }
    statements.push(Statement::Accept);
    rule(statements)
}
