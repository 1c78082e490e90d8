//! What is published: the methods of the bus object and the shapes of their answers. The only file that knows them.

mod ledger;
#[cfg(test)]
mod ledger_tests;

pub use ledger::{history, imported, imported_day, query, recent};

use crate::check::Check;
use crate::config::{self, Config, Forget, Host, Problem, Refuse, System};
use crate::event::{NewKey, Now, Reading};
use crate::gate;
use crate::gather::Gather;
use crate::json::{self, json};
use crate::keygen;
use crate::lan_only::Doomed;
use crate::nft::PortRange;
use crate::policy;
use crate::profiles::{level_name, Profiles};
use crate::ruleset;
use crate::ruleset::gate::counter_names;
use crate::spa::Keys;
use crate::state::State;
use crate::system::ubus::{Kind, Method};
use serde_json::Value;

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What to look after where ubusd refuses something that only root may do without being allowed to.
pub const ACL: &str = "/usr/share/acl.d/lanward.json does not allow it to the daemon's user, or is missing";

/// The bus object's name.
pub const OBJECT: &str = "lanward";

/// Flows that `preview` names; the others are counted.
const PREVIEWED: usize = 64;

/// Entries of one answer of `gate_list`: it has to stay under the bus's 1 MiB, with the longest names and addresses.
const LISTED: usize = 4096;

/// The bus object's methods.
pub const METHODS: &[Method] = &[
    Method {
        name: "status",
        arguments: &[],
    },
    Method {
        name: "lan_only",
        arguments: &[("enabled", Kind::Bool), ("persist", Kind::Bool)],
    },
    Method {
        name: "preview",
        arguments: &[],
    },
    Method {
        name: "pause",
        arguments: &[("minutes", Kind::Int)],
    },
    Method {
        name: "resume",
        arguments: &[],
    },
    Method {
        name: "gate_list",
        arguments: &[("gate", Kind::String)],
    },
    Method {
        name: "gate_admit",
        arguments: &[
            ("gate", Kind::String),
            ("address", Kind::String),
            ("seconds", Kind::Int),
        ],
    },
    Method {
        name: "gate_remove",
        arguments: &[("gate", Kind::String), ("address", Kind::String)],
    },
    Method {
        name: "gate_flush",
        arguments: &[("gate", Kind::String)],
    },
    Method {
        name: "knock_list",
        arguments: &[],
    },
    Method {
        name: "spa_list",
        arguments: &[],
    },
    Method {
        name: "spa_keygen",
        arguments: &[("name", Kind::String), ("host", Kind::String), ("access", Kind::String)],
    },
    Method {
        name: "spa_revoke",
        arguments: &[("name", Kind::String)],
    },
    Method {
        name: "history",
        arguments: &[
            ("by", Kind::String),
            ("from", Kind::String),
            ("to", Kind::String),
            ("limit", Kind::Int),
            ("protocol", Kind::String),
            ("port", Kind::Int),
            ("address", Kind::String),
        ],
    },
    Method {
        name: "ledger_recent",
        arguments: &[],
    },
    Method {
        name: "ledger_erase",
        arguments: &[],
    },
    Method {
        name: "ledger_commit",
        arguments: &[],
    },
    Method {
        name: "ledger_import",
        arguments: &[("days", Kind::Array)],
    },
    Method {
        name: "relay_list",
        arguments: &[],
    },
    Method {
        name: "relay_restart",
        arguments: &[("name", Kind::String)],
    },
    Method {
        name: "relay_check",
        arguments: &[("name", Kind::String)],
    },
    Method {
        name: "relay_keygen",
        arguments: &[("name", Kind::String)],
    },
    Method {
        name: "relay_files",
        arguments: &[("name", Kind::String)],
    },
    Method {
        name: "check",
        arguments: &[],
    },
    Method {
        name: "reload",
        arguments: &[],
    },
];

/// The answer of `status`.
#[must_use]
pub fn status(state: &State, reading: &Reading, now: Now) -> Value {
    json!({
        "version": VERSION,
        "uptime": now.monotonic.saturating_sub(state.started) / 1000,
        "applied": state.is_applied() && reading.present,
        "problems": problems(&state.problems()),
        "warnings": warnings(state),
        "lan_only": lan_only(state, reading, now),
        "gates": state.config.gates.iter().map(|gate| gate_status(state, gate)).gathered(),
        "ledger": ledger::status(state, reading, now),
        "relays": state.relays_status(now),
    })
}

