//! [`Config`] and [`Network`] resolved into decisions: names become devices, defaults are decided, families are told apart.

mod gates;

pub use gates::{doors as gate_doors, surprises as gate_surprises, Gate, Gates, Knock, Refusal, Witness};

use crate::config::{ports, Config, Host, Problem, Subnet, System};
use crate::gather::Gather;
use crate::network::{Device, Network, Redirect};
use crate::nft::PortRange;
use crate::schedule::{self, Window};
use crate::sorted::{Map, Set};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everything that is decided. [`crate::ruleset::lay_out`] turns it into rules without deciding anything more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The switch and its scope.
    pub lan_only: LanOnly,
    /// The gates.
    pub gates: Gates,
    /// Whether attempts are counted: on the same devices as the gates'.
    pub ledger: bool,
}

/// The scope of LAN-only remote desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanOnly {
    /// Where the hosts are.
    pub sources: Devices,
    /// What they may not reach.
    pub dests: Devices,
    /// UDP ports of the far end, sorted and disjoint.
    pub ports: Vec<PortRange>,
    /// Only these hosts; all empty: every host.
    pub hosts: Hosts,
    /// Never these hosts.
    pub except_hosts: Hosts,
    /// Never these networks at the far end, disjoint.
    pub except_dests: Vec<Subnet>,
    /// Drop what comes in from such ports, too.
    pub mirror: bool,
    /// Deliberate openings that `mirror` leaves alone, disjoint: host or network, and its ports.
    pub openings: Vec<(Subnet, PortRange)>,
    /// When the mode does not hold. `None`: it always holds.
    pub off_hours: Option<Vec<Window>>,
    /// Count, drop nothing.
    pub observe: bool,
}

/// Hosts by what they are known by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Hosts {
    pub v4: Set<Ipv4Addr>,
    pub v6: Set<Ipv6Addr>,
    pub macs: Set<[u8; 6]>,
}

/// A zone's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// These.
    Only(Set<Device>),
    /// All but these: the closed form of a zone that cannot be resolved.
    AllBut(Set<Device>),
}

/// What [`compile`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// Complete, with closed forms where something could not be resolved.
    pub policy: Policy,
    /// What could not be resolved.
    pub problems: Vec<Problem>,
    /// What works and may still surprise.
    pub warnings: Vec<String>,
}

/// Resolves the configuration on this router. `time_zone` is the POSIX TZ string of `/etc/TZ`, `unix` the time in seconds since 1970; both matter for a schedule only.
#[must_use]
pub fn compile(config: &Config, network: &Network, time_zone: &str, unix: u64) -> Compiled {
    let mut problems = Vec::new();
    let mut warnings = network.warnings.clone();
    let lan_only = &config.lan_only;

    let sources = zone_devices(
        network,
        "source_zone",
        &lan_only.source_zones,
        &mut problems,
        &mut warnings,
    );
    let dests = zone_devices(network, "dest_zone", &lan_only.dest_zones, &mut problems, &mut warnings);
    let (sources, dests) = closed_forms(sources, dests);

    let hosts = Hosts::of(&lan_only.hosts);
    if !(hosts.v4.is_empty() && hosts.v6.is_empty()) {
        warnings.push(
            "lan_only.host names addresses: what else the same hosts have, IPv6 beside IPv4 or temporary IPv6 addresses, goes on unless it is named, too; a MAC address covers all of a host"
                .into(),
        );
    }

    let off_hours = lan_only.schedule.as_ref().and_then(|schedule| {
        schedule::off_windows(schedule, time_zone, unix)
            .map_err(|error| {
                warnings.push(format!(
                    "time zone '{time_zone}': {error}; the schedule cannot be placed, LAN-only holds at all hours"
                ));
            })
            .ok()
    });

    let gates = gates::compile(config, network, &dests, &mut problems, &mut warnings);
    let policy = Policy {
        gates,
        ledger: config.ledger.enabled,
        lan_only: LanOnly {
            sources,
            dests,
            ports: lan_only.ports.clone(),
            hosts,
            except_hosts: Hosts::of(&lan_only.except_hosts),
            except_dests: disjoint_subnets(&lan_only.except_dests),
            mirror: lan_only.mirror,
            openings: openings(&network.redirects, &lan_only.dest_zones),
            off_hours,
            observe: lan_only.observe,
        },
    };
    Compiled {
        policy,
        problems,
        warnings,
    }
}

