//! `make bench`: how fast the switch bites, what memory and what forwarding it costs, and whether a packet escapes; each beside the
//! same thing done another way, in one run on one machine. `--json` for programs, `--quick` for fewer rounds,
//! `--packets` for what packets pay alone.

mod forwarding;
mod gate;
mod idle;
mod import;
mod knock;
mod ledger;
mod routers;

use lanward::system::conntrack::Conntrack;
use lanward_rig::bench::{self, Clock, Spread};
use lanward_rig::flood::{Arrivals, Rate};
use lanward_rig::home::{switched_off, switched_on, Home, Switch};
use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::probe::now;
use lanward_rig::session::Session;
use serde_json::{json, Value};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = arguments
        .iter()
        .find(|argument| !matches!(argument.as_str(), "--json" | "--quick" | "--packets"))
    {
        eprintln!("bench: unknown argument {unknown}; there are --json, --quick and --packets");
        return ExitCode::from(2);
    }
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has("--packets") {
        let mut report = Report::default();
        let is_done = forwarding::measure(if has("--quick") { 6 } else { 20 }, &mut report);
        report.tell(has("--json"));
        return if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let Some(home) = Home::start("bench", House::plan(), &switched_off("")) else {
        return ExitCode::FAILURE;
    };
    let mut bench = Bench {
        home,
        rounds: if has("--quick") { 3 } else { 10 },
        report: Report::default(),
    };
    bench.switching();
    bench.escapes(if has("--quick") { 100 } else { 1000 });
    let (rounds, mut report) = (bench.rounds, bench.report);
    drop(bench.home);
    let watched = Duration::from_secs(if has("--quick") { 15 } else { 60 });
    let flooded = Duration::from_millis(if has("--quick") { 500 } else { 3000 });
    if !forwarding::measure(rounds * 2, &mut report)
        || !gate::measure(rounds, &mut report)
        || !knock::measure(rounds, flooded, &mut report)
        || !import::measure(rounds, &mut report)
        || !ledger::measure(rounds, flooded, &mut report)
        || !idle::wake_ups(watched, &mut report)
    {
        return ExitCode::FAILURE;
    }
    idle::packages(&mut report);
    idle::routers(&mut report);
    report.tell(has("--json"));
    ExitCode::SUCCESS
}

struct Bench {
    home: Home,
    rounds: u32,
    report: Report,
}

/// What was measured, for people and for programs.
#[derive(Default)]
struct Report {
    lines: Vec<[String; 4]>,
    figures: Vec<Value>,
}

impl Report {
    /// As JSON if `to_program`, else as a table.
    fn tell(&self, to_program: bool) {
        if to_program {
            println!("{:#}", json!({ "figures": self.figures }));
        } else {
            self.print();
        }
    }

    fn print(&self) {
        let head = ["what", "lanward", "beside it", "ratio"].map(str::to_owned);
        for [what, own, other, ratio] in std::iter::once(&head).chain(&self.lines) {
            println!("{what:<82} {own:>20} {other:>26} {ratio:>9}");
        }
    }

    fn add(&mut self, what: &str, own: String, other: String, ratio: Option<f64>, figure: Value) {
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        // Whoever interrupts it keeps what there is.
        eprintln!("  {what}: {own}; {other}; {ratio}");
        self.lines.push([what.to_owned(), own, other, ratio]);
        let mut figure = figure;
        figure["what"] = json!(what);
        self.figures.push(figure);
    }
}

/// Measures three things in turns, and adds two rows: the first beside the second, and beside the third. `cost`: seconds for one, of the thing of that number;
/// the second is measured before and after the others, since whatever slows the machine down for a while slows down what stands on either side.
fn beside(report: &mut Report, what: &str, names: [&str; 2], rounds: u32, cost: &dyn Fn(usize) -> f64) {
    let mut rates: [Vec<f64>; 3] = Default::default();
    let (mut shares, mut noise): ([Vec<f64>; 2], Vec<f64>) = Default::default();
    for _ in 0..rounds {
        let [first, own, third, again] = [1, 0, 2, 1].map(cost);
        let second = (first + again) / 2.0;
        shares[0].push(second / own);
        shares[1].push(third / own);
        noise.push(first / again);
        for (rates, cost) in rates.iter_mut().zip([own, second, third]) {
            rates.push(1.0 / cost);
        }
    }
    let [own, second, third] = rates.map(Spread::of);
    let noise = Spread::of(noise).json();
    for ((name, rate), share) in names.into_iter().zip([second, third]).zip(shares.map(Spread::of)) {
        report.add(
            what,
            format!("{:.0}", own.median()),
            format!("{name} {:.0}", rate.median()),
            Some(share.median()),
            json!({
                "lanward_per_second": own.json(), "beside_per_second": rate.json(), "beside": name, "share": share.json(),
                "second_twice": noise,
            }),
        );
    }
}

/// What a rate is of.
fn unit(clock: Clock) -> &'static str {
    match clock {
        Clock::Processor => "per processor's second",
        Clock::Wall => "per second",
    }
}

