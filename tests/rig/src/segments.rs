//! TCP segments of one's own making, over TUN devices: no kernel's TCP answers in between, and a router has dealt with a packet when the
//! write that brings it is done.

use crate::namespace::Namespace;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::Mode;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

/// TCP's flags (RFC 9293, 3.1).
#[allow(missing_docs)]
pub mod flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Receive window, without scaling.
const WINDOW: u16 = 64240;

/// A TCP segment with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Segment {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub payload: Vec<u8>,
}

impl Segment {
    /// How much of the sequence space it takes.
    #[must_use]
    pub fn len(&self) -> u32 {
        let bytes = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        bytes + u32::from(self.is(flag::SYN)) + u32::from(self.is(flag::FIN))
    }

    /// Whether it takes none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of these flags is set.
    #[must_use]
    pub fn is(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// The IP packet, with its checksums.
    ///
    /// # Panics
    /// If the ends are of two families.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(20 + self.payload.len());
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([5 << 4, self.flags]);
        tcp.extend(WINDOW.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(&self.payload);
        enclose(self.from.ip(), self.to.ip(), TCP, tcp, 16)
    }

    /// The RST with which a host answers a segment that belongs to no connection (RFC 9293, 3.10.7.1).
    #[must_use]
    pub fn refusal(&self) -> Segment {
        let (flags, seq, ack) = match self.is(flag::ACK) {
            true => (flag::RST, self.ack, 0),
            false => (flag::RST | flag::ACK, 0, self.seq.wrapping_add(self.len())),
        };
        Segment {
            from: self.to,
            to: self.from,
            flags,
            seq,
            ack,
            payload: Vec::new(),
        }
    }
}

/// A UDP datagram as an IP packet.
///
/// # Panics
/// If the ends are of two families.
#[must_use]
pub fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::with_capacity(8 + payload.len());
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(u16::try_from(8 + payload.len()).expect("it is short").to_be_bytes());
    udp.extend([0; 2]);
    udp.extend(payload);
    enclose(from.ip(), to.ip(), UDP, udp, 6)
}

/// An IP packet around what a transport protocol has to send, with the checksum at `checksum` of it.
fn enclose(from: IpAddr, to: IpAddr, protocol: u8, mut body: Vec<u8>, checksum: usize) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it is short");
    let (mut header, pseudo): (Vec<u8>, Vec<u8>) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0];
            header.extend((20 + length).to_be_bytes());
            // No identification, do not fragment, 64 hops, no checksum yet.
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = sum(&[&header]).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            let pseudo = [&header[12..20], &[0, protocol], &length.to_be_bytes()].concat();
            (header, pseudo)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(from.octets());
            header.extend(to.octets());
            let pseudo = [&header[8..40], &[0, 0], &length.to_be_bytes(), &[0, 0, 0, protocol]].concat();
            (header, pseudo)
        }
        _ => panic!("{from} and {to} are of two families"),
    };
    let sum = sum(&[&pseudo, &body]).to_be_bytes();
    body[checksum..checksum + 2].copy_from_slice(&sum);
    header.extend(body);
    header
}

/// The internet checksum (RFC 1071) of parts that are of even length but for the last.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("it is folded")
}

/// What came out of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// TCP.
    Tcp(Segment),
    /// UDP: from, to and the payload.
    Udp(SocketAddr, SocketAddr, Vec<u8>),
    /// An ICMP or ICMPv6 message to this address: its type and code.
    Icmp(IpAddr, u8, u8),
}

