//! The option table: every option of every section type, once.
//!
//! What stands in [`super::Config`] where an option is wrong is its *closed* form, the column `closed`: the side on which less gets
//! through. It only counts where the configuration is applied in spite of its problems, which happens on the first start.
//! - `lan_only.enabled`: on. `level`: strict. `observe`: off. `mirror`: on.
//! - A list loses its wrong values. Where none remains: `host`: the whole zone; `port`: the strict range; `except_*`: no exception.
//! - Of the schedule's three options one is wrong: always.
//! - A gate in which anything is wrong is shut ([`super::Gate::shut`]).
//! - A witness, knock or spa in which anything is wrong is left out: what it would open stays shut. (A knock without its wrong step, or a
//!   witness without its wrong destination, would open more easily.)
//! - A relay in which anything is wrong is left out. The ledger takes its defaults.

use super::System;

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpec {
    /// The system, and so the section's type.
    pub system: System,
    /// The option's name.
    pub name: &'static str,
    /// One value or a list.
    pub arity: Arity,
    /// What a value is.
    pub kind: Kind,
    /// What holds where the option is not there.
    pub absent: Absent,
    /// What holds where it is wrong: a value, or words for a list; empty: nothing.
    pub closed: &'static str,
    /// Whether it restricts something. A problem with such an option refuses the reload.
    pub restricts: bool,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// A right value.
    pub example: &'static str,
}

/// How many values an option has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// `option NAME 'VALUE'`; a list of one value is taken too.
    One,
    /// `list NAME 'VALUE'`, any number of times; `option NAME 'VALUE VALUE'` is taken too, as its words.
    Many,
}

/// What holds where an option is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// This value, or these words.
    Default(&'static str),
    /// Nothing; the meaning says what that means.
    Nothing,
    /// The section is no use without it.
    Required,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A boolean as OpenWrt reads it: 1, on, true, yes, enabled, and their opposites.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number from `min` to `max`, both included.
    Number {
        /// Least.
        min: u32,
        /// Greatest.
        max: u32,
        /// What is counted: `seconds`.
        of: &'static str,
    },
    /// A number with one of the units s, m, h, d, w; the bounds are seconds.
    Duration {
        /// Least.
        min: u32,
        /// Greatest.
        max: u32,
    },
    /// A time of day, HH:MM; the bound is minutes since midnight.
    Clock {
        /// Latest.
        max: u16,
    },
    /// A day of the week: `mon`, `Monday`.
    Weekday,
    /// One bit of 32, hexadecimal or decimal.
    Mark,
    /// A port, 1 to 65535.
    Port,
    /// A port, or two joined by `-`.
    Ports,
    /// A profile's name.
    Profile,
    /// An IPv4 or IPv6 address of one host, or its MAC.
    Host,
    /// An IPv4 or IPv6 address of one host.
    Address,
    /// An IPv4 or IPv6 network, or one address.
    Subnet,
    /// A firewall zone's name.
    Zone,
    /// The name of a section of type `gate`.
    Gate,
    /// `tcp:PORT`, or `tcp:PORT>ADDRESS:PORT`.
    Service,
    /// `tcp:PORT` or `udp:PORT`.
    Step,
    /// An absolute path.
    Path,
    /// A host's name or address.
    HostName,
    /// A host's name or address, and a port.
    Target,
    /// A login name.
    User,
    /// A public key as in `known_hosts`: type and base64.
    HostKey,
}

const SWITCH: Kind = Kind::Switch;
const SECONDS: &str = "seconds";

