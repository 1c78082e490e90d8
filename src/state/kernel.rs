//! How the kernel's table stands to what is wanted: applied, looked at, lost, put back.

use super::{calls, State};
use crate::event::{Action, Now, Reading, Then, Verified};
use crate::gather::Gather;
use crate::json::json;
use crate::nft::Table;
use crate::sorted::Map;
use crate::system::nftables::{Counter, Verdict};
use log::Level;
use std::rc::Rc;

/// So many milliseconds after the start netifd has had the time to answer.
const PATIENCE: u64 = 3_000;

/// How the kernel's table stands to [`State::wanted`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Kernel {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// Applied, and not verified yet.
    Applied,
    /// It is what is wanted.
    Holds,
    /// It was, and is not any more.
    Lost,
    /// It could not be brought about.
    Failed(String),
}

/// How often the table was lost lately.
#[derive(Debug, Default)]
pub(super) struct Losses {
    last: u64,
    count: u32,
}

/// Named counters start at 0 when the table is lost. What they had counted until then is carried.
#[derive(Debug, Default)]
pub(super) struct Carried {
    last: Map<String, Counter>,
    sum: Map<String, Counter>,
}

impl State {
    pub(super) fn applied(&mut self, result: Result<(), String>, now: Now) -> Vec<Action> {
        if let Err(error) = result {
            return self.failed(error, now);
        }
        let lost = self.kernel == Kernel::Lost;
        self.kernel = Kernel::Applied;
        let Some(wanted) = self.wanted.clone() else {
            return Vec::new();
        };
        // First: a reload of the firewall from here on would put the former table back, and where a set's timeout has changed, fail over it.
        let mut actions = vec![Action::WriteScript(Rc::clone(&wanted))];
        // The kernel's pause went with the table; its end did not.
        if let Some(seconds) = self.pause_left(now).filter(|_| lost) {
            actions.push(Action::Pause { seconds, call: None });
        }
        if lost {
            actions.push(Action::Log(self.losses.level(), "table restored".into()));
            actions.push(Action::Notify("table.restored", json!({})));
        } else {
            actions.push(Action::Log(Level::Info, "table applied".into()));
        }
        // Before the verdict, which answers whoever has asked for it.
        actions.extend(self.cut_action(now, Then::default()));
        actions.push(Action::Verify(wanted));
        actions
    }

    pub(super) fn failed(&mut self, error: String, now: Now) -> Vec<Action> {
        let wait = self.back_off();
        self.deadlines.retry_in(now.monotonic, wait);
        let mut actions = Vec::new();
        let text = format!("the table could not be applied: {error}");
        if self.kernel != Kernel::Failed(error.clone()) {
            actions.push(Action::Log(Level::Error, text));
        }
        self.kernel = Kernel::Failed(error);
        actions.extend(self.answer_reloads());
        actions
    }

    /// The table could not be read. That says nothing about it, unless nobody has seen it since it was applied.
    fn unseen(&mut self, error: String, now: Now) -> Vec<Action> {
        if matches!(self.kernel, Kernel::Unknown | Kernel::Applied) {
            return self.failed(error, now);
        }
        let wait = self.back_off();
        self.deadlines.retry_in(now.monotonic, wait);
        if self.unseen.as_ref() == Some(&error) {
            return Vec::new();
        }
        let line = format!("the table cannot be looked at: {error}");
        self.unseen = Some(error);
        vec![Action::Log(Level::Warn, line)]
    }

    /// Milliseconds, doubled up to 16 s: the reason may be another program's doing, or one that time does not mend.
    fn back_off(&mut self) -> u64 {
        self.failures = self.failures.saturating_add(1);
        1000 << self.failures.min(5).saturating_sub(1)
    }

    pub(super) fn verified(&mut self, result: Result<Verified, String>, now: Now) -> Vec<Action> {
        let Some(wanted) = self.wanted.clone() else {
            return Vec::new();
        };
        let verified = match result {
            Ok(verified) => verified,
            Err(error) => return self.unseen(error, now),
        };
        self.unseen = None;
        let mut adopted = self.adopt(&verified.reading, now);
        adopted.extend(self.judge(&verified, wanted, now));
        adopted
    }

    fn judge(&mut self, verified: &Verified, wanted: Rc<Table>, now: Now) -> Vec<Action> {
        match (&verified.verdict, &self.kernel) {
            (Verdict::Same, kernel) => {
                let fresh = *kernel == Kernel::Unknown;
                self.kernel = Kernel::Holds;
                self.failures = 0;
                let mut actions = self.answer_reloads();
                if fresh {
                    actions.push(Action::Log(Level::Info, "the table is in place already".into()));
                    actions.push(Action::WriteScript(wanted));
                    // Whoever put it there may have died between the switch and the cut.
                    actions.extend(self.cut_action(now, Then::default()));
                }
                actions.extend(self.mend_pause(&verified.reading, now));
                actions
            }
            // It is what was just sent, and reads back as something else: applying it again would not end.
            (Verdict::Differs(differences), Kernel::Applied) => self.failed(
                format!("the kernel made something else of it: {}", differences.join("; ")),
                now,
            ),
            (Verdict::Missing, Kernel::Applied) => self.failed("it was removed at once".into(), now),
            (Verdict::Differs(_), Kernel::Unknown) if self.is_blind() => self.leave(now),
            (Verdict::Differs(_), Kernel::Unknown) if self.expects_netifd(now) => self.wait_for_netifd(),
            (_, Kernel::Unknown | Kernel::Failed(_)) => vec![Action::Apply(wanted)],
            (verdict, Kernel::Holds | Kernel::Lost) => {
                let what = match verdict {
                    Verdict::Differs(differences) => format!("changed by another program ({})", differences.join("; ")),
                    Verdict::Missing | Verdict::Same => "deleted by another program".to_string(),
                };
                self.kernel = Kernel::Lost;
                let often = if self.losses.note(now) == Losses::LOGGED {
                    "; if it goes on like this, it is not logged"
                } else {
                    ""
                };
                vec![
                    Action::Log(self.losses.level(), format!("table {what}; putting it back{often}")),
                    Action::Notify("table.lost", json!({ "reason": what })),
                    Action::Apply(wanted),
                ]
            }
        }
    }

