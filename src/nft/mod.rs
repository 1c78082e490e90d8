//! nftables' language as types: tables, chains, sets, rules. Knows nothing of lanward.
//!
//! One value, two renderings: [`text`] prints it as `nft list` does, [`netlink`] encodes it as the messages that `nft` would send.
//! [`Table::check`] says what neither rendering can express.

mod check;
mod element;
pub mod netlink;
pub mod text;

pub use check::{is_ifname, Fault};

use std::net::{Ipv4Addr, Ipv6Addr};

/// `IPPROTO_TCP`
const TCP: u8 = 6;
/// `IPPROTO_UDP`
const UDP: u8 = 17;

/// A table of the `inet` family, with everything in it, in the order it is listed.
///
/// Names are made of letters, digits and `_`. nft's text has no way to quote one, so that a word of its language (`list`, `limit`, `devices` ...) is
/// none: give names that come from outside a prefix with `_`.
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
    /// In order; matches first, and at least one statement.
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
    /// `update @SET { FIELDS timeout … }`, or `add`, or `delete`. A full set refuses what would be new, and the rule ends there: the packet
    /// *goes on with the next rule*.
    Element {
        /// What happens to the element.
        operation: Operation,
        /// The set's name.
        set: String,
        /// The key, as many fields as the set's key has types.
        key: Vec<Field>,
        /// Seconds, for an element that is added or refreshed; `None`: the set's own timeout.
        timeout: Option<u32>,
    },
    /// `add @SET { FIELDS counter }`: counts the packet at the element, which is added if it is not there. A full set refuses what would be new, and
    /// the rule ends there: the packet *goes on with the next rule*.
    Count {
        /// The set's name.
        set: String,
        /// The key, as many fields as the set's key has types.
        key: Vec<Field>,
    },
    /// `meta mark set meta mark | BITS`: sets these bits and keeps the others.
    SetMark(Mark, u32),
    /// `meta mark set meta mark & ~BITS`: clears these bits and keeps the others.
    ClearMark(Mark, u32),
    /// `log prefix "PREFIX" group GROUP snaplen SNAPLEN`: a copy to who listens to the NFLOG group; the packet goes on.
    Log {
        /// The group's number.
        group: u16,
        /// Bytes of the packet that are copied, from its IP header on.
        snaplen: u32,
        /// At most 127 bytes, no quotes, no `$` (nft looks for variables there).
        prefix: String,
    },
    /// `limit rate RATE/second burst BURST packets`: goes on to the next statement while there are not more.
    Limit {
        /// Packets in a second.
        rate: u32,
        /// Packets at once.
        burst: u32,
    },
    /// `reject with …`: drops and answers. Final.
    Reject(Reject),
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

/// What the packet path does to a set's element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Adds it; if it is there already, its timeout goes on.
    Add,
    /// Adds it, or begins its timeout anew.
    Update,
    /// Takes it out, if it is there.
    Delete,
}

/// How a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// `tcp reset`; the rule must ask for TCP.
    TcpReset,
    /// `icmpx port-unreachable`: of ICMP or ICMPv6, as the packet is.
    PortUnreachable,
}

/// The two marks that netfilter keeps for whoever wants to use their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// `meta mark`: the packet's, gone with it.
    Packet,
    /// `ct mark`: the connection's.
    Connection,
}

/// What is asked of some bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// `& BITS != 0`: at least one of these is set.
    Any(u32),
    /// `& AMONG == SET`: of the bits `among`, those in `set` are set and the others are not.
    Exactly {
        /// Which bits are looked at.
        among: u32,
        /// Which of them are set.
        set: u32,
    },
}

