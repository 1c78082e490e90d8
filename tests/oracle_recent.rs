//! The gate beside the seed's iptables rules: the same segments to both, and the same verdicts but for the differences that are meant
//! (`lanward_rig::recent::model`).
//!
//! Each line of a scenario is asked of both routers, over IPv4 and IPv6, and of the model; random sequences are asked against the model. Window: three
//! seconds; `wait 2` stays within it, `wait 3` is beyond it.

use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::recent::model::Model;
use lanward_rig::recent::scenario::{play, seed_size, Line, Pair, Scenario, STRAYS, WINDOW};
use lanward_rig::recent::{Act, Place, Service, Source, Step, Terms, Verdict};
use lanward_rig::report_line::{figure, skip, this_test};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What both routers do alike.
const ALIKE: &[(&str, &str)] = &[
    ("straight SSH is refused", "a ssh syn: reset"),
    (
        "IMAPS, then SSH",
        "a imaps syn: accepted
         a ssh#1 syn: reset
         a imaps ack: arrived
         a ssh syn: accepted
         a ssh ack: arrived
         a ssh data: arrived",
    ),
    (
        "SSH that was closed takes the listing with it",
        "a imaps syn: accepted
         a imaps ack: arrived
         a ssh syn: accepted
         a ssh ack: arrived
         a ssh fin of server: arrived arrived
         a ssh#1 syn: reset",
    ),
    (
        "IMAPS that was closed does not",
        "a imaps syn: accepted
         a imaps ack: arrived
         a imaps data: arrived
         a imaps fin: arrived arrived
         wait 2
         a ssh syn: accepted",
    ),
    (
        "the window passes",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a ssh syn: accepted
         wait 1
         a ssh#1 syn: reset",
    ),
    (
        "IMAPS once more",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 3
         a ssh syn: reset
         a imaps#1 syn: accepted
         a imaps#1 ack: arrived
         a ssh#1 syn: accepted
         a ssh#1 ack: arrived
         a ssh#1 data: arrived",
    ),
    (
        "a SYN to 993 alone is nothing",
        "a imaps syn: accepted
         a ssh syn: reset
         a imaps#1 stray ack: arrived
         a imaps#1 stray ack: arrived
         a ssh syn: reset",
    ),
    (
        "one source is not the other",
        "a imaps syn: accepted
         a imaps ack: arrived
         b ssh syn: reset
         a ssh syn: accepted
         b imaps syn: accepted
         b imaps ack: arrived
         b ssh syn: accepted
         b ssh ack: arrived
         b ssh fin of server: arrived arrived
         b ssh#1 syn: reset
         a ssh#1 syn: accepted",
    ),
    (
        "what SSH carries refreshes",
        "a imaps syn: accepted
         a imaps ack: arrived
         a ssh syn: accepted
         a ssh ack: arrived
         wait 2
         a ssh data: arrived
         wait 2
         a ssh hear: arrived
         wait 2
         a ssh#1 syn: accepted
         a ssh#1 ack: arrived",
    ),
    (
        "what IMAPS carries refreshes",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a imaps data: arrived
         wait 2
         a imaps hear: arrived
         wait 2
         a ssh syn: accepted",
    ),
    (
        "a connection attempt refreshes nothing",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a ssh syn: accepted
         a ssh#1 syn: accepted
         wait 1
         a ssh#2 syn: reset",
    ),
    (
        "scans of SSH without a listing",
        "a ssh stray ack: reset
         a ssh stray fin: reset
         a ssh stray null: reset
         a ssh stray xmas: reset
         a ssh stray fin ack: reset
         a ssh stray rst: silent
         a ssh syn: reset",
    ),
    (
        "scans of SSH with a listing remove nothing",
        "a imaps syn: accepted
         a imaps ack: arrived
         a ssh stray fin: reset
         a ssh stray null: reset
         a ssh stray fin ack: reset
         a ssh stray rst: silent
         a ssh stray ack: arrived
         a ssh syn: accepted",
    ),
];

