//! The answers to `WG_CMD_GET_DEVICE`: a device's peers, in as many messages as they need.

use super::{Error, Peer};
use netlink_packet_core::NlasIterator;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Peers that are read, of all devices together.
pub const MOST_PEERS: usize = 4096;
/// Prefixes that are read, of all peers together.
pub const MOST_PREFIXES: usize = 16_384;

/// `WGDEVICE_A_PEERS`
const DEVICE_PEERS: u16 = 8;
// enum wgpeer_attribute
/// `WGPEER_A_UNSPEC`: pads.
const PEER_PADDING: u16 = 0;
const PEER_PUBLIC_KEY: u16 = 1;
const PEER_ENDPOINT: u16 = 4;
const PEER_ALLOWED: u16 = 9;
// enum wgallowedip_attribute
const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_LENGTH: u16 = 3;

/// The peers read so far.
#[derive(Debug, Default)]
pub struct Peers {
    list: Vec<Peer>,
    prefixes: usize,
    device: String,
    /// Whether the next message is a device's first.
    is_first: bool,
}

/// How many peers and prefixes there were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize, usize);

impl Peers {
    /// What is added from here on is this device's.
    pub fn begin(&mut self, device: &str) {
        device.clone_into(&mut self.device);
        self.is_first = true;
    }

    /// Adds what is in a message: the attributes behind its generic netlink header.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooMany`].
    pub fn add(&mut self, attributes: &[u8]) -> Result<(), Error> {
        // A peer whose prefixes do not fit one message goes on in the next, as that one's first.
        let mut may_continue = !std::mem::take(&mut self.is_first);
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute.map_err(|_| Error::Malformed)?;
            if attribute.kind() != DEVICE_PEERS {
                continue;
            }
            for peer in NlasIterator::new(attribute.value()) {
                let peer = peer.map_err(|_| Error::Malformed)?;
                self.add_peer(peer.value(), std::mem::take(&mut may_continue))?;
            }
        }
        Ok(())
    }

    fn add_peer(&mut self, attributes: &[u8], may_continue: bool) -> Result<(), Error> {
        let mut endpoint = None;
        let mut allowed = Vec::new();
        let mut continues = may_continue;
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute.map_err(|_| Error::Malformed)?;
            match attribute.kind() {
                PEER_PADDING | PEER_PUBLIC_KEY => {}
                PEER_ALLOWED => self.read_prefixes(attribute.value(), &mut allowed)?,
                kind => {
                    // Only a peer's first part says more than its key and prefixes.
                    continues = false;
                    if kind == PEER_ENDPOINT {
                        endpoint = parse_endpoint(attribute.value());
                    }
                }
            }
        }
        let is_full = self.list.len() >= MOST_PEERS;
        match self.list.last_mut() {
            Some(last) if continues && last.device == self.device => last.allowed.append(&mut allowed),
            _ if is_full => return Err(Error::TooMany),
            _ => self.list.push(Peer {
                device: self.device.clone(),
                endpoint,
                allowed,
            }),
        }
        Ok(())
    }

    fn read_prefixes(&mut self, nested: &[u8], allowed: &mut Vec<(IpAddr, u8)>) -> Result<(), Error> {
        for prefix in NlasIterator::new(nested) {
            let prefix = prefix.map_err(|_| Error::Malformed)?;
            if self.prefixes >= MOST_PREFIXES {
                return Err(Error::TooMany);
            }
            self.prefixes += 1;
            allowed.push(parse_prefix(prefix.value()).ok_or(Error::Malformed)?);
        }
        Ok(())
    }

    /// All of them.
    #[must_use]
    pub fn into_list(self) -> Vec<Peer> {
        self.list
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.list.len(), self.prefixes)
    }

    pub(super) fn forget_since(&mut self, Mark(peers, prefixes): Mark) {
        self.list.truncate(peers);
        self.prefixes = prefixes;
    }
}

fn parse_prefix(nested: &[u8]) -> Option<(IpAddr, u8)> {
    let (mut family, mut address, mut length) = (None, None, None);
    for attribute in NlasIterator::new(nested) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            ALLOWED_FAMILY => family = Some(u16::from_ne_bytes(value.try_into().ok()?)),
            ALLOWED_ADDRESS => {
                let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(value).map(IpAddr::from);
                address = Some(v4.or(v6).ok()?);
            }
            ALLOWED_LENGTH => length = Some(u8::from_ne_bytes(value.try_into().ok()?)),
            _ => {}
        }
    }
    let (address, length) = (address?, length?);
    let (right, most) = match address {
        IpAddr::V4(_) => (libc::AF_INET, 32),
        IpAddr::V6(_) => (libc::AF_INET6, 128),
    };
    (i32::from(family?) == right && length <= most).then_some((address, length))
}