/// The devices of the named zones; `None` if a zone does not exist.
fn zone_devices(
    network: &Network,
    option: &str,
    zones: &[String],
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Option<Set<Device>> {
    let mut devices = Set::new();
    let mut complete = true;
    for name in zones {
        let Some(zone) = network.zones.get(name) else {
            let known: Vec<&str> = network.zones.keys().map(String::as_str).gathered();
            problems.push(Problem {
                system: System::LanOnly,
                option: format!("lanward.lan_only.{option}"),
                message: format!("'{name}' is not a zone of /etc/config/firewall ({})", known.join(", ")),
                restricts: true,
            });
            complete = false;
            continue;
        };
        if zone.devices.is_empty() {
            warnings.push(format!(
                "zone '{name}' ({option}) has no device: nothing to stop there until it has one"
            ));
        }
        devices.extend(zone.devices.iter().cloned());
    }
    complete.then_some(devices)
}

/// These, without the names that a beginning among them covers: each packet is to meet a rule once. (Of devices to leave out the names are needed, as
/// beginnings cannot be left out.)
fn only(devices: Set<Device>) -> Devices {
    let all = devices.clone();
    let is_covered = |device: &Device| {
        match device {
        Device::Named(name) => all.iter().any(|other| other != device && other.matches(name)),
        Device::BeginsWith(prefix) => all.iter().any(|other| {
            matches!(other, Device::BeginsWith(shorter) if shorter != prefix && prefix.starts_with(shorter.as_str()))
        }),
    }
    };
    Devices::Only(devices.into_iter().filter(|device| !is_covered(device)).collect())
}

/// An unknown side is taken as everything but the known side, so that a misspelt zone drops too much rather than nothing.
fn closed_forms(sources: Option<Set<Device>>, dests: Option<Set<Device>>) -> (Devices, Devices) {
    match (sources, dests) {
        (Some(sources), Some(dests)) => (only(sources), only(dests)),
        (Some(sources), None) => (only(sources.clone()), Devices::AllBut(sources)),
        (None, Some(dests)) => (Devices::AllBut(dests.clone()), only(dests)),
        (None, None) => (Devices::AllBut(Set::new()), Devices::AllBut(Set::new())),
    }
}

impl Devices {
    /// Whether a device of that name is meant.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let named = |devices: &Set<Device>| devices.iter().any(|device| device.matches(name));
        match self {
            Self::Only(devices) => named(devices),
            Self::AllBut(devices) => !named(devices),
        }
    }

    /// For people and for `status`: `br-lan`, `tun*`, `all but br-lan`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Only(devices) => devices.iter().map(ToString::to_string).gathered(),
            Self::AllBut(devices) if devices.is_empty() => vec!["all".into()],
            Self::AllBut(devices) => devices.iter().map(|device| format!("all but {device}")).gathered(),
        }
    }
}

impl Device {
    /// Whether a device of that name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Named(device) => device == name,
            Self::BeginsWith(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::BeginsWith(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Hosts {
    /// Sorted by kind, doubles left out.
    #[must_use]
    pub fn of(hosts: &[Host]) -> Self {
        let mut sorted = Self::default();
        for host in hosts {
            match host {
                Host::Address(IpAddr::V4(address)) => {
                    sorted.v4.insert(*address);
                }
                Host::Address(IpAddr::V6(address)) => {
                    sorted.v6.insert(*address);
                }
                Host::Mac(mac) => {
                    sorted.macs.insert(*mac);
                }
            }
        }
        sorted
    }

    /// No host is named: every host is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty() && self.macs.is_empty()
    }
}

impl Subnet {
    /// Whether the other network lies in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether the address lies in this network. An IPv4 address never lies in an IPv6 network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The network's last address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(address) | host).into())
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(address) | host).into())
            }
        }
    }
}

/// Networks that lie in another one are left out: an interval set refuses overlapping elements.
fn disjoint_subnets(subnets: &[Subnet]) -> Vec<Subnet> {
    let mut widest_first: Vec<Subnet> = subnets.to_vec();
    widest_first.sort_by_key(|subnet| (subnet.prefix, *subnet));
    let mut kept: Vec<Subnet> = Vec::new();
    for subnet in widest_first {
        if !kept.iter().any(|wider| wider.covers(&subnet)) {
            kept.push(subnet);
        }
    }
    kept.sort_unstable();
    kept
}

