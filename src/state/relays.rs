//! The relays while running: which there are, whose turn it is to start, who is told, and who asked.

use super::State;
use crate::check::Way;
use crate::config;
use crate::event::{Action, CallId, Now, PublicKey};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::json::{self, json};
use crate::network::Links;
use crate::relay::files::{Facts, Files};
use crate::relay::{key, sight, Do, Heard, Look, Relay, State as Life, Wait};
use crate::system::ubus::Status;
use log::Level;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Sessions that start at the same time. An SSH server lets ten wait to be let in (`MaxStartups`), and a router's processor is slow at this.
const AT_ONCE: usize = 6;

/// Callers that can wait for checks.
const ASKED: usize = 16;

/// What is remembered of the relays.
#[derive(Debug, Default)]
pub(super) struct Relays {
    list: Vec<Relay>,
    /// How many there have been: their sessions' numbers are never the same.
    born: u64,
    keys: Vec<PublicKey>,
    /// Who waits for a check, and of which relay.
    asked: Vec<(String, CallId)>,
    /// The router's ways out, as they were seen last; `None`: not seen yet.
    ways: Option<Vec<(u32, IpAddr)>>,
}

/// What is told of a relay when it changes.
type Told = (Life, Option<String>);

fn told(relay: &Relay) -> Told {
    (relay.state(), relay.error().map(str::to_string))
}

impl State {
    /// With every configuration that is accepted.
    pub(super) fn place_relays(&mut self, now: Now) -> Vec<Action> {
        let wanted = self.config.relays.clone();
        let mut actions = Vec::new();
        for relay in &mut self.relays.list {
            relay.look_again();
        }
        for index in 0..self.relays.list.len() {
            let name = &self.relays.list[index].config.name;
            actions.extend(match wanted.iter().find(|config| config.name == *name) {
                Some(config) => self.with_relay(index, now, |relay, now| relay.configure(config.clone(), now)),
                None => self.with_relay(index, now, Relay::stop),
            });
        }
        let is_wanted = |relay: &Relay| wanted.iter().any(|config| config.name == relay.config.name);
        self.relays.list.retain(is_wanted);
        let asked = std::mem::take(&mut self.relays.asked);
        for (name, call) in asked {
            match self.relay_index(&name) {
                Some(_) => self.relays.asked.push((name, call)),
                None => actions.push(Action::Answer(call, Err(Status::NotFound))),
            }
        }
        for config in wanted {
            if self.relays.list.iter().any(|relay| relay.config.name == config.name) {
                continue;
            }
            self.relays.born = self.relays.born.wrapping_add(1);
            let dice = dice(&config.name, now);
            let relay = Relay::new(config, dice, self.relays.born << 32, now.monotonic);
            self.relays.list.push(relay);
        }
        self.order_logins();
        actions.extend(self.read_public_keys());
        actions.extend(self.take_turns(now));
        actions
    }

    /// A server looks for the key, and what stands in its first line there holds for every relay that comes with it.
    fn order_logins(&mut self) {
        let all = &self.config.relays;
        for relay in &mut self.relays.list {
            let before = all.iter().take_while(|other| other.name != relay.config.name);
            let mut same = before.filter(|other| other.enabled && login(other) == login(&relay.config));
            let first = same.next().map(|other| other.name.clone());
            relay.stands_behind(first);
        }
    }

    fn read_public_keys(&self) -> Option<Action> {
        let mut paths: Vec<String> = self.config.relays.iter().map(|relay| relay.key.clone()).gathered();
        paths.sort_unstable();
        paths.dedup();
        (!paths.is_empty() || !self.relays.keys.is_empty()).then_some(Action::ReadPublicKeys(paths))
    }

    pub(super) fn public_keys(&mut self, keys: Vec<PublicKey>) -> Vec<Action> {
        self.relays.keys = keys;
        Vec::new()
    }

    /// Lets something happen to a relay, and tells what has become of it.
    fn with_relay(&mut self, index: usize, now: Now, happen: impl FnOnce(&mut Relay, u64) -> Vec<Do>) -> Vec<Action> {
        let Some(relay) = self.relays.list.get_mut(index) else {
            return Vec::new();
        };
        let before = told(relay);
        let doing = happen(relay, now.monotonic);
        self.follow(index, &before, doing, now)
    }

