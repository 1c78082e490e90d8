//! Lives of a relay, as scripts over a clock of our own.

use super::sight::{Line, Outcome, Sight};
use super::words::{Said, Word};
use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKBbyLi2dO3FFZlNLkMVJrKlvHkMuWYCMsb5l3pJVGNv";

fn config() -> config::Relay {
    let text = format!(
        "config relay 'office'\n\toption enabled '1'\n\toption host 'relay.example.net'\n\toption remote_port '3389'\n\
         \toption target '192.168.1.20:3389'\n\toption host_key '{KEY}'\n"
    );
    let (config, problems) = config::read_text(Some(text.as_bytes()));
    assert_eq!(problems, []);
    config.relays.into_iter().next().unwrap()
}

/// A relay, the time, and what it wants done.
struct Life {
    relay: Relay,
    now: u64,
    session: u64,
}

impl Life {
    fn new(config: config::Relay) -> Self {
        Self {
            relay: Relay::new(config, 7, 100, 1_000),
            now: 1_000,
            session: 0,
        }
    }

    fn note(&mut self, doing: Vec<Do>) -> Vec<Do> {
        for one in &doing {
            if let Do::Spawn { session, .. } = one {
                self.session = *session;
            }
        }
        doing
    }

    fn start(&mut self) -> Vec<Do> {
        assert!(self.relay.is_due(), "{:?}", self.relay);
        let doing = self.relay.start(self.now);
        self.note(doing)
    }

    fn runs(&mut self) {
        let session = self.session;
        let client = "Dropbear 2022.83".to_string();
        assert_eq!(self.hears(Heard::Spawned { session, client }), []);
    }

    fn starts(&mut self, purpose: Purpose) {
        let doing = self.start();
        assert_eq!(doing, [self.spawned(purpose)]);
        self.runs();
    }

    fn hears(&mut self, heard: Heard) -> Vec<Do> {
        let doing = self.relay.heard(heard, self.now);
        self.note(doing)
    }

    fn complains(&mut self, word: Word) -> Vec<Do> {
        let session = self.session;
        self.hears(Heard::Complained {
            session,
            word,
            line: format!("{word:?}"),
        })
    }

    fn says(&mut self, said: Said) {
        let session = self.session;
        assert_eq!(self.hears(Heard::Said { session, said }), []);
    }

    fn exits(&mut self) -> Vec<Do> {
        let session = self.session;
        self.hears(Heard::Exited {
            session,
            exit: Exit::Ended {
                how: "status 255".into(),
                told: false,
                host_key: None,
            },
        })
    }

    fn sees(&mut self, through: Outcome, reached: Option<bool>, line: bool, direct: Option<Outcome>) -> Vec<Do> {
        let session = self.session;
        self.hears(Heard::Checked {
            session,
            sight: Sight {
                through,
                reached,
                line: Some(Line { unanswered: line }),
                direct,
            },
        })
    }

    fn is_fine(&mut self) -> Vec<Do> {
        self.sees(Outcome::Greets(43), Some(true), false, None)
    }

    /// Lets the time come that it waits for.
    fn waits(&mut self) -> Vec<Do> {
        let due = self.relay.next_deadline().expect("it waits for something");
        assert!(due >= self.now);
        self.now = due;
        let doing = self.relay.deadline(self.now);
        self.note(doing)
    }

    /// Its port is looked at, in the end, and greets.
    fn relay_answers(&mut self) {
        self.waits();
        self.hears(Heard::Looked {
            look: Look::Relay,
            answers: true,
        });
    }

    /// From the start to a tunnel that works, with the script.
    fn up() -> Self {
        let mut life = Self::new(config());
        life.starts(FORWARD);
        life.says(Said::Hold);
        assert_eq!(life.waits(), [life.check()]);
        assert_eq!(life.is_fine(), [Do::Look(Look::Outside)]);
        assert!(life.relay.is_up());
        life
    }

    fn check(&self) -> Do {
        Do::Check {
            session: self.session,
            patience: 10,
        }
    }

    fn spawned(&self, purpose: Purpose) -> Do {
        Do::Spawn {
            session: self.session,
            purpose,
        }
    }

    fn end(&self) -> Do {
        Do::End { session: self.session }
    }

    fn state(&self) -> State {
        self.relay.state()
    }

    fn error(&self) -> &str {
        self.relay.error().unwrap_or_default()
    }
}

