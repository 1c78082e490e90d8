//! What the lines of files come to.

use super::days::{DayCount, Days};
use super::{parse, Attempt, Line, Times, When, Why};
use crate::date::Date;
use std::hash::{DefaultHasher, Hasher};

/// How many lines that were not read are shown, and how much of each, in characters.
const SHOWN: usize = 5;
const SHOWN_CHARACTERS: usize = 120;
/// Before it nobody logged a line of this kind: the clock was not set.
const EARLIEST: (u16, u8, u8) = (2000, 1, 1);
/// A year of twelve months of 31 days: see [`Reading::yearless`].
const YEAR: i32 = 12 * 31;

/// What a file was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileCount {
    /// All lines.
    pub lines: u64,
    /// Refused packets, with those of which is only said how often they came again.
    pub attempts: u64,
    /// The latter alone.
    pub repeated: u64,
    /// Netfilter's lines that are no attempt: accepted, from inside, the router's own.
    pub no_attempts: u64,
    /// Other lines.
    pub foreign: u64,
    /// Netfilter's lines that were not read.
    pub unread: u64,
    /// The first of these.
    pub shown: Vec<Unread>,
    /// The same lines were in this run already, so that nothing of it counts again.
    pub known: bool,
}

/// A line that was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// From 1; 0: several.
    pub line: u64,
    /// Why.
    pub why: Why,
    /// Its beginning, without control characters.
    pub text: String,
}

impl FileCount {
    fn note(&mut self, why: Why, line: &[u8]) {
        self.unread += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(Unread {
                line: self.lines,
                why,
                text: shown(line),
            });
        }
    }
}

