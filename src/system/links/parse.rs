//! The fields that are wanted of rtnetlink's messages. Fixed headers and attributes are in the machine's byte order, addresses in the
//! network's. What does not parse, or is of another kind, gives nothing.

use crate::config::Subnet;
use crate::gather::Gather;
use crate::network::Route;
use netlink_packet_core::{NlaBuffer, NlasIterator};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `AF_BRIDGE`: what a bridge tells of its ports comes as link messages too.
pub(super) const AF_BRIDGE: u8 = 7;

/// Index, up/running/lower-up flags and name of an `RTM_NEWLINK`.
pub(super) fn link(payload: &[u8]) -> Option<(u32, u32, String)> {
    // struct ifinfomsg: family, pad, type(2), index(4), flags(4), change(4)
    let index = u32_at(payload, 4)?;
    let flags = u32_at(payload, 8)?;
    let name = attributes(payload, 16)?.find(|attribute| attribute.kind() == libc::IFLA_IFNAME)?;
    let name = name.value().split(|byte| *byte == 0).next()?;
    Some((index, flags, String::from_utf8_lossy(name).into_owned()))
}

/// Index and name of an `RTM_NEWLINK`.
#[must_use]
pub fn device(kind: u16, payload: &[u8]) -> Option<(u32, String)> {
    let is_link = kind == libc::RTM_NEWLINK && payload.first() != Some(&AF_BRIDGE);
    is_link
        .then(|| link(payload))
        .flatten()
        .map(|(index, _, name)| (index, name))
}

/// Index, on-link prefix and the router's own address of an `RTM_NEWADDR`.
#[must_use]
pub fn address(kind: u16, payload: &[u8]) -> Option<(u32, Subnet, IpAddr)> {
    if kind != libc::RTM_NEWADDR {
        return None;
    }
    any_address(payload)
}

/// The same of any address message.
pub(super) fn any_address(payload: &[u8]) -> Option<(u32, Subnet, IpAddr)> {
    // struct ifaddrmsg: family, prefixlen, flags, scope, index(4)
    let (family, prefix, index) = (*payload.first()?, *payload.get(1)?, u32_at(payload, 4)?);
    let (mut local, mut peer) = (None, None);
    for attribute in attributes(payload, 8)? {
        match attribute.kind() {
            libc::IFA_LOCAL => local = Some(ip(family, attribute.value())?),
            libc::IFA_ADDRESS => peer = Some(ip(family, attribute.value())?),
            _ => {}
        }
    }
    // Where there is a peer, the prefix is the peer's; IPv6 without a peer has no IFA_LOCAL.
    let own = local.or(peer)?;
    Some((index, subnet(peer.unwrap_or(own), prefix)?, own))
}

/// A unicast route, once for each of its next hops' devices.
#[must_use]
pub fn routes(kind: u16, payload: &[u8]) -> Vec<Route> {
    if kind != libc::RTM_NEWROUTE {
        return Vec::new();
    }
    unicast(payload).unwrap_or_default()
}

fn unicast(payload: &[u8]) -> Option<Vec<Route>> {
    // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags(4)
    let (family, prefix) = (*payload.first()?, *payload.get(1)?);
    let mut table = u32::from(*payload.get(4)?);
    if *payload.get(7)? != libc::RTN_UNICAST || u32_at(payload, 8)? & RTM_F_CLONED != 0 {
        return None;
    }
    let mut dest = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut devices = Vec::new();
    for attribute in attributes(payload, 12)? {
        match attribute.kind() {
            libc::RTA_DST => dest = ip(family, attribute.value())?,
            libc::RTA_TABLE => table = u32_at(attribute.value(), 0)?,
            libc::RTA_OIF => devices.push(u32_at(attribute.value(), 0)?),
            libc::RTA_MULTIPATH => devices.extend(next_hops(attribute.value())),
            _ => {}
        }
    }
    let dest = subnet(dest, prefix)?;
    Some(
        devices
            .into_iter()
            .map(|device| Route { table, dest, device })
            .gathered(),
    )
}

