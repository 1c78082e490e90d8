//! Questions about the ledger's days, and their answers.

use super::day::{Day, Source};
use super::outliers::{outlier, Usual};
use super::store::Store;
use super::Service;
use crate::date::Date;
use crate::gather::Gather;
use std::cmp::Reverse;
use std::net::IpAddr;

/// What the rows of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum By {
    Day,
    Hour,
    Month,
    Port,
    Source,
}

impl By {
    /// All there are, with their words.
    pub const ALL: [(&'static str, Self); 5] = [
        ("day", Self::Day),
        ("hour", Self::Hour),
        ("month", Self::Month),
        ("port", Self::Port),
        ("source", Self::Source),
    ];

    /// Rows of one answer: it has to stay well under the bus's 1 MiB.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Source => 1000,
            _ => 4000,
        }
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What the rows are.
    pub by: By,
    /// The first day.
    pub from: Option<Date>,
    /// The last day.
    pub to: Option<Date>,
    /// Rows, the newest.
    pub limit: Option<usize>,
    /// Only this protocol.
    pub protocol: Option<u8>,
    /// Only this port.
    pub port: Option<u16>,
    /// Only this source.
    pub address: Option<IpAddr>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Row {
    Day {
        date: Date,
        attempts: u64,
        /// If it is out of the ordinary: what is usual.
        usual: Option<Usual>,
    },
    Hour {
        date: Date,
        hour: u8,
        attempts: u64,
    },
    Month(Month),
    Port {
        date: Date,
        /// `None`: all others.
        service: Option<Service>,
        attempts: u64,
    },
    Source {
        date: Date,
        /// `None`: all others.
        address: Option<IpAddr>,
        attempts: u64,
        services: Vec<(Service, u64)>,
    },
}

/// A month. Averages are in tenths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Month {
    pub year: u16,
    pub month: u8,
    pub attempts: u64,
    /// Days that were counted.
    pub days: u64,
    pub per_day: u64,
    pub per_day_without_outliers: u64,
    /// Tenths of a percent of the same month a year before, outliers left out in both.
    pub year_on_year: Option<u64>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Newest last.
    pub rows: Vec<Row>,
    /// There are more, which are older.
    pub more: bool,
}

impl Query {
    /// Everything by day, as far as it fits.
    #[must_use]
    pub fn all(by: By) -> Self {
        Self {
            by,
            from: None,
            to: None,
            limit: None,
            protocol: None,
            port: None,
            address: None,
        }
    }

    /// Answers it.
    ///
    /// # Errors
    /// What the ledger does not keep, for people.
    pub fn answer(&self, store: &Store) -> Result<Answer, String> {
        self.check()?;
        let most = self.limit.unwrap_or(usize::MAX).min(self.by.most());
        let newest = store.newest();
        Ok(match self.by {
            By::Day => cut(self.days(store, most), most),
            By::Month => cut(self.months(store), most),
            By::Hour => self.blocks(store, most, |date, day| self.hours(date, day, newest == Some(date))),
            By::Port => self.blocks(store, most, |date, day| self.ports(date, day)),
            By::Source => self.blocks(store, most, |date, day| self.sources(date, day)),
        })
    }

    /// Whether the ledger keeps what is asked for.
    ///
    /// # Errors
    /// What it does not keep, and how to ask, for people.
    pub(crate) fn check(&self) -> Result<(), String> {
        let of_service = self.protocol.is_some() || self.port.is_some();
        let of_source = self.address.is_some();
        match self.by {
            By::Hour if of_service => Err("hours are not kept by port: ask by day, or for one address".into()),
            By::Day | By::Month if of_service && of_source => {
                Err("days are kept by port or by address, not by both: ask by source".into())
            }
            By::Month if of_source => Err("addresses are kept for 31 days only: ask by day, hour or source".into()),
            _ => Ok(()),
        }
    }

