//! Ways in from outside that contradict the mode: UPnP's mappings, port forwards, accepting rules.

use super::exposure::mac_of;
use super::{is_on, listed, quoted, Check, Facts, NAMED};
use crate::config::Host;
use crate::gather::Gather;
use crate::profiles::Protocol;
use crate::uci::Section;
use std::net::IpAddr;

/// How many lines of the lease file are read.
const LEASES: usize = 1024;

/// Where a way in ends.
pub(super) struct Way {
    pub(super) protocols: Vec<Protocol>,
    /// `None`: any.
    pub(super) address: Option<IpAddr>,
    /// First and last port on the host; `None`: any.
    pub(super) ports: Option<(u16, u16)>,
}

pub(super) fn upnp(facts: &Facts) -> Vec<Check> {
    let reaching = leases(facts).filter(|(way, ..)| reaches(facts, way));
    let leases: Vec<String> = reaching.map(|(way, _, text)| remarked(facts, &way, text)).gathered();
    let unread = lines(facts).filter(|line| lease(line).is_none()).count();
    let mut checks = Vec::new();
    if facts.upnp.enabled || facts.upnp.running {
        let state = if facts.upnp.running {
            "miniupnpd runs"
        } else {
            "miniupnpd is switched on (upnpd.config.enabled)"
        };
        let effect = if facts.config.lan_only.mirror {
            "lan_only.mirror still drops new UDP from outside whose source port is in the range; TCP and other UDP come in"
        } else {
            "lan_only.mirror is off, so nothing stops what comes in that way"
        };
        let message = format!("{state}: programs in the home can open ports to the internet by themselves. {effect}. Deny the hosts in /etc/config/upnpd, or switch it off.");
        checks.push(Check::warning("upnp", message));
    }
    if !leases.is_empty() {
        checks.push(Check::warning(
            "upnp",
            format!(
                "Ports that UPnP has opened to hosts that lan_only covers: {}.",
                listed(&leases)
            ),
        ));
    }
    if !facts.upnp.unread.is_empty() {
        let files = listed(&facts.upnp.unread);
        let message = format!("Not known whether programs in the home can open ports by UPnP; not readable: {files}.");
        checks.push(Check::warning("upnp", message));
    }
    if unread > 0 {
        checks.push(Check::note(
            "upnp",
            format!("{unread} lines of UPnP's lease file were not understood."),
        ));
    }
    if checks.is_empty() {
        checks.push(Check::fine("upnp", "No program in the home can open ports by UPnP."));
    }
    checks
}

fn lines(facts: &Facts) -> impl Iterator<Item = &str> {
    let lines = facts.upnp.leases.lines().take(LEASES);
    lines.filter(|line| !line.trim().is_empty())
}

/// The leases that are understood: where each leads, from which port, and how to name it.
pub(super) fn leases(facts: &Facts) -> impl Iterator<Item = (Way, u16, String)> + '_ {
    lines(facts).filter_map(lease)
}

/// A lease's way in, its port outside, and how to name it. The line is `UDP:3389:192.168.1.20:3389:0:name` (lease_file_add of miniupnpd's upnpredirect.c).
fn lease(line: &str) -> Option<(Way, u16, String)> {
    let mut fields = line.splitn(6, ':');
    let protocol = match fields.next()?.to_ascii_uppercase().as_str() {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        _ => return None,
    };
    let external: u16 = fields.next()?.parse().ok()?;
    let address: IpAddr = fields.next()?.parse().ok()?;
    let port: u16 = fields.next()?.parse().ok()?;
    let description = fields
        .nth(1)
        .map(|name| format!(" {}", quoted(name.trim())))
        .unwrap_or_default();
    let text = format!(
        "{} {external} to {address} port {port}{description}",
        protocol_text(protocol)
    );
    Some((
        Way {
            protocols: vec![protocol],
            address: Some(address),
            ports: Some((port, port)),
        },
        external,
        text,
    ))
}