const FORWARD: Purpose = Purpose::Forward { hold: true };
const BARE: Purpose = Purpose::Forward { hold: false };

#[test]
fn it_is_up_when_the_target_has_greeted_through_it() {
    let mut life = Life::new(config());
    assert_eq!((life.state(), life.relay.next_deadline()), (State::Starting, None));
    life.starts(FORWARD);
    // The client does not listen yet, then the relay does not.
    for early in [Outcome::Refused, Outcome::Closed] {
        assert_eq!(life.waits(), [life.check()]);
        assert_eq!(life.sees(early, Some(false), false, Some(Outcome::Greets(1))), []);
        assert_eq!(life.state(), State::Starting);
    }
    assert_eq!(life.waits(), [life.check()]);
    assert_eq!(life.is_fine(), [Do::Look(Look::Outside)]);
    assert_eq!((life.state(), life.relay.since()), (State::Up, life.now));
    assert_eq!(life.relay.checked(), (Some(life.now), Some(43)));
    // Every `check` seconds from then on.
    let before = life.now;
    assert_eq!(life.waits(), [life.check()]);
    assert_eq!(life.now, before + 30_000);
    assert_eq!(life.relay.next_deadline(), None, "one check at a time");
}

#[test]
fn a_relay_that_is_off_does_nothing() {
    let off = config::Relay {
        enabled: false,
        ..config()
    };
    let life = Life::new(off.clone());
    assert_eq!(
        (life.state(), life.relay.is_due(), life.relay.next_deadline()),
        (State::Idle, false, None)
    );
    let mut life = Life::up();
    assert_eq!(life.relay.configure(off, life.now), [life.end()]);
    assert_eq!(life.exits(), []);
    assert_eq!((life.state(), life.relay.next_deadline()), (State::Idle, None));
}

#[test]
fn the_line_is_looked_at_and_a_session_starts_when_it_is_back() {
    let mut life = Life::up();
    life.waits();
    let cut = life.sees(Outcome::Mute, Some(false), true, Some(Outcome::Greets(1)));
    assert_eq!(cut, [life.end()]);
    assert!(life.error().contains("line is cut"), "{}", life.error());
    assert_eq!(life.state(), State::Backoff);
    assert_eq!(life.exits(), []);
    // However long it takes.
    for _ in 0..100 {
        let before = life.now;
        assert_eq!(life.waits(), [Do::Look(Look::Relay)]);
        assert!(life.now - before <= 10_000, "{}", life.now - before);
        assert_eq!(life.relay.next_deadline(), None, "one look at a time");
        life.hears(Heard::Looked {
            look: Look::Relay,
            answers: false,
        });
        assert_eq!(life.state(), State::Backoff);
    }
    life.relay_answers();
    // What is left of the session there goes first.
    life.starts(Purpose::EndRemains);
    life.says(Said::Ended);
    let doing = life.exits();
    assert_eq!(doing, [life.spawned(FORWARD)]);
    life.runs();
    life.waits();
    life.is_fine();
    assert_eq!((life.state(), life.relay.error()), (State::Up, None));
}

#[test]
fn a_check_that_has_seen_nothing_is_made_again_before_anything_is_ended() {
    let mut life = Life::up();
    life.waits();
    // Somebody copies a file through it, say.
    let mute = |life: &mut Life| life.sees(Outcome::Mute, Some(false), false, Some(Outcome::Greets(1)));
    assert_eq!(mute(&mut life), []);
    assert_eq!(life.state(), State::Up);
    let before = life.now;
    let second = life.waits();
    assert!(
        matches!(second.as_slice(), [Do::Check { patience: 20, .. }]),
        "{second:?}"
    );
    assert_eq!(life.now - before, 2_000);
    assert_eq!(life.is_fine(), []);
    assert_eq!(life.waits(), [life.check()]);
    assert_eq!(mute(&mut life), []);
    life.waits();
    assert_eq!(mute(&mut life), [life.end()]);
    assert!(life.error().contains("frozen"), "{}", life.error());
}