    /// Whether nobody has said yet what the router's devices are: what is wanted then names none.
    fn is_blind(&self) -> bool {
        self.netifd.is_none()
            && self.network_file.is_none()
            && self.file_problems.iter().any(|problem| problem.option == "network")
    }

    /// Whether netifd, which has not answered yet, knows devices that no file names, as a modem's: the earlier daemon's table has them.
    fn expects_netifd(&self, now: Now) -> bool {
        self.netifd.is_none()
            && self.netifd_silent.is_none()
            && self.network.zones.values().any(|zone| zone.is_incomplete)
            && now.monotonic < self.started.saturating_add(PATIENCE)
    }

    fn wait_for_netifd(&mut self) -> Vec<Action> {
        self.deadlines.retry_in(self.started, PATIENCE);
        self.answer_reloads()
    }

    /// The table of an earlier daemon, or of the firewall's include, knew the devices.
    fn leave(&mut self, now: Now) -> Vec<Action> {
        let is_news = self.failures == 0;
        let wait = self.back_off();
        self.deadlines.retry_in(now.monotonic, wait);
        let mut actions = self.answer_reloads();
        if is_news {
            let line = "the devices are not known; the table that is there stays until they are";
            actions.push(Action::Log(Level::Error, line.into()));
        }
        actions
    }

    /// Takes over what the kernel knows better: the pause that an earlier daemon began, the counters.
    pub(super) fn adopt(&mut self, reading: &Reading, now: Now) -> Vec<Action> {
        if !reading.present {
            return Vec::new();
        }
        self.carried.take(&reading.counters);
        self.learned.clone_from(&reading.learned);
        let paused = reading.paused.filter(|left| *left <= calls::LONGEST_PAUSE);
        if let (None, Some(left)) = (self.pause_until, paused) {
            self.pause_until = Some(now.monotonic.saturating_add(left));
        }
        self.adopt_lists(reading, now)
    }

    /// A table that the firewall's include has put back is right in everything but the pause; and a pause that nobody could have
    /// asked us for is another program's.
    fn mend_pause(&self, reading: &Reading, now: Now) -> Vec<Action> {
        let left = self.pause_left(now);
        match reading.paused {
            None if reading.present => left
                .map(|seconds| Action::Pause { seconds, call: None })
                .into_iter()
                .gathered(),
            Some(paused) if paused > calls::LONGEST_PAUSE => vec![
                Action::Log(
                    Level::Warn,
                    "a pause without an end was put in by another program; taking it out".into(),
                ),
                Action::Pause {
                    seconds: left.unwrap_or(0),
                    call: None,
                },
            ],
            None | Some(_) => Vec::new(),
        }
    }

    /// What is wrong between us and the kernel, for people.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Kernel::Failed(error) = &self.kernel {
            return Some(format!("the table could not be applied: {error}"));
        }
        if let Some(error) = &self.unseen {
            return Some(format!("the table cannot be looked at: {error}"));
        }
        let note = self.unnoted.as_ref();
        note.map(|error| {
            format!("the switch holds until lanward starts again; the note about it could not be written: {error}")
        })
    }

    /// A named counter over all lives of the table since the daemon began.
    pub(crate) fn counter(&self, name: &str) -> Counter {
        let carried = self.carried.sum.get(name).copied().unwrap_or_default();
        let last = self.carried.last.get(name).copied().unwrap_or_default();
        Counter {
            packets: carried.packets.saturating_add(last.packets),
            bytes: carried.bytes.saturating_add(last.bytes),
        }
    }
}

impl Losses {
    /// How many in a row are logged.
    const LOGGED: u32 = 10;
    /// Milliseconds after which a loss is one of its own.
    const QUIET: u64 = 60_000;

    fn note(&mut self, now: Now) -> u32 {
        let is_fight = self.count > 0 && now.monotonic.saturating_sub(self.last) < Self::QUIET;
        self.count = if is_fight { self.count.saturating_add(1) } else { 1 };
        self.last = now.monotonic;
        self.count
    }

    /// Another program that fights for the table would fill the log, dozens of lines a second.
    fn level(&self) -> Level {
        if self.count > Self::LOGGED {
            Level::Debug
        } else {
            Level::Warn
        }
    }
}

impl Carried {
    fn take(&mut self, reading: &Map<String, Counter>) {
        for (name, last) in &self.last {
            let now = reading.get(name).copied().unwrap_or_default();
            if now.packets < last.packets {
                let sum = self.sum.or_default(name.clone());
                sum.packets = sum.packets.saturating_add(last.packets);
                sum.bytes = sum.bytes.saturating_add(last.bytes);
            }
        }
        self.last.clone_from(reading);
    }
}
