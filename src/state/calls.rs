//! What a bus call leads to, step by step: the kernel first, then the running flows, then the file, then the answer.

use super::{Kernel, Override, State};
use crate::event::{Action, CallId, Now, Reading, Reply, Then, Turned};
use crate::gather::GatherInto;
use crate::json::{self, json};
use crate::report;
use crate::system::ubus::Status;
use log::Level;
use serde_json::{Map, Value};
use std::rc::Rc;

/// A week. What is longer is no pause.
pub(crate) const LONGEST_PAUSE_MINUTES: i64 = 7 * 24 * 60;
/// The same in milliseconds.
pub(super) const LONGEST_PAUSE: u64 = 7 * 24 * 60 * 60_000;

impl State {
    pub(super) fn call(&mut self, id: CallId, method: &str, arguments: &Map<String, Value>, now: Now) -> Vec<Action> {
        let mut actions = Vec::from_iter(self.look_now());
        actions.extend(self.begin(id, method, arguments, now));
        actions
    }

    fn begin(&mut self, id: CallId, method: &str, arguments: &Map<String, Value>, now: Now) -> Vec<Action> {
        match method {
            "status" => vec![self.read_action(id, Reply::Status)],
            "lan_only" => self.call_lan_only(id, arguments),
            "pause" => self.call_pause(id, arguments),
            "resume" => vec![Action::Pause {
                seconds: 0,
                call: Some(id),
            }],
            "gate_list" | "gate_admit" | "gate_remove" | "gate_flush" => self.call_gate(id, method, arguments),
            "spa_keygen" | "spa_revoke" => self.call_spa(id, method, arguments),
            "spa_list" => vec![Action::Answer(id, Ok(self.spa_list()))],
            "knock_list" => vec![Action::Answer(id, Ok(self.knock_list(now)))],
            "history" | "ledger_recent" | "ledger_commit" | "ledger_erase" | "ledger_import" => {
                self.call_ledger(id, method, arguments)
            }
            "relay_list" | "relay_restart" | "relay_check" | "relay_keygen" | "relay_files" => {
                self.call_relay(id, method, arguments, now)
            }
            "preview" => self.call_preview(id),
            "check" => vec![Action::Diagnose { call: id }],
            "reload" => vec![Action::ReadConfig(Some(id))],
            _ => vec![Action::Answer(id, Err(Status::MethodNotFound))],
        }
    }

    fn call_lan_only(&mut self, id: CallId, arguments: &Map<String, Value>) -> Vec<Action> {
        let Some(on) = arguments.get("enabled").and_then(Value::as_bool) else {
            return vec![Action::Answer(id, Err(Status::InvalidArgument))];
        };
        let persist = arguments.get("persist").and_then(Value::as_bool).unwrap_or(true);
        let then = Then {
            call: Some(id),
            turned: Some(Turned { on, persist }),
            error: None,
        };
        vec![Action::Switch {
            element: on || self.config.lan_only.observe,
            then,
        }]
    }

    /// Whatever the switch, the pause and the hours say now: what turning it on would end.
    fn call_preview(&self, call: CallId) -> Vec<Action> {
        match self.cut_scope() {
            Some(scope) => vec![Action::Preview { scope, call }],
            None => {
                let error = "there is no policy yet that could end anything";
                vec![Action::Answer(call, Ok(json!({ "error": error })))]
            }
        }
    }

    fn call_pause(&mut self, id: CallId, arguments: &Map<String, Value>) -> Vec<Action> {
        let Some(minutes) = arguments.get("minutes").and_then(Value::as_i64) else {
            return vec![Action::Answer(id, Err(Status::InvalidArgument))];
        };
        let error = match minutes {
            1..=LONGEST_PAUSE_MINUTES if self.on() => {
                let seconds = u32::try_from(minutes.saturating_mul(60)).unwrap_or(u32::MAX);
                return vec![Action::Pause {
                    seconds,
                    call: Some(id),
                }];
            }
            1..=LONGEST_PAUSE_MINUTES => "LAN-only is off: there is nothing to pause".to_string(),
            _ => format!("minutes: {minutes} is not between 1 and {LONGEST_PAUSE_MINUTES}"),
        };
        vec![self.read_action(id, Reply::LanOnly(Some(error)))]
    }

    pub(super) fn read_action(&self, call: CallId, reply: Reply) -> Action {
        Action::Read {
            call,
            reply,
            table: self.wanted.clone(),
        }
    }

    /// The switch's element is in or out. If the kernel refused it, the table as a whole is wanted with it.
    pub(super) fn switched(&mut self, result: Result<(), String>, then: Then, now: Now) -> Vec<Action> {
        let Some(turned) = then.turned else { return Vec::new() };
        let was_paused = self.pause_until.take().is_some();
        // Until the file says so, too, this is what makes it last.
        self.unsaved = Some(Override {
            on: turned.on,
            configured: self.config.lan_only.enabled,
        })
        .filter(|unsaved| unsaved.on != unsaved.configured);
        self.lay_out();
        let mut actions = Vec::new();
        if was_paused {
            actions.push(Action::Log(Level::Info, "pause over: the switch was turned".into()));
            actions.push(Action::Notify("pause", json!({ "seconds": 0 })));
        }
        if let Err(error) = result {
            actions.push(Action::Log(
                Level::Warn,
                format!("switch: {error}; applying the whole table"),
            ));
            self.kernel = Kernel::Lost;
            actions.gather(self.wanted.clone().map(Action::Apply));
        }
        match self.cut_action(now, then.clone()) {
            Some(cut) => actions.push(cut),
            None => actions.extend(self.cut(0, None, then)),
        }
        actions
    }

