//! A million spoofed sources at each kind of port, and a conntrack table without room: who gets in, what the switch does meanwhile, and what it costs. What was seen
//! is `docs/floods.md`.

#[path = "floods/full.rs"]
mod full;
#[path = "floods/page.rs"]
mod page;
#[path = "floods/scene.rs"]
mod scene;

use full::{room, Filling};
use lanward_rig::bench::Spread;
use lanward_rig::home::Switch;
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::probe::Connection;
use lanward_rig::report_line::{figure, skip, this_test};
use page::{measured, record, sources, table};
use scene::{
    milliseconds, Asked, Kind, Scene, LINES, OPENS, PATIENCE, PERCENT, RETURNED, ROUNDS, SPA_PERCENT, SSH, SWITCHED,
};
use std::time::{Duration, Instant};

/// KiB that the daemon may grow, all floods together.
const GROWTH: u64 = 1024;
/// So long nobody asks the daemon for anything while conntrack is full.
const IDLE: Duration = Duration::from_secs(2);

#[test]
fn a_million_sources_at_any_port_let_nobody_in_keep_nobody_out_and_cost_the_daemon_next_to_nothing() {
    let Some(mut scene) = Scene::start() else { return };
    let sources = sources();
    let peace = scene.in_peace(10);
    let before = scene.home.daemon.own_kib();
    let grown = |scene: &Scene| scene.home.daemon.own_kib().saturating_sub(before);
    let mut rows = vec![peace.cells()];
    rows[0].insert(0, "none".to_owned());
    rows[0].resize(HEAD.len(), String::new());
    let mut latest = [Duration::ZERO; 2];
    // The witness last: what it leaves in conntrack stays for a minute.
    for kind in Kind::ALL {
        for family in FAMILIES {
            let cost = scene.flood(kind, family, sources);
            cost.judge(kind);
            let mut row = cost.cells();
            row.insert(0, format!("{}, {family}", kind.words()));
            row.push(measured(&grown(&scene).to_string()));
            figure(&this_test(), &row.join("; ").replace('*', ""));
            rows.push(row);
            if kind == Kind::Spa {
                for (latest, after) in latest.iter_mut().zip(scene.newcomers(family)) {
                    *latest = after.max(*latest);
                }
            }
        }
    }
    let grown = grown(&scene);
    assert!(grown < GROWTH, "{grown} KiB");
    record(
        "ports",
        &(table(&["what", "bound"], &bounds(latest)) + "\n" + &table(&HEAD, &rows)),
    );
}

const HEAD: [&str; 10] = [
    "flood",
    "the listed source is in",
    "switched on: the last packet",
    "the call returns",
    "`status`",
    "1000 packets a second",
    "processor",
    "lines of log",
    "entries in conntrack",
    "memory, KiB",
];

fn bounds([proved, knocked]: [Duration; 2]) -> Vec<Vec<String>> {
    let [proved, knocked] = [proved, knocked].map(|after| measured(&format!("{:.0} ms", milliseconds(after))));
    let rows = [
        (
            "the listed source",
            format!("is let in each time, {ROUNDS} times a flood at least; its session goes on"),
        ),
        (
            "who is not listed",
            "never gets in. The lists are what they were before: nobody is on them by a flood, and nobody is off".to_owned(),
        ),
        (
            "the switch",
            format!(
                "half of the times the last packet of a running flow has passed within {SWITCHED} ms of the call, and the call has returned within {RETURNED}"
            ),
        ),
        (
            "the daemon's memory",
            format!(
                "less than {GROWTH} KiB more after all floods together (in the table: since the first one). Until a router without a battery knows the time, each minute of a flood waits in the ledger \
                 with 16 KB, 64 of them at most"
            ),
        ),
        (
            "processor",
            format!(
                "while nobody asks the daemon for anything, {PERCENT} % of one; {SPA_PERCENT} % at the SPA port, where it looks at 50 packets a second, here with a program that is not \
                 optimised; and, besides, one reading of the ledger's counters and one look at conntrack"
            ),
        ),
        (
            "lines of log",
            format!("{LINES} a minute: 120 about attempts, 120 about who comes and goes. (What the switch says is not counted.)"),
        ),
        ("flash", "nothing is written".to_owned()),
        (
            "sets in the kernel",
            "none holds more than its size, whose turn it is not is counted (`overflow`)".to_owned(),
        ),
        (
            "conntrack",
            "what a gate refuses has no entry. What the firewall accepts, as at a witness, has one for each source: see below".to_owned(),
        ),
        (
            "after a flood at the SPA port",
            format!(
                "a newcomer's packet opens ({proved}), and his knock within {} s ({knocked}). **While it lasts**, his packet is one of so many of which 50 a second are looked at: \
                 let a witness or a knock open as well where that matters",
                OPENS.as_secs()
            ),
        ),
    ];
    rows.map(|(what, bound)| vec![what.to_owned(), bound]).to_vec()
}