/// `status.lan_only`, the answer of `lan_only`, `pause` and `resume`.
#[must_use]
pub fn lan_only(state: &State, reading: &Reading, now: Now) -> Value {
    let config = &state.config.lan_only;
    let paused = state.pause_seconds(now);
    let counters = if config.observe {
        ruleset::OBSERVED
    } else {
        ruleset::DROPPED
    };
    let [outbound, inbound] = counters.map(|name| state.counter(name));
    let (sources, dests) = state.compiled.as_ref().map_or_else(Default::default, |compiled| {
        let policy = &compiled.policy.lan_only;
        (policy.sources.names(), policy.dests.names())
    });
    json!({
        "enabled": state.on(),
        "observe": config.observe,
        "enforced": state.holds() && reading.present && reading.on && paused == 0 && reading.paused.is_none() && !config.observe && !state.out_of_hours(now)
            && !sources.is_empty() && !dests.is_empty(),
        "out_of_hours": state.out_of_hours(now),
        "paused_seconds": paused,
        "level": level_name(config.level),
        "ports": config.ports.iter().map(ToString::to_string).gathered(),
        "profiles": config.profiles,
        "hosts": config.hosts.iter().map(host_text).gathered(),
        "source_devices": sources,
        "dest_devices": dests,
        "dropped_packets": outbound.packets,
        "dropped_bytes": outbound.bytes,
        "inbound_dropped_packets": inbound.packets,
        "flows_cut": state.flows_cut,
    })
}

/// The answer of `preview`: how many flows, and the first of them.
#[must_use]
pub fn preview(result: &Result<Vec<Doomed>, String>) -> Value {
    let flows = match result {
        Ok(flows) => flows,
        Err(error) => return json!({ "error": format!("running flows cannot be read: {error}") }),
    };
    let flow = |flow: &Doomed| {
        json!({
            "source": flow.source.to_string(),
            "source_port": flow.source_port,
            "dest": flow.dest.to_string(),
            "dest_port": flow.dest_port,
            "direction": if flow.inbound { "in" } else { "out" },
        })
    };
    json!({ "count": flows.len(), "flows": flows.iter().take(PREVIEWED).map(flow).gathered() })
}

/// The answer of `reload`.
#[must_use]
pub fn reload(state: &State) -> Value {
    let mut value = json!({ "applied": state.is_applied(), "problems": problems(&state.problems()) });
    json::add(&mut value, "error", state.trouble().as_deref());
    value
}

/// The answer of `check`.
#[must_use]
pub fn checks(checks: &[Check]) -> Value {
    let one = |check: &Check| json!({ "name": check.name, "ok": check.ok, "severity": check.severity.as_str(), "message": check.message });
    json!({ "checks": checks.iter().map(one).gathered() })
}

fn problems(problems: &[Problem]) -> Vec<Value> {
    problems
        .iter()
        .map(|problem| json!({ "option": problem.option, "message": problem.message }))
        .gathered()
}

fn warnings(state: &State) -> Vec<String> {
    let mut warnings = state.router_warnings();
    if let Some(Ok(profiles)) = &state.profiles {
        warnings.extend(profiles.warnings(state.config.lan_only.level, &state.config.lan_only.profiles));
    }
    warnings
}

/// One of `status.gates`.
fn gate_status(state: &State, gate: &config::Gate) -> Value {
    let config = &state.config;
    let services: Vec<String> = gate.services.iter().map(ToString::to_string).gathered();
    let resolved = state
        .gates()
        .and_then(|gates| gates.list.iter().find(|known| known.name == gate.name));
    let [admitted, refused, overflow] = match resolved {
        Some(resolved) => counter_names(resolved).map(|name| state.counter(&name).packets),
        None => [0; 3],
    };
    json!({
        "name": gate.name,
        "enabled": gate.enabled,
        "shut": resolved.is_some_and(|gate| gate.shut),
        "services": services,
        "witnesses": of_gate(gate, config.witnesses.iter().map(|witness| (&witness.name, &witness.gate))),
        "knocks": of_gate(gate, config.knocks.iter().map(|knock| (&knock.name, &knock.gate))),
        "spas": of_gate(gate, config.spas.iter().map(|spa| (&spa.name, &spa.gate))),
        "window": gate.window,
        "forget": forget_word(gate.forget),
        "refuse": refuse_word(gate.refuse),
        "prefix6": gate.prefix6,
        "entries": state.lists.sources(&gate.name).len(),
        "size": gate.size,
        "admitted": admitted.saturating_add(state.admitted_by_daemon(&gate.name)),
        "refused": refused,
        "overflow": overflow,
    })
}

