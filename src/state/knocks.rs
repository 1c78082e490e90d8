//! Knocks while running. The kernel opens and closes by itself; here it is told, and kept for whoever tries a sequence out.

use super::gates::tell;
use super::State;
use crate::event::{Action, Now};
use crate::gate::{self, Entry, Origin, Progress, Teller, Told};
use crate::json::json;
use crate::policy::{Gate, Knock};
use crate::ruleset::knock::{opens, Sequence};
use log::Level;
use serde_json::Value;
use std::collections::VecDeque;
use std::net::IpAddr;

/// What was heard last that is kept for the page.
const RECENT: usize = 64;

/// What is remembered of knocks.
#[derive(Debug)]
pub(super) struct Knocks {
    /// Oldest first.
    recent: VecDeque<Recent>,
    teller: Teller,
}

impl Default for Knocks {
    fn default() -> Self {
        Self {
            recent: VecDeque::new(),
            teller: Teller::of_attempts(),
        }
    }
}

/// A step, as it was heard.
#[derive(Debug)]
struct Recent {
    /// The source as the gate's lists show it.
    shown: String,
    knock: String,
    gate: String,
    sequence: Sequence,
    progress: Progress,
    of: usize,
    /// Monotonic milliseconds.
    at: u64,
}

impl State {
    fn knock(&self, name: &str) -> Option<(&Gate, &Knock)> {
        let mut all = self
            .gates()?
            .list
            .iter()
            .flat_map(|gate| gate.knocks.iter().map(move |knock| (gate, knock)));
        all.find(|(_, knock)| knock.config.name == name)
    }

    /// A copied packet was a step.
    pub(super) fn knocked(
        &mut self,
        name: &str,
        sequence: Sequence,
        progress: Progress,
        source: IpAddr,
        now: Now,
    ) -> Vec<Action> {
        // A rule of a configuration that is no more.
        let Some((gate, knock)) = self.knock(name) else {
            return Vec::new();
        };
        let (source, of) = (gate::masked(gate, source), sequence.steps(knock).len());
        let shown = gate::shown(gate, source);
        let (gate, seconds, (list, _)) = (gate.name.clone(), knock.config.seconds, opens(&knock.config));
        self.knocks.recent.push_back(Recent {
            shown: shown.clone(),
            knock: name.to_string(),
            gate: gate.clone(),
            sequence,
            progress,
            of,
            at: now.monotonic,
        });
        if self.knocks.recent.len() > RECENT {
            self.knocks.recent.pop_front();
        }
        // knockd's words.
        let place = match sequence {
            Sequence::Open => format!("{name}: {shown}"),
            Sequence::Close => format!("{name}: {shown}: close"),
        };
        let mut data = json!({ "knock": name, "gate": gate, "sequence": sequence.word(), "address": shown });
        let told = match progress {
            Progress::Wrong => return vec![Action::Log(Level::Debug, format!("{place}: wrong port"))],
            Progress::Stage(_) | Progress::Done => self.knocks.teller.ask(source, now.monotonic),
        };
        let stage = match progress {
            Progress::Stage(stage) => stage,
            Progress::Done | Progress::Wrong => of,
        };
        let mut staged = data.clone();
        (staged["stage"], staged["of"]) = (stage.into(), of.into());
        let mut actions = tell(told, format!("{place}: Stage {stage}"), "knock.stage", staged);
        if progress != Progress::Done {
            return actions;
        }
        let why = format!("knock {name}");
        if told != Told::No {
            actions.push(Action::Log(Level::Info, format!("{place}: OPEN SESAME")));
        }
        match sequence {
            Sequence::Open => {
                let ends = (seconds > 0).then(|| now.monotonic.saturating_add(u64::from(seconds) * 1000));
                let entry = Entry {
                    address: source,
                    list,
                    ends,
                    origin: Some(Origin::Knock),
                };
                self.lists.put(&gate, entry);
                data["seconds"] = seconds.into();
                actions.extend((told != Told::No).then_some(Action::Notify("knock.open", data)));
                actions.extend(self.tell_admitted(&gate, source, &why, seconds, now));
            }
            Sequence::Close if self.lists.remove(&gate, source) => {
                actions.extend(self.tell_removed(&gate, source, &why, now));
            }
            Sequence::Close => {}
        }
        actions
    }

    /// The answer of `knock_list`: the knocks of the gates that are on, and what was heard of late.
    pub(super) fn knock_list(&self, now: Now) -> Value {
        let gates = self.gates().map(|gates| gates.list.as_slice()).unwrap_or_default();
        let knocks = gates.iter().flat_map(|gate| &gate.knocks).map(|knock| {
            let knock = &knock.config;
            json!({
                "name": knock.name, "gate": knock.gate, "open": knock.open.len(), "close": knock.close.len(),
                "timeout": knock.timeout, "seconds": knock.seconds,
            })
        });
        let recent = self.knocks.recent.iter().map(|recent| {
            let (event, stage) = match recent.progress {
                Progress::Stage(stage) => ("stage", stage),
                Progress::Wrong => ("wrong", 0),
                Progress::Done => (recent.sequence.word(), recent.of),
            };
            json!({
                "knock": recent.knock, "gate": recent.gate, "sequence": recent.sequence.word(), "address": recent.shown,
                "event": event, "stage": stage, "of": recent.of, "ago_ms": now.monotonic.saturating_sub(recent.at),
            })
        });
        json!({ "knocks": Vec::from_iter(knocks), "recent": Vec::from_iter(recent) })
    }
}
