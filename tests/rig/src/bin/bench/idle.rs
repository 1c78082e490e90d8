//! What the daemon does when nothing happens, and what it weighs: on this machine, and where they were made, the packages and the emulated routers.

use crate::{say, Report};
use lanward_rig::home::{switched_on, Home};
use lanward_rig::house::House;
use lanward_rig::sections;
use lanward_rig::settings::Firewall;
use serde_json::json;
use std::time::{Duration, Instant};

/// Counts how often the daemon is woken in so long; `false` where the machine does not allow it. The switch is on and a gate is there, and nobody comes.
pub fn wake_ups(watched: Duration, report: &mut Report) -> bool {
    let gate = sections::gate("list service 'tcp:22'");
    let config = [switched_on(""), gate, sections::witness("")].concat();
    let Some(home) = Home::start_gated("bench idle", House::plan(), Firewall::default(), &config) else {
        return false;
    };
    say(&format!("idle for {watched:?}"));
    come_to_rest(&home);
    let (began, before) = (Instant::now(), home.daemon.voluntary_switches());
    std::thread::sleep(watched);
    let woken = home.daemon.voluntary_switches() - before;
    let took = began.elapsed();
    #[allow(clippy::cast_precision_loss)]
    let per_minute = woken as f64 * 60.0 / took.as_secs_f64();
    report.add(
        "wake-ups a minute, idle, switched on, with a gate",
        format!("{per_minute:.1}"),
        format!("counted {woken} in {} s", took.as_secs()),
        None,
        json!({ "woken": woken, "seconds": took.as_secs_f64(), "wanted_a_minute": 1 }),
    );
    report.add(
        "resident memory, idle, this machine, KiB",
        home.daemon.rss_kib().to_string(),
        String::new(),
        None,
        json!({ "kib": home.daemon.rss_kib(), "wanted_kib_on_32_bit": 4096 }),
    );
    true
}

/// The packages, where `make package` has made them: bytes of each beside the figure.
pub fn packages(report: &mut Report) {
    const WANTED: f64 = 600.0 * 1024.0;
    let Ok(table) = std::fs::read_to_string("dist/sizes.txt") else {
        say("no packages: `make package` makes them, and then their sizes are here, too");
        return;
    };
    // Package or architecture, program, .ipk, installed; the first line says so.
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, _, ipk, installed] = words[..] else { continue };
        let Ok(bytes) = ipk.parse::<f64>() else { continue };
        let wanted = if name.starts_with("luci-") {
            WANTED / 10.0
        } else {
            WANTED
        };
        report.add(
            &format!("package {name}: .ipk, bytes"),
            ipk.to_owned(),
            format!("installed {installed}"),
            Some(bytes / wanted),
            json!({ "ipk": bytes, "wanted_at_most": wanted }),
        );
    }
}

/// What the daemon takes at rest on the emulated routers, where `make router-test` has measured it.
pub fn routers(report: &mut Report) {
    const WANTED_KIB: f64 = 4096.0;
    let mut is_known = false;
    for architecture in ["mipsel", "mips", "armhf", "arm64", "amd64"] {
        let path = format!("target/router/{architecture}/at-rest");
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        // `woken 0 times a minute, 0.0 ms of processor time; RSS 1456 KiB, PSS 1449 KiB`
        let Some((woken, memory)) = text.trim().split_once("; RSS ") else {
            continue;
        };
        let Some(kib) = memory.split(' ').next().and_then(|kib| kib.parse::<f64>().ok()) else {
            continue;
        };
        is_known = true;
        report.add(
            &format!("resident memory, idle, emulated {architecture}, KiB"),
            format!("{kib}"),
            woken.split(',').next().unwrap_or_default().to_owned(),
            Some(kib / WANTED_KIB),
            json!({ "kib": kib, "wanted_at_most_on_32_bit": WANTED_KIB, "measured": text.trim() }),
        );
    }
    if !is_known {
        say("no emulated routers: `make router-test` measures in them, and then that is here, too");
    }
}

/// What a start leaves to be done is over when nothing has happened for a while.
fn come_to_rest(home: &Home) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let before = home.daemon.voluntary_switches();
        std::thread::sleep(Duration::from_secs(2));
        if home.daemon.voluntary_switches() == before || Instant::now() > end {
            return;
        }
    }
}
