//! What a gate costs, beside no table of ours and beside the seed's iptables rules, the three in turns; how soon it admits; what a flood does to the
//! daemon.

use crate::routers::{Router, Rules, LISTED, LISTED_BY_SEED};
use crate::{beside, say, unit, Report};
use lanward_rig::bench::{Clock, Spread};
use lanward_rig::house::FAMILIES;
use serde_json::{json, Value};
use std::time::{Duration, Instant};

/// Spoofed sources for each round: a million.
const SOURCES: u32 = 100_000;

/// `false` where the machine does not allow it.
pub fn measure(rounds: u32, report: &mut Report) -> bool {
    say("building three routers: a gate, no table, the seed's rules");
    let (Some(gate), Some(nothing), Some(seed)) = (
        Router::start(Rules::Gate),
        Router::start(Rules::Nothing),
        Router::start(Rules::Seed),
    ) else {
        return false;
    };
    let routers = [&gate, &nothing, &seed];
    let downloads = FAMILIES.map(|family| routers.map(|router| router.of_a_download(family)));
    let sessions = FAMILIES.map(|family| routers.map(|router| router.of_a_session(family)));
    for router in routers {
        router.deafen();
    }
    let clock = Clock::choose(|clock| {
        let _ = gate.forward(&downloads[0][0], clock);
    });
    let (unit, seeds) = (unit(clock), format!("seed ({LISTED_BY_SEED} listed)"));
    let names = ["no table", seeds.as_str()];
    for (what, packets) in [
        ("forwarded past a gate", downloads),
        ("of an admitted session", sessions),
    ] {
        for (family, packets) in FAMILIES.into_iter().zip(packets) {
            say(&format!("packets {what} over {family}"));
            beside(
                report,
                &format!("packets {unit} {what}, {family}, {LISTED} listed"),
                names,
                rounds * 5,
                &|which| routers[which].forward(&packets[which], clock),
            );
        }
    }
    for router in routers {
        router.undeafen();
    }
    gate.forget("never");
    for family in FAMILIES {
        say(&format!("connections through a gate over {family}"));
        let what = format!("connections {unit} of listed sources, {family}, {LISTED} listed");
        beside(report, &what, names, rounds * 4, &|which| {
            routers[which].connect(family, clock)
        });
    }
    gate.forget("first_fin");
    admission(report, rounds * 6, &gate, &seed);
    flood(report, &gate, SOURCES * rounds);
    true
}

fn admission(report: &mut Report, rounds: u32, gate: &Router, seed: &Router) {
    let routers = [gate, seed].map(|router| (router, router.listen()));
    for family in FAMILIES {
        say(&format!("admission over {family}"));
        let (mut times, mut first): ([Vec<f64>; 2], [u32; 2]) = Default::default();
        for number in 0..rounds {
            for (index, (router, tap)) in routers.iter().enumerate() {
                let (took, syns) = router.admission(tap, family, number);
                times[index].push(took);
                first[index] += u32::from(syns == 1);
            }
        }
        let [own, old] = times.map(Spread::of);
        report.add(
            &format!(
                "IMAPS's third packet until SSH's SYN-ACK, {family}, ms; first SYN in {} of {rounds}",
                first[0]
            ),
            format!("{:.3} (worst {:.2})", own.median(), own.worst()),
            format!("seed {:.3} (worst {:.2})", old.median(), old.worst()),
            Some(old.median() / own.median().max(0.0001)),
            json!({
                "lanward_ms": own.json(), "seed_ms": old.json(), "rounds": rounds,
                "lanward_first_syn": first[0], "seed_first_syn": first[1], "wanted_first_syn": rounds,
            }),
        );
    }
}

fn flood(report: &mut Report, gate: &Router, sources: u32) {
    let Some(home) = gate.home() else { return };
    let status = || home.daemon.must("status", &json!({}))["gates"][0].take();
    let number = |gate: &Value, key: &str| gate[key].as_u64().unwrap_or(0);
    let daemon = &home.daemon;
    say(&format!("{sources} spoofed sources"));
    let (before, rss, spent) = (status(), daemon.rss_kib(), daemon.processor_time());
    let began = Instant::now();
    gate.spoofed_flood(sources);
    let sent_in = began.elapsed();
    // What it would do later for what it has heard counts as well.
    std::thread::sleep(Duration::from_secs(1));
    let (busy, took) = (daemon.processor_time().saturating_sub(spent), began.elapsed());
    let (grown, after) = (daemon.rss_kib().saturating_sub(rss), status());
    let spent = daemon.processor_time();
    std::thread::sleep(took);
    let idle = daemon.processor_time().saturating_sub(spent);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let admitted = number(&after, "admitted") - number(&before, "admitted");
    let refused = number(&after, "refused") - number(&before, "refused");
    let what = format!("{sources} spoofed SYNs each to SSH and IMAPS, {admitted} admitted: daemon,");
    report.add(
        &format!("{what} processor ms"),
        format!("{:.2}", milliseconds(busy)),
        format!("idle {:.2}", milliseconds(idle)),
        None,
        json!({
            "busy_ms": milliseconds(busy), "idle_ms": milliseconds(idle), "seconds": sent_in.as_secs_f64(), "sources": sources,
            "admitted": admitted, "refused": refused, "listed_before": before["entries"], "listed_after": after["entries"], "wanted_admitted": 0,
        }),
    );
    report.add(
        &format!("{what} KiB more"),
        grown.to_string(),
        format!("had {rss}"),
        None,
        json!({ "grown_kib": grown, "rss_kib": rss, "wanted_kib_at_most": 1024 }),
    );
    gate.forget("never");
    let took = FAMILIES.map(|family| gate.connect(family, Clock::Wall) * 1e3);
    report.add(
        "after that, a listed address gets in (ms a connection, IPv4, IPv6)",
        took.map(|took| format!("{took:.2}")).join(", "),
        "or the bench ends".to_owned(),
        None,
        json!({ "ms": took }),
    );
}