/// TCP's flags as [`Bits`] (RFC 9293, 3.1).
#[allow(missing_docs)]
pub mod tcp_flag {
    pub const FIN: u32 = 0x01;
    pub const SYN: u32 = 0x02;
    pub const RST: u32 = 0x04;
    pub const PSH: u32 = 0x08;
    pub const ACK: u32 = 0x10;
    pub const URG: u32 = 0x20;
    /// ECE, `ecn` in nft.
    pub const ECN: u32 = 0x40;
    pub const CWR: u32 = 0x80;
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// `FIELD VALUE`
    Is(Field, Value),
    /// `iifname "tun*"`: the name begins so (the field must be of kind `Ifname`).
    BeginsWith(Field, String),
    /// `FIELD < PORT` (the field must be of kind `InetService`)
    Below(Field, u16),
    /// `FIELD > PORT` (likewise)
    Above(Field, u16),
    /// `FIELD @SET`, several fields joined by ` . `
    In(Vec<Field>, String),
    /// `FIELD != @SET`
    NotIn(Vec<Field>, String),
    /// `ct direction original` or `reply`
    Direction(Direction),
    /// `ct status dnat`
    StatusDnat,
    /// `ct status assured`: for TCP, a handshake whose third segment fits the other two, or a connection taken up in its middle that both ends go on with.
    StatusAssured,
    /// `ct status & (assured | dnat) == assured`: that, and its destination is what it was sent to.
    StatusAssuredNoDnat,
    /// `ct state STATE`, any of them
    State(Vec<State>),
    /// `meta nfproto ipv4` or `ipv6`
    Family(Family),
    /// `tcp flags & …`
    TcpFlags(Bits),
    /// `meta mark & …` or `ct mark & …`
    Mark(Mark, Bits),
    /// `ct original bytes >= N`, or `ct reply`: what the connection has carried that way, with the packet that is looked at. Nothing is counted,
    /// and nothing matches, unless conntrack keeps accounts (`net.netfilter.nf_conntrack_acct`).
    Bytes(Direction, u64),
    /// `fib daddr type local`: the destination is an address of this machine.
    ToThisMachine,
    /// `fib daddr type != …`: the destination is not of that kind, whatever the link says of the frame.
    NotTo(Many),
}

/// Destinations that are many machines at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Many {
    Broadcast,
    Multicast,
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
    /// `ip6 saddr & MASK`: its first bits, as many as said (1 to 127); the others are zero.
    Ip6SaddrNet(u8),
    /// `ip6 daddr & MASK`
    Ip6DaddrNet(u8),
    /// `ct original ip saddr`: who opened the connection, whichever way the packet goes.
    CtIp4Saddr,
    /// `ct original ip daddr`: where it was opened to, before destination NAT.
    CtIp4Daddr,
    /// `ct original ip6 saddr`
    CtIp6Saddr,
    /// `ct original ip6 daddr`
    CtIp6Daddr,
    /// `ct original ip6 saddr & MASK`
    CtIp6SaddrNet(u8),
    /// `ct original proto-dst`: the port it was opened to, before destination NAT; the rule must have asked for TCP or UDP before.
    CtDport,
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

impl Kind {
    /// Bytes that a value takes, before padding to a register's four.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Kind::InetProto => 1,
            Kind::InetService => 2,
            Kind::Ipv4Addr => 4,
            Kind::EtherAddr => 6,
            Kind::Time => 8,
            Kind::Ipv6Addr | Kind::Ifname => 16,
        }
    }
}

impl Value {
    /// Which type it is of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Value::Ipv4Addr(_) => Kind::Ipv4Addr,
            Value::Ipv6Addr(_) => Kind::Ipv6Addr,
            Value::EtherAddr(_) => Kind::EtherAddr,
            Value::InetService(_) => Kind::InetService,
            Value::InetProto(_) => Kind::InetProto,
            Value::Ifname(_) => Kind::Ifname,
            Value::Time(_) => Kind::Time,
        }
    }
}

impl From<Value> for Range {
    fn from(value: Value) -> Self {
        Range {
            from: value.clone(),
            to: value,
        }
    }
}

impl Range {
    /// Whether it is one value.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.from == self.to
    }
}

