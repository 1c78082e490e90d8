//! What the router is: firewall zones, netifd's interfaces and the kernel's links become devices by zone.

use crate::config::Subnet;
use crate::nft::PortRange;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The kernel's view, read in one go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// By interface index.
    pub devices: BTreeMap<u32, String>,
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
    pub devices: BTreeSet<Device>,
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
    pub zones: BTreeMap<String, Zone>,
    /// Sorted.
    pub redirects: Vec<Redirect>,
    /// What could not be read or was not understood, for people.
    pub warnings: Vec<String>,
}
