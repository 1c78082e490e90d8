//! The gates' lists: who is on them, since when and for how long, as far as it is known here. The kernel holds the truth; this is what survives the
//! loss of its table, and what tells that somebody came or went.

mod events;
mod fw4;
mod sessions;

pub use events::{Attempt, Heard, Progress, Teller, Told};
pub use fw4::{rules as fw4_rules, NAME as FW4_RULE_NAME};
pub use sessions::{Alive, Interest, Sessions};

use crate::gather::Gather;
use crate::network::quoted;
use crate::nft::{mask6, netlink::Edit};
use crate::policy::{Gate, Gates};
use crate::ruleset::gate::{self as rules, List};
use crate::sorted::Map;
use std::net::{IpAddr, Ipv4Addr};

/// An element of a list as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The source; for a gate with `prefix6` 64 its network's first address.
    pub address: IpAddr,
    /// Milliseconds until the kernel takes it out; `None`: never.
    pub left: Option<u64>,
}

/// The kernel's lists by the sets' names.
pub type Readings = Map<String, Vec<Listed>>;

/// What is known of all gates' lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists(Vec<OfGate>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct OfGate {
    gate: String,
    /// Sorted by address, then list; none twice.
    entries: Vec<Entry>,
}

/// Who put a source on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Origin {
    Witness,
    Hand,
    Knock,
    Spa,
}

impl Origin {
    /// Those that a list says by itself: whoever is on the first one was put there by a packet, or by hand without a time.
    fn of(list: List) -> Option<Self> {
        match list {
            List::Seen => None,
            List::Grant => Some(Self::Hand),
            List::Knock | List::Open => Some(Self::Knock),
            List::Spa => Some(Self::Spa),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Hand => "hand",
            Self::Knock => "knock",
            Self::Spa => "spa",
        }
    }
}

/// A source on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As in [`Listed`].
    pub address: IpAddr,
    /// Which list.
    pub list: List,
    /// Monotonic milliseconds at which it ends, as far as was seen; `None`: never.
    pub ends: Option<u64>,
    /// Who put it there, as far as this daemon has seen. (That packets renew it since, nobody is told.)
    pub origin: Option<Origin>,
}

impl Entry {
    fn place(&self) -> (IpAddr, List) {
        (self.address, self.list)
    }

    /// The kernel does not say who put an entry on a list: what was known of it `before` stays.
    fn with_origin(self, before: &[Self]) -> Self {
        let known = || before.binary_search_by_key(&self.place(), Self::place);
        Self {
            origin: self.origin.or_else(|| before[known().ok()?].origin),
            ..self
        }
    }

    fn is_over(&self, now: u64) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// A source that is on none of a gate's lists any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The gate's name.
    pub gate: String,
    /// The source.
    pub address: IpAddr,
    /// Its time was over; if not, somebody has taken it out.
    pub expired: bool,
}

impl OfGate {
    /// The kernel's sets are read in order, so that most entries come to stand last.
    fn put(&mut self, entry: Entry) {
        match self.entries.binary_search_by_key(&entry.place(), Entry::place) {
            Ok(index) => self.entries[index] = entry,
            Err(index) => self.entries.insert(index, entry),
        }
    }
}

impl Lists {
    /// Takes over what the kernel has, and says who is gone. Elements that the gate's rules can never find (of a `prefix6` that was changed
    /// since) are left out.
    pub fn take(&mut self, gates: &Gates, readings: &Readings, now: u64) -> Vec<Gone> {
        let before = std::mem::take(&mut self.0);
        for gate in &gates.list {
            let before = before.iter().find(|known| known.gate == gate.name);
            let mut known = OfGate {
                gate: gate.name.clone(),
                entries: Vec::new(),
            };
            for (list, _, set) in rules::lists(gate) {
                for listed in readings.get(&set.name).into_iter().flatten() {
                    if masked(gate, listed.address) == listed.address {
                        let entry = Entry {
                            address: listed.address,
                            list,
                            ends: listed.left.map(|left| now.saturating_add(left)),
                            origin: Origin::of(list),
                        };
                        known.put(before.map_or(entry, |before| entry.with_origin(&before.entries)));
                    }
                }
            }
            self.0.push(known);
        }
        self.gone(&before, now)
    }

