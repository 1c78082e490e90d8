//! The user's own ways in for UDP: port forwards and pinholes, as fw4 reads them.
//!
//! They are exceptions from a restriction: whatever is not understood makes no exception, and a warning.

use super::{enabled, quoted, Device, Links, Redirect, Warnings, Zone};
use crate::config::Subnet;
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::nft::PortRange;
use crate::sorted::{Map, Set};
use crate::uci::{Package, Section};
use std::net::{IpAddr, Ipv6Addr};

type Zones = Map<String, Zone>;

pub(super) const ALL_PORTS: PortRange = PortRange { from: 1, to: 65535 };
/// More exceptions than anybody configures by hand.
const MOST: usize = 1024;

/// All of a firewall configuration, sorted.
pub(super) fn read(firewall: &Package, zones: &Zones, links: &Links, warnings: &mut Warnings) -> Vec<Redirect> {
    let mut found = Set::new();
    for section in &firewall.sections {
        let result = match section.kind.as_str() {
            "redirect" => read_redirect(section, zones, links),
            "rule" => read_rule(section, zones, links),
            _ => continue,
        };
        match result {
            Ok(redirects) => found.extend(redirects),
            Err(Skip::Irrelevant) => {}
            Err(Skip::Unclear(option, why)) => {
                warnings.add_for(section, option, &format!("{why}; no exception is made for it"));
            }
        }
    }
    if found.len() > MOST {
        warnings.add(format!(
            "firewall: more than {MOST} UDP redirects; no exception is made for the rest"
        ));
    }
    found.into_iter().take(MOST).gathered()
}

/// Why a section opens nothing.
pub(super) enum Skip {
    /// It has nothing to do with UDP from one zone to a host of another.
    Irrelevant,
    /// It might have: the option, and what is wrong with it.
    Unclear(&'static str, String),
}

/// `config redirect`: a DNAT to a LAN host. Without `dest_ip` it leads to the router itself.
fn read_redirect(section: &Section, zones: &Zones, links: &Links) -> Result<Vec<Redirect>, Skip> {
    check_enabled(section)?;
    let target = section.option("target").unwrap_or("dnat");
    match TARGETS.iter().find(|choice| matches_choice(target, choice)) {
        None => return Err(Skip::Unclear("target", format!("{} is no target", quoted(target)))),
        // fw4 makes a DNAT of every other target.
        Some(&"snat") => return Err(Skip::Irrelevant),
        Some(_) if section.words("dest_ip").is_empty() => return Err(Skip::Irrelevant),
        Some(_) => {}
    }
    let protocols = udp_of(section)?;
    let source_zone = match section.option("src") {
        Some(zone) if zones.contains_key(zone) => zone.to_string(),
        Some(zone) => return Err(Skip::Unclear("src", format!("there is no zone {}", quoted(zone)))),
        None => return Err(Skip::Unclear("src", "not set".to_string())),
    };
    // One value each, no lists: fw4 skips the section otherwise.
    let ports = match (protocols, section.option("dest_port"), section.option("src_dport")) {
        (Udp::Every, ..) | (Udp::Ports, None, None) => ALL_PORTS,
        (Udp::Ports, Some(port), _) => parse_ports("dest_port", port)?,
        (Udp::Ports, None, Some(port)) => parse_ports("src_dport", port)?,
    };
    let Some(dest) = section.option("dest_ip") else {
        return Err(Skip::Unclear("dest_ip", "more than one value".to_string()));
    };
    let dests = hosts(dest, section.option("dest"), zones, links)?;
    let label = label(section);
    Ok(dests
        .into_iter()
        .map(|dest| Redirect {
            dest: Some(dest),
            ports,
            source_zone: source_zone.clone(),
            label: label.clone(),
        })
        .gathered())
}

/// `config rule` that accepts UDP from a zone to another.
fn read_rule(section: &Section, zones: &Zones, links: &Links) -> Result<Vec<Redirect>, Skip> {
    let (Some(source), Some(dest_zone), Some(target)) =
        (section.option("src"), section.option("dest"), section.option("target"))
    else {
        return Err(Skip::Irrelevant);
    };
    if !matches_choice(target, "accept") {
        return Err(Skip::Irrelevant);
    }
    check_enabled(section)?;
    let protocols = udp_of(section)?;
    for zone in [("src", source), ("dest", dest_zone)] {
        if zone.1 != "*" && !zones.contains_key(zone.1) {
            return Err(Skip::Unclear(zone.0, format!("there is no zone {}", quoted(zone.1))));
        }
    }
    let (dest_ports, dest_hosts) = (section.words("dest_port"), section.words("dest_ip"));
    if dest_hosts.is_empty() && (dest_ports.is_empty() || protocols == Udp::Every) {
        return Err(Skip::Unclear(
            "dest_port",
            "without ports and hosts the rule opens everything".to_string(),
        ));
    }
    let ports = match protocols {
        Udp::Every => vec![ALL_PORTS],
        Udp::Ports if dest_ports.is_empty() => vec![ALL_PORTS],
        Udp::Ports => dest_ports
            .iter()
            .map(|port| parse_ports("dest_port", port))
            .collect::<Result<_, _>>()?,
    };
    let mut dests: Vec<Option<Subnet>> = Vec::new();
    for host in &dest_hosts {
        dests.gather(hosts(host, Some(dest_zone), zones, links)?.into_iter().map(Some));
    }
    if dest_hosts.is_empty() {
        dests.push(None);
    }
    let sources = zones.keys().filter(|zone| {
        if source == "*" {
            *zone != dest_zone
        } else {
            *zone == source
        }
    });
    let label = label(section);
    let mut redirects = Vec::new();
    for source_zone in sources {
        for dest in &dests {
            redirects.gather(ports.iter().map(|ports| Redirect {
                dest: *dest,
                ports: *ports,
                source_zone: source_zone.clone(),
                label: label.clone(),
            }));
        }
    }
    Ok(redirects)
}

fn check_enabled(section: &Section) -> Result<(), Skip> {
    match enabled(section) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Skip::Irrelevant),
        Err(value) => Err(Skip::Unclear("enabled", format!("{value} is neither 0 nor 1"))),
    }
}