/// The beginning of a line, for people.
fn shown(line: &[u8]) -> String {
    let line = line.get(..4 * SHOWN_CHARACTERS).unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    let mut shown = String::new();
    let mut length = 0;
    for character in text.trim_end().chars() {
        let is_plain = !character.is_control()
            && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let more = if is_plain { 1 } else { character.escape_unicode().len() };
        length += more;
        if length > SHOWN_CHARACTERS {
            break;
        }
        if is_plain {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

/// A file that is being read.
///
/// Classic time stamps have no year. They follow each other, so each has the year in which it is nearest to the one before, and the last of them is no later
/// than the file, or than the first stamp that has a year.
#[derive(Debug)]
pub struct Reading {
    count: FileCount,
    hash: DefaultHasher,
    /// Tomorrow: a log server may be a zone ahead.
    latest: Date,
    earliest: Date,
    days: Days,
    /// Days before the first whose year is known. They are numbered `year * 372 + (month - 1) * 31 + day - 1`, so that each year has every day, and the year is
    /// right but for so many.
    yearless: Days,
    /// When the file was written.
    written: Date,
    /// The day before, numbered likewise.
    before: Option<i32>,
    /// Whether a stamp had a year.
    dated: bool,
    /// What "last message repeated" means.
    last: Option<Attempt>,
}

impl Reading {
    /// Begins. `written`: the day that the file was changed last, or today.
    #[must_use]
    pub fn new(today: Date, written: Date) -> Self {
        let (year, month, day) = EARLIEST;
        Self {
            count: FileCount::default(),
            hash: DefaultHasher::new(),
            latest: today.plus(1).unwrap_or(today),
            earliest: Date::of(year, month, day).unwrap_or(Date::FIRST),
            days: Days::default(),
            yearless: Days::default(),
            written: written.min(today),
            before: None,
            dated: false,
            last: None,
        }
    }

    /// How many attempts were counted so far.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.count.attempts
    }

    /// The next line, with its end or without.
    pub fn line(&mut self, line: &[u8], times: &Times) {
        self.count.lines += 1;
        self.hash.write(line.strip_suffix(b"\n").unwrap_or(line));
        self.hash.write_u8(b'\n');
        let last = self.last.take();
        let read = match parse(line, times) {
            Line::Attempt(attempt) => {
                self.last = Some(attempt);
                self.add(&attempt, 1)
            }
            Line::Repeated { times, of } => {
                self.last = of.or(last);
                match self.last {
                    Some(attempt) => self.repeat(&attempt, times),
                    None => {
                        self.count.foreign += 1;
                        Ok(())
                    }
                }
            }
            Line::NoAttempt => {
                self.count.no_attempts += 1;
                Ok(())
            }
            Line::Foreign => {
                self.count.foreign += 1;
                Ok(())
            }
            Line::Unread(why) => Err(why),
        };
        if let Err(why) = read {
            self.last = None;
            self.count.note(why, line);
        }
    }

    fn repeat(&mut self, attempt: &Attempt, times: u32) -> Result<(), Why> {
        self.add(attempt, times.into())?;
        self.count.repeated = self.count.repeated.saturating_add(times.into());
        Ok(())
    }

    fn add(&mut self, attempt: &Attempt, times: u64) -> Result<(), Why> {
        let is_counted = match attempt.when {
            When::Day(date) => {
                self.judge(date)?;
                self.before = Some(number(date));
                if !self.dated {
                    self.dated = true;
                    self.settle(date);
                }
                self.days.add(date.days(), attempt, times)
            }
            When::Yearless { month, day } => {
                let number = self.nearest(month, day);
                if self.dated {
                    let date = date(number).ok_or(Why::BadDate)?;
                    self.judge(date)?;
                    self.before = Some(number);
                    self.days.add(date.days(), attempt, times)
                } else {
                    // Only so many days are added, which also bounds how far a file that jumps about can lead.
                    let is_counted = self.yearless.add(number, attempt, times);
                    self.before = if is_counted { Some(number) } else { self.before };
                    is_counted
                }
            }
        };
        if !is_counted {
            return Err(Why::TooManyDays);
        }
        self.count.attempts = self.count.attempts.saturating_add(times);
        Ok(())
    }

    fn judge(&self, date: Date) -> Result<(), Why> {
        if date < self.earliest {
            Err(Why::TooEarly)
        } else if date > self.latest {
            Err(Why::TooLate)
        } else {
            Ok(())
        }
    }

    /// The day's number in the year in which it is nearest to the day before; or the last one before the file was written.
    fn nearest(&self, month: u8, day: u8) -> i32 {
        let of_year = (i32::from(month) - 1) * 31 + i32::from(day) - 1;
        let last = match self.before {
            Some(before) => before + YEAR / 2,
            None => number(self.written.plus(1).unwrap_or(self.written)),
        };
        last - (last - of_year).rem_euclid(YEAR)
    }

    /// Gives the days without a year the last ones in which all of them exist and none is later than a day, or than the one behind it.
    fn settle(&mut self, last: Date) {
        let yearless = std::mem::take(&mut self.yearless);
        let Some(newest) = yearless.keys().next_back() else {
            return;
        };
        let last = number(last.plus(1).unwrap_or(last));
        let least = ((newest - last).max(0) + YEAR - 1) / YEAR;
        let fits = |years: &i32| yearless.keys().all(|key| date(key - years * YEAR).is_some());
        // Leap years are eight years apart at most.
        let years = (least..least + 8).find(fits).unwrap_or(least);
        let earliest = self.earliest;
        let rename = |key: i32| {
            date(key - years * YEAR)
                .filter(|date| *date >= earliest)
                .map(Date::days)
        };
        let lost = self.days.merge(yearless, &rename);
        self.count.lose(lost, Why::BadDate);
    }
}

impl FileCount {
    /// Attempts that turned out not to count.
    fn lose(&mut self, attempts: u64, why: Why) {
        if attempts > 0 {
            self.attempts = self.attempts.saturating_sub(attempts);
            self.unread = self.unread.saturating_add(attempts);
            self.shown.truncate(SHOWN - 1);
            self.shown.push(Unread {
                line: 0,
                why,
                text: String::new(),
            });
        }
    }
}

/// The number of a day in years of equal length.
fn number(date: Date) -> i32 {
    let (year, month, day) = date.year_month_day();
    i32::from(year) * YEAR + (i32::from(month) - 1) * 31 + i32::from(day) - 1
}

/// And back. `None`: the year has no such day.
fn date(number: i32) -> Option<Date> {
    let (year, of_year) = (number.div_euclid(YEAR), number.rem_euclid(YEAR));
    let (month, day) = (of_year / 31 + 1, of_year % 31 + 1);
    Date::of(
        u16::try_from(year).ok()?,
        u8::try_from(month).ok()?,
        u8::try_from(day).ok()?,
    )
}

/// The attempts of a run, over all its files.
#[derive(Debug, Default)]
pub struct Tally {
    days: Days,
    /// What was added: hash and number of lines.
    known: Vec<(u64, u64)>,
}

impl Tally {
    /// Adds a file, unless the same lines were added before, and says what it was.
    pub fn add(&mut self, mut reading: Reading) -> FileCount {
        let written = reading.written;
        reading.settle(written);
        let content = (reading.hash.finish(), reading.count.lines);
        let mut count = reading.count;
        if count.lines > 0 && self.known.contains(&content) {
            count.known = true;
            return count;
        }
        self.known.push(content);
        if self.days.is_empty() {
            self.days = reading.days;
        } else {
            let lost = self.days.merge(reading.days, &Some);
            count.lose(lost, Why::TooManyDays);
        }
        count
    }

    /// The days, the newest last.
    pub fn into_days(self) -> impl Iterator<Item = DayCount> {
        self.days.into_counts()
    }
}
