//! A datagram of nfnetlink_log as copies of packets.

use super::{Messages, MSG_PACKET, NFGENMSG};
use netlink_packet_core::NlasIterator;
use std::net::IpAddr;

/// More packets of one datagram are not taken. The kernel sends one at a time to who asks for that.
pub const MOST: usize = 64;

/// One copied packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What the rule puts before it, as the rule has it; empty without.
    pub prefix: String,
    /// From the IP header.
    pub source: IpAddr,
    /// From the IP header, as it was where the rule is: before or after destination NAT.
    pub dest: IpAddr,
    /// The packet from the IP header on, cut off as it was asked for.
    pub payload: Vec<u8>,
    /// The index of the device by which the packet came; none for what leaves the router itself.
    pub device_in: Option<u32>,
}

/// What a datagram holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// At most [`MOST`].
    pub packets: Vec<Copied>,
    /// Messages that are broken, copies of what is not IP, and packets beyond [`MOST`].
    pub skipped: u32,
}

/// `struct nlattr`
const NLATTR: usize = 4;
// enum nfulnl_attr_type
const PACKET_HDR: u16 = 1;
const IFINDEX_INDEV: u16 = 4;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;

/// `NF_LOG_PREFIXLEN`, with the NUL
const PREFIX_LENGTH: usize = 128;
/// `ETH_P_IP`
const IPV4: u16 = 0x0800;
/// `ETH_P_IPV6`
const IPV6: u16 = 0x86dd;

/// Reads a datagram of the kernel with copies of a group. `snaplen`: bytes of a packet that are kept.
#[must_use]
pub fn parse(datagram: &[u8], group: u16, snaplen: usize) -> Parsed {
    let mut parsed = Parsed::default();
    for message in Messages::new(datagram) {
        let copied = match message {
            // The end of several, or a late answer.
            Some(message) if message.kind != MSG_PACKET => continue,
            Some(message) => copied(message.payload, group, snaplen),
            None => None,
        };
        match copied {
            Some(copied) if parsed.packets.len() < MOST => parsed.packets.push(copied),
            _ => parsed.skipped = parsed.skipped.saturating_add(1),
        }
    }
    parsed
}

/// `None` for another group, for what is not IP, and for a message of which any part that is wanted is missing or of another length.
fn copied(message: &[u8], group: u16, snaplen: usize) -> Option<Copied> {
    let (header, attributes) = message.split_at_checked(NFGENMSG)?;
    // nfgenmsg.res_id
    if header.get(2..)? != group.to_be_bytes() {
        return None;
    }
    let (mut protocol, mut device_in, mut packet, mut prefix) = (None, None, None, &[][..]);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.ok()?;
        // `value()` does not outlive the iterator's item.
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        let value = attribute.into_inner().get(NLATTR..length)?;
        match kind {
            PACKET_HDR => {
                // struct nfulnl_msg_packet_hdr
                let [a, b, _hook, _pad] = <[u8; 4]>::try_from(value).ok()?;
                protocol = Some(u16::from_be_bytes([a, b]));
            }
            IFINDEX_INDEV => device_in = Some(u32::from_be_bytes(value.try_into().ok()?)),
            PAYLOAD => packet = Some(value),
            PREFIX => prefix = value,
            _ => {}
        }
    }
    let packet = packet?;
    let (source, dest) = addresses(protocol?, packet)?;
    Some(Copied {
        prefix: text(prefix),
        source,
        dest,
        payload: packet.get(..snaplen).unwrap_or(packet).to_vec(),
        device_in,
    })
}

/// Source and destination of an IP packet. Both what the kernel took it for and its first byte must say which IP it is.
fn addresses(protocol: u16, packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match (protocol, packet.first()? >> 4) {
        (IPV4, 4) => Some((address::<4>(packet, 12)?, address::<4>(packet, 16)?)),
        (IPV6, 6) => Some((address::<16>(packet, 8)?, address::<16>(packet, 24)?)),
        _ => None,
    }
}

fn address<const LENGTH: usize>(packet: &[u8], at: usize) -> Option<IpAddr>
where
    IpAddr: From<[u8; LENGTH]>,
{
    Some(IpAddr::from(*packet.get(at..)?.first_chunk()?))
}

