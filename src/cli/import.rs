//! `lanward import`: logs, and ledgers of other routers, into the ledger; `lanward import-knockd`: a knockd.conf as sections.

use super::{answer, complain, read_named, say, Exit};
use crate::date::Date;
use crate::event::Now;
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::json::json;
use crate::knockd_import::{import, MAX_BYTES};
use crate::ledger::book::Zone;
use crate::ledger::day::Day;
use crate::ledger::store::{Parsed, Store};
use crate::ledger::Service;
use crate::report::imported_day;
use crate::syslog_import::{DayCount, FileCount, Reading, Tally, Times};
use crate::system::clock;
use crate::system::import::Source;
use crate::system::storage;
use crate::system::ubus::CallError;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Days of one call, and sources in them: it has to stay well under the bus's 1 MiB.
const MOST_DAYS: usize = 64;
const MOST_SOURCES: usize = 512;
/// How much is read between two signs of life, in bytes.
const STEP: u64 = 16 << 20;

/// Counts what the files hold, and gives the sums to the daemon. What could be read counts, also where something else could not.
pub(super) fn logs(ask: impl Fn(&str, Value) -> Result<Value, CallError>, files: &[String]) -> Exit {
    let zone = Zone::of(&clock::time_zone());
    let now = clock::Clock::start().now();
    let mut exit = Exit::Done;
    let mut tally = Tally::default();
    let mut days: Vec<(Date, Day)> = Vec::new();
    for file in files {
        let result = match ledger(file) {
            Some(Ok(ledger)) => {
                complain(&format!("{file}: a ledger of {} days", ledger.len()));
                days.extend(ledger);
                Ok(())
            }
            Some(Err(error)) => Err(error),
            None => log(file, &mut tally, now, &zone),
        };
        if let Err(error) = result {
            complain(&format!("lanward: {error}"));
            exit = Exit::Failed;
        }
    }
    days.gather(tally.into_days().map(|day| (day.date, day_of(&day))));
    let attempts = days
        .iter()
        .fold(0u64, |sum, (_, day)| sum.saturating_add(day.attempts()));
    let (mut older, mut later) = (0, 0);
    let mut rest = days.as_slice();
    while !rest.is_empty() {
        let mut sources = 0;
        let fits = rest.iter().take(MOST_DAYS).take_while(|(_, day)| {
            sources += day.sources.len();
            sources <= MOST_SOURCES
        });
        let (chunk, others) = rest.split_at(fits.count().max(1));
        rest = others;
        let chunk: Vec<Value> = chunk.iter().map(|(date, day)| imported_day(*date, day)).gathered();
        match ask("ledger_import", json!({ "days": chunk })) {
            Ok(reply) if reply["ok"] == true => {
                older += reply["older"].as_u64().unwrap_or(0);
                later += reply["later"].as_u64().unwrap_or(0);
            }
            failed => return answer(failed, false, |_| String::new()).max(Exit::Failed),
        }
    }
    // Whoever fetched old logs would not like to do it again after a power cut. Writing would let go what is too old, before anybody has read that.
    if !days.is_empty() && older == 0 {
        match ask("ledger_commit", json!({})) {
            Ok(reply) if reply["ok"] == true => {}
            failed => return answer(failed, false, |_| String::new()).max(Exit::Failed),
        }
    }
    if older > 0 {
        complain(&format!(
            "{older} days are older than ledger.keep_days lets be kept: they go when the ledger is next written, unless that is raised before"
        ));
    }
    if later > 0 {
        complain(&format!(
            "{later} days are later than the router's today, and are left out"
        ));
        exit = exit.max(Exit::Failed);
    }
    say(&format!("{attempts} attempts on {} days\n", days.len())).max(exit)
}

