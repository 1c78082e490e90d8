//! The packet in a line of netfilter's: `PREFIX IN=eth0 OUT= MAC=… SRC=… DST=… … PROTO=TCP SPT=… DPT=… …` (Linux, `nf_log_syslog.c`).

use super::stamp::Form;
use super::{decimal, find, Why};
use std::net::IpAddr;

/// A packet that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub protocol: u8,
    pub port: u16,
    pub source: IpAddr,
}

/// What a line without its time stamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Packet(Packet),
    NoAttempt,
    Foreign,
    Unread(Why),
}

/// IANA's numbers of the names that are written.
const PROTOCOLS: [(&[u8], u8); 18] = [
    (b"TCP", 6),
    (b"UDP", 17),
    (b"ICMP", 1),
    (b"ICMPV6", 58),
    (b"IPV6-ICMP", 58),
    (b"IGMP", 2),
    (b"IPIP", 4),
    (b"DCCP", 33),
    (b"IPV6", 41),
    (b"GRE", 47),
    (b"ESP", 50),
    (b"AH", 51),
    (b"OSPF", 89),
    (b"PIM", 103),
    (b"VRRP", 112),
    (b"L2TP", 115),
    (b"SCTP", 132),
    (b"UDPLITE", 136),
];
/// ICMP and `ICMPv6`.
const WITH_TYPE: [u8; 2] = [1, 58];
/// TCP, UDP, DCCP, SCTP, UDP-Lite. The kernel writes no ports for DCCP and SCTP; others do.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
const WITHOUT_FAIL: [u8; 2] = [33, 132];

const ACCEPTED: [&[u8]; 8] = [
    b"accept",
    b"accepted",
    b"allow",
    b"allowed",
    b"pass",
    b"passed",
    b"permit",
    b"audit",
];
const REFUSED: [&[u8]; 10] = [
    b"drop",
    b"dropped",
    b"reject",
    b"rejected",
    b"deny",
    b"denied",
    b"block",
    b"blocked",
    b"not",
    b"invalid",
];

/// Syslog's facilities but the kernel's, as logread writes them before the level.
const FACILITIES: [&[u8]; 11] = [
    b"user",
    b"mail",
    b"daemon",
    b"auth",
    b"syslog",
    b"lpr",
    b"news",
    b"uucp",
    b"cron",
    b"authpriv",
    b"ftp",
];

/// Reads a line from behind its time stamp.
pub(super) fn read(text: &[u8], form: Form) -> Kind {
    let Some(fields) = Fields::of(text) else {
        return Kind::Foreign;
    };
    if is_of_a_program(fields.before, form) {
        return Kind::Foreign;
    }
    if fields.arp || fields.is_inside() || is_no_attempt(fields.before) {
        return Kind::NoAttempt;
    }
    match fields.packet() {
        Ok(packet) => Kind::Packet(packet),
        Err(why) => Kind::Unread(why),
    }
}

/// The values that matter, of the packet itself: what ICMP's errors quote stands in brackets.
#[derive(Default)]
struct Fields<'a> {
    /// All that stands before `IN=`.
    before: &'a [u8],
    device: &'a [u8],
    out: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    /// A fragment, or cut short: there are no ports.
    partial: bool,
    arp: bool,
}

impl<'a> Fields<'a> {
    /// `None`: not netfilter's.
    fn of(text: &'a [u8]) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut glued = false;
        let mut quoted = false;
        let mut at = 0;
        for token in text.split(|byte| *byte == b' ') {
            let begin = at;
            at += token.len() + 1;
            let exact = token.get(..3).is_some_and(|key| key.eq_ignore_ascii_case(b"IN="));
            let Some(fields) = found.as_mut().filter(|_| !(exact && glued)) else {
                // Prefixes often have no blank behind them; some have the same letters in them.
                let value = token
                    .iter()
                    .rposition(|byte| *byte == b'=')
                    .map_or(0, |place| place + 1);
                let key = value.checked_sub(3);
                if let Some(key) = key.filter(|key| {
                    token
                        .get(*key..value - 1)
                        .is_some_and(|key| key.eq_ignore_ascii_case(b"IN"))
                }) {
                    glued = key > 0;
                    found = Some(Self {
                        before: text.get(..begin + key)?,
                        device: token.get(value..)?,
                        ..Self::default()
                    });
                }
                continue;
            };
            if quoted || token.first() == Some(&b'[') {
                quoted = token.last() != Some(&b']');
                continue;
            }
            fields.note(token);
        }
        found.filter(|fields| fields.out.is_some())
    }

