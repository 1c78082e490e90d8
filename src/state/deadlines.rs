//! When something is due without anything happening. All times are monotonic milliseconds, but for the schedule's.

use super::State;
use crate::event::{Action, Now, Then};
use crate::gather::GatherInto;
use crate::schedule;
use log::Level;
use std::rc::Rc;

/// Devices come in bursts (a bridge and its ports, an address and its route): wait for quiet, but not for ever.
const SURVEY_QUIET: u64 = 30;
const SURVEY_LATEST: u64 = 200;
/// After a survey that failed.
const SURVEY_RETRY: u64 = 5_000;
/// `fw4 restart` makes two transactions at once; a table that is gone must be back within a second.
const VERIFY_QUIET: u64 = 20;
const VERIFY_LATEST: u64 = 100;
/// Some programs change nftables all the time (dnsmasq with `nftset`, at every name it resolves): the table is not read more often than
/// this for them, and still is back within a second.
const VERIFY_SPACING: u64 = 600;
/// While there is a schedule, the wall clock is looked at this often, since it may jump (NTP on a router without a battery).
const SCHEDULE_LOOK: u64 = 60_000;
/// So many times as long as reading conntrack took (half a second for 100 000 entries, here), it is left alone.
const SESSIONS_REST: u64 = 9;
/// The kernel's timer counts in jiffies; look after it has surely fired.
const PAUSE_SLACK: u64 = 100;

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    survey: Option<Debounce>,
    verify: Option<Debounce>,
    /// When it was done last because of another program.
    verified: Option<u64>,
    retry: Option<u64>,
    schedule: Option<u64>,
    /// The gates' lists are read.
    look: Option<u64>,
    looked: Option<u64>,
    /// Conntrack is read for the gates.
    sessions: Option<u64>,
    /// When it was begun, and before when it is not begun again.
    sessions_asked: Option<u64>,
    sessions_rest: u64,
    /// Whether the schedule said so when it was looked at last.
    out_of_hours: bool,
    /// Seconds since 1970 at which the windows that were laid out last are to be laid out anew.
    refresh: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Debounce {
    quiet: u64,
    latest: u64,
}

impl Debounce {
    fn again(known: Option<Self>, now: u64, quiet: u64, latest: u64) -> Self {
        let latest = known.map_or(now.saturating_add(latest), |known| known.latest);
        Self {
            quiet: now.saturating_add(quiet),
            latest,
        }
    }

    fn due(self) -> u64 {
        self.quiet.min(self.latest)
    }
}

impl Deadlines {
    pub(super) fn survey_soon(&mut self, now: u64) {
        self.survey = Some(Debounce::again(self.survey, now, SURVEY_QUIET, SURVEY_LATEST));
    }

    pub(super) fn survey_again(&mut self, now: u64) {
        let due = now.saturating_add(SURVEY_RETRY);
        self.survey.get_or_insert(Debounce {
            quiet: due,
            latest: due,
        });
    }

    pub(super) fn verify_soon(&mut self, now: u64) {
        let Debounce { quiet, latest } = Debounce::again(self.verify, now, VERIFY_QUIET, VERIFY_LATEST);
        let earliest = self.verified.map_or(0, |last| last.saturating_add(VERIFY_SPACING));
        self.verify = Some(Debounce {
            quiet: quiet.max(earliest),
            latest: latest.max(earliest),
        });
    }

    /// The lists at this time, or later where they were read a moment ago; `None`: not at all.
    pub(super) fn look_at(&mut self, time: Option<u64>, spacing: u64) {
        let earliest = self.looked.map_or(0, |last| last.saturating_add(spacing));
        self.look = time.map(|time| time.max(earliest));
    }

    pub(super) fn looked(&mut self, now: u64) {
        self.looked = Some(now);
    }

    /// Conntrack within so many milliseconds, or earlier where that was wanted before.
    pub(super) fn sessions_within(&mut self, now: u64, milliseconds: u64) {
        let due = now.saturating_add(milliseconds).max(self.sessions_rest);
        self.sessions = Some(self.sessions.map_or(due, |known| known.min(due)));
    }

    pub(super) fn sessions_asked(&mut self, now: u64) {
        self.sessions_asked = Some(now);
    }

    /// What took long is not done again at once: whoever opens connections decides how long it takes, and whoever closes them how often.
    pub(super) fn sessions_read(&mut self, now: u64) {
        let took = self.sessions_asked.take().map_or(0, |asked| now.saturating_sub(asked));
        self.sessions_rest = now.saturating_add(took.saturating_mul(SESSIONS_REST));
    }

