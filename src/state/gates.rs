//! The gates while running: who is listed by hand, who came and went, what survives the table.

use super::State;
use crate::config::Subnet;
use crate::event::{Action, Ask, CallId, Listing, Now, Reading, Reply};
use crate::gate::{self, Entry, Gone, Heard, Origin, Told};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::json::json;
use crate::network::is_private;
use crate::nft::netlink::Edit;
use crate::policy::{Gate, Gates};
use crate::report;
use crate::ruleset::gate::List;
use crate::system::ubus::Status;
use log::Level;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// As the option `window` has it: a week. What is longer is no grant but a rule.
pub(crate) const LONGEST_GRANT: i64 = 604_800;
/// The lists are not read more often than this to tell who has gone.
const LOOK_SPACING: u64 = 5_000;
/// The kernel takes an element out when its time is over, and a look a moment later does not find it.
const LOOK_SLACK: u64 = 200;
/// After a session has closed, conntrack is asked whether it was the last; others close with it.
const CLOSING_QUIET: u64 = 200;
/// Conntrack is looked at three times in a window, but not more often and not more rarely than this.
const SESSIONS: (u64, u64) = (1_000, 20_000);
/// Why somebody was admitted or removed.
const BY_HAND: &str = "by hand";
/// Sources whose sessions have closed and that were not looked after yet.
const MOST_CLOSING: usize = 256;

impl State {
    pub(crate) fn gates(&self) -> Option<&Gates> {
        self.compiled.as_ref().map(|compiled| &compiled.policy.gates)
    }

    pub(super) fn gate(&self, name: &str) -> Option<&Gate> {
        self.gates()?.list.iter().find(|gate| gate.name == name)
    }

