//! The ledger's part of what is published.

use crate::date::Date;
use crate::event::{Now, Reading};
use crate::gate::Attempt;
use crate::gather::Gather;
use crate::json::{json, put};
use crate::ledger::book::Zone;
use crate::ledger::day::Day;
use crate::ledger::views::{Answer, By, Query, Row};
use crate::ledger::{masked, Protocol, Service};
use crate::ruleset::ledger::COUNTERS;
use crate::state::State;
use serde_json::{Map, Number, Value};
use std::net::IpAddr;
use std::str::FromStr;

/// Days of one `ledger_import`.
const MOST_IMPORTED: usize = 64;

/// `status.ledger`
pub(super) fn status(state: &State, reading: &Reading, now: Now) -> Value {
    let packets = COUNTERS.map(|name| reading.counters.get(name).map_or(0, |counter| counter.packets));
    let [today, total, written] = state.ledger_status(reading.present.then_some((reading.handle, packets)), now);
    let mut status = json!({
        "enabled": state.config.ledger.enabled,
        "today": today,
        "last_commit": written,
        "total": total,
    });
    if let (Some(problem), Some(fields)) = (state.ledger_problem(), status.as_object_mut()) {
        fields.insert("problem".into(), problem.into());
    }
    status
}

/// The arguments of `history`.
///
/// # Errors
/// What is wrong with them, for people.
pub fn query(arguments: &Map<String, Value>) -> Result<Query, String> {
    let text = |name: &str| {
        arguments
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let number = |name: &str| arguments.get(name).and_then(Value::as_i64);
    let words: Vec<&str> = By::ALL.iter().map(|(word, _)| *word).gathered();
    let by = text("by").unwrap_or("day");
    let by = By::ALL.into_iter().find(|(word, _)| *word == by);
    let by = by
        .ok_or_else(|| {
            format!(
                "by: '{}' is not one of {}",
                text("by").unwrap_or_default(),
                words.join(", ")
            )
        })?
        .1;
    let limit = match number("limit") {
        Some(limit) => Some(usize::try_from(limit).map_err(|_| format!("limit: {limit} is no number of rows"))?),
        None => None,
    };
    let port = match number("port") {
        Some(port) => Some(u16::try_from(port).map_err(|_| format!("port: {port} is not between 0 and 65535"))?),
        None => None,
    };
    let query = Query {
        by,
        from: parsed::<Date>("from", text("from"))?,
        to: parsed::<Date>("to", text("to"))?,
        limit,
        protocol: parsed::<Protocol>("protocol", text("protocol"))?.map(|protocol| protocol.0),
        port,
        address: parsed::<IpAddr>("address", text("address"))?,
    };
    query.check()?;
    Ok(query)
}

fn parsed<T: FromStr<Err: ToString>>(name: &str, text: Option<&str>) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(format!("{name}: '{text}': {}", T::Err::to_string(&error))),
    }
}

/// The answer of `history`.
#[must_use]
pub fn history(query: &Query, answer: Result<Answer, String>) -> Value {
    match answer {
        Ok(answer) => {
            let rows = answer.rows.iter().map(|one| row(query, one)).gathered();
            object([("rows", Value::Array(rows)), ("more", answer.more.into())])
        }
        Err(error) => object([("rows", Value::Array(Vec::new())), ("error", error.into())]),
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        put(&mut object, name, value);
    }
    Value::Object(object)
}

fn row(query: &Query, row: &Row) -> Value {
    match row {
        Row::Day { date, attempts, usual } => {
            let mut day = object([
                ("date", date.to_string().into()),
                ("attempts", (*attempts).into()),
                ("outlier", usual.is_some().into()),
            ]);
            if let (Some(usual), Some(fields)) = (usual, day.as_object_mut()) {
                let why = format!(
                    "{attempts}, where {} is usual around that day, and a distance of {} from it",
                    usual.median, usual.spread
                );
                fields.insert("why".into(), why.into());
            }
            day
        }
        Row::Hour { date, hour, attempts } => object([
            ("time", format!("{date}T{hour:02}").into()),
            ("attempts", (*attempts).into()),
        ]),
        Row::Month(month) => {
            let mut fields = Map::new();
            let name = format!("{:04}-{:02}", month.year, month.month);
            fields.insert("month".into(), name.into());
            fields.insert("attempts".into(), month.attempts.into());
            fields.insert("days".into(), month.days.into());
            fields.insert("per_day".into(), tenths(month.per_day));
            fields.insert(
                "per_day_without_outliers".into(),
                tenths(month.per_day_without_outliers),
            );
            if let Some(ratio) = month.year_on_year {
                fields.insert("year_on_year".into(), tenths(ratio));
            }
            Value::Object(fields)
        }
        Row::Port {
            date,
            service,
            attempts,
        } => {
            let [protocol, port] = service_words(*service);
            object([
                ("date", date.to_string().into()),
                ("protocol", protocol),
                ("port", port),
                ("attempts", (*attempts).into()),
            ])
        }
        Row::Source {
            date,
            address,
            attempts,
            services,
        } => {
            let meant = services.iter().filter(|(service, _)| query.is_of(*service));
            let ports = meant.map(|(service, attempts)| {
                let [protocol, port] = service_words(Some(*service));
                object([("protocol", protocol), ("port", port), ("attempts", (*attempts).into())])
            });
            let address = address.map_or_else(|| "other".into(), |address| address.to_string());
            object([
                ("date", date.to_string().into()),
                ("address", address.into()),
                ("attempts", (*attempts).into()),
                ("ports", ports.collect()),
            ])
        }
    }
}

