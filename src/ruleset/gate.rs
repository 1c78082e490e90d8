//! The gates in the table: who is listed, who proves what, who gets the mark.

mod lists;
mod sessions;

pub use lists::{counter_names, listed, lists, List};
pub(super) use lists::{families, gate_lists, sources};
pub(super) use sessions::own as own_sessions;

use super::parts::{address, chain, configured, device_matches, element, ending, rule};
use super::{knock, spa, WAN};
use crate::gather::{Gather, GatherInto};
use crate::nft::{
    tcp_flag, Bits, Chain, Direction, Element, Family, Field, Kind, Mark, Match, Operation, Reject, Rule, Set, State,
    Statement, Value,
};
use crate::policy::{Gate, Gates, Refusal, Witness};
use std::net::Ipv6Addr;

/// The NFLOG group that copies of what admits and removes go to.
pub const GROUP: u16 = 7477;
/// Bytes of a packet that are copied: the IP header, with the addresses.
pub const SNAPLEN: u32 = 64;
/// Copies in a second, and at once. The daemon tells still less; a set that is full, and a source that comes back, make none.
const COPIES: (u32, u32) = (20, 50);

/// What a rule is made of.
pub(super) type Statements = Vec<Statement>;

/// What a copy's prefix says.
pub const ADMIT: &str = "lanward admit";
/// A closed session has taken its source off the list.
pub const REMOVE: &str = "lanward remove";
/// A session was closed, and the daemon has to see whether it was the source's last.
pub const CLOSED: &str = "lanward closed";

const PORTS: &str = "gate_ports";
const TCP: u8 = 6;
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

pub(super) fn counters(gates: &Gates) -> Vec<String> {
    gates.list.iter().flat_map(counter_names).gathered()
}

pub(super) fn sets(gates: &Gates) -> Vec<Set> {
    if gates.list.is_empty() {
        return Vec::new();
    }
    let mut watched: Vec<u16> = Vec::new();
    for gate in &gates.list {
        watched.extend(gate.ports.iter().flatten());
        watched.extend(gate.hosts.iter().map(|(_, port)| *port));
        watched.extend(gate.witnesses.iter().map(|witness| witness.port));
    }
    let mut sets = vec![configured(PORTS, &[Kind::InetService], port_elements(&watched))];
    for gate in &gates.list {
        sets.extend(lists(gate).into_iter().map(|(_, _, set)| set));
        for (family, ports) in gate.ports.iter().enumerate().filter(|(_, ports)| !ports.is_empty()) {
            sets.push(configured(
                &ports_set(gate, family),
                &[Kind::InetService],
                port_elements(ports),
            ));
        }
        if !gate.hosts.is_empty() {
            let elements = gate
                .hosts
                .iter()
                .map(|(host, port)| element(vec![Value::Ipv6Addr(*host).into(), Value::InetService(*port).into()]));
            sets.push(configured(
                &hosts_set(gate),
                &[Kind::Ipv6Addr, Kind::InetService],
                elements.gathered(),
            ));
        }
        for witness in &gate.witnesses {
            for (family, kind) in [Kind::Ipv4Addr, Kind::Ipv6Addr].into_iter().enumerate() {
                let dests = witness.dests.iter().filter(|dest| dest.is_ipv6() == (family == 1));
                let elements: Vec<Element> = dests.map(|dest| element(address(*dest))).gathered();
                if !elements.is_empty() {
                    sets.push(configured(&dests_set(witness, family), &[kind], elements));
                }
            }
        }
    }
    sets.extend(spa::sets(gates));
    sets.extend(knock::sets(gates));
    sets
}

fn port_elements(ports: &[u16]) -> Vec<Element> {
    ports
        .iter()
        .map(|port| element(vec![Value::InetService(*port).into()]))
        .gathered()
}

fn ports_set(gate: &Gate, family: usize) -> String {
    format!("gate_ports{}_{}", [4, 6][family], gate.key)
}

fn hosts_set(gate: &Gate) -> String {
    format!("gate_hosts6_{}", gate.key)
}

fn dests_set(witness: &Witness, family: usize) -> String {
    format!("witness_dests{}_{}", [4, 6][family], witness.key)
}