    fn gone(&self, before: &[OfGate], now: u64) -> Vec<Gone> {
        let mut gone: Vec<Gone> = Vec::new();
        for known in before {
            for of_address in known.entries.chunk_by(|one, next| one.address == next.address) {
                let Some(address) = of_address.first().map(|entry| entry.address) else {
                    continue;
                };
                if self.is_listed(&known.gate, address) {
                    continue;
                }
                gone.push(Gone {
                    gate: known.gate.clone(),
                    address,
                    // The kernel's clock ticks in jiffies, and reading takes a moment.
                    expired: of_address.iter().all(|entry| entry.is_over(now.saturating_add(50))),
                });
            }
        }
        gone
    }

    /// A gate's entries, sorted by address.
    #[must_use]
    pub fn of(&self, gate: &str) -> &[Entry] {
        let known = self.0.iter().find(|known| known.gate == gate);
        known.map(|known| known.entries.as_slice()).unwrap_or_default()
    }

    /// Whether a packet has listed this source, as the gate's list holds it.
    #[must_use]
    pub fn has_seen(&self, gate: &str, source: IpAddr) -> bool {
        let entries = self.of(gate);
        let first = entries.partition_point(|entry| entry.address < source);
        let of_source = entries.iter().skip(first).take_while(|entry| entry.address == source);
        of_source.map(|entry| entry.list).any(|list| list == List::Seen)
    }

    /// A gate's sources with the time at which the last of their entries ends (`None`: never).
    #[must_use]
    pub fn sources(&self, gate: &str) -> Vec<(IpAddr, Option<u64>)> {
        let mut sources: Vec<(IpAddr, Option<u64>)> = Vec::new();
        for entry in self.of(gate) {
            match sources.last_mut() {
                Some((address, ends)) if *address == entry.address => {
                    *ends = ends.zip(entry.ends).map(|(one, other)| one.max(other));
                }
                _ => sources.push((entry.address, entry.ends)),
            }
        }
        sources
    }

    /// Why a source is listed, as far as is known: by `witness`, by `hand`, by `knock`, by `spa`; by several perhaps.
    #[must_use]
    pub fn why(&self, gate: &str, address: IpAddr) -> Vec<&'static str> {
        let entries = self.of(gate);
        let first = entries.partition_point(|entry| entry.address < address);
        let of_address = entries[first..].iter().take_while(|entry| entry.address == address);
        let mut why: Vec<_> = of_address.filter_map(|entry| entry.origin).map(Origin::word).gathered();
        why.dedup();
        why
    }

    /// Whether a gate's lists have the source.
    #[must_use]
    pub fn is_listed(&self, gate: &str, address: IpAddr) -> bool {
        self.of(gate)
            .binary_search_by(|entry| entry.address.cmp(&address))
            .is_ok()
    }

    /// Notes an entry, or its new end.
    pub fn put(&mut self, gate: &str, entry: Entry) {
        match self.0.iter_mut().find(|known| known.gate == gate) {
            Some(known) => known.put(entry),
            None => self.0.push(OfGate {
                gate: gate.to_string(),
                entries: vec![entry],
            }),
        }
    }

    /// Forgets a source; `false` if it was not known.
    pub fn remove(&mut self, gate: &str, address: IpAddr) -> bool {
        let Some(known) = self.0.iter_mut().find(|known| known.gate == gate) else {
            return false;
        };
        let before = known.entries.len();
        known.entries.retain(|entry| entry.address != address);
        known.entries.len() != before
    }

    /// Forgets all sources of a gate.
    pub fn clear(&mut self, gate: &str) {
        for known in self.0.iter_mut().filter(|known| known.gate == gate) {
            known.entries.clear();
        }
    }

    /// Nobody is known to be listed anywhere.
    #[must_use]
    pub fn are_empty(&self) -> bool {
        self.0.iter().all(|known| known.entries.is_empty())
    }

    /// When the next entry ends, as far as was seen.
    #[must_use]
    pub fn next_end(&self) -> Option<u64> {
        let entries = self.0.iter().flat_map(|known| &known.entries);
        entries.filter_map(|entry| entry.ends).min()
    }

    /// What puts everybody back who was listed and whose time is not over, into lists that hold `readings`: who is there already came later than
    /// what is known here, and where there is no room the kernel would refuse all.
    #[must_use]
    pub fn restoring(&self, gates: &Gates, readings: &Readings, now: u64) -> Vec<Edit> {
        let mut edits = Vec::new();
        for gate in &gates.list {
            for (list, family, set) in rules::lists(gate) {
                let there = readings.get(&set.name).map(Vec::as_slice).unwrap_or_default();
                let mut room = (gate.size as usize).saturating_sub(there.len());
                for entry in self.of(&gate.name) {
                    let is_of_list = entry.list == list && family_of(entry.address) == family;
                    let is_there = there.iter().any(|listed| listed.address == entry.address);
                    let fits = masked(gate, entry.address) == entry.address;
                    if room == 0 || !is_of_list || is_there || !fits || entry.is_over(now) {
                        continue;
                    }
                    room -= 1;
                    // Rounded down: nobody gains time by a table that is lost again and again.
                    let left = entry.ends.map(|ends| (ends.saturating_sub(now) / 1000).max(1));
                    let seconds = left.map(|left| u32::try_from(left).unwrap_or(u32::MAX));
                    edits.push(adding(gate, entry.address, list, seconds));
                }
            }
        }
        edits
    }

    /// Whether more are known than the kernel's lists can have: removals were not told.
    #[must_use]
    pub fn are_overfull(&self, gates: &Gates) -> bool {
        let families = |gate: &Gate| (0..2).filter(|family| gate.has_family(*family)).count();
        let most = |gate: &Gate| (families(gate) * List::of(gate).count()).saturating_mul(gate.size as usize);
        gates.list.iter().any(|gate| self.of(&gate.name).len() > most(gate))
    }
}

