//! A day of the calendar, without a time and without a zone: the ledger's days are the router's local ones.

use std::fmt;
use std::str::FromStr;

/// A day between 1970-01-01 and 9999-12-31, by the Gregorian calendar. Ordered by time; written and read as `YYYY-MM-DD` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(i32);

/// Days from the beginning of March to that of each month, March first: so the day that some years have comes last.
const BEFORE: [i32; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];
/// Days in 400 years, after which the calendar repeats itself.
const ERA: i32 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i32 = 719_468;

impl Date {
    /// 1970-01-01.
    pub const FIRST: Self = Self(0);
    /// 9999-12-31.
    pub const LAST: Self = Self(2_932_896);

    /// `None`: the calendar has no such day, or it is out of range.
    #[must_use]
    pub fn of(year: u16, month: u8, day: u8) -> Option<Self> {
        if !(1970..=9999).contains(&year) || day == 0 || day > days_in(year, month)? {
            return None;
        }
        // A year begins in March here.
        let (year, month) = match month {
            1 | 2 => (i32::from(year) - 1, usize::from(month) + 9),
            _ => (i32::from(year), usize::from(month) - 3),
        };
        let (era, year) = (year / 400, year % 400);
        let of_year = BEFORE.get(month)? + i32::from(day) - 1;
        Some(Self(era * ERA + year * 365 + year / 4 - year / 100 + of_year - EPOCH))
    }

    /// The day that is so many after 1970-01-01. `None`: out of range.
    #[must_use]
    pub fn from_days(days: i64) -> Option<Self> {
        let date = Self(i32::try_from(days).ok()?);
        (Self::FIRST..=Self::LAST).contains(&date).then_some(date)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// Year, month (from 1), day (from 1).
    #[must_use]
    pub fn year_month_day(self) -> (u16, u8, u8) {
        let days = self.0 + EPOCH;
        let (era, of_era) = (days / ERA, days % ERA);
        // Every 4 years have a day more, every 100 one less, and the 400 again one more.
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (year * 365 + year / 4 - year / 100);
        let month = BEFORE.partition_point(|before| *before <= of_year).max(1) - 1;
        let day = of_year - BEFORE.get(month).copied().unwrap_or(0) + 1;
        let (next_year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
        let year = era * 400 + year + next_year;
        (
            u16::try_from(year).unwrap_or(u16::MAX),
            u8::try_from(month).unwrap_or(u8::MAX),
            u8::try_from(day).unwrap_or(u8::MAX),
        )
    }

    /// So many days later, or earlier. `None`: out of range.
    #[must_use]
    pub fn plus(self, days: i32) -> Option<Self> {
        Self::from_days(i64::from(self.0) + i64::from(days))
    }
}

/// `None`: there is no such month.
fn days_in(year: u16, month: u8) -> Option<u8> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => Some(if leap { 29 } else { 28 }),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.year_month_day();
        write!(out, "{year:04}-{month:02}-{day:02}")
    }
}

/// Why a text is no [`Date`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDate;

impl fmt::Display for NoDate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a day as YYYY-MM-DD between 1970-01-01 and 9999-12-31")
    }
}

impl std::error::Error for NoDate {}

impl FromStr for Date {
    type Err = NoDate;

    /// Exactly `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, NoDate> {
        parse(text.as_bytes()).ok_or(NoDate)
    }
}

fn parse(text: &[u8]) -> Option<Date> {
    let &[a, b, c, d, b'-', e, f, b'-', g, h] = text else {
        return None;
    };
    let two =
        |high: u8, low: u8| (high.is_ascii_digit() && low.is_ascii_digit()).then(|| (high - b'0') * 10 + low - b'0');
    let year = u16::from(two(a, b)?) * 100 + u16::from(two(c, d)?);
    Date::of(year, two(e, f)?, two(g, h)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_range_has_one_name_and_follows_the_one_before() {
        let mut date = Date::FIRST;
        let mut before = (1969, 12, 31);
        loop {
            let (year, month, day) = date.year_month_day();
            let month_ends = days_in(before.0, before.1) == Some(before.2);
            let wanted = match before {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, _) if month_ends => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
            assert_eq!((year, month, day), wanted);
            assert_eq!(Date::of(year, month, day), Some(date));
            before = wanted;
            match date.plus(1) {
                Some(next) => date = next,
                None => break,
            }
        }
        assert_eq!((date, before), (Date::LAST, (9999, 12, 31)));
        assert_eq!(Date::LAST.to_string(), "9999-12-31");
    }

    /// By `date -u -d DATE +%s`, divided by 86400.
    #[test]
    fn days_are_those_that_others_count() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11016),
            ("2020-04-06", 18358),
            ("2100-03-01", 47541),
        ] {
            let date: Date = text.parse().unwrap();
            assert_eq!((date.days(), date.to_string().as_str()), (days, text));
            assert_eq!(Date::from_days(i64::from(days)), Some(date));
        }
    }

    #[test]
    fn what_is_no_day_is_none() {
        for (year, month, day) in [
            (1969, 12, 31),
            (10000, 1, 1),
            (2019, 2, 29),
            (2100, 2, 29),
            (2020, 0, 1),
            (2020, 13, 1),
            (2020, 1, 0),
            (2020, 4, 31),
            (u16::MAX, u8::MAX, u8::MAX),
        ] {
            assert_eq!(Date::of(year, month, day), None, "{year} {month} {day}");
        }
        for text in [
            "",
            "2020-4-6",
            "2020-04-6 ",
            " 020-04-06",
            "+020-04-06",
            "2020-04-06T",
            "2020/04/06",
            "20200406",
            "2020-02-30",
            "1969-12-31",
            "２０20-04-06",
            "0000-00-00",
        ] {
            assert_eq!(text.parse::<Date>(), Err(NoDate), "{text}");
        }
        assert_eq!(Date::FIRST.plus(-1), None);
        assert_eq!(Date::LAST.plus(1), None);
        assert_eq!(Date::FIRST.plus(i32::MAX).or(Date::LAST.plus(i32::MIN)), None);
        assert_eq!(Date::from_days(i64::MAX).or(Date::from_days(-1)), None);
        assert_eq!(
            "2020-03-01".parse::<Date>().unwrap().plus(-1),
            "2020-02-29".parse().ok()
        );
    }
}