    fn follow(&mut self, index: usize, before: &Told, doing: Vec<Do>, now: Now) -> Vec<Action> {
        let Some(relay) = self.relays.list.get(index) else {
            return Vec::new();
        };
        let config = &relay.config;
        // One look at a server is enough for all that wait for it.
        let is_looked_at = |other: &Relay| {
            other.config.name != config.name && is_same_server(&other.config, config) && other.looks_at_relay()
        };
        let shared = self.relays.list.iter().any(is_looked_at);
        let mut actions: Vec<Action> = doing
            .into_iter()
            .filter(|what| !shared || *what != Do::Look(Look::Relay))
            .map(|what| Action::Relay(Box::new(config.clone()), what))
            .gathered();
        if told(relay) != *before && (relay.state() != before.0 || relay.error().is_some()) {
            actions.extend(tell(relay, now));
        }
        if !relay.is_checking() {
            let name = &config.name;
            let answer = checked(relay);
            let (over, still) = std::mem::take(&mut self.relays.asked)
                .into_iter()
                .partition(|(asked, _)| asked == name);
            self.relays.asked = still;
            let over: Vec<(String, CallId)> = over;
            actions.gather(
                over.into_iter()
                    .map(|(_, call)| Action::Answer(call, Ok(answer.clone()))),
            );
        }
        actions
    }

    /// Starts those whose turn it is.
    fn take_turns(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let starting = self.relays.list.iter().filter(|relay| relay.is_starting()).count();
        for _ in starting..AT_ONCE {
            // Who has waited longest.
            let due = self.relays.list.iter().enumerate().filter(|(_, relay)| relay.is_due());
            let Some((index, _)) = due.min_by_key(|(_, relay)| relay.since()) else {
                break;
            };
            actions.extend(self.with_relay(index, now, Relay::start));
        }
        actions
    }

    pub(super) fn relay_heard(&mut self, name: &str, heard: Heard, now: Now) -> Vec<Action> {
        let Some(index) = self.relay_index(name) else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        if let Heard::Looked { look: Look::Relay, .. } = heard {
            let server = self.relays.list[index].config.clone();
            for other in 0..self.relays.list.len() {
                let relay = &self.relays.list[other];
                if other != index && is_same_server(&relay.config, &server) && relay.looks_at_relay() {
                    actions.extend(self.with_relay(other, now, |relay, now| relay.heard(heard.clone(), now)));
                }
            }
        }
        actions.extend(self.with_relay(index, now, |relay, now| relay.heard(heard, now)));
        actions.extend(self.take_turns(now));
        actions
    }

    pub(super) fn relays_due(&self) -> Option<u64> {
        self.relays.list.iter().filter_map(Relay::next_deadline).min()
    }

    pub(super) fn look_at_relays(&mut self, now: Now) -> Vec<Action> {
        self.with_all(now, Relay::deadline)
    }

    /// Lets something happen to all relays.
    fn with_all(&mut self, now: Now, happen: fn(&mut Relay, u64) -> Vec<Do>) -> Vec<Action> {
        let mut actions = Vec::new();
        for index in 0..self.relays.list.len() {
            actions.extend(self.with_relay(index, now, happen));
        }
        actions.extend(self.take_turns(now));
        actions
    }

    /// The router was looked at: it may have another way out, or one again.
    pub(super) fn look_at_ways(&mut self, now: Now) -> Vec<Action> {
        if self.relays.list.is_empty() {
            self.relays.ways = None;
            return Vec::new();
        }
        let ways = ways(&self.links);
        let before = self.relays.ways.replace(ways.clone());
        if ways.is_empty() || before.is_none_or(|before| before == ways) {
            return Vec::new();
        }
        self.with_all(now, Relay::line_changed)
    }

    fn relay_index(&self, name: &str) -> Option<usize> {
        self.relays.list.iter().position(|relay| relay.config.name == name)
    }

    /// `relay_list` and the others.
    pub(super) fn call_relay(
        &mut self,
        id: CallId,
        method: &str,
        arguments: &Map<String, Value>,
        now: Now,
    ) -> Vec<Action> {
        if method == "relay_list" {
            let relays: Vec<Value> = self.relays.list.iter().map(|relay| self.listed(relay, now)).gathered();
            return vec![Action::Answer(id, Ok(json!({ "relays": relays })))];
        }
        let Some(name) = arguments.get("name").and_then(Value::as_str) else {
            return vec![Action::Answer(id, Err(Status::InvalidArgument))];
        };
        let Some(index) = self.relay_index(name) else {
            return vec![Action::Answer(id, Err(Status::NotFound))];
        };
        match method {
            "relay_restart" => self.call_restart(id, index, now),
            "relay_check" => self.call_check(id, index, now),
            "relay_keygen" => vec![Action::MakeRelayKey {
                path: self.relays.list[index].config.key.clone(),
                call: id,
            }],
            "relay_files" => vec![Action::Answer(id, Ok(self.files(&self.relays.list[index])))],
            _ => vec![Action::Answer(id, Err(Status::MethodNotFound))],
        }
    }

