//! What is published: the methods of the bus object and the shapes of their answers. The only file that knows them.

use crate::check::Check;
use crate::config::{Config, Host, Problem, System};
use crate::event::{Now, Reading};
use crate::nft::PortRange;
use crate::profiles::{level_name, Profiles};
use crate::ruleset;
use crate::state::State;
use crate::system::ubus::{Kind, Method};
use serde_json::{json, Value};

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The bus object's name.
pub const OBJECT: &str = "lanward";

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
        name: "pause",
        arguments: &[("minutes", Kind::Int)],
    },
    Method {
        name: "resume",
        arguments: &[],
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
        "gates": [],
        "ledger": { "enabled": false, "today": 0, "last_commit": 0 },
        "relays": [],
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
        "enforced": state.holds() && reading.present && reading.on && paused == 0 && reading.paused.is_none() && !config.observe && !state.out_of_hours(now),
        "paused_seconds": paused,
        "level": level_name(config.level),
        "ports": config.ports.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "profiles": config.profiles,
        "hosts": config.hosts.iter().map(host_text).collect::<Vec<_>>(),
        "source_devices": sources,
        "dest_devices": dests,
        "dropped_packets": outbound.packets,
        "dropped_bytes": outbound.bytes,
        "inbound_dropped_packets": inbound.packets,
        "flows_cut": state.flows_cut,
    })
}

/// The answer of `reload`.
#[must_use]
pub fn reload(state: &State) -> Value {
    let mut value = json!({ "applied": state.is_applied(), "problems": problems(&state.problems()) });
    if let (Some(error), Some(fields)) = (state.trouble(), value.as_object_mut()) {
        fields.insert("error".into(), error.into());
    }
    value
}

/// The answer of `check`.
#[must_use]
pub fn checks(checks: &[Check]) -> Value {
    let one = |check: &Check| json!({ "name": check.name, "ok": check.ok, "severity": check.severity.as_str(), "message": check.message });
    json!({ "checks": checks.iter().map(one).collect::<Vec<_>>() })
}

fn problems(problems: &[Problem]) -> Vec<Value> {
    problems
        .iter()
        .map(|problem| json!({ "option": problem.option, "message": problem.message }))
        .collect()
}

fn warnings(state: &State) -> Vec<String> {
    let mut warnings = state.router_warnings();
    warnings.extend(unenforced(&state.config));
    if let Some(Ok(profiles)) = &state.profiles {
        warnings.extend(profiles.warnings(state.config.lan_only.level, &state.config.lan_only.profiles));
    }
    warnings
}

/// What the configuration asks for and this version does not do. Said rather than skipped.
#[must_use]
pub fn unenforced(config: &Config) -> Vec<String> {
    let gates = config.gates.iter().filter(|gate| gate.enabled);
    gates
        .map(|gate| format!("gate '{}' is enabled, but this version has no gates: the port is as open or shut as the firewall has it", gate.name))
        .collect()
}

/// Profiles that the package does not know. They change no rule, so the rest of the configuration stands.
#[must_use]
pub fn unknown_profiles(config: &Config, profiles: &Profiles) -> Vec<Problem> {
    let ids: Vec<&str> = profiles
        .applications
        .iter()
        .map(|application| application.id.as_str())
        .collect();
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
        .collect()
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
