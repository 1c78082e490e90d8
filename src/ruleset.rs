//! The whole table on one page, in packet order. The order *between* the systems is the security property; each line says why it stands where it
//! stands. The rules of one system are in its file beside this one.
//!
//! ```text
//!   prerouting (mangle, -150)   after conntrack (-200), whose state and direction every rule here asks for; before destination NAT (-100), so
//!                               that ports and addresses are as seen from the WAN
//!     lan_only: learn the addresses of hosts that are named by MAC         only if there are such hosts
//!     arrival: what begins on the WAN, with one comparison for all that has begun
//!       ledger: it is counted                                               only if it is enabled
//!         before everything that refuses, so that what is refused has been counted
//!       spa, knock: it may prove an address                                 only if a gate has such a proof
//!         before the gate: what proves an address must count before the address is judged; the packets go on as any others
//!     gate: TCP from the WAN to a port that is guarded or a witness's       only if a gate is enabled
//!       witnesses first: a port may be both, and what proves an address must count before the address is judged
//!       then the guarded services: whoever is listed gets the mark; `reset` and `drop` refuse the others here, so that a flood never gets as
//!       far as a conntrack entry; in `zone` they go on without the mark, to be refused as anybody
//!   forward (filter - 5)        lan_only: before fw4's forward chain, and so before flow offload can take the flow out of sight
//!   fw4 (filter)                accepts what has the mark, by the rules that `lanward fw4-rules` gives it: without us nobody gets in
//!   input (filter + 5)          gate: a session of the router's own guarded service keeps its source listed, or ends that. Only here, and not in
//!                               prerouting: what arrives is for the router, which would be a look at the routes there
//!   input, forward (filter + 5) gate: what fw4 has accepted without the mark came by a rule that is not ours, and is refused all the same
//!                               ledger: what has come so far was accepted, and is counted as that; behind the gate, whose refusals are attempts
//! ```
//!
//! What most packets meet is as little as can be. Measured, in nanoseconds: a comparison 12 to 16, a hook 20 (over IPv6 40), a device's name 37, a lookup in a
//! set 40 to 80 more. So most packets leave at the first rule of each hook, and lookups stand behind comparisons.
//!
//! Everything that happens while running is a set element; so the rules are constant.

pub mod gate;
pub mod knock;
mod lan_only;
pub mod ledger;
mod parts;
pub mod spa;

pub use lan_only::{learned_sets, pause_set, switch_set, switches, udp_element, DROPPED, LEARNED, OBSERVED, ON, PAUSE};

use crate::gather::{Gather, GatherInto};
use crate::nft::{Base, Chain, Contents, Field, Hook, Kind, Match, Range, Rule, Set, State, Statement, Table, Value};
use crate::policy::Policy;
use parts::device_matches;
use std::net::IpAddr;

/// The table's name, family `inet`.
pub const TABLE: &str = "lanward";

/// `mangle`: after conntrack, before destination NAT.
pub const PREROUTING_PRIORITY: i32 = -150;
/// `filter - 5`: before fw4's forward chain and its flow offload.
pub const FORWARD_PRIORITY: i32 = -5;
/// `filter + 5`: after fw4's chains.
pub const BEHIND_PRIORITY: i32 = 5;

/// Where what begins on the WAN is counted, and may prove its source.
const ARRIVAL: &str = "arrival";
/// The WAN's devices, for gates and ledger.
const WAN: &str = "wan_devices";

/// Whether a set is a list of sources that is read while running. The stages of knocks are not: nobody is listed there.
#[must_use]
pub fn is_list(set: &Set) -> bool {
    set.contents == Contents::List
        && matches!(set.key[..], [Kind::Ipv4Addr | Kind::Ipv6Addr])
        && !set.name.starts_with(knock::STAGES)
}

/// The address that an element of a set of addresses holds.
#[must_use]
pub fn address_of(key: &[Range]) -> Option<IpAddr> {
    match key.first()?.from {
        Value::Ipv4Addr(address) => Some(address.into()),
        Value::Ipv6Addr(address) => Some(address.into()),
        _ => None,
    }
}

/// Lays out the table. `on`: whether the switch is on (it is not part of the policy, since it is turned without one).
#[must_use]
pub fn lay_out(policy: &Policy, on: bool) -> Table {
    let (lan_only, gates) = (&policy.lan_only, &policy.gates);
    let watches = policy.ledger || !gates.list.is_empty();
    let [seen, accepted] = ledger::COUNTERS;
    let from_wan = || device_matches(&gates.wan, WAN, Field::IifName);
    let mut arrival: Vec<Rule> = policy
        .ledger
        .then(|| ledger::begins(seen, Vec::new()))
        .into_iter()
        .gathered();
    arrival.extend(gate::arrival(gates));
    let mut counters: Vec<String> = DROPPED.iter().chain(&OBSERVED).map(ToString::to_string).gathered();
    counters.extend(gate::counters(gates));
    let mut sets = lan_only::sets(lan_only, on);
    sets.gather(parts::device_set(&gates.wan, WAN).filter(|_| watches));
    sets.extend(gate::sets(gates));

    let mut before_nat = lan_only::learn(lan_only);
    before_nat.extend(watches.then(parts::answers));
    for device in from_wan().into_iter().filter(|_| !arrival.is_empty()) {
        let matches = [Match::State(vec![State::New, State::Untracked])]
            .into_iter()
            .chain(device);
        before_nat.push(parts::ending(
            matches,
            Statement::Jump(ARRIVAL.into()),
            "what begins on the WAN",
        ));
    }
    before_nat.extend(gate::entrance(gates));
    let behind = gate::belt(gates).map(|belt| {
        let counted = from_wan().into_iter().filter(|_| policy.ledger);
        let counted = counted.map(|device| ledger::begins(accepted, device));
        let begun = watches.then(parts::begun);
        begun.into_iter().chain(belt).chain(counted).gathered()
    });
    let [to_router, to_lan] = behind;
    let to_router = [gate::own_sessions(gates), to_router].concat();
    let hooked = [
        ("prerouting", Hook::Prerouting, PREROUTING_PRIORITY, before_nat),
        ("forward", Hook::Forward, FORWARD_PRIORITY, lan_only::entrance()),
        ("behind_input", Hook::Input, BEHIND_PRIORITY, to_router),
        ("behind_forward", Hook::Forward, BEHIND_PRIORITY, to_lan),
    ];
    // A hook without rules would still cost every packet a call.
    let mut chains: Vec<Chain> = hooked
        .into_iter()
        .filter(|(.., rules)| !rules.is_empty())
        .map(|(name, hook, priority, rules)| base(name, hook, priority, rules))
        .gathered();
    chains.extend(lan_only::chains(lan_only));
    if !arrival.is_empty() {
        chains.push(parts::chain(ARRIVAL, arrival));
    }
    chains.extend(gate::chains(gates));
    if policy.ledger {
        counters.extend(ledger::counters());
        sets.extend(ledger::sets());
        chains.extend(ledger::chains(gates));
    }
    Table {
        name: TABLE.into(),
        counters,
        sets,
        chains,
    }
}

fn base(name: &str, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain {
        name: name.into(),
        base: Some(Base { hook, priority }),
        rules,
    }
}