/// From the hook: one lookup of a port lets all other traffic go.
pub(super) fn entrance(gates: &Gates) -> Vec<Rule> {
    if gates.list.is_empty() {
        return Vec::new();
    }
    let incoming = device_matches(&gates.wan, WAN, Field::IifName).into_iter();
    let rules = incoming.map(|device| {
        let watched = Match::In(vec![Field::TcpDport], PORTS.into());
        let matches = [watched].into_iter().chain(device);
        ending(
            matches,
            Statement::Jump("gate".into()),
            "TCP from the WAN to a port of a gate",
        )
    });
    rules.gathered()
}

/// What proves an address by itself, whatever its port, among what begins on the WAN.
pub(super) fn arrival(gates: &Gates) -> Vec<Rule> {
    [spa::arrival(gates), knock::arrival(gates)].concat()
}

/// The chains that are jumped to.
pub(super) fn chains(gates: &Gates) -> Vec<Chain> {
    if gates.list.is_empty() {
        return Vec::new();
    }
    let mut chains = vec![dispatch(gates)];
    chains.extend(knock::chains(gates));
    for gate in &gates.list {
        for witness in &gate.witnesses {
            chains.push(proof(gate, witness));
            let prefix = format!("{ADMIT} {} {}", gate.name, witness.name);
            chains.push(chain(&proof_copy(witness), copies(gates, &prefix)));
        }
        chains.push(guard(gate, gates.mark));
        if gate.shut {
            continue;
        }
        chains.push(sessions::session(gate));
        chains.extend(sessions::closing(gate, gates));
    }
    chains.extend(sessions::chains(gates));
    let belts = [
        ("gate_to_router", to_router as fn(&Gate) -> Vec<Rule>),
        ("gate_to_lan", to_lan),
    ];
    chains.extend(belts.map(|(name, rules)| chain(name, gates.list.iter().flat_map(rules).gathered())));
    chains
}

/// Whose port it is.
fn dispatch(gates: &Gates) -> Chain {
    let mut rules = Vec::new();
    for gate in &gates.list {
        for witness in &gate.witnesses {
            rules.extend(proofs(witness));
        }
    }
    rules.gather(sessions::entrance(gates));
    // What needs no look at the routes comes before what does: over IPv6 that look costs more than all the rest.
    for gate in &gates.list {
        let guard = || Statement::Goto(guard_name(gate));
        rules.extend(to_hosts(gate).map(|to_host| ending([to_host], guard(), "guarded on a LAN host")));
    }
    for gate in &gates.list {
        for matches in to_ports(gate) {
            // A packet that is only passing through to some host's port 22 is not meant.
            let matches = matches.into_iter().chain([Match::ToThisMachine]);
            let guard = Statement::Goto(guard_name(gate));
            rules.push(ending(matches, guard, "guarded on the router"));
        }
    }
    chain("gate", rules)
}

/// To the gate's LAN hosts, if it has any.
fn to_hosts(gate: &Gate) -> Option<Match> {
    let to_host = || Match::In(vec![Field::Ip6Daddr, Field::TcpDport], hosts_set(gate));
    (!gate.hosts.is_empty()).then(to_host)
}

/// To the gate's ports, by family.
fn to_ports(gate: &Gate) -> impl Iterator<Item = [Match; 2]> + '_ {
    let families = gate.ports.iter().enumerate().filter(|(_, ports)| !ports.is_empty());
    families.map(|(family, _)| {
        [
            Match::Family(FAMILIES[family]),
            Match::In(vec![Field::TcpDport], ports_set(gate, family)),
        ]
    })
}

/// Which packets prove their source: those of a connection whose handshake is complete. To conntrack everything is established that comes after our
/// side's SYN-ACK: the RST with which a scanner answers it, and (since Linux 6.1, which lets an ACK "under the lower bound" pass) every other ACK that
/// somebody guesses who sends by another's address. Only a third segment that fits makes the connection assured. Neither SYN nor FIN nor RST, for
/// they come from whoever closes.
fn proofs(witness: &Witness) -> Vec<Rule> {
    let port = Match::Is(Field::TcpDport, Value::InetService(witness.port));
    let places: Vec<Match> = match witness.dests.is_empty() {
        true => vec![Match::ToThisMachine],
        false => [(0, Field::Ip4Daddr), (1, Field::Ip6Daddr)]
            .into_iter()
            .filter(|(family, _)| witness.dests.iter().any(|dest| dest.is_ipv6() == (*family == 1)))
            .map(|(family, field)| Match::In(vec![field], dests_set(witness, family)))
            .gathered(),
    };
    let among = tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST;
    let mut proves = vec![
        Match::TcpFlags(Bits::Exactly { among, set: 0 }),
        Match::State(vec![State::Established]),
        Match::StatusAssured,
        Match::Direction(Direction::Original),
    ];
    if witness.min_bytes > 0 {
        let least = u64::from(witness.min_bytes);
        proves.extend([Direction::Original, Direction::Reply].map(|way| Match::Bytes(way, least)));
    }
    let rules = places.into_iter().map(|place| {
        let matches = [port.clone()].into_iter().chain(proves.iter().cloned()).chain([place]);
        ending(
            matches,
            Statement::Jump(proof_name(witness)),
            "a connection that proves its source",
        )
    });
    rules.gathered()
}

