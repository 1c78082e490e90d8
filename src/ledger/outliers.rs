//! Which days are out of the ordinary.

use crate::date::Date;
use crate::gather::Gather;

/// A day is held against those that are not further away than this, before and after.
const NEAR: i32 = 30;
/// So many days tell what is usual on the last of them.
pub const DAYS: usize = 31;
/// With fewer days beside it, nobody knows what is ordinary.
const LEAST: usize = 7;
/// So many times the spread above the median.
const TIMES: u64 = 5;

/// What is usual around a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// The median of the days around it: half of them have fewer attempts.
    pub median: u64,
    /// How far days usually are from the median: the median of the distances, times 1.4826 (so that it is the standard deviation where
    /// numbers are distributed normally), and no less than a tenth of the median, its square root, and 10.
    pub spread: u64,
}

impl Usual {
    /// More is an outlier.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.median.saturating_add(self.spread.saturating_mul(TIMES))
    }
}

/// What is usual around a day, if that many attempts are more. `days` are in order; the day itself may be among them.
#[must_use]
pub fn outlier(days: &[(Date, u64)], date: Date, attempts: u64) -> Option<Usual> {
    usual(days, date).filter(|usual| attempts > usual.most())
}

fn usual(days: &[(Date, u64)], date: Date) -> Option<Usual> {
    let first = days.partition_point(|(other, _)| other.days() < date.days() - NEAR);
    let near = days
        .iter()
        .skip(first)
        .take_while(|(other, _)| other.days() <= date.days() + NEAR);
    let mut others: Vec<u64> = near
        .filter(|(other, _)| *other != date)
        .map(|(_, attempts)| *attempts)
        .gathered();
    if others.len() < LEAST {
        return None;
    }
    let median = median(&mut others);
    let mut distances: Vec<u64> = others.iter().map(|attempts| attempts.abs_diff(median)).gathered();
    let distance = self::median(&mut distances);
    let spread = (distance / 10_000)
        .saturating_mul(14_826)
        .saturating_add(distance % 10_000 * 14_826 / 10_000);
    let least = (median / 10).max(median.isqrt()).max(10);
    Some(Usual {
        median,
        spread: spread.max(least),
    })
}

fn median(numbers: &mut [u64]) -> u64 {
    // Sixty numbers at most: sorted by what is there for other lists, as to select one would be 4 KB more.
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}
