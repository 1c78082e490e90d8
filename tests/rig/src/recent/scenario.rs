//! Steps as lines of text, and both routers taken through them.
//!
//! A line is `WHO SERVICE[#N] ACT: VERDICTS`, or, where the routers differ, `…: VERDICTS / VERDICTS, DIFFERENCE` (the seed's first; several
//! differences joined by `and`), or `wait N`. WHO is a letter; N tells apart a client's connections to one service. Verdicts: one for each
//! segment that the client sent, `none` where it sent none.

use super::model::{Expected, Model, DIFFERENCES};
use super::{Act, Router, Service, Source, Step, Terms, Verdict, SERVICES};
use crate::house::Family;
use crate::segments::flag;
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::io;
use std::time::{Duration, Instant};

/// One moment to the next. Two are within a window of three seconds, three are beyond it, with room for [`SLACK`].
pub const MOMENT: Duration = Duration::from_millis(1200);
/// The window that goes with it, in seconds and in moments.
pub const WINDOW: (u32, u32) = (3, 2);
/// How long all that happens in one moment may take.
const SLACK: Duration = Duration::from_millis(550);

/// A line: what happens, and what is to come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Line {
    pub moment: u32,
    pub who: u8,
    pub service: Service,
    pub session: u8,
    pub act: Act,
    pub expected: Expected,
}

/// Lines under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Scenario {
    pub name: String,
    pub lines: Vec<Line>,
}

const ACTS: [(Act, &str); 10] = [
    (Act::Syn, "syn"),
    (Act::SynAgain, "syn again"),
    (Act::Ack, "ack"),
    (Act::BlindAck, "blind ack"),
    (Act::Data, "data"),
    (Act::Hear, "hear"),
    (Act::Fin, "fin"),
    (Act::FinAlone, "fin alone"),
    (Act::FinOfServer, "fin of server"),
    (Act::Rst, "rst"),
];

/// Segments that belong to no connection, as port scanners send them.
pub const STRAYS: [(u8, &str); 6] = [
    (flag::ACK, "stray ack"),
    (flag::FIN, "stray fin"),
    (flag::FIN | flag::ACK, "stray fin ack"),
    (flag::RST, "stray rst"),
    (0, "stray null"),
    (flag::FIN | flag::PSH | flag::URG, "stray xmas"),
];

const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Accepted, "accepted"),
    (Verdict::Arrived, "arrived"),
    (Verdict::Reset, "reset"),
    (Verdict::Silent, "silent"),
    (Verdict::Unseen, "unseen"),
];

fn named<T: Copy>(table: &[(T, &str)], word: &str) -> Option<T> {
    table.iter().find(|(_, name)| *name == word).map(|(value, _)| *value)
}

fn name_of<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> Option<&'static str> {
    table.iter().find(|(known, _)| known == value).map(|(_, name)| *name)
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::Ssh => "ssh",
        Service::Imaps => "imaps",
        Service::Web => "web",
    }
}

impl Scenario {
    /// Reads it.
    ///
    /// # Panics
    /// At a line that is none.
    #[must_use]
    pub fn parse(name: &str, text: &str) -> Self {
        let mut lines = Vec::new();
        let mut moment = 0;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let waits = line
                .strip_prefix("wait ")
                .and_then(|moments| moments.parse::<u32>().ok());
            if let Some(moments) = waits {
                moment += moments;
            } else {
                let line = Line::parse(moment, line).unwrap_or_else(|| panic!("{name}: not a line: {line}"));
                lines.push(line);
            }
        }
        let name = name.to_owned();
        Self { name, lines }
    }

    /// How many sources it has.
    #[must_use]
    pub fn sources(&self) -> u8 {
        self.lines.iter().map(|line| line.who + 1).max().unwrap_or(0)
    }
}

impl Line {
    fn parse(moment: u32, line: &str) -> Option<Self> {
        let (what, expected) = line.split_once(": ")?;
        let mut words = what.splitn(3, ' ');
        let who = words.next()?.bytes().next()?.checked_sub(b'a')?;
        let (service, session) = match words.next()? {
            word if word.contains('#') => word.split_once('#')?,
            word => (word, "0"),
        };
        let service = SERVICES.into_iter().find(|known| service_name(*known) == service)?;
        let act = words.next()?;
        let act = named(&ACTS, act).or_else(|| named(&STRAYS, act).map(Act::Stray))?;
        let (verdicts, why) = expected.split_once(", ").unwrap_or((expected, ""));
        let (seed, ours) = verdicts.split_once(" / ").unwrap_or((verdicts, verdicts));
        let why = why.split(" and ").filter(|name| !name.is_empty());
        Some(Self {
            moment,
            who,
            service,
            session: session.parse().ok()?,
            act,
            expected: Expected {
                seed: parse_verdicts(seed)?,
                ours: parse_verdicts(ours)?,
                why: why.map(|name| named(&DIFFERENCES, name)).collect::<Option<_>>()?,
            },
        })
    }

    /// The step, where the scenario's first source is this one.
    #[must_use]
    pub fn step(&self, first: Source) -> Step {
        Step {
            source: Source {
                number: first.number + self.who,
                ..first
            },
            service: self.service,
            session: self.session,
            act: self.act,
        }
    }
}

fn parse_verdicts(text: &str) -> Option<Vec<Verdict>> {
    match text {
        "none" => Some(Vec::new()),
        words => words.split(' ').map(|word| named(&VERDICTS, word)).collect(),
    }
}

