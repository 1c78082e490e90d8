//! The ledger's account: what was counted, put into the router's local hours.
//!
//! A router has no battery: after it was switched on, its clock says 1970, or the time of the last file that it wrote, until a time server has answered. What
//! was counted until then waits, by a clock that never jumps, and is put into its days when the right time is known.

use super::counts::{Counts, Reading};
use super::day::{number, put, Day};
use super::outliers::{self, Usual};
use super::store::{Parsed, Store};
use super::{Attempts, Subject};
use crate::date::Date;
use crate::event::Now;
use crate::gather::Gather;
use crate::schedule;
use crate::spa::checksum;
use std::borrow::Cow;
use std::fmt;
use tz::TimeZone;

/// The name of the run directory's format and its version.
const MAGIC: &[u8] = b"lwcount\x01";
/// Milliseconds without a jump after which a clock is believed that nobody sets.
const STEADY: u64 = 3_600_000;
/// Seconds that the clock may go wrong between two readings without having been set.
const JUMP: i64 = 30;
/// Stretches that wait for the right time; more are joined, two by two.
const MOST_PENDING: usize = 64;
/// Seconds over which attempts are spread that nobody read in time. What was left for longer is put where it was read.
const LONGEST_GAP: i64 = 40 * 86_400;
const HOUR: i64 = 3600;

/// The router's local time.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// Of a POSIX TZ string; UTC if it is none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(schedule::parse_zone(text).unwrap_or_else(|_| TimeZone::utc()))
    }

    /// Seconds since 1970 by the clock on the wall.
    fn local(&self, unix: i64) -> i64 {
        unix.saturating_add(schedule::offset(&self.0, unix).unwrap_or(0))
    }

    /// Seconds that the clock on the wall is ahead of UTC.
    #[must_use]
    pub fn ahead(&self, unix: i64) -> Option<i64> {
        schedule::offset(&self.0, unix).ok()
    }

    /// The day.
    #[must_use]
    pub fn date(&self, unix: u64) -> Option<Date> {
        let local = self.local(wall(unix));
        Date::from_days(local.div_euclid(86_400))
    }

    /// As `YYYY-MM-DDTHH:MM:SS`.
    #[must_use]
    pub fn time(&self, unix: u64) -> String {
        let local = self.local(wall(unix));
        let date = Date::from_days(local.div_euclid(86_400)).unwrap_or(Date::FIRST);
        let second = local.rem_euclid(86_400);
        format!("{date}T{:02}:{:02}:{:02}", second / HOUR, second / 60 % 60, second % 60)
    }

    /// The hours that a stretch touches, with its seconds in each; at least one.
    fn hours(&self, from: i64, to: i64) -> Vec<(Date, u8, u64)> {
        let mut hours: Vec<(Date, u8, u64)> = Vec::new();
        let mut at = if (1..=LONGEST_GAP).contains(&(to - from)) {
            from
        } else {
            to - 1
        };
        while at < to {
            let local = self.local(at);
            let next = (at + HOUR - local.rem_euclid(HOUR)).min(to);
            let hour = u8::try_from(local.rem_euclid(86_400) / HOUR).unwrap_or(0);
            let date = Date::from_days(local.div_euclid(86_400)).unwrap_or(Date::FIRST);
            hours.push((date, hour, u64::try_from(next - at).unwrap_or(1)));
            at = next;
        }
        hours
    }
}

/// A stretch of the clock that never jumps, in milliseconds, and what was counted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    from: i64,
    to: i64,
    attempts: Attempts,
}

impl Slot {
    fn encode(&self, bytes: &mut Vec<u8>) {
        for time in [self.from, self.to] {
            put(bytes, u64::try_from(time).unwrap_or(0));
        }
        put(bytes, self.attempts.total);
        put(bytes, self.attempts.subjects.len() as u64);
        for (subject, attempts) in &self.attempts.subjects {
            subject.encode(bytes);
            put(bytes, *attempts);
        }
    }

    /// The hours that it touches, by the clock as it is now.
    fn shares(&self, now: Now, zone: &Zone) -> Vec<Share> {
        let unix = |milliseconds: i64| wall(now.unix) - (self::milliseconds(now) - milliseconds) / 1000;
        let hours = zone.hours(unix(self.from), unix(self.to));
        let whole: u64 = hours.iter().map(|(.., seconds)| seconds).sum();
        let mut before = 0;
        let shares = hours.into_iter().map(|(date, hour, seconds)| {
            let from = before;
            before += seconds;
            Share {
                date,
                hour,
                from,
                to: before,
                whole,
            }
        });
        shares.gathered()
    }

