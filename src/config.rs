//! Sections to [`Config`] and [`Problem`]s. The option table is the one place that knows an option's name, kind, default and meaning.

use crate::nft::PortRange;
use std::net::IpAddr;

/// Something wrong with the configuration: a value, not an error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Which system cannot be as the admin wants it.
    pub system: System,
    /// Where: `lanward.ssh.window`, `lanward.@gate[0].service`, or `lanward` for the file as a whole.
    pub option: String,
    /// What is wrong, with the value, and what would be right: `'5 minuts' is not a number of seconds (such as 60)`.
    pub message: String,
    /// Whether the option restricts something. Such a problem refuses the reload.
    pub restricts: bool,
}

/// The systems, one word each everywhere. `Lanward` is the general section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum System {
    Lanward,
    LanOnly,
    Gate,
    Witness,
    Knock,
    Spa,
    Ledger,
    Relay,
}

/// What the admin wants. Always complete: where an option is missing or wrong, its default (or closed form) stands here and a
/// [`Problem`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The one mark bit.
    pub mark: u32,
    /// The log level.
    pub log_level: log::LevelFilter,
    /// Section `lan_only`.
    pub lan_only: LanOnly,
    /// Sections `gate` in file order; the other systems' sections likewise (see the structs).
    pub gates: Vec<Gate>,
}

/// `config lan_only 'lan_only'`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LanOnly {
    pub enabled: bool,
    /// The destination ports that the level and the custom list come to, sorted, joined, `except_port` taken out.
    pub ports: Vec<PortRange>,
    pub level: Level,
    pub profiles: Vec<String>,
    /// Empty: the whole zone.
    pub hosts: Vec<Host>,
    pub except_hosts: Vec<Host>,
    /// Destination networks, IPv4 and IPv6.
    pub except_dests: Vec<Subnet>,
    pub source_zones: Vec<String>,
    pub dest_zones: Vec<String>,
    pub observe: bool,
    pub mirror: bool,
    /// `None`: always. Present only if `weekdays`, `start` or `stop` is set.
    pub schedule: Option<Schedule>,
}

/// How wide the UDP range is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Seed,
    Recommended,
    Strict,
    Custom,
}

/// One host: an address, or a MAC that stands for all its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Host {
    Address(IpAddr),
    Mac([u8; 6]),
}

/// A network in CIDR notation; the host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct Subnet {
    pub address: IpAddr,
    pub prefix: u8,
}

/// When `lan_only` holds, in the router's local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Sunday is 0. The day on which a window *begins*: one over midnight belongs to the day before. All true where `weekdays` is not given.
    pub weekdays: [bool; 7],
    /// Minutes since midnight; 0 where not given.
    pub start: u16,
    /// Minutes since midnight; less than or equal to `start` means the next day (so equal is a whole day).
    pub stop: u16,
}

/// `config gate NAME` (not enforced yet).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Gate {
    pub name: String,
    pub enabled: bool,
}