    fn call_restart(&mut self, id: CallId, index: usize, now: Now) -> Vec<Action> {
        if !self.relays.list[index].config.enabled {
            return super::gates::error(id, "it is not switched on: set enabled '1' in its section");
        }
        let mut actions = vec![Action::Answer(id, Ok(json!({ "ok": true })))];
        actions.extend(self.read_public_keys());
        actions.extend(self.with_relay(index, now, Relay::restart));
        actions.extend(self.take_turns(now));
        actions
    }

    fn call_check(&mut self, id: CallId, index: usize, now: Now) -> Vec<Action> {
        let relay = &self.relays.list[index];
        if !relay.is_up() {
            return vec![Action::Answer(id, Ok(checked(relay)))];
        }
        if self.relays.asked.len() >= ASKED {
            return super::gates::error(id, "too many wait for a check already");
        }
        self.relays.asked.push((relay.config.name.clone(), id));
        self.with_relay(index, now, Relay::check)
    }

    pub(super) fn relay_key_made(
        &mut self,
        path: &str,
        result: Result<(bool, String), String>,
        call: CallId,
        now: Now,
    ) -> Vec<Action> {
        let (made, public_key) = match result {
            Ok(key) => key,
            Err(why) => return super::gates::error(call, &why),
        };
        let answer = json!({ "ok": true, "key_file": path, "public_key": public_key, "made": made });
        let mut actions = vec![Action::Answer(call, Ok(answer))];
        if made {
            actions.push(Action::Log(Level::Info, format!("relay: a key was made in {path}")));
            // Who has failed for want of it need not be told.
            for index in 0..self.relays.list.len() {
                let relay = &self.relays.list[index];
                if relay.config.key == path && relay.state() == Life::Failed {
                    actions.extend(self.with_relay(index, now, Relay::restart));
                }
            }
            actions.extend(self.take_turns(now));
        }
        actions.extend(self.read_public_keys());
        actions
    }

    /// One of `status.relays`.
    pub(crate) fn relays_status(&self, now: Now) -> Vec<Value> {
        self.relays.list.iter().map(|relay| short(relay, now)).gathered()
    }

    /// One of `relay_list`.
    fn listed(&self, relay: &Relay, now: Now) -> Value {
        let config = &relay.config;
        let mut value = short(relay, now);
        let Some(fields) = value.as_object_mut() else {
            return value;
        };
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                fields.insert(name.to_string(), value);
            }
        };
        let (last_check, latency) = relay.checked();
        put("last_check", last_check.map(|time| unix(time, now)).into());
        put("latency_ms", latency.into());
        put("enabled", config.enabled.into());
        put("host", config.host.clone().into());
        put("port", config.port.into());
        put("user", config.user.clone().into());
        put("remote_port", config.remote_port.into());
        put("target", config.target.to_string().into());
        put("client", relay.client().map(str::to_string).into());
        put("script", relay.script().into());
        put("host_key", config.host_key.clone().into());
        put("fingerprint", config.host_key.as_deref().and_then(fingerprint).into());
        put("offered_key", relay.offered().map(key::HostKey::line).into());
        put(
            "offered_fingerprint",
            relay.offered().map(key::HostKey::fingerprint).into(),
        );
        put("key_file", config.key.clone().into());
        match self.public_key(&config.key) {
            Some(Ok(line)) => put("public_key", line.clone().into()),
            Some(Err(why)) => put("key_error", why.clone().into()),
            None => {}
        }
        put("exposed", relay.is_up().then(|| relay.is_exposed()).into());
        put("starts", relay.starts().into());
        value
    }

    fn public_key(&self, path: &str) -> Option<&Result<String, String>> {
        let known = self.relays.keys.iter().find(|key| key.path == path);
        known.map(|key| &key.line)
    }

    fn files(&self, relay: &Relay) -> Value {
        let config = &relay.config;
        let public_key = self.public_key(&config.key).and_then(|key| key.as_deref().ok());
        let files = Files::of(&Facts {
            name: &config.name,
            host: &config.host,
            port: config.port,
            user: &config.user,
            remote_port: config.remote_port,
            target: &config.target,
            kind: sight::kind(config),
            public_key,
        });
        let files = match files {
            Ok(files) => files,
            Err(error) => return json!({ "error": error }),
        };
        let mut value = json!({
            "script": files.script, "authorized_keys": files.authorized_keys, "authorized_keys_dropbear": files.authorized_keys_dropbear,
            "authorized_keys_client": files.authorized_keys_client, "server_settings": files.server_settings,
            "command": files.command, "ssh_config": files.ssh_config,
        });
        json::add(&mut value, "rdp", files.rdp.as_deref());
        value
    }

    /// What the diagnosis is told.
    pub(super) fn relay_ways(&self) -> Vec<Way> {
        let enabled = self.relays.list.iter().filter(|relay| relay.config.enabled);
        enabled
            .map(|relay| Way {
                relay: relay.config.name.clone(),
                login: login(&relay.config),
                from: outside(&relay.config),
                to: relay.config.target.to_string(),
                exposed: relay.is_exposed(),
                state: relay.state(),
                error: relay.error().map(str::to_string),
            })
            .gathered()
    }
}