/// What the user opened from the destination zones, as disjoint (network, ports): a set of intervals refuses overlaps.
///
/// Networks in CIDR notation are nested or apart, so it is enough to take from each one's ports those that a wider one has already.
fn openings(redirects: &[Redirect], dest_zones: &[String]) -> Vec<(Subnet, PortRange)> {
    let mut by_network: Map<(u8, Subnet), Vec<PortRange>> = Map::new();
    for redirect in redirects
        .iter()
        .filter(|redirect| dest_zones.contains(&redirect.source_zone))
    {
        let everywhere = [
            Subnet {
                address: Ipv4Addr::UNSPECIFIED.into(),
                prefix: 0,
            },
            Subnet {
                address: Ipv6Addr::UNSPECIFIED.into(),
                prefix: 0,
            },
        ];
        let networks = redirect.dest.as_ref().map_or(&everywhere[..], std::slice::from_ref);
        for network in networks {
            by_network.or_default((network.prefix, *network)).push(redirect.ports);
        }
    }
    let mut openings: Vec<(Subnet, PortRange)> = Vec::new();
    for ((_, network), opened) in by_network {
        let wider: Vec<PortRange> = openings
            .iter()
            .filter(|(other, _)| other.covers(&network))
            .map(|(_, ports)| *ports)
            .gathered();
        for ports in ports::subtract(&ports::join(&opened), &wider) {
            openings.push((network, ports));
        }
    }
    openings.sort_unstable();
    openings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        let (address, prefix) = text.split_once('/').unwrap();
        Subnet {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    fn redirect(dest: Option<&str>, from: u16, to: u16, zone: &str) -> Redirect {
        Redirect {
            dest: dest.map(subnet),
            ports: PortRange { from, to },
            source_zone: zone.into(),
            label: "x".into(),
        }
    }

    #[test]
    fn a_subnet_contains_its_first_and_last_address_only() {
        for (network, inside, outside) in [
            (
                "192.168.1.0/24",
                ["192.168.1.0", "192.168.1.255"],
                ["192.168.0.255", "192.168.2.0"],
            ),
            (
                "203.0.113.9/32",
                ["203.0.113.9", "203.0.113.9"],
                ["203.0.113.8", "203.0.113.10"],
            ),
            (
                "2001:db8::/32",
                ["2001:db8::", "2001:db8:ffff::1"],
                ["2001:db7::", "192.0.2.1"],
            ),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::ffff:1.2.3.4"]),
        ] {
            let network = subnet(network);
            for address in inside {
                assert!(network.contains(address.parse().unwrap()), "{network:?} {address}");
            }
            for address in outside {
                assert!(!network.contains(address.parse().unwrap()), "{network:?} {address}");
            }
        }
        assert_eq!(subnet("10.0.0.0/8").last(), "10.255.255.255".parse::<IpAddr>().unwrap());
        assert_eq!(
            subnet("::/0").last(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse::<IpAddr>().unwrap()
        );
    }

    #[test]
    fn openings_of_a_narrow_network_do_not_overlap_those_of_a_wide_one() {
        let zones = ["wan".to_string()];
        let found = openings(
            &[
                redirect(Some("192.168.1.10/32"), 5000, 5100, "wan"),
                redirect(Some("192.168.1.10/32"), 5050, 5200, "wan"),
                redirect(Some("192.168.1.0/24"), 5100, 5100, "wan"),
                redirect(Some("192.168.1.11/32"), 1, 2, "guest"),
                redirect(None, 500, 500, "wan"),
            ],
            &zones,
        );
        assert_eq!(
            found,
            vec![
                (subnet("0.0.0.0/0"), PortRange { from: 500, to: 500 }),
                (subnet("192.168.1.0/24"), PortRange { from: 5100, to: 5100 }),
                (subnet("192.168.1.10/32"), PortRange { from: 5000, to: 5099 }),
                (subnet("192.168.1.10/32"), PortRange { from: 5101, to: 5200 }),
                (subnet("::/0"), PortRange { from: 500, to: 500 }),
            ]
        );
    }

    #[test]
    fn a_zone_that_is_not_there_becomes_everything_but_the_other_side() {
        let lan: Set<Device> = [Device::Named("br-lan".into())].into();
        let (sources, dests) = closed_forms(Some(lan), None);
        assert!(sources.contains("br-lan") && !sources.contains("wan0"));
        assert!(dests.contains("wan0") && !dests.contains("br-lan"));
        let (sources, dests) = closed_forms(None, None);
        assert!(sources.contains("x") && dests.contains("x"));
    }

    #[test]
    fn a_name_that_a_beginning_covers_is_not_asked_for_as_well() {
        let named = |name: &str| Device::Named(name.into());
        let begins = |prefix: &str| Device::BeginsWith(prefix.into());
        let all: Set<Device> = [named("tun0"), named("wan0"), begins("tun"), begins("tun1")].into();
        let (sources, dests) = closed_forms(Some(all.clone()), None);
        assert_eq!(sources, Devices::Only([named("wan0"), begins("tun")].into()));
        assert_eq!(dests, Devices::AllBut(all), "left out by name");
    }

    #[test]
    fn a_wildcard_device_matches_by_its_beginning() {
        let devices = Devices::Only([Device::BeginsWith("tun".into())].into());
        assert!(devices.contains("tun0") && devices.contains("tun") && !devices.contains("tap0"));
    }
}
