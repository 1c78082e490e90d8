//! TCP sessions: a flow, and what the entry says of it beside.

use super::{parse_flow, Flow, CTA_STATUS};
use netlink_packet_core::NlasIterator;

/// A TCP flow as conntrack sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its addresses and ports.
    pub flow: Flow,
    /// Whether both ends have spoken and neither has closed (`CTA_PROTOINFO_TCP_STATE` is `ESTABLISHED`). The kernel tells no state of an offloaded
    /// one; only established connections are offloaded (since Linux 5.18), and FIN and RST end that, so it counts as established. One that a RST ended
    /// after it was offloaded stays so for `nf_conntrack_tcp_timeout_close` (10 s): conntrack has not followed its sequence numbers.
    pub established: bool,
    /// Bytes in the original and in the reply direction, IP headers included. `None`: not counted (`net.netfilter.nf_conntrack_acct` was 0 when it began).
    pub bytes: Option<[u64; 2]>,
    /// Packets likewise.
    pub packets: Option<[u64; 2]>,
    /// Whether a flow table forwards it, past the rules (`IPS_OFFLOAD`, or `IPS_HW_OFFLOAD`: a device does). The entry's counters then move only if the flow table
    /// has `counter`.
    pub offloaded: bool,
}

/// `IPPROTO_TCP`
pub(super) const TCP: u8 = 6;
/// `TCP_CONNTRACK_ESTABLISHED`
const ESTABLISHED: u8 = 3;
/// `IPS_OFFLOAD | IPS_HW_OFFLOAD`
const OFFLOAD: u32 = 1 << 14 | 1 << 15;

// enum ctattr_type, ctattr_protoinfo, ctattr_protoinfo_tcp, ctattr_counters
const CTA_PROTOINFO: u16 = 4;
const CTA_COUNTERS_ORIG: u16 = 9;
const CTA_COUNTERS_REPLY: u16 = 10;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const CTA_COUNTERS_PACKETS: u16 = 1;
const CTA_COUNTERS_BYTES: u16 = 2;

impl Session {
    /// The attributes of `IPCTNL_MSG_CT_NEW`. `None` for another protocol, for what lacks a part of a flow and for what is no value.
    #[must_use]
    pub fn parse(entry: &[u8]) -> Option<Self> {
        // Turns away the other protocols' entries, which are most, before their other half is looked at.
        let flow = parse_flow(entry, TCP)?;
        let (mut status, mut state, mut original, mut reply) = (0, None, None, None);
        for attribute in NlasIterator::new(entry) {
            let attribute = attribute.ok()?;
            let value = attribute.value();
            match attribute.kind() {
                CTA_STATUS => status = u32::from_be_bytes(value.try_into().ok()?),
                CTA_PROTOINFO => state = parse_state(value)?,
                CTA_COUNTERS_ORIG => original = Some(Counters::parse(value)?),
                CTA_COUNTERS_REPLY => reply = Some(Counters::parse(value)?),
                _ => {}
            }
        }
        let offloaded = status & OFFLOAD != 0;
        let counters = original.zip(reply);
        Some(Self {
            flow,
            established: state.map_or(offloaded, |state| state == ESTABLISHED),
            bytes: counters.map(|(original, reply)| [original.bytes, reply.bytes]),
            packets: counters.map(|(original, reply)| [original.packets, reply.packets]),
            offloaded,
        })
    }
}

#[derive(Clone, Copy)]
struct Counters {
    packets: u64,
    bytes: u64,
}

impl Counters {
    fn parse(nested: &[u8]) -> Option<Self> {
        let (mut packets, mut bytes) = (None, None);
        for attribute in NlasIterator::new(nested) {
            let attribute = attribute.ok()?;
            match attribute.kind() {
                CTA_COUNTERS_PACKETS => packets = Some(parse_u64(attribute.value())?),
                CTA_COUNTERS_BYTES => bytes = Some(parse_u64(attribute.value())?),
                _ => {}
            }
        }
        Some(Self {
            packets: packets?,
            bytes: bytes?,
        })
    }
}

/// The state in `CTA_PROTOINFO`; `Some(None)` if it says nothing of TCP.
#[allow(clippy::option_option)]
fn parse_state(nested: &[u8]) -> Option<Option<u8>> {
    let mut state = None;
    for protocol in NlasIterator::new(nested) {
        let protocol = protocol.ok()?;
        if protocol.kind() != CTA_PROTOINFO_TCP {
            continue;
        }
        for attribute in NlasIterator::new(protocol.value()) {
            let attribute = attribute.ok()?;
            if attribute.kind() == CTA_PROTOINFO_TCP_STATE {
                let [value] = <[u8; 1]>::try_from(attribute.value()).ok()?;
                state = Some(value);
            }
        }
    }
    Some(state)
}

