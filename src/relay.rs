//! A relay's life: a reverse SSH tunnel that is started, checked from end to end, ended and started again (`seeds` 5).
//!
//! [`Relay`] is a state machine with a clock that it is told: what was [`Heard`] goes in, what is to be [`Do`]ne comes out. Every session has a number, so that
//! what is heard of an earlier one changes nothing.
//!
//! What failed decides when it is tried again ([`Wait`]):
//! - the line, or the relay as a whole: the relay's port is looked at, cheaply (a TCP connection), and as soon as it answers a session starts. So it is
//!   back within seconds, however long the line was cut, and no session is started in vain;
//! - the target: it is looked at from here, and a session starts when it greets. The relay is left alone meanwhile;
//! - anything else: after `retry` seconds, rising to `retry_max`;
//! - what time does not mend (another host key, a key that is refused): not at all, until the configuration changes or somebody says so.

pub mod files;
pub mod greeting;
pub mod key;
mod life;
pub mod sight;
mod starts;
#[cfg(test)]
mod tests;
pub mod words;

use crate::config;
use sight::{Doubt, Sight};
use words::{Said, Word};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The tunnel. `hold`: with the relay's script, which remembers the session.
    Forward {
        /// Run the script.
        hold: bool,
    },
    /// What is left of the previous session on the relay is ended.
    EndRemains,
    /// The relay shows its host key; nobody logs in.
    AskKey,
}

/// What is looked at without a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Whether an SSH server answers at the relay's port.
    Relay,
    /// Whether the target greets.
    Target,
    /// Whether what the tunnel opens answers from outside, without the relay's login.
    Outside,
}

/// What is to be done for a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// → lines, and in any case [`Heard::Exited`].
    Spawn {
        /// Its number.
        session: u64,
        /// What for.
        purpose: Purpose,
    },
    /// → [`Heard::Exited`]
    End {
        /// Its number.
        session: u64,
    },
    /// A connection through the tunnel. → [`Heard::Checked`]
    Check {
        /// Its number.
        session: u64,
        /// Seconds that a greeting may take.
        patience: u32,
    },
    /// → [`Heard::Looked`]
    Look(Look),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The client runs: its name and version.
    Spawned {
        /// Its number.
        session: u64,
        /// `Dropbear 2022.83`
        client: String,
    },
    /// The relay's script answers.
    Said {
        /// Its number.
        session: u64,
        /// What.
        said: Said,
    },
    /// The client complains.
    Complained {
        /// Its number.
        session: u64,
        /// What it means.
        word: Word,
        /// The line, fit to be shown.
        line: String,
    },
    /// The client is gone, or could not be started.
    Exited {
        /// Its number.
        session: u64,
        /// How.
        exit: Exit,
    },
    /// A check is over.
    Checked {
        /// Its number.
        session: u64,
        /// What was seen.
        sight: Sight,
    },
    /// A look is over.
    Looked {
        /// At what.
        look: Look,
        /// Whether it answers.
        answers: bool,
    },
}

/// How a client came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, by a signal, or as it was told: in words.
    Ended {
        /// `status 255`
        how: String,
        /// It was told to, or took too long.
        told: bool,
        /// The host key that it has seen, where it was asked to look.
        host_key: Option<key::HostKey>,
    },
    /// It could not be started, and time does not mend that: no client, no key.
    Unfit(String),
    /// It could not be started now.
    NotStarted(String),
}

/// What a relay waits for, in `backoff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The relay's port answers.
    Line,
    /// The target greets.
    Target,
    /// Time.
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// It is to start when it is its turn.
    Due,
    Starting {
        /// When it is given up.
        until: u64,
        /// When it is looked at.
        next: u64,
    },
    Up {
        next: u64,
        /// When it came up.
        began: u64,
    },
    /// The client was told to end.
    Leaving {
        until: u64,
        then: Then,
    },
    Backoff {
        until: u64,
        wait: Wait,
        /// A look is under way.
        looking: bool,
    },
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Idle,
    Start,
    Wait(Wait),
    Fail,
}

/// The client that runs, or is being started.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    number: u64,
    purpose: Purpose,
    /// The complaint that explains most.
    complaint: Option<(Word, String)>,
    said: Option<Said>,
    checking: bool,
    /// The last check was let in by the client, and shut out.
    is_shut: bool,
}

/// What `state` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not switched on.
    Idle,
    /// A client is being started, or it is not its turn yet.
    Starting,
    /// A connection went through to the target.
    Up,
    /// It is tried again.
    Backoff,
    /// Somebody has to do something.
    Failed,
}

impl State {
    /// As it is published.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
        }
    }
}

