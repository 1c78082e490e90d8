//! conntrack over ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`): dump and delete.
//!
//! netlink's own headers are in the machine's byte order; everything in ctnetlink's attributes is big endian.
//! The dump is read by a parser of our own: it makes no allocation for an entry that is not kept (a router may hold 100 000), and it knows
//! `CTA_ID` and `CTA_ZONE`, which `netlink-packet-netfilter` does not. Requests are the same plain trees of attributes as for nf_tables.
//! The kernel is asked to leave out what is not wanted: a flood of half-open connections fills the table, and to show an entry costs it far more than to pass it over.

mod session;

pub use session::Session;

use super::netlink::{Messages, Socket, NFGENMSG};
use super::storage;
use crate::gather::GatherInto;
use crate::nft::netlink::{emit, Attribute};
use netlink_packet_core::{NlasIterator, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterProtoFamily};
use netlink_sys::protocols::NETLINK_NETFILTER;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct Tuple {
    pub source: IpAddr,
    pub dest: IpAddr,
    pub source_port: u16,
    pub dest_port: u16,
}

/// A conntrack entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct Flow {
    /// The IP protocol's number.
    pub protocol: u8,
    pub original: Tuple,
    pub reply: Tuple,
    /// conntrack zone (0 unless rules set one).
    pub zone: u16,
    /// The kernel's id of the entry: a deletion that names it cannot hit the flow's successor.
    pub id: u32,
}

/// Why conntrack could not be read or changed.
#[derive(Debug)]
pub enum Error {
    /// No netlink socket.
    Open(io::Error),
    /// A request could not be sent.
    Send(io::Error),
    /// No answer, or none within five seconds.
    Receive(io::Error),
    /// The kernel has no conntrack over netlink (module `nf_conntrack_netlink`).
    Missing,
    /// The kernel refused.
    Refused(io::Error),
    /// The kernel's answer is no netlink.
    Malformed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "conntrack: no netlink socket: {error}"),
            Self::Send(error) => write!(f, "conntrack: request not sent: {error}"),
            Self::Receive(error) => write!(f, "conntrack: no answer: {error}"),
            Self::Missing => f.write_str("conntrack: the kernel module nf_conntrack_netlink is missing"),
            Self::Refused(error) => write!(f, "conntrack: refused: {error}"),
            Self::Malformed => f.write_str("conntrack: the kernel's answer does not parse"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) | Self::Send(error) | Self::Receive(error) | Self::Refused(error) => Some(error),
            Self::Missing | Self::Malformed => None,
        }
    }
}

/// What became of flows that were to be deleted.
#[derive(Debug, Default)]
pub struct Deleted {
    /// How many are gone by that.
    pub flows: u32,
    /// The first reason for which one is not.
    pub error: Option<Error>,
}

/// Deletions per send: their acknowledgements fit the smallest receive buffer.
const BATCH: usize = 64;
/// The most sessions that one look brings: whoever reaches an open port decides how many there are. (Some 2 MB; a usual conntrack table has 16 384 entries.)
pub const SESSIONS: usize = 16_384;
/// A dump that the kernel calls inconsistent is asked for again so many times, and then taken as it is: every entry in it is real.
const DUMPS: u32 = 4;

