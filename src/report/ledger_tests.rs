//! The ledger's answers as the bus carries them.

use super::ledger::history;
use crate::blobmsg;
use crate::date::Date;
use crate::ledger::day::OF_SOURCE;
use crate::ledger::outliers::Usual;
use crate::ledger::views::{Answer, By, Month, Query, Row};
use crate::ledger::Service;
use crate::system::ubus::frame::MAX_SENT;
use std::net::Ipv6Addr;

const MOST: u64 = u64::MAX;

/// The longest name that a protocol has, and the largest port.
const SERVICE: Service = Service {
    protocol: 136,
    port: u16::MAX,
};

/// A row than which none is longer.
fn longest(by: By, date: Date) -> Row {
    match by {
        By::Day => Row::Day {
            date,
            attempts: MOST,
            usual: Some(Usual {
                median: MOST,
                spread: MOST,
            }),
        },
        By::Hour => Row::Hour {
            date,
            hour: 23,
            attempts: MOST,
        },
        By::Month => Row::Month(Month {
            year: 9999,
            month: 12,
            attempts: MOST,
            days: MOST,
            per_day: MOST,
            per_day_without_outliers: MOST,
            year_on_year: Some(MOST),
        }),
        By::Port => Row::Port {
            date,
            service: Some(SERVICE),
            attempts: MOST,
        },
        By::Source => Row::Source {
            date,
            address: Some(Ipv6Addr::from_bits(u128::MAX).into()),
            attempts: MOST,
            services: vec![(SERVICE, MOST); OF_SOURCE],
        },
    }
}

#[test]
fn the_largest_answer_is_well_under_what_the_bus_carries() {
    let date = "9999-12-31".parse().unwrap();
    for (word, by) in By::ALL {
        let answer = Answer {
            rows: vec![longest(by, date); by.most()],
            more: true,
        };
        let answer = history(&Query::all(by), Ok(answer));
        let bytes = blobmsg::encode(answer.as_object().unwrap()).unwrap().len();
        assert!(bytes < MAX_SENT * 7 / 8, "by {word}: {bytes} bytes");
    }
}
