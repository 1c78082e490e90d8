//! Whether the router is as lanward needs it: configuration, daemon, tables, kernel, zones, neighbours, clock.

use super::ways_in::in_force;
use super::{is_on, listed, quoted, BaseChain, Check, Daemon, Facts, TableState, FORWARD_PRIORITY};
use crate::config::Problem;
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::network::{Device, Treatment};
use crate::schedule::CLOCK_IS_SET;
use crate::sorted::Set;

/// Linux's main routing table (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;

/// Tables whose forward chain may stand before lanward's: they drop, or accept what is judged here all the same.
const HARMLESS_TABLES: &[&str] = &["banIP", "crowdsec", "crowdsec6", "miniupnpd"];

/// Words in the names of tables and chains of programs that take forwarded packets to a process on the router.
const PROXIES: &[&str] = &[
    "openclash",
    "passwall",
    "homeproxy",
    "nikki",
    "mihomo",
    "sing-box",
    "xray",
    "v2ray",
    "shadowsocks",
    "ssr",
];

/// OpenWrt's package for a kernel feature (`package/kernel/linux/modules/netfilter.mk`).
const PACKAGES: &[(&str, &str)] = &[
    ("nfnetlink", "kmod-nfnetlink"),
    ("nf_tables", "kmod-nft-core"),
    ("nft_ct", "kmod-nft-core"),
    ("nf_conntrack", "kmod-nf-conntrack"),
    ("nf_conntrack_netlink", "kmod-nf-conntrack-netlink"),
];

/// What it means that this file is silent.
#[must_use]
pub fn says_nothing(file: &str) -> String {
    format!("{file} is not there, or has no section: nothing is restricted, and no gate opens")
}

/// What is wrong with the configuration in this file. It is silent where it is not there or has no section.
#[must_use]
pub fn configuration(problems: &[Problem], file: &str, is_silent: bool) -> Vec<Check> {
    if problems.is_empty() && is_silent {
        return vec![Check::warning("configuration", format!("{}.", says_nothing(file)))];
    }
    if problems.is_empty() {
        return vec![Check::fine("configuration", format!("{file} has no problems."))];
    }
    let finding = |problem: &Problem| {
        let message = format!("{}: {}", problem.option, problem.message);
        if problem.restricts {
            let effect = "It restricts something, so a reload is refused and what was applied stays.";
            return Check::error("configuration", format!("{message}. {effect}"));
        }
        Check::warning("configuration", message)
    };
    problems.iter().map(finding).gathered()
}

pub(super) fn daemon(facts: &Facts) -> Vec<Check> {
    let check = match &facts.daemon {
        Daemon::Asking | Daemon::Reachable => Check::fine("daemon", "The daemon runs."),
        Daemon::NotOnBus => Check::error(
            "daemon",
            "The daemon does not answer on the bus. The table in the kernel keeps dropping as it was set, and a pause ends by itself; \
             but nothing switches it, follows changes of the network, or puts a deleted table back. Start it.",
        ),
        Daemon::NotAsked => Check::note(
            "daemon",
            format!("The daemon was not asked: {} is judged, whatever is in force.", facts.file),
        ),
        Daemon::NoBus(why) => Check::warning(
            "daemon",
            format!("The bus cannot be reached ({}), so it is not known whether the daemon runs. It enforces without the bus.", quoted(why)),
        ),
    };
    vec![check]
}

pub(super) fn table(facts: &Facts) -> Vec<Check> {
    let check = match &facts.table {
        TableState::NotAsked if facts.daemon == Daemon::NotAsked => {
            Check::note("table", "Table 'inet lanward' was not looked at: these files need not be in force.")
        }
        TableState::NotAsked => Check::note("table", "The kernel was not asked for table 'inet lanward': that needs root."),
        TableState::Same => Check::fine("table", "Table 'inet lanward' is in the kernel as it is meant."),
        TableState::Missing if facts.config.lan_only.enabled => Check::error(
            "table",
            "Table 'inet lanward' is not in the kernel: lan_only is on in the configuration and drops nothing. The daemon puts the table \
             back within a second; if it does not, see the log.",
        ),
        TableState::Missing => {
            Check::warning("table", "Table 'inet lanward' is not in the kernel. lan_only is off in the configuration; the switch needs the table.")
        }
        TableState::Differs(what) => Check::error(
            "table",
            format!("Table 'inet lanward' is not as it is meant ({}). Somebody else changed it; a reload applies it again.", listed(what)),
        ),
    };
    vec![check]
}

