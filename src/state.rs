//! What is remembered, and what every event leads to. [`State`] is the single owner; [`State::handle`] is pure.

mod calls;
mod deadlines;
mod files;
mod gates;
#[cfg(test)]
mod gates_tests;
mod kernel;
mod knocks;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod overriding;
#[cfg(test)]
mod proofs_tests;
#[cfg(test)]
mod properties;
mod relays;
#[cfg(test)]
mod relays_tests;
mod sessions;
mod spas;
#[cfg(test)]
mod tests;

use crate::check::Way;
use crate::config::{self, Config, Problem};
use crate::event::{Action, CallId, CutScope, Event, Netifd, Now, Survey, Texts, Then, Wake};
use crate::gate::{Lists, Sessions, Teller};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::json::json;
use crate::network::{self, Links, Network};
use crate::nft::Table;
use crate::policy::{self, Compiled};
use crate::profiles::{self, Profiles};
use crate::report;
use crate::ruleset;
use crate::schedule::Window;
use crate::sorted::Set;
use crate::system::conntrack::Session;
use crate::uci;
pub(crate) use calls::LONGEST_PAUSE_MINUTES;
use deadlines::Deadlines;
pub(crate) use files::package;
use files::{file_problem, gone, without_file};
pub(crate) use gates::LONGEST_GRANT;
pub(crate) use kernel::Kernel;
use kernel::{Carried, Losses};
use knocks::Knocks;
use ledger::Ledger;
use log::Level;
pub use overriding::Override;
use relays::Relays;
use serde_json::Value;
use spas::Spas;
use std::net::IpAddr;
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
    /// Whether it was in a file, so that a missing file is a mistake.
    had_file: bool,
    /// What is in force are the defaults, for the file says nothing.
    is_silent: bool,
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
    learned: Set<IpAddr>,
    /// Who is on the gates' lists, as far as was seen.
    pub(crate) lists: Lists,
    /// Of which table; `None`: none was seen yet.
    table_handle: Option<u64>,
    teller: Teller,
    knocks: Knocks,
    spas: Spas,
    /// Of the keys' files.
    key_problems: Vec<Problem>,
    /// Why the kernel's copies do not reach us.
    no_copies: Option<String>,
    known_sessions: Sessions,
    /// Those that were read, until the lists are, too.
    unjudged: Option<Vec<Session>>,
    /// Sources with a session that has closed, which may not have been their last.
    closing: Vec<(String, IpAddr, u8)>,
    /// Admissions by hand and by authenticated packets, by gate.
    by_daemon: Vec<(String, u64)>,
    ledger: Ledger,
    relays: Relays,
    reloads: Vec<CallId>,
    deadlines: Deadlines,
    failures: u32,
    losses: Losses,
    /// Why the table could not be read the last time; logged once.
    unseen: Option<String>,
    /// Why the next daemon will not know of the switch as it is.
    unnoted: Option<String>,
}