impl Packet {
    /// Reads an IP packet. `None` for what these tests do not look at.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (from, to, protocol, body): (IpAddr, IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet[0] & 0xf) * 4;
                let address = |at: usize| -> Option<IpAddr> {
                    let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                    Some(Ipv4Addr::from(octets).into())
                };
                (address(12)?, address(16)?, *packet.get(9)?, packet.get(header..)?)
            }
            6 => {
                let address = |at: usize| -> Option<IpAddr> {
                    let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                    Some(Ipv6Addr::from(octets).into())
                };
                (address(8)?, address(24)?, *packet.get(6)?, packet.get(40..)?)
            }
            _ => return None,
        };
        let short = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
        Some(match protocol {
            TCP => Self::Tcp(Segment {
                from: SocketAddr::new(from, short(0)?),
                to: SocketAddr::new(to, short(2)?),
                seq: long(4)?,
                ack: long(8)?,
                flags: *body.get(13)?,
                payload: body.get(usize::from(body.get(12)? >> 4) * 4..)?.to_vec(),
            }),
            UDP => Self::Udp(
                SocketAddr::new(from, short(0)?),
                SocketAddr::new(to, short(2)?),
                body.get(8..)?.to_vec(),
            ),
            ICMP | ICMPV6 => Self::Icmp(to, *body.first()?, *body.get(1)?),
            _ => return None,
        })
    }
}

/// A network device whose cable ends here: what is written comes in there, what goes out there can be read.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
}

impl Tun {
    /// Makes the device in a namespace. It is gone with this value.
    ///
    /// # Errors
    /// The kernel's: no TUN devices here.
    pub fn new(namespace: &Namespace, name: &str) -> io::Result<Self> {
        namespace.run(|| {
            let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let fd = open("/dev/net/tun", flags, Mode::empty())?;
            // SAFETY: all fields of ifreq are integers and pointers, for which zero is a value.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (into, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
                *into = libc::c_char::from_ne_bytes([byte]);
            }
            request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI).expect("two bits");
            // SAFETY: TUNSETIFF reads and writes an ifreq, which outlives the call.
            match unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(Self { fd }),
            }
        })
    }

    /// A packet comes in.
    ///
    /// # Panics
    /// If the device is down.
    pub fn write(&self, packet: &[u8]) {
        let written = nix::unistd::write(&self.fd, packet);
        assert_eq!(written, Ok(packet.len()), "a packet into a TUN device");
    }

    /// The next packet that has gone out, if there is one.
    ///
    /// # Panics
    /// If the device is gone.
    #[must_use]
    pub fn read(&self) -> Option<Vec<u8>> {
        let mut packet = [0; 2048];
        match nix::unistd::read(&self.fd, &mut packet) {
            Ok(length) => Some(packet[..length].to_vec()),
            Err(Errno::EAGAIN) => None,
            Err(error) => panic!("reading from a TUN device: {error}"),
        }
    }
}

/// Servers on some ports of any address, as far as segments go: they accept, acknowledge, echo, and close when the other end does.
#[derive(Debug, Default)]
pub struct Servers {
    ports: Vec<u16>,
    sessions: BTreeMap<(SocketAddr, SocketAddr), Session>,
}

/// One end of a connection: what it sends next, and what it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Session {
    pub seq: u32,
    pub ack: u32,
    /// Its own FIN is on its way.
    pub closing: bool,
}

impl Servers {
    /// On these ports.
    #[must_use]
    pub fn on(ports: &[u16]) -> Self {
        Self {
            ports: ports.to_vec(),
            sessions: BTreeMap::new(),
        }
    }

    /// A segment arrives; what is said to it.
    pub fn hear(&mut self, segment: &Segment) -> Option<Segment> {
        let key = (segment.from, segment.to);
        if segment.is(flag::RST) {
            self.sessions.remove(&key);
            return None;
        }
        if segment.is(flag::SYN) && !segment.is(flag::ACK) && self.ports.contains(&segment.to.port()) {
            // Where it begins can be told from the client's port, so that two servers say the same; a SYN that comes again hears the same again.
            let seq = u32::from(segment.from.port()).wrapping_mul(2_654_435_761);
            let session = Session {
                seq: seq.wrapping_add(1),
                ack: segment.seq.wrapping_add(1),
                closing: false,
            };
            self.sessions.insert(key, session);
            return Some(Segment {
                seq,
                ..session.says(segment.to, segment.from, flag::SYN | flag::ACK, &[])
            });
        }
        let Some(session) = self.sessions.get_mut(&key) else {
            return Some(segment.refusal());
        };
        if segment.is(flag::ACK) && segment.ack != session.seq {
            return Some(segment.refusal());
        }
        session.ack = segment.seq.wrapping_add(segment.len());
        if segment.is(flag::FIN) && !session.closing {
            let said = session.says(segment.to, segment.from, flag::FIN | flag::ACK, &[]);
            session.seq = session.seq.wrapping_add(1);
            session.closing = true;
            return Some(said);
        }
        let said = session.says(segment.to, segment.from, flag::ACK, &segment.payload);
        session.seq = session.seq.wrapping_add(said.len());
        if session.closing {
            // The client's FIN after ours is acknowledged; its acknowledgement of ours is the end.
            self.sessions.remove(&key);
        }
        (!segment.is_empty()).then_some(said)
    }