pub(super) fn kernel(facts: &Facts) -> Vec<Check> {
    let finding = |feature: &String| {
        let package = PACKAGES
            .iter()
            .find(|(name, _)| name == feature)
            .map(|(_, package)| *package);
        let remedy = match package {
            Some(package) => format!("install {package}"),
            None => "install the kernel module of that name".to_owned(),
        };
        Check::error("kernel", format!("The kernel lacks {}: {remedy}.", quoted(feature)))
    };
    let mut checks: Vec<Check> = facts.missing.iter().map(finding).gathered();
    if let Some((count, most)) = facts.tracked.filter(|(count, most)| *count >= most - most / 10) {
        let full = format!(
            "conntrack holds {count} of {most} connections. When it is full the kernel drops whatever is new, before any rule: nobody new gets in, listed or not. \
             'conntrack -L' shows them, net.netfilter.nf_conntrack_max is how many there may be."
        );
        checks.push(Check::warning("kernel", full));
    }
    if checks.is_empty() {
        checks.push(Check::fine("kernel", "The kernel has what is needed."));
    }
    checks
}

pub(super) fn fw4(facts: &Facts) -> Vec<Check> {
    let Some(tables) = &facts.tables else {
        return vec![Check::note(
            "fw4",
            "The kernel was not asked for its tables: that needs root.",
        )];
    };
    let loaded = tables.iter().any(|table| table.family == "inet" && table.name == "fw4");
    let check = match (facts.fw4_installed, loaded) {
        (_, true) => Check::fine("fw4", "The firewall (fw4) is loaded."),
        (true, false) => Check::error(
            "fw4",
            "The firewall (fw4) is installed and its table 'inet fw4' is not in the kernel: nothing filters or translates. Start it: \
             /etc/init.d/firewall start. If that fails, 'fw4 check' says why.",
        ),
        (false, false) => Check::error(
            "fw4",
            "There is no fw4 on this router. lanward needs the nftables firewall of OpenWrt 22.03 or later; fw3 with iptables is not supported.",
        ),
    };
    vec![check]
}

pub(super) fn zones(facts: &Facts) -> Vec<Check> {
    let lan_only = &facts.config.lan_only;
    let sources = lan_only.source_zones.iter().map(|zone| ("source_zone", zone));
    let dests = lan_only.dest_zones.iter().map(|zone| ("dest_zone", zone));
    let mut checks: Vec<Check> = sources
        .chain(dests)
        .filter_map(|(option, zone)| zone_finding(facts, option, zone))
        .gathered();
    checks.extend(default_routes_elsewhere(facts));
    checks.extend(outside(facts));
    if !facts.links_were_read() {
        checks.push(Check::note(
            "zones",
            "Devices and routes were not read, so it is not known whether a default route leads past the destination zones.",
        ));
    }
    checks.gather(
        facts
            .network
            .warnings
            .iter()
            .map(|warning| Check::warning("zones", warning)),
    );
    if checks.is_empty() {
        checks.push(Check::fine(
            "zones",
            "All zones have devices, and every default route leads through a destination zone.",
        ));
    }
    checks
}

fn zone_finding(facts: &Facts, option: &str, name: &str) -> Option<Check> {
    let place = format!("lanward.lan_only.{option}");
    let Some(zone) = facts.network.zones.get(name) else {
        let known: Vec<String> = facts.network.zones.keys().map(|name| quoted(name)).gathered();
        let message = format!(
            "{place}: {} is no zone of /etc/config/firewall; there are {}.",
            quoted(name),
            listed(&known)
        );
        return Some(Check::error("zones", message));
    };
    let empty = || {
        format!(
            "{place}: zone {} has no device, so nothing is dropped there. Give it a network in /etc/config/firewall.",
            quoted(name)
        )
    };
    zone.devices.is_empty().then(|| Check::warning("zones", empty()))
}