/// What puts a source on a list for so many seconds (`None`: without an end).
#[must_use]
pub fn adding(gate: &Gate, address: IpAddr, list: List, seconds: Option<u32>) -> Edit {
    Edit::Add {
        set: list.set(gate, family_of(address)),
        element: rules::listed(address, seconds),
    }
}

/// What keeps a source for so many seconds on the list of those who were seen; whom a FIN has just taken off it, it does not bring back.
#[must_use]
pub fn renewing(gate: &Gate, address: IpAddr, seconds: u32) -> Edit {
    Edit::Renew {
        set: List::Seen.set(gate, family_of(address)),
        element: rules::listed(address, Some(seconds)),
    }
}

/// What takes a source off all of a gate's lists.
#[must_use]
pub fn deleting(gate: &Gate, address: IpAddr) -> Vec<Edit> {
    let edits = List::of(gate).map(|list| Edit::Delete {
        set: list.set(gate, family_of(address)),
        element: rules::listed(address, None),
    });
    edits.gathered()
}

/// What empties a gate's lists.
#[must_use]
pub fn flushing(gate: &Gate) -> Vec<Edit> {
    let sets = rules::lists(gate).into_iter();
    sets.map(|(_, _, set)| Edit::Flush { set: set.name }).gathered()
}

/// 0 for IPv4, 1 for IPv6.
#[must_use]
pub fn family_of(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// A source as the gate's lists hold it.
#[must_use]
pub fn masked(gate: &Gate, address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if gate.prefix6 < 128 => (address & mask6(gate.prefix6)).into(),
        address => address,
    }
}

/// A listed source for people: an address, or a network where networks are listed.
#[must_use]
pub fn shown(gate: &Gate, address: IpAddr) -> String {
    match address {
        IpAddr::V6(network) if gate.prefix6 < 128 => format!("{network}/{}", gate.prefix6),
        address => address.to_string(),
    }
}

/// What somebody wants on a gate's list (or off it), as the list holds it. A network is taken where the gate lists networks.
///
/// # Errors
/// What is wrong with the text, and what would be right. Names of hosts are not resolved.
pub fn source(gate: &Gate, text: &str) -> Result<IpAddr, String> {
    let wrong = |why: &str| Err(format!("{} {why}", quoted(text)));
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return wrong("is not an IPv4 or IPv6 address (names are not looked up)");
    };
    let address = address.to_canonical();
    let own_prefix = gate.prefix6.to_string();
    if prefix.is_some_and(|prefix| !address.is_ipv6() || gate.prefix6 == 128 || prefix != own_prefix) {
        return wrong("is a network; the gate lists single addresses");
    }
    let can_be_a_source = match address {
        IpAddr::V4(address) => !address.is_broadcast() && !is_this_network(address),
        IpAddr::V6(_) => true,
    };
    if !can_be_a_source || address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return wrong("is no address that a connection from the WAN can have");
    }
    if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local() && gate.prefix6 < 128) {
        return wrong("is link-local: its /64 is every neighbour on the WAN");
    }
    if !gate.has_family(family_of(address)) {
        let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
        return wrong(&format!(
            "cannot be listed: the gate '{}' guards nothing over {family}",
            gate.name
        ));
    }
    Ok(masked(gate, address))
}

/// 0.0.0.0/8 (RFC 1122, 3.2.1.3).
fn is_this_network(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
}

#[cfg(test)]
pub(crate) mod tests;
