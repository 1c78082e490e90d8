//! When the ledger's counters are read, when its file is written, and what is told.

use super::tests::{caller, Play};
use super::*;
use crate::event::Asked;
use crate::ledger::counts::Reading;
use crate::ledger::store::{Parsed, Store};
use crate::ledger::{Service, Subject};
use serde_json::json;

const ON: &str = "config ledger 'ledger'\n";
const HOUR: u64 = 3_600_000;

/// So many attempts in all.
fn seen(play: &mut Play, total: u64) {
    let subject = Subject {
        source: None,
        service: Service::of(6, 23),
    };
    play.ledger.counted = Reading {
        handle: 0,
        totals: [total, 0],
        subjects: vec![(subject, [total, 0])],
    };
}

fn started(lanward: &str) -> Play {
    let mut play = Play::new(lanward);
    play.ledger.synchronised = true;
    play.event(Event::Started);
    play
}

/// The days of the file, newest first.
fn written(play: &Play) -> Vec<(String, u64)> {
    let Parsed::Days(store, _, 0) = Store::parse(play.ledger.file.as_deref().unwrap()) else {
        panic!("a damaged file")
    };
    store
        .newest_first()
        .map(|(date, day)| (date.to_string(), day.attempts()))
        .collect()
}

fn call(play: &mut Play, method: &str, arguments: &Value) -> Value {
    play.event(Event::Call {
        id: caller(),
        method: method.into(),
        arguments: arguments.as_object().unwrap().clone(),
    });
    play.answers.last().unwrap().clone().unwrap()
}

#[test]
fn counters_are_read_once_a_minute_and_the_file_is_written_once_a_commit() {
    let mut play = started(&format!("{ON}\toption commit '6h'\n"));
    play.now.unix += 17;
    let deadlines = play.deadlines;
    for hour in 1..=24 {
        seen(&mut play, hour * 10);
        play.pass(HOUR);
    }
    let woken = play.deadlines - deadlines;
    assert!((24 * 60..=24 * 60 + 8).contains(&woken), "{woken} in a day");
    // The first one after an hour, the last one five hours ago.
    assert_eq!(play.ledger.commits, 4);
    play.pass(2 * HOUR);
    assert_eq!(play.ledger.commits, 5);
    assert_eq!(written(&play).iter().map(|(_, attempts)| attempts).sum::<u64>(), 240);
    // Nothing new: nothing is written.
    for _ in 0..7 {
        play.pass(24 * HOUR);
    }
    assert_eq!(play.ledger.commits, 5);
}

#[test]
fn a_restart_does_not_put_the_commit_off_and_stopping_writes() {
    let mut play = started(ON);
    for n in 1..=30u64 {
        seen(&mut play, n);
        play.pass(HOUR);
    }
    assert_eq!(play.ledger.commits, 2);
    seen(&mut play, 35);
    play.event(Event::Terminate);
    assert!(play.exited);
    assert_eq!(play.ledger.commits, 3);
    assert_eq!(written(&play).iter().map(|(_, attempts)| attempts).sum::<u64>(), 35);
    // Every hour another daemon, without being stopped: still one commit a day.
    for n in 36..=84u64 {
        play.state = State::default();
        play.event(Event::Started);
        seen(&mut play, n);
        play.pass(HOUR);
    }
    assert_eq!(play.ledger.commits, 5);
}

#[test]
fn an_outlier_is_told_once_a_day() {
    let mut play = started(ON);
    let mut total = 0;
    for _ in 0..10 {
        for _ in 0..24 {
            total += 5;
            seen(&mut play, total);
            play.pass(HOUR);
        }
    }
    let told = |play: &Play| play.told.iter().filter(|(name, _)| *name == "ledger.outlier").count();
    assert_eq!(told(&play), 0);
    for _ in 0..5 {
        total += 1000;
        seen(&mut play, total);
        play.pass(HOUR);
    }
    assert_eq!(told(&play), 1);
    let (_, data) = play.told.iter().find(|(name, _)| *name == "ledger.outlier").unwrap();
    assert_eq!(data["usual"], json!(120), "{data}");
    assert!(
        play.log.iter().any(|line| line.contains("where 120 are usual")),
        "{:?}",
        play.log
    );
}