fn forget_word(forget: Forget) -> &'static str {
    match forget {
        Forget::FirstFin => "first_fin",
        Forget::LastClose => "last_close",
        Forget::Never => "never",
    }
}

fn refuse_word(refuse: Refuse) -> &'static str {
    match refuse {
        Refuse::Zone => "zone",
        Refuse::Reset => "reset",
        Refuse::Drop => "drop",
    }
}

/// The names of the proofs (with the gates they are of) that are this gate's, as configured: also while it is off or shut.
fn of_gate<'a>(gate: &config::Gate, proofs: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<&'a str> {
    let own = proofs.filter(|(_, of)| **of == gate.name);
    own.map(|(name, _)| name.as_str()).gathered()
}

/// The answer of `spa_keygen`: all that a client needs, shown this once.
#[must_use]
pub fn new_key(new: &NewKey, path: &str, keys: &Keys) -> Value {
    let text = keygen::qr_text(keys);
    let made = keygen::stanza(&new.access(), keys).and_then(|stanza| Ok((stanza, keygen::qr(&text)?)));
    match made {
        Ok((stanza, rows)) => json!({ "ok": true, "key_file": path, "stanza": *stanza, "qr": *rows, "qr_text": *text }),
        Err(error) => json!({ "ok": false, "error": error }),
    }
}

/// Why nothing can be done at a gate.
#[must_use]
pub fn not_enabled(gate: &str) -> String {
    format!("the gate '{gate}' is not enabled")
}

/// The answer of `gate_list`: of one gate, or of all; the first entries, and whether there are more.
#[must_use]
pub fn gate_list(state: &State, gate: Option<&str>, now: Now) -> Value {
    let gates = state.gates().map(|gates| gates.list.as_slice()).unwrap_or_default();
    let wanted = gates.iter().filter(|known| gate.is_none_or(|gate| known.name == gate));
    let mut sources = wanted.flat_map(|gate| {
        let sources = state.lists.sources(&gate.name).into_iter();
        sources.map(move |(address, ends)| (gate, address, ends))
    });
    let entry = |(gate, address, ends): (&policy::Gate, _, Option<u64>)| {
        let left = ends.map(|ends| ends.saturating_sub(now.monotonic).div_ceil(1000));
        let why = state.lists.why(&gate.name, address);
        json!({ "gate": gate.name, "address": gate::shown(gate, address), "expires": left, "why": why })
    };
    let entries: Vec<Value> = sources.by_ref().take(LISTED).map(entry).gathered();
    let mut value = json!({ "entries": entries, "more": sources.next().is_some() });
    let is_off = |known: &config::Gate| !known.enabled && gate == Some(known.name.as_str());
    if state.config.gates.iter().any(is_off) {
        json::add(&mut value, "error", Some(&not_enabled(gate.unwrap_or_default())));
    }
    value
}

/// Profiles that the package does not know. They change no rule, so the rest of the configuration stands.
#[must_use]
pub fn unknown_profiles(config: &Config, profiles: &Profiles) -> Vec<Problem> {
    let ids: Vec<&str> = profiles
        .applications
        .iter()
        .map(|application| application.id.as_str())
        .gathered();
    let unknown = config
        .lan_only
        .profiles
        .iter()
        .filter(|id| profiles.application(id).is_none());
    unknown
        .map(|id| Problem {
            system: System::LanOnly,
            option: "lanward.lan_only.profile".into(),
            message: format!("'{id}' is not a profile ({})", ids.join(", ")),
            restricts: false,
        })
        .gathered()
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Address(address) => address.to_string(),
        Host::Mac(mac) => mac.map(|byte| format!("{byte:02x}")).join(":"),
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.from == self.to {
            return write!(f, "{}", self.from);
        }
        write!(f, "{}-{}", self.from, self.to)
    }
}
