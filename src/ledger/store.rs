//! All days of the ledger, and their file.
//!
//! The file: [`MAGIC`] with the version and the time of its writing (8 bytes), then the days in order. Each day: the days since 1970 (4 bytes), the length
//! of what [`Day::encode`] wrote (4 bytes), that, and a checksum of all three (4 bytes); numbers with the highest byte first. A day that is damaged
//! is left out, and the next one is looked for.

use super::day::{attempts_of, Day};
use crate::date::Date;
use crate::gather::Gather;
use crate::spa::checksum;

/// The name of the format and its version.
const MAGIC: &[u8; 8] = b"lwledgr\x01";
const HEAD: usize = 16;
const FRAME: usize = 12;
/// Days that have their sources, the newest ones.
pub const WITH_SOURCES: usize = 31;
/// No hour, no service, no source. (So that a file of zeros, as a loss of power may leave it, is told from days at once.)
const LEAST_OF_DAY: usize = 5;
/// No day in the file takes more, not even with the largest numbers: see [`WORST_CASE`]. (Where something is damaged, so much is looked at for each byte.)
const MOST_OF_DAY: usize = 84 * 1024;
/// Nor does one that is not over, with all the services and sources that are kept of it until then.
const MOST_OF_OPEN_DAY: usize = 512 * 1024;
/// Days that are kept as they are read, not as they are written down: the last ones that were changed.
const OPEN: usize = 3;
/// Days in all, whatever the clock says and whatever is imported.
pub const MOST_DAYS: usize = 4096;

/// Bytes of the file that keeps 800 days, if in every hour of each fewer than 2^28 attempts came, 64 services have been tried on each, and 256 IPv6
/// addresses came in every hour of the newest 31.
pub const WORST_CASE: usize =
    HEAD + 800 * (FRAME + 3 + 24 * 4 + 1 + 64 * 7 + 1) + WITH_SOURCES * (1 + 256 * (17 + 3 + 24 * 4 + 1 + 4 * 7));

/// The days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Store {
    /// In order, each as it is written down.
    closed: Vec<(Date, Vec<u8>)>,
    /// The one that was changed last is the last; none of them is among the others.
    open: Vec<(Date, Day)>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Days, when they were written down (seconds since 1970), and how many bytes of it make no sense.
    Days(Store, u64, usize),
    /// A later program wrote it.
    Newer,
    /// It is no such file.
    Foreign,
}

impl Store {
    /// The day, to be changed.
    pub fn day(&mut self, date: Date) -> &mut Day {
        let day = match self.open.iter().position(|(known, _)| *known == date) {
            Some(at) => self.open.remove(at).1,
            None => self.take_closed(date).unwrap_or_default(),
        };
        if self.open.len() >= OPEN {
            let (date, day) = self.open.remove(0);
            self.close(date, day);
        }
        let at = self.open.len();
        self.open.push((date, day));
        &mut self.open[at].1
    }

    fn find(&self, date: Date) -> Result<usize, usize> {
        self.closed.binary_search_by_key(&date, |(known, _)| *known)
    }

    fn take_closed(&mut self, date: Date) -> Option<Day> {
        let at = self.find(date).ok()?;
        Day::decode(&self.closed.remove(at).1)
    }

    fn close(&mut self, date: Date, mut day: Day) {
        day.shrink();
        let bytes = day.encode();
        match self.find(date) {
            Ok(at) => self.closed[at].1 = bytes,
            Err(at) => self.closed.insert(at, (date, bytes)),
        }
    }