/// `linux/rtnetlink.h`: a cached route, which follows from the others.
const RTM_F_CLONED: u32 = 0x200;

/// The devices of an `RTA_MULTIPATH`.
fn next_hops(mut hops: &[u8]) -> Vec<u32> {
    // struct rtnexthop: len(2), flags, hops, ifindex(4), then attributes
    let mut devices = Vec::new();
    while let (Some(length), Some(device)) = (
        hops.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes)),
        u32_at(hops, 4),
    ) {
        devices.push(device);
        let length = usize::from(length).max(8).next_multiple_of(4);
        hops = hops.get(length..).unwrap_or_default();
    }
    devices
}

/// Address and MAC of an `RTM_NEWNEIGH`, in a state in which the MAC is or was true.
#[must_use]
pub fn neighbour(kind: u16, payload: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    // struct ndmsg: family, pad(3), ifindex(4), state(2), flags, type
    let state = u16::from_ne_bytes(*payload.get(8..)?.first_chunk()?);
    if kind != libc::RTM_NEWNEIGH || state & (libc::NUD_INCOMPLETE | libc::NUD_FAILED | libc::NUD_NOARP) != 0 {
        return None;
    }
    let (family, mut address, mut mac) = (*payload.first()?, None, None);
    for attribute in attributes(payload, 12)? {
        match attribute.kind() {
            libc::NDA_DST => address = Some(ip(family, attribute.value())?),
            libc::NDA_LLADDR => mac = Some(<[u8; 6]>::try_from(attribute.value()).ok()?),
            _ => {}
        }
    }
    Some((address?, mac?)).filter(|(_, mac)| *mac != [0; 6])
}

