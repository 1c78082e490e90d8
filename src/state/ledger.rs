//! The ledger while running: when the kernel's counters are read, when the days go to flash, and who asks for them.

use super::State;
use crate::date::Date;
use crate::event::{Action, Asked, CallId, Now};
use crate::gate::Attempt;
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::json::json;
use crate::ledger::book::{is_set, Book, Outlier, Sight, Wrong, Zone};
use crate::ledger::counts::Reading;
use crate::ledger::day::Day;
use crate::ledger::Subject;
use crate::report;
use log::Level;
use serde_json::{Map, Value};

/// Milliseconds between two readings. They are placed at the wall clock's minutes, so that none reaches from one hour into the next.
const MINUTE: u64 = 60_000;
/// Milliseconds after which the run directory hears of a reading that has told nothing: what comes while the daemon is dead is spread from there on.
const QUIET: u64 = 600_000;
/// Seconds after which there is a file at all.
const FIRST: u64 = 3600;
/// Samples that are kept for who looks on.
const RECENT: usize = 50;

/// What is remembered of the ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    book: Book,
    /// The file was read.
    is_loaded: bool,
    /// Copies of packets, the newest last, with the second they came.
    recent: Vec<(Attempt, u64)>,
    /// Monotonic milliseconds.
    read_at: Option<u64>,
    commit_at: Option<u64>,
    /// When the run directory was written, and how many attempts had been counted then.
    kept: Option<(u64, u64)>,
    /// What is wrong with the file, for people.
    file: Option<String>,
    /// Why it cannot be written, or must not.
    unwritten: Option<String>,
    /// A file that this program does not understand is still in its place.
    is_foreign: bool,
}

impl Ledger {
    pub(super) fn next(&self) -> Option<u64> {
        [self.read_at, self.commit_at].into_iter().flatten().min()
    }

    /// What is wrong with it, for people.
    pub(super) fn problem(&self) -> Option<String> {
        self.unwritten.clone().or_else(|| self.file.clone())
    }
}

/// Whether all else waits for the flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

/// What the kernel's two counters and the table's number say.
type Counters = Option<(u64, [u64; 2])>;

impl State {
    fn zone(&self) -> Zone {
        Zone::of(&self.time_zone)
    }

    /// With every configuration that is accepted.
    pub(super) fn place_ledger(&mut self, now: Now) -> Vec<Action> {
        if !self.ledger.is_loaded {
            return vec![Action::LoadLedger];
        }
        if !self.config.ledger.enabled {
            self.ledger.read_at = None;
            self.ledger.commit_at = None;
            self.ledger.book.rest();
            // What was counted until now is kept.
            return self.commit(None, Sight::unsure(now), Wait::No);
        }
        if self.ledger.read_at.is_none() {
            self.ledger.read_at = Some(next_minute(now));
        }
        self.place_commit(now);
        Vec::new()
    }

    /// Neither a restart nor a reload puts it off, nor a clock that was behind before a time server answered: who is without power every night would
    /// have no file.
    fn place_commit(&mut self, now: Now) {
        let commit = u64::from(self.config.ledger.commit);
        let seconds = match self.ledger.book.written() {
            0 => commit.min(FIRST),
            written => {
                let gone = now.unix.checked_sub(written).unwrap_or(commit);
                commit.saturating_sub(gone).max(60)
            }
        };
        let due = now.monotonic.saturating_add(seconds.saturating_mul(1000));
        self.ledger.commit_at = Some(self.ledger.commit_at.map_or(due, |placed| placed.min(due)));
    }