#[test]
fn a_conntrack_table_without_room_opens_nothing_and_cuts_nothing_that_has_begun() {
    let Some(mut scene) = Scene::start() else { return };
    if room() > 1_000_000 {
        return skip(&this_test(), "nf_conntrack_max is more than can be filled in the time");
    }
    let live = scene.live();
    // What is invalid, and passes without the switch. (Over IPv4 the firewall sees to it.)
    assert!(scene.gets_out_invalid(Family::V6) > 0);
    scene.home.switch(Switch::On);
    scene.keeps_in();
    scene.home.switch(Switch::Off);

    scene.fill(Filling::HalfOpen);
    let mut half_open = Asked::default();
    for round in 0..10 {
        scene.ask(FAMILIES[round % 2], &live, &mut half_open);
    }
    half_open.judge();
    scene.empty();
    assert!(live.goes_on());
    scene.hold_on();

    let (before, dropped) = (scene.home.daemon.own_kib(), scene.dropped());
    scene.fill(Filling::Assured);
    let soon = Duration::from_millis(500);
    for family in FAMILIES {
        for source in [scene.friend(family), scene.stranger(family)] {
            scene.fill_up();
            assert_eq!(
                scene.connect(source, SSH, soon),
                Connection::Silent,
                "{source}: there is no room"
            );
        }
        scene.fill_up();
        assert_eq!(scene.gets_out(family), 0, "{family}: nor for what the LAN sends");
    }
    assert!(scene.dropped() > dropped);
    assert!(live.goes_on());
    scene.hold_on();
    let checks = scene.home.daemon.must("check", &serde_json::json!({})).to_string();
    assert!(checks.contains("conntrack holds"), "{checks}");
    let beside = scene.turn_beside(sources() / 4, &live);
    beside.judge();

    // Untracked packets need no entry.
    scene.untrack(true);
    for family in FAMILIES {
        assert!(scene.gets_out(family) > 0, "{family}: untracked");
        let met = scene.connect(scene.stranger(family), SSH, soon);
        assert_ne!(
            met,
            Connection::Accepted,
            "{family}: an untracked SYN of the unlisted one"
        );
    }
    scene.home.switch(Switch::On);
    scene.keeps_in();
    scene.untrack(false);
    scene.keeps_in();
    scene.home.switch(Switch::Off);
    scene.look_at_the_doors();

    let idle = || {
        let spent = scene.home.daemon.processor_time();
        std::thread::sleep(IDLE);
        scene.home.daemon.processor_time().saturating_sub(spent)
    };
    // The ledger's minute may fall into one of them, not into two.
    let allowed = IDLE * PERCENT / 100;
    let spent = Some(idle()).filter(|spent| *spent <= allowed).unwrap_or_else(idle);
    assert!(spent <= allowed, "{spent:?}");
    let mut status = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        scene.home.daemon.must("status", &serde_json::json!({}));
        status.push(milliseconds(began.elapsed()));
    }
    let grown = scene.home.daemon.own_kib().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB");
    scene.hold_on();
    scene.empty();
    for family in FAMILIES {
        let met = scene.connect(scene.friend(family), SSH, PATIENCE);
        assert_eq!(met, Connection::Accepted, "{family}: there is room again");
    }

    let [connected, switched, returned] =
        [&half_open.connected, &half_open.switched, &half_open.returned].map(|values| spread(values));
    let [switched_beside, returned_beside, status] =
        [&beside.switched, &beside.returned, &status].map(|values| spread(values));
    let rows = [
        (
            "full of half-open connections, as a flood at an open port leaves it",
            format!(
                "The kernel puts one of them out for each newcomer. The listed source gets in ({connected}) and its session goes on; the unlisted one does not. The switch stops a running flow \
                 ({switched}) and returns ({returned})"
            ),
        ),
        (
            "full of connections that both ends have spoken in (`ASSURED`)",
            "The kernel drops what has no entry and gets none, before any rule: **nobody new gets in, listed or not**, no knock and no authenticated packet is seen, and nothing new comes out of the LAN. \
             What has begun goes on: the session of who was let in, and running flows. `check` says so"
                .to_owned(),
        ),
        (
            "the same, and a flood at the guarded port",
            format!(
                "The switch stops a running flow ({switched_beside}), deletes its entry and returns ({returned_beside}). Switched off, the flow comes back in the place that it left: what a gate refuses \
                 takes none"
            ),
        ),
        (
            "the same, and packets that need no entry: a `notrack` rule, a wrong checksum",
            "Switched on, no UDP in the range gets out, tracked, untracked or invalid, over IPv4 and IPv6; switched off, the untracked get out. An untracked SYN of the unlisted source is refused".to_owned(),
        ),
        (
            "the same, and the daemon left alone",
            format!(
                "It uses at most {PERCENT} % of a processor ({}), has grown by less than {GROWTH} KiB ({}), and `status` answers ({status})",
                measured(&format!("{:.2} %", spent.as_secs_f64() / IDLE.as_secs_f64() * 1e2)),
                measured(&grown.to_string()),
            ),
        ),
        ("emptied", "The listed source gets in".to_owned()),
    ];
    let rows = rows.map(|(done, happened)| vec![done.to_owned(), happened]);
    record("full", &table(&["what was done", "what happened"], &rows));
}

fn spread(values: &[f64]) -> String {
    measured(&Spread::of(values.to_vec()).to_string())
}