/// What they do otherwise, and by which difference.
const APART: &[(&str, &str)] = &[
    (
        "a half-open scan of 993",
        "a imaps syn: accepted
         a imaps rst: arrived
         a ssh syn: accepted / reset, handshake only",
    ),
    (
        "a SYN to 993 that comes again",
        "a imaps syn: accepted
         a imaps syn again: accepted
         a ssh syn: accepted / reset, handshake only",
    ),
    (
        "a SYN to SSH that comes again does not refresh",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a ssh syn: accepted
         a ssh syn again: accepted
         wait 2
         a ssh#1 syn: accepted / reset, handshake only",
    ),
    (
        "a SYN to SSH that comes again when the window is over",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a ssh syn: accepted
         wait 1
         a ssh syn again: accepted / reset, syn begins",
    ),
    (
        "RST of IMAPS does not refresh",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a imaps rst: arrived
         wait 1
         a ssh syn: accepted / reset, handshake only",
    ),
    (
        // With the ACK of the server's FIN, the connection does once more.
        "FIN of IMAPS does not prove",
        "a imaps syn: accepted
         a imaps ack: arrived
         a imaps#1 syn: accepted
         a imaps#1 ack: arrived
         wait 3
         a imaps fin alone: arrived
         a ssh syn: accepted / reset, handshake only
         a imaps#1 fin: arrived arrived
         a ssh syn: accepted",
    ),
    (
        "another service of a listed source",
        "a web syn: accepted
         a web ack: arrived
         a web data: arrived
         a ssh syn: reset
         a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a web data: arrived
         wait 2
         a ssh syn: accepted / reset, own services",
    ),
    (
        "FIN of another service",
        "a web syn: accepted
         a web ack: arrived
         a imaps syn: accepted
         a imaps ack: arrived
         a ssh syn: accepted
         a web fin: arrived arrived
         a ssh#1 syn: reset / accepted, own services",
    ),
    (
        "RST of SSH",
        "a imaps syn: accepted
         a imaps ack: arrived
         a ssh syn: accepted
         a ssh ack: arrived
         a ssh rst: arrived
         a ssh#1 syn: accepted / reset, rst removes",
    ),
    (
        // Whoever sends a SYN by a listed source's address has its kernel answer our SYN-ACK with a RST.
        "a half-open scan of SSH with a listing neither removes nor refreshes",
        "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a ssh syn: accepted
         a ssh rst: arrived
         a ssh#1 syn: accepted
         wait 2
         a ssh#2 syn: accepted / reset, handshake only",
    ),
    (
        "the very last ACK",
        "a imaps syn: accepted
         a imaps ack: arrived
         a ssh syn: accepted
         a ssh ack: arrived
         a ssh fin: arrived reset / arrived arrived, never cut
         a ssh#1 syn: reset",
    ),
    (
        "two sessions of one source",
        "a imaps syn: accepted
         a imaps ack: arrived
         a ssh syn: accepted
         a ssh ack: arrived
         a ssh#1 syn: accepted
         a ssh#1 ack: arrived
         a ssh#1 fin of server: arrived arrived
         a ssh data: reset / arrived, never cut
         a ssh data: none / arrived, never cut
         a ssh#2 syn: reset
         a imaps data: arrived
         a ssh hear: none / arrived, never cut
         a ssh#2 syn: accepted",
    ),
    (
        "an idle session wakes up",
        "a imaps syn: accepted
         a imaps ack: arrived
         a ssh syn: accepted
         a ssh ack: arrived
         wait 3
         a ssh#1 syn: reset
         a ssh data: arrived
         a ssh#1 syn: accepted / reset, expires",
    ),
];

fn both_families(scenarios: &[(&str, &str)]) -> Vec<(Family, Scenario)> {
    let parsed = scenarios.iter().map(|(name, text)| Scenario::parse(name, text));
    parsed
        .flat_map(|scenario| FAMILIES.map(|family| (family, scenario.clone())))
        .collect()
}

/// Plays them, and shows every complaint.
fn must(terms: &Terms, scenarios: &[(Family, Scenario)]) {
    let complaints = match play(terms, scenarios) {
        Ok(complaints) => complaints,
        Err(error) => return skip_for(&error),
    };
    let told: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(
        told.is_empty(),
        "{} scenarios with {terms:?}:\n\n{}",
        told.len(),
        told.join("\n\n")
    );
}

