use super::book::{Book, Sight, Zone};
use super::counts::{Counts, Reading};
use super::day::Day;
use super::outliers::{outlier, Usual};
use super::store::{Parsed, Store, WITH_SOURCES, WORST_CASE};
use super::views::{By, Query, Row};
use super::*;
use crate::date::Date;
use crate::event::Now;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const TELNET: Service = Service {
    protocol: TCP,
    port: 23,
};
const SSDP: Service = Service {
    protocol: UDP,
    port: 1900,
};

fn of(source: Option<&str>, service: Service) -> Subject {
    Subject {
        source: source.map(address),
        service,
    }
}

/// A reading of one service, with and without its source.
fn reading(handle: u64, seen: u64, accepted: u64) -> Reading {
    Reading {
        handle,
        totals: [seen, accepted],
        subjects: vec![
            (of(None, TELNET), [seen, accepted]),
            (of(Some("192.0.2.1"), TELNET), [seen, accepted]),
        ],
    }
}

fn new(counts: &mut Counts, reading: &Reading) -> (u64, u64) {
    let (attempts, _) = counts.take(reading);
    let of_source = attempts.subjects.iter().find(|(subject, _)| subject.source.is_some());
    (attempts.total, of_source.map_or(0, |(_, attempts)| *attempts))
}

#[test]
fn nothing_is_counted_twice_and_a_new_table_begins_anew() {
    let mut counts = Counts::default();
    assert_eq!(new(&mut counts, &reading(7, 10, 0)), (10, 10));
    assert_eq!(new(&mut counts, &reading(7, 10, 0)), (0, 0));
    assert_eq!(new(&mut counts, &reading(7, 15, 2)), (3, 3));
    // Another table, with more than the last one had.
    assert_eq!(new(&mut counts, &reading(8, 100, 0)), (100, 100));
    // The same one with less: it was reset, or its counters went round.
    assert_eq!(new(&mut counts, &reading(8, 4, 0)), (4, 4));
    assert_eq!(new(&mut counts, &reading(8, u64::MAX, 0)), (u64::MAX - 4, u64::MAX - 4));
    assert_eq!(new(&mut counts, &reading(8, 3, 1)), (2, 2));
}

/// Between the look at what came and the look at what was accepted, packets go on.
#[test]
fn what_is_accepted_between_two_looks_is_no_attempt_in_the_end() {
    let mut counts = Counts::default();
    assert_eq!(new(&mut counts, &reading(1, 10, 0)), (10, 10));
    // Ten more, all accepted, and one accepted that was not yet read as come.
    assert_eq!(new(&mut counts, &reading(1, 20, 11)), (0, 0));
    assert_eq!(new(&mut counts, &reading(1, 21, 11)), (0, 0));
    assert_eq!(new(&mut counts, &reading(1, 22, 11)), (1, 1));
}

#[test]
fn one_that_is_left_out_of_a_dump_is_not_new_when_it_is_there_again() {
    let mut counts = Counts::default();
    new(&mut counts, &reading(1, 10, 0));
    let without = Reading {
        handle: 1,
        totals: [12, 0],
        subjects: Vec::new(),
    };
    assert_eq!(new(&mut counts, &without), (2, 0));
    assert_eq!(new(&mut counts, &reading(1, 12, 0)), (0, 2));
    // Taken out of the kernel's sets, it begins at 1.
    for _ in 0..4 {
        new(&mut counts, &without);
    }
    assert_eq!(new(&mut counts, &reading(1, 12, 0)), (0, 12));
}

#[test]
fn idle_ones_make_room_when_a_set_is_half_full() {
    let many = |from: u32, count: u32, seen: u64| -> Vec<(Subject, [u64; 2])> {
        (from..from + count)
            .map(|n| {
                let source = Some(IpAddr::from(n.to_be_bytes()));
                let subject = Subject {
                    source,
                    service: TELNET,
                };
                (subject, [seen, 0])
            })
            .collect()
    };
    let reading = |subjects: Vec<(Subject, [u64; 2])>| Reading {
        handle: 1,
        totals: [subjects.iter().map(|(_, [seen, _])| seen).sum(), 0],
        subjects,
    };
    let mut counts = Counts::default();
    assert_eq!(counts.take(&reading(many(0, 500, 1))).1, []);
    assert_eq!(counts.take(&reading(many(0, 500, 1))).1, [], "half of the room is left");
    let mut full = many(0, 500, 1);
    full.extend(many(5000, 524, 1));
    let idle = counts.take(&reading(full.clone())).1;
    assert_eq!(idle.len(), 500, "of those nothing new came, the others are new");
    counts.forget(idle);
    full.drain(..500);
    let mut later = many(0, 1, 1);
    later.extend(full);
    let (attempts, _) = counts.take(&Reading {
        totals: [5000, 0],
        ..reading(later)
    });
    assert_eq!(attempts.subjects.len(), 1, "it was forgotten, so this is new");
}

