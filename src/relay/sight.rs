//! What a check through the tunnel has seen, and what is wrong where it has failed.
//!
//! Only the connection through the tunnel counts. Where it fails, the same target asked directly and the state of the client's own connection tell the
//! cases apart that look alike from outside: the relay is gone, the relay is frozen, the listener is somebody else's, the target is down.

use super::greeting::Kind;
use super::words::Word;
use super::Wait;
use crate::config;

/// What an SSH server needs, so that it notices by itself when a session's other end is gone.
pub const SERVER_SETTINGS: &str = "ClientAliveInterval 15 and ClientAliveCountMax 3 in sshd_config (dropbear: -K 15)";

/// How the error begins where the relay has no key of the pinned one's type, or the client does not ask for it.
pub const NO_KEY: &str = "the relay has shown no key of the pinned one's type";

/// How the error begins where the pinned key is not the one that was shown.
pub const OTHER_KEY: &str = "ALARM: the relay shows another host key";

/// What came of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The greeting came, after so many milliseconds; or, where none is expected, the connection was accepted.
    Greets(u32),
    /// It was accepted, and nothing came in time.
    Mute,
    /// It was accepted and ended before a greeting.
    Closed,
    /// What came is not the greeting of such a server: why not.
    Foreign(&'static str),
    /// Nobody listens.
    Refused,
    /// It was not accepted in time, there is no way to it, or its name is not known: in the system's words.
    Unreachable(String),
}

/// The client's own connection to the relay, as the kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Something that was sent is not acknowledged, and was sent again.
    pub unanswered: bool,
}

/// What a check has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The connection through the tunnel.
    pub through: Outcome,
    /// Whether our client has made a new connection to the target for it; `None`: not known.
    pub reached: Option<bool>,
    /// `None`: there is none, or it cannot be seen.
    pub line: Option<Line>,
    /// The target, asked directly; only where the tunnel has failed.
    pub direct: Option<Outcome>,
}

/// Why a session is over, and what to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// For people.
    pub message: String,
    /// `None`: time does not mend it.
    pub wait: Option<Wait>,
    /// Something of the session may be left on the relay.
    pub remains: bool,
    /// It can be like this while a session starts.
    early: bool,
    /// Nothing comes from the relay, though its system answers.
    frozen: bool,
    /// Why another look is wanted before anything is ended for it; `None`: none is.
    pub doubt: Option<Doubt>,
}

/// What another look may show, after which what was seen last holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// It may only be slow.
    Slow,
    /// The client may be ending: it closes what it holds before anybody hears why, and that is what has to be told.
    Ending,
}

impl Trouble {
    /// Of a kind that is over some day.
    #[must_use]
    pub fn passing(message: String) -> Self {
        Self {
            message,
            wait: Some(Wait::Time),
            remains: false,
            early: false,
            frozen: false,
            doubt: None,
        }
    }

    /// Of a kind that somebody has to mend.
    #[must_use]
    pub fn lasting(message: String) -> Self {
        Self {
            wait: None,
            ..Self::passing(message)
        }
    }

    /// Of a kind that is over when the relay's port answers.
    #[must_use]
    pub fn of_line(message: String) -> Self {
        Self {
            wait: Some(Wait::Line),
            ..Self::passing(message)
        }
    }

    fn with_remains(self) -> Self {
        Self { remains: true, ..self }
    }

    fn early(self) -> Self {
        Self { early: true, ..self }
    }

    /// Whether a session that is starting may have it for a while.
    #[must_use]
    pub fn may_pass_in_start(&self) -> bool {
        self.early
    }

    /// Whether that would be something else, had the relay's server answered a moment ago.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        self.frozen
    }
}

/// How the target is to greet.
#[must_use]
pub fn kind(config: &config::Relay) -> Kind {
    config.greeting.unwrap_or_else(|| Kind::of_port(config.target.port))
}

/// Milliseconds that the target took to greet through the tunnel, or what is wrong.
///
/// # Errors
/// What is wrong.
pub fn judge(sight: &Sight, config: &config::Relay, complaint: Option<Word>) -> Result<u32, Trouble> {
    let unanswered = sight.line.is_some_and(|line| line.unanswered);
    let slow = sight.through == Outcome::Mute && !unanswered;
    // A target that was asked twice, through the tunnel and directly, is down.
    judged(sight, config, complaint, unanswered).map_err(|trouble| Trouble {
        doubt: match () {
            () if trouble.early => Some(Doubt::Ending),
            () if slow && trouble.wait != Some(Wait::Target) => Some(Doubt::Slow),
            () => None,
        },
        ..trouble
    })
}

