//! What happens to a relay, and what that leads to.

use super::sight::{self, Outcome, Sight, Trouble};
use super::words::{Said, Word};
use super::{Do, Exit, Heard, Look, Phase, Purpose, Relay, Session, Then, Wait};
use crate::config;

/// A start that has come to nothing by then is over.
const START: u64 = 30_000;
/// Between two checks of a session that is starting: at first, and at last.
const START_LOOK: u64 = 400;
const START_LOOKS: u64 = 3_200;
/// The longest that a line that is cut is left alone.
const LINE_LOOK: u64 = 5_000;
/// The same, where there is a reason to hope.
const EAGER_LOOK: u64 = 500;
/// A session that was up for so long was none that others end at once, however seldom it is checked.
const BRIEF: u64 = 60_000;
/// Before a check is made again that has seen nothing where something may only be slow.
const DOUBT: u64 = 2_000;
/// Seconds that a check waits for the target's greeting: as a rule, where the line has changed, and where it is in doubt.
const PATIENCE: u32 = 10;
const HURRY: u32 = 3;
const SECOND: u32 = 20;
/// A key that was taken before is not given up for so many refusals: a relay that boots may not know its accounts yet.
const REFUSALS: u32 = 5;
/// Between two looks at a target that is down, at most.
const TARGET_LOOK: u64 = 30_000;
/// Starts that come from outside (the WAN is back) are not closer than this.
const SPACING: u64 = 3_000;
/// A client that was told to end and is not heard of any more.
const LEAVE: u64 = 10_000;

impl Relay {
    /// It is its turn.
    pub fn start(&mut self, now: u64) -> Vec<Do> {
        let purpose = match () {
            () if self.config.host_key.is_none() => Purpose::AskKey,
            () if self.remains && self.script == Some(true) && self.behind.is_none() => Purpose::EndRemains,
            () => Purpose::Forward {
                hold: self.script != Some(false) && self.behind.is_none(),
            },
        };
        self.started = Some(now);
        self.begin(purpose, now)
    }

    pub(super) fn begin(&mut self, purpose: Purpose, now: u64) -> Vec<Do> {
        let session = self.open(purpose);
        self.enter(
            Phase::Starting {
                until: now.saturating_add(START),
                // When the client runs.
                next: u64::MAX,
            },
            now,
        );
        self.pace = START_LOOK;
        vec![Do::Spawn { session, purpose }]
    }

    fn open(&mut self, purpose: Purpose) -> u64 {
        self.starts = self.starts.saturating_add(1);
        let number = self.first.wrapping_add(u64::from(self.starts));
        self.session = Some(Session {
            number,
            purpose,
            complaint: None,
            said: None,
            checking: false,
            is_shut: false,
        });
        number
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        let before = self.state();
        self.phase = phase;
        if self.state() != before {
            self.since = now;
        }
        if !self.is_up() {
            self.latency = None;
        }
    }

    /// The configuration of its section was read; whatever it did before begins anew if it has changed.
    pub fn configure(&mut self, config: config::Relay, now: u64) -> Vec<Do> {
        if config == self.config {
            return Vec::new();
        }
        self.config = config;
        self.proved = false;
        self.restart(now)
    }

    /// Somebody wants it to begin anew, whatever it is doing.
    pub fn restart(&mut self, now: u64) -> Vec<Do> {
        self.failures = 0;
        self.script = None;
        self.unrecorded = None;
        self.offered = None;
        self.error = None;
        self.answered = false;
        let then = if self.config.enabled { Then::Start } else { Then::Idle };
        self.leave(then, now)
    }

    /// Ends what runs. Nothing follows.
    pub fn stop(&mut self, now: u64) -> Vec<Do> {
        self.leave(Then::Idle, now)
    }

    /// The router has another way out than before, or one again.
    pub fn line_changed(&mut self, now: u64) -> Vec<Do> {
        match self.phase {
            Phase::Backoff {
                wait: Wait::Line | Wait::Time,
                ..
            } if self
                .started
                .is_none_or(|started| now.saturating_sub(started) >= SPACING) =>
            {
                self.enter(Phase::Due, now);
                Vec::new()
            }
            // The old address may have been the tunnel's end.
            Phase::Up { .. } if !self.is_checking() => self.look_through(HURRY, now),
            // What is under way may be going the old way.
            Phase::Backoff { .. } | Phase::Starting { .. } | Phase::Up { .. } | Phase::Leaving { .. } => {
                self.eager = true;
                Vec::new()
            }
            Phase::Idle | Phase::Due | Phase::Failed => Vec::new(),
        }
    }