impl Field {
    /// The type of what is looked at.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Field::IifName | Field::OifName => Kind::Ifname,
            Field::L4Proto => Kind::InetProto,
            Field::Time => Kind::Time,
            Field::EtherSaddr => Kind::EtherAddr,
            Field::Ip4Saddr | Field::Ip4Daddr | Field::CtIp4Saddr | Field::CtIp4Daddr => Kind::Ipv4Addr,
            Field::Ip6Saddr | Field::Ip6Daddr | Field::CtIp6Saddr | Field::CtIp6Daddr => Kind::Ipv6Addr,
            Field::Ip6SaddrNet(_) | Field::Ip6DaddrNet(_) | Field::CtIp6SaddrNet(_) => Kind::Ipv6Addr,
            Field::UdpSport | Field::UdpDport | Field::TcpSport | Field::TcpDport | Field::CtDport => Kind::InetService,
        }
    }

    /// The address family that a packet must be of to have it.
    #[must_use]
    pub fn family(self) -> Option<Family> {
        match self.kind() {
            Kind::Ipv4Addr => Some(Family::Ipv4),
            Kind::Ipv6Addr => Some(Family::Ipv6),
            _ => None,
        }
    }

    /// Whether conntrack knows it, so that nothing need be known of the packet's headers.
    #[must_use]
    pub fn is_of_connection(self) -> bool {
        use Field::{CtDport, CtIp4Daddr, CtIp4Saddr, CtIp6Daddr, CtIp6Saddr};
        matches!(
            self.whole().0,
            CtIp4Saddr | CtIp4Daddr | CtIp6Saddr | CtIp6Daddr | CtDport
        )
    }

    /// The field without its mask, and how many bits the mask leaves.
    #[must_use]
    pub fn whole(self) -> (Field, Option<u8>) {
        match self {
            Field::Ip6SaddrNet(bits) => (Field::Ip6Saddr, Some(bits)),
            Field::Ip6DaddrNet(bits) => (Field::Ip6Daddr, Some(bits)),
            Field::CtIp6SaddrNet(bits) => (Field::CtIp6Saddr, Some(bits)),
            field => (field, None),
        }
    }

    /// The number of the IP protocol that a packet must be of to have it.
    #[must_use]
    pub fn protocol(self) -> Option<u8> {
        match self {
            Field::TcpSport | Field::TcpDport => Some(TCP),
            Field::UdpSport | Field::UdpDport => Some(UDP),
            _ => None,
        }
    }
}

impl Match {
    /// The fields it looks at.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self {
            Match::Is(field, _) | Match::BeginsWith(field, _) => std::slice::from_ref(field),
            Match::Below(field, _) | Match::Above(field, _) => std::slice::from_ref(field),
            Match::In(fields, _) | Match::NotIn(fields, _) => fields,
            Match::StatusDnat | Match::StatusAssured | Match::StatusAssuredNoDnat => &[],
            Match::Direction(_) | Match::State(_) | Match::Family(_) => &[],
            Match::TcpFlags(_) | Match::Mark(..) | Match::Bytes(..) | Match::ToThisMachine => &[],
            Match::NotTo(_) => &[],
        }
    }
}

impl Statement {
    /// The fields it looks at.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self {
            Statement::Match(condition) => condition.fields(),
            Statement::Element { key, .. } | Statement::Count { key, .. } => key,
            _ => &[],
        }
    }

    /// The numbers of the IP protocols that a packet must be of to have what it looks at.
    pub fn protocols(&self) -> impl Iterator<Item = u8> + '_ {
        let flags = matches!(self, Statement::Match(Match::TcpFlags(_))).then_some(TCP);
        self.fields().iter().filter_map(|field| field.protocol()).chain(flags)
    }
}

impl Bits {
    /// Which bits are looked at.
    #[must_use]
    pub fn mask(self) -> u32 {
        match self {
            Bits::Any(mask) | Bits::Exactly { among: mask, .. } => mask,
        }
    }
}

/// The mask that leaves an address its first bits, as the rules have it.
pub(crate) fn mask6(bits: u8) -> Ipv6Addr {
    let rest = u32::from(128u8.saturating_sub(bits));
    u128::MAX.checked_shl(rest).unwrap_or_default().into()
}

impl Table {
    /// The set of that name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

impl Set {
    /// The elements that are configuration, as both renderings take them: in order, without duplicates, and where the set holds
    /// ranges, overlapping and adjoining ones joined (the kernel refuses overlaps). A list has none.
    #[must_use]
    pub fn elements(&self) -> Vec<Element> {
        match &self.contents {
            Contents::Configuration(elements) => element::disjoint(self, elements),
            Contents::List => Vec::new(),
        }
    }

    /// Whether its key is a concatenation.
    #[must_use]
    pub fn is_concatenation(&self) -> bool {
        self.key.len() > 1
    }
}
