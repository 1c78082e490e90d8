//! The time stamps that lines begin with.

use super::{decimal, Why};
use crate::date::Date;

/// What lines do not say of their times.
#[derive(Clone, Copy)]
pub struct Times<'a> {
    /// Seconds that local clocks are ahead of UTC at a time in seconds since 1970 UTC; `None`: not to be known. Only asked for stamps that have a zone.
    pub local: &'a dyn Fn(i64) -> Option<i64>,
    /// When the kernel started that wrote the lines, in seconds since 1970 UTC, for lines that have only the kernel's own time stamp.
    pub boot: Option<i64>,
}

/// A line's local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// As it was written.
    Day(Date),
    /// The classic stamp has no year.
    Yearless {
        /// From 1.
        month: u8,
        /// From 1; one that this month has in some year.
        day: u8,
    },
}

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];
const WEEKDAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// What journalctl writes behind the number of a month in Japanese and Chinese.
const MONTH_SIGN: &[u8] = "月".as_bytes();

/// What stands between a stamp and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A host, a facility, a program with a colon, or none of them.
    Plain,
    /// RFC 5424: host, program, process, message's id, data.
    Fields,
}

/// The day and the hour, and what stands behind the stamp.
pub(super) fn read<'a>(line: &'a [u8], times: &Times) -> (Result<(When, u8), Why>, &'a [u8], Form) {
    let mut text = Text(line);
    let form = text.priority();
    let bracket = text.eat(b'[');
    text.blanks();
    let mut stamp = text;
    let read = if bracket { uptime(&mut stamp, times) } else { None };
    let read = read.or_else(|| {
        stamp = text;
        let read = absolute(&mut stamp, times, bracket);
        if bracket && !stamp.eat(b']') {
            return None;
        }
        read
    });
    match read {
        Some(read) => (read, stamp.0, form),
        None => (Err(Why::NoDate), line, form),
    }
}

/// A stamp that says the day. `None`: nothing that is known here.
fn absolute(text: &mut Text, times: &Times, bracket: bool) -> Option<Result<(When, u8), Why>> {
    let weekday = text.name(&WEEKDAYS).is_some();
    if weekday {
        text.eat(b',');
        text.blanks();
    }
    let before = *text;
    if let Some(month) = text.name(&MONTHS) {
        return classic(text, month, weekday || bracket);
    }
    *text = before;
    let (digits, number) = text.number()?;
    match digits {
        1 | 2 => {
            text.0 = text.0.strip_prefix(MONTH_SIGN)?;
            classic(text, u8::try_from(number).ok()?, false)
        }
        4 => iso(text, number, times),
        // Seconds since 1970 (journalctl's short-unix), until the year 2286.
        9 | 10 => {
            if !matches!(text.0, [b'.' | b' ', ..]) {
                return None;
            }
            text.fraction();
            Some(local(number.into(), times))
        }
        _ => None,
    }
}

/// `[12345.678901]`: seconds since the kernel started.
fn uptime(text: &mut Text, times: &Times) -> Option<Result<(When, u8), Why>> {
    let (_, seconds) = text.number()?;
    if !text.fraction() || !text.eat(b']') {
        return None;
    }
    Some(match times.boot {
        Some(boot) => local(boot.saturating_add(seconds.into()), times),
        None => Err(Why::NoDate),
    })
}

/// `Apr  6 16:05:29`, from behind the month; with a year before the time, or (with `long`) behind it, as in `Mon Apr  6 16:05:29 CEST 2020`.
fn classic(text: &mut Text, month: u8, long: bool) -> Option<Result<(When, u8), Why>> {
    text.blanks();
    let (digits, day) = text.number()?;
    text.blanks();
    let mut year = text.year();
    if year.is_some() {
        text.blanks();
    }
    let hour = text.time()?;
    text.fraction();
    if long && year.is_none() {
        let mut ahead = *text;
        ahead.blanks();
        year = ahead.year();
        if year.is_none() {
            // A zone's name, which says nothing to be relied on.
            ahead.word();
            ahead.blanks();
            year = ahead.year();
        }
        if year.is_some() {
            *text = ahead;
        }
    }
    let Some(day) = u8::try_from(day).ok().filter(|_| digits < 3) else {
        return Some(Err(Why::BadDate));
    };
    let when = match year {
        Some(year) => Date::of(year, month, day).map(When::Day),
        // A leap year, which has every day that there is.
        None => Date::of(2000, month, day).map(|_| When::Yearless { month, day }),
    };
    Some(when.zip(hour).ok_or(Why::BadDate))
}

/// `2020-04-06T16:05:29.123456+02:00`, from behind the year; RFC 3339 and its relatives.
fn iso(text: &mut Text, year: u32, times: &Times) -> Option<Result<(When, u8), Why>> {
    let separator = *text.0.first().filter(|byte| matches!(byte, b'-' | b'/' | b'.'))?;
    text.eat(separator);
    let month = text.two()?;
    if !text.eat(separator) {
        return None;
    }
    let day = text.two()?;
    if !text.eat(b'T') && !text.eat(b't') && !text.eat(b' ') && !text.eat(b'_') {
        return None;
    }
    let before = *text;
    let hour = text.time()?;
    text.fraction();
    let Some((date, hour)) = u16::try_from(year)
        .ok()
        .and_then(|year| Date::of(year, month, day))
        .zip(hour)
    else {
        return Some(Err(Why::BadDate));
    };
    let Some(zone) = text.zone() else {
        return Some(Ok((When::Day(date), hour)));
    };
    let Some((zone, (minute, second))) = zone.zip(before.minute_second()) else {
        return Some(Err(Why::BadDate));
    };
    let written = i64::from(date.days()) * DAY + i64::from(hour) * HOUR + i64::from(minute) * 60 + i64::from(second);
    Some(local(written - zone, times))
}

