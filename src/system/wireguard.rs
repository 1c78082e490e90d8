//! WireGuard's peers over generic netlink (`linux/wireguard.h`, `linux/genetlink.h`): where they are and which addresses they have inside.
//!
//! Generic netlink's and WireGuard's attributes are in the machine's byte order, but for the address and the port within a `struct sockaddr`. The kernel's
//! answer holds keys, also private ones: they are passed over, and what was received is overwritten.

mod parse;

pub use parse::{Peers, MOST_PEERS, MOST_PREFIXES};

use super::netlink::{Messages, Socket};
use crate::nft::netlink::Attribute;
use netlink_packet_core::{Emitable, NetlinkHeader, NlasIterator, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_GENERIC;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// A peer of a WireGuard device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The router's device.
    pub device: String,
    /// From where it was heard last, or where it is configured to be. `None`: neither.
    pub endpoint: Option<SocketAddr>,
    /// The addresses that only this peer may have inside the VPN (`AllowedIPs`), with the prefix's length.
    pub allowed: Vec<(IpAddr, u8)>,
}

/// Why the peers are not known.
#[derive(Debug)]
pub enum Error {
    /// No netlink socket.
    Open(io::Error),
    /// A request could not be sent.
    Send(io::Error),
    /// No answer, or none within five seconds.
    Receive(io::Error),
    /// The kernel refused.
    Refused(io::Error),
    /// The kernel's answer is not what `linux/wireguard.h` promises.
    Malformed,
    /// More than [`MOST_PEERS`] peers or [`MOST_PREFIXES`] prefixes. With a part of them an address could be taken for another peer's.
    TooMany,
    /// The peers changed during each of several readings.
    Unsteady,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "wireguard: no netlink socket: {error}"),
            Self::Send(error) => write!(f, "wireguard: request not sent: {error}"),
            Self::Receive(error) => write!(f, "wireguard: no answer: {error}"),
            Self::Refused(error) => write!(f, "wireguard: refused: {error}"),
            Self::Malformed => f.write_str("wireguard: the kernel's answer does not parse"),
            Self::TooMany => write!(
                f,
                "wireguard: more than {MOST_PEERS} peers or {MOST_PREFIXES} allowed IPs"
            ),
            Self::Unsteady => f.write_str("wireguard: the peers change all the time"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) | Self::Send(error) | Self::Receive(error) | Self::Refused(error) => Some(error),
            Self::Malformed | Self::TooMany | Self::Unsteady => None,
        }
    }
}

/// A dump during which something changed is asked for again so many times.
const DUMPS: u32 = 4;
/// `IFNAMSIZ`, with the zero at the end.
const NAME_SIZE: usize = 16;

/// `GENL_ID_CTRL`
const CONTROLLER: u16 = 0x10;
/// `CTRL_CMD_GETFAMILY`
const GET_FAMILY: u8 = 3;
// CTRL_ATTR_*
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `WG_CMD_GET_DEVICE`
const GET_DEVICE: u8 = 0;
/// `WGDEVICE_A_IFNAME`
const DEVICE_NAME: u16 = 2;
/// `WG_GENL_VERSION`, and good for the controller.
const VERSION: u8 = 1;
/// `struct nlmsghdr`
const NLMSGHDR: usize = 16;
/// `struct genlmsghdr`
const GENLMSGHDR: usize = 4;

/// The peers of those of these devices that are WireGuard's, device by device in the order given. None if the kernel has no WireGuard. Needs
/// `CAP_NET_ADMIN`.
///
/// # Errors
/// See [`Error`].
pub fn peers(devices: &[String]) -> Result<Vec<Peer>, Error> {
    let mut kernel = Kernel(Socket::open(NETLINK_GENERIC).map_err(Error::Open)?);
    let Some(family) = kernel.family()? else {
        return Ok(Vec::new());
    };
    let mut found = Peers::default();
    for device in devices.iter().filter(|name| is_device_name(name)) {
        kernel.read(family, device, &mut found)?;
    }
    Ok(found.into_list())
}

