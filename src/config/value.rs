//! One value's text to what it means.

use super::{Client, Forget, Host, Kind, Level, Protocol, Refuse, Service, Step, Subnet, Target};
use crate::nft::PortRange;
use crate::relay::greeting;
use crate::relay::key::HostKey;
use log::LevelFilter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a text is not a value of its kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is no such thing at all.
    Kind,
    /// Goes on behind the quoted value, and says what would be right.
    Because(String),
}

use Wrong::Because;

/// What a value can be read as.
pub(super) trait FromText: Sized {
    fn from_text(kind: Kind, text: &str) -> Result<Self, Wrong>;
}

/// Minutes since midnight.
pub(super) struct Clock(pub u16);

/// Sunday is 0.
pub(super) struct Weekday(pub usize);

/// Seconds.
pub(super) struct Duration(pub u32);

/// How a relay's target greets; `None`: as its port lets expect.
pub(super) struct Greeting(pub Option<greeting::Kind>);

/// One bit.
pub(super) struct Mark(pub u32);

/// A port.
pub(super) struct Port(pub u16);

impl FromText for bool {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        match text {
            "1" | "on" | "true" | "yes" | "enabled" => Ok(true),
            "0" | "off" | "false" | "no" | "disabled" => Ok(false),
            _ => Err(Wrong::Kind),
        }
    }
}

impl FromText for u32 {
    fn from_text(kind: Kind, text: &str) -> Result<Self, Wrong> {
        let number = digits(text)?;
        let Kind::Number { min, max, of } = kind else {
            return Ok(number);
        };
        if (min..=max).contains(&number) {
            return Ok(number);
        }
        Err(Because(format!(
            "is out of range: the number of {of} must be {min} to {max}"
        )))
    }
}

impl FromText for Port {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        port(text).map(Self)
    }
}

impl FromText for PortRange {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (port(from)?, port(to)?);
        if from > to {
            return Err(Because(format!("ends before it begins: write {to}-{from}")));
        }
        Ok(Self { from, to })
    }
}

impl FromText for Mark {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let mark = match hex {
            Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u32::from_str_radix(hex, 16).map_err(|_| Wrong::Kind)?
            }
            Some(_) => return Err(Wrong::Kind),
            None => digits(text)?,
        };
        match mark.count_ones() {
            1 => Ok(Self(mark)),
            bits => Err(Because(format!(
                "has {bits} bits set: a mark has exactly one, such as 0x10000000"
            ))),
        }
    }
}

impl FromText for Duration {
    fn from_text(kind: Kind, text: &str) -> Result<Self, Wrong> {
        let unit = match text.as_bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => return Err(Wrong::Kind),
        };
        let number = digits(text.get(..text.len() - 1).unwrap_or_default())?;
        let seconds = number.saturating_mul(unit);
        match kind {
            Kind::Duration { min, max } if !(min..=max).contains(&seconds) => {
                let (min, max) = (min / 60, max / 86_400);
                Err(Because(format!(
                    "is out of range: it must be {min}m to {max}d, such as 1d"
                )))
            }
            _ => Ok(Self(seconds)),
        }
    }
}

impl FromText for Clock {
    fn from_text(kind: Kind, text: &str) -> Result<Self, Wrong> {
        let (hours, minutes) = text.split_once(':').ok_or(Wrong::Kind)?;
        if !matches!(hours.len(), 1 | 2) || minutes.len() != 2 {
            return Err(Wrong::Kind);
        }
        let (hours, minutes) = (digits(hours)?, digits(minutes)?);
        let latest = if let Kind::Clock { max } = kind { max } else { 0 };
        match u16::try_from(hours * 60 + minutes) {
            Ok(clock) if minutes < 60 && clock <= latest => Ok(Self(clock)),
            _ => Err(Because(format!(
                "is no time of day: the latest is {:02}:{:02}",
                latest / 60,
                latest % 60
            ))),
        }
    }
}

impl FromText for Weekday {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        const DAYS: [&str; 7] = [
            "sunday",
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
            "saturday",
        ];
        let lower = text.to_ascii_lowercase();
        let day = DAYS
            .iter()
            .position(|day| *day == lower || day.get(..3) == Some(lower.as_str()));
        day.map(Self).ok_or(Wrong::Kind)
    }
}

