//! Debian's knockd beside lanward, in one router and on the same packets: the same verdicts, but for the differences that are named here.

use crate::model::{explain, openings, Difference, Openings, Packet};
use crate::scene::{gate, knock, somebody, within, Scene, SOON, UNUSED};
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::knock::{run_stock, steps, tcp, udp, Dice, Step};
use lanward_rig::knockd::{Door, Knockd};
use lanward_rig::report_line::{figure, this_test};
use lanward_rig::segments::{datagram, flag, Segment};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Opens the door `control` of both.
const CONTROL: Step = udp(61_999);

/// Both, with the same doors; a gate for each.
struct Both {
    scene: Scene,
    knockd: Knockd,
    doors: Vec<Door>,
    sent: Vec<Packet>,
}

impl Both {
    fn start(doors: &[(&str, &str)], timeout: u32) -> Option<Self> {
        let sections = doors.iter().zip(2300..).map(|((name, sequence), port)| {
            let options = format!("option timeout '{timeout}'\noption seconds '600'");
            gate(name, port, "") + &knock(&format!("knock_{name}"), name, sequence, "", &options)
        });
        let scene = Scene::start(&sections.collect::<String>())?;
        let control = ("control".to_owned(), vec![CONTROL]);
        let doors = doors
            .iter()
            .map(|(name, sequence)| ((*name).to_owned(), steps(sequence)));
        let doors: Vec<Door> = doors
            .chain([control])
            .map(|(name, sequence)| Door {
                name,
                sequence,
                timeout,
            })
            .collect();
        let knockd = Knockd::start(&this_test(), &scene.home.house, &doors)?;
        Some(Self {
            scene,
            knockd,
            doors,
            sent: Vec::new(),
        })
    }

    /// In this order.
    fn send(&mut self, packets: &[Packet]) {
        let frames = packets
            .iter()
            .zip((40_000..60_000).cycle())
            .map(|((source, step), port)| {
                let from = SocketAddr::new(*source, port);
                self.scene.knocker.frame(from, *step)
            });
        self.scene.knocker.send(&frames.collect::<Vec<_>>());
        self.sent.extend(packets);
    }

    fn knock(&mut self, source: IpAddr, sequence: &str) {
        let packets: Vec<Packet> = steps(sequence).into_iter().map(|step| (source, step)).collect();
        self.send(&packets);
    }

    /// Waits until both have dealt with all that was sent.
    fn settle(&mut self) {
        let source = somebody(Family::V4);
        self.send(&[(source, CONTROL)]);
        let listed = || {
            let list = self.scene.home.daemon.must("gate_list", &json!({ "gate": "control" }));
            list.to_string().contains(&source.to_string())
        };
        assert!(within(SOON, listed), "lanward's control knock opens nothing");
        assert!(
            self.knockd.has_opened(source, "control"),
            "knockd's control knock opens nothing:\n{}",
            self.knockd.log()
        );
    }

    /// What has been opened by lanward and by knockd.
    fn verdicts(&mut self) -> [Openings; 2] {
        self.settle();
        let without_control = |(_, door): &(IpAddr, String)| door != "control";
        let knockd = self.knockd.openings().into_iter().filter(without_control);
        [self.scene.listed(), knockd.collect()]
    }

    /// What should have been, by the model.
    fn expected(&self) -> [Openings; 2] {
        [&Difference::ALL[..], &[]].map(|as_lanward| {
            let mut opened = openings(&self.doors, &self.sent, as_lanward);
            opened.retain(|(_, door)| door != "control");
            opened
        })
    }
}

fn of(all: &Openings, source: IpAddr) -> Vec<&str> {
    let of_source = all.iter().filter(|(address, _)| *address == source);
    of_source.map(|(_, door)| door.as_str()).collect()
}

const DOORS: [(&str, &str); 9] = [
    ("up", "7000 8000 9000"),
    ("down", "9000 8000 7000"),
    ("udp", "7001:udp 8001:udp 9001:udp"),
    ("mixed", "7002 8002:udp 9002"),
    ("again", "7004 8004 7004 9004"),
    ("one", "7006"),
    ("short", "7008 8008"),
    ("long", "7008 8008 9008:udp"),
    ("alike", "7008 8008 9500"),
];

