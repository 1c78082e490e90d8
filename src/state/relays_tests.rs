//! Many relays at once: whose turn it is, who looks, who is told.

use super::*;
use crate::event::Event;
use crate::relay::sight::{Outcome, Sight};
use crate::relay::words::Word;
use crate::relay::{Do, Exit, Heard, Look, Purpose};
use crate::system::ubus::Status;
use std::net::Ipv4Addr;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKBbyLi2dO3FFZlNLkMVJrKlvHkMuWYCMsb5l3pJVGNv";

/// So many sections; each server has ten of them.
fn sections(count: usize) -> String {
    let section = |index: usize| {
        format!(
            "config relay 'r{index}'\n\toption enabled '1'\n\toption host 'server{}.example.net'\n\toption remote_port '{}'\n\
             \toption target '192.168.1.20:3389'\n\toption host_key '{KEY}'\n",
            index / 10,
            4000 + index
        )
    };
    (0..count).map(section).collect()
}

struct Play {
    state: State,
    now: Now,
}

impl Play {
    fn with(count: usize) -> (Self, Vec<Action>) {
        let mut play = Self {
            state: State::default(),
            now: Now {
                monotonic: 10_000,
                unix: 1_800_000_000,
            },
        };
        let actions = play.configure(count);
        (play, actions)
    }

    fn configure(&mut self, count: usize) -> Vec<Action> {
        let (config, problems) = config::read_text(Some(sections(count).as_bytes()));
        assert_eq!(problems, []);
        self.state.config = config;
        self.state.place_relays(self.now)
    }

    fn hears(&mut self, name: &str, heard: Heard) -> Vec<Action> {
        let event = Event::Relay {
            name: name.to_string(),
            heard,
        };
        self.state.handle(event, self.now)
    }

    /// Ends these sessions with this complaint.
    fn end(&mut self, spawned: &[(String, u64)], word: Word) -> Vec<Action> {
        let mut actions = Vec::new();
        for (name, session) in spawned {
            let session = *session;
            let line = format!("{word:?}");
            actions.extend(self.hears(name, Heard::Complained { session, word, line }));
            let exit = Exit::Ended {
                how: "status 255".into(),
                told: false,
                host_key: None,
            };
            actions.extend(self.hears(name, Heard::Exited { session, exit }));
        }
        actions
    }

    fn waits(&mut self) -> Vec<Action> {
        let due = self.state.relays_due().expect("something is waited for");
        self.now.monotonic = due.max(self.now.monotonic);
        self.state.look_at_relays(self.now)
    }
}

