//! A flood of spoofed sources at a sequence's first port.

use crate::scene::{door, somebody, ssh_gate, within, Scene};
use lanward_rig::flood::nobody;
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::knock::{tcp, udp, Knocker, Step};
use lanward_rig::news::News;
use lanward_rig::report_line::{figure, this_test};
use serde_json::{json, Value};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Sources in all.
const SOURCES: u32 = 1_000_000;
/// KiB that the daemon may grow.
const GROWTH: u64 = 1024;
const SIZE: u64 = 4096;
const TIMEOUT: u64 = 5;

fn number(scene: &Scene, key: &str) -> u64 {
    let status = scene.home.daemon.must("status", &json!({}));
    let gates = status["gates"].as_array().expect("a list").iter();
    let of_gate = gates
        .filter(|gate| gate["name"] == json!("ssh"))
        .map(|gate| gate[key].clone());
    let found: Vec<Value> = of_gate.collect();
    found
        .first()
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no {key} in {status}"))
}

#[test]
fn a_million_spoofed_sources_open_nothing_and_cost_the_daemon_nothing() {
    let sections =
        ssh_gate("option forget 'never'") + &door(&format!("option seconds '600'\noption timeout '{TIMEOUT}'"));
    let Some(scene) = Scene::start(&sections) else { return };
    let friends = FAMILIES.map(somebody);
    for friend in friends {
        scene.knock(friend, "7000 8000 9000");
    }
    scene.settle();
    let news = News::subscribe(&scene.home.house.directory().join("ubus.sock"));
    let daemon = &scene.home.daemon;
    // What it has after a first flood is what it needs for hearing of one.
    flood(&scene.knocker, Family::V4, tcp(7000), 0..20_000);
    std::thread::sleep(Duration::from_secs(1));
    let (own, lines, spent, began) = (
        daemon.own_kib(),
        daemon.log().lines().count(),
        daemon.processor_time(),
        Instant::now(),
    );
    let mut times = 0;
    let knocker = &scene.knocker;
    std::thread::scope(|scope| {
        let floods = scope.spawn(|| {
            const ROUNDS: u32 = 10;
            let of_round = SOURCES / 2 / ROUNDS;
            for (round, family) in (0..ROUNDS).flat_map(|round| FAMILIES.map(|family| (round, family))) {
                let begin = round * of_round;
                let [wrong, first] = [begin + of_round / 20, begin + of_round / 10];
                // Some are wrong ports, and of the other protocol; most are the first step.
                flood(knocker, family, tcp(8000), begin..wrong);
                flood(knocker, family, udp(7000), wrong..first);
                flood(knocker, family, tcp(7000), first..begin + of_round);
            }
        });
        while !floods.is_finished() {
            for friend in friends {
                assert!(patiently(&scene, friend), "{friend}: listed before the flood");
            }
            times += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        floods.join().expect("it sends");
    });
    let took = began.elapsed();
    let stages = scene.sets("knock_open");
    let spent = daemon.processor_time().saturating_sub(spent);
    let grown = daemon.own_kib().saturating_sub(own);
    let lines = daemon.log().lines().count() - lines;
    let heard = news.hear(&["knock."], usize::MAX, Duration::from_millis(500)).len();
    figure(
        &this_test(),
        &format!(
            "{SOURCES} sources in {took:.1?}; listed {times} times let in; daemon: {grown} KiB more, {:.0} ms of processor, {lines} lines of log, {heard} notifications; {stages:?}",
            spent.as_secs_f64() * 1e3
        ),
    );
    assert!(times > 0);
    assert!(
        stages
            .iter()
            .all(|(_, elements, size)| *size == SIZE && *elements as u64 <= SIZE),
        "{stages:?}"
    );
    assert!(
        stages.iter().any(|(_, elements, _)| *elements as u64 > SIZE / 2),
        "it was one: {stages:?}"
    );
    assert_eq!(scene.list().len(), 2, "{:?}", scene.list());
    assert!(grown <= GROWTH, "{grown} KiB");
    // So many a minute, and the flood may have lasted for a part of one more.
    let most = 200 * (2 + usize::try_from(took.as_secs() / 60).expect("few"));
    assert!(lines <= most, "{lines} lines");
    assert!(heard <= most, "{heard} notifications");
    assert!(number(&scene, "overflow") > 0);
    // Places become free as the stages' time ends.
    let newcomers = FAMILIES.map(somebody);
    let flood_over = Instant::now();
    for newcomer in newcomers {
        let opened = within(Duration::from_secs(TIMEOUT + 3), || {
            scene.knock(newcomer, "7000 8000 9000");
            scene.settle();
            scene.is_listed(newcomer)
        });
        assert!(opened, "{newcomer}: {:?} after the flood", flood_over.elapsed());
        assert!(scene.gets_in(newcomer), "{newcomer}");
    }
    figure(
        &this_test(),
        &format!("a newcomer's knock opens {:.1?} after the flood", flood_over.elapsed()),
    );
}

/// Where the flood crowds a packet out, its system sends it again.
fn patiently(scene: &Scene, source: IpAddr) -> bool {
    (0..4).any(|_| scene.gets_in(source))
}

fn flood(knocker: &Knocker, family: Family, step: Step, numbers: std::ops::Range<u32>) {
    let sources = numbers.map(|number| nobody(family, number).ip());
    knocker.spoofed(family, step).send(sources);
}
