//! What is known of remote-desktop applications: what a level stops of each, what it does not, and where that is from.
//!
//! The facts are data (`/usr/share/lanward/profiles.json`), read here with bounds. They decide nothing in the kernel: the
//! level's ports do. They decide what people are told, so whatever they leave open is said first.

mod read;

pub use read::{parse, LARGEST_FILE, SCHEMA};

use crate::config::Level;
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::sorted::Set;
use std::fmt;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles {
    /// The file's own version: a date.
    pub version: String,
    /// What was measured, without any rule.
    pub measurement: Measurement,
    /// Narrowest first.
    pub levels: Vec<LevelNote>,
    /// In the file's order; ids are unique.
    pub applications: Vec<Application>,
}

/// A text in the languages of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Text {
    pub en: String,
    pub ja: String,
}

/// How the figures at the levels came about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Measurement {
    pub what: Text,
    pub without_rule: Tally,
}

/// How many attempts of an outsider to connect succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tally {
    pub connected: u32,
    pub attempts: u32,
}

/// What choosing a level means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelNote {
    /// `seed`, `recommended` or `strict`.
    pub level: Level,
    /// The first and the last UDP destination port.
    pub ports: (u16, u16),
    /// Which peers it catches.
    pub catches: Text,
    /// Which it does not.
    pub misses: Text,
    /// What else stops working.
    pub breaks: Text,
    /// `None`: not measured.
    pub measured: Option<Tally>,
}

/// One application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// As in `list profile`: `chrome-remote-desktop`.
    pub id: String,
    /// As its maker writes it.
    pub name: String,
    /// What each level does to it.
    pub strength: Strengths,
    /// What rules of its own would reach beyond the level. They are planned: nothing applies them.
    pub with_own_rules: Option<Strength>,
    /// Empty where no level stops anything.
    pub stops: Vec<Text>,
    /// Never empty.
    pub does_not_stop: Vec<Text>,
    /// What to do about the rest.
    pub needed: Text,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Never empty.
    pub sources: Vec<Source>,
    /// What the sources leave open.
    pub unverified: Vec<Text>,
    /// When the entry was last held against its sources, `YYYY-MM-DD`.
    pub checked_on: String,
    /// How it is known.
    pub verified: Verified,
}

/// A strength for each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Strengths {
    pub seed: Strength,
    pub recommended: Strength,
    pub strict: Strength,
}

/// How much of an application's reach is cut off, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Nothing.
    None,
    /// Some of its ways, some of the time.
    Partial,
    /// Direct connections; a relay remains.
    DirectOnly,
    /// Direct connections and the relay that is known by address; one known by name only may remain.
    DirectAndKnownRelay,
    /// All but what is named.
    NearlyComplete,
    /// Everything, as long as it uses its default ports.
    CompleteDefaultPorts,
}

/// How an entry is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// From what its sources say.
    Documentation,
    /// By measuring (what exactly: see [`Application::unverified`]).
    Measured,
}

/// A range of ports and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Port {
    pub protocol: Protocol,
    pub from: u16,
    pub to: u16,
    pub direction: Direction,
    pub why: Why,
    /// The sources do not settle it.
    pub unverified: bool,
}

/// A port's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Who opens the flow, seen from the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From outside to a host in the home.
    In,
    /// From the home outwards.
    Out,
    /// Either.
    Both,
}

/// What a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Why {
    Session,
    Signalling,
    Traversal,
    Relay,
    Media,
}

/// Where a fact is from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Source {
    pub title: String,
    pub reference: String,
}

/// Why a file is not a profile file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The place in the file: `applications[3].stops[0].ja`; empty for the file as a whole.
    pub place: String,
    /// What is wrong there.
    pub message: String,
}

/// What a level and a choice of applications come to, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// One line for each thing stopped, the application's name first.
    pub stops: Vec<String>,
    /// One line for each thing that is not.
    pub does_not_stop: Vec<String>,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (heading, lines) in [("Stops", &self.stops), ("Does NOT stop", &self.does_not_stop)] {
            if lines.is_empty() {
                continue;
            }
            writeln!(f, "{heading}:")?;
            for line in lines {
                writeln!(f, "  - {line}")?;
            }
        }
        Ok(())
    }
}

impl Strengths {
    /// The strength at a level; `None` for custom ports, which nobody has judged.
    #[must_use]
    pub fn at(self, level: Level) -> Option<Strength> {
        match level {
            Level::Seed => Some(self.seed),
            Level::Recommended => Some(self.recommended),
            Level::Strict => Some(self.strict),
            Level::Custom => None,
        }
    }

    /// The narrowest level that is as strong as any.
    fn best(self) -> (Level, Strength) {
        let strongest = self.seed.max(self.recommended).max(self.strict);
        if self.seed == strongest {
            return (Level::Seed, strongest);
        }
        if self.recommended == strongest {
            return (Level::Recommended, strongest);
        }
        (Level::Strict, strongest)
    }
}

