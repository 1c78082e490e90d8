//! What is done, chosen by dice: people's calls, strangers' packets, faults and their ends.

mod faults;
mod people;
mod strangers;

use crate::judge::{self, Book};
use crate::model::{Model, Truth};
use crate::scene::{outsider, Health, Line, Scene, OUTSIDERS};
use faults::End;
use lanward_rig::house::FAMILIES;
use lanward_rig::knock::Dice;
use serde_json::Value;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Something that can be done: how often beside the others, when it can be, and how.
pub struct Act(usize, fn(&Play) -> bool, fn(&mut Play));

/// Whether the daemon may be ended now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killing {
    Allowed,
    Spared,
}

pub struct Play {
    pub scene: Scene,
    pub model: Model,
    pub book: Book,
    pub dice: Dice,
    killing: Killing,
    /// By which step which fault ends.
    ends: Vec<(u64, End)>,
    /// The last packet of a key's that was accepted.
    packet: Option<Vec<u8>>,
    /// Attempts that the ledger knows of.
    attempts: u64,
    /// When the daemon was killed, and when the table was lost, lately.
    killed: Option<Instant>,
    lost: Option<Instant>,
    /// How many daemons there were before.
    pub restarts: u64,
}

impl Play {
    pub fn new(scene: Scene, model: Model, book: Book) -> Self {
        let dice = Dice::from(book.seed);
        Self {
            scene,
            model,
            book,
            dice,
            killing: Killing::Spared,
            ends: Vec::new(),
            packet: None,
            attempts: 0,
            killed: None,
            lost: None,
            restarts: 0,
        }
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.dice.below(all.len())]
    }

    fn number(&mut self, limit: usize) -> u64 {
        u64::try_from(self.dice.below(limit)).expect("small")
    }

    fn someone(&mut self) -> IpAddr {
        let family = self.one_of(&FAMILIES);
        outsider(family, u16::try_from(self.dice.below(OUTSIDERS.into())).expect("few"))
    }

    /// A step: what is due ends, something is done, everything is looked at.
    pub fn step(&mut self, killing: Killing) {
        self.book.step += 1;
        self.killing = killing;
        self.model.tidy();
        let step = self.book.step;
        let (due, left): (Vec<_>, Vec<_>) = self.ends.drain(..).partition(|(at, _)| *at <= step);
        self.ends = left;
        for (_, end) in due {
            self.end(end);
        }
        let acts = || [people::ACTS, strangers::ACTS, faults::ACTS].into_iter().flatten();
        let all: usize = acts().map(|act| act.0).sum();
        loop {
            let mut left = self.dice.below(all);
            let chosen = acts().find(|act| {
                let found = left < act.0;
                left = left.saturating_sub(act.0);
                found
            });
            let Act(_, may, play) = chosen.expect("it is below the sum");
            if may(self) {
                play(self);
                break;
            }
        }
        judge::look(&self.scene, &mut self.model, &mut self.book, &mut self.dice);
    }

    /// Every fault ends.
    pub fn heal(&mut self) {
        let mut ends: Vec<End> = self.ends.drain(..).map(|(_, end)| end).collect();
        // The bus before the daemon, which is waited for.
        ends.sort_by_key(|end| *end != End::Bus);
        for end in ends {
            self.end(end);
        }
        self.scene.subscribers.clear();
    }

    /// It is so many steps from now, at most.
    fn later(&mut self, end: End, steps: usize) {
        let at = self.book.step + 1 + self.number(steps);
        self.ends.push((at, end));
    }

    fn check(&mut self, promise: &'static str, held: bool, seen: impl FnOnce() -> String) {
        self.book.check(&self.scene, promise, held, seen);
    }

    /// Calls; what it answers, where that is no error. Everything else is a promise missed.
    fn ask(&mut self, method: &str, arguments: &Value) -> Option<Value> {
        match self.scene.ask(method, arguments) {
            Ok((reply, took)) if reply.get("error").is_none() => {
                self.book.took("any call, answered", took);
                self.check("a call is answered", true, String::new);
                Some(reply)
            }
            other => {
                self.check("a call is answered", false, || {
                    format!("{method} {arguments}: {other:?}")
                });
                None
            }
        }
    }

    /// The same, where an answer with these words for an error is as good; whether it was either.
    fn ask_or(&mut self, method: &str, arguments: &Value, excuse: Option<&str>) -> bool {
        let Some(excuse) = excuse else {
            return self.ask(method, arguments).is_some();
        };
        let answer = self.scene.ask(method, arguments);
        let fine = answer.as_ref().is_ok_and(|(reply, _)| {
            let error = reply["error"].as_str();
            error.is_none_or(|error| error.contains(excuse))
        });
        self.check("what may not be possible is done, or refused in words", fine, || {
            format!("{method} {arguments}: {answer:?}")
        });
        fine
    }

    /// As often as not, what was just done is looked at from outside.
    fn visit(&mut self, who: IpAddr) {
        if self.dice.below(2) == 0 {
            judge::gate(&self.scene, &mut self.model, &mut self.book, who);
        }
    }

    fn answers(&self) -> bool {
        self.scene.answers()
    }

    fn is_up(&self) -> bool {
        self.scene.daemon_is == Health::Up
    }

    fn is_connected(&self) -> bool {
        self.scene.wan_is_in
    }

    /// New flows out of the range get out, and answers come back.
    fn has_flows(&self) -> bool {
        self.answers() && self.is_connected() && self.scene.has_fw4 && self.model.drops() == Truth::No
    }

    fn has_relay(&self) -> bool {
        self.scene.relay_is == Line::Fine
    }
}

/// Packets that were sent have been dealt with.
fn arrived() {
    std::thread::sleep(Duration::from_millis(30));
}
