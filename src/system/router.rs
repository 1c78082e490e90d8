//! What the diagnosis wants to know of the router beyond the configuration: collected here, judged in [`crate::check`].

use crate::check::{BaseChain, Daemon, Facts, Table, TableState, Upnp, FW4_NAMED, FW4_SERVICE};
use crate::daemon::Paths;
use crate::gather::Gather;
use crate::network::Links;
use crate::nft::netlink::neighbours::Neighbour;
use crate::ruleset::TABLE;
use crate::state::Known;
use crate::system::conntrack::{number, Conntrack};
use crate::system::keeper::{self, Contents, File};
use crate::system::nftables::{self, Nftables, Verdict};
use crate::system::storage;
use crate::system::ubus::CallError;
use crate::uci;
use std::path::Path;

const FW4: &str = "/sbin/fw4";
/// A router has some hundred. Who has more than these is warned of what is in them.
const STEPS: usize = 2048;
const LEASES: &str = "/var/run/miniupnpd.leases";
const MINIUPNPD_PID: &str = "/var/run/miniupnpd.pid";

/// For the daemon, which has the kernel's ear.
pub fn facts(paths: &Paths, upnpd: Contents, nftables: &mut Nftables, links: Links, known: Known) -> Facts {
    let table = match known.wanted.as_ref().map(|wanted| nftables.verify(wanted)) {
        None | Some(Err(_)) => TableState::NotAsked,
        Some(Ok(Verdict::Same)) => TableState::Same,
        Some(Ok(Verdict::Missing)) => TableState::Missing,
        Some(Ok(Verdict::Differs(differences))) => TableState::Differs(differences),
    };
    let tables = nftables.tables();
    let mut missing = missing();
    if is_unknown(&tables) {
        missing.push("nf_tables".to_string());
    }
    let (tables, chains) = neighbours(nftables, tables.ok());
    let tables_seen = tables.clone().unwrap_or_default();
    let fw4_loaded = tables_seen
        .iter()
        .any(|table| table.family == "inet" && table.name == "fw4");
    let fw4_gates = fw4_loaded
        .then(|| {
            nftables
                .comments("fw4", |comment| {
                    [FW4_SERVICE, FW4_NAMED].iter().any(|begin| comment.starts_with(begin))
                })
                .ok()
        })
        .flatten();
    let has_gate = known.config.gates.iter().any(|gate| gate.enabled);
    let steps = has_gate.then(|| nftables.steps(TABLE, STEPS).unwrap_or_default());
    Facts {
        table,
        steps: steps.unwrap_or_default(),
        chains,
        fw4_gates,
        tables,
        missing,
        ..without_kernel(paths, upnp(upnpd, &tables_seen), links, known, Daemon::Asking)
    }
}

/// For the command line, as root or not: on a router whose daemon does not answer, for this reason, or for files that need not be in force.
#[must_use]
pub fn facts_without_daemon(paths: &Paths, mut known: Known, error: Option<&CallError>) -> Facts {
    let daemon = match error {
        None => Daemon::NotAsked,
        Some(CallError::NoBus(error)) => Daemon::NoBus(error.to_string()),
        Some(CallError::NoObject(_)) => Daemon::NotOnBus,
        Some(other) => Daemon::NoBus(other.to_string()),
    };
    let in_force = daemon != Daemon::NotAsked;
    known.wanted.take_if(|_| !in_force);
    let upnpd = keeper::read(&paths.config_dir, File::Upnpd);
    match Nftables::open() {
        Ok(mut nftables) => {
            let facts = facts(paths, upnpd, &mut nftables, Links::default(), known);
            Facts {
                daemon,
                fw4_gates: facts.fw4_gates.filter(|_| in_force),
                ..facts
            }
        }
        Err(_) => without_kernel(paths, upnp(upnpd, &[]), Links::default(), known, daemon),
    }
}