    fn holds(&self, date: Date) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }

    /// Whether the filters let it pass.
    pub(crate) fn is_of(&self, service: Service) -> bool {
        self.protocol.is_none_or(|protocol| protocol == service.protocol)
            && self.port.is_none_or(|port| port == service.port)
    }

    /// How many of a day the filters mean, of which there is one.
    fn amount(&self, day: &Day) -> u64 {
        if let Some(source) = self.address.and_then(|address| source(day, address)) {
            return source.attempts();
        }
        match (self.address, self.protocol, self.port) {
            (Some(_), ..) => 0,
            (None, ..) => self.of_services(&day.services),
        }
    }

    fn of_services(&self, services: &[(Service, u64)]) -> u64 {
        let meant = services.iter().filter(|(service, _)| self.is_of(*service));
        meant.fold(0, |sum, (_, attempts)| sum.saturating_add(*attempts))
    }

    /// In order of time.
    fn totals(&self, store: &Store) -> Vec<(Date, u64)> {
        let has_filters = self.protocol.is_some() || self.port.is_some() || self.address.is_some();
        let mut totals: Vec<(Date, u64)> = match has_filters {
            false => store.totals().gathered(),
            true => store
                .newest_first()
                .map(|(date, day)| (date, self.amount(&day)))
                .gathered(),
        };
        totals.reverse();
        totals
    }

    /// Newest first, as the others below.
    fn days(&self, store: &Store, most: usize) -> Vec<Row> {
        let totals = self.totals(store);
        let asked = totals.iter().rev().filter(|(date, _)| self.holds(*date));
        let rows = asked.take(most.saturating_add(1)).map(|(date, attempts)| Row::Day {
            date: *date,
            attempts: *attempts,
            usual: outlier(&totals, *date, *attempts),
        });
        rows.gathered()
    }

    fn months(&self, store: &Store) -> Vec<Row> {
        let totals = self.totals(store);
        let mut months: Vec<Month> = Vec::new();
        let mut asked = Vec::new();
        for days in totals.chunk_by(|(one, _), (next, _)| month_of(*one) == month_of(*next)) {
            let Some((first, _)) = days.first() else { continue };
            let (year, month) = month_of(*first);
            let ordinary: Vec<u64> = days
                .iter()
                .filter(|(date, attempts)| outlier(&totals, *date, *attempts).is_none())
                .map(|(_, attempts)| *attempts)
                .gathered();
            let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
            let attempts = sum(&mut days.iter().map(|(_, attempts)| *attempts));
            let usually = tenths(sum(&mut ordinary.iter().copied()), ordinary.len() as u64);
            let before = months
                .iter()
                .find(|other| (other.year + 1, other.month) == (year, month));
            let ratio = before
                .filter(|before| before.per_day_without_outliers > 0)
                .map(|before| {
                    let before = before.per_day_without_outliers;
                    usually.saturating_mul(1000).saturating_add(before / 2) / before
                });
            months.push(Month {
                year,
                month,
                attempts,
                days: days.len() as u64,
                per_day: tenths(attempts, days.len() as u64),
                per_day_without_outliers: usually,
                year_on_year: ratio,
            });
            asked.push(days.iter().any(|(date, _)| self.holds(*date)));
        }
        let rows = months.into_iter().zip(asked).filter(|(_, asked)| *asked);
        rows.rev().map(|(month, _)| Row::Month(month)).gathered()
    }

    /// Day by day from the newest, until there are enough; the rows of a day in their own order.
    fn blocks(&self, store: &Store, most: usize, of_day: impl Fn(Date, &Day) -> Vec<Row>) -> Answer {
        let mut answer = Answer::default();
        for (date, day) in store.newest_first().filter(|(date, _)| self.holds(*date)) {
            let mut block = of_day(date, &day);
            let room = most.saturating_sub(answer.rows.len());
            answer.more = block.len() > room;
            match self.by {
                // Of the day that fits in part, the last hours.
                By::Hour => drop(block.drain(..block.len().saturating_sub(room))),
                // The largest.
                _ => block.truncate(room),
            }
            answer.rows.extend(block.into_iter().rev());
            if answer.more {
                break;
            }
        }
        answer.rows.reverse();
        answer
    }

    /// Of the newest day only up to its last attempt: what comes later may not have been yet.
    fn hours(&self, date: Date, day: &Day, is_newest: bool) -> Vec<Row> {
        let hours = match self.address {
            None => Some(&day.hours),
            Some(address) => source(day, address).map(|source| &source.hours),
        };
        let Some(hours) = hours else { return Vec::new() };
        let last = hours
            .iter()
            .rposition(|attempts| *attempts > 0)
            .map_or(0, |last| last + 1);
        let shown = if is_newest { last } else { hours.len() };
        let rows = hours.iter().zip(0..).take(shown).map(|(attempts, hour)| Row::Hour {
            date,
            hour,
            attempts: *attempts,
        });
        rows.gathered()
    }

    fn ports(&self, date: Date, day: &Day) -> Vec<Row> {
        let (services, all) = match self.address {
            None => (day.services.as_slice(), day.attempts()),
            Some(address) => match source(day, address) {
                Some(source) => (source.services.as_slice(), source.attempts()),
                None => return Vec::new(),
            },
        };
        let port = |service, attempts| Row::Port {
            date,
            service,
            attempts,
        };
        let meant = services.iter().filter(|(service, _)| self.is_of(*service));
        let mut rows: Vec<Row> = largest_first(meant.copied())
            .into_iter()
            .map(|(service, attempts)| port(Some(service), attempts))
            .gathered();
        let named = services
            .iter()
            .fold(0, |sum: u64, (_, attempts)| sum.saturating_add(*attempts));
        let others = all.saturating_sub(named);
        if others > 0 && self.protocol.is_none() && self.port.is_none() {
            rows.push(port(None, others));
        }
        rows
    }

    fn sources(&self, date: Date, day: &Day) -> Vec<Row> {
        let filters = self.protocol.is_some() || self.port.is_some();
        let row = |address, attempts, services| Row::Source {
            date,
            address,
            attempts,
            services,
        };
        let meant = day
            .sources
            .iter()
            .filter(|source| self.address.is_none_or(|address| address == source.address));
        let mut sources: Vec<(&Source, u64)> = meant
            .map(|source| match filters {
                true => (source, self.of_services(&source.services)),
                false => (source, source.attempts()),
            })
            .filter(|(_, attempts)| *attempts > 0)
            .gathered();
        sources.sort_by_key(|(source, attempts)| (Reverse(*attempts), source.address));
        let mut rows: Vec<Row> = sources
            .into_iter()
            .map(|(source, attempts)| {
                row(
                    Some(source.address),
                    attempts,
                    largest_first(source.services.iter().copied()),
                )
            })
            .gathered();
        let named = day
            .sources
            .iter()
            .fold(0, |sum: u64, source| sum.saturating_add(source.attempts()));
        let others = day.attempts().saturating_sub(named);
        if others > 0 && !day.sources.is_empty() && self.address.is_none() && !filters {
            rows.push(row(None, others, Vec::new()));
        }
        rows
    }
}

fn source(day: &Day, address: IpAddr) -> Option<&Source> {
    let at = day
        .sources
        .binary_search_by_key(&address, |source| source.address)
        .ok()?;
    day.sources.get(at)
}

fn month_of(date: Date) -> (u16, u8) {
    let (year, month, _) = date.year_month_day();
    (year, month)
}

fn largest_first(services: impl Iterator<Item = (Service, u64)>) -> Vec<(Service, u64)> {
    let mut services: Vec<(Service, u64)> = services.gathered();
    services.sort_by_key(|(service, attempts)| (Reverse(*attempts), *service));
    services
}

/// The quotient in tenths, rounded; 0 of nothing.
fn tenths(sum: u64, of: u64) -> u64 {
    match of {
        0 => 0,
        of => sum.saturating_mul(10).saturating_add(of / 2) / of,
    }
}

/// Newest first to newest last.
fn cut(mut rows: Vec<Row>, most: usize) -> Answer {
    let more = rows.len() > most;
    rows.truncate(most);
    rows.reverse();
    Answer { rows, more }
}