/// It closes what it holds before anybody hears why, and takes its time on a busy router. Why is what has to be told: a relay that is frozen has lost no
/// listener, and is waited for otherwise.
#[test]
fn a_client_that_ends_in_the_middle_of_a_check_is_heard_out() {
    for is_second in [false, true] {
        for (cut, reached) in [(Outcome::Closed, Some(false)), (Outcome::Refused, None)] {
            let mut life = Life::up();
            life.waits();
            if is_second {
                assert_eq!(
                    life.sees(Outcome::Mute, Some(false), false, Some(Outcome::Greets(1))),
                    []
                );
                life.waits();
            }
            assert_eq!(life.sees(cut.clone(), reached, false, Some(Outcome::Greets(1))), []);
            assert_eq!((life.state(), life.error()), (State::Up, ""), "{cut:?}");
            assert_eq!(life.complains(Word::KeepAlive), []);
            assert_eq!(life.exits(), []);
            assert!(life.error().contains("gone silent"), "{}", life.error());
            assert_eq!(
                (life.state(), life.relay.waits_for()),
                (State::Backoff, Some(Wait::Line))
            );
        }
    }
    // One that goes on has no listener any more indeed.
    let mut life = Life::up();
    life.waits();
    let closed = |life: &mut Life| life.sees(Outcome::Closed, Some(false), false, Some(Outcome::Greets(1)));
    assert_eq!(closed(&mut life), []);
    let before = life.now;
    life.waits();
    assert_eq!(life.now - before, 2_000);
    assert_eq!(closed(&mut life), [life.end()]);
    assert!(life.error().contains("nothing listens"), "{}", life.error());
}

#[test]
fn a_line_that_is_cut_again_while_a_session_starts_is_looked_at_again() {
    let mut life = Life::up();
    life.now += 40_000;
    life.complains(Word::KeepAlive);
    life.exits();
    for _ in 0..10 {
        for answers in [false, true] {
            let before = life.now;
            assert_eq!(life.waits(), [Do::Look(Look::Relay)]);
            assert!(life.now - before <= 5_000, "{}", life.now - before);
            life.hears(Heard::Looked {
                look: Look::Relay,
                answers,
            });
        }
        life.start();
        life.complains(Word::TimedOut);
        life.exits();
    }
}

#[test]
fn a_port_that_answers_without_a_session_behind_it_is_not_hammered() {
    let mut life = Life::up();
    life.waits();
    life.sees(Outcome::Closed, Some(false), false, Some(Outcome::Greets(1)));
    life.exits();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let before = life.now;
        while !life.relay.is_due() {
            if life.waits() == [Do::Look(Look::Relay)] {
                life.hears(Heard::Looked {
                    look: Look::Relay,
                    answers: true,
                });
            }
        }
        pauses.push(life.now - before);
        life.start();
        life.complains(Word::TimedOut);
        life.exits();
    }
    assert!(pauses.iter().any(|pause| *pause > 100_000), "{pauses:?}");
    assert!(pauses.iter().sum::<u64>() > 600_000, "{pauses:?}");
}

#[test]
fn other_failures_wait_longer_each_time_to_the_cap_and_not_in_step() {
    let pauses = |dice| {
        let mut life = Life::new(config());
        life.relay.dice = dice;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            life.start();
            life.complains(Word::Closed);
            life.exits();
            assert_eq!(life.state(), State::Backoff);
            let before = life.now;
            assert_eq!(life.waits(), []);
            pauses.push(life.now - before);
        }
        pauses
    };
    let seen = pauses(1);
    for (index, pause) in seen.iter().enumerate() {
        let meant = (10_000u64 << index).min(300_000);
        assert!(
            (meant * 8 / 10..=(meant * 12 / 10).min(300_000)).contains(pause),
            "{seen:?}"
        );
    }
    assert_ne!(seen, pauses(2));
}

#[test]
fn what_is_up_for_a_moment_again_and_again_waits_longer_too() {
    let mut life = Life::up();
    life.exits();
    assert_eq!(life.relay.failures, 1);
    for failures in 2..5 {
        let before = life.now;
        assert_eq!(life.waits(), [], "time, not a look");
        assert!(life.now - before >= 8_000 << (failures - 2), "{}", life.now - before);
        life.starts(FORWARD);
        life.waits();
        life.is_fine();
        life.exits();
        assert_eq!(life.relay.failures, failures);
    }
    life.waits();
    life.starts(FORWARD);
    life.waits();
    life.is_fine();
    life.waits();
    life.is_fine();
    assert_eq!(life.relay.failures, 0, "it has held for a check's time");
}

