//! Which packets open a gate, and which close it.

use crate::scene::{door, gate, knock, somebody, ssh_gate, within, Scene, SOON, SSH, UNUSED};
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::knock::{run_stock, steps, stock};
use lanward_rig::report_line::this_test;
use lanward_rig::servers::{Keys, Login, Server};
use lanward_rig::settings::Firewall;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

#[test]
fn the_stock_client_opens_ssh_and_closes_it_again() {
    if stock(&this_test(), "knock").is_none() {
        return;
    }
    // (options of the client, to open, to close)
    let ways = [
        ("tcp", &[][..], "7000 8000 9000", "9000 8000 7000"),
        ("udp", &["-u"], "7100 8100 9100", "9100 8100 7100"),
        ("mixed", &["-d", "20"], "7200 8200:udp 9200", "9200 8200:udp"),
    ];
    let sections = ways.map(|(name, options, open, close)| {
        let as_sent = |sequence: &str| match options.contains(&"-u") {
            true => sequence.replace(' ', ":udp ") + ":udp",
            false => sequence.to_owned(),
        };
        knock(name, "ssh", &as_sent(open), &as_sent(close), "option seconds '0'")
    });
    let sections = ssh_gate("option forget 'never'") + &sections.concat();
    let Some(scene) = Scene::without_servers(Firewall::default(), &sections) else {
        return;
    };
    let keys = Keys::make(&scene.home.house);
    let _server = Server::openssh(scene.home.house.router(), SSH, &keys);
    let client = scene.client();
    for family in FAMILIES {
        let to = scene.router(family);
        let caller = keys.call(&client, to);
        for (name, options, open, close) in ways {
            assert_eq!(caller.ssh(SSH), Login::Refused, "{family} {name} straight");
            run_stock(&client.namespace, options, to, open);
            assert!(
                within(SOON, || scene.is_listed(scene.clients_address(family))),
                "{family} {name}"
            );
            assert_eq!(caller.ssh(SSH), Login::In(format!("{to} {SSH}")), "{family} {name}");
            assert!(caller.ssh(SSH).is_in(), "{family} {name}: until it is closed");
            run_stock(&client.namespace, options, to, close);
            assert!(within(SOON, || scene.list().is_empty()), "{family} {name}");
            assert_eq!(caller.ssh(SSH), Login::Refused, "{family} {name} closed");
        }
    }
}

/// Gates of their own, so that it is seen which sequence has opened.
const DOORS: [(&str, &str); 12] = [
    ("tcp", "7000 8000 9000"),
    ("back", "9000 8000 7000"),
    ("udp", "7001:udp 8001:udp 9001:udp"),
    ("mixed", "7002 8002:udp 9002"),
    ("both", "7003 7003:udp 8003"),
    ("again", "7004 8004 7004 9004"),
    ("twice", "7005 8005 7005 8005 9005"),
    ("one", "7006"),
    ("shared_a", "7007 8007 9007"),
    ("shared_b", "8007 7007 9007"),
    ("short", "7008 8008"),
    ("long", "7008 8008 9008:udp"),
];

fn doors() -> String {
    let sections = DOORS.iter().zip(2300..).map(|((name, sequence), port)| {
        gate(&format!("gate_{name}"), port, "")
            + &knock(
                name,
                &format!("gate_{name}"),
                sequence,
                "",
                "option timeout '60'\noption seconds '600'",
            )
    });
    sections.collect()
}