struct Verdicts<'a>(&'a [Verdict]);

impl Display for Verdicts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, verdict) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " " })?;
            match name_of(&VERDICTS, verdict) {
                Some(name) => f.write_str(name)?,
                None => write!(f, "{verdict:?}")?,
            }
        }
        Ok(())
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", char::from(b'a' + self.who), service_name(self.service))?;
        if self.session != 0 {
            write!(f, "#{}", self.session)?;
        }
        let act = match &self.act {
            Act::Stray(flags) => name_of(&STRAYS, flags),
            act => name_of(&ACTS, act),
        };
        write!(f, " {}: {}", act.unwrap_or("?"), self.expected)
    }
}

impl Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Verdicts(&self.seed))?;
        if self.seed == self.ours {
            return Ok(());
        }
        let why: Vec<&str> = self.why.iter().filter_map(|why| name_of(&DIFFERENCES, why)).collect();
        write!(f, " / {}, {}", Verdicts(&self.ours), why.join(" and "))
    }
}

/// A scenario's lines up to one of them, as they can be read again.
fn told(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut moment = 0;
    for line in lines {
        if line.moment > moment {
            text.push_str(&format!("wait {}\n", line.moment - moment));
            moment = line.moment;
        }
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// What is not as a scenario says.
#[derive(Debug)]
pub struct Complaint {
    /// Of the scenario.
    pub name: String,
    /// Its lines up to the one that is meant, and what was seen there.
    pub text: String,
}

impl Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:\n{}", self.name, self.text)
    }
}

/// Both routers.
#[derive(Debug)]
pub struct Pair {
    seed: Router,
    ours: Router,
    next_port: u16,
}

impl Pair {
    /// Builds both.
    ///
    /// # Errors
    /// Where the machine does not allow namespaces or TUN devices.
    pub fn new(terms: &Terms) -> io::Result<Self> {
        Ok(Self {
            seed: Router::of_the_seed(terms)?,
            ours: Router::of_lanward(terms)?,
            next_port: 1024,
        })
    }

    /// Does a step at both: the seed's verdicts, and ours.
    ///
    /// # Panics
    /// If there is no port left.
    pub fn perform(&mut self, step: &Step) -> [Vec<Verdict>; 2] {
        self.next_port = self.next_port.checked_add(1).expect("fewer connections than ports");
        [
            self.seed.perform(step, self.next_port),
            self.ours.perform(step, self.next_port),
        ]
    }
}

/// Takes both routers through all scenarios at once, each with sources of its own, and again with new routers if the machine was too slow for
/// the moments to be told apart. What the scenarios say must be seen, and must be what the model says.
///
/// # Errors
/// Where the machine does not allow namespaces or TUN devices.
///
/// # Panics
/// If the machine is too slow again and again.
pub fn play(terms: &Terms, scenarios: &[(Family, Scenario)]) -> io::Result<Vec<Complaint>> {
    for _ in 0..5 {
        if let Some(complaints) = attempt(terms, scenarios)? {
            return Ok(complaints);
        }
    }
    panic!("this machine is too slow: {SLACK:?} are not enough for one moment's steps");
}

/// `None` if a moment took too long.
fn attempt(terms: &Terms, scenarios: &[(Family, Scenario)]) -> io::Result<Option<Vec<Complaint>>> {
    let mut model = Model::new(terms, WINDOW.1, seed_size()?);
    let mut pair = Pair::new(terms)?;
    let mut complaints = Vec::new();
    let mut complained = BTreeSet::new();
    let moments = scenarios
        .iter()
        .flat_map(|(_, scenario)| &scenario.lines)
        .map(|line| line.moment);
    let began = Instant::now();
    for moment in 0..=moments.max().unwrap_or(0) {
        let begins = began + MOMENT * moment;
        std::thread::sleep(begins.saturating_duration_since(Instant::now()));
        let mut next = [1_u8; 2];
        for (index, (family, scenario)) in scenarios.iter().enumerate() {
            let free = &mut next[usize::from(*family == Family::V6)];
            let first = Source {
                family: *family,
                number: *free,
            };
            *free += scenario.sources();
            for (at, line) in scenario
                .lines
                .iter()
                .enumerate()
                .filter(|(_, line)| line.moment == moment)
            {
                let step = line.step(first);
                let modelled = model.step(&step, moment);
                let [seed, ours] = pair.perform(&step);
                let seen = (&seed, &ours) == (&line.expected.seed, &line.expected.ours);
                // One complaint for each scenario: what follows the first follows from it.
                if (seen && modelled == line.expected) || !complained.insert(index) {
                    continue;
                }
                let told = told(&scenario.lines[..=at]);
                let text = format!(
                    "{told}^^^ seen over {family}: {} / {}; the model says: {modelled}",
                    Verdicts(&seed),
                    Verdicts(&ours)
                );
                let name = scenario.name.clone();
                complaints.push(Complaint { name, text });
            }
        }
        if begins.elapsed() > SLACK {
            return Ok(None);
        }
    }
    Ok(Some(complaints))
}

/// How many addresses one of the seed's lists holds on this machine.
///
/// # Errors
/// Where the kernel has no xt_recent.
pub fn seed_size() -> io::Result<usize> {
    let text = std::fs::read_to_string("/sys/module/xt_recent/parameters/ip_list_tot")?;
    text.trim().parse().map_err(io::Error::other)
}