fn login(config: &config::Relay) -> String {
    format!("{}@{} {} {}", config.user, config.host, config.port, config.key)
}

fn is_same_server(one: &config::Relay, other: &config::Relay) -> bool {
    (&one.host, one.port) == (&other.host, other.port)
}

/// Where somebody outside connects to, in the end.
fn outside(config: &config::Relay) -> String {
    format!("{} (port {} there)", config.host, config.remote_port)
}

fn fingerprint(line: &str) -> Option<String> {
    key::HostKey::parse(line).ok().map(|key| key.fingerprint())
}

fn unix(monotonic: u64, now: Now) -> u64 {
    now.unix.saturating_sub(now.monotonic.saturating_sub(monotonic) / 1000)
}

fn short(relay: &Relay, now: Now) -> Value {
    let since = unix(relay.since(), now);
    let name = &relay.config.name;
    let state = relay.state().word();
    let mut value = json!({ "name": name, "state": state, "since": since });
    json::add(&mut value, "error", relay.error());
    value
}

fn checked(relay: &Relay) -> Value {
    match (relay.is_up(), relay.checked().1, relay.error()) {
        (true, Some(latency), _) => json!({ "ok": true, "latency_ms": latency }),
        (true, None, _) => json!({ "ok": true }),
        (false, _, Some(error)) => json!({ "ok": false, "error": error }),
        (false, _, None) => json!({ "ok": false, "error": "it is not up" }),
    }
}

fn tell(relay: &Relay, now: Now) -> [Action; 2] {
    let name = &relay.config.name;
    let state = relay.state();
    let level = match state {
        Life::Idle | Life::Starting | Life::Up => Level::Info,
        Life::Backoff => Level::Warn,
        Life::Failed => Level::Error,
    };
    let line = match (state, relay.error()) {
        (Life::Up, _) => {
            let latency = relay.checked().1.unwrap_or_default();
            format!(
                "{} is reachable from outside through {} ({latency} ms)",
                relay.config.target,
                outside(&relay.config)
            )
        }
        (_, Some(error)) => error.to_string(),
        (Life::Idle, None) => "not switched on".to_string(),
        (_, None) => format!("connecting to {}", relay.config.host),
    };
    let again = match (relay.waits_for(), relay.retry_in(now.monotonic)) {
        (Some(Wait::Line), _) => "; it starts as soon as the relay answers".to_string(),
        (Some(Wait::Target), _) => "; it starts as soon as the target answers".to_string(),
        (_, Some(seconds)) => format!("; again in {seconds} s"),
        _ => String::new(),
    };
    let mut data = json!({ "relay": name, "state": state.word() });
    json::add(&mut data, "error", relay.error());
    [
        Action::Log(level, format!("relay {name}: {}: {line}{again}", state.word())),
        Action::Notify("relay", data),
    ]
}

/// FNV-1a over the name and the time: relays do not go on in step, nor routers that were switched on together.
fn dice(name: &str, now: Now) -> u32 {
    let bytes = name
        .bytes()
        .chain(now.unix.to_le_bytes())
        .chain(now.monotonic.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The addresses of devices that lead out, in order.
fn ways(links: &Links) -> Vec<(u32, IpAddr)> {
    let leads_out = |device: u32| {
        links
            .routes
            .iter()
            .any(|route| route.dest.prefix == 0 && route.device == device)
    };
    let mut ways: Vec<(u32, IpAddr)> = links
        .addresses
        .iter()
        .filter(|(device, _, _)| leads_out(*device))
        .map(|(device, _, address)| (*device, *address))
        .gathered();
    ways.sort_unstable();
    ways
}