/// What one source sends; what knockd opens by it and what lanward does; and what the difference is called.
const CASES: &[(&str, &str, &str, &[Difference])] = &[
    // The same.
    ("7000 8000 9000", "up", "up", &[]),
    ("9000 8000 7000", "down", "down", &[]),
    ("7001:udp 8001:udp 9001:udp", "udp", "udp", &[]),
    ("7002 8002:udp 9002", "mixed", "mixed", &[]),
    ("7004 8004 7004 9004", "again", "again", &[]),
    ("7006", "one", "one", &[]),
    ("7008 8008 9008:udp", "short", "long short", &[Difference::OldestEnds]),
    ("7008 8008 9500", "short", "alike short", &[Difference::OldestEnds]),
    ("7000 8000", "", "", &[]),
    ("8000 9000 7000", "", "", &[]),
    ("7000 9000 8000 9000", "", "", &[]),
    ("7000 9000 7000 8000 9000", "up", "up", &[]),
    ("7000 7006 8000 9000", "", "one", &[Difference::OneDoorAtATime]),
    ("7000 8000 9000 9000", "up", "up", &[]),
    ("7000 8000 9000 9000 8000 7000", "down up", "down up", &[]),
    ("7002 8002 9002", "", "", &[]),
    ("7001 8001 9001", "", "", &[]),
    // Ports in no sequence, and a port in the other protocol.
    ("7000 6000 8000 9000", "up", "", &[Difference::OtherPorts]),
    ("7000 7001 8000 9000", "up", "", &[Difference::OtherPorts]),
    ("7000 8000:udp 8000 9000", "up", "", &[Difference::OtherPorts]),
    ("7002 8002 8002:udp 9002", "mixed", "", &[Difference::OtherPorts]),
    ("7001:udp 8001:udp 22 9001:udp", "udp", "", &[Difference::OtherPorts]),
    (
        "7000 8000 6000 7000 8000 9000",
        "",
        "up",
        &[Difference::OtherPorts, Difference::Repeats],
    ),
    // The same again.
    ("7000 7000 8000 9000", "", "up", &[Difference::Repeats]),
    ("7000 8000 8000 9000", "", "up", &[Difference::Repeats]),
    ("7000 8000 7000 9000", "", "up", &[Difference::Repeats]),
    ("7000 8000 7000 8000 9000", "", "up", &[Difference::Repeats]),
    ("7000 7000 7000 8000 9000", "up", "up", &[]),
    ("7001:udp 7001:udp 8001:udp 9001:udp", "", "udp", &[Difference::Repeats]),
    // At one door, and then at another.
    (
        "7000 7001:udp 8001:udp 9001:udp",
        "",
        "udp",
        &[Difference::OneDoorAtATime],
    ),
    (
        "7000 8000 9000 8000 7000",
        "up",
        "down up",
        &[Difference::OneDoorAtATime],
    ),
    ("7000 9000 8000 7000", "", "down", &[Difference::OneDoorAtATime]),
    ("7000 7001:udp 8000 8001:udp 9000 9001:udp", "", "", &[]),
];

