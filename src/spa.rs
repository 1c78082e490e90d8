//! Proof by one authenticated packet, in the wire format of fwknop 2.x (SPA): keys, packets, what was seen before, and
//! the verdict. Source of the format: fwknop's `lib/fko_*.c`, `lib/cipher_funcs.c`.
//!
//! The HMAC is checked before anything else of a packet is looked at. Rijndael with an HMAC is the only form there is
//! here: no packet without HMAC, no GPG, no legacy initialisation vector, no commands, no NAT.

pub(crate) mod crypt;
mod keys;
mod packet;
mod replay;

pub use keys::Keys;
pub use packet::{open, request_of, seal, seal_text};
pub use replay::{checksum, Replay};

use crate::config::Protocol;
use std::fmt;
use std::net::IpAddr;

/// The HMAC's digest, as both sides have configured it: a packet does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Digest {
    Sha1,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// All there are, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Sha256, Self::Sha1, Self::Sha384, Self::Sha512];

    /// The option's word, which is fwknop's in small letters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The digest of that word; capital letters are as good (`HMAC_DIGEST_TYPE SHA256` in fwknop's files).
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|digest| word.eq_ignore_ascii_case(digest.word()))
    }
}

/// What a packet asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who is to be let in; `None`: whoever sent the packet (written as 0.0.0.0; `::` is understood). fwknop knows IPv4 only:
    /// an IPv6 address is understood by lanward alone.
    pub address: Option<IpAddr>,
    /// What it wants opened, in its order. Not empty after [`open`].
    pub ports: Vec<(Protocol, u16)>,
    /// For how long; `None`: as the router has it configured. After [`open`] 1 to 65 536.
    pub seconds: Option<u32>,
    /// The sender's clock, Unix time in seconds.
    pub sent: u64,
    /// The sender's account as the sender names it. After [`open`] printable ASCII, at most 48 characters: fit for a log line.
    pub user: String,
}

/// A packet that was made with our keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it asks for.
    pub request: Request,
    /// Identifies the packet: the first bytes of its HMAC. There is one way only to write a packet that opens, so a packet
    /// cannot come again under another identity.
    pub proof: [u8; 16],
}

/// Why a packet was not opened. `Display`: a clause for a log line, without anything of the keys or of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No SPA packet, or made with other keys or another digest: nothing to tell anybody, the Internet is full of packets.
    Foreign,
    /// Ours by its HMAC, but encrypted with GPG.
    Gpg,
    /// Ours, but it wants a command run.
    Command,
    /// Ours, but it wants access through NAT.
    Nat,
    /// Ours by its HMAC, and something in it is wrong.
    Broken(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Foreign => "not made with this key",
            Self::Gpg => "encrypted with GPG, which is not supported",
            Self::Command => "wants a command run, which is never done",
            Self::Nat => "wants access through NAT, which is not supported: ask for the port on the router",
            Self::Broken(why) => why,
        })
    }
}

/// What one key may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The most seconds between the sender's clock and ours, either way.
    pub max_age: u32,
    /// How long it opens if the packet does not say.
    pub seconds: u32,
    /// The most that a packet may ask for; what is above is cut down to it.
    pub max_seconds: u32,
    /// Whether the packet may name another address than its source.
    pub any_address: bool,
    /// The gate's TCP ports, as seen from the WAN.
    pub ports: &'a [u16],
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Grant {
    pub address: IpAddr,
    /// At least 1.
    pub seconds: u32,
}

/// Why an opened packet gets nothing. `Display`: a clause for a log line that names the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Sent so many seconds ago, more than `most`.
    Old {
        /// Seconds.
        age: u64,
        /// [`Rules::max_age`].
        most: u32,
    },
    /// Sent so many seconds ahead of our clock, more than `most`.
    Early {
        /// Seconds.
        ahead: u64,
        /// [`Rules::max_age`].
        most: u32,
    },
    /// This packet was here before.
    Replayed,
    /// Sent no later than what is too long ago to be remembered one by one: it may have been here before.
    Forgotten {
        /// Unix time up to which nothing is accepted any more.
        floor: u64,
    },
    /// It asks for a port that the gate does not have, or that is not TCP.
    Port(Protocol, u16),
    /// It names an address that is not its source's, and [`Rules::any_address`] is off.
    Address {
        /// In the packet.
        named: IpAddr,
        /// Of the packet.
        source: IpAddr,
    },
    /// The address is nobody's: unspecified, loopback, multicast or broadcast.
    Nobody(IpAddr),
}

