//! nftables' language as types: tables, chains, sets, rules. Knows nothing of lanward.
//!
//! One value, two renderings: [`text`] prints it as `nft list` does, [`netlink`] encodes it as the messages that `nft` would send.

pub mod netlink;
pub mod text;

use std::net::{Ipv4Addr, Ipv6Addr};

/// A table of the `inet` family, with everything in it, in the order it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Named counters.
    pub counters: Vec<String>,
    /// Named sets.
    pub sets: Vec<Set>,
    /// Chains. A chain that is jumped to may stand before or behind the one that jumps.
    pub chains: Vec<Chain>,
}

/// A named set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name, at most 31 bytes (kernels before 4.14 take no more; OpenWrt's take 255).
    pub name: String,
    /// The key's types: one, or several for a concatenation.
    pub key: Vec<Kind>,
    /// Elements are ranges (`flags interval`).
    pub interval: bool,
    /// Elements may come from the packet path (`flags dynamic`).
    pub dynamic: bool,
    /// Elements may have a timeout (`flags timeout`), and the default for those that come without one, in seconds.
    pub timeout: Option<Timeout>,
    /// The largest number of elements.
    pub size: Option<u32>,
    /// What is in it.
    pub contents: Contents,
}

/// A set's `flags timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Each element brings its own, or none.
    PerElement,
    /// The default, in seconds.
    Seconds(u32),
}

/// Who owns a set's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// The configuration: flushed and set again with every apply.
    Configuration(Vec<Element>),
    /// A list: filled while running; an apply leaves its elements and their remaining time alone.
    List,
}

/// An element: one range for each part of the key (a single value where both ends are equal).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// As many as the set's key has types.
    pub key: Vec<Range>,
    /// Seconds until the kernel takes it out.
    pub timeout: Option<u32>,
}

/// Both ends belong to it. Both are of one [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Range {
    pub from: Value,
    pub to: Value,
}

/// A range of ports; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct PortRange {
    pub from: u16,
    pub to: u16,
}

/// nftables' data types, as far as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `ipv4_addr`
    Ipv4Addr,
    /// `ipv6_addr`
    Ipv6Addr,
    /// `ether_addr`
    EtherAddr,
    /// `inet_service`
    InetService,
    /// `inet_proto`
    InetProto,
    /// `ifname`
    Ifname,
    /// `typeof meta time`: seconds since 1970 here, nanoseconds in the kernel.
    Time,
}

/// A value of one of the [`Kind`]s.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Value {
    Ipv4Addr(Ipv4Addr),
    Ipv6Addr(Ipv6Addr),
    EtherAddr([u8; 6]),
    InetService(u16),
    InetProto(u8),
    Ifname(String),
    /// Seconds since 1970-01-01 00:00:00 UTC.
    Time(u64),
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets come in; `None` for a chain that is only jumped to.
    pub base: Option<Base>,
    /// In packet order.
    pub rules: Vec<Rule>,
}

/// What makes a chain a base chain: `type filter hook HOOK priority PRIORITY; policy accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Base {
    pub hook: Hook,
    pub priority: i32,
}

/// netfilter's hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// A rule: all statements up to the first that does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// In order; matches first.
    pub statements: Vec<Statement>,
    /// `comment "…"`: at most 127 bytes, no quotes.
    pub comment: String,
}

/// One statement of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Goes on to the next statement if the comparison holds.
    Match(Match),
    /// `counter name "NAME"`
    Counter(String),
    /// `update @SET { FIELDS timeout … }` (the set's own timeout): adds or refreshes. A full set refuses and the rule *goes on with the next rule*.
    Update {
        /// The set's name.
        set: String,
        /// The key, as many fields as the set's key has types.
        key: Vec<Field>,
    },
    /// `jump CHAIN`
    Jump(String),
    /// `goto CHAIN`
    Goto(String),
    /// `return`
    Return,
    /// `accept`: not final, the next base chain on the hook still decides.
    Accept,
    /// `drop`: final.
    Drop,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// `FIELD VALUE`
    Is(Field, Value),
    /// `iifname "tun*"`: the name begins so (the field must be of kind `Ifname`).
    BeginsWith(Field, String),
    /// `FIELD @SET`, several fields joined by ` . `
    In(Vec<Field>, String),
    /// `FIELD != @SET`
    NotIn(Vec<Field>, String),
    /// `ct direction original` or `reply`
    Direction(Direction),
    /// `ct status dnat`
    StatusDnat,
    /// `ct state STATE`, any of them
    State(Vec<State>),
    /// `meta nfproto ipv4` or `ipv6`
    Family(Family),
}

/// What of a packet is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `iifname`
    IifName,
    /// `oifname`
    OifName,
    /// `meta l4proto`
    L4Proto,
    /// `meta time`
    Time,
    /// `ether saddr`
    EtherSaddr,
    /// `ip saddr`
    Ip4Saddr,
    /// `ip daddr`
    Ip4Daddr,
    /// `ip6 saddr`
    Ip6Saddr,
    /// `ip6 daddr`
    Ip6Daddr,
    /// `udp sport`
    UdpSport,
    /// `udp dport`
    UdpDport,
    /// `tcp sport`
    TcpSport,
    /// `tcp dport`
    TcpDport,
}

/// Which way a packet goes, seen from who opened its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Direction {
    Original,
    Reply,
}

/// Address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// Conntrack's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Invalid,
    Established,
    Related,
    New,
    Untracked,
}