    fn decode(at: &mut &[u8]) -> Option<Self> {
        let mut slot = Self {
            from: i64::try_from(number(at)?).ok()?,
            to: i64::try_from(number(at)?).ok()?,
            attempts: Attempts {
                total: number(at)?,
                subjects: Vec::new(),
            },
        };
        for _ in 0..number(at)? {
            slot.attempts.subjects.push((Subject::decode(at)?, number(at)?));
        }
        Some(slot)
    }
}

/// An hour's share of a stretch, in seconds since its beginning.
struct Share {
    date: Date,
    hour: u8,
    from: u64,
    to: u64,
    whole: u64,
}

impl Share {
    /// What was not read in time is spread evenly; rounding never loses one.
    fn of(&self, number: u64) -> u64 {
        part(number, self.to, self.whole) - part(number, self.from, self.whole)
    }
}

/// What is known of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Now.
    pub now: Now,
    /// The kernel says that somebody (NTP) sets the clock.
    pub synchronised: bool,
}

impl Sight {
    /// Where the kernel was not asked.
    #[must_use]
    pub fn unsure(now: Now) -> Self {
        Self {
            now,
            synchronised: false,
        }
    }
}

/// The account.
#[derive(Debug, Clone, Default)]
pub struct Book {
    store: Store,
    counts: Counts,
    /// What waits for the right time, in order.
    pending: Vec<Slot>,
    /// Of the last reading, of whichever daemon.
    last: Option<i64>,
    /// Seconds that the wall clock was ahead of the other, at the last reading.
    offset: Option<i64>,
    /// When it was seen to jump last, in milliseconds.
    jumped: u64,
    /// Attempts since the daemon has started.
    counted: u64,
    /// How often something has changed; how much of that was given to be written, and how much is on flash: writing takes its time.
    changes: u64,
    given: u64,
    safe: u64,
    /// When the file was written, in seconds since 1970; 0: never.
    written: u64,
    /// The day that was told to be out of the ordinary.
    told: Option<Date>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// So many bytes of it.
    Damaged(usize),
    /// A later program wrote it.
    Newer,
    /// It is something else.
    Foreign,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(lost) => write!(f, "{lost} bytes of it are damaged; the other days are kept"),
            Self::Newer => f.write_str("a newer program wrote it"),
            Self::Foreign => f.write_str("it is no ledger"),
        }
    }
}

/// A day that is out of the ordinary, told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Outlier {
    pub date: Date,
    pub attempts: u64,
    pub usual: Usual,
}

impl Book {
    /// Takes over what the file and the run directory hold: the days, and what an earlier daemon has read of the kernel's counters. Gives what is wrong
    /// with the file.
    pub fn load(&mut self, file: Option<&[u8]>, run: Option<&[u8]>, now: Now) -> Option<Wrong> {
        let mut wrong = None;
        match file.map(Store::parse) {
            None => {}
            Some(Parsed::Days(store, written, lost)) => {
                self.store = store;
                self.written = written;
                if lost > 0 {
                    self.change();
                    wrong = Some(Wrong::Damaged(lost));
                }
            }
            Some(Parsed::Newer) => wrong = Some(Wrong::Newer),
            Some(Parsed::Foreign) => wrong = Some(Wrong::Foreign),
        }
        if run.is_some_and(|run| self.load_run(run, now).is_none()) {
            self.counts = Counts::default();
        }
        wrong
    }

    fn load_run(&mut self, run: &[u8], now: Now) -> Option<()> {
        let (body, check) = run.split_last_chunk::<8>()?;
        let mut at = body.strip_prefix(MAGIC)?;
        if *check != checksum(body) {
            return None;
        }
        let last = i64::try_from(number(&mut at)?).ok()?;
        let counts = Counts::decode(&mut at)?;
        let mut pending = Vec::new();
        for _ in 0..number(&mut at)? {
            pending.push(Slot::decode(&mut at)?);
        }
        if self.store.take_open(at) {
            self.change();
        }
        // Otherwise it is of the time before the router was switched off: the kernel has begun anew since, and nobody knows when that was.
        if last <= milliseconds(now) {
            self.counts = counts;
            self.pending = pending;
            self.last = Some(last);
        }
        Some(())
    }