fn judged(sight: &Sight, config: &config::Relay, complaint: Option<Word>, unanswered: bool) -> Result<u32, Trouble> {
    let port = config.remote_port;
    match (&sight.through, sight.reached) {
        (Outcome::Greets(latency), Some(true) | None) => return Ok(*latency),
        (Outcome::Greets(_) | Outcome::Foreign(_), Some(false)) => return Err(stolen(config)),
        _ => {}
    }
    if unanswered {
        let message = "the line is cut: the relay has acknowledged nothing for a while".to_string();
        return Err(Trouble::of_line(message).with_remains());
    }
    if let Some(trouble) = of_target(sight, config) {
        return Err(trouble);
    }
    Err(match (&sight.through, complaint) {
        (_, Some(Word::Prohibited)) => Trouble::lasting(format!(
            "the account on the relay may not open 127.0.0.1:{port}, so that nothing can be checked: allow it with permitopen, as 'lanward relay script {}' says",
            config.name
        )),
        (Outcome::Closed, _) if sight.reached != Some(true) => {
            Trouble::passing(format!("nothing listens on port {port} of the relay any more"))
                .with_remains()
                .early()
        }
        (Outcome::Refused | Outcome::Unreachable(_), _) => {
            Trouble::passing("the client does not listen for our checks".into()).early()
        }
        (_, _) if sight.reached == Some(true) => {
            Trouble::passing("the target's answer does not come back through the tunnel".into()).with_remains()
        }
        _ => Trouble {
            frozen: true,
            ..Trouble::of_line("the relay is frozen: its system acknowledges, its SSH server answers nothing".into())
                .with_remains()
        },
    })
}

/// The relay has given us the port, and no connection to it. dropbear's client does not say why.
#[must_use]
pub fn not_opened(config: &config::Relay) -> Trouble {
    Trouble::passing(format!(
        "the relay opens no connection to its port {} for our checks: nothing listens there, or the account may not have it (permitopen, as 'lanward relay script {}' says)",
        config.remote_port, config.name
    ))
    .with_remains()
}

/// The port leads elsewhere.
#[must_use]
pub fn stolen(config: &config::Relay) -> Trouble {
    let port = config.remote_port;
    let message =
        format!("another program listens on port {port} of the relay: who connects there does not reach the target");
    Trouble::passing(message).with_remains()
}

fn of_target(sight: &Sight, config: &config::Relay) -> Option<Trouble> {
    let how = match sight.direct.as_ref()? {
        Outcome::Greets(_) => return None,
        Outcome::Mute if kind(config) == Kind::None => return None,
        Outcome::Mute => "accepts connections and says nothing".to_string(),
        Outcome::Closed => "closes connections without a greeting".to_string(),
        Outcome::Foreign(why) => format!("does not greet as it should: {why}"),
        Outcome::Refused => "refuses connections".to_string(),
        Outcome::Unreachable(why) => format!("cannot be reached: {why}"),
    };
    let message = format!("the target {} is down: it {how}", config.target);
    Some(Trouble {
        wait: Some(Wait::Target),
        ..Trouble::passing(message)
    })
}

/// Whether a client can have ended for it: the others are about single connections through it.
#[must_use]
pub fn explains_exit(word: Word) -> bool {
    !matches!(word, Word::Target | Word::NotOpened | Word::Prohibited)
}

/// What a client's complaint means for its relay. `line`: the client's words.
#[must_use]
pub fn explained(config: &config::Relay, word: Word, line: &str) -> Trouble {
    let name = &config.name;
    let host = &config.host;
    match word {
        Word::HostKeyChanged => Trouble::lasting(format!(
            "{OTHER_KEY} than the pinned one: somebody may be in between, or it was installed anew. Nothing is sent to it until that is settled"
        )),
        Word::HostKeyUnknown => Trouble::lasting(format!(
            "{NO_KEY}; dropbear's client asks for its ssh-ed25519 key first: compare that one and pin it ({line})"
        )),
        // Whoever sits on the line can say this: time may mend it.
        Word::NoHostKeyType => Trouble::passing(format!("{NO_KEY} ({line})")),
        Word::KeyRefused => Trouble::lasting(format!(
            "the relay does not take our key for the account {}: 'lanward relay script {name}' prints the line for its authorized_keys ({line})",
            config.user
        )),
        Word::NoAlgorithm => Trouble::passing(format!("client and relay have no cryptography in common: {line}")),
        Word::KeyFile => Trouble::lasting(format!("the client cannot use the key {}: {line}", config.key)),
        Word::Option => Trouble::lasting(format!("the client does not understand what it is told: {line}")),
        Word::NotResolved => Trouble::of_line(format!("the name {host} is not known now: {line}")),
        Word::Refused => Trouble::of_line(format!("nobody listens on port {} of {host}: {line}", config.port)),
        Word::Unreachable | Word::TimedOut => Trouble::of_line(format!("{host} cannot be reached: {line}")),
        Word::KeepAlive => {
            Trouble::of_line(format!("the relay has gone silent: {line}")).with_remains()
        }
        Word::Closed => Trouble::passing(format!("the relay has closed the connection: {line}")),
        _ => Trouble::passing(line.to_string()),
    }
}