    /// Looks through the tunnel, unless that is being done.
    pub fn check(&mut self, now: u64) -> Vec<Do> {
        let patience = if self.doubt.is_some() {
            SECOND
        } else {
            PATIENCE.min(self.config.check)
        };
        self.look_through(patience, now)
    }

    fn look_through(&mut self, patience: u32, now: u64) -> Vec<Do> {
        let Some(session) = self.session.as_mut().filter(|session| !session.checking) else {
            return Vec::new();
        };
        session.checking = true;
        self.last_check = Some(now);
        vec![Do::Check {
            session: session.number,
            patience,
        }]
    }

    /// What was due has come.
    pub fn deadline(&mut self, now: u64) -> Vec<Do> {
        if self.next_deadline().is_none_or(|due| due > now) {
            return Vec::new();
        }
        match self.phase {
            Phase::Starting { until, .. } if until <= now => {
                let silence = match &self.session {
                    Some(session) if session.is_shut => sight::not_opened(&self.config),
                    _ => Trouble::of_line("the relay has not let us through".into()),
                };
                let trouble = self.unexplained(silence);
                self.fail(trouble, now)
            }
            Phase::Starting { .. } | Phase::Up { .. } => self.check(now),
            Phase::Leaving { then, .. } => self.left(then, now),
            Phase::Backoff { wait: Wait::Time, .. } => {
                self.enter(Phase::Due, now);
                Vec::new()
            }
            Phase::Backoff { wait, until, .. } => {
                self.phase = Phase::Backoff {
                    until,
                    wait,
                    looking: true,
                };
                let look = if wait == Wait::Target {
                    Look::Target
                } else {
                    Look::Relay
                };
                vec![Do::Look(look)]
            }
            Phase::Idle | Phase::Due | Phase::Failed => Vec::new(),
        }
    }

    /// What came of what was done.
    pub fn heard(&mut self, heard: Heard, now: u64) -> Vec<Do> {
        match heard {
            Heard::Looked { look, answers } => self.looked(look, answers, now),
            Heard::Spawned { session, client } if self.is_of(session) => {
                self.client = Some(client);
                self.look_after(START_LOOK, now);
                Vec::new()
            }
            Heard::Said { session, said } if self.is_of(session) => self.said(said),
            Heard::Complained { session, word, line } if self.is_of(session) => self.complained(word, line, now),
            Heard::Exited { session, exit } if self.is_of(session) => self.exited(exit, now),
            Heard::Checked { session, sight } if self.is_of(session) => self.checked_through(&sight, now),
            Heard::Spawned { .. }
            | Heard::Said { .. }
            | Heard::Complained { .. }
            | Heard::Exited { .. }
            | Heard::Checked { .. } => Vec::new(),
        }
    }

    fn is_of(&self, number: u64) -> bool {
        self.session.as_ref().is_some_and(|session| session.number == number)
    }

    /// A session that is starting is checked after so many milliseconds.
    fn look_after(&mut self, pause: u64, now: u64) {
        if let Phase::Starting { next, .. } = &mut self.phase {
            *next = now.saturating_add(pause);
        }
    }

    fn looked(&mut self, look: Look, answers: bool, now: u64) -> Vec<Do> {
        if look == Look::Outside {
            self.exposed = answers;
            return Vec::new();
        }
        let Phase::Backoff {
            wait, looking: true, ..
        } = self.phase
        else {
            return Vec::new();
        };
        if (wait == Wait::Target) != (look == Look::Target) {
            return Vec::new();
        }
        if answers {
            // What failed before it was gone has nothing to do with what comes now; nor is it anything but the line's if it is gone again in the middle of that.
            let was_dark = std::mem::take(&mut self.was_dark);
            self.answered = !was_dark;
            if was_dark {
                self.failures = self.failures.min(1);
            }
            self.enter(Phase::Due, now);
        } else {
            self.was_dark = true;
            self.phase = Phase::Backoff {
                until: now.saturating_add(self.pause(wait)),
                wait,
                looking: false,
            };
        }
        Vec::new()
    }

    fn said(&mut self, said: Said) -> Vec<Do> {
        if let Some(session) = &mut self.session {
            // One that holds nothing is as good as none.
            let holds = !matches!((session.purpose, &said), (Purpose::Forward { .. }, Said::Refused(_)));
            self.script = Some(holds);
            session.said = Some(said);
        }
        self.keep_note();
        Vec::new()
    }

    /// Whether a session that is up was noted on the relay, for the one after it.
    fn keep_note(&mut self) {
        if self.is_up() {
            self.unrecorded = match self.session.as_ref().and_then(|session| session.said.as_ref()) {
                Some(Said::Unrecorded(why)) => Some(why.clone()),
                _ => None,
            };
        }
    }