/// Puts the source on the list, or begins its window anew.
fn proof(gate: &Gate, witness: &Witness) -> Chain {
    let [admitted, _, overflow] = counter_names(gate);
    let mut rules = Vec::new();
    for (family, source) in families(gate) {
        let set = List::Seen.set(gate, family);
        rules.extend(not_a_network(gate, family));
        let window = |operation| Statement::Element {
            operation,
            set: set.clone(),
            key: vec![source],
            timeout: Some(gate.window),
        };
        // Listed already: most packets end here. A rule that is full of a set ends where it is full, so what follows is not reached then.
        rules.push(rule(
            vec![is_in(source, &set), window(Operation::Update), Statement::Return],
            "seen again",
        ));
        let admit = vec![
            Statement::Match(Match::Family(FAMILIES[family])),
            window(Operation::Add),
            Statement::Counter(admitted.clone()),
            Statement::Goto(proof_copy(witness)),
        ];
        rules.push(rule(admit, "proved"));
        let turned_away = vec![
            Statement::Match(Match::Family(FAMILIES[family])),
            Statement::Counter(overflow.clone()),
            Statement::Return,
        ];
        rules.push(rule(turned_away, "the list is full"));
    }
    chain(&proof_name(witness), rules)
}

/// Who gets the mark.
fn guard(gate: &Gate, mark: u32) -> Chain {
    let mut rules = Vec::new();
    // One of a gate that is open, and complete, has gone to `gate_begun`. Half-open it neither refreshes nor removes: by a listed address's SYN, sent by
    // somebody else, its RST must not take it off the list.
    rules.push(ending(
        sessions::begun(),
        Statement::Return,
        "a session that has begun is never held up",
    ));
    rules.push(invalid(gate));
    // Whatever has set the bit before, it is ours from here on.
    rules.push(rule(
        vec![Statement::ClearMark(Mark::Packet, mark)],
        "not listed until found",
    ));
    for (_, source, set) in gate_lists(gate) {
        let begins = Match::State(vec![State::New, State::Related, State::Established, State::Untracked]);
        rules.push(rule(
            vec![
                is_in(source, &set),
                Statement::Match(begins),
                Statement::SetMark(Mark::Packet, mark),
                Statement::Return,
            ],
            "listed: the firewall may accept",
        ));
    }
    let [_, refused, _] = counter_names(gate);
    let count = Statement::Counter(refused);
    match gate.refuse {
        None => {
            rules.push(rule(vec![count], "the firewall refuses as anybody"));
            // What conntrack calls established it would accept.
            let begun = vec![Match::State(vec![State::Established])];
            rules.push(refusing(begun, Vec::new(), gate.belt[0]));
        }
        Some(refusal) => rules.push(refusing(Vec::new(), vec![count], refusal)),
    }
    chain(&guard_name(gate), rules)
}

/// What conntrack cannot place. With an ACK (or RST) it may be a stray of a session that goes on, which a reset would end: the firewall sees to it.
/// Without one it is a probe, and is answered as a closed port would.
fn invalid(gate: &Gate) -> Rule {
    let mut matches = vec![Match::State(vec![State::Invalid])];
    if gate.refuse.is_some() {
        matches.insert(0, Match::TcpFlags(Bits::Any(tcp_flag::ACK | tcp_flag::RST)));
    }
    ending(matches, Statement::Return, "not ours to judge")
}