    /// The days, newest first, each as far as it is written down.
    pub fn newest_first(&self) -> impl Iterator<Item = (Date, Day)> + '_ {
        let shrunk = |day: &Day| {
            let mut day = day.clone();
            day.shrink();
            day
        };
        self.each(shrunk, |bytes| Day::decode(bytes).unwrap_or_default())
    }

    /// The days' attempts, newest first: for a fraction of what it takes to read the days.
    pub fn totals(&self) -> impl Iterator<Item = (Date, u64)> + '_ {
        self.each(Day::attempts, attempts_of)
    }

    fn each<'a, T>(
        &'a self,
        of_open: impl Fn(&Day) -> T + 'a,
        of_closed: impl Fn(&[u8]) -> T + 'a,
    ) -> impl Iterator<Item = (Date, T)> + 'a {
        let mut open: Vec<&(Date, Day)> = self.open.iter().gathered();
        open.sort_unstable_by_key(|(date, _)| *date);
        let mut closed = self.closed.iter().rev().peekable();
        std::iter::from_fn(move || {
            let is_next = match (open.last(), closed.peek()) {
                (Some((date, _)), Some((other, _))) => date > other,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if is_next {
                let (date, day) = open.pop()?;
                return Some((*date, of_open(day)));
            }
            let (date, bytes) = closed.next()?;
            Some((*date, of_closed(bytes)))
        })
    }

    /// The newest day.
    #[must_use]
    pub fn newest(&self) -> Option<Date> {
        let open = self.open.iter().map(|(date, _)| *date).max();
        open.max(self.closed.last().map(|(date, _)| *date))
    }

    /// How many days there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.closed.len() + self.open.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets go what is too old: days before `oldest`, where that is known, what is more than [`MOST_DAYS`], and the sources of all but the newest days
    /// that have some. Whether there was anything to let go.
    pub fn prune(&mut self, oldest: Option<Date>) -> bool {
        let before = self.len();
        let is_old = |date: Date| oldest.is_some_and(|oldest| date < oldest);
        self.closed.retain(|(date, _)| !is_old(*date));
        self.open.retain(|(date, _)| !is_old(*date));
        let too_many = self.closed.len().saturating_sub(MOST_DAYS);
        self.closed.drain(..too_many);
        let mut has_changed = self.len() < before;
        let mut kept = 0;
        for (date, bytes) in self.closed.iter_mut().rev() {
            let Some(mut day) = Day::decode(bytes).filter(|day| !day.sources.is_empty()) else {
                continue;
            };
            let newer = self.open.iter().filter(|(open, _)| open > date).count();
            if kept + newer < WITH_SOURCES {
                kept += 1;
                continue;
            }
            day.sources.clear();
            *bytes = day.encode();
            has_changed = true;
        }
        has_changed
    }

    /// The file's content.
    #[must_use]
    pub fn bytes(&self, unix: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&unix.to_be_bytes());
        let mut open: Vec<(Date, Day)> = self.open.clone();
        open.sort_unstable_by_key(|(date, _)| *date);
        let mut open = open.into_iter().peekable();
        for (date, day) in &self.closed {
            while let Some((before, day)) = open.next_if(|(open, _)| open < date) {
                put_shrunk(&mut bytes, before, day);
            }
            put_day(&mut bytes, *date, day);
        }
        for (date, day) in open {
            put_shrunk(&mut bytes, date, day);
        }
        bytes
    }

    /// Reads what [`Store::bytes`] wrote.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Parsed {
        let (name, version) = MAGIC.split_at(MAGIC.len() - 1);
        let Some((head, days)) = bytes.split_first_chunk::<HEAD>() else {
            return Parsed::Foreign;
        };
        match head.strip_prefix(name) {
            None => return Parsed::Foreign,
            Some(rest) if rest.first() > version.first() => return Parsed::Newer,
            Some(_) => {}
        }
        let unix = head
            .iter()
            .skip(MAGIC.len())
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let (store, lost) = read_days(days, MOST_OF_DAY);
        Parsed::Days(store, unix, lost)
    }

    /// The days that were changed last, whole, for the next daemon.
    pub(super) fn encode_open(&self, bytes: &mut Vec<u8>) {
        let mut open: Vec<&(Date, Day)> = self.open.iter().gathered();
        open.sort_unstable_by_key(|(date, _)| *date);
        for (date, day) in open {
            put_day(bytes, *date, &day.encode());
        }
    }

    /// Takes in what [`Store::encode_open`] wrote: it is newer than what the file says of these days. Whether there are any.
    pub(super) fn take_open(&mut self, bytes: &[u8]) -> bool {
        let (changed, _) = read_days(bytes, MOST_OF_OPEN_DAY);
        let any = !changed.is_empty();
        for (date, bytes) in changed.closed {
            if let Some(day) = Day::decode(&bytes) {
                *self.day(date) = day;
            }
        }
        any
    }
}

fn put_shrunk(bytes: &mut Vec<u8>, date: Date, mut day: Day) {
    day.shrink();
    put_day(bytes, date, &day.encode());
}

fn put_day(bytes: &mut Vec<u8>, date: Date, day: &[u8]) {
    let from = bytes.len();
    bytes.extend_from_slice(&date.days().to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(day.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(day);
    let check = check(&bytes[from..]);
    bytes.extend_from_slice(&check);
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = checksum(bytes);
    [a, b, c, d]
}

/// The days, none of which takes more than `most` bytes, and how many bytes were none.
fn read_days(bytes: &[u8], most: usize) -> (Store, usize) {
    let mut store = Store::default();
    let (mut at, mut lost) = (0, 0);
    while at < bytes.len() {
        match bytes.get(at..).and_then(|bytes| first_day(bytes, most)) {
            Some((date, day)) if store.closed.last().is_none_or(|(before, _)| *before < date) => {
                at += FRAME + day.len();
                store.closed.push((date, day.to_vec()));
            }
            _ => {
                at += 1;
                lost += 1;
            }
        }
    }
    (store, lost)
}

fn first_day(bytes: &[u8], most: usize) -> Option<(Date, &[u8])> {
    let (days, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let date = Date::from_days(i64::from(i32::from_be_bytes(*days)))?;
    if !(LEAST_OF_DAY..=most).contains(&length) {
        return None;
    }
    let (day, rest) = rest.split_at_checked(length)?;
    // What is no day is told sooner by reading it than by its checksum.
    Day::decode(day)?;
    let whole = bytes.get(..8 + length)?;
    (rest.get(..4)? == check(whole)).then_some(())?;
    Some((date, day))
}
