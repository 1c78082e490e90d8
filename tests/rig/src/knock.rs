//! Knocks on the router's WAN address: by the stock `knock` client, or by ready-made packets from any address; and scans.

use crate::flood::Cable;
use crate::house::{Family, House, FAMILIES};
use crate::namespace::Namespace;
use crate::probe::on_one_processor;
use crate::report_line::skip;
use crate::segments::{datagram, flag, Segment};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Output;

/// One knock: a TCP SYN or a UDP packet to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Step {
    pub udp: bool,
    pub port: u16,
}

/// A TCP SYN.
#[must_use]
pub const fn tcp(port: u16) -> Step {
    Step { udp: false, port }
}

/// A UDP packet.
#[must_use]
pub const fn udp(port: u16) -> Step {
    Step { udp: true, port }
}

/// As the stock client and knockd write it: `7000`, `8000:udp`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.port, if self.udp { ":udp" } else { "" })
    }
}

impl Step {
    /// As lanward's configuration writes it: `tcp:7000`.
    #[must_use]
    pub fn uci(self) -> String {
        format!("{}:{}", if self.udp { "udp" } else { "tcp" }, self.port)
    }
}

/// Reads a sequence: `7000 8000:udp 9000`.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn steps(text: &str) -> Vec<Step> {
    let step = |word: &str| {
        let (port, protocol) = word.split_once(':').unwrap_or((word, "tcp"));
        assert!(["tcp", "udp"].contains(&protocol), "no step: {word}");
        Step {
            udp: protocol == "udp",
            port: port.parse().unwrap_or_else(|error| panic!("{word}: {error}")),
        }
    };
    text.split_whitespace().map(step).collect()
}

/// Where one of Debian's `knockd` package's programs is. `None`, and loudly so, where it is not installed.
#[must_use]
pub fn stock(test: &str, program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let found = places
        .find(|place: &PathBuf| place.join(program).is_file())
        .map(|place| place.join(program));
    if found.is_none() {
        skip(test, &format!("no {program} here (Debian's package knockd)"));
    }
    found
}

/// Runs the stock client: its options, and a sequence in its own notation.
///
/// # Panics
/// If it cannot be started, or complains.
pub fn run_stock(from: &Namespace, options: &[&str], to: IpAddr, sequence: &str) -> Output {
    let to = to.to_string();
    let words: Vec<&str> = sequence.split_whitespace().collect();
    let ran = from.output("knock", &[options, &[&to], &words].concat(), "");
    let ran = ran.unwrap_or_else(|error| panic!("{error}"));
    assert!(ran.status.success(), "knock: {}", String::from_utf8_lossy(&ran.stderr));
    ran
}

/// Sends ready-made packets onto the cable to the router's WAN.
#[derive(Debug)]
pub struct Knocker {
    cable: Cable,
    to: [IpAddr; 2],
}

impl Knocker {
    /// At the internet's end of the cable.
    ///
    /// # Panics
    /// Where nobody may send frames.
    #[must_use]
    pub fn new(house: &House) -> Self {
        let internet = &house.host("internet").namespace;
        let cable = Cable::open(internet, "to-wan0", house.router(), "wan0").expect("root may send frames");
        Self {
            cable,
            to: FAMILIES.map(|family| house.router_address("wan", family)),
        }
    }

    /// The router's address of the same family as this one.
    #[must_use]
    pub fn target(&self, like: IpAddr) -> IpAddr {
        self.to[usize::from(like.is_ipv6())]
    }

    /// A knock as it arrives, from a source's port.
    #[must_use]
    pub fn frame(&self, from: SocketAddr, step: Step) -> Vec<u8> {
        let to = SocketAddr::new(self.target(from.ip()), step.port);
        match step.udp {
            true => self.datagram(from, step.port, b""),
            false => self.segment(from, to, flag::SYN),
        }
    }

    /// A UDP packet to a port of the router, as it arrives.
    #[must_use]
    pub fn datagram(&self, from: SocketAddr, port: u16, payload: &[u8]) -> Vec<u8> {
        let to = SocketAddr::new(self.target(from.ip()), port);
        self.cable.enclose(to.is_ipv6(), &datagram(from, to, payload))
    }

    /// A segment with these flags, as it arrives.
    #[must_use]
    pub fn segment(&self, from: SocketAddr, to: SocketAddr, flags: u8) -> Vec<u8> {
        self.cable.frame(&Segment {
            from,
            to,
            flags,
            seq: 1000,
            ack: 0,
            payload: Vec::new(),
        })
    }

    /// Any IP packet, as it arrives.
    #[must_use]
    pub fn enclose(&self, packet: &[u8]) -> Vec<u8> {
        self.cable
            .enclose(packet.first().is_some_and(|first| first >> 4 == 6), packet)
    }

    /// Sends frames in this order; they have been dealt with when it returns.
    ///
    /// # Panics
    /// If the kernel refuses one.
    pub fn send(&self, frames: &[Vec<u8>]) {
        on_one_processor(|| self.cable.send(frames));
    }

