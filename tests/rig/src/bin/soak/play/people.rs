//! What people do: switch, pause, reload, admit, ask, listen.

use super::{Act, Play};
use crate::judge;
use crate::model::{Truth, FORGETS, LEVELS, REFUSALS, WINDOWS};
use crate::scene::{beside, Health, Part, PATIENCE};
use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::probe::{now, within};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

pub const ACTS: &[Act] = &[
    Act(12, Play::answers, Play::turn),
    Act(4, Play::has_flows, Play::turn_under_way),
    Act(5, Play::answers, Play::pause),
    Act(4, Play::answers, Play::resume),
    Act(8, Play::answers, Play::reload),
    Act(4, Play::answers, Play::wrong_reload),
    Act(3, Play::is_up, Play::hang_up),
    Act(8, Play::answers, Play::admit),
    Act(4, Play::answers, Play::remove),
    Act(2, Play::answers, Play::flush),
    Act(12, Play::answers, Play::question),
    Act(2, Play::answers, Play::commit),
    Act(
        1,
        |play| play.has_relay() && play.answers(),
        |play| {
            play.book.did("relay_restart", "");
            play.ask("relay_restart", &json!({ "name": "office" }));
        },
    ),
    Act(5, |play| play.scene.bus_is == Health::Up, Play::subscribe),
    Act(6, |_| true, |play| play.book.did("nothing", "")),
];

impl Play {
    fn turn(&mut self) {
        let (on, persist) = (self.dice.below(2) == 0, self.dice.below(2) == 0);
        let position = if on { "on" } else { "off" };
        self.book.did("switch", &format!("{position}, saved: {persist}"));
        self.turn_to(on, persist);
    }

    fn turn_to(&mut self, on: bool, persist: bool) {
        let arguments = json!({ "enabled": on, "persist": persist });
        if self.ask("lan_only", &arguments).is_some() {
            self.model.turned(on, persist);
        }
    }

    /// Switched on while flows are under way, in the range and beside it.
    fn turn_under_way(&mut self) {
        let family = self.one_of(&FAMILIES);
        self.book.did("switch on, flows under way", &family.to_string());
        let way = self.scene.house.way_out(family);
        let pace = Duration::from_millis(5);
        let (doomed, spared) = (way.udp_sessions(50_000, 4, pace), way.udp_sessions(443, 1, pace));
        let call = now();
        self.turn_to(true, false);
        let stopped = doomed.stopped(Duration::from_millis(250), PATIENCE);
        if let Some(last) = stopped {
            let after = Duration::from_nanos(last.saturating_sub(call));
            self.book
                .took("flows under way, from the call to the last packet", after);
        }
        self.check("flows under way stop when it is switched on", stopped.is_some(), || {
            format!("{family}: {:?}", doomed.tally())
        });
        let goes_on = within(PATIENCE, || spared.goes_on());
        self.check("a flow beside the range goes on", goes_on, || {
            format!("{family}: {:?}", spared.tally())
        });
    }

    fn reload(&mut self) {
        let before = self.model.settings;
        match self.dice.below(5) {
            0 => self.model.settings.level = self.one_of(&LEVELS),
            1 => {
                let window = self.one_of(&WINDOWS);
                self.model.set_window(window);
            }
            2 => self.model.settings.forget = self.one_of(&FORGETS),
            3 => self.model.settings.refuse = self.one_of(&REFUSALS),
            _ => {
                let saved = self.dice.below(2) == 0;
                self.model.configured(saved);
            }
        }
        let now = self.model.settings;
        self.book
            .did("reload", &format!("{now:?}, switch {}", self.model.saved));
        self.read_again(if before == now { "the same" } else { "changed" });
    }

    /// Writes the file as it is to be, and has it read.
    fn read_again(&mut self, what: &str) {
        self.scene.house.configure(&self.scene.config(&self.model));
        let began = Instant::now();
        if let Some(reply) = self.ask("reload", &json!({})) {
            self.book.took("reload", began.elapsed());
            let fine = reply["applied"] == json!(true) && reply["problems"] == json!([]);
            self.check("a right configuration is applied", fine, || format!("{what}: {reply}"));
        }
    }

    /// A reload without the bus, as an init script may ask for it.
    fn hang_up(&mut self) {
        self.model.settings.level = self.one_of(&LEVELS);
        let (level, low) = self.model.settings.level;
        self.book.did("SIGHUP", level);
        self.scene.house.configure(&self.scene.config(&self.model));
        self.scene.daemon.hang_up();
        let began = Instant::now();
        let read = if self.scene.answers() {
            within(PATIENCE, || {
                let status = self.scene.ask("status", &json!({}));
                status.is_ok_and(|(status, _)| status["lan_only"]["level"] == json!(level))
            })
        } else if self.scene.wan_is_in && self.model.drops() == Truth::Yes {
            let is_dropped = |port| judge::is_dropped(&self.scene, Family::V4, port);
            within(PATIENCE, || is_dropped(low) && !is_dropped(low - 1))
        } else {
            std::thread::sleep(Duration::from_secs(1));
            return;
        };
        self.book.took("SIGHUP, until it holds", began.elapsed());
        self.check("a SIGHUP has the configuration read", read, || level.to_owned());
    }