fn at(monotonic: u64, unix: u64) -> Sight {
    Sight {
        now: Now {
            monotonic: monotonic * 1000,
            unix,
        },
        synchronised: true,
    }
}

/// The days' totals and their hours that are not empty.
fn days(book: &Book, now: Now, zone: &Zone) -> Vec<(String, Vec<(usize, u64)>)> {
    book.ask(now, zone, |store| {
        let mut days: Vec<_> = store
            .newest_first()
            .map(|(date, day)| {
                let hours = day
                    .hours
                    .iter()
                    .copied()
                    .enumerate()
                    .filter(|(_, attempts)| *attempts > 0);
                (date.to_string(), hours.collect())
            })
            .collect();
        days.reverse();
        days
    })
}

/// 2026-11-25 12:00:00 UTC.
const NOON: u64 = 1_795_608_000;

#[test]
fn a_minute_goes_into_the_hour_in_which_it_was() {
    let zone = Zone::of("CET-1CEST,M3.5.0,M10.5.0/3");
    let mut book = Book::default();
    book.take(&reading(1, 0, 0), at(0, NOON + 10 * 3600 + 3540), &zone, false);
    // At midnight local time.
    book.take(&reading(1, 5, 0), at(60, NOON + 11 * 3600), &zone, false);
    book.take(&reading(1, 9, 0), at(120, NOON + 11 * 3600 + 60), &zone, false);
    let now = at(120, NOON + 11 * 3600 + 60).now;
    assert_eq!(
        days(&book, now, &zone),
        [
            ("2026-11-25".to_string(), vec![(23, 5)]),
            ("2026-11-26".to_string(), vec![(0, 4)])
        ]
    );
    assert_eq!(book.today(Some((1, [11, 0])), now, &zone), 6);
    assert_eq!(
        book.today(Some((2, [11, 1])), now, &zone),
        14,
        "of another table, which nobody has read yet"
    );
    assert_eq!(book.counted(Some((1, [11, 0]))), 11);
}

#[test]
fn days_of_23_and_25_hours_have_all_that_was_tried_on_them() {
    for (begin, date, hours, least, most) in [
        // 2026-03-29 00:00 CET: no hour 2.
        (1_774_738_800, "2026-03-29", 23, 0, 1),
        // 2026-10-25 00:00 CEST: hour 2 twice.
        (1_792_879_200, "2026-10-25", 25, 1, 2),
    ] {
        let zone = Zone::of("CET-1CEST,M3.5.0,M10.5.0/3");
        let mut book = Book::default();
        book.take(&reading(1, 0, 0), at(0, begin), &zone, false);
        for minute in 1..=hours * 60 {
            book.take(
                &reading(1, minute, 0),
                at(minute * 60, begin + minute * 60),
                &zone,
                false,
            );
        }
        let now = at(hours * 3600, begin + hours * 3600).now;
        let found = days(&book, now, &zone);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, date);
        assert_eq!(found[0].1.iter().map(|(_, attempts)| attempts).sum::<u64>(), hours * 60);
        let second = found[0]
            .1
            .iter()
            .find(|(hour, _)| *hour == 2)
            .map_or(0, |(_, attempts)| *attempts);
        assert_eq!(second, if hours == 23 { least } else { most * 60 });
    }
}

#[test]
fn what_was_not_read_in_time_is_spread_over_the_gap() {
    let zone = Zone::of("");
    let mut book = Book::default();
    book.take(&reading(1, 0, 0), at(0, NOON + 10 * 3600), &zone, false);
    // 22:00 to 02:00.
    book.take(&reading(1, 401, 0), at(4 * 3600, NOON + 14 * 3600), &zone, false);
    let now = at(4 * 3600, NOON + 14 * 3600).now;
    let found = days(&book, now, &zone);
    assert_eq!(
        found,
        [
            ("2026-11-25".to_string(), vec![(22, 100), (23, 100)]),
            ("2026-11-26".to_string(), vec![(0, 100), (1, 101)])
        ]
    );
}