/// The address from which the peer that has `address` inside the VPN was heard: of the longest prefix that contains it. `None` if no peer has it, or that
/// peer has no endpoint, or two peers of different devices have it alike.
///
/// Prefixes shorter than 8 bits (IPv6: 7, so that `fc00::/7` is one) do not count. They are what sends everything, or everything but private addresses, into a
/// tunnel, and say nothing about who has an address.
#[must_use]
pub fn endpoint_of(peers: &[Peer], address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let (mut longest, mut found) = (0, None);
    for peer in peers {
        let fitting = peer.allowed.iter().filter(|prefix| contains(**prefix, address));
        let Some(length) = fitting.map(|(_, length)| *length).max() else {
            continue;
        };
        let endpoint = peer.endpoint.map(|endpoint| endpoint.ip().to_canonical());
        if length > longest {
            (longest, found) = (length, endpoint);
        } else if length == longest && found != endpoint {
            found = None;
        }
    }
    found
}

/// Whether a prefix that says who has an address contains this one.
fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (8..=32).contains(&length) && (network.to_bits() ^ address.to_bits()) >> (32 - u32::from(length)) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (7..=128).contains(&length) && (network.to_bits() ^ address.to_bits()) >> (128 - u32::from(length)) == 0
        }
        _ => false,
    }
}

fn is_device_name(name: &str) -> bool {
    (1..NAME_SIZE).contains(&name.len()) && !name.contains('\0')
}

/// What was received does not outlive it.
struct Kernel(Socket);

impl Drop for Kernel {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

enum Dump {
    Consistent,
    Interrupted,
    /// No such device, or not WireGuard's.
    None,
}

impl Kernel {
    /// The number that WireGuard has among generic netlink's families in this kernel.
    fn family(&mut self) -> Result<Option<u16>, Error> {
        let sequence = self.ask(CONTROLLER, GET_FAMILY, 0, text(FAMILY_NAME, "wireguard"))?;
        loop {
            self.receive()?;
            for message in Messages::new(self.0.datagram()) {
                let message = message.ok_or(Error::Malformed)?;
                if message.sequence != sequence {
                    continue;
                }
                if i32::from(message.kind) == libc::NLMSG_ERROR {
                    return match message.status() {
                        Some(libc::ENOENT) => Ok(None),
                        status => Err(refusal(status)),
                    };
                }
                let attributes = message.payload.get(GENLMSGHDR..).unwrap_or_default();
                return parse_family(attributes).map(Some).ok_or(Error::Malformed);
            }
        }
    }

    /// Adds a device's peers, if it is WireGuard's.
    fn read(&mut self, family: u16, device: &str, found: &mut Peers) -> Result<(), Error> {
        let before = found.mark();
        for _ in 0..DUMPS {
            match self.dump(family, device, found) {
                Ok(Dump::Interrupted) => found.forget_since(before),
                Ok(Dump::Consistent | Dump::None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unsteady)
    }

    fn dump(&mut self, family: u16, device: &str, found: &mut Peers) -> Result<Dump, Error> {
        let sequence = self.ask(family, GET_DEVICE, NLM_F_DUMP, text(DEVICE_NAME, device))?;
        found.begin(device);
        let mut verdict = Dump::Consistent;
        loop {
            self.receive()?;
            for message in Messages::new(self.0.datagram()) {
                let message = message.ok_or(Error::Malformed)?;
                if message.sequence != sequence {
                    continue;
                }
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    verdict = Dump::Interrupted;
                }
                match i32::from(message.kind) {
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                        return match message.status() {
                            Some(0) => Ok(verdict),
                            Some(libc::ENODEV | libc::EOPNOTSUPP) => Ok(Dump::None),
                            status => Err(refusal(status)),
                        };
                    }
                    kind if kind == i32::from(family) => {
                        found.add(message.payload.get(GENLMSGHDR..).unwrap_or_default())?;
                    }
                    _ => {}
                }
            }
        }
    }