#[test]
fn what_one_source_sends_opens_the_same_but_for_what_is_named() {
    let Some(mut both) = Both::start(&DOORS, 600) else {
        return;
    };
    let mut cases = Vec::new();
    for family in FAMILIES {
        for case in CASES {
            let source = somebody(family);
            both.knock(source, case.0);
            // Wrong everywhere: whatever it has begun is over, and the oldest of knockd's attempts is always of the source that sends.
            both.knock(source, "9500");
            cases.push((source, case));
        }
    }
    let [lanward, knockd] = both.verdicts();
    let mut wrong = Vec::new();
    for (source, (sent, by_knockd, by_lanward, named)) in cases {
        let words = |text: &'static str| -> Vec<&str> {
            let mut words: Vec<&str> = text.split_whitespace().collect();
            words.sort_unstable();
            words
        };
        let (seen_knockd, seen_lanward) = (of(&knockd, source), of(&lanward, source));
        if (&seen_knockd, &seen_lanward) != (&words(by_knockd), &words(by_lanward)) {
            wrong.push(format!(
                "{source} sent {sent}: knockd {seen_knockd:?}, not {by_knockd:?}; lanward {seen_lanward:?}, not {by_lanward:?}"
            ));
        }
        let alone: Vec<Packet> = steps(sent).into_iter().map(|step| (source, step)).collect();
        let name = explain(&both.doors, &alone);
        if name != *named {
            wrong.push(format!("{sent}: that is {name:?}, not {named:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!([lanward, knockd], both.expected());
}

/// Sources after each other, and in turns.
#[test]
fn of_several_sources_knockd_forgets_some_and_lanward_none() {
    // (who sends what, whom knockd lets in, whom lanward does)
    let cases: [(&str, &str, &str); 6] = [
        ("A7000 A8000 A9000 B7000 B8000 B9000", "AB", "AB"),
        ("A7000 B7000 B8000 B9000 A8000 A9000", "AB", "AB"),
        ("A7000 B7000 A8000 B8000 A9000 B9000", "A", "AB"),
        ("A7000 B7000 A9000 B8000 B9000", "", "B"),
        ("A7000 B7000 C7000 B9000 A8000 C8000 A9000 C9000", "A", "AC"),
        ("A7000 B8000 A9000", "", ""),
    ];
    for family in FAMILIES {
        for (sent, by_knockd, by_lanward) in cases {
            // Afresh: what is left of others would be the oldest.
            let Some(mut both) = Both::start(&DOORS[..2], 600) else {
                return;
            };
            let sources = BTreeMap::from(['A', 'B', 'C'].map(|name| (name, somebody(family))));
            let packets: Vec<Packet> = sent
                .split_whitespace()
                .map(|word| {
                    let (name, port) = word.split_at(1);
                    let name = name.chars().next().expect("a name");
                    (sources[&name], steps(port)[0])
                })
                .collect();
            both.send(&packets);
            let verdicts = both.verdicts();
            let expected = [by_lanward, by_knockd].map(|names| {
                let names = names.chars().map(|name| (sources[&name], "up".to_owned()));
                names.collect::<Openings>()
            });
            assert_eq!(verdicts, expected, "{family}: {sent}");
            assert_eq!(verdicts, both.expected(), "{family}: {sent}, by the model");
            let named = explain(&both.doors, &packets);
            let wanted = if by_knockd == by_lanward {
                vec![]
            } else {
                vec![Difference::OldestEnds]
            };
            assert_eq!(named, wanted, "{family}: {sent}");
        }
    }
}

/// What somebody might send: a door's sequence, spoilt at a few places.
fn at_random(dice: &mut Dice, doors: &[(&str, &str)]) -> Vec<Step> {
    let all: Vec<Step> = doors.iter().flat_map(|(_, sequence)| steps(sequence)).collect();
    let any = |dice: &mut Dice| match dice.below(8) {
        0 => tcp(UNUSED),
        1 => {
            let step = all[dice.below(all.len())];
            Step { udp: !step.udp, ..step }
        }
        _ => all[dice.below(all.len())],
    };
    let mut sent = steps(doors[dice.below(doors.len())].1);
    for _ in 0..dice.below(4) {
        let place = dice.below(sent.len() + 1);
        match dice.below(5) {
            0 | 1 => sent.insert(place, any(dice)),
            2 if place < sent.len() => sent.insert(place, sent[place]),
            3 if place < sent.len() && sent.len() > 1 => drop(sent.remove(place)),
            _ if place + 1 < sent.len() => sent.swap(place, place + 1),
            _ => {}
        }
    }
    if dice.below(3) == 0 {
        sent.extend(steps(doors[dice.below(doors.len())].1));
    }
    sent
}

#[test]
fn packets_at_random_open_the_same_but_for_what_is_named() {
    const CASES: u32 = 400;
    let Some(mut both) = Both::start(&DOORS, 600) else {
        return;
    };
    let mut dice = Dice::from(20_261_124);
    let mut alone = Vec::new();
    for number in 0..CASES {
        let family = FAMILIES[usize::from(number % 2 == 1)];
        let source = somebody(family);
        let mut packets: Vec<Packet> = at_random(&mut dice, &DOORS)
            .into_iter()
            .map(|step| (source, step))
            .collect();
        // Now and then somebody else comes in between.
        if dice.below(4) == 0 {
            let other = somebody(family);
            let mut others: Vec<Packet> = at_random(&mut dice, &DOORS)
                .into_iter()
                .map(|step| (other, step))
                .collect();
            while let Some(packet) = others.pop() {
                packets.insert(dice.below(packets.len() + 1), packet);
            }
        }
        both.send(&packets);
        alone.push(packets);
    }
    let [lanward, knockd] = both.verdicts();
    let [by_lanward, by_knockd] = both.expected();
    let differ: BTreeSet<_> = lanward.symmetric_difference(&by_lanward).collect();
    assert!(differ.is_empty(), "lanward against the model: {differ:?}");
    let differ: BTreeSet<_> = knockd.symmetric_difference(&by_knockd).collect();
    assert!(differ.is_empty(), "knockd against the model: {differ:?}");
    // Each difference comes up, and most verdicts are the same.
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut single = BTreeSet::new();
    for packets in &alone {
        let named = explain(&both.doors, packets);
        if let [one] = named[..] {
            single.insert(one);
        }
        *counts.entry(format!("{named:?}")).or_default() += 1;
    }
    figure(
        &this_test(),
        &format!(
            "{CASES} cases, opened {} by lanward and {} by knockd; differences: {counts:?}",
            lanward.len(),
            knockd.len()
        ),
    );
    assert!(single.is_superset(&Difference::ALL.into()), "{single:?}");
    assert!(lanward.len() > 100 && knockd.len() > 100);
}

/// What either sees of a packet besides its port, in which they differ by design.
#[test]
fn what_either_takes_for_a_knock_differs_as_is_named() {
    let Some(mut both) = Both::start(&DOORS, 600) else {
        return;
    };
    for family in FAMILIES {
        let router = both.scene.router(family);
        let ports = [7000, 8000, 9000];
        let segment = |source: IpAddr, to: IpAddr, port: u16, flags: u8| Segment {
            from: SocketAddr::new(source, 4000 + port),
            to: SocketAddr::new(to, port),
            flags,
            seq: 1,
            ack: 0,
            payload: Vec::new(),
        };
        // (what, packets, whether knockd opens by them, whether lanward does)
        let mut seen: Vec<(String, IpAddr, bool, bool)> = Vec::new();
        let mut send = |both: &Both, what: &str, opens: [bool; 2], packet: &dyn Fn(IpAddr, u16) -> Vec<u8>| {
            let source = somebody(family);
            let frames = ports.map(|port| both.scene.knocker.enclose(&packet(source, port)));
            both.scene.knocker.send(&frames);
            seen.push((format!("{family}: {what}"), source, opens[0], opens[1]));
        };
        let plain = |source, port| segment(source, router, port, flag::SYN).packet();
        send(&both, "SYN", [true, true], &plain);
        for (what, flags) in [
            ("SYN and ACK", flag::SYN | flag::ACK),
            ("SYN and FIN", flag::SYN | flag::FIN),
            ("SYN and RST", flag::SYN | flag::RST),
        ] {
            send(&both, what, [true, false], &|source, port| {
                segment(source, router, port, flags).packet()
            });
        }
        // SYN with data, with PSH and URG: both take them.
        send(&both, "SYN, PSH and URG", [true, true], &|source, port| {
            segment(source, router, port, flag::SYN | flag::PSH | flag::URG).packet()
        });
        send(&both, "SYN with data", [true, true], &|source, port| {
            let with_data = Segment {
                payload: b"hello".to_vec(),
                ..segment(source, router, port, flag::SYN)
            };
            with_data.packet()
        });
        send(&both, "a wrong checksum", [true, false], &|source, port| {
            let mut packet = plain(source, port);
            let at = if family == Family::V4 { 20 + 16 } else { 40 + 16 };
            packet[at] ^= 0x55;
            packet
        });
        let lan_side = both.scene.home.house.router_address("lan", family);
        send(
            &both,
            "another address of the router",
            [false, true],
            &|source, port| segment(source, lan_side, port, flag::SYN).packet(),
        );
        if family == Family::V6 {
            send(&both, "behind destination options", [false, true], &|source, port| {
                let mut packet = plain(source, port);
                // Another header with six bytes of padding before TCP.
                let header = [6, 0, 1, 4, 0, 0, 0, 0];
                packet.splice(40..40, header);
                packet[6] = 60;
                let length = u16::from_be_bytes([packet[4], packet[5]]) + 8;
                packet[4..6].copy_from_slice(&length.to_be_bytes());
                packet
            });
        }
        let [lanward, knockd] = both.verdicts();
        for (what, source, by_knockd, by_lanward) in seen {
            let opened = |all: &Openings| all.contains(&(source, "up".to_owned()));
            assert_eq!((opened(&knockd), opened(&lanward)), (by_knockd, by_lanward), "{what}");
        }
    }
}

/// The router asks from a port that is in a sequence, and is answered: no knock, and no wrong port.
#[test]
fn an_answer_is_a_knock_to_knockd_and_nothing_to_lanward() {
    let Some(mut both) = Both::start(&DOORS, 600) else {
        return;
    };
    for family in FAMILIES {
        let (router, source) = (both.scene.router(family), somebody(family));
        for port in [7001, 8001, 9001] {
            let (asks, asked) = (SocketAddr::new(router, port), SocketAddr::new(source, 53));
            let socket = both.scene.home.house.router().udp(asks);
            socket.send_to(b"question", asked).expect("there is a route");
            let answer = both.scene.knocker.enclose(&datagram(asked, asks, b"answer"));
            both.scene.knocker.send(&[answer]);
        }
        let [lanward, knockd] = both.verdicts();
        assert_eq!(
            (of(&knockd, source), of(&lanward, source)),
            (vec!["udp"], vec![]),
            "{family}"
        );
    }
}

/// knockd counts whole seconds of the clock: what takes less than its timeout may be too late. It is never later than lanward.
#[test]
fn knockd_counts_whole_seconds() {
    let Some(mut both) = Both::start(&DOORS[..1], 2) else {
        return;
    };
    let at_fraction = |milliseconds: u64| loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
        let into = now.subsec_millis();
        if (milliseconds..milliseconds + 40).contains(&u64::from(into)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // (begun at this fraction of a second, this much from the first to the last, whether knockd opens)
    for (fraction, whole, by_knockd) in [(100, 1500, true), (700, 1500, false)] {
        for family in FAMILIES {
            let seen = (0..5).find_map(|_| {
                let source = somebody(family);
                at_fraction(fraction);
                let began = std::time::Instant::now();
                for (step, pause) in [("7000", whole / 2), ("8000", whole / 2), ("9000", 0)] {
                    both.knock(source, step);
                    std::thread::sleep(Duration::from_millis(pause));
                }
                // On a busy machine again.
                let late = began.elapsed() > Duration::from_millis(whole + 150);
                let [lanward, knockd] = both.verdicts();
                (!late).then(|| (of(&knockd, source).len(), of(&lanward, source).len()))
            });
            assert_eq!(seen, Some((usize::from(by_knockd), 1)), "{family} begun at .{fraction}");
        }
    }
}

/// A scan in the ports' order opens every ascending sequence of knockd's.
#[test]
fn a_scan_in_order_opens_knockds_door_and_not_the_gate() {
    let Some(mut both) = Both::start(&DOORS[..2], 600) else {
        return;
    };
    for family in FAMILIES {
        let (up, down) = (somebody(family), somebody(family));
        let ports = 6990..=9010;
        let upwards: Vec<Packet> = ports.clone().map(|port| (up, tcp(port))).collect();
        let downwards: Vec<Packet> = ports.rev().map(|port| (down, tcp(port))).collect();
        both.send(&upwards);
        both.send(&downwards);
        let [lanward, knockd] = both.verdicts();
        assert_eq!(
            (of(&knockd, up), of(&knockd, down)),
            (vec!["up"], vec!["down"]),
            "{family}"
        );
        assert_eq!(lanward, Openings::new(), "{family}");
        assert_eq!([lanward, knockd], both.expected(), "{family}");
        assert_eq!(explain(&both.doors, &upwards), [Difference::OtherPorts]);
    }
}

/// The stock client at both: one door after the other, and what each says of it.
#[test]
fn the_stock_client_opens_both_and_both_say_so() {
    let Some(mut both) = Both::start(&DOORS[..4], 600) else {
        return;
    };
    let client = both.scene.client();
    for family in FAMILIES {
        let address = both.scene.clients_address(family);
        for (door, sequence) in &DOORS[..4] {
            run_stock(&client.namespace, &["-d", "10"], both.scene.router(family), sequence);
            both.settle();
            let opened = (address, (*door).to_owned());
            let (lanward, knockd) = (both.scene.listed(), both.knockd.openings());
            assert!(
                lanward.contains(&opened) && knockd.contains(&opened),
                "{family} {door}: {lanward:?} {knockd:?}"
            );
            // knockd's words, the address before the door's name; lanward's, the knock's name before the address.
            let knock = format!("knock_{door}");
            for words in ["Stage 1", "Stage 2", "OPEN SESAME"] {
                assert!(
                    both.knockd.says(&format!("{address}: {door}: {words}"), SOON),
                    "{door} {words}"
                );
                assert!(
                    both.scene
                        .home
                        .daemon
                        .logs(&format!("{knock}: {address}: {words}"), SOON),
                    "{door} {words}"
                );
            }
            let ran = format!("{door} {address}");
            assert!(
                within(SOON, || both.knockd.commands().contains(&ran)),
                "{:?}",
                both.knockd.commands()
            );
        }
    }
}
