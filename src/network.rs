//! What the router is: firewall zones, netifd's interfaces and the kernel's links become devices by zone.

mod doors;
mod interfaces;
mod redirects;

pub use doors::{Door, Treatment};

use crate::config::Subnet;
use crate::nft::PortRange;
use crate::sorted::{Map, Set};
use crate::uci::{Package, Section};
pub use interfaces::with_last_devices;

use interfaces::Interfaces;
use std::net::IpAddr;

/// The kernel's view, read in one go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// By interface index.
    pub devices: Map<u32, String>,
    /// Addresses by interface index, with their on-link prefix.
    pub addresses: Vec<(u32, Subnet, IpAddr)>,
    /// Routes of all tables: destination, outgoing interface, table.
    pub routes: Vec<Route>,
    /// Neighbours with a known MAC.
    pub neighbours: Vec<(IpAddr, [u8; 6])>,
}

/// A unicast route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Route {
    pub table: u32,
    pub dest: Subnet,
    pub device: u32,
}

/// What a zone's device is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// Exactly so.
    Named(String),
    /// Every device whose name begins so (`tun+` or `tun*` in the zone).
    BeginsWith(String),
}

/// A firewall zone with its devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Zone {
    pub name: String,
    /// The layer-3 devices, also those that are expected and not there yet (`pppoe-wan` while PPP is down).
    pub devices: Set<Device>,
    /// Whether it has an interface whose device cannot be told yet: only netifd knows it.
    pub is_incomplete: bool,
    /// What becomes of a packet to the router that no rule takes.
    pub input: Treatment,
}

/// A UDP port forward or pinhole that the user configured: `config redirect`, or an accepting `config rule` from a WAN zone to a LAN zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirect {
    /// The LAN host; `None`: any.
    pub dest: Option<Subnet>,
    /// The ports on the LAN host.
    pub ports: PortRange,
    /// From this zone.
    pub source_zone: String,
    /// How the user knows it: name, or `@redirect[0]`.
    pub label: String,
}

/// What the router is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// By name, as in `/etc/config/firewall`.
    pub zones: Map<String, Zone>,
    /// Sorted.
    pub redirects: Vec<Redirect>,
    /// What the firewall opens for TCP without asking anybody, in the order of its file.
    pub doors: Vec<Door>,
    /// What becomes of a packet from one zone to another that no rule takes.
    pub forward: Treatment,
    /// Whether established flows pass by the firewall's rules.
    pub flow_offloading: bool,
    /// What could not be read or was not understood, for people.
    pub warnings: Vec<String>,
}

/// Where the router's facts come from. What is missing is guessed from the rest, with a warning.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// `/etc/config/firewall`
    pub firewall: Option<&'a Package>,
    /// `/etc/config/network`
    pub network: Option<&'a Package>,
    /// netifd's answer to `ubus call network.interface dump`.
    pub netifd: Option<&'a serde_json::Value>,
    /// The kernel's view.
    pub links: &'a Links,
}

/// Whether an address means something else elsewhere.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            // RFC 6598: a provider's own NAT.
            let shared = a == 100 && (64..128).contains(&b);
            address.is_private() || address.is_link_local() || address.is_loopback() || shared
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// What the router is, by all that can be known. Never fails: what is missing or odd becomes a warning that names section and value.
///
/// Zones are read as fw4 reads them (`fw4.uc` of openwrt/firewall4). Where fw4 skips a zone for a wrong `enabled`, its devices count all
/// the same: rather restrict too much.
#[must_use]
pub fn read(sources: &Sources<'_>) -> Network {
    let mut warnings = Warnings::default();
    let interfaces = Interfaces::read(sources.network, sources.netifd, &mut warnings);
    let mut zones = sources
        .firewall
        .map(|firewall| read_zones(firewall, &interfaces, &mut warnings))
        .unwrap_or_default();
    if zones.is_empty() {
        warnings.add(
            "firewall: no zones; taking lan for the interface lan, wan for the interfaces wan and wan6".to_string(),
        );
        zones = usual_zones(&interfaces);
    }
    for zone in zones.values().filter(|zone| zone.devices.is_empty()) {
        warnings.add(format!("firewall: zone {} has no device", quoted(&zone.name)));
    }
    let redirects = sources
        .firewall
        .map(|firewall| redirects::read(firewall, &zones, sources.links, &mut warnings))
        .unwrap_or_default();
    let doors = sources
        .firewall
        .map(|firewall| doors::read(firewall, &zones))
        .unwrap_or_default();
    Network {
        zones,
        redirects,
        doors,
        forward: sources.firewall.map(doors::forward).unwrap_or_default(),
        flow_offloading: sources.firewall.is_some_and(doors::flow_offloading),
        warnings: warnings.0,
    }
}

