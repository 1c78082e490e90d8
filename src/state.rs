//! What is remembered, and what every event leads to. [`State`] is the single owner; [`State::handle`] is pure.

mod calls;
mod deadlines;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use crate::config::{self, Config, Problem, System};
use crate::event::{Action, CallId, CutScope, Event, Netifd, Now, Reading, Survey, Texts, Then, Verified, Wake};
use crate::network::{self, Links, Network};
use crate::nft::Table;
use crate::policy::{self, Compiled};
use crate::profiles::{self, Profiles};
use crate::report;
use crate::ruleset;
use crate::schedule::Window;
use crate::system::nftables::{Counter, Verdict};
use crate::uci;
use deadlines::Deadlines;
use log::Level;
use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Everything the daemon knows.
#[derive(Debug, Default)]
pub struct State {
    /// Monotonic milliseconds of the start.
    pub(crate) started: u64,
    /// The last configuration that was accepted.
    pub(crate) config: Config,
    /// Whether one was accepted (or its closed form taken, at the start).
    configured: bool,
    /// One that was read since and waits for [`State::evaluate`], or was refused there: it is tried again whenever the router has changed.
    candidate: Option<Config>,
    /// What is wrong with the files as they were read last.
    file_problems: Vec<Problem>,
    firewall: Option<uci::Package>,
    network_file: Option<uci::Package>,
    time_zone: String,
    /// The applications' file, or why it could not be read; `None`: not read yet.
    pub(crate) profiles: Option<Result<Profiles, String>>,
    netifd: Option<Value>,
    /// Why it did not answer, as it was logged.
    netifd_silent: Option<String>,
    links: Links,
    /// Why they could not be read the last time; logged once.
    links_error: Option<String>,
    surveyed: bool,
    /// The configuration resolved on this router, with its own problems and warnings.
    pub(crate) compiled: Option<Compiled>,
    pub(crate) network: Network,
    /// The problems of the last attempt to resolve it, which may have been refused.
    policy_problems: Vec<Problem>,
    /// A switch that was turned without being saved.
    unsaved: Option<Override>,
    /// What the kernel should hold.
    wanted: Option<Rc<Table>>,
    pub(crate) kernel: Kernel,
    /// Monotonic milliseconds at which the pause ends.
    pause_until: Option<u64>,
    pub(crate) flows_cut: u32,
    carried: Carried,
    learned: BTreeSet<std::net::IpAddr>,
    reloads: Vec<CallId>,
    deadlines: Deadlines,
    failures: u32,
    losses: Losses,
    /// Why the table could not be read the last time; logged once.
    unseen: Option<String>,
}

/// So that the devices are a guess, if a good one.
const WITHOUT_NETIFD: &str = "netifd: no answer; devices are those that /etc/config/network lets expect";

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

/// A switch that was turned without being saved. It outlives the daemon in the run directory (and so not a reboot), for as long as the configuration says what it said then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// What the switch was turned to.
    pub on: bool,
    /// `lan_only.enabled` at that time.
    pub configured: bool,
}

/// What the state knows for the diagnosis; the fields are those of [`State`].
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Known {
    pub config: Config,
    pub problems: Vec<Problem>,
    pub network: Network,
    pub firewall: Option<uci::Package>,
    pub time_zone: String,
    pub profiles: Result<Profiles, String>,
    pub wanted: Option<Rc<Table>>,
    pub unix: u64,
}

/// How often the table was lost lately.
#[derive(Debug, Default)]
struct Losses {
    last: u64,
    count: u32,
}

/// Named counters start at 0 when the table is lost. What they had counted until then is carried.
#[derive(Debug, Default)]
struct Carried {
    last: BTreeMap<String, Counter>,
    sum: BTreeMap<String, Counter>,
}

