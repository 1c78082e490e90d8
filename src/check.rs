//! The router's diagnosis: what was found on this router, judged against what the configuration promises.
//!
//! [`Facts`] are plain values that others collect; [`diagnose`] only judges. What was not asked (no right to, no bus) is
//! `None` or `NotAsked` and is reported as such: silence must not look like health.

mod exposure;
mod gate;
mod relays;
mod router;
mod ways_in;

pub use relays::Way;
pub use router::{configuration, says_nothing};

use crate::config::{Config, Problem};
use crate::gather::Gather;
use crate::network::{Links, Network};
use crate::nft::netlink::neighbours::Step;
use crate::profiles::Profiles;
use crate::ruleset::FORWARD_PRIORITY;
use crate::uci;

/// How many of a kind are named in one message before "and N more".
const NAMED: usize = 8;

/// How fw4 begins the comment of a rule that it has from our init script. The instance in brackets may follow, then the rule's type and number.
pub const FW4_SERVICE: &str = "!fw4: ubus:lanward";
/// Or of one that the user has written, by the name that `lanward fw4-rules` gives it.
pub const FW4_NAMED: &str = "!fw4: lanward gate ";

/// Everything the diagnosis looks at.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The configuration's file.
    pub file: String,
    /// The configuration, always complete.
    pub config: Config,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Its file is not there, or has no section.
    pub is_silent: bool,
    /// The router's zones and redirects, resolved.
    pub network: Network,
    /// Devices, addresses, routes and neighbours; without any device: they were not read.
    pub links: Links,
    /// `/etc/config/firewall`; `None`: not there or not UCI.
    pub firewall: Option<uci::Package>,
    /// Whether firewall4 is installed (`/sbin/fw4`).
    pub fw4_installed: bool,
    /// The comments of fw4's rules for gates ([`FW4_SERVICE`], [`FW4_NAMED`]); `None`: the kernel was not asked, or fw4 is not loaded.
    pub fw4_gates: Option<Vec<String>>,
    /// All tables in the kernel; `None`: the kernel was not asked or refused.
    pub tables: Option<Vec<Table>>,
    /// All base chains in the kernel, of every owner; empty where `tables` is `None`.
    pub chains: Vec<BaseChain>,
    /// What others' rules do that packets' marks may depend on, with their tables' families; asked for where a gate is enabled, else empty.
    pub steps: Vec<(&'static str, Step)>,
    /// lanward's own table.
    pub table: TableState,
    /// Kernel features that were looked for and not found, by name: `nf_conntrack_netlink`.
    pub missing: Vec<String>,
    /// UPnP and PCP.
    pub upnp: Upnp,
    /// Seconds since 1970-01-01 00:00:00 UTC, by this router's clock.
    pub clock: u64,
    /// When this program was built, likewise; 0: not known. No right clock shows less.
    pub build: u64,
    /// The time zone as configured, or why it could not be read.
    pub timezone: Result<String, String>,
    /// The daemon on the bus.
    pub daemon: Daemon,
    /// Whether conntrack counts what a connection carries; `None`: not known.
    pub accounting: Option<bool>,
    /// Whether conntrack holds a TCP segment against the windows before it calls it a connection's; `None`: not known.
    pub windows: Option<bool>,
    /// Connections that conntrack holds, and how many it may; `None`: not known.
    pub tracked: Option<(u32, u32)>,
    /// Why nobody tells who comes and goes at the gates, if so.
    pub no_copies: Option<String>,
    /// The relays that are switched on.
    pub relays: Vec<Way>,
    /// The profile file, or why it could not be read.
    pub profiles: Result<Profiles, String>,
}

/// A table in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    /// As nft writes it: `inet`, `ip`, `ip6`, `bridge`, `netdev`, `arp`.
    pub family: String,
    /// Its name.
    pub name: String,
}