impl Strength {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("partial", Self::Partial),
        ("direct-only", Self::DirectOnly),
        ("direct-and-known-relay", Self::DirectAndKnownRelay),
        ("nearly-complete", Self::NearlyComplete),
        ("complete-default-ports", Self::CompleteDefaultPorts),
    ];

    /// The word for it in the file and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::DirectOnly => "direct-only",
            Self::DirectAndKnownRelay => "direct-and-known-relay",
            Self::NearlyComplete => "nearly-complete",
            Self::CompleteDefaultPorts => "complete-default-ports",
        }
    }
}

impl Port {
    /// Whether a flow from outside to this port of a host in the home would reach the application.
    #[must_use]
    pub fn listens_on(&self, protocol: Protocol, from: u16, to: u16) -> bool {
        // A range as wide as "any port" names no application.
        let exact = self.to.saturating_sub(self.from) < 1000;
        exact && self.direction != Direction::Out && self.protocol == protocol && self.from <= to && from <= self.to
    }
}

impl Profiles {
    /// One application by its id.
    #[must_use]
    pub fn application(&self, id: &str) -> Option<&Application> {
        self.applications.iter().find(|application| application.id == id)
    }

    /// What is known of a level; `None` for custom ports.
    #[must_use]
    pub fn level(&self, level: Level) -> Option<&LevelNote> {
        self.levels.iter().find(|note| note.level == level)
    }

    /// The first application that a flow from outside to these ports would reach.
    #[must_use]
    pub fn listening_on(&self, protocol: Protocol, from: u16, to: u16) -> Option<&Application> {
        self.applications
            .iter()
            .find(|one| one.ports.iter().any(|port| port.listens_on(protocol, from, to)))
    }

    /// What a level stops of the chosen applications and what it does not. With none chosen, of any peer. Unknown ids are left
    /// to [`Profiles::warnings`].
    #[must_use]
    pub fn summary<S: AsRef<str>>(&self, level: Level, ids: &[S]) -> Summary {
        let mut summary = Summary::default();
        if let Some(note) = self.level(level) {
            summary
                .stops
                .push(format!("direct connections from {}", note.catches.en));
            summary.does_not_stop.push(note.misses.en.clone());
            if let Some(tally) = note.measured {
                let line = format!(
                    "measured: {} of {} outsiders connected",
                    tally.connected, tally.attempts
                );
                if tally.connected == 0 {
                    &mut summary.stops
                } else {
                    &mut summary.does_not_stop
                }
                .push(line);
            }
        }
        for application in self.chosen(ids) {
            let strength = application.strength.at(level);
            // Custom ports: what they stop is for the one who chose them to know, what no port stops is the same.
            if strength.is_some_and(|strength| strength > Strength::None) {
                summary.stops.gather(
                    application
                        .stops
                        .iter()
                        .map(|text| format!("{}: {}", application.name, text.en)),
                );
            }
            let open = application.does_not_stop.iter();
            summary
                .does_not_stop
                .gather(open.map(|text| format!("{}: {}", application.name, text.en)));
        }
        summary
    }

    /// Where a chosen application asks for more than the level gives, in the order chosen.
    #[must_use]
    pub fn warnings<S: AsRef<str>>(&self, level: Level, ids: &[S]) -> Vec<String> {
        let unknown = ids
            .iter()
            .map(AsRef::as_ref)
            .filter(|id| self.application(id).is_none());
        let mut warnings: Vec<String> = unknown
            .map(|id| {
                format!(
                    "lanward.lan_only.profile: there is no profile '{}'; there are {}",
                    shown(id),
                    self.ids()
                )
            })
            .gathered();
        warnings.gather(self.chosen(ids).filter_map(|application| application.warning(level)));
        warnings
    }

    fn ids(&self) -> String {
        self.applications
            .iter()
            .map(|application| application.id.as_str())
            .gathered()
            .join(", ")
    }

    fn chosen<'a, S: AsRef<str>>(&'a self, ids: &'a [S]) -> impl Iterator<Item = &'a Application> {
        let mut seen = Set::new();
        ids.iter()
            .map(AsRef::as_ref)
            .filter(move |id| seen.insert(*id))
            .filter_map(|id| self.application(id))
    }
}

impl Application {
    fn warning(&self, level: Level) -> Option<String> {
        let name = &self.name;
        let (better, strongest) = self.strength.best();
        if strongest == Strength::None {
            return Some(format!("{name}: no level stops anything of it. {}", self.needed.en));
        }
        let Some(strength) = self.strength.at(level) else {
            return Some(format!(
                "{name}: what custom ports stop of it is not known. {}",
                self.needed.en
            ));
        };
        if strength < strongest {
            return Some(format!(
                "{name}: level '{}' is {} against it, '{}' is {}. {}",
                level_name(level),
                strength.as_str(),
                level_name(better),
                strongest.as_str(),
                self.needed.en
            ));
        }
        let message = || {
            let level = level_name(level);
            format!(
                "{name}: {} at level '{level}', and no level does more. {}",
                strength.as_str(),
                self.needed.en
            )
        };
        (strength < Strength::NearlyComplete).then(message)
    }
}

/// The level's word in the configuration.
#[must_use]
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Seed => "seed",
        Level::Recommended => "recommended",
        Level::Strict => "strict",
        Level::Custom => "custom",
    }
}

/// What came from outside, fit for a terminal and a log line.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    short.escape_debug().to_string()
}