impl State {
    /// Takes what happened and says what to do. `now` is the time of the event.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        match event {
            Event::Started => self.start(now),
            Event::Configured(texts, call) => self.configure(*texts, call, now),
            Event::Wake(wake) => self.wake(wake, now),
            Event::Surveyed(survey) => self.surveyed(*survey, now),
            Event::Applied(result) => self.applied(result, now),
            Event::Verified(result) => self.verified(result, now),
            Event::Switched { result, then } => self.switched(result, then, now),
            Event::Cut { result, then } => self.cut(&result, then),
            Event::Saved { result, then } => self.saved(result, then),
            Event::Paused { seconds, result, call } => self.paused(seconds, result, call, now),
            Event::Read { result, call, reply } => self.read(result, call, reply, now),
            Event::Diagnosed { facts, call } => {
                vec![Action::Answer(call, Ok(report::checks(&crate::check::diagnose(&facts))))]
            }
            Event::Call { id, method, arguments } => self.call(id, &method, &arguments),
            Event::Deadline => self.deadline(now),
            Event::Terminate => vec![
                Action::Log(Level::Info, "stopping; what is enforced stays enforced".into()),
                Action::Exit,
            ],
        }
    }

    fn start(&mut self, now: Now) -> Vec<Action> {
        self.started = now.monotonic;
        vec![
            Action::Log(Level::Info, format!("lanward {} starts", report::VERSION)),
            Action::ReadConfig(None),
        ]
    }

    /// Takes the files in. A problem in something that restricts refuses them as a whole: what was accepted before stays.
    fn configure(&mut self, texts: Texts, call: Option<CallId>, now: Now) -> Vec<Action> {
        let (config, mut problems) = match &texts.lanward {
            Ok(text) => config::read_text(text.as_deref()),
            Err(error) => config::closed(&format!("cannot be read: {error}")),
        };
        let firewall = package(&texts.firewall, "firewall", &mut problems);
        let network_file = package(&texts.network, "network", &mut problems);
        // A file that cannot be read does not take back what it said before.
        self.firewall = firewall.or_else(|| self.firewall.take());
        self.network_file = network_file.or_else(|| self.network_file.take());
        self.time_zone = texts.time_zone;
        let text = texts.profiles.as_deref().ok_or_else(|| "there is no such file".to_string());
        self.profiles = Some(text.and_then(|text| profiles::parse(text).map_err(|error| error.to_string())));
        if let Some(Ok(profiles)) = &self.profiles {
            problems.extend(report::unknown_profiles(&config, profiles));
        }

        let refused = self.configured && is_restricting(&problems);
        self.candidate = None;
        let mut actions = Vec::new();
        if !self.configured {
            self.unsaved = texts.run_state.as_deref().and_then(Override::decode);
            self.configured = true;
            actions.extend(self.accept(config));
        } else if !refused {
            self.candidate = Some(config);
        }
        actions.extend(self.report_problems(problems, self.policy_problems.clone()));
        if refused {
            actions.push(refusal());
        }
        self.reloads.extend(call);
        if self.surveyed {
            actions.extend(self.evaluate(now));
            self.deadlines.survey_soon(now.monotonic);
        } else {
            actions.push(Action::Survey);
        }
        actions
    }

    fn accept(&mut self, config: Config) -> Vec<Action> {
        self.config = config;
        let level = Action::LogLevel(self.config.log_level);
        [level].into_iter().chain(self.drop_outlived_note()).collect()
    }

    /// The configuration has spoken since the switch was turned without being saved; for the next daemon, too.
    fn drop_outlived_note(&mut self) -> Option<Action> {
        self.unsaved.take_if(|unsaved| unsaved.configured != self.config.lan_only.enabled)?;
        Some(Action::WriteRunState(None))
    }

    fn wake(&mut self, wake: Wake, now: Now) -> Vec<Action> {
        match wake {
            Wake::Config => vec![Action::ReadConfig(None)],
            Wake::Links | Wake::Netifd => {
                self.deadlines.survey_soon(now.monotonic);
                Vec::new()
            }
            Wake::BusUp => {
                self.deadlines.survey_soon(now.monotonic);
                vec![Action::Log(Level::Info, "connected to ubus".into())]
            }
            Wake::BusDown(reason) => vec![Action::Log(Level::Warn, format!("no ubus: {reason}; enforcement goes on"))],
            Wake::Nftables(program) => {
                self.deadlines.verify_soon(now.monotonic);
                let program = program.as_deref().unwrap_or("unknown");
                vec![Action::Log(Level::Debug, format!("nftables changed by {program}: looking after the table"))]
            }
        }
    }

    fn surveyed(&mut self, survey: Survey, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        // While netifd or the bus is away, what it said last is better than nothing.
        match survey.netifd {
            Netifd::NotAsked => {}
            Netifd::Silent(why) if self.netifd.is_none() && self.netifd_silent.as_ref() != Some(&why) => {
                actions.push(Action::Log(Level::Warn, format!("{WITHOUT_NETIFD} ({why})")));
                self.netifd_silent = Some(why);
            }
            Netifd::Silent(_) => {}
            Netifd::Says(dump) => self.netifd = Some(dump),
        }
        match survey.links {
            Ok(links) => {
                self.links = links;
                self.links_error = None;
            }
            Err(error) => {
                self.deadlines.survey_again(now.monotonic);
                if self.links_error.as_ref() != Some(&error) {
                    actions.push(Action::Log(Level::Warn, format!("devices cannot be read: {error}")));
                    self.links_error = Some(error);
                }
            }
        }
        self.surveyed = true;
        actions.extend(self.evaluate(now));
        actions
    }

    /// Resolves, lays out, and applies if that makes a difference.
    fn evaluate(&mut self, now: Now) -> Vec<Action> {
        let network = network::read(&network::Sources {
            firewall: self.firewall.as_ref(),
            network: self.network_file.as_ref(),
            netifd: self.netifd.as_ref(),
            links: &self.links,
        });
        let compile = |config: &Config| policy::compile(config, &network, &self.time_zone, now.unix);
        let mut compiled = compile(self.candidate.as_ref().unwrap_or(&self.config));
        let mut actions = Vec::new();
        let problems = compiled.problems.clone();
        if let Some(candidate) = self.candidate.take() {
            if self.wanted.is_some() && is_restricting(&compiled.problems) {
                compiled = compile(&self.config);
                self.candidate = Some(candidate);
            } else {
                actions.extend(self.accept(candidate));
            }
        }
        let known: BTreeSet<Problem> = self.policy_problems.iter().cloned().collect();
        let is_news = problems.iter().any(|problem| problem.restricts && !known.contains(problem));
        actions.extend(self.report_problems(self.file_problems.clone(), problems));
        // What holds goes on to hold; but a closed form (taken at the start) has to follow the router's devices as well.
        let is_whole = self.compiled.as_ref().is_some_and(|compiled| !is_restricting(&compiled.problems));
        let refused = is_whole && is_restricting(&compiled.problems);
        if is_news && (refused || self.candidate.is_some()) {
            actions.push(refusal());
        }
        if !refused {
            actions.extend(self.report_warnings(&compiled));
            self.network = network;
            self.compiled = Some(compiled);
            self.place_schedule(now);
        }
        let before = self.wanted.clone();
        self.lay_out();
        match (&self.kernel, &self.wanted) {
            (_, None) => {}
            (Kernel::Unknown, Some(wanted)) => actions.push(Action::Verify(Rc::clone(wanted))),
            (Kernel::Holds | Kernel::Applied, wanted) if *wanted == before => {}
            (_, Some(wanted)) => actions.push(Action::Apply(Rc::clone(wanted))),
        }
        if !matches!(actions.last(), Some(Action::Apply(_) | Action::Verify(_))) {
            actions.extend(self.answer_reloads());
        }
        actions
    }

    /// Brings [`State::wanted`] in line with the policy and the switch.
    fn lay_out(&mut self) {
        let Some(compiled) = &self.compiled else { return };
        let table = ruleset::lay_out(&compiled.policy, self.element_on());
        if self.wanted.as_deref() != Some(&table) {
            self.wanted = Some(Rc::new(table));
        }
    }

    fn applied(&mut self, result: Result<(), String>, now: Now) -> Vec<Action> {
        if let Err(error) = result {
            return self.failed(error, now);
        }
        let lost = self.kernel == Kernel::Lost;
        self.kernel = Kernel::Applied;
        let Some(wanted) = self.wanted.clone() else { return Vec::new() };
        let mut actions = Vec::new();
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
        actions.push(Action::Verify(Rc::clone(&wanted)));
        actions.push(Action::WriteScript(wanted));
        actions.extend(self.cut_action(now, Then::default()));
        actions
    }

    fn failed(&mut self, error: String, now: Now) -> Vec<Action> {
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

    fn verified(&mut self, result: Result<Verified, String>, now: Now) -> Vec<Action> {
        let Some(wanted) = self.wanted.clone() else { return Vec::new() };
        let verified = match result {
            Ok(verified) => verified,
            Err(error) => return self.unseen(error, now),
        };
        self.unseen = None;
        self.adopt(&verified.reading, now);
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
            (Verdict::Differs(differences), Kernel::Applied) => {
                self.failed(format!("the kernel made something else of it: {}", differences.join("; ")), now)
            }
            (Verdict::Missing, Kernel::Applied) => self.failed("it was removed at once".into(), now),
            (_, Kernel::Unknown | Kernel::Failed(_)) => vec![Action::Apply(wanted)],
            (verdict, Kernel::Holds | Kernel::Lost) => {
                let what = match verdict {
                    Verdict::Differs(differences) => format!("changed by another program ({})", differences.join("; ")),
                    Verdict::Missing | Verdict::Same => "deleted by another program".to_string(),
                };
                self.kernel = Kernel::Lost;
                let often = if self.losses.note(now) == Losses::LOGGED { "; if it goes on like this, it is not logged" } else { "" };
                vec![
                    Action::Log(self.losses.level(), format!("table {what}; putting it back{often}")),
                    Action::Notify("table.lost", json!({ "reason": what })),
                    Action::Apply(wanted),
                ]
            }
        }
    }

    /// Takes over what the kernel knows better: the pause that an earlier daemon began, the counters.
    fn adopt(&mut self, reading: &Reading, now: Now) {
        if !reading.present {
            return;
        }
        self.carried.take(&reading.counters);
        self.learned.clone_from(&reading.learned);
        let paused = reading.paused.filter(|left| *left <= calls::LONGEST_PAUSE);
        if let (None, Some(left)) = (self.pause_until, paused) {
            self.pause_until = Some(now.monotonic.saturating_add(left));
        }
    }

    /// A table that the firewall's include has put back is right in everything but the pause; and a pause that nobody could have
    /// asked us for is another program's.
    fn mend_pause(&self, reading: &Reading, now: Now) -> Vec<Action> {
        let left = self.pause_left(now);
        match reading.paused {
            None if reading.present => left.map(|seconds| Action::Pause { seconds, call: None }).into_iter().collect(),
            Some(paused) if paused > calls::LONGEST_PAUSE => vec![
                Action::Log(Level::Warn, "a pause without an end was put in by another program; taking it out".into()),
                Action::Pause { seconds: left.unwrap_or(0), call: None },
            ],
            None | Some(_) => Vec::new(),
        }
    }

    /// Whole seconds of the pause that are left, if there are any.
    fn pause_left(&self, now: Now) -> Option<u32> {
        let left = self.pause_until?.checked_sub(now.monotonic)? / 1000;
        u32::try_from(left).ok().filter(|seconds| *seconds > 0)
    }

    /// Seconds of the pause that are left, rounded up; 0: not paused.
    pub(crate) fn pause_seconds(&self, now: Now) -> u64 {
        self.pause_until.map_or(0, |end| end.saturating_sub(now.monotonic).div_ceil(1000))
    }

    /// The windows in which the mode does not hold, as the kernel has them.
    fn off_hours(&self) -> &[Window] {
        let windows = self.compiled.as_ref().and_then(|compiled| compiled.policy.lan_only.off_hours.as_deref());
        windows.unwrap_or_default()
    }

    /// Whether the schedule lets everything pass now: judged as the kernel does it.
    pub(crate) fn out_of_hours(&self, now: Now) -> bool {
        self.off_hours().iter().any(|window| (window.from..=window.to).contains(&now.unix))
    }

    /// Whether the switch is on and the kernel's rules are those that are wanted, as far as anybody has looked.
    pub(crate) fn holds(&self) -> bool {
        self.on() && self.unseen.is_none() && matches!(self.kernel, Kernel::Holds | Kernel::Applied)
    }

    /// The switch as it was turned last.
    pub(crate) fn on(&self) -> bool {
        self.unsaved.map_or(self.config.lan_only.enabled, |unsaved| unsaved.on)
    }

    /// Whether the rules see packets at all: observing does not wait for the switch.
    fn element_on(&self) -> bool {
        self.on() || self.config.lan_only.observe
    }

    /// Running flows are cut only while packets would be dropped, too.
    fn cut_action(&self, now: Now, then: Then) -> Option<Action> {
        if !self.on() || self.config.lan_only.observe || self.pause_left(now).is_some() || self.out_of_hours(now) {
            return None;
        }
        let lan_only = self.compiled.as_ref()?.policy.lan_only.clone();
        let scope = Box::new(CutScope { lan_only, learned: self.learned.clone() });
        Some(Action::Cut { scope, then })
    }

    /// What works and may still surprise, on this router.
    pub(crate) fn router_warnings(&self) -> Vec<String> {
        let mut warnings = self.compiled.as_ref().map(|compiled| compiled.warnings.clone()).unwrap_or_default();
        if self.netifd.is_none() {
            warnings.push(WITHOUT_NETIFD.into());
        }
        warnings
    }

    fn known_network(&self) -> Network {
        let mut network = self.network.clone();
        if self.netifd.is_none() {
            network.warnings.push(WITHOUT_NETIFD.into());
        }
        network
    }

    /// What the diagnosis starts from.
    #[must_use]
    pub fn known(&self, now: Now) -> Known {
        Known {
            config: self.config.clone(),
            problems: self.problems(),
            network: self.known_network(),
            firewall: self.firewall.clone(),
            time_zone: self.time_zone.clone(),
            profiles: self.profiles.clone().unwrap_or_else(|| Err("not read yet".into())),
            wanted: self.wanted.clone(),
            unix: now.unix,
        }
    }

    /// All problems as they stand.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.file_problems.iter().chain(&self.policy_problems).cloned().collect()
    }

    /// Whether what the configuration says is what the kernel does.
    pub(crate) fn is_applied(&self) -> bool {
        self.kernel == Kernel::Holds && self.unseen.is_none() && !is_restricting(&self.problems())
    }

    /// What is wrong between us and the kernel, for people.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Kernel::Failed(error) = &self.kernel {
            return Some(format!("the table could not be applied: {error}"));
        }
        self.unseen.as_ref().map(|error| format!("the table cannot be looked at: {error}"))
    }

    /// Remembers the problems; those that are new are logged and told.
    fn report_problems(&mut self, file: Vec<Problem>, policy: Vec<Problem>) -> Vec<Action> {
        let known: BTreeSet<Problem> = self.problems().into_iter().collect();
        self.file_problems = file;
        self.policy_problems = policy;
        let fresh = self.problems().into_iter().filter(|problem| !known.contains(problem));
        fresh
            .flat_map(|problem| {
                let level = if problem.restricts { Level::Error } else { Level::Warn };
                [
                    Action::Log(level, format!("{}: {}", problem.option, problem.message)),
                    Action::Notify("problem", json!({ "option": problem.option, "message": problem.message })),
                ]
            })
            .collect()
    }

    fn report_warnings(&self, compiled: &Compiled) -> Vec<Action> {
        let known = self.compiled.as_ref().map(|known| known.warnings.as_slice()).unwrap_or_default();
        let fresh = compiled.warnings.iter().filter(|warning| !known.contains(warning));
        fresh.map(|warning| Action::Log(Level::Warn, warning.clone())).collect()
    }

    fn answer_reloads(&mut self) -> Vec<Action> {
        let answer = report::reload(self);
        std::mem::take(&mut self.reloads).into_iter().map(|call| Action::Answer(call, Ok(answer.clone()))).collect()
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
        if self.count > Self::LOGGED { Level::Debug } else { Level::Warn }
    }
}