/// A chain that a hook calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseChain {
    /// As [`Table::family`].
    pub family: String,
    /// The table's name.
    pub table: String,
    /// The chain's name.
    pub chain: String,
    /// As nft writes it: `forward`, `prerouting`, `ingress`.
    pub hook: String,
    /// The lower, the earlier.
    pub priority: i32,
}

/// lanward's table in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableState {
    /// The kernel was not asked or refused.
    NotAsked,
    /// There is no such table.
    Missing,
    /// It is as it is meant.
    Same,
    /// It differs: what differs, for people.
    Differs(Vec<String>),
}

/// The daemon, seen over the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// The daemon itself asks.
    Asking,
    /// It answers.
    Reachable,
    /// The bus is there and the daemon is not.
    NotOnBus,
    /// No bus: why.
    NoBus(String),
    /// The files are to be judged, whatever a daemon has in force.
    NotAsked,
}

/// UPnP IGD, NAT-PMP and PCP on this router.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upnp {
    /// `upnpd.config.enabled`.
    pub enabled: bool,
    /// A miniupnpd process, its socket, or a table of its own was seen.
    pub running: bool,
    /// The lease file's text (`/var/run/miniupnpd.leases`): `UDP:3389:192.168.1.20:3389:0:name` a line. Empty: none.
    pub leases: String,
    /// Files of it that are there and could not be read, each with the reason.
    pub unread: Vec<String>,
}

/// How urgent a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something contradicts the mode, or may.
    Warning,
    /// A promise does not hold.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable id: `fw4`, `ipv6`, `flow-offload`. One check may have several findings.
    pub name: &'static str,
    /// Nothing needs doing.
    pub ok: bool,
    /// How urgent it is; [`Severity::Info`] where `ok`.
    pub severity: Severity,
    /// What it means and what to do.
    pub message: String,
}

impl Facts {
    /// A router has at least its loopback device: no device at all means that nobody looked.
    fn links_were_read(&self) -> bool {
        !self.links.devices.is_empty()
    }
}

impl Severity {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Check {
    fn fine(name: &'static str, message: impl Into<String>) -> Self {
        Check {
            name,
            ok: true,
            severity: Severity::Info,
            message: message.into(),
        }
    }

    fn note(name: &'static str, message: impl Into<String>) -> Self {
        Check {
            name,
            ok: false,
            severity: Severity::Info,
            message: message.into(),
        }
    }

    fn warning(name: &'static str, message: impl Into<String>) -> Self {
        Check {
            name,
            ok: false,
            severity: Severity::Warning,
            message: message.into(),
        }
    }

    fn error(name: &'static str, message: impl Into<String>) -> Self {
        Check {
            name,
            ok: false,
            severity: Severity::Error,
            message: message.into(),
        }
    }
}

/// Every check, in a fixed order, each with at least one finding.
#[must_use]
pub fn diagnose(facts: &Facts) -> Vec<Check> {
    let checks: [fn(&Facts) -> Vec<Check>; 17] = [
        |facts| configuration(&facts.problems, &facts.file, facts.is_silent),
        router::daemon,
        router::table,
        router::kernel,
        router::fw4,
        router::zones,
        router::neighbours,
        router::flow_offload,
        router::clock,
        relays::relays,
        exposure::ipv6,
        ways_in::upnp,
        ways_in::redirects,
        ways_in::pinholes,
        exposure::full_cone,
        exposure::profiles,
        gate::gates,
    ];
    checks.iter().flat_map(|check| check(facts)).gathered()
}

/// Up to [`NAMED`] of them, then how many more there are.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().gathered().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A text from outside, short and without anything that a terminal would obey.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    format!("'{}'", short.escape_debug())
}

/// fw4's idea of a true boolean (`parse_bool` of fw4.uc).
fn is_on(value: Option<&str>) -> bool {
    value.is_some_and(|value| ["1", "on", "true", "yes"].contains(&value))
}

#[cfg(test)]
mod tests;
