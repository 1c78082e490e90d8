//! What counting attempts costs, beside the seed's way: a line of a log for each of them, and awk. And what 800 days of them are.
//!
//! A kernel's LOG rule is mute in a network namespace, so the lines come by NFLOG here: a thread writes one for each copy, as ulogd does, without what
//! the kernel's own log, a syslog daemon and their sockets would cost on top.

use crate::import::AWK;
use crate::knock::{of_a_syn, refused, under_flood, Kind, RATE};
use crate::{beside, say, Report};
use lanward::blobmsg;
use lanward::date::Date;
use lanward::ledger::day::{Day, OF_SOURCE, SERVICES, SOURCES};
use lanward::ledger::store::{WITH_SOURCES, WORST_CASE};
use lanward::ledger::Service;
use lanward::report::imported_day;
use lanward::system::nflog::{Copied, Heard, Nflog};
use lanward_rig::bench::{of_children, Clock, Spread};
use lanward_rig::flood::nobody;
use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::knock::{udp, Knocker, Step};
use lanward_rig::namespace::Namespace;
use lanward_rig::sections;
use lanward_rig::seed_log::{write_april, Forms};
use serde_json::{json, Value};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const GROUP: u16 = 77;
const LOG_RULE: &str = "table inet seed {
	chain input {
		type filter hook input priority filter - 1; policy accept;
		iifname wan0 ct state new log prefix \"DROP \" group 77 snaplen 64
	}
}
";
/// What nobody listens at.
const UNUSED: Step = udp(1900);
const DAYS: i32 = 800;

fn on() -> String {
    switched_off("") + &sections::ledger()
}

/// `false` where the machine does not allow it.
pub fn measure(rounds: u32, flooded: Duration, report: &mut Report) -> bool {
    say("building three routers: a ledger, log lines, neither");
    let Some(home) = Home::start("bench", House::plan(), &on()) else {
        return false;
    };
    let [logging, bare] = [(); 2].map(|()| {
        let house = House::plan().build();
        house.unwrap_or_else(|error| panic!("no house: {error}"))
    });
    logging.router().nft(LOG_RULE);
    let knockers = [&home.house, &logging, &bare].map(Knocker::new);
    let path = home.house.directory().join("attempts.log");
    let clock = Clock::choose(|clock| {
        let _ = of_a_syn(&knockers[2], UNUSED, clock);
    });
    say("what the kernel does for an attempt");
    let lines = Lines::begin(logging.router(), &path);
    let what = refused("an unused port, counted", clock);
    beside(report, &what, ["no rule", "NFLOG rule"], rounds * 3, &|which| {
        of_a_syn(&knockers[[0, 2, 1][which]], UNUSED, clock)
    });
    lines.end();
    let ways = Ways {
        home: &home,
        to_home: &knockers[0],
        logging: logging.router(),
        to_logging: &knockers[1],
        log: &path,
    };
    ways.at_full_speed(20_000 * rounds, report);
    for (name, spoofed) in [("spoofed", true), ("one source's", false)] {
        let step = UNUSED;
        ways.processors(Kind { name, step, spoofed }, flooded, report);
    }
    ways.readings(report);
    drop(home);
    days(rounds, report)
}

/// Two ways of counting.
struct Ways<'a> {
    home: &'a Home,
    to_home: &'a Knocker,
    logging: &'a Namespace,
    to_logging: &'a Knocker,
    log: &'a Path,
}