/// A relay and what is known of it.
#[derive(Debug, Clone)]
pub struct Relay {
    /// As configured.
    pub config: config::Relay,
    phase: Phase,
    session: Option<Session>,
    /// Why the last session, or start, came to its end.
    error: Option<String>,
    /// Monotonic milliseconds since which [`Relay::state`] is what it is.
    since: u64,
    /// When the last check was, that of now included.
    last_check: Option<u64>,
    latency: Option<u32>,
    client: Option<String>,
    /// Whether the account on the relay runs our script; `None`: not known yet.
    script: Option<bool>,
    /// The relay whose line in `authorized_keys` holds for this one's key, too: the script there answers for that one's port.
    behind: Option<String>,
    /// Why that could not note the last session that was up, so that it does not find it.
    unrecorded: Option<String>,
    /// What the relay shows instead of the pinned key.
    offered: Option<key::HostKey>,
    /// What is left of the last session is to be ended first.
    remains: bool,
    /// Whether that was tried since the last session that was up.
    cleaned: bool,
    /// Starts in a row that have come to nothing.
    failures: u32,
    first: u64,
    /// Sessions that were begun.
    starts: u32,
    started: Option<u64>,
    /// The start follows a look that was answered, as the one before was.
    answered: bool,
    /// The relay's port was looked at in vain since the last session.
    was_dark: bool,
    /// The router has another way out since the last look or start.
    eager: bool,
    /// What the last check has seen is looked at again, for this.
    doubt: Option<Doubt>,
    /// Milliseconds between two checks of a session that is starting.
    pace: u64,
    /// The relay has taken our key, since it is configured like this.
    proved: bool,
    /// The port answers from outside without the relay's login.
    exposed: bool,
    dice: u32,
}

impl Relay {
    /// A relay that has done nothing yet. `dice`: anything; relays that start at once are not to go on in step. `first`: its sessions' numbers begin
    /// behind it.
    #[must_use]
    pub fn new(config: config::Relay, dice: u32, first: u64, now: u64) -> Self {
        let phase = if config.enabled { Phase::Due } else { Phase::Idle };
        Self {
            config,
            phase,
            session: None,
            error: None,
            since: now,
            last_check: None,
            latency: None,
            client: None,
            script: None,
            behind: None,
            unrecorded: None,
            offered: None,
            remains: false,
            cleaned: false,
            failures: 0,
            first,
            starts: 0,
            started: None,
            answered: false,
            was_dark: false,
            eager: false,
            doubt: None,
            pace: 0,
            proved: false,
            exposed: false,
            dice: dice | 1,
        }
    }

    /// Which other relay comes to the same account with the same key before this one, if any.
    pub fn stands_behind(&mut self, other: Option<String>) {
        self.behind = other;
    }

    /// Its state, as published.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Idle | Phase::Leaving { then: Then::Idle, .. } => State::Idle,
            Phase::Due | Phase::Starting { .. } | Phase::Leaving { then: Then::Start, .. } => State::Starting,
            Phase::Up { .. } => State::Up,
            Phase::Backoff { .. }
            | Phase::Leaving {
                then: Then::Wait(_), ..
            } => State::Backoff,
            Phase::Failed | Phase::Leaving { then: Then::Fail, .. } => State::Failed,
        }
    }

    /// Monotonic milliseconds since which it is in this state.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Why it is not up, or was not before.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Monotonic milliseconds of the last check, and how long the target took to answer if it did.
    #[must_use]
    pub fn checked(&self) -> (Option<u64>, Option<u32>) {
        (self.last_check, self.latency)
    }

    /// The client's name and version, once one was started.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Whether the relay's account runs our script, once that is known.
    #[must_use]
    pub fn script(&self) -> Option<bool> {
        self.script
    }

    /// The host key that the relay has shown, where it is not the pinned one.
    #[must_use]
    pub fn offered(&self) -> Option<&key::HostKey> {
        self.offered.as_ref()
    }

    /// How many sessions were begun.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Whether what it opens answers at the relay's own address, without its login.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.exposed && self.is_up()
    }

    /// A look at the relay's port is under way.
    #[must_use]
    pub fn looks_at_relay(&self) -> bool {
        matches!(
            self.phase,
            Phase::Backoff {
                wait: Wait::Line,
                looking: true,
                ..
            }
        )
    }

    /// Whoever was looking for it is gone: it is to be looked again.
    pub fn look_again(&mut self) {
        if let Phase::Backoff { looking, .. } = &mut self.phase {
            *looking = false;
        }
    }

    /// Whether it waits for its turn to start.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.phase == Phase::Due
    }

    /// Whether it is one of those that are starting.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. })
    }

    /// A connection can go through.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    /// When [`Relay::deadline`] is wanted.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Idle | Phase::Due | Phase::Failed => None,
            Phase::Starting { until, next } if self.is_checkable() => Some(until.min(next)),
            Phase::Starting { until, .. } | Phase::Leaving { until, .. } => Some(until),
            Phase::Up { next, .. } => (!self.is_checking()).then_some(next),
            Phase::Backoff { until, looking, .. } => (!looking).then_some(until),
        }
    }

    /// A check is under way.
    #[must_use]
    pub fn is_checking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.checking)
    }

    fn is_checkable(&self) -> bool {
        let forwards = |session: &Session| matches!(session.purpose, Purpose::Forward { .. });
        self.session.as_ref().is_some_and(forwards) && !self.is_checking()
    }

    /// Seconds until it is tried again, where only time is waited for.
    #[must_use]
    pub fn retry_in(&self, now: u64) -> Option<u64> {
        match self.phase {
            Phase::Backoff {
                until,
                wait: Wait::Time,
                ..
            } => Some(until.saturating_sub(now).div_ceil(1000)),
            _ => None,
        }
    }

    /// What it waits for.
    #[must_use]
    pub fn waits_for(&self) -> Option<Wait> {
        match self.phase {
            Phase::Backoff { wait, .. } => Some(wait),
            _ => None,
        }
    }
}