    fn ask(&mut self, kind: u16, command: u8, flags: u16, attribute: Attribute) -> Result<u32, Error> {
        let sequence = self.0.next_sequence(1);
        let request = request(kind, command, flags, sequence, attribute);
        self.0.send(&request).map_err(Error::Send)?;
        Ok(sequence)
    }

    fn receive(&mut self) -> Result<(), Error> {
        self.0.receive().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Error::Malformed,
            _ => Error::Receive(error),
        })
    }
}

fn refusal(status: Option<i32>) -> Error {
    status.map_or(Error::Malformed, |errno| {
        Error::Refused(io::Error::from_raw_os_error(errno))
    })
}

fn text(kind: u16, text: &str) -> Attribute {
    let mut value = text.as_bytes().to_vec();
    value.push(0);
    Attribute::Leaf { kind, value }
}

fn request(kind: u16, command: u8, flags: u16, sequence: u32, attribute: Attribute) -> Vec<u8> {
    let attributes = [attribute];
    let attributes = attributes.as_slice();
    let mut request = vec![0; NLMSGHDR + GENLMSGHDR + attributes.buffer_len()];
    let mut header = NetlinkHeader::default();
    header.length = u32::try_from(request.len()).unwrap_or(u32::MAX);
    header.message_type = kind;
    header.flags = flags | NLM_F_REQUEST;
    header.sequence_number = sequence;
    header.emit(&mut request);
    request[NLMSGHDR] = command;
    request[NLMSGHDR + 1] = VERSION;
    attributes.emit(&mut request[NLMSGHDR + GENLMSGHDR..]);
    request
}