    fn complained(&mut self, word: Word, line: String, now: u64) -> Vec<Do> {
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        if session.complaint.as_ref().is_none_or(|(known, _)| *known < word) {
            session.complaint = Some((word, line));
        }
        // A client that asks for a password, or whether to trust a key, would wait for an answer that never comes.
        match word {
            Word::KeyRefused | Word::HostKeyUnknown | Word::HostKeyChanged
                if self.is_starting() && !self.is_asking() =>
            {
                let trouble = self.unexplained(Trouble::passing(String::new()));
                self.fail(trouble, now)
            }
            _ => Vec::new(),
        }
    }

    fn is_asking(&self) -> bool {
        let asks = |session: &Session| session.purpose == Purpose::AskKey;
        self.session.as_ref().is_some_and(asks)
    }

    fn exited(&mut self, exit: Exit, now: u64) -> Vec<Do> {
        let phase = self.phase;
        match phase {
            Phase::Leaving { then, .. } => self.left_with(&exit, then, now),
            Phase::Starting { .. } => self.start_ended(exit, now),
            Phase::Up { began, .. } => {
                let was_brief = now.saturating_sub(began) < self.interval().min(BRIEF);
                if !was_brief {
                    self.failures = 0;
                }
                if was_brief && self.has_no_script() {
                    self.session = None;
                    return self.begin(Purpose::Forward { hold: false }, now);
                }
                let how = match &exit {
                    Exit::Ended { how, .. } => how.clone(),
                    Exit::Unfit(why) | Exit::NotStarted(why) => why.clone(),
                };
                let mut trouble = self.unexplained(Trouble::passing(format!("the client has ended: {how}")));
                self.session = None;
                // Two that end each other would do so for ever, at every look.
                if !was_brief {
                    trouble.wait = trouble.wait.map(|_| Wait::Line);
                }
                self.fail(trouble, now)
            }
            // The relay's key was asked for while this was known already.
            Phase::Failed => {
                self.session = None;
                self.see_key(exit);
                Vec::new()
            }
            Phase::Idle | Phase::Due | Phase::Backoff { .. } => {
                self.session = None;
                Vec::new()
            }
        }
    }

    fn checked_through(&mut self, sight: &Sight, now: u64) -> Vec<Do> {
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        session.checking = false;
        session.is_shut = sight.through == Outcome::Closed;
        let word = session.complaint.as_ref().map(|(word, _)| *word);
        let judged = sight::judge(sight, &self.config, word);
        match (self.phase, judged) {
            (Phase::Starting { .. }, Ok(latency)) => {
                self.latency = Some(latency);
                self.error = None;
                self.cleaned = false;
                self.answered = false;
                self.remains = false;
                self.doubt = None;
                self.proved = true;
                let next = now.saturating_add(self.interval());
                self.enter(Phase::Up { next, began: now }, now);
                self.keep_note();
                let mut doing = vec![Do::Look(Look::Outside)];
                doing.extend(self.look_after_change(now));
                doing
            }
            (Phase::Up { began, .. }, Ok(latency)) => {
                self.latency = Some(latency);
                self.doubt = None;
                // What is up for a moment only, again and again, is not to be started ever so often.
                if now.saturating_sub(began) >= self.interval() {
                    self.failures = 0;
                }
                self.phase = Phase::Up {
                    next: now.saturating_add(self.interval()),
                    began,
                };
                self.look_after_change(now)
            }
            // It may not be that far.
            (Phase::Starting { .. }, Err(trouble)) if trouble.may_pass_in_start() => {
                self.pace = (self.pace * 2).min(START_LOOKS);
                self.look_after(self.pace, now);
                Vec::new()
            }
            // Somebody may be using it, and fill it; or the client is ending, and why is heard in a moment.
            (Phase::Up { began, .. }, Err(trouble)) if trouble.doubt > self.doubt => {
                self.doubt = trouble.doubt;
                self.phase = Phase::Up {
                    next: now.saturating_add(DOUBT),
                    began,
                };
                Vec::new()
            }
            (Phase::Starting { .. } | Phase::Up { .. }, Err(trouble)) => {
                // Its server has just let us end what was left: who says nothing is somebody else.
                let trouble = match trouble.is_silence() && self.cleaned {
                    true => sight::stolen(&self.config),
                    false => trouble,
                };
                self.fail(trouble, now)
            }
            _ => Vec::new(),
        }
    }