fn say(what: &str) {
    eprintln!("measuring: {what} …");
}

/// One way of switching on, measured several times. Milliseconds, KiB.
struct Switching {
    /// From the call until the last packet that still arrived.
    last_packet: Spread,
    /// From the call until it returned.
    returned: Spread,
    /// The most memory that who did it had.
    memory: u64,
}

impl Bench {
    fn switching(&mut self) {
        for foreign in [false, true] {
            if foreign {
                say("loading a foreign table of 200 000 intervals");
                bench::load_foreign_set(self.home.house.router());
            }
            let beside = if foreign {
                ", beside 200 000 foreign elements"
            } else {
                ""
            };
            for flows in [0, 1000] {
                say(&format!("switch on, {flows} flows{beside}"));
                self.switching_with(flows, beside);
            }
            say(&format!("reload{beside}"));
            self.reloading(beside);
        }
        self.home.house.router().nft("delete table inet foreign\n");
        if let Some(_smaller) = Buckets::shrink_to(Buckets::OF_A_ROUTER) {
            let beside = format!(", {} buckets as on a router", Buckets::OF_A_ROUTER);
            say(&format!("the same{beside}"));
            self.switching_with(1000, &beside);
            self.reloading(&beside);
        }
    }

    fn switching_with(&mut self, flows: usize, beside: &str) {
        let sessions = self.sessions(flows);
        let by_bus = self.by_bus(&sessions);
        let rss = by_bus.memory;
        self.home.daemon.kill9();
        let by_nft = self.by_nft(&sessions);
        self.home.house.router().nft("delete table inet lanward\n");
        self.home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
        drop(sessions);
        let what = |what: &str| format!("{what}, {flows} live flows{beside}");
        self.report.add(
            &what("switch on until the last packet, ms"),
            by_bus.last_packet.to_string(),
            format!("nft -f {}", by_nft.last_packet),
            Some(by_nft.last_packet.median() / by_bus.last_packet.median().max(0.01)),
            json!({ "lanward_ms": by_bus.last_packet.json(), "nft_ms": by_nft.last_packet.json(), "wanted_ms": 10 }),
        );
        self.report.add(
            &what("switch on until the answer, ms"),
            by_bus.returned.to_string(),
            format!("nft -f {}", by_nft.returned),
            Some(by_nft.returned.median() / by_bus.returned.median().max(0.01)),
            json!({ "lanward_ms": by_bus.returned.json(), "nft_ms": by_nft.returned.json() }),
        );
        #[allow(clippy::cast_precision_loss)]
        let ratio = by_nft.memory as f64 / rss.max(1) as f64;
        self.report.add(
            &what("memory, KiB"),
            rss.to_string(),
            format!("nft -f {}", by_nft.memory),
            Some(ratio),
            json!({ "lanward_kib": rss, "nft_kib": by_nft.memory }),
        );
    }

    /// One lively flow to look at, and so many others.
    fn sessions(&self, others: usize) -> Vec<Session> {
        let way = self.home.house.way_out(Family::V4);
        let mut sessions = vec![way.udp_session(50000)];
        if others > 0 {
            sessions.push(way.udp_sessions(50001, others, Duration::from_micros(100)));
        }
        sessions
    }

    fn by_bus(&self, sessions: &[Session]) -> Switching {
        let (last_packet, returned) = rounds(self.rounds, || {
            let times = measure(sessions, || drop(self.home.switch(Switch::On)));
            self.home.switch(Switch::Off);
            revive(sessions);
            times
        });
        Switching {
            last_packet,
            returned,
            memory: self.home.daemon.rss_kib(),
        }
    }

    fn by_nft(&self, sessions: &[Session]) -> Switching {
        let (house, mut memory) = (&self.home.house, 0);
        let script = |config: &str| {
            house.configure(config);
            self.home.daemon.print()
        };
        let (on, off) = (script(&switched_on("")), script(&switched_off("")));
        let (last_packet, returned) = rounds(self.rounds.min(5), || {
            let times = measure(sessions, || memory = memory.max(bench::nft_memory(house.router(), &on)));
            house.router().nft(&off);
            revive(sessions);
            times
        });
        Switching {
            last_packet,
            returned,
            memory,
        }
    }

    fn reloading(&mut self, beside: &str) {
        let configs = [
            switched_on(""),
            switched_on("option level 'strict'\nlist except_dest '198.18.0.0/15'"),
        ];
        let times = (0..self.rounds * 4).zip(configs.iter().cycle()).map(|(_, config)| {
            self.home.house.configure(config);
            let call = Instant::now();
            self.home.daemon.must("reload", &json!({}));
            call.elapsed().as_secs_f64() * 1e3
        });
        let times = Spread::of(times.collect());
        let script = self.home.daemon.print();
        let by_nft = (0..self.rounds.min(5)).map(|_| {
            let call = Instant::now();
            self.home.house.router().nft(&script);
            call.elapsed().as_secs_f64() * 1e3
        });
        let by_nft = Spread::of(by_nft.collect());
        self.home.reload(&switched_off(""));
        let (walk, buckets) = self.conntrack();
        self.report.add(
            &format!("of a reload, or of switching on: conntrack read{beside}, ms"),
            walk.to_string(),
            format!("of {buckets} buckets"),
            None,
            json!({ "conntrack_ms": walk.json(), "buckets": buckets }),
        );
        self.report.add(
            &format!("a whole reload{beside}, ms"),
            times.to_string(),
            format!("nft -f {by_nft}"),
            Some(by_nft.median() / times.median().max(0.01)),
            json!({ "lanward_ms": times.json(), "nft_ms": by_nft.json(), "wanted_ms": 10 }),
        );
    }