#[test]
fn a_clock_that_is_set_late_puts_nothing_on_a_wrong_day() {
    let zone = Zone::of("");
    for wrong in [0, 1_262_304_000, NOON - 40 * 86_400, NOON + 5 * 365 * 86_400] {
        let mut book = Book::default();
        let sight = |monotonic: u64, unix: u64, synchronised| Sight {
            synchronised,
            ..at(monotonic, unix)
        };
        book.take(&reading(1, 0, 0), sight(0, wrong, false), &zone, false);
        for minute in 1..=200 {
            book.take(
                &reading(1, minute, 0),
                sight(minute * 60, wrong + minute * 60, false),
                &zone,
                false,
            );
            if minute >= 59 && wrong > 1_704_067_200 {
                break;
            }
        }
        let counted = book.counted(None);
        assert!(
            book.commit(sight(3600, wrong + 3600, false), &zone, 800).is_none(),
            "nothing is written down yet"
        );
        // The time server answers.
        let last = if wrong > 1_704_067_200 { 60 * 60 } else { 201 * 60 };
        let now = sight(last, NOON, true);
        book.take(&reading(1, counted + 1, 0), now, &zone, false);
        let found = days(&book, now.now, &zone);
        assert!(found.iter().all(|(date, _)| date == "2026-11-25"), "{wrong}: {found:?}");
        let sum: u64 = found
            .iter()
            .flat_map(|(_, hours)| hours)
            .map(|(_, attempts)| attempts)
            .sum();
        assert_eq!(sum, counted + 1);
    }
}

#[test]
fn a_clock_that_nobody_sets_is_believed_after_an_hour() {
    let zone = Zone::of("");
    let mut book = Book::default();
    let sight = |minute: u64| Sight {
        synchronised: false,
        ..at(minute * 60, NOON + minute * 60)
    };
    for minute in 0..=61 {
        book.take(&reading(1, minute, 0), sight(minute), &zone, false);
        let shown: u64 = days(&book, sight(minute).now, &zone)
            .iter()
            .flat_map(|(_, hours)| hours)
            .map(|(_, n)| n)
            .sum();
        assert_eq!(shown, minute, "it is shown at once");
        assert_eq!(
            book.commit(sight(minute), &zone, 800).is_some(),
            minute >= 60,
            "{minute}"
        );
    }
}

#[test]
fn the_next_daemon_counts_on() {
    let zone = Zone::of("");
    let mut book = Book::default();
    book.take(&reading(1, 0, 0), at(1000, NOON), &zone, false);
    book.take(&reading(1, 50, 0), at(1060, NOON + 60), &zone, false);
    let file = book.commit(at(1060, NOON + 60), &zone, 800).unwrap();
    book.take(&reading(1, 60, 0), at(1120, NOON + 120), &zone, false);
    let run = book.run_bytes(at(1120, NOON + 120).now);

    let mut next = Book::default();
    assert_eq!(next.load(Some(&file), Some(&run), at(1300, NOON + 300).now), None);
    next.take(&reading(1, 75, 0), at(1300, NOON + 300), &zone, false);
    let found = days(&next, at(1300, NOON + 300).now, &zone);
    assert_eq!(found, [("2026-11-25".to_string(), vec![(12, 75)])]);

    // After a boot, what the run directory says of the kernel is of another kernel.
    let mut next = Book::default();
    next.load(Some(&file), Some(&run), at(20, NOON + 300).now);
    next.take(&reading(1, 75, 0), at(30, NOON + 310), &zone, false);
    assert_eq!(
        days(&next, at(30, NOON + 310).now, &zone),
        [("2026-11-25".to_string(), vec![(12, 60 + 75)])]
    );

    // Without what the last one left: what it had not written is lost, and nothing comes twice.
    for run in [None, Some(&run[1..]), Some(&run[..run.len() - 1]), Some(&[][..])] {
        let mut next = Book::default();
        assert_eq!(next.load(Some(&file), run, at(0, NOON + 300).now), None);
        assert_eq!(
            days(&next, at(0, NOON + 300).now, &zone),
            [("2026-11-25".to_string(), vec![(12, 50)])]
        );
    }
}

/// A year of days with everything in them.
fn store(days: i32) -> Store {
    let mut store = Store::default();
    for n in 0..days {
        let day = store.day(date("2025-01-01").plus(n).unwrap());
        for hour in 0..24 {
            day.add(hour, 1000 + u64::from(hour));
        }
        for port in 0..100 {
            day.add_service(Service::of(TCP, port), u64::from(port) + 1);
        }
        for source in 0..300u32 {
            let address = IpAddr::from((0x0102_0300 + source).to_be_bytes());
            day.add_source(address, (source % 24) as u8, u64::from(source) + 1);
            day.add_source_service(address, TELNET, 1);
        }
    }
    store.prune(None);
    store
}

fn parsed(bytes: &[u8]) -> (Store, usize) {
    match Store::parse(bytes) {
        Parsed::Days(store, _, lost) => (store, lost),
        other => panic!("{other:?}"),
    }
}

fn all(store: &Store) -> Vec<(Date, Day)> {
    store.newest_first().collect()
}

#[test]
fn a_file_says_what_was_written() {
    let store = store(60);
    let bytes = store.bytes(NOON);
    let (read, lost) = parsed(&bytes);
    assert_eq!((all(&read), lost), (all(&store), 0));
    assert_eq!(read.bytes(NOON), bytes);
    let with_sources = all(&read).iter().filter(|(_, day)| !day.sources.is_empty()).count();
    assert_eq!(with_sources, WITH_SOURCES);
    let (_, newest) = &all(&read)[0];
    assert_eq!((newest.services.len(), newest.sources.len()), (64, 256));
    assert_eq!(
        newest.attempts(),
        (0..24).map(|hour| 1000 + hour).sum::<u64>(),
        "whatever was left out"
    );
}