/// `struct sockaddr_in`, `struct sockaddr_in6`; `None` for another.
fn parse_endpoint(sockaddr: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*sockaddr.first_chunk()?);
    let port = u16::from_be_bytes(*sockaddr.get(2..)?.first_chunk()?);
    match (i32::from(family), sockaddr.len()) {
        (libc::AF_INET, 16) => {
            let address: [u8; 4] = *sockaddr.get(4..)?.first_chunk()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(address), port).into())
        }
        (libc::AF_INET6, 28) => {
            let flow = u32::from_be_bytes(*sockaddr.get(4..)?.first_chunk()?);
            let address: [u8; 16] = *sockaddr.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*sockaddr.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(address), port, flow, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::netlink::testing::attribute;
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
        attribute(kind | 0x8000, &parts.concat())
    }

    fn native(value: i32) -> Vec<u8> {
        u16::try_from(value).unwrap().to_ne_bytes().to_vec()
    }

    /// In the kernel's order: mask, family, address.
    fn prefix(prefix: &str) -> Vec<u8> {
        let (network, length) = prefix.split_once('/').unwrap();
        let (family, address) = match network.parse().unwrap() {
            IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
            IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
        };
        let length = attribute(3, &[length.parse().unwrap()]);
        nested(0, &[length, attribute(1, &native(family)), attribute(2, &address)])
    }

    fn prefixes(list: &[&str]) -> Vec<u8> {
        let list: Vec<Vec<u8>> = list.iter().map(|text| prefix(text)).collect();
        nested(9, &list)
    }

    /// 203.0.113.9:51820
    fn endpoint4() -> Vec<u8> {
        [native(libc::AF_INET), vec![0xca, 0x6c, 203, 0, 113, 9], vec![0; 8]].concat()
    }

    /// [fe80::9%3]:51820
    fn endpoint6() -> Vec<u8> {
        let address = "fe80::9".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        let begin = [native(libc::AF_INET6), vec![0xca, 0x6c, 0, 0, 0, 7]].concat();
        [begin, address, 3_u32.to_ne_bytes().to_vec()].concat()
    }

    /// As the kernel writes a peer, 64-bit values padded.
    fn peer(endpoint: &[u8], list: &[&str]) -> Vec<u8> {
        let parts = [
            attribute(1, &[0x11; 32]),
            attribute(2, &[0x22; 32]),
            attribute(6, &[0; 16]),
            attribute(5, &25_u16.to_ne_bytes()),
            attribute(0, &[]),
            attribute(8, &1_u64.to_ne_bytes()),
            attribute(0, &[]),
            attribute(7, &1_u64.to_ne_bytes()),
            attribute(10, &1_u32.to_ne_bytes()),
            if endpoint.is_empty() {
                vec![]
            } else {
                attribute(4, endpoint)
            },
            if list.is_empty() { vec![] } else { prefixes(list) },
        ];
        nested(0, &parts)
    }

    /// As the kernel goes on with a peer in the next message.
    fn rest_of_peer(list: &[&str]) -> Vec<u8> {
        nested(0, &[attribute(1, &[0x11; 32]), prefixes(list)])
    }

    fn first(peers: &[Vec<u8>]) -> Vec<u8> {
        [
            attribute(6, &51820_u16.to_ne_bytes()),
            attribute(7, &0_u32.to_ne_bytes()),
            attribute(1, &5_u32.to_ne_bytes()),
            attribute(2, b"wg0\0"),
            attribute(3, &[0x33; 32]),
            attribute(4, &[0x44; 32]),
            nested(8, peers),
        ]
        .concat()
    }

    fn next(peers: &[Vec<u8>]) -> Vec<u8> {
        nested(8, peers)
    }

    fn read(messages: &[Vec<u8>]) -> Result<Vec<Peer>, Error> {
        let mut peers = Peers::default();
        peers.begin("wg0");
        messages.iter().try_for_each(|message| peers.add(message))?;
        Ok(peers.into_list())
    }

    /// Endpoints and prefixes, as text.
    fn shown(peers: &[Peer]) -> Vec<(String, String)> {
        let show = |peer: &Peer| {
            assert_eq!(peer.device, "wg0");
            let endpoint = peer.endpoint.map_or("none".into(), |endpoint| endpoint.to_string());
            let allowed = peer
                .allowed
                .iter()
                .map(|(network, length)| format!("{network}/{length}"));
            (endpoint, allowed.collect::<Vec<_>>().join(" "))
        };
        peers.iter().map(show).collect()
    }

    fn expect(messages: &[Vec<u8>], expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> = expected.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        assert_eq!(shown(&read(messages).unwrap()), expected);
    }

    #[test]
    fn peers_have_endpoints_and_prefixes() {
        let peers = [
            peer(&endpoint4(), &["10.8.0.2/32", "fd08::2/128", "192.168.9.0/24"]),
            peer(&endpoint6(), &["0.0.0.0/0", "::/0"]),
            peer(&[], &[]),
        ];
        expect(
            &[first(&peers)],
            &[
                ("203.0.113.9:51820", "10.8.0.2/32 fd08::2/128 192.168.9.0/24"),
                ("[fe80::9%3]:51820", "0.0.0.0/0 ::/0"),
                ("none", ""),
            ],
        );
        // A device without peers, and one without a key.
        expect(&[first(&[])], &[]);
        expect(&[attribute(2, b"wg0\0")], &[]);
        let Some(SocketAddr::V6(endpoint)) = parse_endpoint(&endpoint6()) else {
            panic!("no endpoint");
        };
        assert_eq!((endpoint.flowinfo(), endpoint.scope_id()), (7, 3));
    }

    #[test]
    fn a_peer_goes_on_in_the_next_message() {
        expect(
            &[
                first(&[peer(&[], &["10.8.0.1/32"]), peer(&endpoint4(), &["10.8.0.2/32"])]),
                next(&[rest_of_peer(&["10.8.0.3/32", "10.8.0.4/32"])]),
                next(&[rest_of_peer(&["10.8.0.5/32"]), peer(&endpoint6(), &["10.8.0.6/32"])]),
                next(&[peer(&[], &["10.8.0.7/32"])]),
            ],
            &[
                ("none", "10.8.0.1/32"),
                ("203.0.113.9:51820", "10.8.0.2/32 10.8.0.3/32 10.8.0.4/32 10.8.0.5/32"),
                ("[fe80::9%3]:51820", "10.8.0.6/32"),
                ("none", "10.8.0.7/32"),
            ],
        );
        // A first part that had no room for any prefix.
        expect(
            &[
                first(&[peer(&endpoint4(), &[])]),
                next(&[rest_of_peer(&["10.8.0.3/32"])]),
            ],
            &[("203.0.113.9:51820", "10.8.0.3/32")],
        );
    }

    #[test]
    fn nobody_elses_peer_is_continued() {
        // Not a message's first.
        expect(
            &[
                first(&[peer(&endpoint4(), &["10.8.0.2/32"])]),
                next(&[peer(&[], &[]), rest_of_peer(&["10.8.0.3/32"])]),
            ],
            &[
                ("203.0.113.9:51820", "10.8.0.2/32"),
                ("none", ""),
                ("none", "10.8.0.3/32"),
            ],
        );
        // Not in a device's first message, after another's.
        let mut peers = Peers::default();
        peers.begin("wg0");
        peers.add(&first(&[peer(&endpoint4(), &["10.8.0.2/32"])])).unwrap();
        peers.begin("wg1");
        peers.add(&next(&[rest_of_peer(&["10.8.0.3/32"])])).unwrap();
        peers.add(&next(&[rest_of_peer(&["10.8.0.4/32"])])).unwrap();
        let list = peers.into_list();
        let devices: Vec<(&str, usize)> = list
            .iter()
            .map(|peer| (peer.device.as_str(), peer.allowed.len()))
            .collect();
        assert_eq!(devices, [("wg0", 1), ("wg1", 2)]);
        // Nor where a device's first message had no peer.
        let mut peers = Peers::default();
        peers.begin("wg0");
        peers.add(&first(&[peer(&endpoint4(), &["10.8.0.2/32"])])).unwrap();
        peers.begin("wg1");
        peers.add(&first(&[])).unwrap();
        peers.add(&next(&[rest_of_peer(&["10.8.0.3/32"])])).unwrap();
        assert_eq!(peers.into_list().len(), 2);
    }

    #[test]
    fn a_reading_that_is_made_again_leaves_nothing_behind() {
        let mut peers = Peers::default();
        peers.begin("wg0");
        peers.add(&first(&[peer(&endpoint4(), &["10.8.0.2/32"])])).unwrap();
        let mark = peers.mark();
        for _ in 0..2 {
            peers.forget_since(mark);
            peers.begin("wg1");
            peers
                .add(&first(&[peer(&endpoint6(), &["10.8.0.3/32", "10.8.0.4/32"])]))
                .unwrap();
        }
        assert_eq!((peers.list.len(), peers.prefixes), (2, 3));
    }

    #[test]
    fn too_much_is_an_error() {
        let many: Vec<Vec<u8>> = (0..1000).map(|_| peer(&[], &[])).collect();
        let parts: Vec<Vec<u8>> = many.chunks(100).map(next).collect();
        let parts = |messages: usize| parts.iter().cycle().take(messages).cloned().collect::<Vec<_>>();
        assert_eq!(read(&parts(40)).unwrap().len(), 4000);
        assert!(matches!(read(&parts(41)), Err(Error::TooMany)));
        let part = next(&[rest_of_peer(&["10.8.0.2/32"; 1024])]);
        let parts = |messages: usize| std::iter::repeat_n(part.clone(), messages).collect::<Vec<_>>();
        assert_eq!(read(&parts(16)).unwrap()[0].allowed.len(), MOST_PREFIXES);
        assert!(matches!(read(&parts(17)), Err(Error::TooMany)));
    }

    #[test]
    fn what_is_no_prefix_is_malformed() {
        let right = [
            attribute(3, &[32]),
            attribute(1, &native(libc::AF_INET)),
            attribute(2, &[10, 0, 0, 1]),
        ];
        let wrong = [
            (0, attribute(3, &[33])),
            (0, attribute(3, &[])),
            (0, attribute(3, &[0, 32])),
            (1, attribute(1, &native(libc::AF_INET6))),
            (1, attribute(1, &[2])),
            (2, attribute(2, &[10, 0, 0])),
            (2, attribute(2, &[0; 16])),
            (0, vec![]),
            (1, vec![]),
            (2, vec![]),
            (2, vec![255, 255, 2, 0]),
        ];
        let with = |parts: &[Vec<u8>]| read(&[first(&[nested(0, &[nested(9, &[nested(0, parts)])])])]);
        assert!(with(&right).is_ok());
        for (at, wrong) in wrong {
            let mut parts = right.clone();
            parts[at] = wrong;
            assert!(matches!(with(&parts), Err(Error::Malformed)), "{parts:?}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_none() {
        let whole = endpoint6();
        for length in 0..whole.len() {
            assert_eq!(parse_endpoint(&whole[..length]), None);
            assert_eq!(parse_endpoint(&endpoint4()[..length.min(15)]), None);
        }
        assert_eq!(parse_endpoint(&[native(libc::AF_INET6), vec![0; 14]].concat()), None);
        assert_eq!(parse_endpoint(&[native(libc::AF_UNIX), vec![0; 14]].concat()), None);
    }

    /// Three messages with all kinds of attributes.
    fn messages() -> [Vec<u8>; 3] {
        [
            first(&[
                peer(&endpoint4(), &["10.8.0.2/32", "fd08::2/128"]),
                peer(&endpoint6(), &["10.8.0.3/32"]),
            ]),
            next(&[rest_of_peer(&["10.8.0.4/32"]), peer(&[], &["fd08::/64"])]),
            next(&[rest_of_peer(&["10.8.0.5/32"])]),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..4)) {
            let _ = read(&parts);
        }

        #[test]
        fn changed_bytes(
            changes in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..6),
            cut in any::<(Index, Index)>(),
        ) {
            let mut messages = messages();
            for (message, at, value) in changes {
                let message = &mut messages[message.index(3)];
                let at = at.index(message.len());
                message[at] = value;
            }
            let _ = read(&messages);
            let cut_one = &mut messages[cut.0.index(3)];
            cut_one.truncate(cut.1.index(cut_one.len()));
            if let Ok(peers) = read(&messages) {
                for peer in peers {
                    let fits = |(network, length): &(IpAddr, u8)| *length <= if network.is_ipv4() { 32 } else { 128 };
                    prop_assert!(peer.allowed.iter().all(fits));
                }
            }
        }

        /// However a device's peers are spread over messages, as the kernel does it, the same list comes out.
        #[test]
        fn any_cut_gives_the_same_list(sizes in proptest::collection::vec(0..6_usize, 1..8), cuts in proptest::collection::vec(1..5_usize, 1..40)) {
            let mut number = 0_u32;
            let peers: Vec<Vec<String>> = sizes
                .iter()
                .map(|size| (0..*size).map(|_| { number += 1; format!("{}/32", Ipv4Addr::from(0x0a08_0000 + number)) }).collect())
                .collect();
            let mut cuts = cuts.iter().cycle();
            let mut messages = Vec::new();
            let (mut room, mut parts) = (*cuts.next().unwrap(), Vec::new());
            for list in &peers {
                let mut rest: Vec<&str> = list.iter().map(String::as_str).collect();
                let mut begun = false;
                loop {
                    let now: Vec<&str> = rest.drain(..rest.len().min(room)).collect();
                    room -= now.len();
                    parts.push(if begun { rest_of_peer(&now) } else { peer(&endpoint4(), &now) });
                    begun = true;
                    if rest.is_empty() {
                        break;
                    }
                    messages.push(std::mem::take(&mut parts));
                    room = *cuts.next().unwrap();
                }
            }
            messages.push(parts);
            let messages: Vec<Vec<u8>> =
                messages.iter().enumerate().map(|(n, parts)| if n == 0 { first(parts) } else { next(parts) }).collect();
            let expected: Vec<(String, String)> =
                peers.iter().map(|list| ("203.0.113.9:51820".to_string(), list.join(" "))).collect();
            prop_assert_eq!(shown(&read(&messages).unwrap()), expected);
        }
    }
}
