//! Netfilter's lines in system logs → attempts, as syslogd, rsyslog, syslog-ng, busybox, OpenWrt's logread, journalctl, dmesg and ulogd write them.
//!
//! What a line does not say cannot be known: whether its device leads outside. So each refused packet that came in somewhere counts, but for those that
//! come from inside by OpenWrt's own names (`lo`, `br-lan`, fw3's and fw4's `lan in` and `… out`). A line tells that it was accepted by a word of its prefix
//! (`ACCEPT`, `Allow-Ping`, `[UFW ALLOW]`) with none beside it that says the opposite; a prefix that says neither is taken as a refusal, which is what one logs.
//!
//! Programs log what strangers send them, such as names of users. So a line counts only if it may be the kernel's (or ulogd's): what stands behind another
//! program's tag (`dropbear[123]:`) or another facility (`authpriv.info`) is foreign, however much it looks like netfilter's.

mod days;
mod packet;
mod stamp;
mod tally;
#[cfg(test)]
mod tests;

pub use days::{DayCount, SourceCount};
pub use stamp::{Times, When};
pub use tally::{FileCount, Reading, Tally, Unread};

use packet::{Kind, Packet};
use std::fmt;
use std::net::IpAddr;

/// Longer lines are not read, in bytes without the end of line. The kernel's are a quarter of it.
pub const LONGEST_LINE: usize = 4096;
/// More is not a repetition but damage.
const MOST_REPEATED: u32 = 1_000_000;

/// A refused packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The local day, as far as the line says it.
    pub when: When,
    /// The local hour, 0 to 23.
    pub hour: u8,
    /// IP's number of the protocol.
    pub protocol: u8,
    /// The port it was sent to; the type for ICMP and `ICMPv6`; 0 where there is neither, as in fragments.
    pub port: u16,
    /// Who sent it, as far as that is true.
    pub source: IpAddr,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A refused packet.
    Attempt(Attempt),
    /// What was logged last came again.
    Repeated {
        /// How often.
        times: u32,
        /// What it was, where the line says it; else it is the line before.
        of: Option<Attempt>,
    },
    /// Netfilter's, but no attempt: accepted, the router's own, from inside, or no IP.
    NoAttempt,
    /// Not netfilter's.
    Foreign,
    /// Netfilter's, but not to be read.
    Unread(Why),
}

/// Why a line of netfilter's was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Longer than [`LONGEST_LINE`].
    TooLong,
    /// No time stamp, or none that is known here.
    NoDate,
    /// A time stamp that is no time.
    BadDate,
    /// A clock that had not been set.
    TooEarly,
    /// Later than today.
    TooLate,
    /// No source address.
    BadSource,
    /// No protocol.
    BadProtocol,
    /// No port where the protocol has one, or none that can be.
    BadPort,
    /// A number of repetitions that cannot be.
    BadRepetition,
    /// No room for yet another day.
    TooManyDays,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TooLong => "longer than 4096 bytes",
            Self::NoDate => "no date (the first word should be one, such as 2020-04-06T16:05:29 or Apr  6 16:05:29)",
            Self::BadDate => "there is no such date and time",
            Self::TooEarly => "before 2000: the clock was not set",
            Self::TooLate => "later than today",
            Self::BadSource => "SRC= is missing or not an address",
            Self::BadProtocol => "PROTO= is missing or not a protocol",
            Self::BadPort => "DPT= (or TYPE=) is missing or not a number in range",
            Self::BadRepetition => "more than 1000000 repetitions",
            Self::TooManyDays => "more than 4000 days",
        })
    }
}

/// Reads a line, with its end or without.
#[must_use]
pub fn parse(line: &[u8], times: &Times) -> Line {
    let line = trim(line);
    if line.len() > LONGEST_LINE {
        return Line::Unread(Why::TooLong);
    }
    let (stamp, text, form) = stamp::read(line, times);
    let (text, times) = match repetition(text) {
        Some((_, None)) => return Line::Unread(Why::BadRepetition),
        Some((text, times)) => (text, times),
        None => (text, None),
    };
    let packet = match packet::read(text, form) {
        Kind::Packet(packet) => packet,
        Kind::NoAttempt => return Line::NoAttempt,
        Kind::Unread(why) => return Line::Unread(why),
        Kind::Foreign => return times.map_or(Line::Foreign, |times| Line::Repeated { times, of: None }),
    };
    let Packet { protocol, port, source } = packet;
    match (stamp, times) {
        (Err(why), _) => Line::Unread(why),
        (Ok((when, hour)), times) => {
            let attempt = Attempt {
                when,
                hour,
                protocol,
                port,
                source,
            };
            times.map_or(Line::Attempt(attempt), |times| Line::Repeated {
                times,
                of: Some(attempt),
            })
        }
    }
}

/// Without what stands around a line: its end, blanks, and the zeros that a power cut leaves in a file.
fn trim(mut line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n');
    while let [first, rest @ ..] = line {
        if !is_blank(first) {
            break;
        }
        line = rest;
    }
    while let [rest @ .., last] = line {
        if !is_blank(last) {
            break;
        }
        line = rest;
    }
    line
}

/// Where a part begins, letters of either case. It begins with a letter, a quotation mark or a bracket.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    // Most lines are looked through in vain, so the first byte decides before anything is called.
    const CASE: u8 = 0x20;
    let first = part.first()? | CASE;
    for (at, byte) in text.iter().enumerate() {
        let found = byte | CASE == first && text.get(at..at + part.len())?.eq_ignore_ascii_case(part);
        if found {
            return Some(at);
        }
    }
    None
}

/// Syslog daemons' shorthand: what was repeated, with what stands before it (where the daemon says it), and how often: `None`: that cannot be.
///
/// ```text
/// last message repeated 3 times                                      BSD, sysklogd, busybox
/// message repeated 3 times: [ [123.4] DROP IN=eth0 … ]               rsyslog
/// Last message 'DROP IN=eth0 … ' repeated 3 times, suppressed by …   syslog-ng
/// ```
fn repetition(text: &[u8]) -> Option<(&[u8], Option<u32>)> {
    const WORD: &[u8] = b"message ";
    // Most lines are netfilter's or short: the word stands near the beginning if it stands anywhere.
    let at = find(text.get(..text.len().min(128))?, WORD)? + WORD.len();
    let behind = text.get(at..)?;
    let quoted = behind.first() == Some(&b'\'');
    let word: &[u8] = if quoted { b"' repeated " } else { b"repeated " };
    let place = find(behind, word)?;
    if !quoted && place != 0 {
        return None;
    }
    let number = behind.get(place + word.len()..)?;
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = number.split_at_checked(digits)?;
    if digits == 0 || find(rest.get(..rest.len().min(5))?, b" time") != Some(0) {
        return None;
    }
    let of = if quoted {
        behind.get(1..place)?
    } else {
        let of = rest
            .iter()
            .position(|byte| *byte == b'[')
            .and_then(|open| rest.get(open + 1..));
        of.map_or(&[][..], |of| of.strip_suffix(b"]").unwrap_or(of))
    };
    let times = decimal(number).filter(|times| *times <= MOST_REPEATED);
    Some((of, times))
}

/// A number of digits alone; `None` also where it does not fit.
fn decimal(digits: &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for digit in digits {
        let value = digit.is_ascii_digit().then(|| digit - b'0')?;
        number = number.checked_mul(10)?.checked_add(value.into())?;
    }
    (!digits.is_empty()).then_some(number)
}