#[test]
fn the_worst_case_is_what_is_said() {
    let mut store = Store::default();
    let most = (1u64 << 28) - 1;
    for n in 0..800 {
        let day = store.day(date("2025-01-01").plus(n).unwrap());
        day.hours = [most; 24];
        day.services = (0..64).map(|port| (Service::of(TCP, port), most)).collect();
        if n >= 800 - 31 {
            for source in 0..256u128 {
                let address = IpAddr::from((0x2001_0db8 << 96 | source).to_be_bytes());
                day.add_source(address, 0, most);
                let known = day.sources.iter_mut().find(|known| known.address == address).unwrap();
                known.hours = [most; 24];
                known.services = (0..4).map(|port| (Service::of(UDP, port), most)).collect();
            }
        }
    }
    store.prune(None);
    let bytes = store.bytes(NOON);
    assert!(bytes.len() <= WORST_CASE, "{} of {WORST_CASE}", bytes.len());
    assert!(bytes.len() > WORST_CASE - 2048, "{} of {WORST_CASE}", bytes.len());
    assert_eq!(parsed(&bytes).1, 0);
}

#[test]
fn a_damaged_byte_costs_one_day_and_a_cut_file_what_was_cut_off() {
    let store = store(40);
    let bytes = store.bytes(NOON);
    let whole = all(&store);
    for at in (16..bytes.len()).step_by(997) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let (read, lost) = parsed(&damaged);
        let missing = whole.iter().filter(|day| !all(&read).contains(day)).count();
        assert!(missing <= 1 && lost > 0, "byte {at}: {missing} days");
        assert!(
            all(&read).iter().all(|day| whole.contains(day)),
            "byte {at}: nothing is made up"
        );
    }
    for length in (16..bytes.len()).step_by(1009) {
        let (read, _) = parsed(&bytes[..length]);
        assert!(all(&read).iter().all(|day| whole.contains(day)));
    }
    for foreign in [
        &b""[..],
        b"lwledgr",
        b"something else entirely",
        &[0; 5000],
        &bytes[1..],
    ] {
        assert_eq!(Store::parse(foreign), Parsed::Foreign);
    }
    let mut newer = bytes.clone();
    newer[7] = 2;
    assert_eq!(Store::parse(&newer), Parsed::Newer);
    let mut zeros = bytes[..16].to_vec();
    zeros.resize(100_000, 0);
    assert_eq!(parsed(&zeros).1, 100_000 - 16);
}

#[test]
fn old_days_go_and_a_wrong_clock_takes_none() {
    let zone = Zone::of("");
    let mut book = Book::default();
    for n in 0..100 {
        let mut day = Day::default();
        day.add(3, 7);
        book.merge(date("2026-08-18").plus(n).unwrap(), &day);
    }
    let count = |book: &Book| days(book, at(0, NOON).now, &zone).len();
    let wrong = Sight {
        synchronised: false,
        ..at(0, NOON + 20 * 365 * 86_400)
    };
    book.commit(wrong, &zone, 30);
    assert_eq!(count(&book), 100);
    book.commit(at(0, NOON), &zone, 30);
    assert_eq!(count(&book), 30);
    assert_eq!(days(&book, at(0, NOON).now, &zone)[0].0, "2026-10-27");
}

#[test]
fn merging_twice_changes_nothing() {
    let mut one = Day::default();
    one.add(3, 10);
    one.add_service(TELNET, 10);
    one.add_source(address("192.0.2.1"), 3, 10);
    let mut other = Day::default();
    other.add(3, 7);
    other.add(4, 5);
    other.add_service(SSDP, 5);
    other.add_source(address("192.0.2.1"), 4, 5);
    other.add_source_service(address("192.0.2.1"), SSDP, 5);
    let mut merged = one.clone();
    merged.merge(&other);
    assert_eq!(merged.attempts(), 15);
    assert_eq!(merged.sources[0].attempts(), 15);
    let again = {
        let mut again = merged.clone();
        again.merge(&other);
        again.merge(&one);
        again
    };
    assert_eq!(again, merged);
}

