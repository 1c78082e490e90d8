//! The kernel's counters, read again and again: what is new since the last time.

use super::day::{address, number, put, put_address, put_service, service};
use super::{Attempts, Subject};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::ruleset::ledger::{Key, ACCEPTED_SIZE, SIZE};
use std::net::IpAddr;

/// What the kernel has counted, since its table was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The kernel's number for the table: another one means that it began anew.
    pub handle: u64,
    /// What has come, and what of it was accepted.
    pub totals: [u64; 2],
    /// The same for each subject, in order. What came stands behind what was accepted where both changed meanwhile.
    pub subjects: Vec<(Subject, [u64; 2])>,
}

/// What was read the last time of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    subject: Subject,
    seen: u64,
    /// Attempts that were told.
    told: u64,
    /// How often in succession nothing was new.
    idle: u8,
}

/// Remembers the last reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    handle: u64,
    seen: u64,
    told: u64,
    /// In order.
    known: Vec<Known>,
}

/// A dump may leave out one that is there, if the kernel makes its table larger at that moment.
const PATIENCE: u8 = 2;

impl Counts {
    /// What is new, and who is to be taken out of the kernel's sets, since nothing new came of them and there is little room left.
    ///
    /// Each number only grows, as long as the table lives: so what is read late is not lost, and nothing is told twice. An accepted packet that was
    /// counted between the two looks takes back what only seemed an attempt with the next reading.
    pub fn take(&mut self, reading: &Reading) -> (Attempts, Vec<Subject>) {
        if reading.handle != self.handle || reading.totals[0] < self.seen {
            *self = Self {
                handle: reading.handle,
                ..Self::default()
            };
        }
        let mut new = Attempts {
            total: self.unread(reading.handle, reading.totals),
            subjects: Vec::new(),
        };
        self.told = self.told.saturating_add(new.total);
        self.seen = reading.totals[0];
        let full: Vec<Key> = Key::ALL
            .into_iter()
            .filter(|key| members(reading, *key)[1] >= ACCEPTED_SIZE as usize)
            .gathered();
        let mut known = std::mem::take(&mut self.known).into_iter().peekable();
        for (subject, [seen, accepted]) in &reading.subjects {
            while let Some(absent) = known.next_if(|known| known.subject < *subject) {
                self.miss(absent);
            }
            let before = known.next_if(|known| known.subject == *subject);
            // Whether it was accepted cannot be said.
            let is_doubtful = *accepted == 0 && full.contains(&key_of(*subject));
            let accepted = if is_doubtful { *seen } else { *accepted };
            self.look(*subject, *seen, accepted, before, &mut new);
        }
        for absent in known {
            self.miss(absent);
        }
        let idle = self.idle(reading);
        (new, idle)
    }

    fn look(&mut self, subject: Subject, seen: u64, accepted: u64, before: Option<Known>, new: &mut Attempts) {
        // Fewer than before: it was taken out and has come again.
        let before = before.filter(|before| before.seen <= seen);
        let told = before.map_or(0, |before| before.told);
        let attempts = seen.saturating_sub(accepted).max(told);
        if attempts > told {
            new.subjects.push((subject, attempts - told));
        }
        let is_idle = before.is_some_and(|before| before.seen == seen);
        self.known.push(Known {
            subject,
            seen,
            told: attempts,
            idle: before
                .filter(|_| is_idle)
                .map_or(0, |before| before.idle.saturating_add(1)),
        });
    }

    fn miss(&mut self, absent: Known) {
        if absent.idle < PATIENCE {
            self.known.push(Known {
                idle: absent.idle + 1,
                ..absent
            });
        }
    }

    /// Of each set that is half full, those of which nothing new was read.
    fn idle(&self, reading: &Reading) -> Vec<Subject> {
        let mut idle = Vec::new();
        for key in Key::ALL {
            let [seen, accepted] = members(reading, key);
            if seen <= SIZE as usize / 2 && accepted <= ACCEPTED_SIZE as usize / 2 {
                continue;
            }
            let there = |known: &&Known| {
                key_of(known.subject) == key
                    && known.idle > 0
                    && reading
                        .subjects
                        .binary_search_by_key(&known.subject, |(subject, _)| *subject)
                        .is_ok()
            };
            idle.gather(self.known.iter().filter(there).map(|known| known.subject));
        }
        idle
    }

    /// They were taken out of the kernel's sets.
    pub fn forget(&mut self, mut gone: Vec<Subject>) {
        gone.sort_unstable();
        self.known.retain(|known| gone.binary_search(&known.subject).is_err());
    }

    /// The kernel's sets are empty. Its two counters go on.
    pub fn forget_all(&mut self) {
        self.known.clear();
    }

    /// How many attempts the counters have that no reading has told yet.
    #[must_use]
    pub fn unread(&self, handle: u64, [seen, accepted]: [u64; 2]) -> u64 {
        let is_same = handle == self.handle && seen >= self.seen;
        let told = if is_same { self.told } else { 0 };
        seen.saturating_sub(accepted).saturating_sub(told)
    }

    /// For the next daemon.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        for number in [self.handle, self.seen, self.told, self.known.len() as u64] {
            put(bytes, number);
        }
        for known in &self.known {
            known.subject.encode(bytes);
            put(bytes, known.seen);
            put(bytes, known.told);
        }
    }

    pub(super) fn decode(at: &mut &[u8]) -> Option<Self> {
        let mut counts = Self {
            handle: number(at)?,
            seen: number(at)?,
            told: number(at)?,
            known: Vec::new(),
        };
        for _ in 0..number(at)? {
            counts.known.push(Known {
                subject: Subject::decode(at)?,
                seen: number(at)?,
                told: number(at)?,
                idle: 0,
            });
        }
        counts
            .known
            .is_sorted_by(|one, next| one.subject < next.subject)
            .then_some(counts)
    }
}

impl Subject {
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        match self.source {
            Some(source) => put_address(bytes, source),
            None => bytes.push(0),
        }
        put_service(bytes, self.service);
    }

    pub(super) fn decode(at: &mut &[u8]) -> Option<Self> {
        let source = match at.split_first()? {
            (0, rest) => {
                *at = rest;
                None
            }
            _ => Some(address(at)?),
        };
        let service = service(at)?;
        Some(Self { source, service })
    }
}

/// How many elements the two sets of a key have.
fn members(reading: &Reading, key: Key) -> [usize; 2] {
    let of_key = reading.subjects.iter().filter(|(subject, _)| key_of(*subject) == key);
    of_key.fold([0; 2], |[seen, accepted], (_, packets)| {
        [
            seen + usize::from(packets[0] > 0),
            accepted + usize::from(packets[1] > 0),
        ]
    })
}

/// In which sets a subject is.
#[must_use]
pub fn key_of(subject: Subject) -> Key {
    use crate::nft::Family::{Ipv4, Ipv6};
    let has_port = matches!(subject.service.protocol, super::TCP | super::UDP);
    match (subject.source, has_port) {
        (None, true) => Key::Port,
        (None, false) => Key::Protocol,
        (Some(IpAddr::V4(_)), true) => Key::SourcePort(Ipv4),
        (Some(IpAddr::V6(_)), true) => Key::SourcePort(Ipv6),
        (Some(IpAddr::V4(_)), false) => Key::SourceProtocol(Ipv4),
        (Some(IpAddr::V6(_)), false) => Key::SourceProtocol(Ipv6),
    }
}