/// Who wants a check once an hour only is to be back as soon as others.
#[test]
fn a_session_is_not_called_brief_because_it_is_checked_seldom() {
    let mut life = Life::new(config::Relay {
        check: 3600,
        ..config()
    });
    life.starts(FORWARD);
    for _ in 0..5 {
        life.says(Said::Hold);
        life.waits();
        life.is_fine();
        life.now += 600_000;
        life.complains(Word::Closed);
        life.exits();
        assert_eq!((life.relay.waits_for(), life.relay.failures), (Some(Wait::Line), 1));
        life.relay_answers();
        life.starts(FORWARD);
    }
}

#[test]
fn a_target_that_is_down_leaves_the_relay_alone_until_it_greets() {
    for (direct, how) in [
        (Outcome::Refused, "refuses"),
        (Outcome::Mute, "says nothing"),
        (Outcome::Closed, "without a greeting"),
        (Outcome::Foreign("not RDP"), "not RDP"),
        (Outcome::Unreachable("no route".into()), "no route"),
    ] {
        let mut life = Life::up();
        life.waits();
        assert_eq!(
            life.sees(Outcome::Closed, Some(false), false, Some(direct)),
            [life.end()]
        );
        assert!(
            life.error().starts_with("the target 192.168.1.20:3389 is down: it "),
            "{}",
            life.error()
        );
        assert!(life.error().contains(how), "{}", life.error());
        life.exits();
        for _ in 0..20 {
            assert_eq!(life.waits(), [Do::Look(Look::Target)]);
            life.hears(Heard::Looked {
                look: Look::Target,
                answers: false,
            });
        }
        life.waits();
        life.hears(Heard::Looked {
            look: Look::Target,
            answers: true,
        });
        life.starts(FORWARD);
    }
}

#[test]
fn a_listener_that_is_somebody_elses_is_told_and_remains_are_ended() {
    let mut life = Life::up();
    life.waits();
    let doing = life.sees(Outcome::Greets(5), Some(false), false, Some(Outcome::Greets(1)));
    assert_eq!(doing, [life.end()]);
    assert!(
        life.error().contains("another program listens on port 3389"),
        "{}",
        life.error()
    );
    life.exits();
    life.waits();
    life.starts(Purpose::EndRemains);
}

#[test]
fn what_time_does_not_mend_waits_for_somebody() {
    for word in [Word::KeyRefused, Word::KeyFile, Word::HostKeyChanged] {
        let mut life = Life::new(config());
        life.start();
        let mut doing = life.complains(word);
        doing.extend(life.exits());
        assert_eq!(life.state(), State::Failed, "{word:?}");
        assert_eq!(life.relay.next_deadline(), None);
        assert_eq!(life.relay.line_changed(life.now + 60_000), []);
        assert_eq!(life.state(), State::Failed, "another line is another relay, perhaps");
        life.relay.restart(life.now);
        if life.relay.session.is_some() {
            life.exits();
        }
        life.starts(FORWARD);
    }
    for word in [Word::NotResolved, Word::Unreachable, Word::Refused, Word::Closed] {
        let mut life = Life::new(config());
        life.start();
        life.complains(word);
        life.exits();
        assert_eq!(life.state(), State::Backoff, "{word:?}");
    }
}

#[test]
fn a_client_that_asks_for_a_password_is_ended() {
    let mut life = Life::new(config());
    life.start();
    assert_eq!(life.complains(Word::KeyRefused), [life.end()]);
    assert_eq!(life.state(), State::Failed);
    life.exits();
    assert!(life.error().contains("relay script office"), "{}", life.error());
}

#[test]
fn another_host_key_is_an_alarm_and_is_shown() {
    let mut life = Life::new(config());
    life.start();
    assert_eq!(life.complains(Word::HostKeyChanged), [life.end()]);
    let ask = life.exits();
    assert_eq!(ask, [life.spawned(Purpose::AskKey)]);
    assert_eq!(life.state(), State::Failed);
    assert!(life.error().starts_with("ALARM"), "{}", life.error());
    let key = key::HostKey::parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3kRyzbSpqXFTjWF1cmFjwuUUQYCgGNAEOEyJQCgfPz")
        .unwrap();
    let session = life.session;
    let doing = life.hears(Heard::Exited {
        session,
        exit: Exit::Ended {
            how: "status 255".into(),
            told: false,
            host_key: Some(key.clone()),
        },
    });
    assert_eq!(doing, [], "asked once");
    assert_eq!(life.relay.offered(), Some(&key));
    assert_eq!(life.state(), State::Failed);
}