impl FromText for Host {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        if let Some(mac) = mac(text) {
            if mac.first().is_some_and(|byte| byte & 1 == 1) || mac == [0; 6] {
                return Err(Because(
                    "is no host's MAC: name one host, such as 02:00:5e:10:00:20".to_string(),
                ));
            }
            return Ok(Self::Mac(mac));
        }
        host_address(text).map(Self::Address)
    }
}

impl FromText for IpAddr {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        host_address(text)
    }
}

impl FromText for Subnet {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = address_of(address)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix.map(digits).transpose()? {
            None => bits,
            Some(0) => {
                return Err(Because(
                    "would be every address: switch lan_only off instead".to_string(),
                ))
            }
            Some(prefix) if prefix > bits => {
                return Err(Because(format!("has too long a prefix: it must be 1 to {bits}")));
            }
            Some(prefix) => prefix,
        };
        let network = network_of(address, prefix);
        if network != address {
            return Err(Because(format!("has host bits set: the network is {network}/{prefix}")));
        }
        Ok(Self {
            address,
            prefix: u8::try_from(prefix).map_err(|_| Wrong::Kind)?,
        })
    }
}

impl FromText for Service {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        let (here, forward) = match text.split_once('>') {
            Some((here, forward)) => (here, Some(forward)),
            None => (text, None),
        };
        let step = Step::from_text(Kind::Step, here)?;
        if step.protocol == Protocol::Udp {
            return Err(Because(format!(
                "is UDP: a gate guards TCP only, such as tcp:{}",
                step.port
            )));
        }
        let forward = forward.map(|forward| {
            let (host, port) = host_and_port(forward)?;
            Ok((host_address(host)?, port))
        });
        Ok(Self {
            port: step.port,
            forward: forward.transpose()?,
        })
    }
}

impl FromText for Step {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        let (protocol, number) = text.split_once(':').ok_or(Wrong::Kind)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(Wrong::Kind),
        };
        Ok(Self {
            protocol,
            port: port(number)?,
        })
    }
}

impl FromText for Target {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        let (host, port) = host_and_port(text)?;
        Ok(Self {
            host: host_name(host)?,
            port,
        })
    }
}

impl FromText for Level {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        match text {
            "seed" => Ok(Self::Seed),
            "recommended" => Ok(Self::Recommended),
            "strict" => Ok(Self::Strict),
            "custom" => Ok(Self::Custom),
            _ => Err(Wrong::Kind),
        }
    }
}

impl FromText for Forget {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        match text {
            "first_fin" => Ok(Self::FirstFin),
            "last_close" => Ok(Self::LastClose),
            "never" => Ok(Self::Never),
            _ => Err(Wrong::Kind),
        }
    }
}

impl FromText for Refuse {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        match text {
            "zone" => Ok(Self::Zone),
            "reset" => Ok(Self::Reset),
            "drop" => Ok(Self::Drop),
            _ => Err(Wrong::Kind),
        }
    }
}

impl FromText for Client {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        match text {
            "auto" => Ok(Self::Auto),
            "openssh" => Ok(Self::OpenSsh),
            "dropbear" => Ok(Self::Dropbear),
            _ => Err(Wrong::Kind),
        }
    }
}

impl FromText for Greeting {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        if text == "auto" {
            return Ok(Self(None));
        }
        greeting::Kind::parse(text)
            .map(|kind| Self(Some(kind)))
            .ok_or(Wrong::Kind)
    }
}

impl FromText for LevelFilter {
    fn from_text(_: Kind, text: &str) -> Result<Self, Wrong> {
        match text {
            "off" => Ok(Self::Off),
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(Wrong::Kind),
        }
    }
}