impl Ways<'_> {
    /// How many of them are counted.
    fn at_full_speed(&self, attempts: u32, report: &mut Report) {
        say(&format!("{attempts} attempts at full speed"));
        let before = self.counted();
        let rate = f64::from(attempts) / at_full_speed(self.to_home, attempts).as_secs_f64();
        let counted = self.counted() - before;
        let lines = Lines::begin(self.logging, self.log);
        let other_rate = f64::from(attempts) / at_full_speed(self.to_logging, attempts).as_secs_f64();
        let written = lines.end().lines;
        #[allow(clippy::cast_precision_loss)]
        let share = counted as f64 / f64::from(attempts);
        report.add(
            &format!("attempts counted, of {attempts} at full speed; the share"),
            format!("{counted} at {rate:.0}/s"),
            format!("lines {written} at {other_rate:.0}/s"),
            Some(share),
            json!({
                "sent": attempts, "counted": counted, "per_second": rate, "lines": written, "lines_per_second": other_rate,
                "wanted": attempts,
            }),
        );
    }

    /// What a reading takes while the sets are full, as a spoofed flood leaves them; the next one empties them.
    fn readings(&self, report: &mut Report) {
        at_full_speed(self.to_home, 20_000);
        let [full, emptying, empty] = [(); 3].map(|()| self.reading().as_secs_f64() * 1e3);
        report.add(
            "a reading of the kernel's counts, sets full, processor ms",
            format!("{full:.1}"),
            format!("emptying {emptying:.1}, emptied {empty:.1}"),
            None,
            json!({ "full_ms": full, "emptying_ms": emptying, "emptied_ms": empty, "every_seconds": 60 }),
        );
    }

    fn reading(&self) -> Duration {
        let daemon = &self.home.daemon;
        let spent = daemon.processor_time();
        daemon.must("history", &json!({ "limit": 1 }));
        daemon.processor_time().saturating_sub(spent)
    }

    fn counted(&self) -> u64 {
        let status = self.home.daemon.must("status", &json!({}));
        status["ledger"]["total"].as_u64().unwrap_or(0)
    }

    /// Who counts, and for how much of a processor.
    fn processors(&self, kind: Kind, flooded: Duration, report: &mut Report) {
        say(&format!("{RATE} {} attempts a second", kind.name));
        let daemon = &self.home.daemon;
        let before = self.counted();
        let mut own = under_flood(self.to_home, kind, flooded, &|| {
            (daemon.processor_time(), daemon.rss_kib())
        });
        // It reads once a minute: here once for the whole flood.
        let reading = self.reading();
        own.processor += reading;
        let counted = self.counted() - before;
        let lines = Lines::begin(self.logging, self.log);
        let mut other = under_flood(self.to_logging, kind, flooded, &|| (Duration::ZERO, 0));
        let written = lines.end();
        let awk = by_awk(self.log);
        other.processor = written.processor + awk;
        report.add(
            &format!("{:.0}/s {} attempts: processor ms/s, with a reading", own.rate(), kind.name),
            format!("{:.1}: {counted} of {}", own.per_second(), own.sent),
            format!("log, awk {:.0}: {} of {}", other.per_second(), written.lines, other.sent),
            Some(other.per_second() / own.per_second().max(0.1)),
            json!({
                "processor_ms_per_second": own.per_second(), "reading_ms": reading.as_secs_f64() * 1e3, "sent": own.sent, "counted": counted,
                "lines_and_awk_ms_per_second": other.per_second(), "awk_ms": awk.as_secs_f64() * 1e3, "lines_sent": other.sent,
                "lines_written": written.lines,
            }),
        );
    }
}

fn at_full_speed(knocker: &Knocker, attempts: u32) -> Duration {
    let mut spoofed = FAMILIES.map(|family| (family, knocker.spoofed(family, UNUSED)));
    let began = Instant::now();
    for first in (0..attempts / 2).step_by(64) {
        for (family, spoofed) in &mut spoofed {
            let sources = first..(first + 64).min(attempts / 2);
            spoofed.send(sources.map(|number| nobody(*family, number).ip()));
        }
    }
    began.elapsed()
}

/// Counts the lines as the import's measurement does it; the processor's time.
fn by_awk(path: &Path) -> Duration {
    let before = of_children();
    let counted = Command::new("awk").arg(AWK).arg(path).output();
    assert!(counted.is_ok_and(|output| output.status.success()), "awk counts");
    of_children().saturating_sub(before)
}

/// Who writes a line for each copy of a packet.
struct Lines {
    thread: JoinHandle<Written>,
    stop: tokio::sync::oneshot::Sender<()>,
}

/// What it has written.
struct Written {
    lines: u64,
    processor: Duration,
}

impl Lines {
    fn begin(router: &Namespace, path: &Path) -> Self {
        let (router, path) = (router.clone(), path.to_path_buf());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            router.enter().expect("a thread of our own");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut nflog = Nflog::open(GROUP, 64).unwrap_or_else(|error| panic!("{error}"));
                ready.send(()).expect("somebody waits");
                write(&mut nflog, stopped, &path).await
            })
        });
        is_ready.recv().expect("it listens");
        Self { thread, stop }
    }

    /// What waits to be read is written before.
    fn end(self) -> Written {
        std::thread::sleep(Duration::from_millis(200));
        let _ = self.stop.send(());
        self.thread.join().expect("it does not fail")
    }
}

