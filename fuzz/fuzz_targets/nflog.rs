//! Any datagram is a few copies of packets or none: as many and as long as may be, with the addresses that are in them.
#![no_main]

use lanward::system::nflog::{parse, MOST};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;

const SNAPLEN: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(bytes, 7477, SNAPLEN);
    assert!(parsed.packets.len() <= MOST);
    // They are in the order in which they came.
    let mut rest = bytes;
    for copied in &parsed.packets {
        let packet = &copied.payload;
        assert!(packet.len() <= SNAPLEN);
        let at = rest.windows(packet.len()).position(|part| part == packet);
        rest = &rest[at.expect("it is in the datagram")..];
        // A byte that is not UTF-8 becomes three.
        assert!(copied.prefix.len() <= 3 * 128 && !copied.prefix.contains('\0'));
        match (copied.source, copied.dest) {
            (IpAddr::V4(source), IpAddr::V4(dest)) => {
                assert_eq!(packet[0] >> 4, 4);
                assert_eq!(packet[12..20], [source.octets(), dest.octets()].concat());
            }
            (IpAddr::V6(source), IpAddr::V6(dest)) => {
                assert_eq!(packet[0] >> 4, 6);
                assert_eq!(packet[8..40], [source.octets(), dest.octets()].concat());
            }
            mixed => panic!("{mixed:?}"),
        }
    }
});
