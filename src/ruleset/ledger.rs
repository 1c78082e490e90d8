//! The ledger in the table: what begins on the WAN is counted when it comes and again when the firewall has accepted it; the difference is what
//! nothing accepted. Counting is all that happens: nothing reaches the daemon but a sample, and no packet's way depends on it.
//!
//! The two counters tell how many there were, whatever happens to the sets; the sets tell to which ports and from whom, as far as there is room.

use super::gate::{GROUP, SNAPLEN};
use super::parts::{chain, configured, ending, rule};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::nft::{Chain, Contents, Family, Field, Kind, Many, Match, Rule, Set, State, Statement, Value};
use crate::policy::Gates;

/// What begins on the WAN, and what of it the firewall has accepted.
pub const COUNTERS: [&str; 2] = ["ledger_seen", "ledger_accepted"];
/// What a copy's prefix says.
pub const SAMPLE: &str = "lanward attempt";

/// Copies in a second, and at once: a live table for people needs no more.
const COPIES: (u32, u32) = (1, 10);
/// Elements of a set of what comes: some 130 bytes of the kernel's memory each. The daemon takes out what is idle before they are full.
pub const SIZE: u32 = 1024;
/// Of a set of what was accepted. While it is full, what it does not hold may have been accepted.
pub const ACCEPTED_SIZE: u32 = 2048;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a set tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// TCP and UDP by port.
    Port,
    /// Every other protocol: there is no port.
    Protocol,
    /// TCP and UDP by source and port.
    SourcePort(Family),
    /// Every other protocol by source.
    SourceProtocol(Family),
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Port,
        Self::Protocol,
        Self::SourcePort(Family::Ipv4),
        Self::SourcePort(Family::Ipv6),
        Self::SourceProtocol(Family::Ipv4),
        Self::SourceProtocol(Family::Ipv6),
    ];

    /// The sets of that key: of what comes, and of what was accepted.
    #[must_use]
    pub fn sets(self) -> [String; 2] {
        let name = match self {
            Self::Port => "ports",
            Self::Protocol => "protocols",
            Self::SourcePort(Family::Ipv4) => "ports4",
            Self::SourcePort(Family::Ipv6) => "ports6",
            Self::SourceProtocol(Family::Ipv4) => "protocols4",
            Self::SourceProtocol(Family::Ipv6) => "protocols6",
        };
        COUNTERS.map(|counter| format!("{counter}_{name}"))
    }

    fn kinds(self) -> Vec<Kind> {
        let source = self.source().map(Field::kind);
        let port = matches!(self, Self::Port | Self::SourcePort(_)).then_some(Kind::InetService);
        source.into_iter().chain([Kind::InetProto]).chain(port).gathered()
    }

    fn source(self) -> Option<Field> {
        match self {
            Self::Port | Self::Protocol => None,
            Self::SourcePort(Family::Ipv4) | Self::SourceProtocol(Family::Ipv4) => Some(Field::Ip4Saddr),
            Self::SourcePort(Family::Ipv6) | Self::SourceProtocol(Family::Ipv6) => Some(Field::Ip6Saddr),
        }
    }

    fn fields(self, port: Option<Field>) -> Vec<Field> {
        self.source().into_iter().chain([Field::L4Proto]).chain(port).gathered()
    }
}

pub(super) fn counters() -> Vec<String> {
    COUNTERS.map(String::from).to_vec()
}

/// A set that counts.
#[must_use]
pub fn set(key: Key, name: &str) -> Set {
    Set {
        dynamic: true,
        size: Some(if name.starts_with(COUNTERS[0]) {
            SIZE
        } else {
            ACCEPTED_SIZE
        }),
        contents: Contents::List,
        ..configured(name, &key.kinds(), Vec::new())
    }
}

/// Every set that counts, with what it tells apart.
pub fn counting_sets() -> impl Iterator<Item = (Key, Set)> {
    Key::ALL
        .into_iter()
        .flat_map(|key| key.sets().map(|name| (key, set(key, &name))))
}

pub(super) fn sets() -> Vec<Set> {
    counting_sets().map(|(_, set)| set).gathered()
}

/// What begins, at the first look at it and the last. Not what is for many at once: nobody tries at a door with it, and it would be accepted as often as
/// it is sent on, which hides as many attempts. By its address: on a PPP link every frame seems to be for this machine alone.
pub(super) fn begins(counter: &str, from: Vec<Match>) -> Rule {
    let to_one = [Many::Multicast, Many::Broadcast].map(Match::NotTo);
    let matches = [Match::State(vec![State::New])].into_iter().chain(from).chain(to_one);
    ending(matches, Statement::Jump(counter.into()), "what begins on the WAN")
}

pub(super) fn chains(gates: &Gates) -> Vec<Chain> {
    let [seen, accepted] = COUNTERS;
    let mut chains = counting(seen, &[Field::TcpDport, Field::UdpDport], gates);
    // Destination NAT may have changed the port.
    chains.extend(counting(accepted, &[Field::CtDport, Field::CtDport], gates));
    chains
}

/// The chain of a counter: TCP, UDP, and the rest.
fn counting(counter: &str, ports: &[Field; 2], gates: &Gates) -> Vec<Chain> {
    let mut rules = vec![rule(vec![Statement::Counter(counter.into())], "how many")];
    rules.gather(sample(gates).filter(|_| counter == COUNTERS[0]));
    let mut chains = Vec::new();
    for (protocol, port, word) in [(TCP, ports[0], "tcp"), (UDP, ports[1], "udp")] {
        let name = format!("{counter}_{word}");
        let is_of = Match::Is(Field::L4Proto, Value::InetProto(protocol));
        rules.push(ending([is_of.clone()], Statement::Goto(name.clone()), word));
        let keys = [Key::Port, Key::SourcePort(Family::Ipv4), Key::SourcePort(Family::Ipv6)];
        let counts = keys.map(|key| count(counter, key, Some((is_of.clone(), port))));
        chains.push(chain(&name, counts.to_vec()));
    }
    let keys = [
        Key::Protocol,
        Key::SourceProtocol(Family::Ipv4),
        Key::SourceProtocol(Family::Ipv6),
    ];
    rules.gather(keys.map(|key| count(counter, key, None)));
    chains.insert(0, chain(counter, rules));
    chains
}

/// One element's count. (Not only where the other set has it: to look an element up counts at it as well.)
fn count(counter: &str, key: Key, port: Option<(Match, Field)>) -> Rule {
    let [seen, accepted] = key.sets();
    let (protocol, port) = port.unzip();
    let count = Statement::Count {
        set: if counter == COUNTERS[0] { seen } else { accepted },
        key: key.fields(port),
    };
    ending(protocol, count, "which")
}

/// A copy of some, for who looks on. Whether the firewall accepts them is not known yet: the daemon leaves out what it has accepted.
fn sample(gates: &Gates) -> Option<Rule> {
    let (rate, burst) = COPIES;
    let log = Statement::Log {
        group: GROUP,
        snaplen: SNAPLEN,
        prefix: SAMPLE.into(),
    };
    gates
        .copies
        .then(|| rule(vec![Statement::Limit { rate, burst }, log], "a sample"))
}