fn skip_for(error: &io::Error) {
    skip(
        &this_test(),
        &format!("no two routers here (root, TUN devices and xt_recent are needed): {error}"),
    );
}

#[test]
fn hosts_behind_the_router_are_guarded_as_by_the_seed() {
    must(&Terms::default(), &both_families(&[ALIKE, APART].concat()));
}

/// The servers are the kernel's, and nobody sees an acknowledgement arrive.
#[test]
fn the_router_itself_is_guarded_as_by_the_seed() {
    let terms = Terms {
        place: Place::Router,
        ..Terms::default()
    };
    let scenarios = both_families(&[ALIKE, APART].concat());
    let scenarios = scenarios.into_iter().filter(|(_, scenario)| {
        // Its kernel resets what belongs to no connection, as the firewall does.
        !scenario.lines.iter().any(|line| matches!(line.act, Act::Stray(_)))
    });
    let mut scenarios: Vec<_> = scenarios.collect();
    for (_, scenario) in &mut scenarios {
        unsee(&mut scenario.lines);
    }
    must(&terms, &scenarios);
}

/// A socket does not show an ACK, nor the RST of a connection that was never open.
fn unsee(lines: &mut [Line]) {
    let mut open = BTreeSet::new();
    for line in lines {
        let key = (line.who, line.service, line.session);
        let unseen = match line.act {
            Act::Hear | Act::FinOfServer => 0,
            Act::Fin => 1,
            Act::Rst if !open.contains(&key) => 0,
            _ => usize::MAX,
        };
        if line.act == Act::Ack {
            open.insert(key);
        }
        for verdicts in [&mut line.expected.seed, &mut line.expected.ours] {
            if let Some(verdict) = verdicts.get_mut(unseen).filter(|verdict| **verdict == Verdict::Arrived) {
                *verdict = Verdict::Unseen;
            }
        }
    }
}

#[test]
fn an_unlisted_source_is_refused_as_configured() {
    for (refuse, zone, seen) in [
        ("reset", "reject", "reset"),
        ("reset", "drop", "reset"),
        ("drop", "reject", "silent"),
        ("drop", "drop", "silent"),
        ("zone", "reject", "reset"),
        ("zone", "drop", "silent"),
    ] {
        for place in [Place::Behind, Place::Router] {
            let terms = Terms {
                place,
                refuse,
                zone,
                ..Terms::default()
            };
            let verdicts = match seen {
                "silent" => "reset / silent, refusal by choice",
                _ => "reset",
            };
            // conntrack takes up a connection in its middle: an ACK is NEW, as a SYN is. (A kernel that it reaches resets it, too.)
            let (stray, ack) = match place {
                Place::Behind => (format!("a ssh stray ack: {verdicts}"), "arrived"),
                Place::Router => (String::new(), "unseen"),
            };
            let text = format!(
                "a ssh syn: {verdicts}
                 {stray}
                 a imaps syn: accepted
                 a imaps ack: arrived
                 a ssh syn: accepted
                 a ssh ack: arrived
                 a ssh data: arrived
                 a ssh fin of server: {ack} arrived
                 a ssh syn: {verdicts}"
            );
            must(&terms, &both_families(&[("refused", &text)]));
        }
    }
}

#[test]
fn forgetting_is_as_configured() {
    let terms = Terms {
        forget: "never",
        ..Terms::default()
    };
    let text = "a imaps syn: accepted
         a imaps ack: arrived
         wait 2
         a ssh syn: accepted
         a ssh ack: arrived
         a ssh fin of server: arrived arrived
         a ssh#1 syn: reset / accepted, forget by choice
         a ssh#1 ack: none / arrived, forget by choice
         a ssh#1 rst: none / arrived, rst removes and forget by choice
         a ssh#2 syn: reset / accepted, rst removes and forget by choice";
    must(&terms, &both_families(&[("FIN and RST remove nothing", text)]));
}

