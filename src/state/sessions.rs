//! Sessions at the gates, where rules do not see them: read from conntrack.

use super::State;
use crate::event::{Action, Listing, Now};
use crate::gate::{self, Alive, Interest};
use crate::gather::Gather;
use crate::nft::netlink::Edit;
use crate::policy::Gate;
use crate::ruleset::gate::List;
use crate::system::conntrack::Session;
use log::Level;

/// What was offloaded and then reset is still established to conntrack for 10 s (`nf_conntrack_tcp_timeout_close`; measured with Linux 6.1): so often
/// conntrack is asked again, and so many milliseconds lie between.
const OFFLOADED_LOOKS: u8 = 3;
const OFFLOADED_CLOSING: u64 = 5_000;

impl State {
    pub(super) fn look_at_sessions(&mut self, now: Now) -> Option<Action> {
        let interest = self.interest()?;
        self.deadlines.sessions_asked(now.monotonic);
        Some(Action::Sessions(Box::new(interest)))
    }

    fn interest(&self) -> Option<Interest> {
        let own = self.links.addresses.iter().map(|(_, _, address)| *address).gathered();
        Some(Interest::new(self.gates()?, own))
    }

    /// Conntrack was read, which may have taken a while: whom a FIN has taken off the lists since must not come back.
    pub(super) fn sessions(&mut self, result: Result<Vec<Session>, String>, now: Now) -> Vec<Action> {
        self.deadlines.sessions_read(now.monotonic);
        match result {
            Ok(sessions) => {
                self.unjudged = Some(sessions);
                self.look_at_lists().into_iter().gathered()
            }
            Err(error) => {
                self.closing.clear();
                self.place_looks(now);
                vec![Action::Log(Level::Warn, format!("gate: {error}"))]
            }
        }
    }

    /// Who is alive stays listed, whose last session has closed does not.
    pub(super) fn judge_sessions(&mut self, sessions: &[Session], now: Now) -> Vec<Action> {
        let closing = std::mem::take(&mut self.closing);
        let Some(interest) = self.interest() else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        let is_hidden = self.gates().is_some_and(|gates| gates.flow_offloading);
        let mut again = Vec::new();
        for (name, source, looks) in closing {
            let Some(gate) = self.gate(&name) else { continue };
            if interest.has_session(gate, source, sessions) {
                if is_hidden && looks < OFFLOADED_LOOKS {
                    again.push((name, source, looks + 1));
                }
                continue;
            }
            let then = Listing::Removed {
                gate: name,
                source,
                why: "last session closed",
                call: None,
            };
            actions.extend(self.edit(gate::deleting(gate, source), then));
        }
        if !again.is_empty() {
            self.closing = again;
            self.deadlines.sessions_within(now.monotonic, OFFLOADED_CLOSING);
        }
        let mut known = std::mem::take(&mut self.known_sessions);
        let alive = interest.alive(&mut known, &self.lists, sessions);
        self.known_sessions = known;
        actions.extend(self.refresh(alive));
        self.place_looks(now);
        actions
    }

    /// How many more a gate's list of who was seen can take, over IPv4 and over IPv6.
    fn room(&self, gate: &Gate) -> [usize; 2] {
        let mut left = [gate.size as usize; 2];
        for entry in self
            .lists
            .of(&gate.name)
            .iter()
            .filter(|entry| entry.list == List::Seen)
        {
            let left = &mut left[usize::from(entry.address.is_ipv6())];
            *left = left.saturating_sub(1);
        }
        left
    }

    /// Those who are listed apart from newcomers, since the kernel refuses all of a transaction if there is no room for one.
    fn refresh(&self, alive: Vec<Alive>) -> Vec<Action> {
        let (mut known, mut new) = (Vec::new(), Vec::new());
        // Those of a gate stand together. How much room its lists have left, by family.
        let mut room: Option<(String, [usize; 2])> = None;
        for alive in alive {
            let Some(gate) = self.gate(&alive.gate) else { continue };
            if self.lists.has_seen(&gate.name, alive.source) {
                known.push((alive, gate.window));
                continue;
            }
            let (_, left) = match &mut room {
                Some(known) if known.0 == gate.name => known,
                other => other.insert((gate.name.clone(), self.room(gate))),
            };
            let left = &mut left[usize::from(alive.source.is_ipv6())];
            if *left > 0 {
                *left -= 1;
                new.push((alive, gate.window));
            }
        }
        let mut actions = Vec::new();
        for (sources, is_new) in [(known, false), (new, true)] {
            let listing = |(alive, window): &(Alive, u32)| {
                let gate = self.gate(&alive.gate)?;
                Some(match is_new {
                    true => gate::adding(gate, alive.source, List::Seen, Some(*window)),
                    false => gate::renewing(gate, alive.source, *window),
                })
            };
            let edits: Vec<Edit> = sources.iter().filter_map(listing).gathered();
            if !edits.is_empty() {
                actions.extend(self.edit(edits, Listing::Refreshed(sources)));
            }
        }
        actions
    }
}
