//! Sections to [`Config`] and [`Problem`]s. The option table ([`OPTIONS`]) is the one place that knows an option's name, kind, default, closed form
//! and meaning.

mod options;
pub mod ports;
mod read;
mod sections;
mod value;

pub use options::{spec, Absent, Arity, Kind, OptionSpec, OPTIONS};
pub use read::{closed, read, read_text};

use crate::nft::PortRange;
use crate::relay::greeting::Kind as Greeter;
use std::fmt;
use std::net::IpAddr;

/// Something wrong with the configuration: a value, not an error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Which system cannot be as the admin wants it.
    pub system: System,
    /// Where: `lanward.ssh.window`, `lanward.@gate[0].service`, `lanward.ssh` for a section, or `lanward` for the file as a whole.
    pub option: String,
    /// What is wrong, with the value, and what would be right: `'5 minuts' is not a number of seconds (such as 60)`. One line; control characters
    /// are escaped and long values cut.
    pub message: String,
    /// Whether the option restricts something. Such a problem refuses the reload.
    pub restricts: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.option, self.message)
    }
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

impl System {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Lanward,
        Self::LanOnly,
        Self::Gate,
        Self::Witness,
        Self::Knock,
        Self::Spa,
        Self::Ledger,
        Self::Relay,
    ];

    /// Its word: the section's type.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Lanward => "lanward",
            Self::LanOnly => "lan_only",
            Self::Gate => "gate",
            Self::Witness => "witness",
            Self::Knock => "knock",
            Self::Spa => "spa",
            Self::Ledger => "ledger",
            Self::Relay => "relay",
        }
    }

    /// Whether a problem in it refuses the reload (`log_level` apart).
    #[must_use]
    pub fn restricts(self) -> bool {
        !matches!(self, Self::Ledger | Self::Relay)
    }

    /// Whether there is one section of this type, of the same name.
    #[must_use]
    pub fn is_single(self) -> bool {
        matches!(self, Self::Lanward | Self::LanOnly | Self::Ledger)
    }
}

/// What the admin wants. Always complete: where an option is missing its default stands here, where it is wrong its closed form, and a
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
    /// Sections `witness`, without those in which something is wrong.
    pub witnesses: Vec<Witness>,
    /// Sections `knock`, likewise.
    pub knocks: Vec<Knock>,
    /// Sections `spa`, likewise.
    pub spas: Vec<Spa>,
    /// Section `ledger`.
    pub ledger: Ledger,
    /// Sections `relay`, without those in which something is wrong.
    pub relays: Vec<Relay>,
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        read(&crate::uci::Package::default()).0
    }
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

/// `config gate NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Gate {
    /// The section's name, or its label (`@gate[0]`), with a problem, where it has none.
    pub name: String,
    pub enabled: bool,
    /// Something about it is wrong: nobody gets in.
    pub shut: bool,
    pub services: Vec<Service>,
    /// Seconds.
    pub window: u32,
    pub forget: Forget,
    pub refuse: Refuse,
    /// Addresses per family.
    pub size: u32,
    /// 64 or 128.
    pub prefix6: u8,
    /// That nothing but a knock proves an address here is wanted.
    pub knock_alone: bool,
}

/// A TCP service behind a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The port on the router.
    pub port: u16,
    /// The LAN host and port it is forwarded to; `None`: the router itself.
    pub forward: Option<(IpAddr, u16)>,
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "tcp:{}", self.port)?;
        match self.forward {
            None => Ok(()),
            Some((IpAddr::V4(host), port)) => write!(out, ">{host}:{port}"),
            Some((IpAddr::V6(host), port)) => write!(out, ">[{host}]:{port}"),
        }
    }
}

/// When an address is taken off a gate's list before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Forget {
    FirstFin,
    LastClose,
    Never,
}

/// How a gate refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Refuse {
    Zone,
    Reset,
    Drop,
}

/// `config witness NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Witness {
    /// The section's name or label.
    pub name: String,
    pub gate: String,
    pub port: u16,
    /// Empty: any address of this router.
    pub dests: Vec<IpAddr>,
    pub min_bytes: u32,
}

/// `config knock NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Knock {
    /// The section's name or label.
    pub name: String,
    pub gate: String,
    /// At least one.
    pub open: Vec<Step>,
    /// Not empty where `seconds` is 0.
    pub close: Vec<Step>,
    /// Seconds for the whole sequence.
    pub timeout: u32,
    /// How long it opens; 0: until the close sequence.
    pub seconds: u32,
}

/// One knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Step {
    pub protocol: Protocol,
    pub port: u16,
}

/// What has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// `config spa NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Spa {
    /// The section's name or label.
    pub name: String,
    pub gate: String,
    pub key_file: String,
    pub port: u16,
    /// Seconds.
    pub max_age: u32,
    /// Seconds.
    pub seconds: u32,
    /// The most that a packet may ask for.
    pub max_seconds: u32,
    pub hmac: String,
    /// A packet may name another address than its source.
    pub any_address: bool,
}

/// `config ledger 'ledger'`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ledger {
    pub enabled: bool,
    pub keep_days: u32,
    /// Seconds.
    pub commit: u32,
    pub mask_sources: bool,
}

/// `config relay NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Relay {
    /// The section's name or label.
    pub name: String,
    pub enabled: bool,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub key: String,
    pub host_key: Option<String>,
    pub remote_port: u16,
    pub target: Target,
    /// Seconds; also the next two.
    pub check: u32,
    pub retry: u32,
    pub retry_max: u32,
    pub client: Client,
    /// How the target greets; `None`: as its port lets expect.
    pub greeting: Option<Greeter>,
}

/// Which of the router's SSH clients a relay uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// OpenSSH's where it is installed, else dropbear's.
    Auto,
    /// `ssh`
    OpenSsh,
    /// `dbclient`
    Dropbear,
}

/// Where a relay leads in the LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An IPv6 address' own colons are not the port's.
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