impl Carried {
    fn take(&mut self, reading: &BTreeMap<String, Counter>) {
        for (name, last) in &self.last {
            let now = reading.get(name).copied().unwrap_or_default();
            if now.packets < last.packets {
                let sum = self.sum.entry(name.clone()).or_default();
                sum.packets = sum.packets.saturating_add(last.packets);
                sum.bytes = sum.bytes.saturating_add(last.bytes);
            }
        }
        self.last.clone_from(reading);
    }
}

impl Override {
    /// As it is kept in the run directory.
    #[must_use]
    pub fn encode(self) -> String {
        format!("{}\n", json!({ "lan_only": self.on, "configured": self.configured }))
    }

    /// `None` for anything else than [`Override::encode`] writes: then the configuration alone counts.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        Some(Self { on: value.get("lan_only")?.as_bool()?, configured: value.get("configured")?.as_bool()? })
    }
}

fn is_restricting(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.restricts)
}

fn refusal() -> Action {
    Action::Log(Level::Error, "configuration refused; what was applied stays".into())
}

fn file_problem(file: &str, message: &str) -> Problem {
    Problem { system: System::Lanward, option: file.into(), message: message.into(), restricts: true }
}

/// A configuration file that is only read. `None` with a problem noted if it cannot be.
pub(crate) fn package(text: &Result<Option<Vec<u8>>, String>, file: &str, problems: &mut Vec<Problem>) -> Option<uci::Package> {
    let error = match text {
        Ok(None) => return None,
        Ok(Some(text)) => match uci::parse(text) {
            Ok(package) => return Some(package),
            Err(error) => format!("line {}, column {}: {}", error.line, error.column, error.message),
        },
        Err(error) => error.clone(),
    };
    problems.push(file_problem(file, &error));
    None
}
