//! Attempts by day, in bounded memory: sums are exact, ports and sources are the largest ones.

use super::Attempt;
use crate::date::Date;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most days of a run.
pub(super) const MOST_DAYS: usize = 4000;
/// The most ports, and the most sources, of a day that is being read. One more, and the smaller half goes.
const OPEN: usize = 4096;
/// How many of the days touched last are being read: lines of several routers, or of several processors, are not quite in order.
const OPEN_DAYS: usize = 3;
/// What is kept of a day that has been read.
const PORTS: usize = 64;
const SOURCES: usize = 256;
/// The newest days, of which that many sources are kept: twice what the ledger keeps. Older ones keep those that made an outlier.
const DETAILED_DAYS: usize = 64;
const OLD_SOURCES: usize = 4;
/// Ports of a source, while its day is being read and afterwards.
const OPEN_SOURCE_PORTS: usize = 16;
const SOURCE_PORTS: usize = 4;

/// Protocol and port.
type Port = (u8, u16);

/// A day's attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCount {
    /// The local day.
    pub date: Date,
    /// By local hour; their sum is exact.
    pub hours: [u64; 24],
    /// Protocol, port (or type) and attempts, the largest first, at most 64. What is missing to the day's sum is the rest.
    pub ports: Vec<(u8, u16, u64)>,
    /// The largest first, at most 256; of days older than the newest 64 at most 4. What is missing to the day's sum is the rest.
    pub sources: Vec<SourceCount>,
}

impl DayCount {
    /// The day's sum.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.hours.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// A source's attempts on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCount {
    /// Who.
    pub address: IpAddr,
    /// The sum. Too small by what came before it was dropped for a larger one, if it was.
    pub attempts: u64,
    /// Local hour and attempts, in order.
    pub hours: Vec<(u8, u64)>,
    /// Protocol, port (or type) and attempts, the largest first, at most 4.
    pub ports: Vec<(u8, u16, u64)>,
}

#[derive(Debug, Default)]
struct Source {
    attempts: u64,
    /// In order.
    hours: Vec<(u8, u64)>,
    /// In no order.
    ports: Vec<(Port, u64)>,
}

impl Source {
    fn add(&mut self, hour: u8, times: u64) {
        self.attempts = self.attempts.saturating_add(times);
        let at = self.hours.partition_point(|known| known.0 < hour);
        match self.hours.get_mut(at) {
            Some(known) if known.0 == hour => known.1 = known.1.saturating_add(times),
            _ => self.hours.insert(at, (hour, times)),
        }
    }

    fn add_port(&mut self, port: Port, times: u64) {
        if let Some(known) = self.ports.iter_mut().find(|known| known.0 == port) {
            known.1 = known.1.saturating_add(times);
            return;
        }
        if self.ports.len() >= OPEN_SOURCE_PORTS {
            largest(&mut self.ports, OPEN_SOURCE_PORTS / 2, |known| known.1);
        }
        self.ports.push((port, times));
    }

    fn shrink(&mut self) {
        largest(&mut self.ports, SOURCE_PORTS, |known| known.1);
        self.ports.shrink_to_fit();
        self.hours.shrink_to_fit();
    }
}

#[derive(Debug, Default)]
struct Day {
    hours: [u64; 24],
    ports: BTreeMap<Port, u64>,
    sources: BTreeMap<IpAddr, Source>,
}

impl Day {
    fn add(&mut self, attempt: &Attempt, times: u64) {
        let port = (attempt.protocol, attempt.port);
        self.add_hour(attempt.hour, times);
        self.add_port(port, times);
        let source = self.source(attempt.source);
        source.add(attempt.hour, times);
        source.add_port(port, times);
    }

    fn add_hour(&mut self, hour: u8, times: u64) {
        if let Some(known) = self.hours.get_mut(usize::from(hour)) {
            *known = known.saturating_add(times);
        }
    }

    fn add_port(&mut self, port: Port, times: u64) {
        if self.ports.len() >= OPEN && !self.ports.contains_key(&port) {
            self.keep_ports(OPEN / 2);
        }
        let known = self.ports.entry(port).or_default();
        *known = known.saturating_add(times);
    }

    fn source(&mut self, address: IpAddr) -> &mut Source {
        if self.sources.len() >= OPEN && !self.sources.contains_key(&address) {
            self.keep_sources(OPEN / 2);
        }
        self.sources.entry(address).or_default()
    }

    fn keep_ports(&mut self, most: usize) {
        if self.ports.len() > most {
            let mut ports: Vec<_> = std::mem::take(&mut self.ports).into_iter().collect();
            largest(&mut ports, most, |known| known.1);
            self.ports = ports.into_iter().collect();
        }
    }

    fn keep_sources(&mut self, most: usize) {
        if self.sources.len() > most {
            let mut sources: Vec<_> = std::mem::take(&mut self.sources).into_iter().collect();
            largest(&mut sources, most, |known| known.1.attempts);
            self.sources = sources.into_iter().collect();
        }
    }

