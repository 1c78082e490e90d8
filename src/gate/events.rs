//! What the kernel's copies say, and how much of it is told.

use crate::ledger::Service;
use crate::ruleset::gate::{ADMIT, CLOSED, REMOVE};
use crate::ruleset::knock::{Sequence, CLOSE, OPEN, STAGE, WRONG};
use crate::ruleset::ledger::SAMPLE;
use crate::ruleset::spa::PACKET;
use crate::system::nflog::Copied;
use std::net::IpAddr;

/// What a copied packet has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A witness has put the source on the list.
    Admitted {
        /// The gate's name.
        gate: String,
        /// The witness's.
        witness: String,
        /// Where the packet came from.
        source: IpAddr,
    },
    /// A session was closed, and with it the source's time on the list.
    Removed {
        /// The gate's name.
        gate: String,
        /// Where the packet came from.
        source: IpAddr,
    },
    /// A session was closed; was it the source's last?
    Closed {
        /// The gate's name.
        gate: String,
        /// Where the packet came from.
        source: IpAddr,
    },
    /// A source has come forward in a knock, or has fallen out of it.
    Knocked {
        /// The knock's name.
        knock: String,
        /// Which of its sequences.
        sequence: Sequence,
        /// How far.
        progress: Progress,
        /// Where the packet came from.
        source: IpAddr,
    },
    /// What begins on the WAN, and may be refused yet.
    Attempt(Attempt),
    /// What came to an SPA's port.
    Packet {
        /// The port.
        port: u16,
        /// What is behind the UDP header.
        packet: Vec<u8>,
        /// Where the packet came from.
        source: IpAddr,
    },
}

/// Who tries what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Where the packet came from.
    pub source: IpAddr,
    /// What it was sent to.
    pub service: Service,
}

/// How far a source has come in a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many steps, and not all.
    Stage(usize),
    /// All steps.
    Done,
    /// A wrong port: it has to begin anew.
    Wrong,
}

impl Heard {
    /// Reads a copy. `None` for what no rule of ours says.
    #[must_use]
    pub fn of(copied: &Copied) -> Option<Self> {
        if copied.prefix == SAMPLE {
            let source = copied.source;
            return service(&copied.payload).map(|service| Self::Attempt(Attempt { source, service }));
        }
        if copied.prefix != PACKET {
            return Self::read(&copied.prefix, copied.source);
        }
        let (port, packet) = datagram(&copied.payload)?;
        Some(Self::Packet {
            port,
            packet: packet.to_vec(),
            source: copied.source,
        })
    }

    /// Reads a copy's prefix. `None` for what no rule of ours says.
    #[must_use]
    pub fn read(prefix: &str, source: IpAddr) -> Option<Self> {
        let rest = |start: &str| prefix.strip_prefix(start)?.strip_prefix(' ');
        if let Some((gate, witness)) = rest(ADMIT).and_then(|rest| rest.split_once(' ')) {
            return Some(Self::Admitted {
                gate: gate.to_string(),
                witness: witness.to_string(),
                source,
            });
        }
        if let Some((knock, sequence, progress)) = knocked(prefix) {
            return Some(Self::Knocked {
                knock: knock.to_string(),
                sequence,
                progress,
                source,
            });
        }
        let gate = |gate: &str| gate.to_string();
        let removed = rest(REMOVE).map(gate).map(|gate| Self::Removed { gate, source });
        removed.or_else(|| rest(CLOSED).map(gate).map(|gate| Self::Closed { gate, source }))
    }
}