    /// The four methods. All of them read the lists first: what is decided is decided on what the kernel has.
    pub(super) fn call_gate(&mut self, id: CallId, method: &str, arguments: &Map<String, Value>) -> Vec<Action> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let gate = text("gate");
        let is_known = |name: &str| self.config.gates.iter().any(|gate| gate.name == name);
        if gate.is_some_and(|gate| !is_known(gate)) {
            return vec![Action::Answer(id, Err(Status::NotFound))];
        }
        if method == "gate_list" {
            return self.ask(id, Ask::List(gate.map(str::to_string)));
        }
        let Some(name) = gate else {
            return vec![Action::Answer(id, Err(Status::InvalidArgument))];
        };
        let Some(gate) = self.gate(name) else {
            return error(id, &report::not_enabled(name));
        };
        if gate.shut {
            return error(
                id,
                &format!("the gate '{name}' is shut: its configuration is wrong (see status)"),
            );
        }
        if method == "gate_flush" {
            return self.ask(id, Ask::Flush(name.to_string()));
        }
        let Some(address) = text("address") else {
            return vec![Action::Answer(id, Err(Status::InvalidArgument))];
        };
        let source = match gate::source(gate, address) {
            Ok(source) => source,
            Err(wrong) => return error(id, &wrong),
        };
        let name = name.to_string();
        if method == "gate_remove" {
            return self.ask(id, Ask::Remove { gate: name, source });
        }
        let seconds = match arguments.get("seconds").and_then(Value::as_i64) {
            None if arguments.contains_key("seconds") => return vec![Action::Answer(id, Err(Status::InvalidArgument))],
            None => None,
            Some(seconds) => match u32::try_from(seconds)
                .ok()
                .filter(|_| (1..=LONGEST_GRANT).contains(&seconds))
            {
                Some(seconds) => Some(seconds),
                None => return error(id, &format!("seconds: {seconds} is not between 1 and {LONGEST_GRANT}")),
            },
        };
        if self.is_inside(source) {
            let devices = self.links.devices.values().cloned().gathered();
            return vec![Action::FindEndpoint {
                devices,
                inner: source,
                gate: name,
                seconds,
                call: id,
            }];
        }
        self.ask(
            id,
            Ask::Admit {
                gate: name,
                source,
                seconds,
            },
        )
    }

    fn ask(&self, call: CallId, ask: Ask) -> Vec<Action> {
        vec![self.read_action(call, Reply::Gate(ask))]
    }

    /// Whether an address is on this side of the WAN, where nobody is gated: the most particular way there is through a device that is not the WAN's, and
    /// the address is in that device's own network, or is one that the internet does not have. A VPN that takes everything has ways to the whole
    /// internet, from where people come by the WAN all the same.
    fn is_inside(&self, source: IpAddr) -> bool {
        let Some(gates) = self.gates() else { return false };
        // On every device, and says nothing about which.
        if matches!(source, IpAddr::V6(address) if address.is_unicast_link_local()) {
            return false;
        }
        let fits = |subnet: &Subnet| subnet.prefix > 0 && subnet.contains(source);
        let on_link = self.links.addresses.iter().map(|(index, subnet, _)| (*index, *subnet));
        let on_link: Vec<(u32, Subnet)> = on_link.filter(|(_, subnet)| fits(subnet)).gathered();
        let routed = self.links.routes.iter().map(|route| (route.device, route.dest));
        let ways: Vec<(u32, Subnet)> = routed
            .filter(|(_, subnet)| fits(subnet))
            .chain(on_link.iter().copied())
            .gathered();
        let longest = ways.iter().map(|(_, subnet)| subnet.prefix).max();
        ways.iter().any(|(index, subnet)| {
            Some(subnet.prefix) == longest
                && self
                    .links
                    .devices
                    .get(index)
                    .is_some_and(|device| !gates.wan.contains(device))
                && (on_link.iter().any(|(of, _)| of == index) || is_private(source))
        })
    }

    /// A VPN peer's outer address was looked for.
    pub(super) fn endpoint_found(
        &mut self,
        inner: IpAddr,
        endpoint: Option<IpAddr>,
        gate: String,
        seconds: Option<u32>,
        call: CallId,
    ) -> Vec<Action> {
        let Some(endpoint) = endpoint else {
            let inside = format!(
                "'{inner}' is an address on this side of the WAN, which no gate ever refuses, and no VPN peer of this router is known by it: give the \
                 address as it is seen from the WAN"
            );
            return error(call, &inside);
        };
        let Some(policy) = self.gate(&gate) else {
            return vec![Action::Answer(call, Err(Status::NotFound))];
        };
        match gate::source(policy, &endpoint.to_string()) {
            Ok(source) => self.ask(call, Ask::Admit { gate, source, seconds }),
            Err(wrong) => error(call, &wrong),
        }
    }

    /// The lists were read for a call.
    pub(super) fn asked(&self, ask: &Ask, call: CallId, now: Now) -> Vec<Action> {
        let name = match ask {
            Ask::List(gate) => return vec![Action::Answer(call, Ok(report::gate_list(self, gate.as_deref(), now)))],
            Ask::Admit { gate, .. } | Ask::Remove { gate, .. } | Ask::Flush(gate) => gate.clone(),
        };
        let Some(gate) = self.gate(&name) else {
            return vec![Action::Answer(call, Err(Status::NotFound))];
        };
        match *ask {
            Ask::List(_) => Vec::new(),
            Ask::Admit { source, seconds, .. } => self.admit(gate, source, seconds, call),
            Ask::Remove { source, .. } if !self.lists.is_listed(&name, source) => {
                let shown = gate::shown(gate, source);
                error(call, &format!("{shown} is not listed at the gate '{name}'"))
            }
            Ask::Remove { source, .. } => {
                let then = Listing::Removed {
                    gate: name,
                    source,
                    why: BY_HAND,
                    call: Some(call),
                };
                self.edit(gate::deleting(gate, source), then)
            }
            Ask::Flush(_) => {
                let removed = self.lists.sources(&name).len();
                let edits = gate::flushing(gate);
                self.edit(
                    edits,
                    Listing::Flushed {
                        gate: name,
                        removed,
                        call,
                    },
                )
            }
        }
    }

    /// Without a time of its own it is as if the source had proved itself just now; with one it is a grant.
    fn admit(&self, gate: &Gate, source: IpAddr, seconds: Option<u32>, call: CallId) -> Vec<Action> {
        let listed = self.lists.sources(&gate.name);
        let of_family = listed.iter().filter(|(known, _)| known.is_ipv6() == source.is_ipv6());
        if !self.lists.is_listed(&gate.name, source) && of_family.count() >= gate.size as usize {
            let full = format!("the list of the gate '{}' is full ({} addresses)", gate.name, gate.size);
            return error(call, &full);
        }
        let list = if seconds.is_some() { List::Grant } else { List::Seen };
        let seconds = seconds.unwrap_or(gate.window);
        let then = Listing::Admitted {
            gate: gate.name.clone(),
            source,
            list,
            seconds,
            call,
        };
        self.edit(vec![gate::adding(gate, source, list, Some(seconds))], then)
    }

    pub(super) fn edit(&self, edits: Vec<Edit>, then: Listing) -> Vec<Action> {
        let edit = self.wanted.clone().map(|table| Action::Edit { table, edits, then });
        edit.into_iter().gathered()
    }

    /// Lists were changed, or not.
    pub(super) fn edited(&mut self, result: Result<(), String>, then: Listing, now: Now) -> Vec<Action> {
        if let Err(why) = result {
            return self.not_edited(&why, &then, now);
        }
        let mut actions = Vec::new();
        match then {
            Listing::Admitted {
                gate,
                source,
                list,
                seconds,
                call,
            } => {
                let entry = Entry {
                    origin: Some(Origin::Hand),
                    ..ending(source, list, seconds, now)
                };
                self.lists.put(&gate, entry);
                self.count_by_daemon(&gate);
                actions.extend(self.tell_admitted(&gate, source, BY_HAND, seconds, now));
                let shown = self.shown(&gate, source);
                actions.push(Action::Answer(
                    call,
                    Ok(json!({ "ok": true, "address": shown, "seconds": seconds })),
                ));
            }
            Listing::Removed {
                gate,
                source,
                why,
                call,
            } => {
                if self.lists.remove(&gate, source) {
                    actions.extend(self.tell_removed(&gate, source, why, now));
                }
                actions.gather(call.map(|call| Action::Answer(call, Ok(json!({ "ok": true })))));
            }
            Listing::Flushed { gate, removed, call } => {
                self.lists.clear(&gate);
                actions.push(Action::Log(
                    Level::Info,
                    format!("gate {gate}: emptied by hand, {removed} addresses"),
                ));
                let data = json!({ "gate": gate, "address": "", "why": "flushed", "removed": removed });
                actions.push(Action::Notify("gate.remove", data));
                actions.push(Action::Answer(call, Ok(json!({ "removed": removed }))));
            }
            Listing::Proved {
                gate,
                spa,
                source,
                seconds,
            } => {
                let entry = Entry {
                    origin: Some(Origin::Spa),
                    ..ending(source, List::Spa, seconds, now)
                };
                self.lists.put(&gate, entry);
                self.count_by_daemon(&gate);
                actions.extend(self.tell_admitted(&gate, source, &format!("spa {spa}"), seconds, now));
            }
            Listing::Restored(count) => {
                actions.push(Action::Log(
                    Level::Info,
                    format!("gates: {count} entries put back on their lists"),
                ));
                // Who came in the meantime is on them, too, and for some there may have been no room.
                actions.extend(self.look_at_lists());
            }
            Listing::Refreshed(sources) => {
                for (alive, window) in sources {
                    let is_new = !self.lists.is_listed(&alive.gate, alive.source);
                    self.lists
                        .put(&alive.gate, ending(alive.source, List::Seen, window, now));
                    if let (true, Some(witness)) = (is_new, &alive.witness) {
                        let why = format!("witness {witness}");
                        actions.extend(self.tell_admitted(&alive.gate, alive.source, &why, window, now));
                    }
                }
            }
        }
        self.place_looks(now);
        actions
    }

    fn not_edited(&mut self, why: &str, then: &Listing, now: Now) -> Vec<Action> {
        let line = format!("gate: the list could not be changed: {why}");
        match then {
            Listing::Admitted { call, .. } | Listing::Flushed { call, .. } => error(*call, &line),
            Listing::Removed { call: Some(call), .. } => error(*call, &line),
            Listing::Restored(_) => {
                // So that the next look does it again.
                self.table_handle = Some(0);
                self.deadlines.verify_soon(now.monotonic);
                vec![Action::Log(Level::Warn, line)]
            }
            Listing::Removed { call: None, .. } | Listing::Refreshed(_) | Listing::Proved { .. } => {
                vec![Action::Log(Level::Warn, line)]
            }
        }
    }

    /// Takes over what the kernel's lists hold. In a table that another program (or we) made anew they are empty: then everybody who was listed
    /// is put back.
    pub(super) fn adopt_lists(&mut self, reading: &Reading, now: Now) -> Vec<Action> {
        let Some(gates) = self.compiled.as_ref().map(|compiled| &compiled.policy.gates) else {
            return Vec::new();
        };
        let is_another = self.table_handle.is_some_and(|known| known != reading.handle);
        self.table_handle = Some(reading.handle);
        self.deadlines.looked(now.monotonic);
        if is_another {
            let edits = self.lists.restoring(gates, &reading.lists, now.monotonic);
            if !edits.is_empty() {
                let count = edits.len();
                return self.edit(edits, Listing::Restored(count));
            }
        }
        let gone = self.lists.take(gates, &reading.lists, now.monotonic);
        let mut actions = Vec::new();
        for Gone { gate, address, expired } in gone {
            let why = if expired { "expired" } else { "taken off" };
            actions.extend(self.tell_removed(&gate, address, why, now));
        }
        self.place_looks(now);
        actions
    }

    /// Whether copies of packets can reach us, which may change while we run: a kernel module is loaded, another program ends.
    pub(super) fn copies(&mut self, without: Option<String>) -> Option<Action> {
        let line = without.map(|why| format!("nobody tells who comes and goes at the gates: {why}"));
        let is_news = self.no_copies != line;
        self.no_copies.clone_from(&line);
        line.filter(|_| is_news).map(|line| Action::Log(Level::Warn, line))
    }

    /// Copies of packets that changed the lists.
    pub(super) fn heard(&mut self, heard: Vec<Heard>, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        for one in heard {
            let (gate, source) = match &one {
                Heard::Admitted { gate, source, .. }
                | Heard::Removed { gate, source }
                | Heard::Closed { gate, source } => (gate, source),
                Heard::Knocked {
                    knock,
                    sequence,
                    progress,
                    source,
                } => {
                    actions.extend(self.knocked(knock, *sequence, *progress, *source, now));
                    continue;
                }
                Heard::Attempt(attempt) => {
                    self.sample(*attempt, now);
                    continue;
                }
                Heard::Packet { port, packet, source } => {
                    actions.extend(self.packet(*port, packet, *source, now));
                    continue;
                }
            };
            // A rule of a configuration that is no more.
            let Some(policy) = self.gate(gate) else { continue };
            let (window, source) = (policy.window, gate::masked(policy, *source));
            match one {
                Heard::Admitted { gate, witness, .. } => {
                    self.lists.put(&gate, ending(source, List::Seen, window, now));
                    let why = format!("witness {witness}");
                    actions.extend(self.tell_admitted(&gate, source, &why, window, now));
                }
                Heard::Removed { gate, .. } => {
                    // Once for each list that had it.
                    if self.lists.remove(&gate, source) {
                        actions.extend(self.tell_removed(&gate, source, "session closed", now));
                    }
                }
                Heard::Closed { gate, .. } => {
                    self.closing
                        .retain(|(known, address, _)| (known, *address) != (&gate, source));
                    if self.closing.len() < MOST_CLOSING {
                        self.closing.push((gate, source, 0));
                    }
                    self.deadlines.sessions_within(now.monotonic, CLOSING_QUIET);
                }
                Heard::Knocked { .. } | Heard::Packet { .. } | Heard::Attempt(_) => {}
            }
        }
        self.place_looks(now);
        actions
    }

    pub(super) fn look_at_lists(&self) -> Option<Action> {
        self.wanted.clone().map(Action::Look)
    }

    pub(super) fn looked(&mut self, result: Result<Reading, String>, now: Now) -> Vec<Action> {
        self.deadlines.looked(now.monotonic);
        let mut actions = match result {
            Ok(reading) if reading.present => self.adopt(&reading, now),
            // Whoever took it away has woken us.
            Ok(_) => Vec::new(),
            Err(error) => {
                self.place_looks(now);
                vec![Action::Log(
                    Level::Warn,
                    format!("gate: the lists cannot be read: {error}"),
                )]
            }
        };
        if let Some(sessions) = self.unjudged.take() {
            actions.extend(self.judge_sessions(&sessions, now));
        }
        actions
    }

    /// When the lists and conntrack are to be looked at next. With nobody listed: not at all.
    pub(super) fn place_looks(&mut self, now: Now) {
        let Some(gates) = self.compiled.as_ref().map(|compiled| &compiled.policy.gates) else {
            return;
        };
        let end = match self.lists.are_overfull(gates) {
            true => Some(now.monotonic),
            false => self.lists.next_end().map(|end| end.saturating_add(LOOK_SLACK)),
        };
        self.deadlines.look_at(end, LOOK_SPACING);
        let waits = |gate: &Gate| gate.witnesses.iter().any(|witness| witness.min_bytes > 0);
        let is_hidden = gates.flow_offloading && (!self.lists.are_empty() || gates.list.iter().any(waits));
        if is_hidden {
            let window = gates.list.iter().map(|gate| gate.window).min().unwrap_or_default();
            let pace = (u64::from(window) * 1000 / 3).clamp(SESSIONS.0, SESSIONS.1);
            self.deadlines.sessions_within(now.monotonic, pace);
        } else if self.closing.is_empty() {
            self.deadlines.no_sessions();
        }
    }

    fn shown(&self, gate: &str, source: IpAddr) -> String {
        self.gate(gate)
            .map_or_else(|| source.to_string(), |gate| gate::shown(gate, source))
    }

    pub(super) fn tell_admitted(
        &mut self,
        gate: &str,
        source: IpAddr,
        why: &str,
        seconds: u32,
        now: Now,
    ) -> Vec<Action> {
        let shown = self.shown(gate, source);
        let time = match seconds {
            0 => "until it is closed".to_string(),
            seconds => format!("for {seconds} s"),
        };
        let line = format!("gate {gate}: {shown} admitted {time} ({why})");
        let data = json!({ "gate": gate, "address": shown, "why": why, "seconds": seconds });
        let told = self.is_told(source, why, now);
        tell(told, line, "gate.admit", data)
    }

    pub(super) fn tell_removed(&mut self, gate: &str, source: IpAddr, why: &str, now: Now) -> Vec<Action> {
        let shown = self.shown(gate, source);
        let line = format!("gate {gate}: {shown} removed ({why})");
        let data = json!({ "gate": gate, "address": shown, "why": why });
        let told = self.is_told(source, why, now);
        tell(told, line, "gate.remove", data)
    }

    /// What somebody has asked for is told however much comes and goes.
    fn is_told(&mut self, source: IpAddr, why: &str, now: Now) -> Told {
        match why {
            BY_HAND => Told::Yes { untold: 0 },
            _ => self.teller.ask(source, now.monotonic),
        }
    }

    fn count_by_daemon(&mut self, gate: &str) {
        match self.by_daemon.iter_mut().find(|(name, _)| name == gate) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.by_daemon.push((gate.to_string(), 1)),
        }
    }

    /// How many were admitted by hand or by an authenticated packet, which no counter of the kernel sees.
    pub(crate) fn admitted_by_daemon(&self, gate: &str) -> u64 {
        let known = self.by_daemon.iter().find(|(name, _)| name == gate);
        known.map_or(0, |(_, count)| *count)
    }
}

pub(super) fn tell(told: Told, line: String, name: &'static str, data: Value) -> Vec<Action> {
    let Told::Yes { untold } = told else {
        return Vec::new();
    };
    let mut actions = Vec::new();
    if untold > 0 {
        actions.push(Action::Log(
            Level::Info,
            format!("gates: {untold} admissions and removals were not told"),
        ));
    }
    actions.extend([Action::Log(Level::Info, line), Action::Notify(name, data)]);
    actions
}

fn ending(address: IpAddr, list: List, seconds: u32, now: Now) -> Entry {
    Entry {
        address,
        list,
        ends: Some(now.monotonic.saturating_add(u64::from(seconds) * 1000)),
        origin: Some(Origin::Witness),
    }
}

pub(super) fn error(call: CallId, error: &str) -> Vec<Action> {
    vec![Action::Answer(call, Ok(json!({ "ok": false, "error": error })))]
}