fn parse_family(attributes: &[u8]) -> Option<u16> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.ok()?;
        if attribute.kind() == FAMILY_ID {
            return attribute.value().try_into().ok().map(u16::from_ne_bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::netlink::testing::{attribute, message};
    use super::*;
    use proptest::prelude::*;

    fn peer(endpoint: Option<&str>, allowed: &[&str]) -> Peer {
        let prefixes = allowed.iter().map(|prefix| {
            let (network, length) = prefix.split_once('/').unwrap();
            (network.parse().unwrap(), length.parse().unwrap())
        });
        Peer {
            device: "wg0".into(),
            endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
            allowed: prefixes.collect(),
        }
    }

    fn found(peers: &[Peer], address: &str) -> Option<String> {
        endpoint_of(peers, address.parse().unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn the_longest_prefix_says_whose_an_address_is() {
        let peers = [
            peer(Some("203.0.113.1:51820"), &["10.8.0.0/16", "fd08::/16"]),
            peer(Some("203.0.113.2:1"), &["10.8.0.2/32", "192.168.9.0/24", "fd08::2/128"]),
            peer(Some("[2001:db8::3]:51820"), &["10.8.128.0/17", "10.8.0.3/32"]),
            peer(None, &["10.8.0.4/32"]),
        ];
        for (address, expected) in [
            ("10.8.0.1", Some("203.0.113.1")),
            ("10.8.0.2", Some("203.0.113.2")),
            ("::ffff:10.8.0.2", Some("203.0.113.2")),
            ("10.8.0.3", Some("2001:db8::3")),
            ("10.8.127.255", Some("203.0.113.1")),
            ("10.8.128.0", Some("2001:db8::3")),
            ("192.168.9.77", Some("203.0.113.2")),
            ("192.168.10.1", None),
            // Its peer has not been heard yet: the shorter prefix's is somebody else.
            ("10.8.0.4", None),
            ("fd08::1", Some("203.0.113.1")),
            ("fd08::2", Some("203.0.113.2")),
            ("fd09::1", None),
            ("203.0.113.1", None),
        ] {
            assert_eq!(found(&peers, address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn what_sends_everything_into_a_tunnel_says_nothing() {
        let everything = [
            &["0.0.0.0/0", "::/0"][..],
            &["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"],
            &["192.0.0.0/2", "200.0.0.0/7", "2000::/3", "0.0.0.0/5"],
        ];
        for allowed in everything {
            let mut peers = vec![peer(Some("198.51.100.7:51820"), allowed)];
            assert_eq!(found(&peers, "200.0.113.9"), None);
            assert_eq!(found(&peers, "2001:db8::9"), None);
            peers.push(peer(
                Some("203.0.113.2:1"),
                &["200.0.113.9/32", "fc00::/7", "200.0.0.0/8"],
            ));
            assert_eq!(found(&peers, "200.0.113.9").as_deref(), Some("203.0.113.2"));
            assert_eq!(found(&peers, "200.9.9.9").as_deref(), Some("203.0.113.2"));
            assert_eq!(found(&peers, "fd77::1").as_deref(), Some("203.0.113.2"));
        }
    }

    #[test]
    fn two_who_have_it_alike_are_none() {
        let mut peers = vec![
            peer(Some("203.0.113.1:1"), &["10.8.0.0/24"]),
            peer(Some("203.0.113.1:2"), &["10.8.0.0/24"]),
        ];
        assert_eq!(found(&peers, "10.8.0.9").as_deref(), Some("203.0.113.1"));
        peers.push(peer(Some("203.0.113.2:1"), &["10.8.0.0/24", "10.9.0.0/16"]));
        assert_eq!(found(&peers, "10.8.0.9"), None);
        peers.push(peer(Some("203.0.113.3:1"), &["10.8.0.8/30"]));
        assert_eq!(found(&peers, "10.8.0.9").as_deref(), Some("203.0.113.3"));
    }

    #[test]
    fn requests_are_generic_netlinks() {
        let asked = request(0x1c, GET_DEVICE, NLM_F_DUMP, 7, text(DEVICE_NAME, "wg0"));
        let expected = [vec![0, 1, 0, 0], attribute(2, b"wg0\0")].concat();
        assert_eq!(asked, message(0x1c, 0x301, 7, &expected));
    }

    #[test]
    fn the_familys_number_is_found() {
        let answer = [
            attribute(2, b"wireguard\0"),
            attribute(1, &0x0123_u16.to_ne_bytes()),
            attribute(3, &1_u32.to_ne_bytes()),
        ];
        assert_eq!(parse_family(&answer.concat()), Some(0x0123));
        assert_eq!(parse_family(&answer[0]), None);
        assert_eq!(parse_family(&attribute(1, &[1])), None);
    }

    #[test]
    fn only_what_can_be_a_devices_name_is_asked_for() {
        for name in ["wg0", "x", "fifteen-letters"] {
            assert!(is_device_name(name), "{name}");
        }
        for name in ["", "sixteen-letters!", "wg\0"] {
            assert!(!is_device_name(name), "{name}");
        }
    }

    proptest! {
        /// Beside a slow way to say it: bit by bit.
        #[test]
        fn a_prefix_contains_what_begins_alike(network: IpAddr, other: IpAddr, keep in 0..=130_usize, length: u8) {
            let bits = |address: IpAddr| -> Vec<bool> {
                let octets = match address { IpAddr::V4(a) => a.octets().to_vec(), IpAddr::V6(a) => a.octets().to_vec() };
                octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
            };
            // As the other family, or alike in the first bits.
            let address = match (network, other) {
                (IpAddr::V4(a), IpAddr::V4(b)) => {
                    let mask = u32::MAX.checked_shl(32 - u32::try_from(keep.min(32)).unwrap()).unwrap_or(0);
                    IpAddr::V4((a.to_bits() & mask | b.to_bits() & !mask).into())
                }
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    let mask = u128::MAX.checked_shl(128 - u32::try_from(keep.min(128)).unwrap()).unwrap_or(0);
                    IpAddr::V6((a.to_bits() & mask | b.to_bits() & !mask).into())
                }
                (_, other) => other,
            };
            let (least, most) = if network.is_ipv4() { (8, 32) } else { (7, 128) };
            let taken = usize::from(length);
            let expected = network.is_ipv4() == address.is_ipv4()
                && (least..=most).contains(&taken)
                && bits(network)[..taken] == bits(address)[..taken];
            prop_assert_eq!(contains((network, length), address), expected);
        }
    }
}