#[test]
fn masked_sources_are_networks() {
    let zone = Zone::of("");
    let mut book = Book::default();
    let of_two = |seen| Reading {
        handle: 1,
        totals: [3 * seen, 0],
        subjects: vec![
            (of(Some("192.0.2.1"), TELNET), [seen, 0]),
            (of(Some("192.0.2.200"), TELNET), [seen, 0]),
            (of(Some("2001:db8:1:2::3"), TELNET), [seen, 0]),
        ],
    };
    book.take(&of_two(0), at(0, NOON), &zone, true);
    book.take(&of_two(4), at(60, NOON + 60), &zone, true);
    let sources = book.ask(at(60, NOON + 60).now, &zone, |store| all(store)[0].1.sources.clone());
    let found: Vec<_> = sources
        .iter()
        .map(|source| (source.address.to_string(), source.attempts()))
        .collect();
    assert_eq!(found, [("192.0.2.0".to_string(), 8), ("2001:db8:1::".to_string(), 4)]);
}

fn series(totals: &[u64]) -> Vec<(Date, u64)> {
    let begin = date("2020-04-01");
    (0..)
        .zip(totals)
        .map(|(n, total)| (begin.plus(n).unwrap(), *total))
        .collect()
}

#[test]
fn an_outlier_is_far_from_what_is_usual() {
    let mut april = series(&[5000, 5600, 5400, 6100, 5200, 98_000, 9000, 5500, 5450, 5300]);
    let flagged = |days: &[(Date, u64)]| -> Vec<String> {
        let found = days
            .iter()
            .filter(|(date, total)| outlier(days, *date, *total).is_some());
        found.map(|(date, _)| date.to_string()).collect()
    };
    assert_eq!(flagged(&april), ["2020-04-06", "2020-04-07"]);
    assert_eq!(
        outlier(&april, date("2020-04-06"), 98_000),
        Some(Usual {
            median: 5450,
            spread: 545
        })
    );
    april.truncate(7);
    assert_eq!(flagged(&april), Vec::<String>::new(), "too few days to know");
    // What is twice as much as usual all the time is usual.
    assert_eq!(flagged(&series(&[3, 3, 3, 3, 3, 3, 3, 3, 3])), Vec::<String>::new());
    assert_eq!(flagged(&series(&[0, 0, 0, 0, 0, 0, 0, 60, 0])), ["2020-04-08"]);
    assert_eq!(flagged(&series(&[0, 0, 0, 0, 0, 0, 0, 50, 0])), Vec::<String>::new());
}

fn answer(store: &Store, query: &Query) -> Vec<Row> {
    query.answer(store).unwrap().rows
}

