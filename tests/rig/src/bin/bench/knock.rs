//! What knocks cost under many SYNs: the daemon beside Debian's knockd, and what the kernel does for each packet beside no table and beside knockd.

use crate::{beside, say, unit, Report};
use lanward_rig::bench::Clock;
use lanward_rig::flood::nobody;
use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{House, FAMILIES};
use lanward_rig::knock::{tcp, Knocker, Step};
use lanward_rig::knockd::{Door, Knockd};
use lanward_rig::sections;
use serde_json::json;
use std::time::{Duration, Instant};

/// SYNs in a second.
pub const RATE: u32 = 100_000;
/// SYNs of one measurement of the kernel's part.
const PACKETS: u32 = 10_000;
const SEQUENCE: [Step; 3] = [FIRST, tcp(8000), tcp(9000)];
const FIRST: Step = tcp(7000);
const UNUSED: Step = tcp(6000);

/// What is sent.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub step: Step,
    pub spoofed: bool,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "spoofed SYNs to a knock's first port",
        step: FIRST,
        spoofed: true,
    },
    Kind {
        name: "one source's SYNs to a knock's first port",
        step: FIRST,
        spoofed: false,
    },
    Kind {
        name: "spoofed SYNs to an unused port",
        step: UNUSED,
        spoofed: true,
    },
];

/// What a flood did to a process.
pub struct Cost {
    pub sent: u32,
    took: Duration,
    pub processor: Duration,
    rss: u64,
    grown: u64,
}

impl Cost {
    /// Milliseconds of processor for each second of the flood.
    pub fn per_second(&self) -> f64 {
        self.processor.as_secs_f64() * 1e3 / self.took.as_secs_f64()
    }

    pub fn rate(&self) -> f64 {
        f64::from(self.sent) / self.took.as_secs_f64()
    }
}

/// `false` where the machine does not allow it. Without knockd there is nothing to compare with, and no rows.
pub fn measure(rounds: u32, flooded: Duration, report: &mut Report) -> bool {
    say("building three routers: knocks, knockd, neither");
    let gate = sections::gate("option knock_alone '1'\nlist service 'tcp:22'");
    let config = [switched_off(""), gate, sections::knock(&SEQUENCE, "")].concat();
    let Some(home) = Home::start("bench", House::plan(), &config) else {
        return false;
    };
    let [with_knockd, bare] = [(); 2].map(|()| {
        let house = House::plan().build();
        house.unwrap_or_else(|error| panic!("no house: {error}"))
    });
    bare.router().nft("table inet lanward\n");
    let door = Door {
        name: "door".to_owned(),
        sequence: SEQUENCE.to_vec(),
        timeout: 5,
    };
    let Some(knockd) = Knockd::start("bench", &with_knockd, &[door]) else {
        return true;
    };
    let knockers = [&home.house, &with_knockd, &bare].map(Knocker::new);
    for kind in KINDS {
        say(&format!("{RATE} a second: {}", kind.name));
        let daemon = &home.daemon;
        let own = under_flood(&knockers[0], kind, flooded, &|| {
            (daemon.processor_time(), daemon.rss_kib())
        });
        let other = under_flood(&knockers[1], kind, flooded, &|| {
            (knockd.processor_time(), knockd.rss_kib())
        });
        compare(report, kind, &own, &other);
    }
    let clock = Clock::choose(|clock| {
        let _ = of_a_syn(&knockers[2], UNUSED, clock);
    });
    for (what, step) in [("an unused port", UNUSED), ("a knock's first port", FIRST)] {
        say(&format!("what the kernel does for a SYN to {what}"));
        let what = refused(what, clock);
        beside(report, &what, ["no table", "knockd"], rounds * 3, &|which| {
            of_a_syn(&knockers[[0, 2, 1][which]], step, clock)
        });
    }
    true
}

/// `look`: processor's time and memory so far.
pub fn under_flood(knocker: &Knocker, kind: Kind, flooded: Duration, look: &dyn Fn() -> (Duration, u64)) -> Cost {
    let (spent, had) = look();
    let mut spoofed = FAMILIES.map(|family| (family, knocker.spoofed(family, kind.step)));
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < flooded {
        let due = began.elapsed().as_micros() * u128::from(RATE) / 1_000_000;
        if u128::from(sent) >= due {
            std::thread::sleep(Duration::from_micros(100));
            continue;
        }
        for (family, spoofed) in &mut spoofed {
            let sources = (sent..sent + 32).map(|number| if kind.spoofed { number } else { 0 });
            spoofed.send(sources.map(|number| nobody(*family, number).ip()));
            sent += 32;
        }
    }
    let took = began.elapsed();
    // What it does later for what it has heard counts as well.
    std::thread::sleep(flooded.min(Duration::from_secs(1)));
    let (now_spent, has) = look();
    Cost {
        sent,
        took,
        processor: now_spent.saturating_sub(spent),
        rss: has,
        grown: has.saturating_sub(had),
    }
}

fn compare(report: &mut Report, kind: Kind, own: &Cost, other: &Cost) {
    let figure = |cost: &Cost| {
        json!({
            "processor_ms_per_second": cost.per_second(), "per_second": cost.rate(), "seconds": cost.took.as_secs_f64(),
            "rss_kib": cost.rss, "grown_kib": cost.grown,
        })
    };
    let figures = || json!({ "lanward": figure(own), "knockd": figure(other) });
    report.add(
        &format!("{:.0}/s {}: daemon, processor ms/s", own.rate(), kind.name),
        format!("{:.1}", own.per_second()),
        format!("knockd {:.1} at {:.0}/s", other.per_second(), other.rate()),
        Some(other.per_second() / own.per_second().max(0.1)),
        figures(),
    );
    let kib = |cost: &Cost| format!("{} (+{})", cost.rss, cost.grown);
    #[allow(clippy::cast_precision_loss)]
    let ratio = other.rss as f64 / own.rss.max(1) as f64;
    report.add(
        &format!("{:.0}/s {}: daemon, KiB", own.rate(), kind.name),
        kib(own),
        format!("knockd {}", kib(other)),
        Some(ratio),
        figures(),
    );
}

/// Seconds that the sender, and with it the router's kernel, has for one SYN.
pub fn of_a_syn(knocker: &Knocker, step: Step, clock: Clock) -> f64 {
    let mut spoofed = FAMILIES.map(|family| (family, knocker.spoofed(family, step)));
    let began = clock.of_thread();
    for first in (0..PACKETS / 2).step_by(64) {
        for (family, spoofed) in &mut spoofed {
            spoofed.send((first..first + 64).map(|number| nobody(*family, number).ip()));
        }
    }
    (clock.of_thread() - began) / f64::from(PACKETS)
}

/// What is counted for each packet that nobody accepts.
pub fn refused(what: &str, clock: Clock) -> String {
    format!("refused SYNs {}, spoofed, to {what}", unit(clock))
}