    /// What it takes to look for flows to cut, apart from those that are found: the kernel walks through the whole machine's table, bucket by bucket, which is
    /// as large as the machine has memory (a router's has some thousands).
    fn conntrack(&self) -> (Spread, String) {
        let buckets = Buckets::now().map_or_else(|| "?".to_owned(), |number| number.to_string());
        let rounds = self.rounds * 4;
        let times = self.home.house.router().run(|| {
            let mut conntrack = Conntrack::open().unwrap_or_else(|error| panic!("{error}"));
            let read = (0..rounds).map(|_| {
                let call = Instant::now();
                let flows = conntrack.flows(17, &mut |_| false);
                flows.unwrap_or_else(|error| panic!("{error}"));
                call.elapsed().as_secs_f64() * 1e3
            });
            read.collect()
        });
        (Spread::of(times), buckets)
    }

    fn escapes(&mut self, reloads: u32) {
        say(&format!("{reloads} reloads under a flood"));
        let house = &self.home.house;
        self.home.reload(&switched_on(""));
        let arrivals = Arrivals::at(house.host("internet"), "50000");
        let floods = FAMILIES.map(|family| house.way_out(family).flood(50000, Rate::Paced(40_000)));
        let configs = [
            switched_on("option level 'strict'"),
            switched_on("list except_dest '198.18.0.0/15'"),
        ];
        for (_, config) in (0..reloads).zip(configs.iter().cycle()) {
            self.home.reload(config);
        }
        let sent: u64 = floods.into_iter().map(|flood| flood.stop().0).sum();
        let escaped = arrivals.count();
        drop(arrivals);
        self.home.reload(&switched_off(""));
        let figure = json!({ "escaped": escaped, "sent": sent, "reloads": reloads, "wanted": 0 });
        let what = format!("packets escaped in {reloads} reloads under a flood");
        self.report
            .add(&what, escaped.to_string(), format!("of {sent} sent"), None, figure);
    }
}

/// The machine's conntrack table, smaller for a while.
struct Buckets(u32);

impl Buckets {
    const FILE: &'static str = "/proc/sys/net/netfilter/nf_conntrack_buckets";
    /// The kernel takes one for 64 or 128 KiB of memory (`nf_conntrack_init_start`), so a router of 512 MiB has 8192 of them at most: twice that.
    const OF_A_ROUTER: u32 = 16_384;

    fn now() -> Option<u32> {
        std::fs::read_to_string(Self::FILE).ok()?.trim().parse().ok()
    }

    /// None where it is that small already, or not ours to change.
    fn shrink_to(number: u32) -> Option<Self> {
        let before = Self::now().filter(|before| *before > number)?;
        std::fs::write(Self::FILE, number.to_string()).ok()?;
        Some(Self(before))
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(Self::FILE, self.0.to_string()) {
            eprintln!("bench: {} was {} before: {error}", Self::FILE, self.0);
        }
    }
}

/// Milliseconds from before `act` until the last packet of any session, and until `act` returned. `None` if too little was sent meanwhile
/// to see anything: the senders did not get a processor.
fn measure(sessions: &[Session], act: impl FnOnce()) -> Option<(f64, f64)> {
    let sent = || sessions.iter().map(|session| session.tally().sent).sum::<u64>();
    let (call, clock, before) = (now(), Instant::now(), sent());
    act();
    let (returned, after) = (clock.elapsed().as_secs_f64() * 1e3, sent());
    let last = sessions
        .iter()
        .map(|session| session.stopped_after(call).expect("switched on, the flow stops"));
    let last = last.fold(0.0, f64::max);
    (after > before + 5).then_some((last, returned))
}

/// So many rounds in which something was to be seen.
fn rounds(count: u32, mut round: impl FnMut() -> Option<(f64, f64)>) -> (Spread, Spread) {
    let seen = (0..count * 5)
        .filter_map(|_| round())
        .take(usize::try_from(count).unwrap_or(1));
    let (last, returned): (Vec<f64>, Vec<f64>) = seen.unzip();
    (Spread::of(last), Spread::of(returned))
}

fn revive(sessions: &[Session]) {
    for session in sessions {
        let end = Instant::now() + Duration::from_secs(10);
        while !session.goes_on() {
            assert!(Instant::now() < end, "switched off, the flow goes on");
        }
    }
}