#[test]
fn a_file_that_cannot_be_written_is_told_once_and_tried_again() {
    let mut play = started(&format!("{ON}\toption commit '1h'\n"));
    play.ledger.write_fails = Some("no space left on device");
    for n in 1..=5 {
        seen(&mut play, n);
        play.pass(HOUR);
    }
    let told = play.log.iter().filter(|line| line.contains("no space left")).count();
    assert_eq!(told, 1, "{:?}", play.log);
    let status = call(&mut play, "status", &json!({}));
    assert!(
        status["ledger"]["problem"].as_str().unwrap().contains("no space left"),
        "{status}"
    );
    let answer = call(&mut play, "ledger_commit", &json!({}));
    assert_eq!(answer["ok"], json!(false));
    play.ledger.write_fails = None;
    assert_eq!(call(&mut play, "ledger_commit", &json!({})), json!({ "ok": true }));
    assert_eq!(call(&mut play, "status", &json!({}))["ledger"].get("problem"), None);
    assert_eq!(written(&play).iter().map(|(_, attempts)| attempts).sum::<u64>(), 5);
}

#[test]
fn a_commit_that_failed_is_tried_again_within_the_hour() {
    let mut play = started(ON);
    seen(&mut play, 1);
    play.ledger.write_fails = Some("no space left on device");
    play.pass(2 * HOUR);
    assert_eq!(play.ledger.commits, 0);
    play.ledger.write_fails = None;
    play.pass(HOUR + 60_000);
    assert_eq!(play.ledger.commits, 1);
}

#[test]
fn what_a_newer_program_wrote_is_never_written_over() {
    let mut play = Play::new(ON);
    play.ledger.synchronised = true;
    let newer = b"lwledgr\x09 and more than this program knows".to_vec();
    play.ledger.file = Some(newer.clone());
    play.event(Event::Started);
    assert_eq!(play.ledger.aside, Some(newer));
    seen(&mut play, 4);
    assert_eq!(call(&mut play, "ledger_commit", &json!({})), json!({ "ok": true }));
    assert_eq!(written(&play).len(), 1);

    let mut play = started(ON);
    play.event(Event::LedgerLoaded {
        file: Err("Input/output error".into()),
        run: None,
    });
    seen(&mut play, 4);
    let answer = call(&mut play, "ledger_commit", &json!({}));
    assert_eq!(answer["ok"], json!(false), "{answer}");
    assert_eq!(play.ledger.commits, 0);
}

#[test]
fn switching_it_off_keeps_what_was_counted() {
    let mut play = started(ON);
    seen(&mut play, 9);
    play.pass(2 * HOUR);
    play.lanward = "config ledger 'ledger'\n\toption enabled '0'\n".into();
    play.event(Event::Wake(Wake::Config));
    assert_eq!(play.ledger.commits, 1);
    play.pass(60_000);
    let deadlines = play.deadlines;
    seen(&mut play, 50);
    play.pass(24 * HOUR);
    assert_eq!(play.deadlines, deadlines, "nobody wakes up for it");
    let rows = call(&mut play, "history", &json!({}))["rows"].clone();
    assert_eq!(rows[0]["attempts"], json!(9), "{rows}");
}

#[test]
fn an_unknown_reading_leaves_everything() {
    let mut play = started(ON);
    seen(&mut play, 3);
    play.pass(HOUR);
    play.event(Event::LedgerRead {
        result: Err("no buffer space".into()),
        synchronised: true,
        asked: Asked::Nobody,
    });
    assert_eq!(call(&mut play, "history", &json!({}))["rows"][0]["attempts"], json!(3));
}

#[test]
fn what_was_erased_is_no_reason_any_more_to_write_nothing() {
    let mut play = started(ON);
    play.event(Event::LedgerLoaded {
        file: Err("Input/output error".into()),
        run: None,
    });
    assert_eq!(call(&mut play, "ledger_erase", &json!({})), json!({ "ok": true }));
    assert_eq!(call(&mut play, "status", &json!({}))["ledger"].get("problem"), None);
    seen(&mut play, 4);
    assert_eq!(call(&mut play, "ledger_commit", &json!({})), json!({ "ok": true }));
    assert_eq!(written(&play).len(), 1);
}

