//! A router's log from file to days: the seed's figures come out of the seed's lines, packed or not, and memory does not grow with the log.

#![allow(clippy::unwrap_used)]

use lanward::date::Date;
use lanward::syslog_import::{DayCount, FileCount, Reading, Tally, Times};
use lanward::system::import::Source;
use lanward_rig::scratch::Scratch;
use lanward_rig::seed_log::{self, write_april, Forms, Told};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const TCP: u8 = 6;
const UDP: u8 = 17;

fn ahead(_: i64) -> Option<i64> {
    Some(seed_log::AHEAD)
}

fn read(tally: &mut Tally, name: &Path) -> (FileCount, Result<(), String>) {
    let today = "2020-05-01".parse().unwrap();
    let mut reading = Reading::new(today, today);
    let times = Times {
        local: &ahead,
        boot: None,
    };
    let source = Source::open(name.to_str().unwrap()).unwrap();
    let (mut before, mut total) = (0, None);
    let result = source.read(&mut |line| reading.line(line, &times), &mut |done, of| {
        assert!(done >= before);
        (before, total) = (done, of);
    });
    assert!(
        total.is_none() || result.is_err() || total == Some(before),
        "all of the file was read"
    );
    (tally.add(reading), result)
}

/// Writes both Aprils, each into its own file.
fn write(directory: &Path, forms: Forms) -> [(PathBuf, Told); 2] {
    [2019, 2020].map(|year| {
        let path = directory.join(format!("{year}.log"));
        let mut file = BufWriter::new(File::create(&path).unwrap());
        let told = write_april(year, forms, &mut file).unwrap();
        file.flush().unwrap();
        (path, told)
    })
}

fn of(day: &DayCount, protocol: u8, port: u16) -> u64 {
    let found = day.ports.iter().find(|known| (known.0, known.1) == (protocol, port));
    found.map_or(0, |known| known.2)
}

fn check_the_seed(days: &[DayCount]) {
    assert_eq!(days.len(), 60);
    let sixth: Date = "2020-04-06".parse().unwrap();
    let (last_year, this_year) = days.split_at(30);
    let sum = |days: &[DayCount]| {
        days.iter()
            .filter(|day| day.date != sixth)
            .map(DayCount::attempts)
            .sum::<u64>()
    };
    let (before, now) = (sum(last_year) as f64 / 30.0, sum(this_year) as f64 / 29.0);
    assert_eq!(
        format!("{now:.1} a day, {:.1} %", 100.0 * now / before),
        "5498.4 a day, 173.2 %"
    );

    let day = |text: &str| this_year.iter().find(|day| day.date.to_string() == text).unwrap();
    let attack = day("2020-04-06");
    assert_eq!(of(attack, UDP, 1900), 92_890);
    assert_eq!(attack.attempts(), 92_890 + seed_log::USUAL);
    let attacker = attack.sources.iter().max_by_key(|source| source.attempts).unwrap();
    assert_eq!((attacker.address, attacker.attempts), (seed_log::ATTACKER, 70_000));
    assert_eq!(attacker.hours, [(13, 30_000), (14, 5_000), (15, 5_000), (16, 30_000)]);
    assert_eq!(attacker.ports, [(UDP, 1900, 70_000)]);
    assert!(attack.sources.iter().filter(|source| source.attempts >= 1000).count() == 16);

    assert_eq!(
        (of(day("2020-04-07"), TCP, 58_742), of(day("2020-04-08"), TCP, 58_742)),
        (1100, 900)
    );
    assert_eq!(
        (of(day("2020-04-08"), UDP, 5353), of(day("2020-04-07"), UDP, 5353)),
        (800, 0)
    );
    for day in days {
        assert!((200..=600).contains(&of(day, TCP, 23)), "{}", day.date);
        assert!((190..=210).contains(&of(day, TCP, 445)), "{}", day.date);
        for port in [80, 1433, 3389] {
            assert!((45..=55).contains(&of(day, TCP, port)), "{} {port}", day.date);
        }
        assert_eq!(of(day, 1, 8), 30, "{}", day.date);
        assert_eq!(
            (day.ports.len(), day.hours.iter().filter(|count| **count > 0).count()),
            (64, 24)
        );
    }
}