    /// What was fine may have been seen the old way, just before it was gone.
    fn look_after_change(&mut self, now: u64) -> Vec<Do> {
        match std::mem::take(&mut self.eager) {
            true => self.look_through(HURRY, now),
            false => Vec::new(),
        }
    }

    fn interval(&self) -> u64 {
        u64::from(self.config.check).saturating_mul(1000)
    }

    /// What the client has complained of, or else this.
    fn unexplained(&self, otherwise: Trouble) -> Trouble {
        let complaint = self.session.as_ref().and_then(|session| session.complaint.as_ref());
        match complaint {
            Some((word, line)) if sight::explains_exit(*word) => self.explained(*word, line),
            _ => otherwise,
        }
    }

    pub(super) fn explained(&self, word: Word, line: &str) -> Trouble {
        let mut trouble = sight::explained(&self.config, word, line);
        if word == Word::KeyRefused && self.proved && self.failures < REFUSALS {
            trouble.wait = Some(Wait::Time);
        }
        trouble
    }

    pub(super) fn fail(&mut self, trouble: Trouble, now: u64) -> Vec<Do> {
        let Trouble {
            message, wait, remains, ..
        } = trouble;
        self.error = Some(message);
        self.remains |= remains;
        let then = match wait {
            None => Then::Fail,
            // The port has answered, and then nobody: looking would start session after session.
            Some(Wait::Line) if self.answered => Then::Wait(Wait::Time),
            Some(wait) => Then::Wait(wait),
        };
        self.answered = false;
        self.doubt = None;
        self.failures = self.failures.saturating_add(1);
        self.leave(then, now)
    }

    /// The relay has shown another host key than the pinned one, and nobody has seen it yet.
    fn key_is_in_question(&self) -> bool {
        let is_about_it = |error: &str| {
            [sight::OTHER_KEY, sight::NO_KEY]
                .iter()
                .any(|begin| error.starts_with(begin))
        };
        self.offered.is_none() && self.config.host_key.is_some() && self.error.as_deref().is_some_and(is_about_it)
    }

    fn ask_key(&mut self) -> Vec<Do> {
        let session = self.open(Purpose::AskKey);
        vec![Do::Spawn {
            session,
            purpose: Purpose::AskKey,
        }]
    }

    /// Ends the client if there is one, and goes on when it is gone.
    fn leave(&mut self, then: Then, now: u64) -> Vec<Do> {
        let Some(session) = &self.session else {
            return self.left(then, now);
        };
        let number = session.number;
        let was_leaving = matches!(self.phase, Phase::Leaving { .. });
        self.enter(
            Phase::Leaving {
                until: now.saturating_add(LEAVE),
                then,
            },
            now,
        );
        if was_leaving {
            return Vec::new();
        }
        vec![Do::End { session: number }]
    }

    fn left_with(&mut self, exit: &Exit, then: Then, now: u64) -> Vec<Do> {
        if self.is_asking() {
            self.see_key(exit.clone());
        }
        self.left(then, now)
    }

    fn left(&mut self, then: Then, now: u64) -> Vec<Do> {
        self.session = None;
        match then {
            Then::Idle => self.enter(Phase::Idle, now),
            Then::Start => self.enter(Phase::Due, now),
            Then::Fail => {
                self.enter(Phase::Failed, now);
                // Whoever has to judge it wants to see it.
                if self.key_is_in_question() {
                    return self.ask_key();
                }
            }
            Then::Wait(wait) => {
                let until = now.saturating_add(self.pause(wait));
                self.enter(
                    Phase::Backoff {
                        until,
                        wait,
                        looking: false,
                    },
                    now,
                );
            }
        }
        Vec::new()
    }

    /// Milliseconds until the next try, or look.
    fn pause(&mut self, wait: Wait) -> u64 {
        let pause = self.back_off();
        let eager = std::mem::take(&mut self.eager);
        match wait {
            Wait::Time if eager => pause.min(SPACING),
            Wait::Time => pause,
            Wait::Line if eager => EAGER_LOOK,
            Wait::Line => pause.min(LINE_LOOK),
            Wait::Target => self.interval().min(TARGET_LOOK),
        }
    }

    /// `retry`, doubled with each failure, up to `retry_max`, give or take a fifth.
    fn back_off(&mut self) -> u64 {
        let most = u64::from(self.config.retry_max).saturating_mul(1000);
        let doublings = self.failures.saturating_sub(1).min(20);
        let pause = u64::from(self.config.retry)
            .saturating_mul(1000)
            .saturating_mul(1 << doublings)
            .min(most);
        // xorshift (Marsaglia, 2003): nobody has an interest in guessing it.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        (pause / 100 * (80 + u64::from(self.dice % 41))).min(most)
    }
}