/// What is before the NUL.
fn text(value: &[u8]) -> String {
    let mut parts = value.split(|byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    String::from_utf8_lossy(text.get(..PREFIX_LENGTH).unwrap_or(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::super::netlink::testing::{attribute, message};
    use super::*;
    use proptest::prelude::*;

    const GROUP: u16 = 7477;
    const SNAPLEN: usize = 64;

    fn ipv4_packet() -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 100, 0, 1, 0x40, 0, 64, 6, 0, 0, 203, 0, 113, 9, 198, 51, 100, 2,
        ];
        packet.extend(1..=80);
        packet
    }

    fn ipv6_packet() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]);
        packet.extend(1..=20);
        packet
    }

    /// The attributes in the kernel's order: `__build_packet_message` for a packet that came by Ethernet.
    fn attributes(protocol: u16, packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let [a, b] = protocol.to_be_bytes();
        vec![
            (1, vec![a, b, 0, 0]),
            (10, b"lanward admit ssh imaps\0".to_vec()),
            (4, vec![0, 0, 1, 2]),
            (3, vec![0, 0, 0, 64]),
            (8, vec![0, 6, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0]),
            (15, vec![0, 1]),
            (17, vec![0, 14]),
            (16, vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]),
            (2, [0x66_u64.to_be_bytes(), 7_u64.to_be_bytes()].concat()),
            (9, packet[..packet.len().min(SNAPLEN)].to_vec()),
        ]
    }

    fn copy(family: u8, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut payload = vec![family, 0, 0x1d, 0x35];
        payload.extend(attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)));
        message(0x0400, 0, 0, &payload)
    }

    fn ipv4_copy() -> Vec<u8> {
        copy(2, &attributes(0x0800, &ipv4_packet()))
    }

    fn ipv4_copied() -> Copied {
        Copied {
            prefix: "lanward admit ssh imaps".into(),
            source: [203, 0, 113, 9].into(),
            dest: [198, 51, 100, 2].into(),
            payload: ipv4_packet()[..SNAPLEN].to_vec(),
            device_in: Some(258),
        }
    }

    fn packets(datagram: &[u8]) -> Vec<Copied> {
        parse(datagram, GROUP, SNAPLEN).packets
    }

    /// With one attribute's value changed.
    fn with(kind: u16, value: &[u8]) -> Vec<Copied> {
        let mut attributes = attributes(0x0800, &ipv4_packet());
        let place = attributes.iter_mut().find(|(found, _)| *found == kind).unwrap();
        place.1 = value.to_vec();
        packets(&copy(2, &attributes))
    }

    #[test]
    fn a_copy_of_each_family() {
        assert_eq!(packets(&ipv4_copy()), [ipv4_copied()]);
        let ipv6 = packets(&copy(10, &attributes(0x86dd, &ipv6_packet())));
        let expected = Copied {
            source: "2001:db8::5".parse().unwrap(),
            dest: "2001:db8::6".parse().unwrap(),
            payload: ipv6_packet(),
            ..ipv4_copied()
        };
        assert_eq!(ipv6, [expected]);
    }

    #[test]
    fn what_may_be_missing() {
        let without = |missing: u16| {
            let mut attributes = attributes(0x0800, &ipv4_packet());
            attributes.retain(|(kind, _)| *kind != missing);
            packets(&copy(2, &attributes))
        };
        let no_prefix = Copied {
            prefix: String::new(),
            ..ipv4_copied()
        };
        let sent_from_here = Copied {
            device_in: None,
            ..ipv4_copied()
        };
        assert_eq!(without(10), [no_prefix]);
        assert_eq!(without(4), [sent_from_here]);
        assert_eq!(without(2), [ipv4_copied()]);
        assert_eq!((without(1), without(9)), (vec![], vec![]));
    }

    #[test]
    fn what_is_not_ip_is_passed_over() {
        let arp = [
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
        ];
        let datagram = [copy(3, &attributes(0x0806, &arp)), ipv4_copy()].concat();
        let parsed = parse(&datagram, GROUP, SNAPLEN);
        assert_eq!((parsed.packets, parsed.skipped), (vec![ipv4_copied()], 1));
        for (protocol, packet) in [
            (0x0806, ipv4_packet()),
            (0x86dd, ipv4_packet()),
            (0x0800, ipv6_packet()),
        ] {
            assert_eq!(packets(&copy(2, &attributes(protocol, &packet))), []);
        }
    }

    #[test]
    fn a_short_packet_has_no_addresses() {
        for (protocol, packet, enough) in [(0x0800, ipv4_packet(), 20), (0x86dd, ipv6_packet(), 40)] {
            for length in 0..=enough {
                let seen = packets(&copy(2, &attributes(protocol, &packet[..length]))).len();
                assert_eq!(seen, usize::from(length == enough), "{length} bytes of {protocol:#06x}");
            }
        }
    }

    #[test]
    fn a_length_that_is_not_the_kernels_is_broken() {
        for length in [0, 1, 2, 3, 5, 8] {
            assert_eq!(with(1, &vec![8; length]), [], "packet header of {length}");
            assert_eq!(with(4, &vec![0; length]), [], "device of {length}");
        }
        assert_eq!(with(3, &[]), [ipv4_copied()], "what is not read may be anything");
    }

    #[test]
    fn a_prefix_ends_at_its_nul_and_is_bounded() {
        let prefix = |value: &[u8]| with(10, value).remove(0).prefix;
        assert_eq!(prefix(b"no end"), "no end");
        assert_eq!(prefix(b"one\0two\0"), "one");
        assert_eq!(prefix(b"\0"), "");
        assert_eq!(prefix(b""), "");
        assert_eq!(prefix(b"\xff x\0"), "\u{fffd} x");
        assert_eq!(prefix(&[b'x'; 5000]).len(), PREFIX_LENGTH);
    }

    #[test]
    fn no_more_is_kept_than_was_asked_for() {
        let whole = with(9, &ipv4_packet());
        assert_eq!(whole, [ipv4_copied()]);
        assert_eq!(parse(&ipv4_copy(), GROUP, 40).packets[0].payload, ipv4_packet()[..40]);
        let datagram = ipv4_copy().repeat(100);
        let parsed = parse(&datagram, GROUP, SNAPLEN);
        assert_eq!((parsed.packets.len(), parsed.skipped), (MOST, 36));
    }

    #[test]
    fn only_copies_of_the_group() {
        assert_eq!(parse(&ipv4_copy(), GROUP + 1, SNAPLEN).packets, []);
        assert_eq!(parse(&ipv4_copy(), GROUP.swap_bytes(), SNAPLEN).packets, []);
        let several = [
            message(0x0a00, 0, 0, &ipv4_copy()[16..]),
            message(2, 0, 0x0401, &[0; 20]),
            ipv4_copy(),
            message(3, 0, 0, &[0, 0, 0x1d, 0x35]),
        ];
        let parsed = parse(&several.concat(), GROUP, SNAPLEN);
        assert_eq!((parsed.packets, parsed.skipped), (vec![ipv4_copied()], 0));
    }

    #[test]
    fn cut_off_anywhere() {
        let copy = ipv4_copy();
        for length in 1..copy.len() {
            let parsed = parse(&copy[..length], GROUP, SNAPLEN);
            assert_eq!((parsed.packets, parsed.skipped), (vec![], 1), "{length} bytes");
            // The same with a header that says so.
            if length >= 16 {
                let parsed = parse(&message(0x0400, 0, 0, &copy[16..length]), GROUP, SNAPLEN);
                let whole = copy.len() - length < 4 && parsed.packets == [ipv4_copied()];
                assert!(whole || parsed.packets.is_empty(), "a message of {length} bytes");
            }
        }
        assert_eq!(parse(&[], GROUP, SNAPLEN), Parsed::default());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, GROUP, SNAPLEN);
            let _ = parse(&message(0x0400, 0, 0, &[vec![2, 0, 0x1d, 0x35], bytes].concat()), GROUP, SNAPLEN);
        }

        #[test]
        fn a_changed_byte(at in any::<proptest::sample::Index>(), value in any::<u8>()) {
            let mut copy = ipv4_copy();
            let at = at.index(copy.len());
            copy[at] = value;
            prop_assert!(parse(&copy, GROUP, SNAPLEN).packets.len() <= 1);
        }
    }
}