#[test]
fn without_a_pinned_key_nobody_logs_in() {
    let mut life = Life::new(config::Relay {
        host_key: None,
        ..config()
    });
    life.starts(Purpose::AskKey);
    // Nobody was let in, of course.
    assert_eq!(life.complains(Word::KeyRefused), []);
    let session = life.session;
    life.hears(Heard::Exited {
        session,
        exit: Exit::Ended {
            how: "status 255".into(),
            told: false,
            host_key: Some(key::HostKey::parse(KEY).unwrap()),
        },
    });
    assert_eq!(life.state(), State::Failed);
    assert!(
        life.error().contains(KEY) && life.error().contains("SHA256:"),
        "{}",
        life.error()
    );
    // Confirmed.
    life.relay.configure(config(), life.now);
    life.starts(FORWARD);
    assert_eq!(life.relay.offered(), None);
}

#[test]
fn an_account_without_the_script_has_a_tunnel_without_a_command() {
    let mut life = Life::new(config());
    life.starts(FORWARD);
    let doing = life.exits();
    assert_eq!(doing, [life.spawned(BARE)]);
    assert_eq!((life.relay.script(), life.relay.failures), (Some(false), 0));
    life.waits();
    life.is_fine();
    life.exits();
    life.relay_answers();
    life.starts(BARE);
    // It may have been installed since.
    life.complains(Word::RemotePort);
    assert_eq!(life.exits(), []);
    assert!(life.error().contains("ClientAliveInterval 15"), "{}", life.error());
    life.waits();
    life.starts(FORWARD);
}

#[test]
fn a_port_that_is_taken_is_freed_once() {
    let mut life = Life::new(config());
    life.starts(FORWARD);
    life.complains(Word::RemotePort);
    let doing = life.exits();
    assert_eq!(doing, [life.spawned(Purpose::EndRemains)]);
    life.says(Said::Nothing);
    let doing = life.exits();
    assert_eq!(doing, [life.spawned(FORWARD)]);
    life.complains(Word::RemotePort);
    assert_eq!(life.exits(), []);
    assert_eq!(life.state(), State::Backoff);
    assert!(life.error().contains("taken by another program"), "{}", life.error());
}

/// The script there, asked by this one, would end the other's session.
#[test]
fn a_relay_behind_another_with_its_key_leaves_that_ones_sessions_alone() {
    let mut life = Life::new(config());
    life.relay.stands_behind(Some("home".into()));
    life.starts(BARE);
    life.complains(Word::RemotePort);
    assert_eq!(life.exits(), []);
    assert!(life.error().contains("relay 'home'"), "{}", life.error());
    // On a server that lets it have its port.
    life.waits();
    life.starts(BARE);
    life.waits();
    life.is_fine();
    life.waits();
    life.sees(Outcome::Mute, Some(false), true, Some(Outcome::Greets(1)));
    life.exits();
    life.relay_answers();
    life.starts(BARE);
    // A key of its own is another configuration.
    life.relay.stands_behind(None);
    assert_eq!(life.relay.restart(life.now), [life.end()]);
    life.exits();
    life.starts(FORWARD);
}

/// The home is read-only, say, or has no room for a file.
#[test]
fn a_session_that_the_script_could_not_note_is_not_called_another_program() {
    let mut life = Life::up();
    life.says(Said::Unrecorded("no file can be made".into()));
    life.now += 40_000;
    life.exits();
    life.relay_answers();
    life.starts(FORWARD);
    life.complains(Word::RemotePort);
    assert_eq!(life.exits(), [life.spawned(Purpose::EndRemains)]);
    life.says(Said::Nothing);
    assert_eq!(life.exits(), [life.spawned(FORWARD)]);
    life.complains(Word::RemotePort);
    assert_eq!(life.exits(), []);
    assert!(
        life.error().contains("previous session") && life.error().contains("(no file can be made)"),
        "{}",
        life.error()
    );
    assert!(life.error().contains("ClientAliveInterval 15"), "{}", life.error());
    // Now it can.
    life.waits();
    life.starts(FORWARD);
    life.says(Said::Hold);
    assert!(life.relay.unrecorded.is_some(), "it is about the one before");
    life.waits();
    life.is_fine();
    assert_eq!(life.relay.unrecorded, None);
}