/// The local day and hour of a time in UTC.
fn local(utc: i64, times: &Times) -> Result<(When, u8), Why> {
    let local = (times.local)(utc).and_then(|ahead| utc.checked_add(ahead));
    let local = local.ok_or(Why::BadDate)?;
    let date = Date::from_days(local.div_euclid(DAY)).ok_or(Why::BadDate)?;
    let hour = u8::try_from(local.rem_euclid(DAY) / HOUR).map_err(|_| Why::BadDate)?;
    Ok((When::Day(date), hour))
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn blanks(&mut self) {
        while self.eat(b' ') {}
    }

    /// The digits that come, and how many; none: nothing is eaten.
    fn number(&mut self) -> Option<(usize, u32)> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at_checked(digits)?;
        let number = decimal(number)?;
        self.0 = rest;
        Some((digits, number))
    }

    /// Exactly two digits.
    fn two(&mut self) -> Option<u8> {
        let (digits, number) = self.number()?;
        u8::try_from(number).ok().filter(|_| digits == 2)
    }

    /// Four digits, a word of their own.
    fn year(&mut self) -> Option<u16> {
        let mut ahead = *self;
        let (digits, year) = ahead.number()?;
        if digits != 4 || !matches!(ahead.0, [] | [b' ' | b']', ..]) {
            return None;
        }
        *self = ahead;
        u16::try_from(year).ok()
    }

    /// Letters, `+` and `-`.
    fn word(&mut self) {
        let is_part = |byte: &&u8| byte.is_ascii_alphabetic() || matches!(byte, b'+' | b'-');
        let length = self.0.iter().take_while(is_part).count();
        self.0 = self.0.get(length..).unwrap_or(&[]);
    }

    /// The number, from 1, of a name of three letters with a blank or a comma behind it.
    fn name(&mut self, names: &[&[u8]]) -> Option<u8> {
        let (name, rest) = self.0.split_at_checked(3)?;
        if !matches!(rest, [b' ' | b',', ..]) {
            return None;
        }
        let at = names.iter().position(|known| name.eq_ignore_ascii_case(known))?;
        self.0 = rest;
        u8::try_from(at + 1).ok()
    }

    /// `<4>`, and RFC 5424's version behind it.
    fn priority(&mut self) -> Form {
        let (mut ahead, mut form) = (*self, Form::Plain);
        if ahead.eat(b'<') && ahead.number().is_some_and(|(digits, _)| digits <= 3) && ahead.eat(b'>') {
            *self = ahead;
            if ahead.number().is_some_and(|(digits, _)| digits <= 2) && ahead.eat(b' ') {
                *self = ahead;
                form = Form::Fields;
            }
        }
        self.blanks();
        form
    }

    /// `16:05:29`: the hour. `None`: no time; `Some(None)`: one that cannot be.
    fn time(&mut self) -> Option<Option<u8>> {
        let mut ahead = *self;
        let hour = ahead.two()?;
        let (minute, second) = self.minute_second()?;
        // Past the eight characters, which are there.
        self.0 = self.0.get(8..)?;
        Some((hour < 24 && minute < 60 && second <= 60).then_some(hour))
    }

    /// The minute and the second of the time that comes.
    fn minute_second(self) -> Option<(u8, u8)> {
        let mut text = self;
        text.two()?;
        let minute = if text.eat(b':') { text.two()? } else { return None };
        let second = if text.eat(b':') { text.two()? } else { return None };
        Some((minute, second))
    }

    /// `.123456`, or with a comma. Whether there was one.
    fn fraction(&mut self) -> bool {
        match self.0 {
            [b'.' | b',', digit, ..] if digit.is_ascii_digit() => {
                let digits = self.0.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
                self.0 = self.0.get(1 + digits..).unwrap_or(&[]);
                true
            }
            _ => false,
        }
    }

    /// Seconds east of UTC. `None`: no zone; `Some(None)`: one that cannot be.
    fn zone(&mut self) -> Option<Option<i64>> {
        if self.eat(b'Z') || self.eat(b'z') {
            return Some(Some(0));
        }
        let mut ahead = *self;
        ahead.blanks();
        if [&b"UTC "[..], b"GMT "].iter().any(|name| ahead.0.starts_with(name)) {
            self.0 = ahead.0.get(3..)?;
            return Some(Some(0));
        }
        let west = ahead.0.first() == Some(&b'-');
        if !ahead.eat(b'+') && !ahead.eat(b'-') {
            return None;
        }
        let (digits, number) = ahead.number()?;
        let (hours, minutes) = match digits {
            2 if ahead.eat(b':') => (number, u32::from(ahead.two()?)),
            2 => (number, 0),
            4 => (number / 100, number % 100),
            _ => return None,
        };
        *self = ahead;
        let seconds = i64::from(hours) * HOUR + i64::from(minutes) * 60;
        let possible = hours < 24 && minutes < 60;
        Some(possible.then_some(if west { -seconds } else { seconds }))
    }
}