impl Kind {
    /// With its article, for "'…' is not …".
    #[must_use]
    pub fn description(self) -> String {
        match self {
            Self::Switch => "a switch, 0 or 1".to_string(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Number { of, .. } => format!("a number of {of}"),
            Self::Duration { .. } => "a duration with its unit (s, m, h, d, w)".to_string(),
            Self::Clock { .. } => "a time of day, HH:MM".to_string(),
            Self::Weekday => "a day of the week".to_string(),
            Self::Mark => "a mark with exactly one bit".to_string(),
            Self::Port => "a port".to_string(),
            Self::Ports => "a port or a range of ports".to_string(),
            Self::Profile => "a profile's name (small letters, digits, '-')".to_string(),
            Self::Host => "an IPv4, IPv6 or MAC address".to_string(),
            Self::Address => "an IPv4 or IPv6 address".to_string(),
            Self::Subnet => "an IPv4 or IPv6 network".to_string(),
            Self::Zone => "a firewall zone's name".to_string(),
            Self::Gate => "the name of a gate".to_string(),
            Self::Service => "a TCP service, tcp:PORT or tcp:PORT>ADDRESS:PORT".to_string(),
            Self::Step => "a step, tcp:PORT or udp:PORT".to_string(),
            Self::Path => "an absolute path".to_string(),
            Self::HostName => "a host's name or address".to_string(),
            Self::Target => "a target, HOST:PORT".to_string(),
            Self::User => "a login name".to_string(),
            Self::HostKey => "a public host key, its type and its base64".to_string(),
        }
    }
}

/// The option of a system by its name.
#[must_use]
pub fn spec(system: System, name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|spec| spec.system == system && spec.name == name)
}

const fn one(system: System, name: &'static str, kind: Kind, absent: Absent, closed: &'static str) -> OptionSpec {
    let restricts = !matches!(system, System::Ledger | System::Relay);
    OptionSpec {
        system,
        name,
        arity: Arity::One,
        kind,
        absent,
        closed,
        restricts,
        meaning: "",
        example: "",
    }
}

const fn many(system: System, name: &'static str, kind: Kind, absent: Absent, closed: &'static str) -> OptionSpec {
    OptionSpec {
        arity: Arity::Many,
        ..one(system, name, kind, absent, closed)
    }
}

impl OptionSpec {
    const fn means(self, example: &'static str, meaning: &'static str) -> Self {
        Self {
            example,
            meaning,
            ..self
        }
    }

    const fn harmless(self) -> Self {
        Self {
            restricts: false,
            ..self
        }
    }
}

use Absent::{Default, Nothing, Required};
use System::{Gate, Knock, LanOnly, Lanward, Ledger, Relay, Spa, Witness};

const fn number(min: u32, max: u32, of: &'static str) -> Kind {
    Kind::Number { min, max, of }
}