#[test]
fn remains_that_cannot_be_ended_are_told_with_the_servers_settings() {
    let mut life = Life::new(config());
    life.starts(FORWARD);
    life.complains(Word::RemotePort);
    life.exits();
    life.says(Said::Refused("process 7 (dropbear) is not this account's".into()));
    assert_eq!(life.exits(), []);
    assert!(life.error().contains("process 7 (dropbear)"), "{}", life.error());
    assert!(life.error().contains("-K 15"), "{}", life.error());
}

#[test]
fn another_way_out_starts_at_once_and_checks_what_is_up() {
    let mut life = Life::up();
    let hurry = life.relay.line_changed(life.now);
    assert!(matches!(hurry.as_slice(), [Do::Check { patience: 3, .. }]), "{hurry:?}");
    life.sees(Outcome::Mute, Some(false), true, Some(Outcome::Greets(1)));
    life.exits();
    life.now += 5_000;
    assert_eq!(life.relay.line_changed(life.now), []);
    life.starts(Purpose::EndRemains);
    // But not ever so often: it is looked at soon instead.
    life.complains(Word::Unreachable);
    life.relay.line_changed(life.now + 100);
    life.exits();
    assert!(!life.relay.is_due());
    let before = life.now;
    assert_eq!(life.waits(), [Do::Look(Look::Relay)]);
    assert_eq!(life.now - before, 500);
}

#[test]
fn a_check_that_was_under_way_when_the_line_changed_proves_nothing() {
    let mut life = Life::up();
    life.waits();
    assert_eq!(life.relay.line_changed(life.now), []);
    let again = |life: &Life| Do::Check {
        session: life.session,
        patience: 3,
    };
    assert_eq!(life.is_fine(), [again(&life)]);
    assert_eq!(life.is_fine(), [], "once");
    // The same while it starts.
    let mut life = Life::new(config());
    life.starts(FORWARD);
    life.waits();
    assert_eq!(life.relay.line_changed(life.now), []);
    assert_eq!(life.is_fine(), [Do::Look(Look::Outside), again(&life)]);
}

#[test]
fn a_key_that_was_taken_before_is_not_given_up_at_once() {
    let mut life = Life::up();
    life.now += 40_000;
    life.exits();
    life.relay_answers();
    for _ in 0..4 {
        life.starts(FORWARD);
        life.complains(Word::KeyRefused);
        life.exits();
        assert_eq!(life.state(), State::Backoff);
        life.waits();
    }
    life.starts(FORWARD);
    life.complains(Word::KeyRefused);
    life.exits();
    assert_eq!(life.state(), State::Failed);
}

#[test]
fn a_script_that_does_not_hold_is_as_good_as_none() {
    let mut life = Life::new(config());
    life.starts(FORWARD);
    life.says(Said::Refused("authorized_keys has no port for it".into()));
    let doing = life.exits();
    assert_eq!(doing, [life.spawned(BARE)]);
    // A check may have come through before the command's end did.
    let mut life = Life::new(config());
    life.starts(FORWARD);
    life.waits();
    life.is_fine();
    let doing = life.exits();
    assert_eq!(doing, [life.spawned(BARE)]);
}

#[test]
fn failures_from_before_the_line_was_gone_do_not_count_after_it() {
    let mut life = Life::new(config());
    for _ in 0..6 {
        life.starts(FORWARD);
        life.complains(Word::Closed);
        life.exits();
        life.waits();
    }
    life.starts(FORWARD);
    life.complains(Word::Unreachable);
    life.exits();
    for answers in [false, true] {
        life.waits();
        life.hears(Heard::Looked {
            look: Look::Relay,
            answers,
        });
    }
    life.starts(FORWARD);
    life.complains(Word::Closed);
    life.exits();
    let before = life.now;
    life.waits();
    assert!(life.now - before <= 24_000, "{}", life.now - before);
}

#[test]
fn a_client_that_does_not_go_is_not_waited_for_and_not_listened_to() {
    let mut life = Life::up();
    let old = life.session;
    assert_eq!(life.relay.restart(life.now), [Do::End { session: old }]);
    assert_eq!(life.relay.restart(life.now), [], "told once");
    life.waits();
    life.starts(FORWARD);
    assert_ne!(life.session, old);
    let late = Heard::Exited {
        session: old,
        exit: Exit::Unfit("late".into()),
    };
    assert_eq!(life.hears(late), []);
    assert_eq!((life.state(), life.relay.error()), (State::Starting, None));
}