fn knocked(prefix: &str) -> Option<(&str, Sequence, Progress)> {
    let rest = |start: &str| prefix.strip_prefix(start)?.strip_prefix(' ');
    let sequence = |word: &str| Sequence::ALL.into_iter().find(|sequence| sequence.word() == word);
    if let Some(rest) = rest(STAGE) {
        let (knock, rest) = rest.split_once(' ')?;
        let (word, stage) = rest.split_once(' ')?;
        return Some((knock, sequence(word)?, Progress::Stage(stage.parse().ok()?)));
    }
    if let Some(rest) = rest(WRONG) {
        let (knock, word) = rest.split_once(' ')?;
        return Some((knock, sequence(word)?, Progress::Wrong));
    }
    let open = rest(OPEN).map(|knock| (knock, Sequence::Open, Progress::Done));
    open.or_else(|| rest(CLOSE).map(|knock| (knock, Sequence::Close, Progress::Done)))
}

/// The protocol of a packet and what is behind its IP header; `None` where that was cut off. IPv6 extension headers count as protocols.
fn packet(packet: &[u8]) -> Option<(u8, &[u8])> {
    let (protocol, header) = match packet.first()? >> 4 {
        4 => (packet.get(9)?, usize::from(packet.first()? & 0x0f) * 4),
        6 => (packet.get(6)?, 40),
        _ => return None,
    };
    Some((*protocol, packet.get(header..)?))
}

fn port(segment: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*segment.get(2)?, *segment.get(3)?]))
}

/// What a packet was sent to.
fn service(bytes: &[u8]) -> Option<Service> {
    let (protocol, segment) = packet(bytes)?;
    Some(Service::of(protocol, port(segment).unwrap_or(0)))
}

/// The destination port of a UDP packet and what is in it; `None` where it was cut off, and for one with IPv6 extension headers.
fn datagram(bytes: &[u8]) -> Option<(u16, &[u8])> {
    const UDP: u8 = 17;
    let (protocol, udp) = packet(bytes)?;
    let length = usize::from(u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?]));
    (protocol == UDP).then_some((port(udp)?, udp.get(8..length)?))
}

/// Keeps whoever comes and goes all the time from filling the log: so many lines a minute for one source, and so many for all.
#[derive(Debug)]
pub struct Teller {
    /// Lines a minute for one source.
    of_source: u32,
    /// Monotonic milliseconds at which the minute began.
    minute: u64,
    all: u32,
    sources: Vec<(IpAddr, u32)>,
    untold: u32,
}

/// Whether something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Yes; and so many were not, before.
    Yes {
        /// How many were not told in the minute before.
        untold: u32,
    },
    /// No.
    No,
}

impl Teller {
    const MINUTE: u64 = 60_000;
    /// A session has two lines; somebody who works has a few sessions in a minute.
    const OF_SOURCE: u32 = 6;
    /// A sequence has up to 16 stages, and is tried again.
    const OF_KNOCKER: u32 = 36;
    const OF_ALL: u32 = 120;

    fn new(of_source: u32) -> Self {
        Self {
            of_source,
            minute: 0,
            all: 0,
            sources: Vec::new(),
            untold: 0,
        }
    }

    /// For stages and refused packets, which anybody can make, so that they take nothing from those who come and go.
    #[must_use]
    pub fn of_attempts() -> Self {
        Self::new(Self::OF_KNOCKER)
    }

    /// Asks whether an event of this source is told.
    pub fn ask(&mut self, source: IpAddr, now: u64) -> Told {
        let mut untold = 0;
        if now.saturating_sub(self.minute) >= Self::MINUTE {
            untold = std::mem::take(&mut self.untold);
            self.minute = now;
            self.all = 0;
            self.sources.clear();
        }
        let count = match self.sources.iter().position(|(known, _)| *known == source) {
            Some(index) => &mut self.sources[index].1,
            None if self.all >= Self::OF_ALL => {
                self.untold = self.untold.saturating_add(1);
                return Told::No;
            }
            None => {
                self.sources.push((source, 0));
                let last = self.sources.len() - 1;
                &mut self.sources[last].1
            }
        };
        if *count >= self.of_source || self.all >= Self::OF_ALL {
            self.untold = self.untold.saturating_add(1);
            return Told::No;
        }
        *count += 1;
        self.all += 1;
        Told::Yes { untold }
    }
}

