//! Any bytes are the ledger's file, what is kept of it in the run directory, one day, or none: what was read is written and read again as the same, and
//! whatever it says can be asked for. The first byte chooses; what a checksum covers is tried with a right one as well, since none is ever right by chance.
#![no_main]

use lanward::event::Now;
use lanward::ledger::book::{Book, Zone};
use lanward::ledger::day::Day;
use lanward::ledger::store::{Parsed, Store, WITH_SOURCES};
use lanward::ledger::views::{By, Query};
use lanward::spa::checksum;
use libfuzzer_sys::fuzz_target;

/// 2026.
pub const NOW: Now = Now {
    monotonic: 4_000_000,
    unix: 1_790_000_000,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice % 4 {
        0 => file(bytes),
        1 => kept(bytes),
        2 => {
            let mut whole = bytes.to_vec();
            whole.extend_from_slice(&checksum(bytes));
            kept(&whole);
        }
        _ => day(bytes),
    }
});

fn file(bytes: &[u8]) {
    let Parsed::Days(store, unix, lost) = Store::parse(bytes) else {
        return;
    };
    let again = store.bytes(unix);
    assert_eq!(again.len() + lost, bytes.len());
    assert_eq!(Store::parse(&again), Parsed::Days(store.clone(), unix, 0));
    if lost == 0 {
        // An older version becomes this one.
        assert_eq!(again.get(8..), bytes.get(8..));
    }
    answers(&store);
    let mut pruned = store.clone();
    pruned.prune(None);
    assert!(pruned.len() <= store.len());
    assert!(store.is_empty() == pruned.is_empty());
    let with_sources = pruned.newest_first().filter(|(_, day)| !day.sources.is_empty());
    assert!(with_sources.count() <= WITH_SOURCES);
    let mut book = Book::default();
    assert_eq!(book.load(Some(bytes), None, NOW).is_some(), lost > 0);
}

fn kept(bytes: &[u8]) {
    let mut book = Book::default();
    assert!(book.load(None, Some(bytes), NOW).is_none());
    // What one daemon keeps, the next one has.
    let left = book.run_bytes(NOW);
    let mut next = Book::default();
    assert!(next.load(None, Some(&left), NOW).is_none());
    assert_eq!(next.run_bytes(NOW), left);
    let zone = Zone::of("CET-1CEST,M3.5.0,M10.5.0/3");
    book.ask(NOW, &zone, answers);
    book.close(NOW, &zone);
    book.ask(NOW, &zone, answers);
}

fn day(bytes: &[u8]) {
    let Some(mut day) = Day::decode(bytes) else {
        return;
    };
    let again = day.encode();
    assert_eq!(Day::decode(&again).as_ref(), Some(&day));
    assert!(again.len() <= bytes.len());
    // Taken in twice it changes nothing.
    let mut merged = day.clone();
    merged.merge(&day);
    merged.shrink();
    day.shrink();
    assert_eq!(merged, day);
}

fn answers(store: &Store) {
    for (word, by) in By::ALL {
        let answer = Query::all(by).answer(store);
        assert!(answer.is_ok_and(|answer| answer.rows.len() <= 4000), "by {word}");
    }
}
