//! How fast a log is read, beside awk counting the same of it.

use crate::{say, Report};
use lanward::syslog_import::{DayCount, Reading, Tally, Times};
use lanward::system::import::Source;
use lanward_rig::bench::Spread;
use lanward_rig::scratch::Scratch;
use lanward_rig::seed_log::{self, write_april, Forms};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// By hour, by port, by source and hour, by source and port; prints how many there were.
pub const AWK: &str = r#"
/IN=[^ ]+ OUT=/ {
	date = substr($1, 1, 10); hour = substr($1, 12, 2); source = protocol = port = ""
	for (at = 4; at <= NF; at++) {
		if ($at ~ /^SRC=/) source = substr($at, 5)
		else if ($at ~ /^PROTO=/) protocol = substr($at, 7)
		else if ($at ~ /^(DPT|TYPE)=/) port = substr($at, index($at, "=") + 1)
	}
	hours[date, hour]++; ports[date, protocol, port]++; sources[date, source, hour]++; both[date, source, protocol, port]++; all++
}
END { print all, ports["2020-04-06", "UDP", 1900] }
"#;

pub fn measure(rounds: u32, report: &mut Report) -> bool {
    say("reading a log");
    let scratch = Scratch::new("bench");
    let path = scratch.join("log");
    let measured = write(&path).and_then(|lines| compare(&path, lines, rounds, report));
    if let Err(why) = &measured {
        eprintln!("bench: reading a log: {why}");
    }
    measured.is_ok()
}

fn write(path: &Path) -> Result<u64, String> {
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        let told = write_april(2020, Forms::Seed, &mut file)?;
        file.flush()?;
        Ok(told.lines)
    });
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn compare(path: &Path, lines: u64, rounds: u32, report: &mut Report) -> Result<(), String> {
    #[allow(clippy::cast_precision_loss)]
    let lines = lines as f64;
    let (mut own, mut other, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        let ours = by_lanward(path)?;
        let seconds = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let theirs = by_awk(path)?;
        let awk_seconds = began.elapsed().as_secs_f64();
        if ours != theirs {
            return Err(format!("lanward counts {ours:?}, awk {theirs:?}"));
        }
        own.push(lines / seconds);
        other.push(lines / awk_seconds);
        ratios.push(awk_seconds / seconds);
    }
    let (own, other, ratios) = (Spread::of(own), Spread::of(other), Spread::of(ratios));
    report.add(
        "a log's lines per second, counted by hour, port and source",
        format!("{:.0}", own.median()),
        format!("awk {:.0}", other.median()),
        Some(ratios.median()),
        json!({ "lanward_per_second": own.json(), "awk_per_second": other.json(), "ratio": ratios.json() }),
    );
    Ok(())
}

/// All attempts, and those of the attack.
fn by_lanward(path: &Path) -> Result<(u64, u64), String> {
    let today = "2020-05-01".parse().map_err(|error| format!("{error}"))?;
    let mut reading = Reading::new(today, today);
    let times = Times {
        local: &|_| Some(seed_log::AHEAD),
        boot: None,
    };
    let source = Source::open(&path.to_string_lossy())?;
    source.read(&mut |line| reading.line(line, &times), &mut |_, _| {})?;
    let mut tally = Tally::default();
    tally.add(reading);
    let days: Vec<DayCount> = tally.into_days().collect();
    let all = days.iter().map(DayCount::attempts).sum();
    let ports = days.iter().flat_map(|day| &day.ports);
    let attack = ports.filter(|port| (port.0, port.1) == (17, 1900)).map(|port| port.2);
    Ok((all, attack.max().unwrap_or(0)))
}

fn by_awk(path: &Path) -> Result<(u64, u64), String> {
    let output = Command::new("awk").arg(AWK).arg(path).output();
    let output = output.map_err(|error| format!("awk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(all)), Some(Ok(attack))) => Ok((all, attack)),
        _ => Err(format!("awk says '{}'", text.trim())),
    }
}