/// A socket to ctnetlink. One request at a time.
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Opens a socket. Needs no right; reading and deleting need `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::open(NETLINK_NETFILTER).map_err(Error::Open)?;
        Ok(Self { socket })
    }

    /// The flows of one protocol (UDP is 17) of both families that `keep` takes, sorted. `keep` may see a flow twice, the answer holds it once.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Refused`] without `CAP_NET_ADMIN`.
    pub fn flows(&mut self, protocol: u8, keep: &mut dyn FnMut(&Flow) -> bool) -> Result<Vec<Flow>, Error> {
        let mut flows = Vec::new();
        for _ in 0..DUMPS {
            flows.clear();
            let mut take = |entry: &[u8]| flows.gather(parse_flow(entry, protocol).filter(|flow| keep(flow)));
            if self.dump(protocol, 0, &mut take)? == Dump::Consistent {
                break;
            }
        }
        flows.sort_unstable();
        flows.dedup();
        Ok(flows)
    }

    /// The TCP sessions of both families that `keep` takes, the first [`SESSIONS`] of them, sorted by flow. `keep` may see a session twice, the answer holds it once.
    /// Half-open ones are left out. Where there are many the kernel does that (since Linux 5.15; before, `keep` sees them as well).
    ///
    /// # Errors
    /// As [`Self::flows`].
    pub fn sessions(&mut self, keep: &mut dyn FnMut(&Session) -> bool) -> Result<Vec<Session>, Error> {
        let mut sessions = Vec::new();
        for _ in 0..DUMPS {
            sessions.clear();
            let mut take = |entry: &[u8]| {
                if sessions.len() < SESSIONS {
                    sessions.gather(Session::parse(entry).filter(|session| keep(session)));
                }
            };
            if self.dump(session::TCP, ASSURED, &mut take)? == Dump::Consistent {
                break;
            }
        }
        sessions.sort_unstable_by_key(|session| session.flow);
        sessions.dedup_by_key(|session| session.flow);
        Ok(sessions)
    }

    /// Deletes flows, by zone, original direction and id; answers how many were really deleted. One that is gone already, or has a
    /// successor with the same addresses and ports, is not counted and not an error. One that the kernel refuses to delete keeps none of the others.
    ///
    /// Only protocols with ports (TCP, UDP, UDP-Lite, SCTP, DCCP).
    pub fn delete(&mut self, flows: &[Flow]) -> Deleted {
        let mut deleted = Deleted::default();
        for batch in flows.chunks(BATCH) {
            if let Err(error) = self.delete_batch(batch, &mut deleted) {
                deleted.error.get_or_insert(error);
                break;
            }
        }
        deleted
    }

    /// What the kernel refuses is noted; an error is one of the socket's, behind which nothing can be asked any more.
    fn delete_batch(&mut self, batch: &[Flow], deleted: &mut Deleted) -> Result<(), Error> {
        let first = self.socket.next_sequence(batch.len());
        let mut request = Vec::new();
        // What fails is told in any case, and in order: to ask for the last one's acknowledgement is enough, and a third of the work.
        for (number, flow) in (1..).zip(batch) {
            let flags = if number == batch.len() {
                NLM_F_REQUEST | NLM_F_ACK
            } else {
                NLM_F_REQUEST
            };
            let sequence = first.wrapping_add(u32::try_from(number - 1).unwrap_or(u32::MAX));
            append(&mut request, &deletion(flow), flags, sequence);
        }
        self.socket.send(&request).map_err(Error::Send)?;
        let mut is_over = false;
        let mut left = 0;
        while !is_over {
            self.receive()?;
            for message in Messages::new(self.socket.datagram()) {
                let message = message.ok_or(Error::Malformed)?;
                let number = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if number >= batch.len() || i32::from(message.kind) != libc::NLMSG_ERROR {
                    continue;
                }
                is_over |= number + 1 == batch.len();
                match message.status() {
                    Some(0) => continue,
                    Some(libc::ENOENT) => {}
                    Some(errno) => {
                        deleted.error.get_or_insert_with(|| refusal(errno));
                    }
                    None => return Err(Error::Malformed),
                }
                left += 1;
            }
        }
        let flows = u32::try_from(batch.len().saturating_sub(left)).unwrap_or(u32::MAX);
        deleted.flows = deleted.flows.saturating_add(flows);
        Ok(())
    }

    /// Shows the attributes of every entry of a protocol that has these bits of the status, and of others where the kernel does not know the question or it is
    /// not worth asking.
    fn dump(&mut self, protocol: u8, status: u32, take: &mut dyn FnMut(&[u8])) -> Result<Dump, Error> {
        if is_sparse() {
            return self.walk(&everything(), &mut |entry| {
                if has_status(entry, status) {
                    take(entry);
                }
            });
        }
        let mut verdict = Dump::Consistent;
        for family in [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6] {
            if self.walk(&wanted(family, protocol, status), take)? == Dump::Interrupted {
                verdict = Dump::Interrupted;
            }
        }
        Ok(verdict)
    }

    /// One walk of the kernel's through its whole table.
    fn walk(&mut self, wanted: &Request, take: &mut dyn FnMut(&[u8])) -> Result<Dump, Error> {
        let sequence = self.socket.next_sequence(1);
        let mut request = Vec::new();
        append(&mut request, wanted, NLM_F_REQUEST | NLM_F_DUMP, sequence);
        self.socket.send(&request).map_err(Error::Send)?;
        let mut verdict = Dump::Consistent;
        loop {
            self.receive()?;
            for message in Messages::new(self.socket.datagram()) {
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
                            Some(errno) => Err(refusal(errno)),
                            None => Err(Error::Malformed),
                        };
                    }
                    CT_NEW => take(message.payload.get(NFGENMSG..).unwrap_or_default()),
                    _ => {}
                }
            }
        }
    }

    fn receive(&mut self) -> Result<(), Error> {
        self.socket.receive().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Error::Malformed,
            _ => Error::Receive(error),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dump {
    Consistent,
    Interrupted,
}

/// nfnetlink answers EINVAL to a subsystem that nobody registered, and our requests are valid otherwise.
fn refusal(errno: i32) -> Error {
    match errno {
        libc::EINVAL | libc::EOPNOTSUPP => Error::Missing,
        errno => Error::Refused(io::Error::from_raw_os_error(errno)),
    }
}

/// A request to ctnetlink.
struct Request {
    kind: u16,
    family: NetfilterProtoFamily,
    attributes: Vec<Attribute>,
}

fn append(buffer: &mut Vec<u8>, request: &Request, flags: u16, sequence: u32) {
    let header = NetfilterHeader::new(request.family, 0, 0);
    emit(request.kind, flags, sequence, &header, &request.attributes, buffer);
}

/// What conntrack says of itself under this name: `nf_conntrack_count`, for one. `None`: nothing, or no number.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let text = storage::read(&Path::new("/proc/sys/net/netfilter").join(name)).ok()??;
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

/// Whether a walk through the table's buckets (35 ns each, measured) takes longer than to tell all that is in them (4.5 µs an entry): to leave some of it out
/// takes two walks, one for each family.
fn is_sparse() -> bool {
    let (entries, buckets) = (number("nf_conntrack_count"), number("nf_conntrack_buckets"));
    entries
        .zip(buckets)
        .is_some_and(|(entries, buckets)| entries < buckets / BUCKETS_PER_ENTRY)
}

/// See [`is_sparse`].
const BUCKETS_PER_ENTRY: u32 = 128;

fn has_status(entry: &[u8], status: u32) -> bool {
    if status == 0 {
        return true;
    }
    let found = NlasIterator::new(entry)
        .flatten()
        .find(|attribute| attribute.kind() == CTA_STATUS);
    let found = found
        .and_then(|found| found.value().try_into().ok())
        .map(u32::from_be_bytes);
    found.is_some_and(|found| found & status == status)
}

fn everything() -> Request {
    Request {
        kind: CT_GET,
        family: NetfilterProtoFamily::Unspec,
        attributes: Vec::new(),
    }
}

/// Entries of a protocol that have these bits of their status. Kernels before 5.8 (protocol) and 5.15 (status) do not know these attributes, and pass them over. Who asks by
/// protocol has to name the family.
fn wanted(family: NetfilterProtoFamily, protocol: u8, status: u32) -> Request {
    let tuple = vec![nest(CTA_TUPLE_PROTO, vec![leaf(CTA_PROTO_NUM, [protocol])])];
    // In the machine's own order, unlike everything else here.
    let by_protocol = FILTER_PROTO_NUM.to_ne_bytes();
    let mut attributes = vec![
        nest(CTA_TUPLE_ORIG, tuple),
        nest(CTA_FILTER, vec![leaf(CTA_FILTER_ORIG_FLAGS, by_protocol)]),
    ];
    if status != 0 {
        attributes.gather([CTA_STATUS, CTA_STATUS_MASK].map(|kind| leaf(kind, status.to_be_bytes())));
    }
    Request {
        kind: CT_GET,
        family,
        attributes,
    }
}

fn deletion(flow: &Flow) -> Request {
    let (family, source_kind, dest_kind) = match flow.original.source {
        IpAddr::V4(_) => (NetfilterProtoFamily::IPv4, CTA_IP_V4_SRC, CTA_IP_V4_DST),
        IpAddr::V6(_) => (NetfilterProtoFamily::IPv6, CTA_IP_V6_SRC, CTA_IP_V6_DST),
    };
    let addresses = vec![
        leaf(source_kind, octets(flow.original.source)),
        leaf(dest_kind, octets(flow.original.dest)),
    ];
    let ports = vec![
        leaf(CTA_PROTO_NUM, [flow.protocol]),
        leaf(CTA_PROTO_SRC_PORT, flow.original.source_port.to_be_bytes()),
        leaf(CTA_PROTO_DST_PORT, flow.original.dest_port.to_be_bytes()),
    ];
    let tuple = vec![nest(CTA_TUPLE_IP, addresses), nest(CTA_TUPLE_PROTO, ports)];
    let mut attributes = vec![nest(CTA_TUPLE_ORIG, tuple), leaf(CTA_ID, flow.id.to_be_bytes())];
    // Kernels without zones refuse the attribute even for zone 0.
    if flow.zone != 0 {
        attributes.push(leaf(CTA_ZONE, flow.zone.to_be_bytes()));
    }
    Request {
        kind: CT_DELETE,
        family,
        attributes,
    }
}

fn leaf(kind: u16, value: impl Into<Vec<u8>>) -> Attribute {
    let value = value.into();
    Attribute::Leaf { kind, value }
}

fn nest(kind: u16, inner: Vec<Attribute>) -> Attribute {
    Attribute::Nest { kind, inner }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`
const CT_NEW: i32 = 1 << 8;
/// `IPCTNL_MSG_CT_GET`
const CT_GET: u16 = 1 << 8 | 1;
/// `IPCTNL_MSG_CT_DELETE`
const CT_DELETE: u16 = 1 << 8 | 2;

// enum ctattr_type, ctattr_tuple, ctattr_ip, ctattr_l4proto
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_STATUS_MASK: u16 = 26;
// enum ctattr_filter, and its flag for CTA_PROTO_NUM (net/netfilter/nf_internals.h)
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const FILTER_PROTO_NUM: u32 = 1 << 3;
/// `IPS_ASSURED`
const ASSURED: u32 = 1 << 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_TUPLE_ZONE: u16 = 3;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// The attributes of `IPCTNL_MSG_CT_NEW`. `None` for another protocol and for what lacks a part of a flow.
#[must_use]
pub fn parse_flow(entry: &[u8], protocol: u8) -> Option<Flow> {
    let (mut original, mut reply, mut zone, mut id) = (None, None, 0, None);
    for attribute in NlasIterator::new(entry) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            CTA_TUPLE_ORIG => {
                let tuple = parse_tuple(value, protocol)?;
                // A zone that holds for this direction only stands in the tuple instead.
                zone = tuple.zone.unwrap_or(zone);
                original = Some(tuple.tuple);
            }
            CTA_TUPLE_REPLY => reply = Some(parse_tuple(value, protocol)?.tuple),
            CTA_ZONE => zone = parse_u16(value)?,
            CTA_ID => id = Some(u32::from_be_bytes(value.try_into().ok()?)),
            _ => {}
        }
    }
    Some(Flow {
        protocol,
        original: original?,
        reply: reply?,
        zone,
        id: id?,
    })
}

struct ZonedTuple {
    tuple: Tuple,
    zone: Option<u16>,
}

fn parse_tuple(nested: &[u8], protocol: u8) -> Option<ZonedTuple> {
    let (mut addresses, mut ports, mut zone) = (None, None, None);
    for attribute in NlasIterator::new(nested) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            CTA_TUPLE_IP => addresses = Some(parse_addresses(attribute.value())?),
            CTA_TUPLE_PROTO => ports = Some(parse_ports(attribute.value(), protocol)?),
            CTA_TUPLE_ZONE => zone = Some(parse_u16(attribute.value())?),
            _ => {}
        }
    }
    let ((source, dest), (source_port, dest_port)) = (addresses?, ports?);
    Some(ZonedTuple {
        tuple: Tuple {
            source,
            dest,
            source_port,
            dest_port,
        },
        zone,
    })
}

fn parse_addresses(nested: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (mut source, mut dest) = (None, None);
    for attribute in NlasIterator::new(nested) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            CTA_IP_V4_SRC => source = Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
            CTA_IP_V4_DST => dest = Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
            CTA_IP_V6_SRC => source = Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
            CTA_IP_V6_DST => dest = Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
            _ => {}
        }
    }
    let (source, dest) = (source?, dest?);
    (source.is_ipv4() == dest.is_ipv4()).then_some((source, dest))
}

/// Source and destination port, of the wanted protocol only; 0 for a protocol that has none.
fn parse_ports(nested: &[u8], protocol: u8) -> Option<(u16, u16)> {
    let (mut number, mut source, mut dest) = (None, 0, 0);
    for attribute in NlasIterator::new(nested) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            CTA_PROTO_NUM => number = attribute.value().first().copied(),
            CTA_PROTO_SRC_PORT => source = parse_u16(attribute.value())?,
            CTA_PROTO_DST_PORT => dest = parse_u16(attribute.value())?,
            _ => {}
        }
    }
    (number == Some(protocol)).then_some((source, dest))
}

fn parse_u16(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::netlink::testing::{attribute, message};
    use super::*;
    use proptest::prelude::*;

    fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
        attribute(kind | 0x8000, &parts.concat())
    }

    fn ports(protocol: u8, source: [u8; 2], dest: [u8; 2]) -> Vec<u8> {
        nested(
            2,
            &[attribute(1, &[protocol]), attribute(2, &source), attribute(3, &dest)],
        )
    }

    /// 192.168.1.20:50000 -> 203.0.113.9:40001, masqueraded as 198.51.100.2:50001.
    fn ipv4_entry() -> Vec<Vec<u8>> {
        vec![
            nested(
                1,
                &[
                    nested(1, &[attribute(1, &[192, 168, 1, 20]), attribute(2, &[203, 0, 113, 9])]),
                    ports(17, [0xc3, 0x50], [0x9c, 0x41]),
                ],
            ),
            nested(
                2,
                &[
                    nested(1, &[attribute(1, &[203, 0, 113, 9]), attribute(2, &[198, 51, 100, 2])]),
                    ports(17, [0x9c, 0x41], [0xc3, 0x51]),
                ],
            ),
            attribute(3, &[0, 0, 1, 0x8e]),
            attribute(7, &[0, 0, 0, 29]),
            attribute(8, &[0; 4]),
            attribute(12, &[0xde, 0xad, 0xbe, 0xef]),
            attribute(11, &[0, 0, 0, 1]),
        ]
    }

    fn ipv4_flow() -> Flow {
        Flow {
            protocol: 17,
            original: Tuple {
                source: [192, 168, 1, 20].into(),
                dest: [203, 0, 113, 9].into(),
                source_port: 50000,
                dest_port: 40001,
            },
            reply: Tuple {
                source: [203, 0, 113, 9].into(),
                dest: [198, 51, 100, 2].into(),
                source_port: 40001,
                dest_port: 50001,
            },
            zone: 0,
            id: 0xdead_beef,
        }
    }

    #[test]
    fn an_entry_is_read_from_big_endian_attributes() {
        assert_eq!(parse_flow(&ipv4_entry().concat(), 17), Some(ipv4_flow()));
        assert_eq!(parse_flow(&ipv4_entry().concat(), 6), None);
    }

    #[test]
    fn an_ipv6_entry_in_a_zone() {
        let address = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let tuple = |kind, source: u8, dest: u8, more: Vec<u8>| {
            let addresses = nested(1, &[attribute(3, &address(source)), attribute(4, &address(dest))]);
            nested(kind, &[addresses, ports(17, [1, 2], [3, 4]), more])
        };
        let entry = |top: Vec<u8>, original: Vec<u8>, reply: Vec<u8>| {
            [
                tuple(1, 5, 6, original),
                tuple(2, 6, 5, reply),
                top,
                attribute(12, &[0, 0, 0, 1]),
            ]
            .concat()
        };
        let zone = |kind| attribute(kind, &[0x01, 0x02]);
        let flow = parse_flow(&entry(zone(18), vec![], vec![]), 17).unwrap();
        assert_eq!(
            (flow.zone, flow.id, flow.original.source_port, flow.original.dest_port),
            (258, 1, 258, 772)
        );
        assert_eq!(flow.reply.source, IpAddr::from(address(6)));
        assert_eq!(parse_flow(&entry(vec![], zone(3), vec![]), 17).unwrap().zone, 258);
        assert_eq!(
            parse_flow(&entry(vec![], vec![], zone(3)), 17).unwrap().zone,
            0,
            "a reply's zone is not the original's"
        );
    }

    #[test]
    fn an_entry_that_lacks_a_part_is_no_flow() {
        for missing in [0, 1, 5] {
            let mut entry = ipv4_entry();
            entry.remove(missing);
            assert_eq!(parse_flow(&entry.concat(), 17), None, "without attribute {missing}");
        }
    }

    #[test]
    fn a_deletion_names_zone_direction_and_id() {
        let mut request = Vec::new();
        append(
            &mut request,
            &deletion(&Flow {
                zone: 258,
                ..ipv4_flow()
            }),
            NLM_F_REQUEST | NLM_F_ACK,
            7,
        );
        let expected = [
            vec![2, 0, 0, 0],
            ipv4_entry()[0].clone(),
            attribute(12, &[0xde, 0xad, 0xbe, 0xef]),
            attribute(18, &[0x01, 0x02]),
        ]
        .concat();
        assert_eq!(request, message(0x0102, 5, 7, &expected));
        request.clear();
        append(&mut request, &deletion(&ipv4_flow()), 0, 0);
        assert_eq!(request.len(), 16 + expected.len() - 8, "no zone attribute for zone 0");
    }

    #[test]
    fn a_datagram_is_split_into_messages() {
        let datagram = [
            message(256, 0x12, 9, &[1, 2, 3, 4, 5]),
            vec![0; 3],
            message(3, 2, 9, &[0; 4]),
        ]
        .concat();
        let messages: Vec<_> = Messages::new(&datagram)
            .map(|m| m.map(|m| (m.kind, m.flags, m.sequence)))
            .collect();
        assert_eq!(messages, [Some((256, 0x12, 9)), Some((3, 2, 9))]);
        for broken in [&datagram[..15], &datagram[..20], &[0; 16][..], &[255; 40][..]] {
            let messages: Vec<_> = Messages::new(broken).map(|m| m.is_some()).collect();
            assert_eq!(messages, [false]);
        }
    }

    #[test]
    fn errors_come_as_negative_numbers() {
        let status = |bytes: &[u8]| {
            let datagram = message(2, 0, 1, bytes);
            let status = Messages::new(&datagram).next().flatten().unwrap().status();
            status
        };
        assert_eq!(status(&(-2_i32).to_ne_bytes()), Some(libc::ENOENT));
        assert_eq!(status(&i32::MIN.to_ne_bytes()), None);
        assert_eq!(status(&[0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_flow(&bytes, 17);
            Messages::new(&bytes).for_each(drop);
        }

        #[test]
        fn a_changed_byte(at in 0usize..200, value in any::<u8>()) {
            let mut entry = ipv4_entry().concat();
            let at = at % entry.len();
            entry[at] = value;
            let _ = parse_flow(&entry, 17);
        }
    }
}