    /// Running flows are gone: all, unless there is an error.
    pub(super) fn cut(&mut self, flows: u32, error: Option<String>, mut then: Then) -> Vec<Action> {
        let mut actions = Vec::new();
        self.flows_cut = if then.turned.is_some() {
            flows
        } else {
            self.flows_cut.saturating_add(flows)
        };
        if flows > 0 {
            actions.push(Action::Log(Level::Info, format!("{flows} running flows ended")));
        }
        if let Some(error) = error {
            let error = format!("running flows could not be ended: {error}");
            actions.push(Action::Log(Level::Error, error.clone()));
            then.error = Some(error);
        }
        actions.extend(self.save(then));
        actions
    }

    fn save(&mut self, then: Then) -> Vec<Action> {
        match then.turned {
            // Whatever was accepted: the file may have been changed since, or refused, and is what the next boot reads.
            Some(Turned { on, persist: true }) => vec![Action::Save { enabled: on, then }],
            _ => self.settle(then),
        }
    }

    pub(super) fn saved(&mut self, result: Result<(), String>, mut then: Then) -> Vec<Action> {
        let Some(turned) = then.turned else { return Vec::new() };
        let mut actions = Vec::new();
        match result {
            Ok(()) => {
                for config in [Some(&mut self.config), self.candidate.as_mut()].into_iter().flatten() {
                    config.lan_only.enabled = turned.on;
                }
                self.unsaved = None;
            }
            Err(error) => {
                let error = format!("the switch holds until the router restarts; it could not be saved: {error}");
                actions.push(Action::Log(Level::Error, error.clone()));
                then.error.get_or_insert(error);
            }
        }
        actions.extend(self.settle(then));
        actions
    }

    /// The end of the chain: notes, notification, log, answer.
    fn settle(&mut self, then: Then) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(turned) = then.turned {
            let saved = if self.unsaved.is_some() {
                "until the router restarts"
            } else {
                "saved"
            };
            let word = if turned.on { "on" } else { "off" };
            actions.push(Action::Log(
                Level::Info,
                format!("LAN-only remote desktop: {word} ({saved})"),
            ));
            let data = json!({ "enabled": turned.on, "persist": self.unsaved.is_none(), "flows_cut": self.flows_cut });
            actions.push(Action::Notify("lan_only", data));
            actions.push(Action::WriteRunState(self.unsaved.map(Override::encode)));
            actions.gather(
                self.wanted
                    .as_ref()
                    .map(|wanted| Action::WriteScript(Rc::clone(wanted))),
            );
        }
        if let Some(call) = then.call {
            actions.push(self.read_action(call, Reply::LanOnly(then.error)));
        }
        actions
    }

    pub(super) fn paused(
        &mut self,
        seconds: u32,
        result: Result<(), String>,
        call: Option<CallId>,
        now: Now,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let error = match result {
            Ok(()) => {
                let was_paused = self.pause_until.take().is_some();
                if seconds > 0 {
                    self.pause_until = Some(now.monotonic.saturating_add(u64::from(seconds) * 1000));
                }
                if seconds > 0 || was_paused {
                    actions.extend(self.tell_pause(seconds, now));
                }
                None
            }
            Err(error) => {
                let error = format!("pause: {error}");
                actions.push(Action::Log(Level::Error, error.clone()));
                Some(error)
            }
        };
        if let Some(call) = call {
            actions.push(self.read_action(call, Reply::LanOnly(error)));
        }
        actions
    }

    /// Tells that a pause has begun (`seconds` left) or ended (0). What began in a pause has to end with it.
    pub(super) fn tell_pause(&mut self, seconds: u32, now: Now) -> Vec<Action> {
        let line = match seconds {
            0 => "pause over: LAN-only holds again".to_string(),
            seconds => format!("paused for {seconds} seconds"),
        };
        let mut actions = vec![
            Action::Log(Level::Info, line),
            Action::Notify("pause", json!({ "seconds": seconds })),
        ];
        actions.extend(self.cut_action(now, Then::default()));
        actions
    }

    /// The kernel was read for somebody.
    pub(super) fn read(
        &mut self,
        result: Result<Reading, String>,
        call: CallId,
        reply: Reply,
        now: Now,
    ) -> Vec<Action> {
        let (reading, error) = match result {
            Ok(reading) => (reading, None),
            Err(error) => (
                Reading::default(),
                Some(format!("the kernel's table cannot be read: {error}")),
            ),
        };
        let mut actions = self.adopt(&reading, now);
        if !reading.present && self.kernel == Kernel::Holds {
            self.deadlines.verify_soon(now.monotonic);
        }
        let (mut value, chain_error) = match reply {
            Reply::Status => (report::status(self, &reading, now), None),
            Reply::LanOnly(error) => (report::lan_only(self, &reading, now), error),
            Reply::Gate(ask) => {
                actions.extend(match error {
                    Some(error) => vec![Action::Answer(call, Ok(json!({ "ok": false, "error": error })))],
                    None => self.asked(&ask, call, now),
                });
                return actions;
            }
        };
        let error = chain_error.or(error).or_else(|| self.trouble());
        json::add(&mut value, "error", error.as_deref());
        actions.push(Action::Answer(call, Ok(value)));
        actions
    }
}