    fn shrink(&mut self, sources: usize) {
        self.keep_ports(PORTS);
        self.keep_sources(sources);
        self.sources.values_mut().for_each(Source::shrink);
    }

    fn merge(&mut self, other: Self) {
        for (hour, times) in (0..).zip(other.hours) {
            self.add_hour(hour, times);
        }
        for (port, times) in other.ports {
            self.add_port(port, times);
        }
        for (address, other) in other.sources {
            let source = self.source(address);
            for (hour, times) in other.hours {
                source.add(hour, times);
            }
            for (port, times) in other.ports {
                source.add_port(port, times);
            }
        }
    }

    fn attempts(&self) -> u64 {
        self.hours.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn into_count(mut self, date: Date) -> DayCount {
        let flat = |mut ports: Vec<(Port, u64)>| {
            ports.sort_by_key(|known| std::cmp::Reverse(known.1));
            let ports = ports
                .into_iter()
                .map(|((protocol, port), times)| (protocol, port, times));
            ports.collect::<Vec<_>>()
        };
        // As they were in the maps: in order. The sort keeps that among equals.
        let ports = flat(std::mem::take(&mut self.ports).into_iter().collect());
        let sources = std::mem::take(&mut self.sources).into_iter();
        let mut sources: Vec<_> = sources
            .map(|(address, mut source)| {
                source.ports.sort_unstable();
                SourceCount {
                    address,
                    attempts: source.attempts,
                    hours: source.hours,
                    ports: flat(source.ports),
                }
            })
            .collect();
        sources.sort_by_key(|source| std::cmp::Reverse(source.attempts));
        DayCount {
            date,
            hours: self.hours,
            ports,
            sources,
        }
    }
}

/// Keeps the largest, and of equals those that come first, in no order.
fn largest<T>(all: &mut Vec<T>, most: usize, count: impl Fn(&T) -> u64) {
    if all.len() > most {
        all.sort_by_key(|one| std::cmp::Reverse(count(one)));
        all.truncate(most);
    }
}

/// Days by a number that grows with time.
#[derive(Debug, Default)]
pub(super) struct Days {
    /// In order.
    days: Vec<(i32, Box<Day>)>,
    /// The days that are being read, the last one first.
    open: [Option<i32>; OPEN_DAYS],
}

impl Days {
    pub(super) fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// The numbers of the days, in order.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = i32> + '_ {
        self.days.iter().map(|day| day.0)
    }

    /// Counts an attempt. Whether there was room.
    #[must_use]
    pub(super) fn add(&mut self, key: i32, attempt: &Attempt, times: u64) -> bool {
        let Some(day) = self.touch(key) else { return false };
        day.add(attempt, times);
        true
    }

    /// Adds the days of another run, as they are called here; gives back how many attempts have none or found no room.
    #[must_use]
    pub(super) fn merge(&mut self, other: Self, rename: &dyn Fn(i32) -> Option<i32>) -> u64 {
        let mut lost = 0_u64;
        for (key, day) in other.days {
            match rename(key).and_then(|key| self.touch(key)) {
                Some(known) => known.merge(*day),
                None => lost = lost.saturating_add(day.attempts()),
            }
        }
        lost
    }

    /// The days, the newest last.
    pub(super) fn into_counts(mut self) -> impl Iterator<Item = DayCount> {
        for at in 0..self.days.len() {
            self.shrink(at);
        }
        let days = self.days.into_iter();
        days.filter_map(|(key, day)| Some(day.into_count(Date::from_days(key.into())?)))
    }

    /// A day to be read. `None`: no room for one more.
    fn touch(&mut self, key: i32) -> Option<&mut Day> {
        let found = self.days.binary_search_by_key(&key, |day| day.0);
        if found.is_err() && self.days.len() >= MOST_DAYS {
            return None;
        }
        if self.open[0] != Some(key) {
            // To the front; what falls out at the other end is done with.
            let place = self.open.iter().position(|open| *open == Some(key));
            let place = place.unwrap_or(OPEN_DAYS - 1);
            let left = self.open[place].filter(|left| *left != key);
            self.open[..=place].rotate_right(1);
            self.open[0] = Some(key);
            let left = left.and_then(|left| self.days.binary_search_by_key(&left, |day| day.0).ok());
            if let Some(left) = left {
                self.shrink(left);
            }
        }
        let at = match found {
            Ok(at) => at,
            Err(at) => {
                self.days.insert(at, (key, Box::default()));
                // One more is no longer among the newest.
                if let Some(old) = self.days.len().checked_sub(DETAILED_DAYS + 1) {
                    let is_open = self.days.get(old).is_some_and(|day| self.open.contains(&Some(day.0)));
                    if !is_open {
                        self.shrink(old);
                    }
                }
                at
            }
        };
        self.days.get_mut(at).map(|day| &mut *day.1)
    }

    fn shrink(&mut self, at: usize) {
        let detailed = at + DETAILED_DAYS >= self.days.len();
        if let Some((_, day)) = self.days.get_mut(at) {
            day.shrink(if detailed { SOURCES } else { OLD_SOURCES });
        }
    }
}