/// Who gets out, and is not meant.
fn outside(facts: &Facts) -> Vec<Check> {
    let lan_only = &facts.config.lan_only;
    let mut checks = Vec::new();
    let mut zones = Set::new();
    let firewall = facts.firewall.as_ref();
    for forwarding in firewall.into_iter().flat_map(|firewall| &firewall.sections) {
        let (Some(from), Some(to)) = (forwarding.option("src"), forwarding.option("dest")) else {
            continue;
        };
        let is_dest = |zone: &str| lan_only.dest_zones.iter().any(|one| one == zone);
        let is_source = lan_only.source_zones.iter().any(|one| one == from);
        let is_meant = forwarding.kind == "forwarding" && in_force(forwarding);
        if is_meant && is_dest(to) && !is_source && !is_dest(from) {
            zones.insert(quoted(from));
        }
    }
    if !zones.is_empty() {
        let zones = listed(&zones.into_iter().gathered());
        checks.push(Check::note("zones", format!("lan_only does not touch what these zones send to the internet: {zones}. List those that it is to keep in as lanward.lan_only.source_zone.")));
    }
    if facts.network.forward == Treatment::Accept {
        checks.push(Check::warning("zones", "The firewall forwards whatever no rule takes (firewall.defaults.forward): a device in no zone, such as Docker's, sends what it likes, and lan_only does not touch that."));
    }
    checks
}

/// A default route past the destination zones is a way out that nothing drops on.
fn default_routes_elsewhere(facts: &Facts) -> Vec<Check> {
    let dests = &facts.config.lan_only.dest_zones;
    let covered = |device: &str| {
        let zones = dests.iter().filter_map(|zone| facts.network.zones.get(zone));
        zones.flat_map(|zone| &zone.devices).any(|one| names(one, device))
    };
    let mut found = Set::new();
    for route in facts.links.routes.iter().filter(|route| route.dest.prefix == 0) {
        let Some(device) = facts.links.devices.get(&route.device) else {
            continue;
        };
        if !covered(device) {
            found.insert((
                if route.dest.address.is_ipv6() { "IPv6" } else { "IPv4" },
                device.clone(),
                route.table,
            ));
        }
    }
    let finding = |(family, device, table): (&str, String, u32)| {
        let zone = facts
            .network
            .zones
            .values()
            .find(|zone| zone.devices.iter().any(|one| names(one, &device)));
        let remedy = match zone {
            Some(zone) => format!("If it leads to the internet: list dest_zone {}.", quoted(&zone.name)),
            None => "It is in no zone of /etc/config/firewall.".to_owned(),
        };
        let device = quoted(&device);
        // Where it is not the main table, it is some policy's affair: mwan3's, pbr's, Tailscale's.
        let (finding, what): (fn(_, String) -> Check, String) = match table {
            MAIN_TABLE => (Check::warning, family.to_owned()),
            _ => (
                Check::note,
                format!("{family} that a rule leads to routing table {table}"),
            ),
        };
        finding("zones", format!("{what} leaves through {device}, which is in none of lanward.lan_only.dest_zone: nothing is dropped there. {remedy}"))
    };
    found.into_iter().map(finding).gathered()
}

/// Whether a zone's device stands for a device of that name.
fn names(device: &Device, name: &str) -> bool {
    match device {
        Device::Named(own) => own == name,
        Device::BeginsWith(start) => name.starts_with(start.as_str()),
    }
}

