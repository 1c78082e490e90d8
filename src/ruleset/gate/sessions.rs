//! The sessions of guarded services in the table: each packet keeps its source listed, and the last takes it off.
//!
//! Most packets of a listed source are of these, so they are asked little. Where the destination was translated, or is a LAN host's own address, the
//! session is seen to in `prerouting`, where its ports are as sent. The router's own services are seen to in `input`: what arrives there is for the
//! router, which in `prerouting` would be a look at the routes (150 to 290 ns).

use super::{
    chain, closing_copy, closing_name, copies, device_matches, ending, families, gate_lists, is_in, rule, session_name,
    tcp_flag, to_hosts, to_ports, List, CLOSED, PORTS, REMOVE, WAN,
};
use crate::config::Forget;
use crate::gather::Gather;
use crate::nft::{Bits, Chain, Direction, Field, Match, Operation, Rule, State, Statement};
use crate::policy::{Gate, Gates};

/// Sessions as they are met in `prerouting`.
const BEGUN: &str = "gate_begun";
/// Those of the router's own services, in `input`.
const OWN: &str = "gate_sessions";

/// To conntrack a SYN belongs to a session whose entry outlives it, too; and related is what a helper expects, which begins with a SYN.
pub(super) fn begun() -> [Match; 2] {
    [
        Match::State(vec![State::Established]),
        Match::TcpFlags(Bits::Any(tcp_flag::ACK | tcp_flag::RST)),
    ]
}

/// From the gate's chain.
pub(super) fn entrance(gates: &Gates) -> Option<Rule> {
    open(gates).next()?;
    let complete = begun().into_iter().chain([Match::StatusAssured]);
    Some(ending(complete, Statement::Goto(BEGUN.into()), "a session"))
}

/// From `input`, behind the firewall: what was sent to the router itself.
pub(in crate::ruleset) fn own(gates: &Gates) -> Vec<Rule> {
    if open(gates).all(|gate| to_ports(gate).next().is_none()) {
        return Vec::new();
    }
    let rules = device_matches(&gates.wan, WAN, Field::IifName)
        .into_iter()
        .map(|device| {
            let matches = begun().into_iter().chain([
                Match::StatusAssuredNoDnat,
                Match::Direction(Direction::Original),
                Match::In(vec![Field::TcpDport], PORTS.into()),
            ]);
            let last = Statement::Goto(OWN.into());
            ending(matches.chain(device), last, "a session of the router's own service")
        });
    rules.gathered()
}

/// Whose session it is, on either way.
pub(super) fn chains(gates: &Gates) -> Vec<Chain> {
    let (mut seen, mut own) = (Vec::new(), Vec::new());
    for gate in open(gates) {
        let session = || Statement::Goto(session_name(gate));
        seen.extend(to_hosts(gate).map(|to_host| ending([to_host], session(), "guarded on a LAN host")));
        for matches in to_ports(gate) {
            let redirected = [Match::StatusDnat].into_iter().chain(matches.clone());
            seen.push(ending(redirected, session(), "guarded, and redirected"));
            own.push(ending(matches, session(), "guarded on the router"));
        }
    }
    let chains = [(BEGUN, seen), (OWN, own)].into_iter();
    chains
        .filter(|(_, rules)| !rules.is_empty())
        .map(|(name, rules)| chain(name, rules))
        .gathered()
}

fn open(gates: &Gates) -> impl Iterator<Item = &Gate> {
    gates.list.iter().filter(|gate| !gate.shut)
}

/// A session of a guarded service keeps its source listed, or ends that.
pub(super) fn session(gate: &Gate) -> Chain {
    let mut rules = Vec::new();
    if gate.forget != Forget::Never {
        let closes = Match::TcpFlags(Bits::Any(tcp_flag::FIN | tcp_flag::RST));
        rules.push(ending(
            [closes],
            Statement::Goto(closing_name(gate)),
            "the session ends",
        ));
    }
    for (family, source) in families(gate) {
        let set = List::Seen.set(gate, family);
        let update = Statement::Element {
            operation: Operation::Update,
            set: set.clone(),
            key: vec![source],
            timeout: Some(gate.window),
        };
        rules.push(rule(vec![is_in(source, &set), update], "seen again"));
    }
    chain(&session_name(gate), rules)
}

/// What the end of a session does to its source.
pub(super) fn closing(gate: &Gate, gates: &Gates) -> Vec<Chain> {
    let (word, deletes) = match gate.forget {
        Forget::Never => return Vec::new(),
        Forget::FirstFin => (REMOVE, true),
        Forget::LastClose => (CLOSED, false),
    };
    let mut rules = Vec::new();
    for (_, source, set) in gate_lists(gate) {
        let mut statements = vec![is_in(source, &set)];
        statements.extend(deletes.then(|| Statement::Element {
            operation: Operation::Delete,
            set: set.clone(),
            key: vec![source],
            timeout: None,
        }));
        statements.push(Statement::Jump(closing_copy(gate)));
        rules.push(rule(statements, "of a listed source"));
    }
    let copied = copies(gates, &format!("{word} {}", gate.name));
    vec![chain(&closing_name(gate), rules), chain(&closing_copy(gate), copied)]
}