    /// For the next daemon, if the router goes on meanwhile.
    #[must_use]
    pub fn run_bytes(&self, now: Now) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, now.monotonic);
        self.counts.encode(&mut bytes);
        put(&mut bytes, self.pending.len() as u64);
        for slot in &self.pending {
            slot.encode(&mut bytes);
        }
        self.store.encode_open(&mut bytes);
        let check = checksum(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// Takes in a reading of the kernel's counters; gives whom the kernel's sets should forget.
    pub fn take(&mut self, reading: &Reading, sight: Sight, zone: &Zone, masks: bool) -> Vec<Subject> {
        let (mut attempts, idle) = self.counts.take(reading);
        if masks {
            attempts.mask();
        }
        let to = milliseconds(sight.now);
        let slot = Slot {
            from: self.last.replace(to).map_or(to, |last| last.min(to)),
            to,
            attempts,
        };
        self.watch(sight.now);
        if !slot.attempts.is_none() {
            self.counted = self.counted.saturating_add(slot.attempts.total);
            self.pending.push(slot);
        }
        if sight.synchronised || self.is_steady(sight.now) {
            self.settle(sight.now, zone);
            return idle;
        }
        if let Some(slot) = self.pending.last_mut() {
            slot.attempts.bound();
        }
        if self.pending.len() > MOST_PENDING {
            self.join();
        }
        idle
    }

    /// Nothing counts from now on: what is read when something does again came no earlier than that.
    pub fn rest(&mut self) {
        self.last = None;
    }

    fn change(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    /// Something is not on flash yet.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changes != self.safe
    }

    fn watch(&mut self, now: Now) {
        let offset = wall(now.unix) - milliseconds(now) / 1000;
        if self.offset.is_some_and(|before| (offset - before).abs() > JUMP) {
            self.jumped = now.monotonic;
        }
        self.offset = Some(offset);
    }

    fn is_steady(&self, now: Now) -> bool {
        is_set(now) && now.monotonic.saturating_sub(self.jumped) >= STEADY
    }

    fn join(&mut self) {
        let mut joined: Vec<Slot> = Vec::new();
        for (index, slot) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            match joined.last_mut() {
                Some(last) if index % 2 == 1 => {
                    last.to = slot.to;
                    last.attempts.add(&slot.attempts);
                }
                _ => joined.push(slot),
            }
        }
        self.pending = joined;
    }

    /// Puts what waits into its days, by the clock as it is now.
    fn settle(&mut self, now: Now, zone: &Zone) {
        for slot in std::mem::take(&mut self.pending) {
            put_down(&mut self.store, &slot, now, zone);
            self.change();
        }
    }

    /// The days, with what waits put where it would be if the clock were right; a clock that was never set is not.
    fn shown(&self, now: Now, zone: &Zone) -> Cow<'_, Store> {
        if self.pending.is_empty() || !is_set(now) {
            return Cow::Borrowed(&self.store);
        }
        let mut store = self.store.clone();
        for slot in &self.pending {
            put_down(&mut store, slot, now, zone);
        }
        Cow::Owned(store)
    }

    /// Answers a question about the days.
    pub fn ask<T>(&self, now: Now, zone: &Zone, answer: impl FnOnce(&Store) -> T) -> T {
        answer(&self.shown(now, zone))
    }

    /// Attempts of today as far as they were read, with those that the kernel's two counters have beyond that.
    #[must_use]
    pub fn today(&self, counters: Option<(u64, [u64; 2])>, now: Now, zone: &Zone) -> u64 {
        let Some(today) = zone.date(now.unix) else { return 0 };
        let newest = self.store.totals().take_while(|(date, _)| *date >= today);
        let down = newest.filter(|(date, _)| *date == today).map(|(_, attempts)| attempts);
        let waiting = self.pending.iter().filter(|_| is_set(now)).map(|slot| {
            let of_today = slot.shares(now, zone).into_iter().filter(|share| share.date == today);
            of_today.fold(0, |sum: u64, share| sum.saturating_add(share.of(slot.attempts.total)))
        });
        down.chain(waiting).fold(self.unread(counters), u64::saturating_add)
    }

    /// All attempts since the daemon has started.
    #[must_use]
    pub fn counted(&self, counters: Option<(u64, [u64; 2])>) -> u64 {
        self.counted.saturating_add(self.unread(counters))
    }

    fn unread(&self, counters: Option<(u64, [u64; 2])>) -> u64 {
        counters.map_or(0, |(handle, totals)| self.counts.unread(handle, totals))
    }

    /// Today, if it is out of the ordinary and nobody was told.
    pub fn outlier(&mut self, now: Now, zone: &Zone) -> Option<Outlier> {
        let today = zone.date(now.unix).filter(|today| self.told != Some(*today))?;
        let mut days: Vec<(Date, u64)> = self.store.totals().take(outliers::DAYS).gathered();
        days.reverse();
        let attempts = days.iter().find(|(date, _)| *date == today)?.1;
        let usual = outliers::outlier(&days, today, attempts)?;
        self.told = Some(today);
        Some(Outlier {
            date: today,
            attempts,
            usual,
        })
    }

    /// Merges a day from elsewhere.
    pub fn merge(&mut self, date: Date, day: &Day) {
        self.store.day(date).merge(day);
        self.change();
    }

    /// After days were merged: no more are kept in memory than there may be, whenever the file is written next.
    pub fn bound(&mut self) {
        self.store.prune(None);
    }

    /// What is to be on flash, if it is not there yet. `keep_days` counts back from today; a clock that may be wrong lets nothing go by age.
    pub fn commit(&mut self, sight: Sight, zone: &Zone, keep_days: u32) -> Option<Vec<u8>> {
        let trusts = sight.synchronised || self.is_steady(sight.now);
        let back = i32::try_from(keep_days.saturating_sub(1)).unwrap_or(i32::MAX);
        let today = zone.date(sight.now.unix).filter(|_| trusts);
        if self.store.prune(today.and_then(|today| today.plus(-back))) {
            self.change();
        }
        self.is_changed().then(|| {
            self.given = self.changes;
            self.store.bytes(sight.now.unix)
        })
    }

    /// Before the daemon ends: what waits is put down by the clock there is, if it was ever set.
    pub fn close(&mut self, now: Now, zone: &Zone) {
        if is_set(now) {
            self.settle(now, zone);
        }
    }

    /// What [`Book::commit`] gave last is on flash.
    pub fn committed(&mut self, unix: u64) {
        self.written = unix;
        self.safe = self.given;
    }

    /// When it was written, in seconds since 1970; 0: never.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Forgets every day. What the kernel has counted so far does not come again.
    pub fn erase(&mut self) {
        self.store = Store::default();
        self.pending.clear();
        self.told = None;
        self.written = 0;
        self.safe = self.changes;
    }

    /// The kernel's sets are empty.
    pub fn forget_all(&mut self) {
        self.counts.forget_all();
    }

    /// The kernel's sets have forgotten them.
    pub fn forget(&mut self, gone: Vec<Subject>) {
        self.counts.forget(gone);
    }
}