pub(super) fn redirects(facts: &Facts) -> Vec<Check> {
    let Some(firewall) = &facts.firewall else {
        return vec![Check::note(
            "redirects",
            "/etc/config/firewall cannot be read, so its port forwards are not known.",
        )];
    };
    let named = !facts.config.lan_only.hosts.is_empty();
    let open = firewall
        .of_kind("redirect")
        .filter_map(|section| redirect(facts, section).map(|way| (section, way)));
    let finding = |(section, way): (&Section, Way)| {
        // The whole zone is covered: a forward is the owner's own wish, unless it leads to remote desktop.
        let suspect = named || to_remote_desktop(facts, &way);
        suspect.then(|| way_in("redirects", facts, section, &way, "forwards"))
    };
    let checks: Vec<Check> = open.filter_map(finding).gathered();
    if checks.is_empty() {
        return vec![Check::fine(
            "redirects",
            "No port forward leads to a host's remote desktop.",
        )];
    }
    checks
}

/// What a redirect lets in to a host that `lan_only` covers; defaults and names as in fw4's `parse_redirect`.
fn redirect(facts: &Facts, section: &Section) -> Option<Way> {
    let snat = section
        .option("target")
        .is_some_and(|target| target.eq_ignore_ascii_case("snat"));
    if snat || !in_force(section) || !from_outside(facts, section) {
        return None;
    }
    let address = Some(first_address(section.option("dest_ip")?)?);
    let ports = section
        .option("dest_port")
        .or_else(|| section.option("src_dport"))
        .and_then(port_range);
    let way = Way {
        protocols: protocols(section),
        address,
        ports,
    };
    (!way.protocols.is_empty() && reaches(facts, &way)).then_some(way)
}

pub(super) fn pinholes(facts: &Facts) -> Vec<Check> {
    let Some(firewall) = &facts.firewall else {
        return vec![Check::note(
            "pinholes",
            "/etc/config/firewall cannot be read, so its accepting rules are not known.",
        )];
    };
    let checks: Vec<Check> = firewall
        .of_kind("rule")
        .flat_map(|section| pinhole_findings(facts, section))
        .gathered();
    if checks.is_empty() {
        return vec![Check::fine(
            "pinholes",
            "No accepting rule leads from outside to a host's remote desktop.",
        )];
    }
    checks
}

fn pinhole_findings(facts: &Facts, section: &Section) -> Vec<Check> {
    let accepts = section
        .option("target")
        .is_some_and(|target| target.eq_ignore_ascii_case("accept"));
    // A rule without a destination zone is about the router itself.
    let forwards = section
        .option("dest")
        .is_some_and(|dest| dest == "*" || facts.config.lan_only.source_zones.iter().any(|zone| zone == dest));
    if !accepts || !forwards || !in_force(section) || !from_outside(facts, section) {
        return Vec::new();
    }
    let addresses: Vec<Option<IpAddr>> = match section.words("dest_ip") {
        words if words.is_empty() => vec![None],
        words => words.into_iter().map(first_address).gathered(),
    };
    let ports: Vec<Option<(u16, u16)>> = match section.words("dest_port") {
        words if words.is_empty() => vec![None],
        words => words.into_iter().map(port_range).gathered(),
    };
    let ways = addresses.iter().flat_map(|address| {
        ports.iter().map(|ports| Way {
            protocols: protocols(section),
            address: *address,
            ports: *ports,
        })
    });
    let named = |way: &Way| way.address.is_some() && !facts.config.lan_only.hosts.is_empty();
    ways.filter(|way| !way.protocols.is_empty() && reaches(facts, way))
        .filter(|way| named(way) || to_remote_desktop(facts, way))
        .take(NAMED)
        .map(|way| way_in("pinholes", facts, section, &way, "accepts"))
        .gathered()
}

/// The finding for a redirect or rule.
fn way_in(check: &'static str, facts: &Facts, section: &Section, way: &Way, verb: &str) -> Check {
    let label = format!("firewall.{}", section.label());
    let name = section
        .option("name")
        .map(|name| format!(" {}", quoted(name)))
        .unwrap_or_default();
    let protocols = way.protocols.iter().map(|one| protocol_text(*one)).gathered().join("/");
    let ports = match way.ports {
        Some((from, to)) if from == to => format!("port {from}"),
        Some((from, to)) => format!("ports {from}-{to}"),
        None => "any port".to_owned(),
    };
    let host = way.address.map_or("any host".to_owned(), |address| address.to_string());
    let source = quoted(section.option("src").unwrap_or("*"));
    let text = remarked(
        facts,
        way,
        format!("{label}{name} {verb} {protocols} from zone {source} to {host}, {ports}"),
    );
    let remedy = "lan_only leaves what you configured yourself alone, so this stays reachable from outside: disable the section if you do not mean it";
    Check::warning(check, format!("{text}. {remedy}."))
}