#[test]
fn a_start_that_comes_to_nothing_ends() {
    let mut life = Life::new(config());
    life.starts(FORWARD);
    let begun = life.now;
    loop {
        let doing = life.waits();
        if doing == [life.end()] {
            break;
        }
        assert_eq!(doing, [life.check()]);
        assert_eq!(life.sees(Outcome::Refused, None, false, Some(Outcome::Greets(1))), []);
    }
    assert_eq!(life.now - begun, 30_000);
    life.exits();
    assert_eq!(life.state(), State::Backoff);
}

/// dropbear's client says nothing of a connection that was refused.
#[test]
fn a_relay_that_opens_nothing_to_checks_is_told_from_one_that_lets_nobody_in() {
    let mut life = Life::new(config());
    life.starts(FORWARD);
    while life.waits() != [life.end()] {
        assert_eq!(
            life.sees(Outcome::Closed, Some(false), false, Some(Outcome::Greets(1))),
            []
        );
    }
    life.exits();
    assert_eq!(
        (life.state(), life.relay.waits_for()),
        (State::Backoff, Some(Wait::Time))
    );
    assert!(life.error().contains("permitopen"), "{}", life.error());
}

#[test]
fn a_relay_that_does_not_let_itself_be_checked_says_what_is_missing() {
    let mut life = Life::new(config());
    life.starts(FORWARD);
    life.waits();
    life.complains(Word::Prohibited);
    life.sees(Outcome::Closed, Some(false), false, Some(Outcome::Greets(1)));
    assert_eq!(life.state(), State::Failed);
    assert!(life.error().contains("permitopen"), "{}", life.error());
}