#[test]
fn the_seeds_month_has_the_seeds_averages() {
    // 2019: 29 days of 3 174.6 on average; 2020: 29 days of 5 498.4, and the sixth.
    let mut store = Store::default();
    for n in 0..30 {
        let rest = u64::from(n < 11);
        store
            .day(date("2019-04-01").plus(n).unwrap())
            .add(0, 3174 + u64::from(n < 18));
        store.day(date("2020-04-01").plus(n).unwrap()).add(0, 5498 + rest);
    }
    store.day(date("2020-04-06")).add(13, 92_890);
    let rows = answer(&store, &Query::all(By::Month));
    let Some(Row::Month(april)) = rows.last() else {
        panic!("{rows:?}")
    };
    assert_eq!((april.year, april.month, april.days), (2020, 4, 30));
    assert_eq!(april.per_day_without_outliers, 54_983);
    assert_eq!(april.year_on_year, Some(1732));
    assert_eq!(april.attempts, 30 * 5498 + 11 + 92_890);
    assert_eq!(april.per_day, (april.attempts * 10 + 15) / 30);
    let only = Query {
        from: Some(date("2020-04-10")),
        to: Some(date("2020-04-11")),
        ..Query::all(By::Month)
    };
    assert_eq!(answer(&store, &only), rows[1..]);
    let outliers: Vec<_> = answer(&store, &Query::all(By::Day))
        .into_iter()
        .filter_map(|row| match row {
            Row::Day {
                date, usual: Some(_), ..
            } => Some(date.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(outliers, ["2020-04-06"]);
}

#[test]
fn rows_are_newest_last_and_largest_first_within_a_day() {
    let store = store(3);
    let ports = answer(&store, &Query::all(By::Port));
    assert_eq!(ports.len(), 3 * 65);
    let Row::Port {
        date: first,
        service,
        attempts,
    } = &ports[0]
    else {
        panic!()
    };
    assert_eq!(
        (first.to_string().as_str(), service.unwrap().port, *attempts),
        ("2025-01-01", 99, 100)
    );
    let Row::Port { service, attempts, .. } = &ports[64] else {
        panic!()
    };
    let named: u64 = (37..=100).sum();
    assert_eq!((*service, *attempts), (None, 24 * 1000 + 276 - named));
    let sources = answer(
        &store,
        &Query {
            limit: Some(300),
            ..Query::all(By::Source)
        },
    );
    let Row::Source {
        date,
        address,
        attempts,
        ..
    } = &sources[0]
    else {
        panic!()
    };
    assert_eq!((date.to_string().as_str(), *attempts), ("2025-01-02", 300));
    assert_eq!(address.unwrap().to_string(), "1.2.4.43");
    assert_eq!(sources.len(), 300);
    let hours = Query {
        limit: Some(2),
        ..Query::all(By::Hour)
    };
    assert!(hours.answer(&store).unwrap().more);
    let times: Vec<_> = answer(&store, &hours)
        .into_iter()
        .map(|row| match row {
            Row::Hour { date, hour, attempts } => (date.to_string(), hour, attempts),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        times,
        [
            ("2025-01-03".to_string(), 22, 1022),
            ("2025-01-03".to_string(), 23, 1023)
        ]
    );
}

#[test]
fn filters_answer_what_is_kept_and_say_what_is_not() {
    let store = store(2);
    let of_port = Query {
        protocol: Some(TCP),
        port: Some(99),
        ..Query::all(By::Day)
    };
    assert!(matches!(
        answer(&store, &of_port)[..],
        [Row::Day { attempts: 100, .. }, Row::Day { attempts: 100, .. }]
    ));
    let of_source = |by| Query {
        address: Some(address("1.2.3.200")),
        ..Query::all(by)
    };
    let hours = answer(&store, &of_source(By::Hour));
    assert_eq!(
        hours
            .iter()
            .filter(|row| matches!(
                row,
                Row::Hour {
                    attempts: 201,
                    hour: 8,
                    ..
                }
            ))
            .count(),
        2
    );
    assert!(matches!(
        answer(&store, &of_source(By::Port))[0],
        Row::Port {
            service: Some(TELNET),
            attempts: 1,
            ..
        }
    ));
    assert!(matches!(
        answer(&store, &of_source(By::Day))[0],
        Row::Day { attempts: 201, .. }
    ));
    for query in [
        Query {
            by: By::Hour,
            ..of_port.clone()
        },
        of_source(By::Month),
        Query {
            port: Some(9),
            ..of_source(By::Day)
        },
    ] {
        assert!(query.answer(&store).is_err(), "{query:?}");
    }
    assert_eq!(answer(&Store::default(), &Query::all(By::Day)), []);
    assert_eq!(answer(&Store::default(), &Query::all(By::Month)), []);
}

/// What anybody may put into an import.
#[test]
fn the_largest_numbers_are_answered() {
    let zone = Zone::of("");
    let mut book = Book::default();
    // So many that half of them are as far as can be from the median, and two where nobody knows what is usual.
    for n in (0..11).chain([-100, -99]) {
        let mut day = Day::default();
        if n % 2 != 0 || n < 0 {
            day.hours = [u64::MAX; 24];
        }
        day.add_service(TELNET, u64::MAX);
        day.add_source(address("192.0.2.1"), 3, u64::MAX);
        book.merge(date("2026-11-01").plus(n).unwrap(), &day);
    }
    let now = at(0, NOON).now;
    for (_, by) in By::ALL {
        let rows = book.ask(now, &zone, |store| answer(store, &Query::all(by)));
        assert!(!rows.is_empty());
    }
    book.outlier(now, &zone);
}

#[test]
fn what_changes_while_the_file_is_written_is_written_the_next_time() {
    let zone = Zone::of("");
    let mut book = Book::default();
    let mut day = Day::default();
    day.add(3, 7);
    book.merge(date("2026-11-20"), &day);
    book.commit(at(0, NOON), &zone, 800).unwrap();
    book.merge(date("2026-11-21"), &day);
    book.committed(NOON);
    let bytes = book.commit(at(0, NOON), &zone, 800).expect("there is more");
    assert_eq!(all(&parsed(&bytes).0).len(), 2);
    book.committed(NOON);
    assert_eq!(book.commit(at(0, NOON), &zone, 800), None);
}

#[test]
fn what_is_too_old_goes_from_the_file_although_nothing_new_came() {
    let zone = Zone::of("");
    let mut book = Book::default();
    for day in ["2026-01-01", "2026-11-20"] {
        let mut hours = Day::default();
        hours.add(3, 7);
        book.merge(date(day), &hours);
    }
    book.commit(at(0, NOON), &zone, 800).unwrap();
    book.committed(NOON);
    let bytes = book.commit(at(0, NOON), &zone, 30).expect("fewer days");
    assert_eq!(all(&parsed(&bytes).0).len(), 1);
}

/// Of a day that is not over there is more than is written down in the end.
#[test]
fn the_next_daemon_has_the_fullest_day() {
    let zone = Zone::of("");
    let mut day = Day::default();
    for n in 0..1000u16 {
        let address = IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(n)).to_be_bytes());
        for hour in 0..24 {
            day.add_source(address, hour, 1 << 20);
        }
        for port in 0..16 {
            day.add_source_service(address, Service::of(TCP, port), 1 << 20);
        }
        day.add_service(Service::of(TCP, n), 1 << 20);
    }
    day.add(0, 1 << 40);
    let mut book = Book::default();
    book.merge(date("2026-11-25"), &day);
    let now = at(0, NOON).now;
    let mut next = Book::default();
    next.load(None, Some(&book.run_bytes(now)), now);
    assert_eq!(days(&next, now, &zone), days(&book, now, &zone));
}

/// A flood from everywhere, and no time server.
#[test]
fn what_waits_for_the_right_time_is_bounded() {
    let zone = Zone::of("");
    let mut book = Book::default();
    for minute in 0..300u32 {
        let subjects = (0..3000u32).map(|n| {
            let source = IpAddr::from((minute << 16 | n).to_be_bytes());
            let subject = Subject {
                source: Some(source),
                service: TELNET,
            };
            (subject, [1, 0])
        });
        let seen = u64::from(minute + 1) * 3000;
        let subjects = [(of(None, TELNET), [seen, 0])].into_iter().chain(subjects);
        let reading = Reading {
            handle: 1,
            totals: [seen, 0],
            subjects: subjects.collect(),
        };
        let sight = Sight {
            synchronised: false,
            ..at(u64::from(minute) * 60, u64::from(minute) * 60)
        };
        book.take(&reading, sight, &zone, false);
    }
    let size = book.run_bytes(at(300 * 60, 0).now).len();
    assert!(size < 1 << 20, "{size} bytes");
    let now = at(300 * 60, NOON);
    book.close(now.now, &zone);
    let port: u64 = book.ask(now.now, &zone, |store| {
        let days = all(store).into_iter();
        let telnet = days
            .flat_map(|(_, day)| day.services)
            .filter(|(service, _)| *service == TELNET);
        telnet.map(|(_, attempts)| attempts).sum()
    });
    assert_eq!(port, 900_000, "the largest stay");
}

/// A flood fills the kernel's sets in each minute: what is left of such a reading takes no more room than it needs.
#[test]
fn what_waits_has_no_room_for_what_was_left_out() {
    let mut attempts = Attempts {
        total: 5000,
        subjects: (0..5000_u32)
            .map(|n| {
                (
                    Subject {
                        source: Some(Ipv4Addr::from_bits(n).into()),
                        service: TELNET,
                    },
                    1,
                )
            })
            .collect(),
    };
    attempts.bound();
    assert_eq!(attempts.subjects.len(), MOST_SUBJECTS);
    assert!(
        attempts.subjects.capacity() < 2 * MOST_SUBJECTS,
        "{}",
        attempts.subjects.capacity()
    );
}

#[test]
fn today_has_what_waits_and_nothing_of_yesterday() {
    let zone = Zone::of("");
    let mut book = Book::default();
    let midnight = NOON - 43_200;
    let sight = |seconds: u64| Sight {
        synchronised: false,
        ..at(1000 + seconds, midnight - 600 + seconds)
    };
    book.take(&reading(1, 0, 0), sight(0), &zone, false);
    for minute in 1..=20 {
        book.take(&reading(1, minute, 0), sight(minute * 60), &zone, false);
    }
    assert_eq!(book.today(Some((1, [23, 0])), sight(1200).now, &zone), 13);
}

#[test]
fn protocols_have_names_and_numbers() {
    for (text, number) in [("tcp", 6), ("UDP", 17), ("icmpv6", 58), ("6", 6), ("200", 200)] {
        assert_eq!(text.parse(), Ok(Protocol(number)));
    }
    for text in ["", "tcpp", "256", "-1", "tcp "] {
        assert!(text.parse::<Protocol>().is_err(), "{text}");
    }
    assert_eq!(
        (Protocol(58).to_string(), Protocol(200).to_string()),
        ("icmpv6".into(), "200".into())
    );
    assert_eq!(Service::of(1, 8).port, 0);
}

fn any_day() -> impl Strategy<Value = Day> {
    let service = (any::<u8>(), any::<u16>()).prop_map(|(protocol, port)| Service::of(protocol, port));
    let source = (any::<u32>(), any::<bool>(), 0u8..24, any::<u64>());
    (
        prop::array::uniform24(prop_oneof![Just(0), any::<u64>()]),
        prop::collection::vec((service, any::<u64>()), 0..80),
        prop::collection::vec(source, 0..40),
    )
        .prop_map(|(hours, services, sources)| {
            let mut day = Day {
                hours,
                ..Day::default()
            };
            for (service, attempts) in services {
                day.add_service(service, attempts);
            }
            for (number, is_v6, hour, attempts) in sources {
                let v4 = IpAddr::from(number.to_be_bytes());
                let v6 = IpAddr::from(u128::from(number).to_be_bytes());
                day.add_source(if is_v6 { v6 } else { v4 }, hour, attempts);
            }
            day
        })
}

/// The fuzz target has found a source whose services were read in any order, and then looked for by halving.
#[test]
fn what_is_out_of_order_is_no_day() {
    let [telnet, ssdp] = [Service::of(6, 23), Service::of(17, 1900)];
    let day = |services: &[(Service, u64)]| {
        let mut day = Day::default();
        day.add_source(address("192.0.2.1"), 13, 9);
        day.sources[0].services = services.to_vec();
        day.encode()
    };
    assert!(Day::decode(&day(&[(telnet, 1), (ssdp, 2)])).is_some());
    assert_eq!(Day::decode(&day(&[(ssdp, 2), (telnet, 1)])), None);
    assert_eq!(Day::decode(&day(&[(telnet, 1), (telnet, 1)])), None);
}

proptest! {
    #[test]
    fn a_day_is_read_as_it_was_written(day in any_day()) {
        prop_assert_eq!(Day::decode(&day.encode()), Some(day));
    }

    #[test]
    fn bytes_from_anywhere_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), head in any::<bool>()) {
        let _ = Day::decode(&bytes);
        let mut file = if head { b"lwledgr\x01\0\0\0\0\0\0\0\0".to_vec() } else { Vec::new() };
        file.extend(bytes);
        let _ = Store::parse(&file);
        let mut book = Book::default();
        book.load(Some(&file), Some(&file), Now::default());
    }

    /// Whatever the kernel says in which order: what is told is never more than the greatest difference that it ever showed, in each life of its table.
    #[test]
    fn no_more_is_told_than_was_tried(steps in prop::collection::vec((0u64..2, 0u64..50, 0u64..50), 1..40)) {
        let mut counts = Counts::default();
        let (mut handle, mut seen, mut accepted, mut told) = (1, 0, 0, 0);
        let (mut most, mut lives) = (0, 0);
        for (anew, more, through) in steps {
            if anew == 1 && more > 40 {
                handle += 1;
                lives += most;
                (seen, accepted, most) = (0, 0, 0);
            }
            seen += more;
            accepted = (accepted + through).min(seen);
            most = most.max(seen - accepted);
            told += counts.take(&reading(handle, seen, accepted)).0.total;
            prop_assert_eq!(told, lives + most);
        }
    }

    #[test]
    fn a_stretch_loses_nothing(attempts in 0u64..1_000_000, seconds in 1u64..200_000, begin in 0u64..10_000_000) {
        let zone = Zone::of("CET-1CEST,M3.5.0,M10.5.0/3");
        let mut book = Book::default();
        book.take(&reading(1, 0, 0), at(0, NOON + begin), &zone, false);
        book.take(&reading(1, attempts, 0), at(seconds, NOON + begin + seconds), &zone, false);
        let now = at(seconds, NOON + begin + seconds).now;
        let found = days(&book, now, &zone);
        let sum: u64 = found.iter().flat_map(|(_, hours)| hours).map(|(_, attempts)| attempts).sum();
        prop_assert_eq!(sum, attempts);
    }
}