    fn note(&mut self, token: &'a [u8]) {
        let Some(place) = token.iter().position(|byte| *byte == b'=') else {
            self.partial |= token.starts_with(b"FRAG:") || token == b"INCOMPLETE";
            self.arp |= token == b"ARP";
            return;
        };
        let (key, value) = (token.get(..place).unwrap_or(&[]), token.get(place + 1..).unwrap_or(&[]));
        // Old kernels wrote one line in several pieces, with their priority before each: `<4>SRC=`.
        let key = match key {
            [b'<', level, b'>', key @ ..] if level.is_ascii_digit() => key,
            key => key,
        };
        let field = match key.len() {
            3 if key.eq_ignore_ascii_case(b"OUT") => &mut self.out,
            3 if key.eq_ignore_ascii_case(b"SRC") => &mut self.source,
            3 if key.eq_ignore_ascii_case(b"DPT") => &mut self.port,
            4 if key.eq_ignore_ascii_case(b"TYPE") => &mut self.kind,
            5 if key.eq_ignore_ascii_case(b"PROTO") => &mut self.protocol,
            _ => return,
        };
        field.get_or_insert(value);
    }

    /// Whether the packet is the router's own, or from inside by OpenWrt's names.
    fn is_inside(&self) -> bool {
        self.device.is_empty() || self.device == b"lo" || self.device == b"br-lan"
    }

    fn packet(&self) -> Result<Packet, Why> {
        let source = self.source.and_then(|source| std::str::from_utf8(source).ok());
        let source = source.and_then(|source| source.parse().ok()).ok_or(Why::BadSource)?;
        let protocol = self.protocol.and_then(protocol).ok_or(Why::BadProtocol)?;
        let (field, most) = if WITH_TYPE.contains(&protocol) {
            (self.kind, 255)
        } else if WITH_PORTS.contains(&protocol) {
            (self.port, u16::MAX)
        } else {
            return Ok(Packet {
                protocol,
                port: 0,
                source,
            });
        };
        let port = match field {
            Some(digits) => decimal(digits)
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port <= most)
                .ok_or(Why::BadPort)?,
            None if self.partial || WITHOUT_FAIL.contains(&protocol) => 0,
            None => return Err(Why::BadPort),
        };
        Ok(Packet { protocol, port, source })
    }
}

fn protocol(value: &[u8]) -> Option<u8> {
    if value.first().is_some_and(u8::is_ascii_digit) {
        return decimal(value).and_then(|number| u8::try_from(number).ok());
    }
    let known = PROTOCOLS.iter().find(|(name, _)| value.eq_ignore_ascii_case(name))?;
    Some(known.1)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// Whether another program than the kernel and ulogd wrote the line, by what stands before the packet.
fn is_of_a_program(before: &[u8], form: Form) -> bool {
    let is_trusted = |word: &[u8]| [&b"kernel"[..], b"ulogd"].iter().any(|name| word.starts_with(name));
    if form == Form::Fields {
        return !words(before)
            .nth(1)
            .is_some_and(|program| program == b"-" || is_trusted(program));
    }
    let mut foreign = false;
    for word in words(before).take(4) {
        if foreign || is_tag(word) {
            return !is_trusted(word);
        }
        if word == b"kernel:" {
            return false;
        }
        let facility = word
            .iter()
            .position(|byte| *byte == b'.')
            .and_then(|dot| word.get(..dot));
        foreign =
            facility.is_some_and(|name| FACILITIES.contains(&name) || name.starts_with(b"local") && name.len() == 6);
    }
    foreign
}

/// `name[123]:`.
fn is_tag(word: &[u8]) -> bool {
    let Some(word) = word.strip_suffix(b"]:") else {
        return false;
    };
    let digits = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && word.len() > digits + 1 && word.get(word.len() - digits - 1) == Some(&b'[')
}

/// Whether a prefix says that the packet was accepted, or did not come from outside.
fn is_no_attempt(before: &[u8]) -> bool {
    let is = |word: &[u8], known: &[&[u8]]| known.iter().any(|known| word.eq_ignore_ascii_case(known));
    // Behind the kernel's tag. Without one, the first of several words is the host's name, if it is none of those that matter.
    let prefix = match find(before, b"kernel:") {
        Some(tag) => before.get(tag + 7..).unwrap_or(&[]),
        None => {
            let before = before.trim_ascii();
            let blank = before.iter().position(|byte| *byte == b' ').unwrap_or(0);
            let (first, rest) = before.split_at_checked(blank).unwrap_or((&[], before));
            let known = first
                .split(|byte| !byte.is_ascii_alphabetic())
                .find(|word| !word.is_empty());
            let known = known.is_some_and(|word| is(word, &ACCEPTED) || is(word, &REFUSED));
            if known && !first.contains(&b'-') {
                before
            } else {
                rest
            }
        }
    };
    let (mut accepted, mut refused) = (false, false);
    for word in prefix.split(|byte| !byte.is_ascii_alphabetic()) {
        if word.len() < 3 {
            continue;
        }
        accepted |= is(word, &ACCEPTED);
        refused |= is(word, &REFUSED);
    }
    let trimmed = prefix.trim_ascii_end();
    let ends = |end: &[u8]| {
        let at = trimmed.len().checked_sub(end.len());
        at.and_then(|at| trimmed.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    // fw3 and fw4: `reject wan out: `, `drop lan in: `; fw3 of old: `REJECT(dest wan)`, `DROP(src lan)`.
    let inside = ends(b" out:") || ends(b" lan in:") || ends(b"(src lan)") || find(trimmed, b"(dest ").is_some();
    accepted && !refused || inside
}