    /// The server says something, or closes (`FIN`), of itself. `None` if it has no such session.
    pub fn speak(&mut self, client: SocketAddr, server: SocketAddr, flags: u8, payload: &[u8]) -> Option<Segment> {
        let session = self.sessions.get_mut(&(client, server))?;
        let said = session.says(server, client, flags | flag::ACK, payload);
        session.seq = session.seq.wrapping_add(said.len());
        session.closing |= said.is(flag::FIN);
        Some(said)
    }
}

impl Session {
    /// A segment in this session.
    #[must_use]
    pub fn says(&self, from: SocketAddr, to: SocketAddr, flags: u8, payload: &[u8]) -> Segment {
        Segment {
            from,
            to,
            flags,
            seq: self.seq,
            ack: self.ack,
            payload: payload.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(from: &str, to: &str, flags: u8, payload: &[u8]) -> Segment {
        Segment {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            flags,
            seq: 1000,
            ack: 2000,
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn a_segment_reads_as_it_was_written() {
        for (from, to) in [
            ("203.0.113.9:4000", "198.51.100.2:22"),
            ("[2001:db8::9]:4000", "[2001:db8::2]:22"),
        ] {
            let sent = segment(from, to, flag::PSH | flag::ACK, b"odd");
            assert_eq!(Packet::parse(&sent.packet()), Some(Packet::Tcp(sent.clone())));
            let (from, to) = (sent.from, sent.to);
            let read = Packet::parse(&datagram(from, to, b"even"));
            assert_eq!(read, Some(Packet::Udp(from, to, b"even".to_vec())));
        }
        assert_eq!(Packet::parse(&[]), None);
        assert_eq!(Packet::parse(&[0x45, 0, 0]), None);
    }

    #[test]
    fn a_server_opens_echoes_and_closes() {
        let mut servers = Servers::on(&[22]);
        let (client, server) = ("203.0.113.9:4000", "198.51.100.2:22");
        let opening = servers.hear(&segment(client, server, flag::SYN, b"")).unwrap();
        assert_eq!((opening.flags, opening.ack), (flag::SYN | flag::ACK, 1001));
        let mut end = Session {
            seq: 1001,
            ack: opening.seq.wrapping_add(1),
            closing: false,
        };
        let (client, server) = (opening.to, opening.from);
        assert_eq!(servers.hear(&end.says(client, server, flag::ACK, b"")), None);
        let echo = servers.hear(&end.says(client, server, flag::ACK, b"hello")).unwrap();
        assert_eq!(
            (echo.payload.as_slice(), echo.ack, echo.seq),
            (&b"hello"[..], 1006, end.ack)
        );
        (end.seq, end.ack) = (echo.ack, echo.seq.wrapping_add(5));
        let last = servers
            .hear(&end.says(client, server, flag::FIN | flag::ACK, b""))
            .unwrap();
        assert_eq!((last.flags, last.ack, last.seq), (flag::FIN | flag::ACK, 1007, end.ack));
        (end.seq, end.ack) = (last.ack, last.seq.wrapping_add(1));
        assert_eq!(servers.hear(&end.says(client, server, flag::ACK, b"")), None);
        let stray = servers.hear(&end.says(client, server, flag::ACK, b"")).unwrap();
        assert_eq!((stray.flags, stray.seq), (flag::RST, end.ack));
    }
}