/// fw4's targets, in its order.
const TARGETS: [&str; 10] = [
    "accept",
    "reject",
    "drop",
    "notrack",
    "helper",
    "mark",
    "dscp",
    "dnat",
    "snat",
    "masquerade",
];

/// fw4 takes the beginning of a choice for the choice, in either case.
pub(super) fn matches_choice(value: &str, choice: &str) -> bool {
    !value.is_empty()
        && choice
            .as_bytes()
            .get(..value.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(value.as_bytes()))
}

pub(super) fn label(section: &Section) -> String {
    section.option("name").map_or_else(|| section.label(), str::to_string)
}

/// How a section's protocols include UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Udp {
    /// By name: ports count.
    Ports,
    /// As one of all protocols: fw4 leaves ports out.
    Every,
}

/// TCP and UDP where nothing is said.
fn udp_of(section: &Section) -> Result<Udp, Skip> {
    let mut udp = None;
    let mut protocols = section.words("proto");
    if protocols.is_empty() {
        protocols.push("tcpudp");
    }
    for protocol in protocols {
        match protocol.to_ascii_lowercase().as_str() {
            "all" | "any" | "*" => udp = Some(Udp::Every),
            "udp" | "17" | "tcpudp" => udp = udp.or(Some(Udp::Ports)),
            negated if negated.starts_with('!') => {
                return Err(Skip::Unclear("proto", format!("{} is negated", quoted(negated))));
            }
            _ => {}
        }
    }
    udp.ok_or(Skip::Irrelevant)
}

/// `5000`, `5000-5010` or `5000:5010`.
pub(super) fn parse_ports(option: &'static str, value: &str) -> Result<PortRange, Skip> {
    let number = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    let (from, to) = value.split_once(['-', ':']).unwrap_or((value, value));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(PortRange { from, to }),
        _ => Err(Skip::Unclear(
            option,
            format!("{} is no port or range of ports", quoted(value)),
        )),
    }
}