    fn wrong_reload(&mut self) {
        let right = self.scene.config(&self.model);
        let window = format!("option window '{}'", self.model.settings.window);
        let wrong = [
            (window.as_str(), "option window '5 minuts'"),
            ("list service 'tcp:22'", "list service 'tcp:22x'"),
            ("option level '", "option level 'very "),
            ("option gate 'ssh'", "option gate 'telnet'"),
            ("config lan_only 'lan_only'", "config lan_only 'lan_only"),
        ];
        let (from, to) = self.one_of(&wrong);
        self.book.did("reload, wrong", to);
        self.scene.house.configure(&right.replacen(from, to, 1));
        if let Ok((reply, _)) = self.scene.ask("reload", &json!({})) {
            let named = reply["problems"]
                .as_array()
                .is_some_and(|problems| !problems.is_empty());
            self.check("a wrong configuration is named", named, || format!("{to}: {reply}"));
        }
        judge::switch(&self.scene, &self.model, &mut self.book, &mut self.dice);
        let who = self.someone();
        judge::gate(&self.scene, &mut self.model, &mut self.book, who);
        self.read_again("right again");
    }

    fn question(&mut self) {
        let questions = [
            ("history", json!({ "by": "hour" })),
            ("history", json!({ "by": "month" })),
            ("history", json!({ "by": "port", "limit": 20 })),
            ("history", json!({ "by": "source", "limit": 20 })),
            ("check", json!({})),
            ("preview", json!({})),
            ("ledger_recent", json!({})),
            ("knock_list", json!({})),
            ("spa_list", json!({})),
            ("relay_list", json!({})),
            ("gate_list", json!({})),
        ];
        let (method, arguments) = &questions[self.dice.below(questions.len())];
        self.book.did("asked", &format!("{method} {arguments}"));
        if *method == "gate_list" {
            return judge::gate_list(&self.scene, &self.model, &mut self.book);
        }
        self.ask(method, arguments);
    }

    /// Subscribers come, go, and do not read.
    fn subscribe(&mut self) {
        let all = self.scene.subscribers.len();
        if all > 0 && (all > 5 || self.dice.below(2) == 0) {
            self.book.did("subscriber", "goes");
            let which = self.dice.below(all);
            drop(self.scene.subscribers.remove(which));
            return;
        }
        let socket = self.scene.socket().display().to_string();
        let part = Part::start(&beside("lanward-ubus"), &["-s", &socket, "subscribe", "lanward"]);
        let reads = self.dice.below(2) == 0;
        self.book
            .did("subscriber", if reads { "comes" } else { "comes and does not read" });
        if !reads {
            std::thread::sleep(Duration::from_millis(100));
            part.signal(Signal::SIGSTOP);
        }
        self.scene.subscribers.push(part);
    }

    fn pause(&mut self) {
        self.book.did("pause", "");
        let on = self.model.on;
        let excuse = (!on).then_some("nothing to pause");
        if self.ask_or("pause", &json!({ "minutes": 1 }), excuse) && on {
            self.model.paused(60);
        }
    }

    fn resume(&mut self) {
        self.book.did("resume", "");
        if self.ask("resume", &json!({})).is_some() {
            self.model.resumed();
        }
    }

    fn admit(&mut self) {
        let (who, seconds) = (self.someone(), 5 + self.number(60));
        self.book.did("admit", &format!("{who} for {seconds} s"));
        let arguments = json!({ "gate": "ssh", "address": who.to_string(), "seconds": seconds });
        if self.ask("gate_admit", &arguments).is_some() {
            self.model.granted(who, seconds);
        }
        self.visit(who);
    }

    fn remove(&mut self) {
        let who = self.someone();
        self.book.did("remove", &who.to_string());
        let excuse = (self.model.is_listed(who) != Truth::Yes).then_some("is not listed");
        let arguments = json!({ "gate": "ssh", "address": who.to_string() });
        if self.ask_or("gate_remove", &arguments, excuse) {
            self.model.removed(who);
        }
        self.visit(who);
    }

    fn flush(&mut self) {
        self.book.did("flush", "");
        if self.ask("gate_flush", &json!({ "gate": "ssh" })).is_some() {
            self.model.flushed();
        }
    }

    fn commit(&mut self) {
        self.book.did("ledger_commit", "");
        let excuse = self.scene.is_full.then_some("No space left on device");
        self.ask_or("ledger_commit", &json!({}), excuse);
    }
}