/// A ledger's days; `None`: it is something else.
fn ledger(file: &str) -> Option<Result<Vec<(Date, Day)>, String>> {
    if file == "-" {
        return None;
    }
    let head = read_named_head(file)?;
    if Store::parse(&head) == Parsed::Foreign {
        return None;
    }
    let bytes = storage::read(Path::new(file)).map_err(|error| format!("{file}: {error}"));
    Some(bytes.and_then(|bytes| match Store::parse(&bytes.unwrap_or_default()) {
        Parsed::Days(store, _, lost) => {
            if lost > 0 {
                complain(&format!("{file}: {lost} bytes are damaged; the other days are taken"));
            }
            let mut days: Vec<(Date, Day)> = store.newest_first().gathered();
            days.reverse();
            Ok(days)
        }
        Parsed::Newer => Err(format!("{file}: a newer lanward wrote this ledger")),
        Parsed::Foreign => Err(format!("{file}: no ledger")),
    }))
}

/// As much as tells a ledger from anything else, of what is a file.
fn read_named_head(file: &str) -> Option<Vec<u8>> {
    use std::io::Read;
    std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    let mut head = Vec::new();
    std::fs::File::open(file).ok()?.take(16).read_to_end(&mut head).ok()?;
    Some(head)
}

fn log(file: &str, tally: &mut Tally, now: Now, zone: &Zone) -> Result<(), String> {
    let source = Source::open(file)?;
    let today = zone.date(now.unix).unwrap_or(Date::LAST);
    let written = source.written().and_then(|unix| zone.date(unix)).unwrap_or(today);
    let mut reading = Reading::new(today, written);
    let boot = now
        .unix
        .checked_sub(now.monotonic / 1000)
        .and_then(|boot| i64::try_from(boot).ok());
    let ahead = |unix| zone.ahead(unix);
    let times = Times {
        local: &ahead,
        // What the kernel's own clock says is of this machine's last start, or nobody's.
        boot: boot.filter(|_| file == "-"),
    };
    let mut shown = 0;
    let result = source.read(&mut |line| reading.line(line, &times), &mut |done, of| {
        if done / STEP > shown {
            shown = done / STEP;
            progress(file, done, of);
        }
    });
    if shown > 0 && io::stderr().is_terminal() {
        complain("");
    }
    tell(file, &tally.add(reading));
    result
}

fn progress(file: &str, done: u64, of: Option<u64>) {
    let part = of.map_or_else(String::new, |of| format!(" of {} MiB", of >> 20));
    let line = format!("{file}: {} MiB{part} read", done >> 20);
    // On a terminal over the last one.
    let _ = match io::stderr().is_terminal() {
        true => write!(io::stderr(), "\r{line}"),
        false => writeln!(io::stderr(), "{line}"),
    };
}

fn tell(file: &str, count: &FileCount) {
    if count.known {
        return complain(&format!("{file}: the same lines were read already; they count once"));
    }
    complain(&format!(
        "{file}: {} lines: {} attempts ({} of them said only as repeated), {} of netfilter's that are none, {} of other programs, {} not read",
        count.lines, count.attempts, count.repeated, count.no_attempts, count.foreign, count.unread
    ));
    for unread in &count.shown {
        complain(&format!(
            "{file}: line {}: {}: {}",
            unread.line, unread.why, unread.text
        ));
    }
}

fn day_of(count: &DayCount) -> Day {
    let mut day = Day {
        hours: count.hours,
        ..Day::default()
    };
    for (protocol, port, attempts) in &count.ports {
        day.add_service(Service::of(*protocol, *port), *attempts);
    }
    for source in &count.sources {
        for (hour, attempts) in &source.hours {
            day.add_source(source.address, *hour, *attempts);
        }
        for (protocol, port, attempts) in &source.ports {
            day.add_source_service(source.address, Service::of(*protocol, *port), *attempts);
        }
    }
    day
}

pub(super) fn knockd(file: &str, gate: &str) -> Exit {
    let text = match read_named(file, MAX_BYTES) {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("lanward: {file}: {error}"));
            return Exit::Failed;
        }
    };
    let imported = import(&text, gate);
    for remark in &imported.remarks {
        complain(&format!("{file}: {remark}"));
    }
    let said = say(&imported.uci);
    if imported.remarks.iter().any(|remark| remark.lost) {
        return Exit::Configuration;
    }
    said
}