/// All options, by section type, in the order in which they are shown.
#[rustfmt::skip]
pub static OPTIONS: &[OptionSpec] = &[
    one(Lanward, "mark", Kind::Mark, Default("0x10000000"), "0x10000000")
        .means("0x10000000", "the one mark bit that lanward uses; no other package may use it"),
    one(Lanward, "log_level", Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]), Default("info"), "info").harmless()
        .means("info", "how much is logged"),

    one(LanOnly, "enabled", SWITCH, Default("0"), "1")
        .means("1", "the switch: remote desktop from the LAN and the VPN only"),
    one(LanOnly, "level", Kind::Choice(&["seed", "recommended", "strict", "custom"]), Nothing, "strict")
        .means("seed", "UDP destination ports: seed 40001-65535, recommended 32768-65535, strict 1024-65535, custom as in port; not given: seed, with hosts strict"),
    many(LanOnly, "port", Kind::Ports, Nothing, "1024-65535")
        .means("50000-60000", "with level custom: the UDP destination ports"),
    many(LanOnly, "profile", Kind::Profile, Nothing, "")
        .means("chrome-remote-desktop", "applications whose limits status and the page tell, from profiles.json"),
    many(LanOnly, "host", Kind::Host, Nothing, "")
        .means("192.168.1.20", "only these hosts, by IPv4, IPv6 or MAC; none: the whole zone"),
    many(LanOnly, "except_host", Kind::Host, Nothing, "")
        .means("192.168.1.30", "hosts that nothing is dropped from"),
    many(LanOnly, "except_port", Kind::Ports, Nothing, "")
        .means("51820", "UDP destination ports that stay open"),
    many(LanOnly, "except_dest", Kind::Subnet, Nothing, "")
        .means("203.0.113.0/24", "destination networks that stay reachable"),
    many(LanOnly, "source_zone", Kind::Zone, Default("lan"), "lan")
        .means("lan", "firewall zones whose hosts are kept in"),
    many(LanOnly, "dest_zone", Kind::Zone, Default("wan"), "wan")
        .means("wan", "firewall zones they are kept from; they are also the WAN that gates guard"),
    one(LanOnly, "observe", SWITCH, Default("0"), "0")
        .means("0", "count what would be dropped, drop nothing"),
    one(LanOnly, "mirror", SWITCH, Default("1"), "1")
        .means("1", "also drop new inbound UDP whose source port is in the range (UPnP, full cone)"),
    many(LanOnly, "weekdays", Kind::Weekday, Nothing, "")
        .means("mon", "days on which it begins to hold, in local time; none: every day"),
    one(LanOnly, "start", Kind::Clock { max: 23 * 60 + 59 }, Nothing, "")
        .means("22:00", "from this time of day; not given: from midnight"),
    one(LanOnly, "stop", Kind::Clock { max: 24 * 60 }, Nothing, "")
        .means("07:00", "until this time of day, the next day if it is not after start; not given: until midnight"),

    one(Gate, "enabled", SWITCH, Default("0"), "1")
        .means("1", "let only listed addresses in"),
    many(Gate, "service", Kind::Service, Required, "")
        .means("tcp:22", "what is guarded: tcp:22 on the router, or tcp:2222>192.168.1.10:22 forwarded to a LAN host"),
    one(Gate, "window", number(1, 604_800, SECONDS), Default("60"), "60")
        .means("60", "seconds an address stays listed since it was last seen"),
    one(Gate, "forget", Kind::Choice(&["first_fin", "last_close", "never"]), Default("first_fin"), "first_fin")
        .means("first_fin", "when an address is taken off the list before its time"),
    one(Gate, "refuse", Kind::Choice(&["zone", "reset", "drop"]), Default("zone"), "zone")
        .means("zone", "how others are refused: as the WAN zone refuses, by a TCP reset, or silently"),
    one(Gate, "size", number(1, 65_536, "addresses"), Default("4096"), "4096")
        .means("4096", "addresses in the list, per family; full means newcomers are refused"),
    one(Gate, "prefix6", Kind::Choice(&["128", "64"]), Default("128"), "128")
        .means("128", "whether one IPv6 address is listed, or its /64"),
    one(Gate, "knock_alone", SWITCH, Default("0"), "0")
        .means("0", "1: that a knock alone opens it is known and wanted; nobody warns of it any more"),

    one(Witness, "gate", Kind::Gate, Required, "")
        .means("ssh", "the gate it opens"),
    one(Witness, "port", Kind::Port, Default("993"), "993")
        .means("993", "the TCP port of the witness service, as seen from the WAN"),
    many(Witness, "dest", Kind::Address, Nothing, "")
        .means("192.0.2.25", "its addresses, as seen from the WAN; none: any address of this router"),
    one(Witness, "min_bytes", number(0, 1_000_000_000, "bytes"), Default("0"), "0")
        .means("0", "traffic each way before it counts as a proof"),

    one(Knock, "gate", Kind::Gate, Required, "")
        .means("ssh", "the gate it opens"),
    many(Knock, "open", Kind::Step, Required, "")
        .means("tcp:7000", "the sequence that opens, in order"),
    many(Knock, "close", Kind::Step, Nothing, "")
        .means("tcp:9000", "the sequence that closes, in order"),
    one(Knock, "timeout", number(1, 3_600, SECONDS), Default("5"), "5")
        .means("5", "seconds for the whole sequence"),
    one(Knock, "seconds", number(0, 604_800, SECONDS), Default("30"), "30")
        .means("30", "how long it opens; 0: until the close sequence"),

    one(Spa, "gate", Kind::Gate, Required, "")
        .means("ssh", "the gate it opens"),
    one(Spa, "key_file", Kind::Path, Required, "")
        .means("/etc/lanward/laptop.key", "the file with its keys, mode 0600"),
    one(Spa, "port", Kind::Port, Default("62201"), "62201")
        .means("62201", "the UDP port its packets come to"),
    one(Spa, "max_age", number(1, 86_400, SECONDS), Default("120"), "120")
        .means("120", "the greatest age of a packet, in seconds"),
    one(Spa, "seconds", number(1, 604_800, SECONDS), Default("30"), "30")
        .means("30", "how long it opens"),
    one(Spa, "max_seconds", number(1, 604_800, SECONDS), Default("3600"), "3600")
        .means("3600", "the longest time that a packet may ask for"),
    one(Spa, "hmac", Kind::Choice(&["sha256", "sha1", "sha384", "sha512"]), Default("sha256"), "sha256")
        .means("sha256", "the digest of its HMAC, as the client is told"),
    one(Spa, "any_address", SWITCH, Default("0"), "0")
        .means("0", "1: a packet may list another address than the one it comes from"),

    one(Ledger, "enabled", SWITCH, Default("1"), "1")
        .means("1", "count attempts from the WAN"),
    one(Ledger, "keep_days", number(1, 3_660, "days"), Default("800"), "800")
        .means("800", "days that are kept"),
    one(Ledger, "commit", Kind::Duration { min: 600, max: 2_592_000 }, Default("1d"), "1d")
        .means("1d", "how often it is written to flash"),
    one(Ledger, "mask_sources", SWITCH, Default("0"), "0")
        .means("0", "keep networks (/24, /48) instead of source addresses"),

    one(Relay, "enabled", SWITCH, Default("0"), "0")
        .means("1", "hold the tunnel"),
    one(Relay, "host", Kind::HostName, Required, "")
        .means("relay.example.net", "the relay server"),
    one(Relay, "port", Kind::Port, Default("22"), "22")
        .means("22", "its SSH port"),
    one(Relay, "user", Kind::User, Default("relay"), "relay")
        .means("relay", "the account there"),
    one(Relay, "key", Kind::Path, Default("/etc/lanward/relay_ed25519"), "/etc/lanward/relay_ed25519")
        .means("/etc/lanward/relay_ed25519", "the private key's file"),
    one(Relay, "host_key", Kind::HostKey, Nothing, "")
        .means("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771", "the server's public key; not given: shown at the first contact, to be confirmed"),
    one(Relay, "remote_port", Kind::Port, Required, "")
        .means("3389", "the port that is opened on the relay"),
    one(Relay, "target", Kind::Target, Required, "")
        .means("192.168.1.20:3389", "where it leads in the LAN"),
    one(Relay, "check", number(5, 86_400, SECONDS), Default("30"), "30")
        .means("30", "seconds between two checks through the tunnel"),
    one(Relay, "retry", number(1, 86_400, SECONDS), Default("10"), "10")
        .means("10", "seconds before the first reconnect"),
    one(Relay, "retry_max", number(1, 86_400, SECONDS), Default("300"), "300")
        .means("300", "the longest wait between two reconnects, in seconds"),
    one(Relay, "client", Kind::Choice(&["auto", "openssh", "dropbear"]), Default("auto"), "auto")
        .means("auto", "which of the router's SSH clients: OpenSSH's where it is installed, else dropbear's"),
    one(Relay, "greeting", Kind::Choice(&["auto", "rdp", "ssh", "vnc", "none"]), Default("auto"), "auto")
        .means("auto", "how the target greets: auto: by its port (3389 rdp, 22 ssh, 5900-5999 vnc), else it only has to accept"),
];