fn parse_u64(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::netlink::Attribute::{self, Leaf, Nest};
    use netlink_packet_core::Emitable;
    use proptest::prelude::*;

    fn leaf(kind: u16, value: &[u8]) -> Attribute {
        let value = value.to_vec();
        Leaf { kind, value }
    }

    fn nest(kind: u16, inner: &[Attribute]) -> Attribute {
        let inner = inner.to_vec();
        Nest { kind, inner }
    }

    fn bytes(attributes: &[Attribute]) -> Vec<u8> {
        let mut bytes = vec![0; attributes.buffer_len()];
        attributes.emit(&mut bytes);
        bytes
    }

    fn tuple(kind: u16, protocol: u8, source: [u8; 4], dest: [u8; 4], ports: [u8; 4]) -> Attribute {
        let [a, b, c, d] = ports;
        let addresses = nest(1, &[leaf(1, &source), leaf(2, &dest)]);
        let ports = nest(2, &[leaf(1, &[protocol]), leaf(2, &[a, b]), leaf(3, &[c, d])]);
        nest(kind, &[addresses, ports])
    }

    /// As Linux 6.18 dumps an IMAPS session.
    fn entry() -> Vec<Attribute> {
        let counters = |kind, packets: u64, bytes: u64| {
            let values = [leaf(1, &packets.to_be_bytes()), leaf(2, &bytes.to_be_bytes())];
            nest(kind, &values)
        };
        vec![
            tuple(1, 6, [203, 0, 113, 9], [198, 51, 100, 2], [0xc3, 0x50, 0x03, 0xe1]),
            tuple(2, 6, [198, 51, 100, 2], [203, 0, 113, 9], [0x03, 0xe1, 0xc3, 0x50]),
            leaf(3, &[0, 0, 1, 0x8e]),
            leaf(12, &[0xde, 0xad, 0xbe, 0xef]),
            leaf(11, &[0, 0, 0, 1]),
            leaf(7, &[0, 0x06, 0x97, 0x80]),
            nest(
                4,
                &[nest(
                    1,
                    &[
                        leaf(1, &[3]),
                        leaf(2, &[7]),
                        leaf(3, &[7]),
                        leaf(4, &[35, 0]),
                        leaf(5, &[35, 0]),
                    ],
                )],
            ),
            counters(9, 0x0102_0304_0506_0708, 0x1112_1314_1516_1718),
            counters(10, 1, u64::MAX),
        ]
    }

    fn session(entry: &[Attribute]) -> Option<Session> {
        Session::parse(&bytes(entry))
    }

    fn index(kind: u16) -> usize {
        use netlink_packet_core::Nla;
        let kinds: Vec<u16> = entry().iter().map(|attribute| attribute.kind() & 0x3fff).collect();
        kinds.iter().position(|found| *found == kind).unwrap()
    }

    #[test]
    fn a_session_is_read_from_big_endian_attributes() {
        let session = session(&entry()).unwrap();
        assert_eq!(session.flow.protocol, 6);
        assert_eq!(session.flow.original.dest_port, 993);
        assert_eq!(session.flow.id, 0xdead_beef);
        assert!(session.established && !session.offloaded);
        assert_eq!(session.packets, Some([0x0102_0304_0506_0708, 1]));
        assert_eq!(session.bytes, Some([0x1112_1314_1516_1718, u64::MAX]));
    }

    #[test]
    fn only_the_established_state_is_established() {
        for state in 0..=255 {
            let mut entry = entry();
            entry[index(4)] = nest(4, &[nest(1, &[leaf(1, &[state])])]);
            assert_eq!(session(&entry).unwrap().established, state == 3, "state {state}");
        }
        for says_nothing in [
            nest(4, &[]),
            nest(4, &[nest(1, &[])]),
            nest(4, &[nest(2, &[leaf(1, &[3])])]),
        ] {
            let mut entry = entry();
            entry[index(4)] = says_nothing;
            assert!(!session(&entry).unwrap().established);
        }
    }

    #[test]
    fn an_offloaded_one_has_no_state_and_is_established() {
        for (status, offloaded) in [
            (0x0000_418e_u32, true),
            (0x0000_818e, true),
            (0x0000_c18e, true),
            (0xffff_3fff, false),
        ] {
            let mut entry = entry();
            entry[index(3)] = leaf(3, &status.to_be_bytes());
            let told = session(&entry).unwrap();
            assert_eq!((told.offloaded, told.established), (offloaded, true), "{status:x}");
            entry.remove(index(4));
            let untold = session(&entry).unwrap();
            assert_eq!(
                (untold.offloaded, untold.established),
                (offloaded, offloaded),
                "{status:x}"
            );
        }
        // On its way out of the flow table it has a state again, and that counts.
        let mut closing = entry();
        closing[index(3)] = leaf(3, &0x0000_418e_u32.to_be_bytes());
        closing[index(4)] = nest(4, &[nest(1, &[leaf(1, &[4])])]);
        assert!(!session(&closing).unwrap().established);
    }

    #[test]
    fn without_accounting_nothing_is_counted() {
        for missing in [&[9_u16, 10][..], &[9], &[10]] {
            let mut entry = entry();
            for kind in missing.iter().rev() {
                entry.remove(index(*kind));
            }
            let session = session(&entry).unwrap();
            assert_eq!((session.bytes, session.packets), (None, None), "without {missing:?}");
            assert!(session.established);
        }
    }

    #[test]
    fn what_is_no_tcp_session_is_none() {
        let mut udp = entry();
        udp[0] = tuple(1, 17, [203, 0, 113, 9], [198, 51, 100, 2], [0; 4]);
        udp[1] = tuple(2, 17, [198, 51, 100, 2], [203, 0, 113, 9], [0; 4]);
        assert_eq!(session(&udp), None);
        for (kind, broken) in [
            (3, leaf(3, &[0; 3])),
            (4, nest(4, &[nest(1, &[leaf(1, &[])])])),
            (4, nest(4, &[nest(1, &[leaf(1, &[0, 0, 0, 3])])])),
            (9, nest(9, &[leaf(1, &[0; 8])])),
            (9, nest(9, &[leaf(1, &[0; 4]), leaf(2, &[0; 8])])),
            (10, leaf(10, &[1, 2, 3, 4, 5])),
        ] {
            let mut entry = entry();
            entry[index(kind)] = broken;
            assert_eq!(session(&entry), None, "attribute {kind}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Session::parse(&bytes);
        }

        #[test]
        fn changed_bytes(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6), cut in any::<proptest::sample::Index>()) {
            let mut bytes = bytes(&entry());
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = Session::parse(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = Session::parse(&bytes);
        }
    }
}