pub(super) fn neighbours(facts: &Facts) -> Vec<Check> {
    if facts.tables.is_none() {
        return vec![Check::note(
            "neighbours",
            "The kernel was not asked for other tables' chains: that needs root.",
        )];
    }
    let label = |chain: &&BaseChain| {
        let name = format!("{} {} {}", chain.family, chain.table, chain.chain);
        format!("{} at {} {}", quoted(&name), quoted(&chain.hook), chain.priority)
    };
    let foreign = || {
        facts
            .chains
            .iter()
            .filter(|chain| chain.family != "bridge" && chain.table != "lanward")
    };
    let forward: Vec<String> = foreign()
        .filter(|chain| chain.table != "fw4" && !HARMLESS_TABLES.contains(&chain.table.as_str()))
        .filter(|chain| chain.hook == "forward" && chain.priority <= FORWARD_PRIORITY)
        .map(|chain| label(&chain))
        .gathered();
    let proxies: Vec<String> = foreign()
        .filter(|chain| is_proxy(chain))
        .map(|chain| label(&chain))
        .gathered();
    let mut checks = Vec::new();
    if !forward.is_empty() {
        checks.push(Check::warning(
            "neighbours",
            format!(
                "Chains of others stand before lanward's at hook forward: {}. What they accept is still judged here; what they drop is not \
                 counted here; a flow that they offload never comes here.",
                listed(&forward)
            ),
        ));
    }
    if !proxies.is_empty() {
        checks.push(Check::warning(
            "neighbours",
            format!(
                "A transparent proxy seems to take packets at hook prerouting: {}. What it takes goes out as the router's own traffic, which \
                 lan_only does not touch. Exclude UDP or the hosts there.",
                listed(&proxies)
            ),
        ));
    }
    if checks.is_empty() {
        checks.push(Check::fine("neighbours", "No table of others stands in the way."));
    }
    checks
}

fn is_proxy(chain: &BaseChain) -> bool {
    let takes = ["prerouting", "ingress"].contains(&chain.hook.as_str());
    let name = format!("{} {}", chain.table, chain.chain).to_ascii_lowercase();
    takes && PROXIES.iter().any(|word| name.contains(word))
}

pub(super) fn flow_offload(facts: &Facts) -> Vec<Check> {
    let Some(firewall) = &facts.firewall else {
        return vec![Check::note(
            "flow-offload",
            "/etc/config/firewall cannot be read, so it is not known whether flows are offloaded.",
        )];
    };
    let on = |name| firewall.of_kind("defaults").any(|section| is_on(section.option(name)));
    // fw4 looks at the hardware option only where the first one is set (resolve_offload_devices of fw4.uc).
    if !on("flow_offloading") {
        return vec![Check::fine("flow-offload", "Flow offload is off.")];
    }
    let kind = if on("flow_offloading_hw") {
        "Hardware flow offload"
    } else {
        "Flow offload"
    };
    let meaning = format!(
        "{kind} is on (firewall.defaults.flow_offloading). A flow that lan_only drops is dropped before it can be offloaded. A flow that was \
         offloaded while lan_only did not hold passes by all rules until its conntrack entry is deleted; the daemon does that when lan_only \
         is switched on and when a pause or the off hours end."
    );
    if matches!(facts.daemon, Daemon::Asking | Daemon::Reachable) {
        return vec![Check::fine("flow-offload", meaning)];
    }
    let risk = "The daemon is not known to run: such a flow would go on until it falls silent.";
    vec![Check::warning("flow-offload", format!("{meaning} {risk}"))]
}

pub(super) fn clock(facts: &Facts) -> Vec<Check> {
    let scheduled = facts.config.lan_only.schedule.is_some();
    let mut checks = Vec::new();
    if facts.clock < facts.build.max(CLOCK_IS_SET.unsigned_abs()) {
        let message = "The router's clock shows a time before this program was made, so it has not been set yet.";
        let check = if scheduled {
            Check::warning("clock", format!("{message} Until it is, lan_only holds at all hours, whatever weekdays, start and stop say. See to NTP (system.ntp)."))
        } else if super::gate::keys(facts).next().is_some() {
            let refused = "Until it is, authenticated packets are refused as made too early. See to NTP (system.ntp).";
            Check::warning("clock", format!("{message} {refused}"))
        } else {
            Check::note(
                "clock",
                format!("{message} Nothing that is configured depends on it. See to NTP (system.ntp)."),
            )
        };
        checks.push(check);
    }
    if let Err(why) = &facts.timezone {
        let message = format!(
            "The time zone (system.@system[0].timezone) cannot be read: {}.",
            quoted(why)
        );
        let check = if scheduled {
            Check::warning("clock", format!("{message} lan_only.start and stop are taken as UTC."))
        } else {
            Check::note("clock", message)
        };
        checks.push(check);
    }
    if checks.is_empty() {
        checks.push(Check::fine("clock", "The clock is set."));
    }
    checks
}