/// So that the devices are a guess, if a good one.
const WITHOUT_NETIFD: &str = "netifd: no answer; devices are those that /etc/config/network lets expect";
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
    pub no_copies: Option<String>,
    pub is_silent: bool,
    pub relays: Vec<Way>,
    pub unix: u64,
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
            Event::Previewed { result, call } => vec![Action::Answer(call, Ok(report::preview(&result)))],
            Event::Cut { flows, error, then } => self.cut(flows, error, then),
            Event::Saved { result, then } => self.saved(result, then),
            Event::Noted(result) => {
                self.unnoted = result.err();
                Vec::new()
            }
            Event::Paused { seconds, result, call } => self.paused(seconds, result, call, now),
            Event::Read { result, call, reply } => self.read(result, call, reply, now),
            Event::Diagnosed { facts, call } => {
                vec![Action::Answer(
                    call,
                    Ok(report::checks(&crate::check::diagnose(&facts))),
                )]
            }
            Event::Call { id, method, arguments } => self.call(id, &method, &arguments, now),
            Event::Heard(heard) => self.heard(heard, now),
            Event::Looked(result) => self.looked(result, now),
            Event::Edited { result, then } => self.edited(result, then, now),
            Event::Sessions(result) => self.sessions(result, now),
            Event::KeysRead(read) => self.keys_read(read, now),
            Event::KeyMade { new, result } => self.key_made(&new, result),
            Event::KeyRemoved { name, result, call } => self.key_removed(&name, result, call),
            Event::Endpoint {
                inner,
                endpoint,
                gate,
                seconds,
                call,
            } => self.endpoint_found(inner, endpoint, gate, seconds, call),
            Event::LedgerLoaded { file, run } => self.ledger_loaded(file, run.as_deref(), now),
            Event::LedgerSetAside(result) => self.ledger_set_aside(result, now),
            Event::LedgerRead {
                result,
                synchronised,
                asked,
            } => self.ledger_read(result, synchronised, asked, now),
            Event::SubjectsForgotten(result) => self.subjects_forgotten(result),
            Event::LedgerCommitted { result, unix, call } => self.ledger_committed(result, unix, call, now),
            Event::LedgerErased { result, call } => self.ledger_erased(result, call, now),
            Event::Relay { name, heard } => self.relay_heard(&name, heard, now),
            Event::PublicKeys(keys) => self.public_keys(keys),
            Event::RelayKeyMade { path, result, call } => self.relay_key_made(&path, result, call, now),
            Event::Deadline => self.deadline(now),
            Event::Terminate => self.stop(),
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
        let copies = self.copies(texts.no_copies);
        let text = texts
            .profiles
            .as_deref()
            .ok_or_else(|| "there is no such file".to_string());
        self.profiles = Some(text.and_then(|text| profiles::parse(text).map_err(|error| error.to_string())));
        if let Some(Ok(profiles)) = &self.profiles {
            problems.extend(report::unknown_profiles(&config, profiles));
        }

        // Defaults would switch off. Whoever means that says so in the file.
        let is_silent = (texts.lanward.as_ref()).is_ok_and(|text| text.as_deref().is_none_or(uci::says_nothing));
        if self.had_file && is_silent {
            problems.push(file_problem("lanward", gone(texts.lanward == Ok(None))));
        }
        let refused = self.configured && is_restricting(&problems);
        self.had_file |= !refused && texts.lanward.is_ok() && !is_silent;
        self.candidate = None;
        let mut actions = Vec::new();
        if !self.configured {
            self.unsaved = texts.run_state.as_deref().and_then(Override::decode);
            self.configured = true;
            actions.extend(self.accept(config, now));
        } else if !refused {
            self.candidate = Some(config);
        }
        actions.extend(copies);
        if !refused {
            let is_news = is_silent && !self.is_silent;
            actions.gather(is_news.then(|| Action::Log(Level::Warn, without_file())));
            self.is_silent = is_silent;
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

    fn accept(&mut self, config: Config, now: Now) -> Vec<Action> {
        self.config = config;
        let mut actions = vec![Action::LogLevel(self.config.log_level)];
        actions.extend(self.drop_outlived_note());
        actions.extend(self.read_keys());
        actions.extend(self.place_ledger(now));
        actions.extend(self.place_relays(now));
        actions
    }

    /// The configuration has spoken since the switch was turned without being saved; for the next daemon, too.
    fn drop_outlived_note(&mut self) -> Option<Action> {
        self.unsaved
            .take_if(|unsaved| unsaved.configured != self.config.lan_only.enabled)?;
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
            Wake::BusDown(reason) => vec![Action::Log(
                Level::Warn,
                format!("no ubus: {reason}; enforcement goes on"),
            )],
            Wake::Nftables(program) => {
                self.deadlines.verify_soon(now.monotonic);
                let program = program.as_deref().unwrap_or("unknown");
                vec![Action::Log(
                    Level::Debug,
                    format!("nftables changed by {program}: looking after the table"),
                )]
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
            Netifd::Says(dump) => self.netifd = Some(network::with_last_devices(dump, self.netifd.as_ref())),
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
        actions.extend(self.look_at_ways(now));
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
        let copies = self.no_copies.is_none();
        let compile = |config: &Config| {
            let mut compiled = policy::compile(config, &network, &self.time_zone, now.unix);
            compiled.policy.gates.copies = copies;
            compiled
        };
        let mut compiled = compile(self.candidate.as_ref().unwrap_or(&self.config));
        let mut actions = Vec::new();
        let problems = compiled.problems.clone();
        if let Some(candidate) = self.candidate.take() {
            if self.wanted.is_some() && is_restricting(&compiled.problems) {
                compiled = compile(&self.config);
                self.candidate = Some(candidate);
            } else {
                actions.extend(self.accept(candidate, now));
            }
        }
        let known: Set<Problem> = self.policy_problems.iter().cloned().collect();
        let is_news = problems
            .iter()
            .any(|problem| problem.restricts && !known.contains(problem));
        actions.extend(self.report_problems(self.file_problems.clone(), problems));
        // What holds goes on to hold; but a closed form (taken at the start) has to follow the router's devices as well.
        let is_whole = self
            .compiled
            .as_ref()
            .is_some_and(|compiled| !is_restricting(&compiled.problems));
        let refused = is_whole && is_restricting(&compiled.problems);
        if is_news && (refused || self.candidate.is_some()) {
            actions.push(refusal());
        }
        if !refused {
            actions.extend(self.report_warnings(&compiled));
            self.network = network;
            self.compiled = Some(compiled);
            self.place_schedule(now);
            self.place_looks(now);
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

    /// Whole seconds of the pause that are left, if there are any.
    fn pause_left(&self, now: Now) -> Option<u32> {
        let left = self.pause_until?.checked_sub(now.monotonic)? / 1000;
        u32::try_from(left).ok().filter(|seconds| *seconds > 0)
    }

    /// Seconds of the pause that are left, rounded up; 0: not paused.
    pub(crate) fn pause_seconds(&self, now: Now) -> u64 {
        self.pause_until
            .map_or(0, |end| end.saturating_sub(now.monotonic).div_ceil(1000))
    }

    /// The windows in which the mode does not hold, as the kernel has them.
    fn off_hours(&self) -> &[Window] {
        let windows = self
            .compiled
            .as_ref()
            .and_then(|compiled| compiled.policy.lan_only.off_hours.as_deref());
        windows.unwrap_or_default()
    }

    /// Whether the schedule lets everything pass now: judged as the kernel does it.
    pub(crate) fn out_of_hours(&self, now: Now) -> bool {
        self.off_hours()
            .iter()
            .any(|window| (window.from..=window.to).contains(&now.unix))
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
        let scope = self.cut_scope()?;
        Some(Action::Cut { scope, then })
    }

    /// What the mode forbids while it holds.
    fn cut_scope(&self) -> Option<Box<CutScope>> {
        let lan_only = self.compiled.as_ref()?.policy.lan_only.clone();
        Some(Box::new(CutScope {
            lan_only,
            learned: self.learned.clone(),
        }))
    }

    /// What works and may still surprise, on this router.
    pub(crate) fn router_warnings(&self) -> Vec<String> {
        let mut warnings = self
            .compiled
            .as_ref()
            .map(|compiled| compiled.warnings.clone())
            .unwrap_or_default();
        if self.netifd.is_none() {
            warnings.push(WITHOUT_NETIFD.into());
        }
        if self.is_silent {
            warnings.push(without_file());
        }
        let has_gates = self.gates().is_some_and(|gates| !gates.list.is_empty());
        warnings.gather(self.no_copies.iter().filter(|_| has_gates).cloned());
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
            no_copies: self.no_copies.clone(),
            is_silent: self.is_silent,
            relays: self.relay_ways(),
            unix: now.unix,
        }
    }

    /// All problems as they stand.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.file_problems
            .iter()
            .chain(&self.policy_problems)
            .chain(&self.key_problems)
            .cloned()
            .gathered()
    }

    /// Whether what the configuration says is what the kernel does.
    pub(crate) fn is_applied(&self) -> bool {
        self.kernel == Kernel::Holds && self.unseen.is_none() && !is_restricting(&self.problems())
    }

    /// Remembers the problems; those that are new are logged and told.
    fn report_problems(&mut self, file: Vec<Problem>, policy: Vec<Problem>) -> Vec<Action> {
        let known: Set<Problem> = self.problems().into_iter().collect();
        self.file_problems = file;
        self.policy_problems = policy;
        let fresh = self.problems().into_iter().filter(|problem| !known.contains(problem));
        fresh.flat_map(|problem| tell_problem(&problem)).gathered()
    }

    fn report_warnings(&self, compiled: &Compiled) -> Vec<Action> {
        let known = self
            .compiled
            .as_ref()
            .map(|known| known.warnings.as_slice())
            .unwrap_or_default();
        let fresh = compiled.warnings.iter().filter(|warning| !known.contains(warning));
        fresh
            .map(|warning| Action::Log(Level::Warn, warning.clone()))
            .gathered()
    }

    fn answer_reloads(&mut self) -> Vec<Action> {
        let answer = report::reload(self);
        std::mem::take(&mut self.reloads)
            .into_iter()
            .map(|call| Action::Answer(call, Ok(answer.clone())))
            .gathered()
    }
}

fn tell_problem(problem: &Problem) -> [Action; 2] {
    let level = if problem.restricts { Level::Error } else { Level::Warn };
    let data = json!({ "option": problem.option, "message": problem.message });
    [
        Action::Log(level, format!("{}: {}", problem.option, problem.message)),
        Action::Notify("problem", data),
    ]
}

fn is_restricting(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.restricts)
}

fn refusal() -> Action {
    Action::Log(Level::Error, "configuration refused; what was applied stays".into())
}