mod random {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Time,
        Later(u64),
        Looked(bool),
        Exited,
        NotStarted(bool),
        Complained(Word),
        Said(Said),
        Fine,
        Sight(Outcome, Option<bool>, bool, Outcome),
        Restart,
        OtherLine,
        Enabled(bool),
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            any::<u32>().prop_map(Outcome::Greets),
            Just(Outcome::Mute),
            Just(Outcome::Closed),
            Just(Outcome::Foreign("x")),
            Just(Outcome::Refused),
            Just(Outcome::Unreachable("x".into())),
        ]
    }

    fn word() -> impl Strategy<Value = Word> {
        prop_oneof![
            Just(Word::Option),
            Just(Word::Target),
            Just(Word::NotOpened),
            Just(Word::Prohibited),
            Just(Word::Closed),
            Just(Word::KeepAlive),
            Just(Word::Unreachable),
            Just(Word::TimedOut),
            Just(Word::Refused),
            Just(Word::NotResolved),
            Just(Word::LocalPort),
            Just(Word::RemotePort),
            Just(Word::KeyRefused),
            Just(Word::KeyFile),
            Just(Word::HostKeyUnknown),
            Just(Word::HostKeyChanged),
        ]
    }

    fn said() -> impl Strategy<Value = Said> {
        prop_oneof![
            Just(Said::Hold),
            Just(Said::Unrecorded("x".into())),
            Just(Said::Ended),
            Just(Said::Nothing),
            Just(Said::Refused("x".into())),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Time),
            2 => (0..400_000u64).prop_map(Step::Later),
            2 => any::<bool>().prop_map(Step::Looked),
            3 => Just(Step::Exited),
            1 => any::<bool>().prop_map(Step::NotStarted),
            2 => word().prop_map(Step::Complained),
            2 => said().prop_map(Step::Said),
            3 => Just(Step::Fine),
            2 => (outcome(), proptest::option::of(any::<bool>()), any::<bool>(), outcome()).prop_map(|(a, b, c, d)| Step::Sight(a, b, c, d)),
            1 => Just(Step::Restart),
            1 => Just(Step::OtherLine),
            1 => any::<bool>().prop_map(Step::Enabled),
        ]
    }

    /// A life, and what the outside knows of it.
    struct World {
        life: Life,
        running: Vec<u64>,
        told: Vec<u64>,
        checks: usize,
        looks: Vec<Look>,
        /// When tunnels were begun by the relay's own decision.
        begun: Vec<u64>,
    }

    impl World {
        fn takes(&mut self, doing: Vec<Do>, by_itself: bool) {
            for one in self.life.note(doing) {
                match one {
                    Do::Spawn { session, purpose } => {
                        assert!(!self.running.contains(&session), "a number twice");
                        self.running.push(session);
                        if by_itself && matches!(purpose, Purpose::Forward { .. }) {
                            self.begun.push(self.life.now);
                        }
                    }
                    Do::End { session } => {
                        assert!(!self.told.contains(&session), "told twice");
                        self.told.push(session);
                    }
                    Do::Check { session, .. } => {
                        assert_eq!(session, self.life.session);
                        self.checks += 1;
                    }
                    Do::Look(look) => self.looks.push(look),
                }
            }
            // Whoever still runs, but for the current one, was told to end.
            for session in &self.running {
                assert!(
                    *session == self.life.session || self.told.contains(session),
                    "{session} was forgotten"
                );
            }
        }

        fn does(&mut self, step: Step) {
            let session = self.life.session;
            let now = self.life.now;
            let doing = match step {
                Step::Time => match self.life.relay.next_deadline() {
                    Some(due) => {
                        self.life.now = due.max(now);
                        self.life.relay.deadline(self.life.now)
                    }
                    None => Vec::new(),
                },
                Step::Later(by) => {
                    self.life.now = now + by;
                    self.life.relay.deadline(self.life.now)
                }
                Step::Looked(answers) => match self.looks.pop() {
                    Some(look) => self.life.hears(Heard::Looked { look, answers }),
                    None => Vec::new(),
                },
                Step::Exited => match self.running.pop() {
                    Some(session) => self.life.hears(Heard::Exited {
                        session,
                        exit: Exit::Ended {
                            how: "status 1".into(),
                            told: false,
                            host_key: None,
                        },
                    }),
                    None => Vec::new(),
                },
                Step::NotStarted(lasting) => match self.running.pop() {
                    Some(session) if lasting => self.life.hears(Heard::Exited {
                        session,
                        exit: Exit::Unfit("x".into()),
                    }),
                    Some(session) => self.life.hears(Heard::Exited {
                        session,
                        exit: Exit::NotStarted("x".into()),
                    }),
                    None => Vec::new(),
                },
                Step::Complained(word) => self.life.complains(word),
                Step::Said(said) => self.life.hears(Heard::Said { session, said }),
                Step::Fine if self.checks > 0 => {
                    self.checks = 0;
                    self.life.is_fine()
                }
                Step::Sight(through, reached, line, direct) if self.checks > 0 => {
                    self.checks = 0;
                    self.life.sees(through, reached, line, Some(direct))
                }
                Step::Fine | Step::Sight(..) => Vec::new(),
                Step::Restart => {
                    self.begun.clear();
                    self.life.relay.restart(now)
                }
                Step::OtherLine => self.life.relay.line_changed(now),
                Step::Enabled(enabled) => {
                    self.begun.clear();
                    let config = config::Relay { enabled, ..config() };
                    self.life.relay.configure(config, now)
                }
            };
            self.takes(doing, true);
            if self.life.relay.is_due() {
                let doing = self.life.relay.start(self.life.now);
                self.takes(doing, true);
            }
        }

        fn holds(&self) {
            let relay = &self.life.relay;
            let waits = relay.next_deadline().is_some() || relay.is_checking() || !self.looks.is_empty();
            match relay.state() {
                State::Idle => assert!(!relay.config.enabled || relay.next_deadline().is_some()),
                State::Starting | State::Up | State::Backoff => assert!(waits, "nothing is waited for: {relay:?}"),
                State::Failed => assert!(relay.error().is_some()),
            }
            assert!(relay.is_up() || relay.error().is_some() || relay.state() != State::Backoff);
            // Two in a row for an account that turns out to have no script, and one more after each look: never a storm.
            for window in self.begun.windows(12) {
                assert!(window[11] - window[0] >= 5_000, "{:?}", self.begun);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn whatever_happens_it_goes_on_and_does_not_hammer(steps in proptest::collection::vec(step(), 1..120)) {
            let mut world = World {
                life: Life::new(config()),
                running: Vec::new(),
                told: Vec::new(),
                checks: 0,
                looks: Vec::new(),
                begun: Vec::new(),
            };
            let doing = world.life.relay.start(1_000);
            world.takes(doing, true);
            for step in steps {
                world.does(step);
                world.holds();
            }
        }
    }
}