/// What is sent, and which doors it opens.
const CASES: &[(&str, &str)] = &[
    ("7000 8000 9000", "tcp"),
    ("9000 8000 7000", "back"),
    ("7001:udp 8001:udp 9001:udp", "udp"),
    ("7002 8002:udp 9002", "mixed"),
    // Too little, and in another order.
    ("", ""),
    ("7000 8000", ""),
    ("8000 9000", ""),
    ("9000", ""),
    ("7000 9000 8000", ""),
    ("8000 7000 9000", ""),
    ("8000 9000 7000", ""),
    // The other protocol.
    ("7000:udp 8000:udp 9000:udp", ""),
    ("7000 8000:udp 9000", ""),
    ("7001 8001 9001", ""),
    ("7002 8002 9002", ""),
    ("7002:udp 8002:udp 9002:udp", ""),
    ("7002 8002:udp 9002:udp", ""),
    // A wrong port between: another knock's, one that nobody has, the gate's own.
    ("7000 7001 8000 9000", ""),
    ("7000 8000 6000 9000", ""),
    ("7000 8000 6000:udp 9000", ""),
    ("7000 22 8000 9000", ""),
    ("7000 8000 7999 9000", ""),
    ("7000 8000 9001 9000", ""),
    ("7001:udp 8001:udp 6000 9001:udp", ""),
    ("6000 7000 8000 9000", "tcp"),
    ("6000 7000 8000 9000 6000", "tcp"),
    // Wrong, and then from the beginning.
    ("7000 6000 7000 8000 9000", "tcp"),
    ("7000 8000 6000 7000 8000 9000", "tcp"),
    ("7000 8000 6000 8000 9000", ""),
    ("7000 9000 7000 8000 9000", "tcp"),
    // The same packet again.
    ("7000 7000 8000 9000", "tcp"),
    ("7000 7000 7000 8000 8000 8000 9000 9000", "tcp"),
    ("7000 8000 7000 8000 9000", "tcp"),
    ("7000 8000 8000 7000 9000", "tcp"),
    ("7001:udp 7001:udp 8001:udp 7001:udp 9001:udp", "udp"),
    // One number, two protocols.
    ("7003 7003:udp 8003", "both"),
    ("7003:udp 7003 8003", ""),
    ("7003 8003", ""),
    ("7003 7003 7003:udp 7003 8003", "both"),
    // A port that is in its sequence more than once.
    ("7004 8004 7004 9004", "again"),
    ("7004 8004 9004", ""),
    ("7004 7004 8004 9004", ""),
    ("7004 8004 8004 7004 7004 8004 9004", "again"),
    ("7005 8005 7005 8005 9005", "twice"),
    ("7005 8005 9005", ""),
    ("7005 8005 7005 9005", ""),
    ("7005 8005 8005 7005 9005", ""),
    ("7005 7005 8005 8005 7005 7005 8005 8005 9005", "twice"),
    // One step.
    ("7006", "one"),
    ("6000 7006 6000", "one"),
    ("7006:udp", ""),
    // Ports in common.
    ("7007 8007 9007", "shared_a"),
    ("8007 7007 9007", "shared_b"),
    ("7007 8007 7007 9007", "shared_a shared_b"),
    ("8007 7007 8007 9007", "shared_a shared_b"),
    ("9007 8007 7007", ""),
    ("7008 8008", "short"),
    ("7008 8008 9008:udp", "short long"),
    ("7008 8008 9008", "short"),
    ("7008 6000 8008 9008:udp", ""),
    // Several, one after the other and one into the other: what is another's port is a wrong one.
    ("7000 8000 9000 7001:udp 8001:udp 9001:udp 7006", "tcp udp one"),
    ("7000 7001:udp 8000 8001:udp 9000 9001:udp", ""),
    ("7000 8000 7006 9000", "one"),
    ("7000 8000 9000 8000 7000", "tcp back"),
    ("9000 8000 7000 8000 9000", "tcp back"),
    ("7000 8000 9000 7000 8000 9000", "tcp"),
];