/// After fw4: what begins a connection to a guarded service and has come so far without the mark, or a probe that belongs to none. A rule that accepts
/// without asking for the state would let that one reach the service, which answers otherwise than a closed port.
pub(super) fn belt(gates: &Gates) -> [Vec<Rule>; 2] {
    ["gate_to_router", "gate_to_lan"].map(|target| {
        if gates.list.is_empty() {
            return Vec::new();
        }
        let unmarked = Match::Mark(
            Mark::Packet,
            Bits::Exactly {
                among: gates.mark,
                set: 0,
            },
        );
        let probe = Bits::Exactly {
            among: tcp_flag::ACK | tcp_flag::RST,
            set: 0,
        };
        let judged = [
            [
                Match::State(vec![State::New, State::Related, State::Untracked]),
                Match::Is(Field::L4Proto, Value::InetProto(TCP)),
            ],
            [Match::State(vec![State::Invalid]), Match::TcpFlags(probe)],
        ];
        let mut rules = Vec::new();
        for device in device_matches(&gates.wan, WAN, Field::IifName) {
            rules.extend(judged.iter().cloned().map(|judged| {
                let matches = judged
                    .into_iter()
                    .chain([unmarked.clone()])
                    .chain(device.iter().cloned());
                ending(matches, Statement::Jump(target.into()), "accepted without the mark")
            }));
        }
        rules
    })
}

/// The port as the service has it, so that a redirect from another port is no way around.
fn to_router(gate: &Gate) -> Vec<Rule> {
    to_ports(gate)
        .map(|matches| refusing(matches.to_vec(), Vec::new(), gate.belt[0]))
        .gathered()
}

/// Over IPv4 the port before destination NAT, over IPv6 the host itself.
fn to_lan(gate: &Gate) -> Vec<Rule> {
    let mut rules = Vec::new();
    if gate.has_family(0) {
        let matches = vec![
            Match::Is(Field::L4Proto, Value::InetProto(TCP)),
            Match::Family(Family::Ipv4),
            Match::StatusDnat,
            Match::In(vec![Field::CtDport], ports_set(gate, 0)),
        ];
        // It was sent to an address of the router, and is refused as anything that is.
        rules.push(refusing(matches, Vec::new(), gate.belt[0]));
    }
    rules.extend(to_hosts(gate).map(|to_host| refusing(vec![to_host], Vec::new(), gate.belt[1])));
    rules
}

fn refusing(mut matches: Vec<Match>, before: Vec<Statement>, refusal: Refusal) -> Rule {
    let last = match refusal {
        Refusal::Drop => Statement::Drop,
        Refusal::Reset => Statement::Reject(Reject::TcpReset),
    };
    let says_tcp = matches.iter().any(|condition| {
        matches!(condition, Match::Is(Field::L4Proto, _)) || condition.fields().contains(&Field::TcpDport)
    });
    if refusal == Refusal::Reset && !says_tcp {
        matches.insert(0, Match::Is(Field::L4Proto, Value::InetProto(TCP)));
    }
    let statements = matches.into_iter().map(Statement::Match).chain(before).chain([last]);
    rule(statements.gathered(), "not listed")
}

/// Where networks are listed: all neighbours on the WAN's wire have addresses of the one network fe80::/64, and one would prove all.
pub(super) fn not_a_network(gate: &Gate, family: usize) -> Option<Rule> {
    let is_link_local = Match::Is(
        Field::Ip6SaddrNet(10),
        Value::Ipv6Addr(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)),
    );
    (family == 1 && gate.prefix6 < 128).then(|| ending([is_link_local], Statement::Return, "not a network to list"))
}

pub(super) fn is_in(field: Field, set: &str) -> Statement {
    Statement::Match(Match::In(vec![field], set.into()))
}

/// A copy for the daemon, which the packet does not wait for.
pub(super) fn copies(gates: &Gates, prefix: &str) -> Vec<Rule> {
    if !gates.copies {
        return Vec::new();
    }
    let (rate, burst) = COPIES;
    vec![rule(
        vec![
            Statement::Limit { rate, burst },
            Statement::Log {
                group: GROUP,
                snaplen: SNAPLEN,
                prefix: prefix.into(),
            },
        ],
        "tell the daemon",
    )]
}

fn guard_name(gate: &Gate) -> String {
    format!("gate_guard_{}", gate.key)
}

fn session_name(gate: &Gate) -> String {
    format!("gate_session_{}", gate.key)
}

fn closing_name(gate: &Gate) -> String {
    format!("gate_closing_{}", gate.key)
}

fn closing_copy(gate: &Gate) -> String {
    format!("gate_closed_{}", gate.key)
}

fn proof_name(witness: &Witness) -> String {
    format!("witness_proves_{}", witness.key)
}

fn proof_copy(witness: &Witness) -> String {
    format!("witness_proved_{}", witness.key)
}