/// The attributes behind a fixed header, up to the first that is broken.
fn attributes(payload: &[u8], header: usize) -> Option<impl Iterator<Item = NlaBuffer<&[u8]>>> {
    Some(NlasIterator::new(payload.get(header..)?).map_while(Result::ok))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

/// A network, its host bits cleared.
fn subnet(address: IpAddr, prefix: u8) -> Option<Subnet> {
    let address = match address {
        IpAddr::V4(address) if prefix <= 32 => IpAddr::V4(Ipv4Addr::from_bits(
            address.to_bits() & !u32::MAX.checked_shr(prefix.into()).unwrap_or(0),
        )),
        IpAddr::V6(address) if prefix <= 128 => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::MAX.checked_shr(prefix.into()).unwrap_or(0),
        )),
        _ => return None,
    };
    Some(Subnet { address, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn net(text: &str, prefix: u8) -> Subnet {
        Subnet {
            address: text.parse().unwrap(),
            prefix,
        }
    }

    #[test]
    fn a_link_of_an_unknown_kind_is_a_link() {
        let info = attribute(18, &attribute(1, b"from-the-future\0"));
        let header = [
            &[0, 0, 1, 0][..],
            &7_u32.to_ne_bytes(),
            &0x1_0043_u32.to_ne_bytes(),
            &[0; 4],
        ]
        .concat();
        let payload = [header, attribute(3, b"odd0\0"), info].concat();
        assert_eq!(link(&payload), Some((7, 0x1_0043, "odd0".to_string())));
        assert_eq!(device(libc::RTM_NEWLINK, &payload), Some((7, "odd0".to_string())));
        assert_eq!(device(libc::RTM_DELLINK, &payload), None);
        let of_bridge = [&[7], &payload[1..]].concat();
        assert_eq!(device(libc::RTM_NEWLINK, &of_bridge), None);
    }

    #[test]
    fn an_address_with_and_without_a_peer() {
        let header = |family, prefix| [&[family, prefix, 0, 0][..], &3_u32.to_ne_bytes()].concat();
        let plain = [
            header(2, 24),
            attribute(1, &[192, 168, 1, 1]),
            attribute(2, &[192, 168, 1, 1]),
        ]
        .concat();
        let own = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            address(20, &plain),
            Some((3, net("192.168.1.0", 24), own("192.168.1.1")))
        );
        let peer = [
            header(2, 32),
            attribute(1, &[100, 64, 0, 1]),
            attribute(2, &[100, 64, 0, 2]),
        ]
        .concat();
        assert_eq!(address(20, &peer), Some((3, net("100.64.0.1", 32), own("100.64.0.2"))));
        let ipv6 = [header(10, 64), attribute(1, &own6("2001:db8::1"))].concat();
        assert_eq!(address(20, &ipv6), Some((3, net("2001:db8::", 64), own("2001:db8::1"))));
        assert_eq!(address(20, &header(2, 24)), None);
        assert_eq!(
            address(20, &[header(2, 33), attribute(1, &[1, 2, 3, 4])].concat()),
            None
        );
    }

    fn own6(text: &str) -> [u8; 16] {
        text.parse::<Ipv6Addr>().unwrap().octets()
    }

    #[test]
    fn routes_of_large_tables_and_several_hops() {
        let header = |prefix, kind| vec![2, prefix, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0];
        let route = |table, dest, prefix, device| Route {
            table,
            dest: net(dest, prefix),
            device,
        };
        let default = [header(0, 1), attribute(4, &4_u32.to_ne_bytes())].concat();
        assert_eq!(routes(24, &default), [route(254, "0.0.0.0", 0, 4)]);
        let large = [
            header(8, 1),
            attribute(1, &[10, 1, 2, 3]),
            attribute(15, &1000_u32.to_ne_bytes()),
            attribute(4, &4_u32.to_ne_bytes()),
        ]
        .concat();
        assert_eq!(routes(24, &large), [route(1000, "10.0.0.0", 8, 4)]);
        let gateway = attribute(5, &[10, 0, 0, 1]);
        let hop = |device: u32| [&16_u16.to_ne_bytes()[..], &[0, 0], &device.to_ne_bytes(), &gateway].concat();
        let several = [header(0, 1), attribute(9, &[hop(4), hop(5)].concat())].concat();
        assert_eq!(
            routes(24, &several),
            [route(254, "0.0.0.0", 0, 4), route(254, "0.0.0.0", 0, 5)]
        );
        let blackhole = [header(0, 6), attribute(4, &4_u32.to_ne_bytes())].concat();
        assert_eq!(routes(24, &blackhole), []);
    }

    #[test]
    fn neighbours_whose_mac_is_known() {
        let entry = |state: u16, mac: &[u8]| {
            let header = [&[2, 0, 0, 0][..], &3_u32.to_ne_bytes(), &state.to_ne_bytes(), &[0, 1]].concat();
            neighbour(
                28,
                &[header, attribute(1, &[192, 168, 1, 20]), attribute(2, mac)].concat(),
            )
        };
        let known = Some((IpAddr::from([192, 168, 1, 20]), [2, 0, 0, 0, 0, 9]));
        let mac = [2, 0, 0, 0, 0, 9];
        for (state, expected) in [
            (0x02, known),
            (0x04, known),
            (0x80, known),
            (0x01, None),
            (0x20, None),
            (0x40, None),
        ] {
            assert_eq!(entry(state, &mac), expected, "{state}");
        }
        assert_eq!(
            entry(0x02, &[1, 2, 3, 4]),
            None,
            "a tunnel's neighbour has an address for a MAC"
        );
        assert_eq!(entry(0x02, &[0; 6]), None);
    }

    proptest! {
        #[test]
        fn any_bytes(kind in 16u16..32, bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (device(kind, &bytes), address(kind, &bytes), routes(kind, &bytes), neighbour(kind, &bytes));
        }

        #[test]
        fn any_next_hops(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(next_hops(&bytes).len() <= bytes.len() / 8);
        }
    }
}