/// What a day holds at most, before it is over.
fn largest_day(least: u64) -> Day {
    let mut day = Day::default();
    for number in 0..1024u16 {
        let source = IpAddr::from(std::net::Ipv6Addr::from_bits(u128::from(number) + 1));
        (0..24).for_each(|hour| day.add_source(source, hour, least));
        for port in 0..16 {
            day.add_source_service(source, Service::of(TCP, port), least);
        }
        day.add_service(Service::of(UDP, number), least);
    }
    (0..24).for_each(|hour| day.add(hour, least));
    day
}

#[test]
fn the_next_daemon_has_the_days_whole_however_large_and_in_whatever_order_they_were_changed() {
    let now = Now {
        monotonic: 1000,
        unix: 1_790_000_000,
    };
    let (large, small) = (largest_day(u64::MAX), largest_day(1));
    let mut book = Book::default();
    book.merge(date("2026-05-02"), &large);
    book.merge(date("2026-05-01"), &small);
    let mut next = Book::default();
    assert_eq!(next.load(None, Some(&book.run_bytes(now)), now), None);
    let days = |book: &Book| -> Vec<(Date, u64)> {
        let days = |store: &Store| store.newest_first().map(|(date, day)| (date, day.attempts())).collect();
        book.ask(now, &Zone::of("UTC0"), days)
    };
    assert_eq!(days(&next), [(date("2026-05-02"), u64::MAX), (date("2026-05-01"), 24)]);
    assert_eq!(days(&next), days(&book));
}

#[test]
fn the_largest_numbers_are_answered_where_they_are_rare() {
    // Every other day, and all but every third.
    for often in [2, 3] {
        let mut store = Store::default();
        for day in 1..=31 {
            let attempts = if day % often == 0 { day } else { u64::MAX };
            store.day(date(&format!("2026-05-{day:02}"))).add(7, attempts);
        }
        for (word, by) in By::ALL {
            assert!(Query::all(by).answer(&store).is_ok(), "by {word}");
        }
    }
}