async fn write(nflog: &mut Nflog, mut stopped: tokio::sync::oneshot::Receiver<()>, path: &Path) -> Written {
    let mut file = BufWriter::new(File::create(path).expect("a file of our own"));
    let (began, mut lines) = (Clock::Processor.of_thread(), 0);
    loop {
        let heard = tokio::select! {
            biased;
            heard = nflog.next() => heard,
            _ = &mut stopped => break,
        };
        let Heard::Packets(packets) = heard else { continue };
        for packet in packets {
            line(&packet, &mut file).expect("there is room");
            lines += 1;
        }
    }
    file.flush().expect("there is room");
    let processor = Clock::Processor.of_thread() - began;
    Written {
        lines,
        processor: Duration::from_secs_f64(processor),
    }
}

/// As the seed's log has it, as far as it is counted.
fn line(packet: &Copied, file: &mut impl std::io::Write) -> std::io::Result<()> {
    let (length, bytes) = (packet.payload.len(), packet.payload.as_slice());
    let transport = if packet.source.is_ipv6() { 40 } else { 20 };
    let port = |at: usize| bytes.get(transport + at..).and_then(|rest| rest.first_chunk());
    let [from, to] = [port(0), port(2)].map(|port| u16::from_be_bytes(*port.unwrap_or(&[0; 2])));
    writeln!(
        file,
        "2020-04-06T16:05:29 router kernel: {}IN=wan0 OUT= MAC= SRC={} DST={} LEN={length} TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=UDP SPT={from} DPT={to} LEN=8",
        packet.prefix, packet.source, packet.dest
    )
}

/// Days as they usually are, and the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Usual,
    Largest,
}

/// 800 days over the bus: memory, file, and what questions take.
fn days(rounds: u32, report: &mut Report) -> bool {
    let mut measured = Vec::new();
    for size in [Size::Usual, Size::Largest] {
        say(&format!("{DAYS} days, {size:?}"));
        let Some(mut home) = Home::start("bench", House::plan(), &on()) else {
            return false;
        };
        measured.push(Held::measure(&mut home, size, rounds));
    }
    let [usual, largest] = &measured[..] else { return false };
    #[allow(clippy::cast_precision_loss)]
    let (attempts, files) = (usual.attempts as f64, [usual, largest].map(|held| held.file as f64));
    let log = attempts * of_a_line();
    report.add(
        &format!(
            "{DAYS} days of {:.0} attempts: the file, bytes",
            attempts / f64::from(DAYS)
        ),
        usual.file.to_string(),
        format!("log lines {log:.0}"),
        Some(log / files[0]),
        json!({ "file": usual.file, "log": log }),
    );
    #[allow(clippy::cast_precision_loss)]
    report.add(
        &format!("{DAYS} days as large as can be: the file, bytes"),
        largest.file.to_string(),
        format!("bound {WORST_CASE}"),
        Some(files[1] / WORST_CASE as f64),
        json!({ "file": largest.file, "wanted_at_most": WORST_CASE }),
    );
    let kib = |held: &Held| held.kib.map(|kib| kib.to_string()).join(", ");
    report.add(
        &format!("{DAYS} days: daemon, KiB: empty, imported, asked"),
        kib(usual),
        format!("largest {}", kib(largest)),
        None,
        json!({ "usual_kib": usual.kib, "largest_kib": largest.kib }),
    );
    report.add(
        &format!("{DAYS} days: daemon started anew, KiB"),
        usual.restarted.to_string(),
        format!("largest {}", largest.restarted),
        None,
        json!({ "usual_kib": usual.restarted, "largest_kib": largest.restarted }),
    );
    for (one, other) in usual.asked.iter().zip(&largest.asked) {
        report.add(
            &format!("history of {DAYS} days by {}, ms (answer, bytes)", one.by),
            format!("{:.1} ({})", one.took.median(), one.bytes),
            format!("largest {:.1} ({})", other.took.median(), other.bytes),
            None,
            json!({
                "usual_ms": one.took.json(), "usual_bytes": one.bytes, "largest_ms": other.took.json(), "largest_bytes": other.bytes,
                "bus_holds_bytes": 1 << 20,
            }),
        );
    }
    true
}