pub(super) fn in_force(section: &Section) -> bool {
    section.option("enabled").is_none_or(|value| is_on(Some(value)))
}

/// Whether a section is about flows from where `lan_only` keeps people out.
fn from_outside(facts: &Facts, section: &Section) -> bool {
    section
        .option("src")
        .is_some_and(|src| src == "*" || facts.config.lan_only.dest_zones.iter().any(|zone| zone == src))
}

/// TCP and UDP, as far as a section is about them; fw4's default is both.
fn protocols(section: &Section) -> Vec<Protocol> {
    let words: Vec<String> = section
        .words("proto")
        .iter()
        .map(|word| word.to_ascii_lowercase())
        .gathered();
    let has = |names: &[&str]| words.is_empty() || words.iter().any(|word| names.contains(&word.as_str()));
    let both = ["all", "any", "*", "tcpudp"];
    let tcp = has(&["tcp", "6"]) || has(&both);
    let udp = has(&["udp", "17"]) || has(&both);
    [(tcp, Protocol::Tcp), (udp, Protocol::Udp)]
        .into_iter()
        .filter(|(yes, _)| *yes)
        .map(|(_, protocol)| protocol)
        .gathered()
}

/// The address of `192.168.1.20` or `192.168.1.20/32`.
fn first_address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

/// `3389`, `5900-5999` or `5900:5999`.
fn port_range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once(['-', ':']).unwrap_or((text, text));
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// Whether a way in ends at a host that `lan_only` covers, as far as is known.
fn reaches(facts: &Facts, way: &Way) -> bool {
    let lan_only = &facts.config.lan_only;
    let Some(address) = way.address else { return true };
    let mac = mac_of(facts, address);
    let among = |hosts: &[Host]| {
        hosts.contains(&Host::Address(address)) || mac.is_some_and(|mac| hosts.contains(&Host::Mac(mac)))
    };
    !among(&lan_only.except_hosts) && (lan_only.hosts.is_empty() || among(&lan_only.hosts) || unidentified(facts, way))
}

/// Hosts are named by MAC, and that of the way's end is not known: a host that sleeps is not ruled out.
fn unidentified(facts: &Facts, way: &Way) -> bool {
    let hosts = &facts.config.lan_only.hosts;
    let by_mac = hosts.iter().any(|host| matches!(host, Host::Mac(_)));
    let address = way.address.filter(|address| !hosts.contains(&Host::Address(*address)));
    by_mac && address.is_some_and(|address| mac_of(facts, address).is_none())
}

/// The remote-desktop application whose default port the way in leads to; `None` for one to any port.
fn application(facts: &Facts, way: &Way) -> Option<String> {
    let (from, to) = way.ports?;
    let profiles = facts.profiles.as_ref().ok()?;
    way.protocols
        .iter()
        .find_map(|protocol| profiles.listening_on(*protocol, from, to))
        .map(|one| one.name.clone())
}

/// Whether the way in leads to a remote-desktop application's default port; one to any port leads to all of them.
fn to_remote_desktop(facts: &Facts, way: &Way) -> bool {
    way.ports.is_none() || application(facts, way).is_some()
}

fn remarked(facts: &Facts, way: &Way, text: String) -> String {
    let port = application(facts, way).map(|name| format!("{name}'s port"));
    let doubt = unidentified(facts, way)
        .then(|| "that host's MAC is not known now, so it may be one of lan_only.host".to_owned());
    let remarks: Vec<String> = port.into_iter().chain(doubt).gathered();
    if remarks.is_empty() {
        return text;
    }
    format!("{text} ({})", remarks.join("; "))
}

fn protocol_text(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}