#[test]
fn nothing_is_put_into_the_time_when_it_was_off() {
    let mut play = started(ON);
    seen(&mut play, 9);
    play.pass(HOUR);
    play.lanward = "config ledger 'ledger'\n\toption enabled '0'\n".into();
    play.event(Event::Wake(Wake::Config));
    play.pass(72 * HOUR);
    play.lanward = ON.into();
    play.event(Event::Wake(Wake::Config));
    seen(&mut play, 200);
    play.pass(HOUR);
    let rows = call(&mut play, "history", &json!({}))["rows"].clone();
    let attempts: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["attempts"]).collect();
    assert_eq!(attempts, [&json!(9), &json!(191)], "{rows}");
}

/// Cut from the mains every night, and without a battery: the clock goes on where it was.
#[test]
fn a_router_that_is_off_at_night_has_a_file() {
    let mut play = started(ON);
    for _ in 0..6 {
        for hour in 1..=16 {
            seen(&mut play, hour * 10);
            play.pass(HOUR);
        }
        play.state = State::default();
        play.ledger.run = None;
        play.ledger.synchronised = false;
        play.now.monotonic = 0;
        seen(&mut play, 0);
        play.event(Event::Started);
        play.pass(60_000);
        play.now.unix += 8 * 3600;
        play.ledger.synchronised = true;
    }
    assert!((4..=6).contains(&play.ledger.commits), "{}", play.ledger.commits);
    assert!(written(&play).len() >= 4, "{:?}", written(&play));
}

#[test]
fn a_reload_does_not_put_the_first_commit_off() {
    let mut play = started(ON);
    for minutes in 1..=72 {
        seen(&mut play, minutes);
        play.pass(HOUR / 2);
        play.event(Event::Wake(Wake::Config));
    }
    assert_eq!(play.ledger.commits, 2);
}

/// That many days, with an attempt each.
fn imported(play: &mut Play, first: &str, days: i32) -> Value {
    let first: crate::date::Date = first.parse().unwrap();
    let mut hours = [0; 24];
    hours[3] = 1;
    let day = |n| json!({ "date": first.plus(n).unwrap().to_string(), "hours": hours, "ports": [], "sources": [] });
    let days: Vec<Value> = (0..days).map(day).collect();
    call(play, "ledger_import", &json!({ "days": days }))
}

#[test]
fn days_to_come_are_not_imported() {
    let mut play = started(ON);
    let reply = imported(&mut play, "2099-01-01", 3);
    assert_eq!(reply["later"], json!(3), "{reply}");
    imported(&mut play, "2020-04-06", 1);
    let rows = call(&mut play, "history", &json!({}))["rows"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
}

#[test]
fn imports_fill_no_memory() {
    use crate::ledger::store::MOST_DAYS;
    let mut play = started(ON);
    let mut date: crate::date::Date = "1990-01-01".parse().unwrap();
    for _ in 0..MOST_DAYS / 64 + 2 {
        imported(&mut play, &date.to_string(), 64);
        date = date.plus(64).unwrap();
    }
    let rows = call(&mut play, "history", &json!({ "by": "month" }))["rows"].clone();
    let days: u64 = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["days"].as_u64().unwrap())
        .sum();
    assert!(days <= MOST_DAYS as u64 + 3, "{days}");
}

/// What was put down for the file is not put down again by the next daemon.
#[test]
fn the_run_directory_says_what_the_file_says() {
    let mut play = started(ON);
    play.ledger.synchronised = false;
    for n in 1..=10 {
        seen(&mut play, n);
        play.pass(60_000);
    }
    call(&mut play, "ledger_commit", &json!({}));
    let run = play.ledger.run.clone();
    let mut book = crate::ledger::book::Book::default();
    book.load(None, run.as_deref(), play.now);
    let zone = crate::ledger::book::Zone::of("");
    let day = book.ask(Now { unix: 0, ..play.now }, &zone, |store| store.newest_first().next());
    assert_eq!(day.map(|(_, day)| day.attempts()), Some(10));
}