/// The hosts that a `dest_ip` means. A suffix (`::1234/-64`, `::1234/::ffff:ffff:ffff:ffff`) means a host in each of the zone's prefixes.
fn hosts(value: &str, zone: Option<&str>, zones: &Zones, links: &Links) -> Result<Vec<Subnet>, Skip> {
    match parse_address(value) {
        Some(Masked::Subnet(subnet)) => Ok(vec![subnet]),
        Some(Masked::Suffix { address, mask }) => {
            let found = expand_suffix(address, mask, &zone_prefixes(zone, zones, links));
            if found.is_empty() {
                return Err(Skip::Unclear(
                    "dest_ip",
                    format!("no prefix is known for {}", quoted(value)),
                ));
            }
            Ok(found)
        }
        None => Err(Skip::Unclear(
            "dest_ip",
            format!("{} is no address or network that lanward follows", quoted(value)),
        )),
    }
}

enum Masked {
    Subnet(Subnet),
    Suffix { address: u128, mask: u128 },
}

fn parse_address(value: &str) -> Option<Masked> {
    let (address, mask) = match value.split_once('/') {
        Some((address, mask)) => (address.trim().parse::<IpAddr>().ok()?, Some(mask.trim())),
        None => (value.trim().parse::<IpAddr>().ok()?, None),
    };
    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
    let mask = match mask {
        None => high_bits(width),
        Some(mask) => match (address, mask.parse::<IpAddr>(), mask.parse::<i16>()) {
            (IpAddr::V4(_), Ok(IpAddr::V4(mask)), _) => u128::from(mask.to_bits()) << 96,
            (IpAddr::V6(_), Ok(IpAddr::V6(mask)), _) => mask.to_bits(),
            (_, Err(_), Ok(bits)) if bits >= 0 => high_bits(u8::try_from(bits).ok().filter(|bits| *bits <= width)?),
            (IpAddr::V6(_), Err(_), Ok(bits)) if bits >= -128 => !high_bits(u8::try_from(bits.unsigned_abs()).ok()?),
            _ => return None,
        },
    };
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let prefix = u8::try_from(mask.leading_ones()).ok()?;
    if mask == high_bits(prefix) {
        return Some(Masked::Subnet(Subnet {
            address: address_of(bits & mask, address.is_ipv4()),
            prefix,
        }));
    }
    address.is_ipv6().then_some(Masked::Suffix {
        address: bits & mask,
        mask,
    })
}

fn high_bits(count: u8) -> u128 {
    !u128::MAX.checked_shr(u32::from(count)).unwrap_or(0)
}

fn address_of(bits: u128, is_ipv4: bool) -> IpAddr {
    if is_ipv4 {
        IpAddr::from(
            (bits >> 96)
                .to_be_bytes()
                .last_chunk::<4>()
                .copied()
                .unwrap_or_default(),
        )
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

/// The global IPv6 prefixes on a zone's devices; of all zones' for `*` and no zone.
fn zone_prefixes(zone: Option<&str>, zones: &Zones, links: &Links) -> Set<(u128, u8)> {
    let is_of_zone = |device: &str| {
        let mut wanted = zones
            .iter()
            .filter(|(name, _)| zone.is_none_or(|zone| zone == "*" || zone == name.as_str()));
        wanted.any(|(_, zone)| {
            zone.devices.iter().any(|known| match known {
                Device::Named(name) => name == device,
                Device::BeginsWith(start) => device.starts_with(start.as_str()),
            })
        })
    };
    let mut prefixes = Set::new();
    for (index, subnet, _) in &links.addresses {
        let IpAddr::V6(address) = subnet.address else { continue };
        if !address.is_unicast_link_local() && links.devices.get(index).is_some_and(|name| is_of_zone(name)) {
            prefixes.insert((address.to_bits(), subnet.prefix));
        }
    }
    prefixes
}

/// The one address in each prefix that matches the suffix. A mask that leaves host bits open names no single address, and is left out.
fn expand_suffix(address: u128, mask: u128, prefixes: &Set<(u128, u8)>) -> Vec<Subnet> {
    let matching = prefixes.iter().filter(|(prefix, length)| {
        let network = high_bits(*length);
        mask | network == u128::MAX && prefix & mask & network == address & network
    });
    matching
        .map(|(prefix, length)| {
            let bits = (prefix & high_bits(*length)) | (address & !high_bits(*length));
            Subnet {
                address: address_of(bits, false),
                prefix: 128,
            }
        })
        .gathered()
}