fn milliseconds(now: Now) -> i64 {
    i64::try_from(now.monotonic).unwrap_or(i64::MAX)
}

fn wall(unix: u64) -> i64 {
    i64::try_from(unix).unwrap_or(0)
}

/// Whether somebody has set the clock since the router was switched on, at any rate.
#[must_use]
pub fn is_set(now: Now) -> bool {
    wall(now.unix) >= schedule::CLOCK_IS_SET
}

fn put_down(store: &mut Store, slot: &Slot, now: Now, zone: &Zone) {
    for share in slot.shares(now, zone) {
        let hour = share.hour;
        let day = store.day(share.date);
        day.add(hour, share.of(slot.attempts.total));
        for (subject, attempts) in &slot.attempts.subjects {
            let attempts = share.of(*attempts);
            match subject.source {
                _ if attempts == 0 => {}
                None => day.add_service(subject.service, attempts),
                Some(source) => {
                    day.add_source(source, hour, attempts);
                    day.add_source_service(source, subject.service, attempts);
                }
            }
        }
    }
}

fn part(number: u64, seconds: u64, whole: u64) -> u64 {
    let whole = whole.max(1);
    // As much as fits goes in first: the product of two is more than a word of any router can take, and of few seconds it never is.
    let rest = (number % whole).saturating_mul(seconds) / whole;
    (number / whole).saturating_mul(seconds).saturating_add(rest)
}