    pub(super) fn no_sessions(&mut self) {
        self.sessions = None;
    }

    pub(super) fn retry_in(&mut self, now: u64, milliseconds: u64) {
        self.retry = Some(now.saturating_add(milliseconds));
    }

    fn next(&self) -> Option<u64> {
        let debounced = [self.survey, self.verify].into_iter().flatten().map(Debounce::due);
        let others = [self.retry, self.schedule, self.look, self.sessions];
        debounced.chain(others.into_iter().flatten()).min()
    }
}

/// Takes the deadline if it has come.
fn take_due<T: Copy>(deadline: &mut Option<T>, due: impl Fn(T) -> u64, now: u64) -> bool {
    let come = deadline.is_some_and(|deadline| due(deadline) <= now);
    if come {
        *deadline = None;
    }
    come
}

impl State {
    /// Called whenever the policy was resolved: the windows are fresh. The next look is at their next edge.
    pub(super) fn place_schedule(&mut self, now: Now) {
        if self.config.lan_only.schedule.is_none() {
            self.deadlines.schedule = None;
            self.deadlines.refresh = None;
            self.deadlines.out_of_hours = false;
            return;
        }
        let edges = self
            .off_hours()
            .iter()
            .flat_map(|window| [window.from, window.to.saturating_add(1)]);
        let edge = edges.filter(|edge| *edge > now.unix).min().unwrap_or(u64::MAX);
        let wait = (edge.saturating_sub(now.unix)).saturating_mul(1000).min(SCHEDULE_LOOK);
        self.deadlines.schedule = Some(now.monotonic.saturating_add(wait));
        self.deadlines.refresh = Some(schedule::next_refresh(now.unix));
        self.deadlines.out_of_hours = self.out_of_hours(now);
    }

    /// Monotonic milliseconds at which [`crate::event::Event::Deadline`] is wanted; `None`: nothing is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let pause = self.pause_until.map(|end| end.saturating_add(PAUSE_SLACK));
        let others = pause.into_iter().chain(self.ledger.next()).chain(self.relays_due());
        self.deadlines.next().into_iter().chain(others).min()
    }

    /// Another program has changed something and nobody has looked yet: nobody is told of a table that may not be there.
    pub(super) fn look_now(&mut self) -> Option<Action> {
        self.deadlines.verify.take()?;
        self.wanted.as_ref().map(|wanted| Action::Verify(Rc::clone(wanted)))
    }

    pub(super) fn deadline(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let time = now.monotonic;
        if self
            .pause_until
            .is_some_and(|end| end.saturating_add(PAUSE_SLACK) <= time)
        {
            self.pause_until = None;
            actions.extend(self.tell_pause(0, now));
        }
        if take_due(&mut self.deadlines.schedule, |due| due, time) {
            actions.extend(self.look_at_schedule(now));
        }
        let retry = take_due(&mut self.deadlines.retry, |due| due, time);
        if take_due(&mut self.deadlines.verify, Debounce::due, time) || retry {
            self.deadlines.verified = Some(time);
            actions.gather(self.wanted.as_ref().map(|wanted| Action::Verify(Rc::clone(wanted))));
        }
        if take_due(&mut self.deadlines.survey, Debounce::due, time) {
            actions.push(Action::Survey);
        }
        if take_due(&mut self.deadlines.look, |due| due, time) {
            actions.extend(self.look_at_lists());
        }
        if take_due(&mut self.deadlines.sessions, |due| due, time) {
            actions.extend(self.look_at_sessions(now));
        }
        actions.extend(self.look_at_ledger(now));
        actions.extend(self.look_at_relays(now));
        actions
    }

    /// The kernel holds to the schedule by itself. What is left to do: cut what began out of hours, and lay out new windows in time.
    fn look_at_schedule(&mut self, now: Now) -> Vec<Action> {
        // Not only when it is due: the clock may have jumped back as well.
        let refresh = self.deadlines.refresh != Some(schedule::next_refresh(now.unix));
        let was_out = self.deadlines.out_of_hours;
        let mut actions = if refresh { self.evaluate(now) } else { Vec::new() };
        self.place_schedule(now);
        match (was_out, self.deadlines.out_of_hours) {
            (true, false) => {
                actions.push(Action::Log(Level::Info, "schedule: LAN-only holds from now on".into()));
                actions.extend(self.cut_action(now, Then::default()));
            }
            (false, true) => actions.push(Action::Log(Level::Info, "schedule: LAN-only does not hold now".into())),
            (true, true) | (false, false) => {}
        }
        actions
    }
}