    pub(super) fn ledger_loaded(
        &mut self,
        file: Result<Option<Vec<u8>>, String>,
        run: Option<&[u8]>,
        now: Now,
    ) -> Vec<Action> {
        self.ledger.is_loaded = true;
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                self.ledger.unwritten = Some(format!("the file cannot be read, and is not written over: {error}"));
                self.ledger.is_foreign = true;
                None
            }
        };
        let mut actions = Vec::new();
        if let Some(wrong) = self.ledger.book.load(file.as_deref(), run, now) {
            actions.push(Action::Log(Level::Error, format!("ledger: {wrong}")));
            self.ledger.is_foreign = !matches!(wrong, Wrong::Damaged(_));
            self.ledger.file = Some(wrong.to_string());
            // Whatever it holds is not lost.
            actions.push(Action::SetLedgerAside);
        }
        actions.extend(self.place_ledger(now));
        actions
    }

    pub(super) fn ledger_set_aside(&mut self, result: Result<String, String>, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let line = match result {
            Ok(name) => {
                self.ledger.is_foreign = false;
                // What was whole in it is in no file now.
                actions.extend(self.commit(None, Sight::unsure(now), Wait::No));
                let wrong = self.ledger.file.take().unwrap_or_default();
                self.ledger.file = Some(format!("{wrong}; it is kept as {name}"));
                format!("ledger: the file is kept as {name}")
            }
            Err(error) if self.ledger.is_foreign => {
                let why = format!("the file is not written over, and cannot be set aside: {error}");
                self.ledger.unwritten = Some(why.clone());
                format!("ledger: {why}")
            }
            Err(error) => format!("ledger: the file cannot be set aside: {error}"),
        };
        actions.push(Action::Log(Level::Warn, line));
        actions
    }

    /// What of the ledger is due.
    pub(super) fn look_at_ledger(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let due = |deadline: &mut Option<u64>| deadline.take_if(|due| *due <= now.monotonic).is_some();
        if due(&mut self.ledger.read_at) {
            self.ledger.read_at = Some(next_minute(now));
            actions.push(Action::ReadLedger(Asked::Nobody));
        }
        if due(&mut self.ledger.commit_at) {
            let wait = u64::from(self.config.ledger.commit).saturating_mul(1000);
            self.ledger.commit_at = Some(now.monotonic.saturating_add(wait));
            actions.push(Action::ReadLedger(Asked::Commit(None)));
        }
        actions
    }

    pub(super) fn call_ledger(&mut self, id: CallId, method: &str, arguments: &Map<String, Value>) -> Vec<Action> {
        let asked = match method {
            "history" => match report::query(arguments) {
                Ok(query) => Asked::History(id, Box::new(query)),
                Err(error) => {
                    return vec![Action::Answer(
                        id,
                        Ok(json!({ "rows": Vec::<Value>::new(), "error": error })),
                    )]
                }
            },
            "ledger_recent" => Asked::Recent(id),
            "ledger_commit" => Asked::Commit(Some(id)),
            "ledger_erase" => Asked::Erase(id),
            _ => match report::imported(arguments) {
                Ok(days) => Asked::Import(id, days),
                Err(error) => return vec![Action::Answer(id, Ok(json!({ "ok": false, "error": error })))],
            },
        };
        vec![Action::ReadLedger(asked)]
    }

    /// The kernel's counters were read: `None` where there is no table.
    pub(super) fn ledger_read(
        &mut self,
        result: Result<Option<Reading>, String>,
        synchronised: bool,
        asked: Asked,
        now: Now,
    ) -> Vec<Action> {
        let sight = Sight { now, synchronised };
        let mut actions = match result {
            Ok(Some(reading)) if self.is_counting() => self.take_reading(&reading, sight),
            Ok(_) => {
                self.ledger.book.rest();
                Vec::new()
            }
            Err(error) => vec![Action::Log(
                Level::Debug,
                format!("ledger: counters cannot be read: {error}"),
            )],
        };
        let zone = self.zone();
        match asked {
            Asked::Nobody => {
                let is_late = self.ledger.book.written() > 0 && self.ledger.book.is_changed();
                if synchronised && is_late && self.ledger.unwritten.is_none() {
                    self.place_commit(now);
                }
                let is_old = |(kept, _): (u64, u64)| kept.saturating_add(QUIET) <= now.monotonic;
                let has_news = |(_, counted)| counted != self.ledger.book.counted(None);
                if self.ledger.kept.is_none_or(|kept| is_old(kept) || has_news(kept)) {
                    actions.push(self.keep_counts(now));
                }
            }
            Asked::History(call, query) => {
                let answer = self.ledger.book.ask(now, &zone, |store| query.answer(store));
                actions.push(Action::Answer(call, Ok(report::history(&query, answer))));
            }
            Asked::Recent(call) => {
                let answer = report::recent(&self.ledger.recent, self.config.ledger.mask_sources, &zone);
                actions.push(Action::Answer(call, Ok(answer)));
            }
            Asked::Commit(call) => {
                // Who asks for it may be about to switch off: better by this clock than not at all.
                if call.is_some() {
                    self.ledger.book.close(now, &zone);
                }
                actions.push(self.keep_counts(now));
                actions.extend(self.commit(call, sight, Wait::No));
            }
            Asked::Erase(call) => {
                self.ledger.book.erase();
                self.ledger.recent.clear();
                actions.push(self.keep_counts(now));
                actions.push(Action::EraseLedger(call));
            }
            Asked::Import(call, days) => {
                let answer = self.import(call, &days, sight);
                actions.extend([self.keep_counts(now), answer]);
            }
            Asked::Stop => {
                self.ledger.book.close(now, &zone);
                actions.push(self.keep_counts(now));
                actions.extend(self.commit(None, sight, Wait::Yes));
            }
        }
        actions
    }

    /// Not with every reading: an older one and the days that were made of it belong together as well, and the page asks for many answers at once.
    fn keep_counts(&mut self, now: Now) -> Action {
        self.ledger.kept = Some((now.monotonic, self.ledger.book.counted(None)));
        Action::KeepCounts(self.ledger.book.run_bytes(now))
    }

    fn is_counting(&self) -> bool {
        self.config.ledger.enabled && self.ledger.is_loaded
    }

    fn take_reading(&mut self, reading: &Reading, sight: Sight) -> Vec<Action> {
        let zone = self.zone();
        let masks = self.config.ledger.mask_sources;
        let idle = self.ledger.book.take(reading, sight, &zone, masks);
        // What was accepted after all was no attempt.
        self.ledger.recent.retain(|(attempt, _)| {
            let subject = Subject {
                source: Some(attempt.source),
                service: attempt.service,
            };
            let found = reading.subjects.binary_search_by_key(&subject, |(subject, _)| *subject);
            !found.is_ok_and(|at| reading.subjects[at].1[1] > 0)
        });
        let mut actions = Vec::new();
        if !idle.is_empty() {
            actions.push(Action::ForgetSubjects(idle));
        }
        if let Some(outlier) = self.ledger.book.outlier(sight.now, &zone) {
            actions.extend(tell(&outlier));
        }
        actions
    }

    pub(super) fn subjects_forgotten(&mut self, result: Result<Vec<Subject>, String>) -> Vec<Action> {
        match result {
            Ok(gone) => {
                self.ledger.book.forget(gone);
                Vec::new()
            }
            Err(error) => vec![Action::Log(
                Level::Debug,
                format!("ledger: sets cannot be emptied: {error}"),
            )],
        }
    }

    /// Before the flash the run directory: whatever is interrupted, the days and the kernel's counters that they were made of belong together there.
    fn commit(&mut self, call: Option<CallId>, sight: Sight, waits: Wait) -> Vec<Action> {
        let zone = self.zone();
        let keep_days = self.config.ledger.keep_days;
        let waits = waits == Wait::Yes;
        let bytes = (self.ledger.is_loaded && !self.ledger.is_foreign)
            .then(|| self.ledger.book.commit(sight, &zone, keep_days))
            .flatten();
        match (bytes, call) {
            (Some(bytes), call) => vec![Action::CommitLedger {
                bytes,
                unix: sight.now.unix,
                call,
                waits,
            }],
            (None, Some(call)) => {
                let answer = match (&self.ledger.unwritten, self.ledger.is_foreign) {
                    (Some(why), true) => json!({ "ok": false, "error": why }),
                    _ => json!({ "ok": true }),
                };
                vec![Action::Answer(call, Ok(answer))]
            }
            (None, None) => Vec::new(),
        }
    }

    pub(super) fn ledger_committed(
        &mut self,
        result: Result<(), String>,
        unix: u64,
        call: Option<CallId>,
        now: Now,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let answer = match result {
            Ok(()) => {
                self.ledger.book.committed(unix);
                if self.ledger.commit_at.take().is_some() {
                    self.place_commit(now);
                }
                if self.ledger.unwritten.take().is_some() {
                    actions.push(Action::Log(Level::Info, "ledger: the file can be written again".into()));
                }
                json!({ "ok": true })
            }
            Err(error) => {
                let why = format!("the file cannot be written: {error}");
                if self.ledger.unwritten.as_ref() != Some(&why) {
                    actions.push(Action::Log(
                        Level::Error,
                        format!("ledger: {why}; what was counted is kept in memory"),
                    ));
                }
                self.ledger.unwritten = Some(why.clone());
                // A flash that is full may have room again long before the next commit.
                let wait = u64::from(self.config.ledger.commit).min(FIRST).saturating_mul(1000);
                let again = now.monotonic.saturating_add(wait);
                self.ledger.commit_at = self.ledger.commit_at.map(|placed| placed.min(again));
                json!({ "ok": false, "error": why })
            }
        };
        actions.gather(call.map(|call| Action::Answer(call, Ok(answer))));
        actions
    }

    pub(super) fn ledger_erased(&mut self, result: Result<(), String>, call: CallId, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let (line, answer) = match result {
            Ok(()) => {
                self.ledger.file = None;
                self.ledger.unwritten = None;
                self.ledger.is_foreign = false;
                self.ledger.book.forget_all();
                actions.push(self.keep_counts(now));
                ("ledger: erased".to_string(), json!({ "ok": true }))
            }
            Err(error) => {
                let why = format!("not everything could be removed: {error}");
                (format!("ledger: {why}"), json!({ "ok": false, "error": why }))
            }
        };
        actions.extend([Action::Log(Level::Warn, line), Action::Answer(call, Ok(answer))]);
        actions
    }

    /// Days that are too old for `keep_days` are taken in as well: they go with the next commit, and whoever reads that can still raise the option.
    /// Days that are not yet anywhere on Earth are not: among the newest, they would push out others' sources, and in the end the days.
    fn import(&mut self, call: CallId, days: &[(Date, Day)], sight: Sight) -> Action {
        let today = self.zone().date(sight.now.unix).filter(|_| is_set(sight.now));
        let last = today.and_then(|today| today.plus(1));
        let is_there = |date: Date| last.is_none_or(|last| date <= last);
        for (date, day) in days.iter().filter(|(date, _)| is_there(*date)) {
            let mut day = day.clone();
            if self.config.ledger.mask_sources {
                day.mask();
            }
            self.ledger.book.merge(*date, &day);
        }
        self.ledger.book.bound();
        let later = days.iter().filter(|(date, _)| !is_there(*date)).count();
        let keep = i32::try_from(self.config.ledger.keep_days).unwrap_or(i32::MAX);
        let oldest = today.and_then(|today| today.plus(-keep));
        let older = days.iter().filter(|(date, _)| Some(*date) <= oldest).count();
        let taken = days.len() - later;
        Action::Answer(
            call,
            Ok(json!({ "ok": true, "days": taken, "older": older, "later": later })),
        )
    }

    /// A copy of a packet that may be an attempt.
    pub(super) fn sample(&mut self, attempt: Attempt, now: Now) {
        if self.ledger.recent.len() >= RECENT {
            self.ledger.recent.remove(0);
        }
        self.ledger.recent.push((attempt, now.unix));
    }

    /// Today, all since the start, and when the file was written.
    pub(crate) fn ledger_status(&self, counters: Counters, now: Now) -> [u64; 3] {
        let counters = counters.filter(|_| self.is_counting());
        let book = &self.ledger.book;
        [
            book.today(counters, now, &self.zone()),
            book.counted(counters),
            book.written(),
        ]
    }

    /// What is wrong with the ledger's file, for people.
    pub(crate) fn ledger_problem(&self) -> Option<String> {
        self.ledger.problem()
    }

    /// The last reading and the file come first.
    pub(super) fn stop(&self) -> Vec<Action> {
        let last = self.ledger.is_loaded.then_some(Action::ReadLedger(Asked::Stop));
        let line = Action::Log(Level::Info, "stopping; what is enforced stays enforced".into());
        let end = [Action::EndRelays, Action::Exit];
        [line].into_iter().chain(last).chain(end).gathered()
    }
}

fn next_minute(now: Now) -> u64 {
    now.monotonic.saturating_add(MINUTE - now.unix % 60 * 1000)
}

fn tell(outlier: &Outlier) -> [Action; 2] {
    let Outlier { date, attempts, usual } = outlier;
    let data = json!({ "date": date.to_string(), "attempts": attempts, "usual": usual.median });
    let line = format!(
        "ledger: {date} has {attempts} attempts so far, where {} are usual",
        usual.median
    );
    [Action::Log(Level::Warn, line), Action::Notify("ledger.outlier", data)]
}