fn doing(actions: &[Action]) -> Vec<(String, Do)> {
    let one = |action: &Action| match action {
        Action::Relay(config, what) => Some((config.name.clone(), *what)),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

fn spawned(actions: &[Action]) -> Vec<(String, u64)> {
    let one = |(name, what): (String, Do)| match what {
        Do::Spawn { session, .. } => Some((name, session)),
        _ => None,
    };
    doing(actions).into_iter().filter_map(one).collect()
}

#[test]
fn of_relays_with_one_key_for_one_account_the_first_has_the_script() {
    let section = |name: &str, enabled: u8, key: &str| {
        format!(
            "config relay '{name}'\n\toption enabled '{enabled}'\n\toption host 'relay.example.net'\n\toption remote_port '4000'\n\toption key '{key}'\n\
             \toption target '192.168.1.20:3389'\n\toption host_key '{KEY}'\n"
        )
    };
    let text = [
        section("off", 0, "/etc/lanward/one"),
        section("first", 1, "/etc/lanward/one"),
        section("second", 1, "/etc/lanward/one"),
        section("other", 1, "/etc/lanward/other"),
    ];
    let (config, problems) = config::read_text(Some(text.concat().as_bytes()));
    assert_eq!(problems, []);
    let (mut play, _) = Play::with(0);
    play.state.config = config;
    let actions = play.state.place_relays(play.now);
    let held: Vec<(String, bool)> = doing(&actions)
        .into_iter()
        .filter_map(|(name, what)| match what {
            Do::Spawn {
                purpose: Purpose::Forward { hold },
                ..
            } => Some((name, hold)),
            _ => None,
        })
        .collect();
    let wanted = [("first", true), ("second", false), ("other", true)].map(|(name, hold)| (name.to_string(), hold));
    assert_eq!(held, wanted);
}

#[test]
fn six_start_at_a_time_and_who_has_waited_longest_is_next() {
    let (mut play, actions) = Play::with(15);
    let first = spawned(&actions);
    assert_eq!(first.len(), 6);
    let mut numbers: Vec<u64> = first.iter().map(|(_, session)| *session).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 6, "each session has its own number");
    // One after the other comes to nothing, and the next one gets its turn; those that failed are behind all that never had one.
    let mut seen: Vec<String> = first.iter().map(|(name, _)| name.clone()).collect();
    let mut running = first;
    while seen.len() < 15 {
        play.now.monotonic += 1;
        let one = running.remove(0);
        let next = spawned(&play.end(&[one], Word::Closed));
        assert_eq!(next.len(), 1);
        assert!(!seen.contains(&next[0].0), "{next:?} again");
        seen.push(next[0].0.clone());
        running.extend(next);
    }
}

#[test]
fn one_look_at_a_server_serves_all_its_relays() {
    let (mut play, mut actions) = Play::with(20);
    // The line is cut: everybody's start fails.
    loop {
        let running = spawned(&actions);
        if running.is_empty() {
            break;
        }
        actions = play.end(&running, Word::Unreachable);
    }
    let mut looks = Vec::new();
    while play.state.relays_due().is_some() {
        looks.extend(doing(&play.waits()));
    }
    let server = |name: &str| name.trim_start_matches('r').parse::<usize>().unwrap() / 10;
    let of = |which: usize| looks.iter().filter(|(name, _)| server(name) == which).count();
    assert!(
        looks.iter().all(|(_, what)| *what == Do::Look(Look::Relay)),
        "{looks:?}"
    );
    assert_eq!((of(0), of(1)), (1, 1), "{looks:?}");
    // The one that looked may be gone by then.
    let looker = looks.iter().find(|(name, _)| server(name) == 0).unwrap().0.clone();
    let actions = play.hears(
        &looker,
        Heard::Looked {
            look: Look::Relay,
            answers: true,
        },
    );
    let started = spawned(&actions);
    assert_eq!(started.len(), 6);
    assert!(started.iter().all(|(name, _)| server(name) == 0), "{started:?}");
    assert_eq!(
        play.state
            .relays_status(play.now)
            .iter()
            .filter(|relay| relay["state"] == "starting")
            .count(),
        10,
        "all of this server"
    );
}

#[test]
fn a_look_of_a_relay_that_is_gone_is_made_again() {
    let (mut play, actions) = Play::with(2);
    let running = spawned(&actions);
    play.end(&running, Word::Unreachable);
    let looks = doing(&play.waits());
    assert_eq!(looks.len(), 1);
    let other = if looks[0].0 == "r0" { "r1" } else { "r0" };
    play.state.config.relays.retain(|config| config.name == other);
    assert!(doing(&play.state.place_relays(play.now)).is_empty());
    assert_eq!(doing(&play.waits()), [(other.to_string(), Do::Look(Look::Relay))]);
}

#[test]
fn who_asks_for_a_check_is_answered_when_it_is_over_or_the_relay_gone() {
    let (mut play, actions) = Play::with(1);
    let [(name, session)] = spawned(&actions).try_into().unwrap();
    let arguments = serde_json::json!({ "name": name }).as_object().unwrap().clone();
    let call = |play: &mut Play| {
        let id = super::tests::caller();
        (id, play.state.call_relay(id, "relay_check", &arguments, play.now))
    };
    let (_, early) = call(&mut play);
    assert!(matches!(early.as_slice(), [Action::Answer(_, Ok(value))] if value["ok"] == false));
    play.hears(
        &name,
        Heard::Spawned {
            session,
            client: "Dropbear 2022.83".into(),
        },
    );
    assert!(matches!(doing(&play.waits()).as_slice(), [(_, Do::Check { .. })]));
    let fine = || Heard::Checked {
        session,
        sight: Sight {
            through: Outcome::Greets(43),
            reached: Some(true),
            line: None,
            direct: None,
        },
    };
    let up = play.hears(&name, fine());
    assert!(up
        .iter()
        .any(|action| matches!(action, Action::Notify("relay", data) if data["state"] == "up")));
    assert!(up
        .iter()
        .any(|action| matches!(action, Action::Log(_, line) if line.contains("reachable from outside"))));
    let (id, asked) = call(&mut play);
    assert!(matches!(doing(&asked).as_slice(), [(_, Do::Check { .. })]));
    let over = play.hears(&name, fine());
    assert!(
        over.iter()
            .any(|action| matches!(action, Action::Answer(answered, Ok(value)) if *answered == id && value["latency_ms"] == 43)),
        "{over:?}"
    );
    let (id, _) = call(&mut play);
    play.state.config.relays.clear();
    let gone = play.state.place_relays(play.now);
    assert!(gone.contains(&Action::Answer(id, Err(Status::NotFound))), "{gone:?}");
    assert!(doing(&gone).contains(&(name, Do::End { session })));
}

#[test]
fn another_address_of_the_wan_is_a_return_of_the_line() {
    let (mut play, actions) = Play::with(1);
    let running = spawned(&actions);
    play.end(&running, Word::Unreachable);
    let mut links = Links::default();
    let route = network::Route {
        table: 254,
        dest: crate::config::Subnet {
            address: Ipv4Addr::UNSPECIFIED.into(),
            prefix: 0,
        },
        device: 2,
    };
    links.routes.push(route);
    let subnet = crate::config::Subnet {
        address: Ipv4Addr::new(192, 0, 2, 0).into(),
        prefix: 24,
    };
    let mut at = |last: u8| {
        links.addresses = vec![(2, subnet, Ipv4Addr::new(192, 0, 2, last).into())];
        play.state.links = links.clone();
        play.now.monotonic += 4_000;
        spawned(&play.state.look_at_ways(play.now))
    };
    assert_eq!(at(1), [], "seen for the first time");
    assert_eq!(at(1), []);
    assert_eq!(at(2).len(), 1);
    assert!(matches!(play.state.relays_status(play.now).as_slice(), [relay] if relay["state"] == "starting"));
}
