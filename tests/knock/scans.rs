//! Port scans, which come by every sequence's ports.

use crate::scene::{gate, knock, somebody, ssh_gate, Scene};
use lanward_rig::house::FAMILIES;
use lanward_rig::knock::{steps, tcp, udp, Dice, Step};
use lanward_rig::report_line::{figure, this_test};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Sequences to be found, each on a gate of its own.
const DOORS: [(&str, &str); 5] = [
    ("up", "7000 8000 9000"),
    ("down", "9000 8000 7000"),
    ("mixed", "7000 8000:udp 9000"),
    ("udp", "7000:udp 8000:udp 9000:udp"),
    ("ends", "1 32768 65535"),
];

struct Scan {
    scene: Scene,
    began: Instant,
    packets: u32,
}

impl Scan {
    fn start() -> Option<Self> {
        let doors = DOORS.iter().zip(2300..).map(|((name, sequence), port)| {
            let gate_name = format!("gate_{name}");
            gate(&gate_name, port, "")
                + &knock(
                    name,
                    &gate_name,
                    sequence,
                    "",
                    "option timeout '600'\noption seconds '600'",
                )
        });
        let scene = Scene::start(&doors.collect::<String>())?;
        Some(Self {
            scene,
            began: Instant::now(),
            packets: 0,
        })
    }

    /// From one source, in this order.
    fn send(&mut self, source: IpAddr, packets: impl Iterator<Item = Step>) {
        let frames: Vec<Vec<u8>> = packets
            .map(|step| self.scene.knocker.frame(SocketAddr::new(source, 50_000), step))
            .collect();
        self.packets += u32::try_from(frames.len()).expect("not so many");
        self.scene.knocker.send(&frames);
    }

    /// Nobody is in, and whoever knocks is let in.
    fn nobody_is_in(&self, what: &str, sources: &[IpAddr]) {
        self.scene.settle();
        assert_eq!(self.scene.list(), [], "{what}");
        for (name, sequence) in DOORS {
            let source = sources[0];
            // The end of a scan is a step of some sequence, perhaps.
            self.scene.knock(source, &format!("6000 {sequence}"));
            self.scene.settle();
            let listed = self.scene.listed();
            assert_eq!(
                listed,
                [(source, format!("gate_{name}"))].into(),
                "{what}: {name} opens after it"
            );
            let flush = serde_json::json!({ "gate": format!("gate_{name}") });
            self.scene.home.daemon.must("gate_flush", &flush);
        }
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let took = self.began.elapsed();
            figure(&this_test(), &format!("{} packets in {took:.1?}", self.packets));
        }
    }
}

/// Every port once, TCP and then UDP.
fn all_ports() -> Vec<Step> {
    (1..=u16::MAX).map(tcp).chain((1..=u16::MAX).map(udp)).collect()
}

#[test]
fn a_scan_in_order_and_in_reverse_opens_nothing() {
    let Some(mut scan) = Scan::start() else { return };
    for family in FAMILIES {
        let sources = [(); 3].map(|()| somebody(family));
        scan.send(sources[0], all_ports().into_iter());
        scan.send(sources[1], all_ports().into_iter().rev());
        // Both protocols of each port.
        scan.send(sources[2], (1..=u16::MAX).flat_map(|port| [tcp(port), udp(port)]));
        scan.nobody_is_in(&format!("{family}"), &sources);
    }
}

#[test]
fn scans_at_random_open_nothing() {
    let Some(mut scan) = Scan::start() else { return };
    for (family, seed) in FAMILIES.into_iter().zip([1, 2]) {
        let sources = [(); 2].map(|()| somebody(family));
        let mut dice = Dice::from(seed);
        for source in sources {
            let mut ports = all_ports();
            dice.shuffle(&mut ports);
            scan.send(source, ports.into_iter());
        }
        // Two scans, one into the other, from one address.
        let mut left: Vec<Step> = (1..=u16::MAX).map(tcp).collect();
        let right: Vec<Step> = (1..=u16::MAX).rev().map(tcp).collect();
        dice.shuffle(&mut left);
        scan.send(
            sources[0],
            left.into_iter().zip(right).flat_map(|(left, right)| [left, right]),
        );
        scan.nobody_is_in(&format!("{family}"), &sources);
    }
}

/// The owner's own knock, with a scan from the same address around it: between any two steps there is a wrong port.
#[test]
fn a_scan_interleaved_with_the_owners_own_knock_opens_nothing() {
    let Some(mut scan) = Scan::start() else { return };
    for family in FAMILIES {
        let sources = [(); 3].map(|()| somebody(family));
        let sequence = steps("7000 8000 9000");
        let ports: Vec<Step> = (1..=u16::MAX).map(tcp).collect();
        // The steps at a third, in the middle and at the end; then as close together as a scan lets them.
        for places in [[16_384, 32_768, 49_152], [30_000, 30_001, 30_002], [100, 9_500, 60_000]] {
            for (source, order) in sources.iter().zip(["up", "down", "random"]) {
                let mut order_of: Vec<Step> = match order {
                    "down" => ports.iter().rev().copied().collect(),
                    _ => ports.clone(),
                };
                if order == "random" {
                    Dice::from(3).shuffle(&mut order_of);
                }
                let knock = places.iter().zip(&sequence);
                let mixed = order_of.iter().enumerate().flat_map(|(index, port)| {
                    let due = knock.clone().find(|(place, _)| **place == index).map(|(_, step)| *step);
                    [Some(*port), due].into_iter().flatten()
                });
                let mixed: Vec<Step> = mixed.collect();
                assert_eq!(mixed.len(), ports.len() + 3);
                scan.send(*source, mixed.into_iter());
            }
        }
        scan.nobody_is_in(&format!("{family}"), &sources);
    }
}

/// Somebody else's scan does not keep the owner out.
#[test]
fn a_scan_from_elsewhere_is_in_nobodys_way() {
    let sections = ssh_gate("") + &crate::scene::door("option timeout '60'");
    let Some(scene) = Scene::start(&sections) else { return };
    for family in FAMILIES {
        let (owner, scanner) = (somebody(family), somebody(family));
        let frames: Vec<Vec<u8>> = (1..=u16::MAX)
            .map(|port| scene.knocker.frame(SocketAddr::new(scanner, 50_000), tcp(port)))
            .collect();
        let knocker = &scene.knocker;
        std::thread::scope(|scope| {
            let scan = scope.spawn(|| knocker.send(&frames));
            for step in ["7000", "8000", "9000"] {
                scene.knock(owner, step);
                std::thread::sleep(Duration::from_millis(20));
            }
            scan.join().expect("it sends");
        });
        scene.settle();
        assert_eq!(scene.listed(), [(owner, "ssh".to_owned())].into(), "{family}");
        scene
            .home
            .daemon
            .must("gate_flush", &serde_json::json!({ "gate": "ssh" }));
    }
}