/// Texts that only have a syntax.
impl FromText for String {
    fn from_text(kind: Kind, text: &str) -> Result<Self, Wrong> {
        if matches!(kind, Kind::HostName) {
            return host_name(text);
        }
        let fits = match kind {
            Kind::Profile => only(text, 64, |byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
            }),
            Kind::Zone => only(text, 64, |byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte)),
            Kind::Gate => only(text, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            Kind::User => only(text, 32, |byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)),
            Kind::Path => is_path(text),
            Kind::HostKey => is_host_key(text),
            Kind::Choice(words) => words.contains(&text),
            _ => false,
        };
        // A name that begins with '-' would be an option to a program that it is given to.
        if fits && !text.starts_with('-') {
            return Ok(text.to_string());
        }
        Err(Wrong::Kind)
    }
}

fn only(text: &str, max: usize, fits: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= max && text.bytes().all(fits)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() > 1
        && text.len() < 256
        && !text.ends_with('/')
        && !text.chars().any(char::is_control)
        && !text.split('/').any(|part| part == "..")
}

/// Exactly as it is compared and written later: nothing around it, nothing behind it; the padding may be missing.
fn is_host_key(text: &str) -> bool {
    let bare = |text: &str| text.trim_end_matches('=').to_string();
    HostKey::parse(text).is_ok_and(|key| bare(key.line()) == bare(text))
}

/// A whole number; too large a one is a number that no range holds.
fn digits(text: &str) -> Result<u32, Wrong> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::Kind);
    }
    Ok(text.parse().unwrap_or(u32::MAX))
}

fn port(text: &str) -> Result<u16, Wrong> {
    match u16::try_from(digits(text)?) {
        Ok(0) | Err(_) => Err(Because("is out of range: ports are 1 to 65535".to_string())),
        Ok(port) => Ok(port),
    }
}

/// `aa:bb:cc:dd:ee:ff`, also with `-`, also with single digits.
fn mac(text: &str) -> Option<[u8; 6]> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut mac = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut mac {
        let part = parts.next()?;
        if !only(part, 2, |byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// An address, with a hint where it nearly is one.
fn address_of(text: &str) -> Result<IpAddr, Wrong> {
    if let Some((address, _)) = text.split_once('%') {
        if address.parse::<Ipv6Addr>().is_ok() {
            return Err(Because(format!("has a scope: write {address} without it")));
        }
    }
    let Ok(address) = text.parse() else {
        let is_name = host_name(text).is_ok() && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        return Err(if is_name {
            Because("is a name, and names are not resolved: write the address".to_string())
        } else {
            Wrong::Kind
        });
    };
    match address {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => Err(Because(format!("is an IPv4 address in IPv6: write {mapped}"))),
            None => Ok(address.into()),
        },
        IpAddr::V4(_) => Ok(address),
    }
}

/// An address that one host can have and a router forwards for.
fn host_address(text: &str) -> Result<IpAddr, Wrong> {
    if let Some((address, _)) = text.split_once('/') {
        if address_of(address).is_ok() {
            return Err(Because(format!("is a network: name one host, such as {address}")));
        }
    }
    let address = address_of(text)?;
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let what = if address.is_multicast() {
        "is a multicast address"
    } else if address.is_unspecified() {
        "is the unspecified address"
    } else if address.is_loopback() {
        "is a loopback address"
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        "is the broadcast address"
    } else if link_local {
        "is link-local, and such packets are never forwarded"
    } else {
        return Ok(address);
    };
    Err(Because(format!("{what}: name one host by an address of its own")))
}

fn network_of(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

/// `HOST:PORT`, or `[IPV6]:PORT`.
fn host_and_port(text: &str) -> Result<(&str, u16), Wrong> {
    let (host, number) = text.rsplit_once(':').ok_or(Wrong::Kind)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) if bare.parse::<Ipv6Addr>().is_ok() => Ok((bare, port(number)?)),
        Some(_) => Err(Wrong::Kind),
        None if host.contains(':') => Err(Because(
            "has an IPv6 address without brackets: write [2001:db8::20]:3389".to_string(),
        )),
        None => Ok((host, port(number)?)),
    }
}

fn host_name(text: &str) -> Result<String, Wrong> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_string());
    }
    let label = |label: &str| {
        only(label, 63, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What consists of digits and dots would be an address, and was none.
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if text.len() <= 253 && !number && text.split('.').all(label) {
        return Ok(text.to_string());
    }
    Err(Wrong::Kind)
}