#[test]
fn the_seed_s_figures_come_out_of_the_seed_s_lines() {
    let scratch = Scratch::new("import");
    let mut tally = Tally::default();
    for (path, told) in write(&scratch, Forms::Seed) {
        let (count, result) = read(&mut tally, &path);
        result.unwrap();
        assert_eq!(
            (count.lines, count.attempts, count.unread, count.foreign),
            (told.lines, told.attempts, 0, 0)
        );
    }
    check_the_seed(&tally.into_days().collect::<Vec<_>>());
}

#[test]
fn so_they_do_in_all_forms_mixed_and_packed_and_a_file_counts_once() {
    let scratch = Scratch::new("import");
    let mut tally = Tally::default();
    let mut damaged = None;
    for (path, told) in write(&scratch, Forms::Mixed) {
        let packed = path.with_extension("gz");
        let out = File::create(&packed).unwrap();
        let status = Command::new("gzip").arg("-1c").arg(&path).stdout(out).status();
        assert!(status.expect("gzip is installed").success());
        for (name, known) in [(&packed, false), (&path, true)] {
            let (count, result) = read(&mut tally, name);
            result.unwrap();
            assert_eq!(
                (count.lines, count.attempts, count.repeated),
                (told.lines, told.attempts, told.repeated),
                "{:?}",
                count.shown
            );
            assert_eq!((count.unread, count.known), (0, known), "{:?}", count.shown);
            assert!(count.no_attempts > 100 && count.foreign == 2 * count.no_attempts);
            assert!(count.repeated > 1000 || name.ends_with("2019.log") || name.ends_with("2019.gz"));
        }
        damaged = Some(packed);
    }
    check_the_seed(&tally.into_days().collect::<Vec<_>>());

    // Cut off in the middle: what was there counts, and the place is named.
    let damaged = damaged.unwrap();
    let bytes = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    let (count, result) = read(&mut Tally::default(), &damaged);
    let wanted = format!(
        "{}: byte {}: this gzip file ends too early",
        damaged.display(),
        bytes.len() / 2
    );
    assert!(result.as_ref().unwrap_err().starts_with(&wanted), "{result:?}");
    assert!(count.attempts > 50_000 && count.unread == 0);
}

/// KiB that this process had at most.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Every day has more sources and ports than are held, and other ones than the day before.
#[test]
fn memory_does_not_grow_with_the_log() {
    const DAYS: u32 = 150;
    const LINES: u32 = 6000;
    let scratch = Scratch::new("import");
    let pipe = scratch.join("log");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let end = pipe.clone();
    let writer = std::thread::spawn(move || {
        let mut out = BufWriter::with_capacity(64 * 1024, File::create(end).unwrap());
        let (mut written, mut number) = (0, 0_u32);
        for day in 0..DAYS {
            let date = Date::from_days(18_000 + i64::from(day)).unwrap();
            let rest = " LEN=60 TOS=0x00 PREC=0x00 TTL=51 ID=4711 DF PROTO=TCP SPT=41234 WINDOW=29200 RES=0x00 SYN URGP=0 DPT=";
            for _ in 0..LINES {
                let source = std::net::Ipv4Addr::from(0x0b00_0000 + number);
                let port = number % 65_536;
                let line = format!("{date}T16:05:29 router kernel: DROP wan in: IN=pppoe-wan OUT= MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 SRC={source} DST=192.0.2.1{rest}{port}\n");
                written += line.len();
                out.write_all(line.as_bytes()).unwrap();
                number += 1;
            }
        }
        written
    });
    let before = peak();
    let mut tally = Tally::default();
    let (count, result) = read(&mut tally, &pipe);
    result.unwrap();
    let written = writer.join().unwrap();
    assert_eq!(count.attempts, u64::from(DAYS * LINES));
    assert!(written > 200_000_000, "{written}");
    let days: Vec<DayCount> = tally.into_days().collect();
    assert!(days.iter().all(|day| day.attempts() == u64::from(LINES)));
    let grown = peak() - before;
    println!("{} MB read, memory grew by {grown} KiB", written / 1_000_000);
    assert!(grown < 8 * 1024, "memory grew by {grown} KiB");
}