#[test]
fn each_sequence_opens_its_gate_and_nothing_else_does() {
    let Some(scene) = Scene::start(&doors()) else { return };
    let mut expected = BTreeSet::new();
    let mut sources = Vec::new();
    for family in FAMILIES {
        for (sent, opened) in CASES {
            let source = somebody(family);
            scene.knock(source, sent);
            sources.push((source, *sent));
            expected.extend(opened.split_whitespace().map(|door| (source, format!("gate_{door}"))));
        }
    }
    scene.settle();
    let listed = scene.listed();
    let wrong = sources.iter().filter_map(|(source, sent)| {
        let of = |all: &BTreeSet<(IpAddr, String)>| -> Vec<String> {
            let of_source = all.iter().filter(|(address, _)| address == source);
            of_source.map(|(_, gate)| gate.clone()).collect()
        };
        let (seen, wanted) = (of(&listed), of(&expected));
        (seen != wanted).then(|| format!("{source} sent {sent}: opened {seen:?}, not {wanted:?}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(listed, expected);
}

/// The same, by the model that knockd is compared by.
#[test]
fn the_model_knows_what_opens() {
    use crate::model::{openings, Difference};
    let doors = DOORS.map(|(name, sequence)| lanward_rig::knockd::Door {
        name: name.to_owned(),
        sequence: steps(sequence),
        timeout: 60,
    });
    for (sent, opened) in CASES {
        let source = IpAddr::from([198, 18, 0, 1]);
        let packets: Vec<_> = steps(sent).into_iter().map(|step| (source, step)).collect();
        let seen = openings(&doors, &packets, &Difference::ALL);
        let wanted = opened.split_whitespace().map(|door| (source, door.to_owned()));
        assert_eq!(seen, wanted.collect(), "{sent}");
    }
}

#[test]
fn sources_do_not_disturb_each_other() {
    let Some(scene) = Scene::start(&(ssh_gate("") + &door("option timeout '60'"))) else {
        return;
    };
    for family in FAMILIES {
        let [one, other, wrong] = [(); 3].map(|()| somebody(family));
        // One after the other in turns, and a third that knocks wrong.
        for (step, of_other) in [("7000", "6000"), ("8000", "7000"), ("9000", "8000")] {
            scene.knock(one, step);
            scene.knock(other, of_other);
            scene.knock(wrong, step);
            scene.knock(wrong, "6000");
        }
        scene.settle();
        assert_eq!(scene.listed(), [(one, "ssh".to_owned())].into(), "{family}");
        scene.knock(other, "9000");
        scene.settle();
        assert!(scene.is_listed(other) && !scene.is_listed(wrong), "{family}");
        // Two that knock together at one sequence.
        let [left, right] = [(); 2].map(|()| somebody(family));
        for (source, step) in [(left, "7000"), (right, "8000"), (left, "9000")] {
            scene.knock(source, step);
        }
        scene.settle();
        assert!(!scene.is_listed(left) && !scene.is_listed(right), "{family}");
        scene.home.daemon.must("gate_flush", &json!({ "gate": "ssh" }));
    }
}

#[test]
fn behind_a_prefix_a_network_is_one_source() {
    let sections = ssh_gate("option forget 'never'\noption prefix6 '64'") + &door("option timeout '60'");
    let Some(scene) = Scene::start(&sections) else { return };
    let of_network = |network: u16, host: u16| IpAddr::from([0x2001, 2, 0, network, 0, 0, 0, host]);
    // One network's addresses take the steps together; another's nothing.
    for (host, step) in [(1, "7000"), (2, "8000"), (3, "9000")] {
        scene.knock(of_network(0x7001, host), step);
    }
    for (network, step) in [(0x7002, "7000"), (0x7003, "8000"), (0x7002, "9000")] {
        scene.knock(of_network(network, 1), step);
    }
    scene.settle();
    assert!(scene.gets_in(of_network(0x7001, 1)) && scene.gets_in(of_network(0x7001, 77)));
    assert!(!scene.gets_in(of_network(0x7002, 1)) && !scene.gets_in(of_network(0x7003, 1)));
    assert_eq!(scene.list().len(), 1, "{:?}", scene.list());
    scene.knock(of_network(0x7001, 9), "9000 8000 7000");
    scene.settle();
    assert!(!scene.gets_in(of_network(0x7001, 1)), "closed by a neighbour");
    // IPv4 has no networks.
    let [one, other] = [(); 2].map(|()| somebody(Family::V4));
    scene.knock(one, "7000 8000");
    scene.knock(other, "9000");
    scene.settle();
    assert_eq!(scene.list(), []);
}

/// Sends a sequence at these times, and says how long it took from the first packet to the last: at most, and at least.
fn knock_at(scene: &Scene, sources: &[IpAddr], sequence: &str, at: &[Duration]) -> (Duration, Duration) {
    let began = Instant::now();
    let mut first_sent = began;
    let mut last_begun = began;
    for (step, due) in sequence.split_whitespace().zip(at) {
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        last_begun = Instant::now();
        for source in sources {
            scene.knock(*source, step);
        }
        if *due == at[0] {
            first_sent = Instant::now();
        }
    }
    (began.elapsed(), last_begun.saturating_duration_since(first_sent))
}

#[test]
fn the_timeout_is_the_whole_sequences() {
    let sections = ssh_gate("") + &door("option timeout '2'\noption seconds '600'");
    let Some(scene) = Scene::start(&sections) else { return };
    let milliseconds = |times: [u64; 3]| times.map(Duration::from_millis);
    // On a busy machine it may come too late, through nobody's fault.
    let in_time = (0..5).any(|_| {
        let sources = FAMILIES.map(somebody);
        let (most, _) = knock_at(&scene, &sources, "7000 8000 9000", &milliseconds([0, 800, 1600]));
        scene.settle();
        let opened = sources.map(|source| scene.is_listed(source));
        assert!(
            opened == [true; 2] || most > Duration::from_millis(1950),
            "{opened:?} after {most:?}"
        );
        opened == [true; 2]
    });
    assert!(in_time);
    // Each step comes soon enough after the one before it, and the last is too late; sending the first ones again is no new beginning.
    for (sequence, at) in [
        ("7000 8000 9000", vec![0, 1100, 2200]),
        ("7000 8000 9000", vec![0, 100, 2200]),
        ("7000 7000 8000 7000 8000 9000", vec![0, 500, 1000, 1300, 1600, 2300]),
    ] {
        let at: Vec<Duration> = at.into_iter().map(Duration::from_millis).collect();
        let sources = FAMILIES.map(somebody);
        let (_, least) = knock_at(&scene, &sources, sequence, &at);
        assert!(least > Duration::from_secs(2), "{least:?}");
        scene.settle();
        assert!(
            sources.iter().all(|source| !scene.is_listed(*source)),
            "{sequence}: {:?}",
            scene.list()
        );
        // Then a new beginning is one.
        for source in sources {
            scene.knock(source, "6000 7000 8000 9000");
        }
        scene.settle();
        assert!(sources.iter().all(|source| scene.is_listed(*source)), "{sequence}");
    }
}

#[test]
fn it_opens_for_so_many_seconds() {
    let sections = ssh_gate("option forget 'never'") + &door("option seconds '3'");
    let Some(scene) = Scene::start(&sections) else { return };
    for family in FAMILIES {
        let source = somebody(family);
        assert!(!scene.gets_in(source), "{family}");
        let began = Instant::now();
        scene.knock(source, "7000 8000 9000");
        scene.settle();
        let listed = scene.list();
        let seconds = listed
            .iter()
            .find(|(_, address, _)| *address == source)
            .and_then(|(.., left)| *left);
        let is_over = began.elapsed() > Duration::from_secs(3);
        assert!(seconds.map_or(is_over, |left| left <= 3), "{family}: {listed:?}");
        assert!(
            scene.gets_in(source) || began.elapsed() > Duration::from_secs(3),
            "{family}"
        );
        let is_off = || !scene.is_listed(source);
        assert!(within(Duration::from_secs(5), is_off), "{family}: {:?}", scene.list());
        let took = began.elapsed();
        assert!(took > Duration::from_millis(2900), "{family}: {took:?}");
        assert!(!scene.gets_in(source), "{family}: its time is over");
        // Knocking again while it is open begins the time anew. On a busy machine it may be asked too late, through nobody's fault.
        let is_in = (0..5).any(|_| {
            scene.knock(source, "7000 8000 9000");
            std::thread::sleep(Duration::from_secs(2));
            let again = Instant::now();
            scene.knock(source, "7000 8000 9000");
            std::thread::sleep(Duration::from_millis(1500));
            let is_in = scene.gets_in(source);
            let late = again.elapsed() > Duration::from_millis(2900);
            assert!(is_in || late, "{family}: knocked at again");
            is_in
        });
        assert!(is_in, "{family}");
    }
}

#[test]
fn with_no_seconds_it_is_open_until_it_is_closed() {
    let sections = ssh_gate("option forget 'never'\noption window '1'") + &door("option seconds '0'");
    let Some(scene) = Scene::start(&sections) else { return };
    let sources = FAMILIES.map(somebody);
    for source in sources {
        scene.knock(source, "7000 8000 9000");
    }
    scene.settle();
    std::thread::sleep(Duration::from_secs(3));
    for source in sources {
        assert!(scene.gets_in(source), "{source}");
        // What does not close it: the way back begun, broken off, or somebody else's.
        scene.knock(source, "9000 8000 6000 7000");
        scene.knock(
            somebody(if source.is_ipv4() { Family::V4 } else { Family::V6 }),
            "9000 8000 7000",
        );
        scene.settle();
        assert!(scene.gets_in(source), "{source}");
        // Knocking again leaves it open.
        scene.knock(source, "7000 8000 9000");
        scene.settle();
        assert!(scene.gets_in(source), "{source}");
    }
    assert_eq!(scene.list().len(), 2, "{:?}", scene.list());
    for source in sources {
        scene.knock(source, "9000 8000 7000");
        scene.settle();
        assert!(!scene.gets_in(source), "{source}");
    }
    assert_eq!(scene.list(), []);
}

#[test]
fn the_close_sequence_takes_off_all_lists() {
    let sections = ssh_gate("option forget 'never'") + &door("option seconds '600'");
    let Some(scene) = Scene::start(&sections) else { return };
    for source in FAMILIES.map(somebody) {
        scene.knock(source, "7000 8000 9000");
        let grant = json!({ "gate": "ssh", "address": source.to_string(), "seconds": 500 });
        scene.home.daemon.must("gate_admit", &grant);
        scene.settle();
        assert!(scene.gets_in(source), "{source}");
        scene.knock(source, "6000 9000 8000 7000");
        scene.settle();
        assert!(!scene.gets_in(source), "{source}");
        assert_eq!(scene.list(), []);
        // By hand as well.
        scene.knock(source, "6000 7000 8000 9000");
        scene.settle();
        assert!(scene.gets_in(source), "{source}");
        let address = json!({ "gate": "ssh", "address": source.to_string() });
        scene.home.daemon.must("gate_remove", &address);
        assert!(!scene.gets_in(source), "{source}");
        scene.knock(source, "6000 7000 8000 9000");
        scene.settle();
        let flushed = scene.home.daemon.must("gate_flush", &json!({ "gate": "ssh" }));
        assert_eq!(flushed["removed"], json!(1), "{flushed}");
        assert!(!scene.gets_in(source), "{source}");
    }
}

/// As in the example that is shipped: the step that closes is the one that the sequence that opens ends with.
#[test]
fn a_packet_that_ends_both_sequences_opens() {
    let knocks = [("9000", "7000 8000 9000"), ("8000:udp 9000", "7000 8000:udp 9000")];
    for (close, open) in knocks {
        let sections = ssh_gate("option forget 'never'") + &knock("door", "ssh", open, close, "option seconds '600'");
        let Some(scene) = Scene::start(&sections) else { return };
        for source in FAMILIES.map(somebody) {
            // The second time, whoever is in stays in.
            for _ in 0..2 {
                scene.knock(source, &format!("6000 {open}"));
                scene.settle();
                assert!(
                    scene.gets_in(source) && scene.is_listed(source),
                    "{source}: {open}, {close}"
                );
            }
            scene.knock(source, &format!("6000 {close}"));
            scene.settle();
            assert!(!scene.gets_in(source), "{source}: {close}");
        }
        assert_eq!(scene.list(), []);
    }
}

#[test]
fn a_full_list_keeps_whom_it_has() {
    for seconds in [600, 0] {
        let sections =
            ssh_gate("option forget 'never'\noption size '2'") + &door(&format!("option seconds '{seconds}'"));
        let Some(scene) = Scene::start(&sections) else { return };
        for family in FAMILIES {
            let sources = [(); 3].map(|()| somebody(family));
            for source in sources {
                // Nobody's stages are in another's way.
                scene.knock(source, "7000 8000 9000");
                scene.settle();
                std::thread::sleep(Duration::from_millis(1200));
            }
            let [first, second, newcomer] = sources.map(|source| scene.gets_in(source));
            assert_eq!([first, second, newcomer], [true, true, false], "{family} {seconds}");
            let status = scene.home.daemon.must("status", &json!({}));
            let gates = status["gates"].as_array().expect("a list").iter();
            let overflow = gates
                .filter(|gate| gate["name"] == json!("ssh"))
                .map(|gate| gate["overflow"].clone());
            assert_ne!(overflow.collect::<Vec<_>>(), [json!(0)], "{family} {seconds}");
            // Whoever is on it knocks again and stays.
            for source in &sources[..2] {
                for _ in 0..3 {
                    scene.knock(*source, "7000 8000 9000");
                    scene.settle();
                    assert!(scene.gets_in(*source), "{family} {seconds}: knocked again");
                }
            }
        }
    }
}

/// Sources behind the router are never gated, and their knocks are none.
#[test]
fn from_the_lan_and_the_vpn_nothing_is_a_knock() {
    if stock(&this_test(), "knock").is_none() {
        return;
    }
    let Some(scene) = Scene::start(&(ssh_gate("") + &door(""))) else {
        return;
    };
    for family in FAMILIES {
        for (host, at) in [("lan", "wan"), ("lan", "lan"), ("vpn", "wan")] {
            let from = &scene.home.house.host(host).namespace;
            let to = scene.home.house.router_address(at, family);
            run_stock(from, &["-d", "10"], to, "7000 8000 9000");
        }
    }
    scene.settle();
    assert_eq!(scene.list(), []);
    assert_eq!(
        scene
            .sets("knock_open")
            .iter()
            .filter(|(_, elements, _)| *elements > 0)
            .count(),
        0
    );
    assert_eq!(scene.log_lines("door: "), Vec::<String>::new());
    let source = somebody(Family::V4);
    scene.knock(source, "7000 8000 9000");
    scene.settle();
    assert!(scene.is_listed(source), "from the WAN they are");
}

/// Packets that begin nothing, and packets that only pass through.
#[test]
fn only_what_begins_something_at_the_router_counts() {
    use lanward_rig::segments::flag;
    let Some(scene) = Scene::start(&(ssh_gate("") + &door("option timeout '60'"))) else {
        return;
    };
    for family in FAMILIES {
        let to = |port| SocketAddr::new(scene.router(family), port);
        // With other flags the ports are no steps.
        for flags in [
            flag::ACK,
            flag::SYN | flag::ACK,
            flag::SYN | flag::RST,
            flag::SYN | flag::FIN,
            flag::FIN,
            flag::RST,
            0,
        ] {
            let source = somebody(family);
            let frames =
                [7000, 8000, 9000].map(|port| scene.knocker.segment(SocketAddr::new(source, 4000), to(port), flags));
            scene.knocker.send(&frames);
            scene.settle();
            assert!(!scene.is_listed(source), "{family} {flags:#x}");
        }
        // And between steps they are nothing, as is what is for a host behind the router.
        let source = somebody(family);
        for step in ["7000", "8000", "9000"] {
            scene.knock(source, step);
            let stray = [flag::ACK, flag::RST, flag::FIN | flag::ACK, flag::PSH | flag::ACK];
            let frames = stray.map(|flags| scene.knocker.segment(SocketAddr::new(source, 4000), to(UNUSED), flags));
            scene.knocker.send(&frames);
            if family == Family::V6 {
                let lan = scene.home.house.host("lan").socket(family, UNUSED);
                let syn = scene.knocker.segment(SocketAddr::new(source, 4000), lan, flag::SYN);
                scene.knocker.send(&[syn]);
            }
        }
        scene.settle();
        assert!(scene.is_listed(source), "{family}");
    }
    // A whole sequence for a host behind the router.
    let source = somebody(Family::V6);
    let lan = scene.home.house.host("lan").clone();
    let frames = [7000, 8000, 9000].map(|port| {
        let to = lan.socket(Family::V6, port);
        scene.knocker.segment(SocketAddr::new(source, 4000), to, flag::SYN)
    });
    scene.knocker.send(&frames);
    scene.settle();
    assert!(!scene.is_listed(source));
}

/// Two knocks on one gate, one for a time and one without an end: whatever comes first, the other does as it says.
#[test]
fn a_knock_without_an_end_outlasts_one_that_has_one() {
    let sections = ssh_gate("option forget 'never'")
        + &door("option seconds '0'")
        + &knock("brief", "ssh", "7100 8100", "", "option seconds '2'");
    let Some(scene) = Scene::start(&sections) else { return };
    let (brief_first, brief_last) = (FAMILIES.map(somebody), FAMILIES.map(somebody));
    for source in brief_first {
        scene.knock(source, "7100 8100 7000 8000 9000");
    }
    for source in brief_last {
        scene.knock(source, "7000 8000 9000 7100 8100");
    }
    scene.settle();
    std::thread::sleep(Duration::from_secs(3));
    let out: Vec<_> = brief_first
        .into_iter()
        .chain(brief_last)
        .filter(|source| !scene.is_listed(*source))
        .collect();
    assert!(out.is_empty(), "{out:?} of {brief_first:?} {brief_last:?}");
}