impl fmt::Display for Denied {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Old { age, most } => write!(
                out,
                "sent {age} s ago by its own clock, more than {most} s: old, or a clock is wrong"
            ),
            Self::Early { ahead, most } => write!(
                out,
                "sent {ahead} s ahead of this router's clock, more than {most} s: a clock is wrong"
            ),
            Self::Replayed => out.write_str("a replay: this packet was here before"),
            Self::Forgotten { floor } => write!(
                out,
                "perhaps a replay: sent at or before {floor} (Unix time), up to which packets are no longer told apart"
            ),
            Self::Port(Protocol::Tcp, port) => write!(out, "asks for tcp/{port}, which is no port of the gate"),
            Self::Port(Protocol::Udp, port) => write!(out, "asks for udp/{port}: a gate has TCP ports only"),
            Self::Address { named, source } => {
                write!(out, "names {named}, but came from {source} (any_address is off)")
            }
            Self::Nobody(address) => write!(out, "{address} is nobody's address"),
        }
    }
}

/// Whether an opened packet from `source` gets what it asks for: age, replay, permission, in this order. Changes nothing:
/// whoever acts on a grant calls [`Replay::note`] first and keeps it.
///
/// # Errors
/// The first reason against it.
pub fn judge(opened: &Opened, rules: &Rules, source: IpAddr, now_unix: u64, replay: &Replay) -> Result<Grant, Denied> {
    let Request {
        address,
        ports,
        seconds,
        sent,
        ..
    } = &opened.request;
    let most = rules.max_age;
    let age = now_unix.saturating_sub(*sent);
    let ahead = sent.saturating_sub(now_unix);
    if age > most.into() {
        return Err(Denied::Old { age, most });
    }
    if ahead > most.into() {
        return Err(Denied::Early { ahead, most });
    }
    replay.check(&opened.proof, *sent)?;
    for &(protocol, port) in ports {
        if protocol != Protocol::Tcp || !rules.ports.contains(&port) {
            return Err(Denied::Port(protocol, port));
        }
    }
    let source = source.to_canonical();
    let address = address.map_or(source, |named| named.to_canonical());
    if address != source && !rules.any_address {
        return Err(Denied::Address { named: address, source });
    }
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast {
        return Err(Denied::Nobody(address));
    }
    let seconds = seconds
        .map_or(rules.seconds, |asked| asked.min(rules.max_seconds))
        .max(1);
    Ok(Grant { address, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const RULES: Rules = Rules {
        max_age: 120,
        seconds: 30,
        max_seconds: 3600,
        any_address: false,
        ports: &[22, 3389],
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn packet(address: Option<&str>, ports: &[(Protocol, u16)], seconds: Option<u32>, sent: u64) -> Opened {
        let request = Request {
            address: address.map(ip),
            ports: ports.to_vec(),
            seconds,
            sent,
            user: "anna".to_string(),
        };
        Opened {
            request,
            proof: [7; 16],
        }
    }

    fn said(opened: &Opened, rules: &Rules, source: &str, replay: &Replay) -> String {
        match judge(opened, rules, ip(source), NOW, replay) {
            Ok(Grant { address, seconds }) => format!("{address} for {seconds} s"),
            Err(denied) => denied.to_string(),
        }
    }

    #[test]
    fn age_counts_both_ways_and_first() {
        let mut replay = Replay::default();
        replay.note(&[7; 16], NOW);
        let cases = [
            (NOW - 120, Ok(())),
            (NOW + 120, Ok(())),
            (
                NOW - 121,
                Err("sent 121 s ago by its own clock, more than 120 s: old, or a clock is wrong"),
            ),
            (
                NOW + 3_600,
                Err("sent 3600 s ahead of this router's clock, more than 120 s: a clock is wrong"),
            ),
            (
                0,
                Err("sent 1800000000 s ago by its own clock, more than 120 s: old, or a clock is wrong"),
            ),
            (
                u64::MAX,
                Err("sent 18446744071909551615 s ahead of this router's clock, more than 120 s: a clock is wrong"),
            ),
        ];
        for (sent, expected) in cases {
            let opened = packet(None, &[(Protocol::Udp, 1)], None, sent);
            // Whatever is in time is a replay, and only then the port is looked at.
            let expected = expected.map(|()| "a replay: this packet was here before");
            let (Ok(expected) | Err(expected)) = expected;
            assert_eq!(said(&opened, &RULES, "203.0.113.9", &replay), expected);
        }
        replay.refuse_until(NOW);
        let opened = Opened {
            proof: [8; 16],
            ..packet(None, &[(Protocol::Tcp, 22)], None, NOW)
        };
        let why =
            "perhaps a replay: sent at or before 1800000000 (Unix time), up to which packets are no longer told apart";
        assert_eq!(said(&opened, &RULES, "203.0.113.9", &replay), why);
        // A router whose clock stands at its beginning.
        let opened = packet(None, &[(Protocol::Tcp, 22)], None, NOW);
        let early = judge(&opened, &RULES, ip("203.0.113.9"), 12, &Replay::default()).unwrap_err();
        assert_eq!(
            early,
            Denied::Early {
                ahead: NOW - 12,
                most: 120
            }
        );
    }

    #[test]
    fn all_ports_must_be_the_gates() {
        let asks = |ports: &[(Protocol, u16)]| {
            said(
                &packet(None, ports, None, NOW),
                &RULES,
                "203.0.113.9",
                &Replay::default(),
            )
        };
        assert_eq!(asks(&[(Protocol::Tcp, 22)]), "203.0.113.9 for 30 s");
        assert_eq!(
            asks(&[(Protocol::Tcp, 22), (Protocol::Tcp, 3389)]),
            "203.0.113.9 for 30 s"
        );
        assert_eq!(
            asks(&[(Protocol::Tcp, 22), (Protocol::Tcp, 23)]),
            "asks for tcp/23, which is no port of the gate"
        );
        assert_eq!(
            asks(&[(Protocol::Udp, 22)]),
            "asks for udp/22: a gate has TCP ports only"
        );
    }

    #[test]
    fn the_address_is_the_source_or_allowed() {
        let any = Rules {
            any_address: true,
            ..RULES
        };
        let cases = [
            (None, "203.0.113.9", "203.0.113.9 for 30 s", "203.0.113.9 for 30 s"),
            (
                Some("203.0.113.9"),
                "203.0.113.9",
                "203.0.113.9 for 30 s",
                "203.0.113.9 for 30 s",
            ),
            (
                Some("::ffff:203.0.113.9"),
                "203.0.113.9",
                "203.0.113.9 for 30 s",
                "203.0.113.9 for 30 s",
            ),
            (
                Some("198.51.100.7"),
                "203.0.113.9",
                "names 198.51.100.7, but came from 203.0.113.9 (any_address is off)",
                "198.51.100.7 for 30 s",
            ),
            (None, "2001:db8::9", "2001:db8::9 for 30 s", "2001:db8::9 for 30 s"),
            (
                Some("2001:db8::9"),
                "2001:db8::9",
                "2001:db8::9 for 30 s",
                "2001:db8::9 for 30 s",
            ),
            (
                Some("198.51.100.7"),
                "2001:db8::9",
                "names 198.51.100.7, but came from 2001:db8::9 (any_address is off)",
                "198.51.100.7 for 30 s",
            ),
            (
                Some("255.255.255.255"),
                "203.0.113.9",
                "names 255.255.255.255, but came from 203.0.113.9 (any_address is off)",
                "255.255.255.255 is nobody's address",
            ),
            (
                Some("127.0.0.1"),
                "203.0.113.9",
                "names 127.0.0.1, but came from 203.0.113.9 (any_address is off)",
                "127.0.0.1 is nobody's address",
            ),
        ];
        for (named, source, without, with) in cases {
            let opened = packet(named, &[(Protocol::Tcp, 22)], None, NOW);
            assert_eq!(said(&opened, &RULES, source, &Replay::default()), without);
            assert_eq!(said(&opened, &any, source, &Replay::default()), with);
        }
    }

    #[test]
    fn seconds_are_cut_down() {
        let grant = |asked, rules: &Rules| {
            let opened = packet(None, &[(Protocol::Tcp, 22)], asked, NOW);
            judge(&opened, rules, ip("203.0.113.9"), NOW, &Replay::default())
                .unwrap()
                .seconds
        };
        assert_eq!((grant(None, &RULES), grant(Some(1), &RULES)), (30, 1));
        assert_eq!((grant(Some(3600), &RULES), grant(Some(65_536), &RULES)), (3600, 3600));
        let none = Rules {
            seconds: 0,
            max_seconds: 0,
            ..RULES
        };
        assert_eq!((grant(None, &none), grant(Some(9), &none)), (1, 1));
    }

    #[test]
    fn digests_have_fwknops_words() {
        for digest in Digest::ALL {
            assert_eq!(Digest::parse(digest.word()), Some(digest));
            assert_eq!(Digest::parse(&digest.word().to_uppercase()), Some(digest));
        }
        assert_eq!(
            (Digest::parse("md5"), Digest::parse(""), Digest::default()),
            (None, None, Digest::Sha256)
        );
    }
}