fn without_kernel(paths: &Paths, upnp: Upnp, links: Links, known: Known, daemon: Daemon) -> Facts {
    Facts {
        file: paths.config_dir.join("lanward").display().to_string(),
        config: known.config,
        problems: known.problems,
        is_silent: known.is_silent,
        network: known.network,
        links,
        firewall: known.firewall,
        fw4_installed: Path::new(FW4).exists(),
        fw4_gates: None,
        tables: None,
        chains: Vec::new(),
        steps: Vec::new(),
        table: TableState::NotAsked,
        missing: Vec::new(),
        upnp,
        clock: known.unix,
        build: build_time(),
        timezone: Ok(known.time_zone),
        daemon,
        accounting: accounting(),
        windows: windows(),
        tracked: number("nf_conntrack_count").zip(number("nf_conntrack_max")),
        no_copies: known.no_copies,
        relays: known.relays,
        profiles: known.profiles,
    }
}

/// All tables, as they were asked for, and base chains; `None` where the kernel refuses to tell.
fn neighbours(
    nftables: &mut Nftables,
    tables: Option<Vec<(&'static str, String)>>,
) -> (Option<Vec<Table>>, Vec<BaseChain>) {
    let Some(tables) = tables else {
        return (None, Vec::new());
    };
    let tables = tables
        .into_iter()
        .map(|(family, name)| Table {
            family: family.into(),
            name,
        })
        .gathered();
    let chain = |(family, neighbour): (&str, Neighbour)| BaseChain {
        family: family.into(),
        table: neighbour.table,
        chain: neighbour.chain,
        hook: neighbour.hook.into(),
        priority: neighbour.priority,
    };
    let chains = nftables.base_chains().unwrap_or_default();
    (Some(tables), chains.into_iter().map(chain).gathered())
}

/// What cannot be read is taken for switched on: no way in is to be passed over because the daemon's user may not look.
fn upnp(upnpd: Contents, tables: &[Table]) -> Upnp {
    let mut unread = Vec::new();
    let mut text = |name: &str, contents: Contents| {
        contents.unwrap_or_else(|error| {
            unread.push(format!("{name} ({error})"));
            None
        })
    };
    let package = text("/etc/config/upnpd", upnpd);
    let leases = text(
        LEASES,
        storage::read(Path::new(LEASES)).map_err(|error| error.to_string()),
    );
    let package = package.and_then(|text| uci::parse(&text).ok()).unwrap_or_default();
    let enabled = package
        .of_kind("upnpd")
        .any(|section| matches!(section.option("enabled"), Some("1" | "on" | "true" | "yes" | "enabled")));
    let table = tables.iter().any(|table| table.name == "miniupnpd");
    Upnp {
        enabled,
        running: table || Path::new(MINIUPNPD_PID).exists(),
        leases: String::from_utf8_lossy(&leases.unwrap_or_default()).into_owned(),
        unread,
    }
}

/// nfnetlink answers so for a subsystem that it does not have. (OpenWrt has all of nf_tables that the rules use in one package, so that one
/// question tells.) Anything else, such as not being root, says nothing about the kernel.
fn is_unknown<T>(answer: &Result<T, nftables::Error>) -> bool {
    matches!(answer, Err(nftables::Error::Refused { errno, .. }) if [libc::EINVAL, libc::EOPNOTSUPP].contains(errno))
}

/// Kernel features that the program cannot do without, by the name of OpenWrt's module. Asked, not looked up: they may be built in.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    const NOTHING: u8 = 255;
    let asked = Conntrack::open().and_then(|mut conntrack| conntrack.flows(NOTHING, &mut |_| false));
    if asked.is_err() {
        missing.push("nf_conntrack_netlink".to_string());
    }
    missing
}

fn accounting() -> Option<bool> {
    setting("nf_conntrack_acct")
}

/// OpenWrt's kernels before 5.15 have a switch of their own for it.
fn windows() -> Option<bool> {
    let liberal = setting("nf_conntrack_tcp_be_liberal")?;
    Some(!liberal && setting("nf_conntrack_tcp_no_window_check") != Some(true))
}

/// Whether a switch of conntrack is on; `None`: there is no such switch.
fn setting(name: &str) -> Option<bool> {
    number(name).map(|number| number != 0)
}

/// Seconds since 1970 of the source that this program was built from (reproducible builds set it), or 0.
fn build_time() -> u64 {
    option_env!("SOURCE_DATE_EPOCH")
        .and_then(|epoch| epoch.parse().ok())
        .unwrap_or(0)
}