fn read_zones(firewall: &Package, interfaces: &Interfaces, warnings: &mut Warnings) -> Map<String, Zone> {
    let mut zones: Map<String, Zone> = Map::new();
    for section in firewall.of_kind("zone") {
        match enabled(section) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(value) => warnings.add_for(section, "enabled", &format!("{value} is neither 0 nor 1; taken as 1")),
        }
        let Some(name) = section.option("name").filter(|name| is_identifier(name)) else {
            warnings.add_for(section, "name", "no name that a zone can have; fw4 skips the section");
            continue;
        };
        let zone = zones.or_insert_with(name.to_string(), || Zone {
            name: name.to_string(),
            input: doors::input(firewall, section),
            ..Zone::default()
        });
        add_networks(zone, section, interfaces, warnings);
        zone.devices.extend(devices_of_patterns(section, warnings));
        zone.devices.extend(interfaces.of_zone(name).map(Device::Named));
        if !section.words("subnet").is_empty() {
            warnings.add_for(
                section,
                "subnet",
                "lanward knows zones by their devices and leaves subnets out",
            );
        }
    }
    zones
}

/// The devices of a zone's `network`.
fn add_networks(zone: &mut Zone, section: &Section, interfaces: &Interfaces, warnings: &mut Warnings) {
    for word in section.words("network") {
        if word.starts_with('!') {
            warnings.add_for(
                section,
                "network",
                &format!("{} is negated, which lanward does not follow", quoted(word)),
            );
            continue;
        }
        match interfaces.devices(word) {
            None if interfaces.are_known() => {
                warnings.add_for(section, "network", &format!("there is no interface {}", quoted(word)));
            }
            None => {}
            Some(names) if names.is_empty() => {
                zone.is_incomplete = true;
                warnings.add_for(
                    section,
                    "network",
                    &format!("interface {} has no device yet", quoted(word)),
                );
            }
            Some(names) => zone.devices.extend(names.iter().cloned().map(Device::Named)),
        }
    }
}

fn devices_of_patterns(section: &Section, warnings: &mut Warnings) -> Vec<Device> {
    let mut devices = Vec::new();
    for word in section.words("device") {
        match parse_pattern(word) {
            Ok(device) => devices.push(device),
            Err(why) => warnings.add_for(section, "device", &format!("{} {why}", quoted(word))),
        }
    }
    devices
}

/// A zone's `device`: a name, or the beginning of names with fw4's `+` or nftables' `*` behind it.
fn parse_pattern(word: &str) -> Result<Device, &'static str> {
    if word.starts_with('!') {
        return Err("is negated, which lanward does not follow");
    }
    let (name, is_beginning) = match word.strip_suffix(['+', '*']) {
        Some(beginning) => (beginning, true),
        None => (word, false),
    };
    if name.is_empty() {
        return Err("means every device, which lanward does not follow");
    }
    if !is_device_name(name) {
        return Err("is no device name");
    }
    Ok(if is_beginning {
        Device::BeginsWith(name.to_string())
    } else {
        Device::Named(name.to_string())
    })
}

/// The zones of a router as it comes, for a router whose firewall configuration says nothing.
fn usual_zones(interfaces: &Interfaces) -> Map<String, Zone> {
    let zone = |name: &str, members: &[&str]| {
        let devices = members
            .iter()
            .filter_map(|member| interfaces.devices(member))
            .flatten()
            .cloned();
        let zone = Zone {
            name: name.to_string(),
            devices: devices.map(Device::Named).collect(),
            ..Zone::default()
        };
        (name.to_string(), zone)
    };
    Map::from([zone("lan", &["lan"]), zone("wan", &["wan", "wan6"])])
}

/// What Linux takes as a device's name (`dev_valid_name`), less what would need quoting or mean a wildcard in nft.
fn is_device_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'"' | b'\'' | b'\\' | b'*'))
}

/// fw4's `parse_identifier`.
fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.'))
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'.' | b'-'))
}

/// A section's `enabled`, 1 where it is not set; the quoted value where it is no boolean (fw4's `parse_bool`).
fn enabled(section: &Section) -> Result<bool, String> {
    let words = section.words("enabled");
    match words.as_slice() {
        [] | ["1" | "on" | "true" | "yes"] => Ok(true),
        ["0" | "off" | "false" | "no"] => Ok(false),
        words => Err(quoted(&words.join(" "))),
    }
}

/// A value from outside, for people: one line, without control characters, not endless.
pub(crate) fn quoted(value: &str) -> String {
    let shown: String = value.chars().take(64).flat_map(char::escape_debug).collect();
    let more = if value.chars().nth(64).is_some() { "…" } else { "" };
    format!("'{shown}{more}'")
}

/// Warnings, each once, in the order they came up, and not endlessly many.
#[derive(Debug, Default)]
struct Warnings(Vec<String>);

impl Warnings {
    const MOST: usize = 64;

    fn add(&mut self, text: String) {
        if self.0.contains(&text) {
            return;
        }
        match self.0.len() {
            count if count < Self::MOST => self.0.push(text),
            Self::MOST => self.0.push("further warnings left out".to_string()),
            _ => {}
        }
    }

    fn add_for(&mut self, section: &Section, option: &str, text: &str) {
        let package = if section.kind == "interface" {
            "network"
        } else {
            "firewall"
        };
        self.add(format!("{package}.{}.{option}: {text}", section.label()));
    }
}

#[cfg(test)]
mod tests;
