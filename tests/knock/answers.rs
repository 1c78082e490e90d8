//! What a port of a sequence, and a key's port, answers: what any other closed port does, before, during and after a knock.

use crate::scene::{door, knock, somebody, ssh_gate, Scene, UNUSED};
use lanward_rig::house::FAMILIES;
use lanward_rig::knock::{tcp, udp, Step};
use lanward_rig::segments::Packet;
use lanward_rig::settings::{Firewall, Refusal};
use lanward_rig::tap::Tap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A key's port, and the sequences' steps in no order that opens or closes.
const PROBED: [Step; 7] = [
    tcp(8000),
    udp(9001),
    udp(62201),
    tcp(7000),
    udp(8001),
    tcp(9000),
    udp(7001),
];
/// From this port the probes come.
const FROM: u16 = 51_000;

/// What comes back to one packet, as bytes in which what says which port and which packet it was is left out. None: nothing in time.
fn answer(scene: &Scene, tap: &Tap, source: IpAddr, step: Step, patience: Duration) -> Option<Vec<u8>> {
    let from = SocketAddr::new(source, FROM);
    scene.knocker.send(&[scene.knocker.frame(from, step)]);
    while let Some((packet, bytes)) = tap.next_bytes(patience) {
        let to = match &packet {
            Packet::Tcp(segment) => segment.to.ip(),
            Packet::Udp(_, to, _) => to.ip(),
            Packet::Icmp(to, ..) => *to,
        };
        if to == source {
            return Some(without_ids(bytes, step.port));
        }
    }
    None
}

fn without_ids(mut bytes: Vec<u8>, port: u16) -> Vec<u8> {
    let v4 = bytes[0] >> 4 == 4;
    let header = if v4 { 20 } else { 40 };
    let mut blank = vec![];
    if v4 {
        // Identification and the header's checksum.
        blank.extend([4..6, 10..12]);
    }
    let protocol = bytes[if v4 { 9 } else { 6 }];
    let mut ports = vec![];
    match protocol {
        6 => {
            ports.push(header);
            blank.push(header + 16..header + 18);
        }
        1 | 58 => {
            // The packet that it is about is in it: its ports, its checksums.
            blank.push(header + 2..header + 4);
            let inner = header + 8;
            let transport = inner + if v4 { 20 } else { 40 };
            let is_tcp = bytes[inner + if v4 { 9 } else { 6 }] == 6;
            ports.push(transport + 2);
            let checksum = transport + if is_tcp { 16 } else { 6 };
            blank.push(checksum..checksum + 2);
        }
        other => panic!("an answer of protocol {other}"),
    }
    for at in ports {
        assert_eq!(bytes[at..at + 2], port.to_be_bytes(), "the port that was probed");
        bytes[at..at + 2].fill(0);
    }
    for range in blank {
        if range.end <= bytes.len() {
            bytes[range].fill(0);
        }
    }
    bytes
}

fn ports_look_closed(refusal: Refusal) {
    let sections = ssh_gate("")
        + &door("option seconds '600'\noption timeout '600'")
        + &knock(
            "udp",
            "ssh",
            "7001:udp 8001:udp 9001:udp",
            "9001:udp 8001:udp",
            "option timeout '600'",
        )
        + "\nconfig spa 'laptop'\n\toption gate 'ssh'\n\toption key_file '/nonexistent/laptop.key'\n";
    let Some(scene) = Scene::start_behind(Firewall::refusing(refusal), &sections) else {
        return;
    };
    let router = scene.home.house.router();
    router.refuses_without_limit().expect("every kernel has it");
    let internet = &scene.home.house.host("internet").namespace;
    let tap = Tap::open(internet, "to-wan0").expect("root may listen");
    // Where none is to come it is not awaited for ever: a packet takes no longer than that here.
    let patience = Duration::from_millis(if refusal == Refusal::Reject { 5000 } else { 60 });
    for family in FAMILIES {
        let source = somebody(family);
        let closed = |step: Step| answer(&scene, &tap, source, Step { port: UNUSED, ..step }, patience);
        let usual = [closed(tcp(0)), closed(udp(0))];
        assert_eq!(
            usual.iter().all(Option::is_some),
            refusal == Refusal::Reject,
            "{family}: {usual:?}"
        );
        let looks_closed = |when: &str, steps: &[Step]| {
            for step in steps {
                let seen = answer(&scene, &tap, source, *step, patience);
                assert_eq!(
                    seen,
                    usual[usize::from(step.udp)],
                    "{family} {refusal:?} {when}: {step}"
                );
            }
        };
        looks_closed("before", &PROBED);
        assert!(!scene.is_listed(source), "the probes are not in order");
        // Each step as the one that is due, sent again, and then wrong ones.
        let _ = closed(tcp(0));
        for steps in [[7000, 8000, 9000].map(tcp), [7001, 8001, 9001].map(udp)] {
            for (index, step) in steps.iter().enumerate() {
                looks_closed("due", &[*step]);
                looks_closed("sent again", &steps[..=index]);
            }
        }
        assert!(scene.is_listed(source), "{family}: the knock was one");
        looks_closed("open", &PROBED);
        looks_closed("open", &PROBED.map(|step| Step { udp: !step.udp, ..step }));
        for step in [tcp(9000), tcp(8000), tcp(7000)] {
            looks_closed("closing", &[step]);
        }
        assert!(!scene.is_listed(source), "{family}: closed");
        looks_closed("closed again", &PROBED);
        assert_eq!(
            [closed(tcp(0)), closed(udp(0))],
            usual,
            "{family}: and so does any other"
        );
    }
}

#[test]
fn where_the_zone_rejects_a_sequences_ports_answer_as_any_other() {
    ports_look_closed(Refusal::Reject);
}

#[test]
fn where_the_zone_drops_a_sequences_ports_are_as_silent_as_any_other() {
    ports_look_closed(Refusal::Drop);
}