fn service_words(service: Option<Service>) -> [Value; 2] {
    match service {
        Some(service) => [Protocol(service.protocol).to_string().into(), service.port.into()],
        None => ["other".into(), 0.into()],
    }
}

/// Exact for everything below 2^53.
fn tenths(number: u64) -> Value {
    #[allow(clippy::cast_precision_loss)]
    let value = number as f64 / 10.0;
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// The answer of `ledger_recent`.
#[must_use]
pub fn recent(samples: &[(Attempt, u64)], masks: bool, zone: &Zone) -> Value {
    let one = |(attempt, came): &(Attempt, u64)| {
        let [protocol, port] = service_words(Some(attempt.service));
        let source = if masks { masked(attempt.source) } else { attempt.source };
        object([
            ("time", zone.time(*came).into()),
            ("address", source.to_string().into()),
            ("protocol", protocol),
            ("port", port),
        ])
    };
    object([("attempts", samples.iter().map(one).collect())])
}

/// The argument of `ledger_import`: days as [`imported_day`] writes them.
///
/// # Errors
/// What is wrong with it, for people.
pub fn imported(arguments: &Map<String, Value>) -> Result<Vec<(Date, Day)>, String> {
    let days = arguments
        .get("days")
        .and_then(Value::as_array)
        .ok_or("days: there are none")?;
    if days.len() > MOST_IMPORTED {
        return Err(format!("days: {} are more than {MOST_IMPORTED}", days.len()));
    }
    let read = days
        .iter()
        .enumerate()
        .map(|(index, day)| day_of(day).ok_or_else(|| format!("days: number {} is no day of the ledger", index + 1)));
    read.collect()
}

fn day_of(value: &Value) -> Option<(Date, Day)> {
    let date = value.get("date")?.as_str()?.parse().ok()?;
    let mut day = Day::default();
    let hours = value.get("hours")?.as_array().filter(|hours| hours.len() == 24)?;
    for (hour, attempts) in (0..).zip(hours) {
        day.add(hour, attempts.as_u64()?);
    }
    for service in value.get("ports")?.as_array()? {
        let (service, attempts) = service_of(service)?;
        day.add_service(service, attempts);
    }
    for source in value.get("sources")?.as_array()? {
        let [address, hours, services] = source.as_array()?.as_slice() else {
            return None;
        };
        let address: IpAddr = address.as_str()?.parse().ok()?;
        for hour in hours.as_array()? {
            let [hour, attempts] = hour.as_array()?.as_slice() else {
                return None;
            };
            let hour = u8::try_from(hour.as_u64()?).ok().filter(|hour| *hour < 24)?;
            day.add_source(address, hour, attempts.as_u64()?);
        }
        for service in services.as_array()? {
            let (service, attempts) = service_of(service)?;
            day.add_source_service(address, service, attempts);
        }
    }
    day.shrink();
    Some((date, day))
}

fn service_of(value: &Value) -> Option<(Service, u64)> {
    let [protocol, port, attempts] = value.as_array()?.as_slice() else {
        return None;
    };
    let protocol = u8::try_from(protocol.as_u64()?).ok()?;
    let port = u16::try_from(port.as_u64()?).ok()?;
    Some((Service::of(protocol, port), attempts.as_u64()?))
}

/// A day as `ledger_import` takes it: `hours` are 24 numbers, `ports` have protocol, port and attempts, `sources` have the address, its hours (hour and
/// attempts) and its ports.
#[must_use]
pub fn imported_day(date: Date, day: &Day) -> Value {
    let services = |services: &[(Service, u64)]| {
        let one = |(service, attempts): &(Service, u64)| json!([service.protocol, service.port, attempts]);
        Value::Array(services.iter().map(one).gathered())
    };
    let source = |source: &crate::ledger::day::Source| {
        let hours = source.hours.iter().enumerate().filter(|(_, attempts)| **attempts > 0);
        let hours: Vec<Value> = hours.map(|(hour, attempts)| json!([hour, attempts])).gathered();
        json!([source.address.to_string(), hours, services(&source.services)])
    };
    object([
        ("date", date.to_string().into()),
        ("hours", day.hours.iter().copied().collect()),
        ("ports", services(&day.services)),
        ("sources", day.sources.iter().map(source).collect()),
    ])
}