/// What a ledger with many days is.
struct Held {
    attempts: u64,
    file: u64,
    /// Resident: before, with the days, after questions.
    kib: [u64; 3],
    /// The same of a daemon that has read the file.
    restarted: u64,
    asked: Vec<Asked>,
}

struct Asked {
    by: &'static str,
    took: Spread,
    bytes: usize,
}

impl Held {
    fn measure(home: &mut Home, size: Size, rounds: u32) -> Self {
        let empty = home.daemon.rss_kib();
        let attempts = import(home, size);
        home.daemon.must("ledger_commit", &json!({}));
        let imported = home.daemon.rss_kib();
        let asked = ["day", "hour", "month", "port", "source"].map(|by| Asked::measure(home, by, rounds));
        let kib = [empty, imported, home.daemon.rss_kib()];
        let file = fs::metadata(home.house.directory().join("state/ledger"));
        home.daemon.terminate();
        home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
        home.daemon.must("status", &json!({}));
        Self {
            attempts,
            file: file.expect("it was committed").len(),
            kib,
            restarted: home.daemon.rss_kib(),
            asked: asked.into(),
        }
    }
}

impl Asked {
    fn measure(home: &Home, by: &'static str, rounds: u32) -> Self {
        let mut bytes = 0;
        let times = (0..rounds * 3).map(|_| {
            let call = Instant::now();
            let answer = home.daemon.must("history", &json!({ "by": by }));
            let took = call.elapsed().as_secs_f64() * 1e3;
            let fields = answer.as_object().and_then(|fields| blobmsg::encode(fields).ok());
            bytes = fields.map_or(0, |fields| fields.len());
            took
        });
        Self {
            by,
            took: Spread::of(times.collect()),
            bytes,
        }
    }
}

/// The days until today, over the bus; how many attempts they have.
fn import(home: &Home, size: Size) -> u64 {
    let today = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs() / 86_400);
    let today = i64::try_from(today).ok().and_then(Date::from_days).expect("a day");
    let mut attempts = 0;
    // Two of the largest are half of what the bus carries at once.
    for ago in (0..DAYS).rev().step_by(2) {
        let two: Vec<Value> = [ago, ago - 1]
            .into_iter()
            .map(|ago| {
                let day = size.day(ago);
                attempts += day.attempts();
                imported_day(today.plus(-ago).expect("a day"), &day)
            })
            .collect();
        home.daemon.must("ledger_import", &json!({ "days": two }));
    }
    attempts
}

impl Size {
    /// The day so many days ago.
    fn day(self, ago: i32) -> Day {
        let mut day = Day::default();
        let any = u16::try_from(ago).expect("it is small");
        // A usual day has some 5 500 attempts; of the largest no number takes more bytes than WORST_CASE says.
        let [hourly, of_service, of_source] = match self {
            Self::Usual => [225 + u64::from(any % 9), 80, 8],
            Self::Largest => [(1 << 28) - 1; 3],
        };
        (0..24).for_each(|hour| day.add(hour, hourly));
        for number in 0..u16::try_from(SERVICES).expect("it is small") {
            day.add_service(service(any + number * 7), of_service);
        }
        if usize::from(any) >= WITH_SOURCES {
            return day;
        }
        for number in 0..u32::try_from(SOURCES).expect("it is small") {
            let family = match self {
                Self::Usual if number % 10 > 0 => Family::V4,
                _ => Family::V6,
            };
            let address = nobody(family, number * 31 + u32::from(any)).ip();
            let hours = match self {
                Self::Usual => 9..11,
                Self::Largest => 0..24,
            };
            hours.for_each(|hour| day.add_source(address, hour, of_source));
            let services = match self {
                Self::Usual => 2,
                Self::Largest => u16::try_from(OF_SOURCE).expect("it is small"),
            };
            (0..services).for_each(|port| day.add_source_service(address, service(any + port), of_source));
        }
        day
    }
}

fn service(number: u16) -> Service {
    let protocol = if number.is_multiple_of(3) { 17 } else { 6 };
    Service::of(protocol, 20 + number)
}

/// Bytes of the seed's log for each attempt.
fn of_a_line() -> f64 {
    let mut log = Vec::new();
    let told = write_april(2020, Forms::Seed, &mut log).expect("there is room");
    #[allow(clippy::cast_precision_loss)]
    let bytes = log.len() as f64 / told.attempts as f64;
    bytes
}
