//! How often, from where and at which port strangers tried.
//!
//! The kernel counts ([`crate::ruleset::ledger`]), [`counts`] makes of its readings what is new, [`book`] puts that into the router's local hours and days,
//! [`store`] keeps them and writes them down, [`views`] answers questions.

pub mod book;
pub mod counts;
pub mod day;
pub mod outliers;
pub mod store;
pub mod views;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What somebody tried: a protocol, and its port where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The number of the IP protocol.
    pub protocol: u8,
    /// Of TCP and UDP; else 0.
    pub port: u16,
}

/// Whose attempts they are, as far as they are told apart. Ordered, so that readings can be compared in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// `None`: of all sources together.
    pub source: Option<IpAddr>,
    /// What was tried.
    pub service: Service,
}

/// Attempts of some stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempts {
    /// All of them. The subjects are some of them, twice: once with their source and once without.
    pub total: u64,
    /// In order.
    pub subjects: Vec<(Subject, u64)>,
}

impl Attempts {
    /// Nothing was tried.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.total == 0 && self.subjects.is_empty()
    }

    /// Adds another stretch's.
    pub fn add(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        for (subject, attempts) in &other.subjects {
            add_to(&mut self.subjects, *subject, *attempts);
        }
        self.bound();
    }

    /// Leaves the largest subjects, which are enough for what is written down of a day in the end.
    pub fn bound(&mut self) {
        keep_largest(&mut self.subjects, MOST_SUBJECTS);
        // What a flood was read in is much larger, and there may be 64 of them.
        self.subjects.shrink_to_fit();
    }

    /// Leaves out who it was: an IPv4 address becomes its /24, an IPv6 address its /48.
    pub fn mask(&mut self) {
        for (subject, attempts) in std::mem::take(&mut self.subjects) {
            let source = subject.source.map(masked);
            add_to(&mut self.subjects, Subject { source, ..subject }, attempts);
        }
    }
}

/// Of one stretch that waits in memory, with many others.
const MOST_SUBJECTS: usize = 512;

/// The network instead of the address: /24 of IPv4, /48 of IPv6.
#[must_use]
pub fn masked(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::from((address.to_bits() & !0xff).to_be_bytes()),
        IpAddr::V6(address) => IpAddr::from((address.to_bits() & !(u128::MAX >> 48)).to_be_bytes()),
    }
}

/// Adds to a number in a list in order of its keys.
pub(crate) fn add_to<K: Ord>(list: &mut Vec<(K, u64)>, key: K, more: u64) {
    match list.binary_search_by(|(known, _)| known.cmp(&key)) {
        Ok(at) => list[at].1 = list[at].1.saturating_add(more),
        Err(at) => list.insert(at, (key, more)),
    }
}

/// The greater of what a list in order of its keys has and this.
pub(crate) fn raise_to<K: Ord>(list: &mut Vec<(K, u64)>, key: K, least: u64) {
    match list.binary_search_by(|(known, _)| known.cmp(&key)) {
        Ok(at) => list[at].1 = list[at].1.max(least),
        Err(at) => list.insert(at, (key, least)),
    }
}

/// Leaves the largest in a list in order of its keys, in that order. Of equals the first ones stay.
pub(crate) fn keep_largest<K: Ord + Copy>(list: &mut Vec<(K, u64)>, most: usize) {
    if list.len() <= most {
        return;
    }
    list.sort_unstable_by_key(|(key, number)| (Reverse(*number), *key));
    list.truncate(most);
    list.sort_unstable_by_key(|(key, _)| *key);
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// IANA's names, in small letters.
const PROTOCOLS: &[(u8, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipip"),
    (TCP, "tcp"),
    (UDP, "udp"),
    (33, "dccp"),
    (41, "ipv6"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (89, "ospf"),
    (103, "pim"),
    (112, "vrrp"),
    (115, "l2tp"),
    (132, "sctp"),
    (136, "udplite"),
];

/// The number of an IP protocol: written as its name, or as a number where it has none here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PROTOCOLS.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = PROTOCOLS.iter().find(|(_, name)| text.eq_ignore_ascii_case(name));
        let number = named.map(|(number, _)| *number).or_else(|| text.parse().ok());
        let unknown =
            || format!("'{text}' is no protocol: tcp, udp, icmp, icmpv6 or another name, or a number from 0 to 255");
        number.map(Self).ok_or_else(unknown)
    }
}

impl Service {
    /// Only TCP and UDP have ports here.
    #[must_use]
    pub fn of(protocol: u8, port: u16) -> Self {
        let port = if matches!(protocol, TCP | UDP) { port } else { 0 };
        Self { protocol, port }
    }
}
