//! Who is listed: the sets of a gate that hold sources.

use crate::gather::Gather;
use crate::nft::{Contents, Element, Field, Kind, Set, Timeout};
use crate::policy::Gate;
use crate::ruleset::parts::{address, configured};
use std::net::IpAddr;

/// The lists that a gate has for each family: one for each kind of proof, so that none shortens what another has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Filled from the packet path: each packet that proves or keeps up a session begins the window anew.
    Seen,
    /// Grants with a time of their own, that no packet shortens.
    Grant,
    /// Filled from the packet path by a knock; only where there is one.
    Knock,
    /// The same by a knock that opens until it is closed.
    Open,
    /// Who sent an authenticated packet; only where there is a key.
    Spa,
}

impl List {
    /// Those that a gate has.
    pub fn of(gate: &Gate) -> impl Iterator<Item = Self> + '_ {
        let all = [Self::Seen, Self::Grant, Self::Knock, Self::Open, Self::Spa];
        all.into_iter().filter(|list| match list {
            Self::Seen | Self::Grant => true,
            Self::Knock => gate.knocks.iter().any(|knock| knock.config.seconds > 0),
            Self::Open => gate.knocks.iter().any(|knock| knock.config.seconds == 0),
            Self::Spa => !gate.spas.is_empty(),
        })
    }

    /// The set's name for a family (0: IPv4, 1: IPv6).
    #[must_use]
    pub fn set(self, gate: &Gate, family: usize) -> String {
        let word = match self {
            Self::Seen => "gate",
            Self::Grant => "grant",
            Self::Knock => "knock",
            Self::Open => "open",
            Self::Spa => "spa",
        };
        format!("{word}{}_{}", [4, 6][family.min(1)], gate.key)
    }
}

/// Admissions, refusals, and what a full list turned away.
#[must_use]
pub fn counter_names(gate: &Gate) -> [String; 3] {
    ["admitted", "refused", "overflow"].map(|word| format!("gate_{word}_{}", gate.key))
}

/// The lists of a gate, as they are declared, with their families.
#[must_use]
pub fn lists(gate: &Gate) -> Vec<(List, usize, Set)> {
    let mut lists = Vec::new();
    for family in (0..2).filter(|family| !gate.shut && gate.has_family(*family)) {
        for list in List::of(gate) {
            let timeout = match list {
                List::Seen => Timeout::Seconds(gate.window),
                List::Grant | List::Knock | List::Open | List::Spa => Timeout::PerElement,
            };
            lists.push((list, family, sources(&list.set(gate, family), family, timeout, gate)));
        }
    }
    lists
}

/// A set of sources that is filled while running.
pub(in crate::ruleset) fn sources(name: &str, family: usize, timeout: Timeout, gate: &Gate) -> Set {
    let kind = [Kind::Ipv4Addr, Kind::Ipv6Addr][family.min(1)];
    Set {
        dynamic: true,
        timeout: Some(timeout),
        size: Some(gate.size),
        contents: Contents::List,
        ..configured(name, &[kind], Vec::new())
    }
}

/// An element of such a list.
#[must_use]
pub fn listed(source: IpAddr, timeout: Option<u32>) -> Element {
    Element {
        key: address(source),
        timeout,
    }
}

/// The families that a gate has lists for, with the source as they hold it.
pub(in crate::ruleset) fn families(gate: &Gate) -> Vec<(usize, Field)> {
    let source6 = match gate.prefix6 {
        128.. => Field::Ip6Saddr,
        bits => Field::Ip6SaddrNet(bits),
    };
    let both = [(0, Field::Ip4Saddr), (1, source6)];
    both.into_iter()
        .filter(|(family, _)| !gate.shut && gate.has_family(*family))
        .gathered()
}

/// All of a gate's lists, with the source as they hold it.
pub(in crate::ruleset) fn gate_lists(gate: &Gate) -> Vec<(List, Field, String)> {
    let all = families(gate)
        .into_iter()
        .flat_map(|(family, source)| List::of(gate).map(move |list| (list, source, list.set(gate, family))));
    all.gathered()
}