/// Whoever sends by another's address does not see the SYN-ACK and has to guess what its ACK must say. From Linux 6.1 on, conntrack says "established"
/// of every guess that is too low, so that with the seed's rules every other one lists the address.
#[test]
fn a_guessed_acknowledgement_is_no_proof() {
    for (family, place) in FAMILIES
        .into_iter()
        .flat_map(|family| [(family, Place::Behind), (family, Place::Router)])
    {
        let terms = Terms {
            place,
            ..Terms::default()
        };
        let mut pair = match Pair::new(&terms) {
            Ok(pair) => pair,
            Err(error) => return skip_for(&error),
        };
        let mut after_a_guess = |number| {
            let step = |service, act| Step {
                source: Source { family, number },
                service,
                session: 0,
                act,
            };
            assert_eq!(pair.perform(&step(Service::Imaps, Act::Syn)), [[Verdict::Accepted]; 2]);
            pair.perform(&step(Service::Imaps, Act::BlindAck));
            let [seed, ours] = pair.perform(&step(Service::Ssh, Act::Syn));
            (seed[0], ours[0])
        };
        let (seed, ours) = after_a_guess(1);
        figure(
            &this_test(),
            &format!("{family}, {place:?}: the seed's rules: {seed:?}, ours: {ours:?}"),
        );
        assert_eq!(ours, Verdict::Reset, "{family}, {place:?}");
    }
}

#[test]
fn a_full_list_refuses_newcomers_where_the_seeds_evicts_the_oldest() {
    let size = match seed_size() {
        Ok(size) => size,
        Err(error) => return skip_for(&error),
    };
    let Some(last) = u8::try_from(size).ok().filter(|size| (2..250).contains(size)) else {
        return skip(&this_test(), &format!("the seed's list takes {size} addresses here"));
    };
    let terms = Terms {
        window: 60,
        size: last.into(),
        ..Terms::default()
    };
    for family in FAMILIES {
        let mut pair = match Pair::new(&terms) {
            Ok(pair) => pair,
            Err(error) => return skip_for(&error),
        };
        let mut both = |number, service, act| {
            let step = Step {
                source: Source { family, number },
                service,
                session: 0,
                act,
            };
            let [seed, ours] = pair.perform(&step);
            (seed[0], ours[0])
        };
        let accepted = Verdict::Accepted;
        for number in 1..=last + 1 {
            assert_eq!(both(number, Service::Imaps, Act::Syn), (accepted, accepted));
            assert_eq!(
                both(number, Service::Imaps, Act::Ack),
                (Verdict::Arrived, Verdict::Arrived)
            );
        }
        assert_eq!(
            both(1, Service::Ssh, Act::Syn),
            (Verdict::Reset, accepted),
            "{family}: the oldest"
        );
        assert_eq!(
            both(2, Service::Ssh, Act::Syn),
            (accepted, accepted),
            "{family}: the second"
        );
        assert_eq!(
            both(last, Service::Ssh, Act::Syn),
            (accepted, accepted),
            "{family}: the last but one"
        );
        assert_eq!(
            both(last + 1, Service::Ssh, Act::Syn),
            (accepted, Verdict::Reset),
            "{family}: the newcomer"
        );
        // Whoever is on a full list is refreshed all the same.
        assert_eq!(both(3, Service::Imaps, Act::Data), (Verdict::Arrived, Verdict::Arrived));
        assert_eq!(both(3, Service::Ssh, Act::Syn), (accepted, accepted));
    }
}

/// Splitmix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// One of these, as often as its weight says.
    fn choose<T: Copy>(&mut self, weighted: &[(u64, T)]) -> T {
        let mut drawn = self.next(weighted.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in weighted {
            if drawn < *weight {
                return *value;
            }
            drawn -= weight;
        }
        weighted[0].1
    }
}

/// Moments that a random sequence lasts.
const MOMENTS: u32 = 6;
/// The connection with which it is asked, after each step, whether its source would get in.
const PROBE: u8 = 9;