impl Default for Teller {
    fn default() -> Self {
        Self::new(Self::OF_SOURCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    #[test]
    fn prefixes_are_read_and_others_are_not() {
        let source = address(9);
        let (gate, witness) = ("ssh".to_string(), "@witness[0]".to_string());
        assert_eq!(
            Heard::read("lanward admit ssh @witness[0]", source),
            Some(Heard::Admitted {
                gate: gate.clone(),
                witness,
                source
            })
        );
        assert_eq!(
            Heard::read("lanward remove ssh", source),
            Some(Heard::Removed {
                gate: gate.clone(),
                source
            })
        );
        assert_eq!(
            Heard::read("lanward closed ssh", source),
            Some(Heard::Closed { gate, source })
        );
        for other in [
            "",
            "lanward",
            "lanward admit",
            "lanward admit ssh",
            "lanward removessh",
            "drop ssh x",
        ] {
            assert_eq!(Heard::read(other, source), None, "{other}");
        }
    }

    #[test]
    fn knocks_are_read_with_how_far_they_came() {
        let source = address(9);
        let read = |prefix: &str| match Heard::read(prefix, source) {
            Some(Heard::Knocked {
                knock,
                sequence,
                progress,
                ..
            }) => Some((knock, sequence, progress)),
            _ => None,
        };
        let door = |sequence, progress| Some(("door".to_string(), sequence, progress));
        assert_eq!(
            read("lanward stage door open 2"),
            door(Sequence::Open, Progress::Stage(2))
        );
        assert_eq!(read("lanward wrong door close"), door(Sequence::Close, Progress::Wrong));
        assert_eq!(read("lanward open door"), door(Sequence::Open, Progress::Done));
        assert_eq!(read("lanward close door"), door(Sequence::Close, Progress::Done));
        for other in [
            "lanward stage door open",
            "lanward stage door shut 1",
            "lanward stage door open x",
            "lanward wrong door",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_datagram_is_found_behind_either_header_and_never_beyond_its_end() {
        let udp = [&[0x30, 0x39, 0xf2, 0xf9, 0, 11, 0, 0][..], b"abc"].concat();
        let mut ipv4 = vec![0; 24];
        (ipv4[0], ipv4[9]) = (0x46, 17);
        let mut ipv6 = vec![0; 40];
        (ipv6[0], ipv6[6]) = (0x60, 17);
        for header in [ipv4, ipv6] {
            let packet = [header.clone(), udp.clone()].concat();
            assert_eq!(datagram(&packet), Some((62201, &b"abc"[..])));
            for length in 0..packet.len() {
                assert_eq!(datagram(&packet[..length]), None, "{length}");
            }
            let mut tcp = packet.clone();
            tcp[if header.len() == 24 { 9 } else { 6 }] = 6;
            assert_eq!(datagram(&tcp), None);
            // A length that is less than the header's own.
            let mut short = packet;
            short[header.len() + 5] = 7;
            assert_eq!(datagram(&short), None);
        }
    }

    #[test]
    fn one_source_is_told_so_often_a_minute_and_the_rest_is_counted() {
        let mut teller = Teller::default();
        let told = (0..20)
            .filter(|n| teller.ask(address(1), 1_000_000 + n) != Told::No)
            .count();
        assert_eq!(told, 6);
        assert_eq!(teller.ask(address(2), 1_000_100), Told::Yes { untold: 0 });
        assert_eq!(teller.ask(address(1), 1_060_001), Told::Yes { untold: 14 });
    }

    #[test]
    fn all_sources_together_are_bounded_in_lines_and_memory() {
        let mut teller = Teller::default();
        let sources = (0..100_000u32).map(|n| IpAddr::from(n.to_be_bytes()));
        let told = sources.filter(|source| teller.ask(*source, 70_000) != Told::No).count();
        assert_eq!(told, 120);
        assert_eq!(teller.sources.len(), 120);
        assert_eq!(teller.ask(address(1), 140_000), Told::Yes { untold: 99_880 });
    }
}