    /// A whole sequence from one address, as fast as it goes; each packet from a port of its own.
    pub fn knock(&self, from: IpAddr, sequence: &[Step]) {
        let frames = sequence.iter().zip(40_000..).map(|(step, port)| {
            let from = SocketAddr::new(from, port);
            self.frame(from, *step)
        });
        self.send(&frames.collect::<Vec<_>>());
    }

    /// A flood of one kind of packet by as many sources as there are numbers.
    #[must_use]
    pub fn spoofed(&self, family: Family, step: Step) -> Spoofed<'_> {
        self.spoofed_as(self.frame(Spoofed::sender(family), step))
    }

    /// The same of any packet that [`Spoofed::sender`] seems to have sent.
    #[must_use]
    pub fn spoofed_as(&self, frame: Vec<u8>) -> Spoofed<'_> {
        Spoofed::new(self, frame)
    }
}

/// A packet that can be had from any number of sources, at little cost for each.
#[derive(Debug)]
pub struct Spoofed<'a> {
    knocker: &'a Knocker,
    frames: Vec<Vec<u8>>,
    /// Where the checksum of the transport's header is, and the sum without what changes.
    checksum: usize,
    sum: u32,
    /// The same of IPv4's own header; IPv6 has none.
    header_sum: Option<u32>,
}

/// A link-layer header's length.
const LINK: usize = 14;
/// Frames that are sent at once.
const BATCH: usize = 64;
/// `IPPROTO_UDP`
const UDP: u8 = 17;

impl<'a> Spoofed<'a> {
    /// Whom the frame is from before it is given a source: to a checksum that address is nothing.
    #[must_use]
    pub fn sender(family: Family) -> SocketAddr {
        let nobody = match family {
            Family::V4 => IpAddr::from([0; 4]),
            Family::V6 => IpAddr::from([0; 16]),
        };
        SocketAddr::new(nobody, 40_000)
    }

    fn new(knocker: &'a Knocker, frame: Vec<u8>) -> Self {
        let (protocol, transport) = match frame[LINK] >> 4 {
            4 => (frame[LINK + 9], LINK + 20),
            _ => (frame[LINK + 6], LINK + 40),
        };
        let checksum = transport + if protocol == UDP { 6 } else { 16 };
        let sum_at = |at: usize| u32::from(!u16::from_be_bytes([frame[at], frame[at + 1]]));
        Self {
            knocker,
            checksum,
            sum: sum_at(checksum),
            header_sum: (transport == LINK + 20).then(|| sum_at(LINK + 10)),
            frames: vec![frame; BATCH],
        }
    }

    /// Sends one from each of these sources, at most so many at once.
    pub fn send(&mut self, sources: impl Iterator<Item = IpAddr>) {
        let mut sources = sources.peekable();
        while sources.peek().is_some() {
            let mut count = 0;
            for (index, source) in sources.by_ref().take(BATCH).enumerate() {
                self.patch(index, source);
                count = index + 1;
            }
            self.knocker.cable.send(&self.frames[..count]);
        }
    }

    fn patch(&mut self, index: usize, source: IpAddr) {
        let frame = &mut self.frames[index];
        let (at, octets) = match source {
            IpAddr::V4(source) => (LINK + 12, source.octets().to_vec()),
            IpAddr::V6(source) => (LINK + 8, source.octets().to_vec()),
        };
        frame[at..at + octets.len()].copy_from_slice(&octets);
        let pairs = octets.chunks_exact(2);
        let more: u32 = pairs
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let fold = |mut sum: u32| {
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            (!u16::try_from(sum).expect("it is folded")).to_be_bytes()
        };
        if let Some(sum) = self.header_sum {
            frame[LINK + 10..LINK + 12].copy_from_slice(&fold(sum + more));
        }
        frame[self.checksum..self.checksum + 2].copy_from_slice(&fold(self.sum + more));
    }
}

/// Numbers that look like chance and are the same in every run (xorshift).
#[derive(Debug, Clone)]
pub struct Dice(u32);

impl Dice {
    /// Begins at a number.
    #[must_use]
    pub fn from(seed: u32) -> Self {
        Self(seed.max(1))
    }

    /// The next number below `limit`.
    ///
    /// # Panics
    /// If there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        usize::try_from(self.0).expect("a number of 32 bits") % limit
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_reads_as_it_is_written() {
        let read = steps("7000 8000:udp 9000:tcp");
        assert_eq!(read, [tcp(7000), udp(8000), tcp(9000)]);
        let written: Vec<String> = read.iter().map(Step::to_string).collect();
        assert_eq!(written, ["7000", "8000:udp", "9000"]);
        assert_eq!(udp(8000).uci(), "udp:8000");
    }

    #[test]
    fn dice_fall_alike_and_a_shuffle_keeps_what_there_is() {
        let mut all: Vec<u16> = (1..=1000).collect();
        Dice::from(7).shuffle(&mut all);
        let again: Vec<usize> = (0..5).map(|_| Dice::from(7).below(6)).collect();
        assert!(again.windows(2).all(|pair| pair[0] == pair[1]));
        assert_ne!(all[..3], [1, 2, 3]);
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=1000));
    }
}