/// Two sources that do whatever comes to their minds, and what the model says of it.
fn sequence(name: String, terms: &Terms, family: Family, random: &mut Random) -> Scenario {
    let mut model = Model::new(terms, WINDOW.1, usize::MAX);
    let mut lines: Vec<Line> = Vec::new();
    let first = Source { family, number: 1 };
    for moment in 0..MOMENTS {
        let mut line = |who, service, session, act| {
            let mut line = Line {
                moment,
                who,
                service,
                session,
                act,
                expected: Default::default(),
            };
            line.expected = model.step(&line.step(first), moment);
            lines.push(line);
            model.clone()
        };
        for who in [0, 1] {
            line(who, Service::Ssh, PROBE, Act::Syn);
        }
        for _ in 0..random.next(7) {
            let who = random.choose(&[(3, 0), (1, 1)]);
            let service = random.choose(&[(5, Service::Ssh), (3, Service::Imaps), (2, Service::Web)]);
            let session = random.choose(&[(2, 0), (1, 1)]);
            let ours = random.next(2) == 0;
            let source = Source {
                number: 1 + who,
                ..first
            };
            let state = line(who, Service::Ssh, PROBE, Act::Syn).session(ours, source, service, session);
            let act = match state {
                None if terms.place == Place::Behind && random.next(8) == 0 => {
                    Act::Stray(STRAYS[usize::try_from(random.next(STRAYS.len() as u64)).unwrap_or(0)].0)
                }
                None => Act::Syn,
                // A kernel answers a SYN that comes again not more than twice a second.
                Some(false) if terms.place == Place::Router => random.choose(&[(6, Act::Ack), (2, Act::Rst)]),
                Some(false) => random.choose(&[(6, Act::Ack), (1, Act::SynAgain), (2, Act::Rst)]),
                Some(true) => random.choose(&[
                    (6, Act::Data),
                    (3, Act::Hear),
                    (3, Act::Fin),
                    (1, Act::FinAlone),
                    (3, Act::FinOfServer),
                    (2, Act::Rst),
                    (1, Act::Syn),
                ]),
            };
            line(who, service, session, act);
            line(who, Service::Ssh, PROBE, Act::Syn);
        }
    }
    Scenario { name, lines }
}

/// A number from a variable of the environment.
fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}: not a number: {value}")),
    )
}

/// `LANWARD_ORACLE_SEED` gives other sequences, `PROPTEST_CASES` more.
#[test]
fn random_sequences_get_the_same_verdicts_but_for_what_is_meant() {
    let capacity = match seed_size() {
        Ok(size) => size,
        Err(error) => return skip_for(&error),
    };
    let seed = variable("LANWARD_ORACLE_SEED").unwrap_or(1);
    let cases = variable("PROPTEST_CASES").unwrap_or(128);
    // As many at once as the seed's list takes sources.
    let at_once = u64::try_from(capacity / 2).unwrap_or(1).clamp(1, 48);
    let mut began = (0..cases).step_by(usize::try_from(at_once).unwrap_or(1));
    let run = |from: u64| {
        let place = if from / at_once % 4 == 3 {
            Place::Router
        } else {
            Place::Behind
        };
        let terms = Terms {
            place,
            ..Terms::default()
        };
        let sequences = (from..cases.min(from + at_once)).map(|case| {
            let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(case));
            let family = FAMILIES[usize::try_from(case % 2).unwrap_or(0)];
            let name = format!("case {case} of LANWARD_ORACLE_SEED={seed}, {place:?}");
            (family, sequence(name, &terms, family, &mut random))
        });
        let sequences: Vec<_> = sequences.collect();
        must(&terms, &sequences);
        sequences
    };
    // They wait more than they compute.
    let mut steps = 0;
    let mut apart = BTreeMap::new();
    loop {
        let batch: Vec<u64> = began.by_ref().take(4).collect();
        if batch.is_empty() {
            break;
        }
        let played = std::thread::scope(|scope| {
            let threads: Vec<_> = batch.into_iter().map(|from| scope.spawn(move || run(from))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Vec<_>>()
        });
        for line in played.iter().flatten().flat_map(|(_, scenario)| &scenario.lines) {
            steps += 1;
            for why in &line.expected.why {
                *apart.entry(*why).or_insert(0) += 1;
            }
        }
    }
    figure(
        &this_test(),
        &format!("{cases} sequences with seed {seed}, {steps} steps, apart by {apart:?}"),
    );
}
