//! Attempts by day, in bounded memory: sums are exact, ports and sources are the largest ones. Sorted lists hold them: they are short enough, and maps would
//! cost a router 30 KB more of program.

use super::Attempt;
use crate::date::Date;
use crate::gather::Gather;
use std::net::IpAddr;

/// The most days of a run.
pub(super) const MOST_DAYS: usize = 4000;
/// The most ports, and the most sources, of a day that is being read. One more, and the smaller half goes.
const OPEN: usize = 2048;
/// How many of the days touched last are being read: lines of several routers, or of several processors, are not quite in order.
const OPEN_DAYS: usize = 3;
/// What is kept of a day that has been read.
const PORTS: usize = 64;
const SOURCES: usize = 256;
/// The newest days, of which that many sources are kept: as many as the ledger keeps, and tomorrow. Older ones keep those that made an outlier.
const DETAILED_DAYS: usize = 32;
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
    /// Protocol, port (or type) and attempts of the largest ones, at most 64, in order of the ports. What is missing to the day's sum is the rest.
    pub ports: Vec<(u8, u16, u64)>,
    /// The largest ones, at most 256, in order of their addresses; of days older than the newest 32 at most 4. What is missing to the day's sum is the rest.
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
    /// Protocol, port (or type) and attempts of the largest ones, at most 4, in order of the ports.
    pub ports: Vec<(u8, u16, u64)>,
}

#[derive(Debug, Default)]
struct Source {
    attempts: u64,
    hours: [u32; 24],
    ports: Vec<(Port, u64)>,
}

impl Source {
    fn add(&mut self, hour: usize, times: u64) {
        self.attempts = self.attempts.saturating_add(times);
        if let Some(known) = self.hours.get_mut(hour) {
            *known = known.saturating_add(u32::try_from(times).unwrap_or(u32::MAX));
        }
    }

    fn into_count(self, address: IpAddr) -> SourceCount {
        let hours = (0..).zip(self.hours).filter(|(_, count)| *count > 0);
        SourceCount {
            address,
            attempts: self.attempts,
            hours: hours.map(|(hour, count)| (hour, count.into())).gathered(),
            ports: flat(&self.ports),
        }
    }
}

/// Both lists in order.
#[derive(Debug, Default)]
struct Day {
    hours: [u64; 24],
    ports: Vec<(Port, u64)>,
    sources: Vec<(IpAddr, Box<Source>)>,
}

impl Day {
    fn add(&mut self, attempt: &Attempt, times: u64) {
        let (hour, port) = (usize::from(attempt.hour), (attempt.protocol, attempt.port));
        self.add_hour(hour, times);
        add_port(&mut self.ports, OPEN, port, times);
        if let Some(source) = self.source(attempt.source) {
            source.add(hour, times);
            add_port(&mut source.ports, OPEN_SOURCE_PORTS, port, times);
        }
    }

    fn add_hour(&mut self, hour: usize, times: u64) {
        if let Some(known) = self.hours.get_mut(hour) {
            *known = known.saturating_add(times);
        }
    }

    fn source(&mut self, address: IpAddr) -> Option<&mut Source> {
        let place = |sources: &[(IpAddr, Box<Source>)]| sources.binary_search_by(|known| known.0.cmp(&address));
        let at = match place(&self.sources) {
            Ok(at) => at,
            Err(mut at) => {
                if self.sources.len() >= OPEN {
                    self.keep_sources(OPEN / 2);
                    at = place(&self.sources).unwrap_or_else(|at| at);
                }
                self.sources.insert(at, (address, Box::default()));
                at
            }
        };
        self.sources.get_mut(at).map(|known| &mut *known.1)
    }

    fn keep_sources(&mut self, most: usize) {
        keep_largest(&mut self.sources, most, |known| known.1.attempts);
    }

    fn shrink(&mut self, sources: usize) {
        keep_ports(&mut self.ports, PORTS);
        self.keep_sources(sources);
        move_to_fit(&mut self.ports);
        move_to_fit(&mut self.sources);
        for (_, source) in &mut self.sources {
            keep_ports(&mut source.ports, SOURCE_PORTS);
            move_to_fit(&mut source.ports);
        }
    }

    fn merge(&mut self, other: Self) {
        for (hour, times) in other.hours.into_iter().enumerate() {
            self.add_hour(hour, times);
        }
        for (port, times) in other.ports {
            add_port(&mut self.ports, OPEN, port, times);
        }
        for (address, other) in other.sources {
            let Some(source) = self.source(address) else { continue };
            for (hour, times) in other.hours.into_iter().enumerate() {
                source.add(hour, times.into());
            }
            for (port, times) in other.ports {
                add_port(&mut source.ports, OPEN_SOURCE_PORTS, port, times);
            }
        }
    }

    fn attempts(&self) -> u64 {
        self.hours.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn into_count(self, date: Date) -> DayCount {
        let sources = self.sources.into_iter();
        DayCount {
            date,
            hours: self.hours,
            ports: flat(&self.ports),
            sources: sources.map(|(address, source)| source.into_count(address)).gathered(),
        }
    }
}

fn flat(ports: &[(Port, u64)]) -> Vec<(u8, u16, u64)> {
    ports
        .iter()
        .map(|((protocol, port), times)| (*protocol, *port, *times))
        .gathered()
}

/// Counts a port. One more than `most`, and the smaller half goes.
fn add_port(ports: &mut Vec<(Port, u64)>, most: usize, port: Port, times: u64) {
    let place = |ports: &[(Port, u64)]| ports.binary_search_by(|known| known.0.cmp(&port));
    let mut at = place(ports);
    if at.is_err() && ports.len() >= most {
        keep_ports(ports, most / 2);
        at = place(ports);
    }
    match at {
        Ok(at) => {
            if let Some(known) = ports.get_mut(at) {
                known.1 = known.1.saturating_add(times);
            }
        }
        Err(at) => {
            // Most sources have one.
            if ports.is_empty() {
                ports.reserve_exact(1);
            }
            ports.insert(at, (port, times));
        }
    }
}

fn keep_ports(ports: &mut Vec<(Port, u64)>, most: usize) {
    keep_largest(ports, most, |known| known.1);
}

/// Gives a list's memory back whole. Cut off in place, what is free behind each day's would be too small for the next day's: 60 KB a day.
fn move_to_fit<T>(list: &mut Vec<T>) {
    if list.capacity() > list.len() {
        let mut fitting = Vec::with_capacity(list.len());
        fitting.append(list);
        *list = fitting;
    }
}

/// Keeps the largest, and of equals those that come first. Nothing changes its place.
fn keep_largest<T>(all: &mut Vec<T>, most: usize, count: impl Fn(&T) -> u64) {
    if all.len() <= most {
        return;
    }
    // The smallest number that at most so many are above: by halving, since sorting is a lot of program.
    let above = |limit: u64| all.iter().filter(|one| count(one) > limit).count();
    let (mut low, mut high) = (0, all.iter().map(&count).max().unwrap_or(0));
    while low < high {
        let middle = low + (high - low) / 2;
        if above(middle) <= most {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let mut equals = most - above(low);
    all.retain(|one| {
        let own = count(one);
        let is_kept = own > low || own == low && equals > 0;
        equals -= usize::from(is_kept && own == low);
        is_kept
    });
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
