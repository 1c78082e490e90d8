//! A rule as the expressions that nft makes of its text.
//!
//! Order and merging follow nft's `src/payload.c` (dependencies, `payload_try_merge`) and `src/netlink_linearize.c`; the tests hold every rule
//! against `nft --debug=netlink`.

use super::super::{
    element, mask6, Bits, Direction, Family, Field, Kind, Many, Mark, Match, Rule, State, Statement, Table, Value, TCP,
};
use super::attribute::Attribute;
use super::instruction::{
    bitwise, byteorder, compare, counter, counting, ct, ct_towards, dynset, expression, fib_daddr_type, limit,
    load_mark, log, meta, payload, reject, store_mark, verdict, Header, Place, CMP_EQ, CMP_GT, CMP_GTE, CMP_LT,
    CMP_NEQ, CT_BYTES, CT_DIRECTION, CT_DST_IP, CT_DST_IP6, CT_PROTO_DST, CT_SRC_IP, CT_SRC_IP6, CT_STATE, CT_STATUS,
    META_IIFNAME, META_IIFTYPE, META_L4PROTO, META_NFPROTO, META_OIFNAME, META_TIME_NS, REGISTER32_0, REGISTER_1,
};
use super::Endian;
use crate::gather::Gather;
use crate::gather::GatherInto;

/// How a field is read.
enum Source {
    /// `enum nft_meta_keys`
    Meta(u32),
    Payload(Place),
    /// `enum nft_ct_keys`, in the direction in which the connection was opened.
    Original(u32),
}

/// `IPS_ASSURED`
const STATUS_ASSURED: u32 = 1 << 2;
/// `IPS_DST_NAT`
const STATUS_DNAT: u32 = 1 << 5;
/// `ARPHRD_ETHER`
const ARPHRD_ETHER: u16 = 1;

/// `RTN_LOCAL`
const ROUTE_LOCAL: u32 = 2;
/// `RTN_BROADCAST`
const ROUTE_BROADCAST: u32 = 3;
/// `RTN_MULTICAST`
const ROUTE_MULTICAST: u32 = 5;

/// The byte of TCP's flags.
const TCP_FLAGS: Place = Place {
    header: Header::Transport,
    offset: 13,
    length: 1,
};

fn source(field: Field) -> Source {
    let place = |header, offset, length| Source::Payload(Place { header, offset, length });
    match field {
        Field::IifName => Source::Meta(META_IIFNAME),
        Field::OifName => Source::Meta(META_OIFNAME),
        Field::L4Proto => Source::Meta(META_L4PROTO),
        Field::Time => Source::Meta(META_TIME_NS),
        Field::EtherSaddr => place(Header::Link, 6, 6),
        Field::Ip4Saddr => place(Header::Network, 12, 4),
        Field::Ip4Daddr => place(Header::Network, 16, 4),
        Field::Ip6Saddr | Field::Ip6SaddrNet(_) => place(Header::Network, 8, 16),
        Field::Ip6Daddr | Field::Ip6DaddrNet(_) => place(Header::Network, 24, 16),
        Field::UdpSport | Field::TcpSport => place(Header::Transport, 0, 2),
        Field::UdpDport | Field::TcpDport => place(Header::Transport, 2, 2),
        Field::CtIp4Saddr => Source::Original(CT_SRC_IP),
        Field::CtIp4Daddr => Source::Original(CT_DST_IP),
        Field::CtIp6Saddr | Field::CtIp6SaddrNet(_) => Source::Original(CT_SRC_IP6),
        Field::CtIp6Daddr => Source::Original(CT_DST_IP6),
        Field::CtDport => Source::Original(CT_PROTO_DST),
    }
}

/// The expressions of a rule, as `NFTA_RULE_EXPRESSIONS` holds them. The table tells the type of the sets that the rule looks into.
#[must_use]
pub fn expressions(table: &Table, rule: &Rule, endian: Endian) -> Vec<Attribute> {
    let mut encoder = Encoder {
        table,
        endian,
        pieces: Vec::new(),
        is_ethernet: false,
        family: None,
        protocol: None,
    };
    for statement in &rule.statements {
        encoder.statement(statement);
    }
    let pieces = merge(encoder.pieces);
    pieces.into_iter().flat_map(encode).gathered()
}

/// Between statements and expressions: comparisons with what is in the packet are kept apart, because nft merges them.
#[derive(Debug, Clone)]
enum Piece {
    /// The bytes at the place are these.
    Packet {
        place: Place,
        value: Vec<u8>,
        is_protocol: bool,
    },
    /// Any other match.
    Other(Vec<Attribute>),
    /// What is not a match: nothing is merged across it.
    Action(Attribute),
}

struct Encoder<'a> {
    table: &'a Table,
    endian: Endian,
    pieces: Vec<Piece>,
    is_ethernet: bool,
    family: Option<Family>,
    protocol: Option<u8>,
}

impl Encoder<'_> {
    fn statement(&mut self, statement: &Statement) {
        let action = match statement {
            Statement::Match(condition) => return self.condition(condition),
            Statement::Counter(name) => counter(name),
            Statement::Element {
                operation,
                set,
                key,
                timeout,
            } => {
                self.load_key(key);
                dynset(*operation, set, *timeout)
            }
            Statement::Count { set, key } => {
                self.load_key(key);
                counting(set)
            }
            Statement::SetMark(mark, bits) => self.change_mark(*mark, *bits, *bits),
            Statement::ClearMark(mark, bits) => self.change_mark(*mark, *bits, 0),
            Statement::Log { group, snaplen, prefix } => log(*group, *snaplen, prefix),
            Statement::Limit { rate, burst } => limit(*rate, *burst),
            Statement::Reject(how) => reject(*how),
            Statement::Jump(chain) => verdict(-3, Some(chain)),
            Statement::Goto(chain) => verdict(-4, Some(chain)),
            Statement::Return => verdict(-5, None),
            Statement::Accept => verdict(1, None),
            Statement::Drop => verdict(0, None),
        };
        self.pieces.push(Piece::Action(action));
    }

    fn load_key(&mut self, key: &[Field]) {
        self.dependencies(key);
        let loads = self.load_all(key, false);
        self.pieces.gather(loads.into_iter().map(Piece::Action));
    }

    /// Of the bits `among`, those in `set` are set and the others cleared.
    fn change_mark(&mut self, mark: Mark, among: u32, set: u32) -> Attribute {
        let change = bitwise(REGISTER_1, self.endian.u32(!among), self.endian.u32(set));
        self.pieces.gather([load_mark(mark), change].map(Piece::Action));
        store_mark(mark)
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Is(field, value) => self.is(*field, value),
            Match::BeginsWith(field, start) => {
                let bytes = start.bytes().take(15).gathered();
                self.loaded(*field, bytes);
            }
            Match::Below(field, port) => self.ordered(*field, CMP_LT, *port),
            Match::Above(field, port) => self.ordered(*field, CMP_GT, *port),
            Match::In(fields, set) => self.lookup(fields, set, 0),
            Match::NotIn(fields, set) => self.lookup(fields, set, 1),
            Match::Direction(direction) => {
                let value = match direction {
                    Direction::Original => 0,
                    Direction::Reply => 1,
                };
                self.other(vec![ct(CT_DIRECTION, REGISTER_1), compare(CMP_EQ, vec![value])]);
            }
            Match::StatusDnat => self.status(Bits::Any(STATUS_DNAT)),
            Match::StatusAssured => self.status(Bits::Any(STATUS_ASSURED)),
            Match::StatusAssuredNoDnat => self.status(Bits::Exactly {
                among: STATUS_ASSURED | STATUS_DNAT,
                set: STATUS_ASSURED,
            }),
            Match::State(states) => {
                let bits = states
                    .iter()
                    .map(|state| state_bit(*state))
                    .fold(0, |bits, bit| bits | bit);
                self.bits(ct(CT_STATE, REGISTER_1), Bits::Any(bits), 4);
            }
            Match::Family(family) => {
                self.family = Some(*family);
                self.nfproto(*family);
            }
            Match::TcpFlags(bits) => {
                self.transport_protocol(TCP);
                self.bits(payload(TCP_FLAGS, REGISTER_1), *bits, 1);
            }
            Match::Mark(mark, bits) => self.bits(load_mark(*mark), *bits, 4),
            Match::Bytes(direction, least) => {
                let list = vec![
                    ct_towards(CT_BYTES, *direction, REGISTER_1),
                    byteorder(REGISTER_1, 8, 8),
                    compare(CMP_GTE, least.to_be_bytes().to_vec()),
                ];
                self.other(list);
            }
            Match::ToThisMachine => {
                let local = self.endian.u32(ROUTE_LOCAL);
                self.other(vec![fib_daddr_type(), compare(CMP_EQ, local)]);
            }
            Match::NotTo(many) => {
                let kind = self.endian.u32(match many {
                    Many::Broadcast => ROUTE_BROADCAST,
                    Many::Multicast => ROUTE_MULTICAST,
                });
                self.other(vec![fib_daddr_type(), compare(CMP_NEQ, kind)]);
            }
        }
    }

    fn is(&mut self, field: Field, value: &Value) {
        self.dependencies(&[field]);
        let network = element::bytes(value);
        match (source(field), field.whole()) {
            (Source::Payload(place), (_, None)) => self.pieces.push(Piece::Packet {
                place,
                value: network,
                is_protocol: false,
            }),
            _ if field.kind() == Kind::Time => self.loaded(field, self.endian.ordered(network)),
            _ => self.loaded(field, network),
        }
        if let (Field::L4Proto, Value::InetProto(protocol)) = (field, value) {
            self.protocol = Some(*protocol);
        }
    }

    fn lookup(&mut self, fields: &[Field], name: &str, flags: u32) {
        self.dependencies(fields);
        let is_interval = self.table.set(name).is_some_and(|set| set.interval);
        let mut list = self.load_all(fields, is_interval);
        list.push(expression(
            "lookup",
            vec![
                Attribute::string(1, name),
                Attribute::u32(2, REGISTER_1),
                Attribute::u32(5, flags),
            ],
        ));
        self.other(list);
    }

    /// Loads the parts of a key into registers that follow each other; for ranges, turns those that are in the machine's order.
    fn load_all(&mut self, fields: &[Field], is_interval: bool) -> Vec<Attribute> {
        let mut list = Vec::new();
        let mut words = 0;
        for field in fields {
            let register = match words % 4 {
                0 => REGISTER_1 + words / 4,
                _ => REGISTER32_0 + words,
            };
            list.extend(load(*field, register));
            if field.kind() == Kind::Time && is_interval {
                list.push(byteorder(register, 8, 8));
            }
            words += words_of(field.kind());
        }
        list
    }

    /// What must be asked first for the fields to be where they are looked for; once for each rule.
    fn dependencies(&mut self, fields: &[Field]) {
        for field in fields {
            if *field == Field::EtherSaddr && !self.is_ethernet {
                self.is_ethernet = true;
                let value = match self.endian {
                    Endian::Little => ARPHRD_ETHER.to_le_bytes(),
                    Endian::Big => ARPHRD_ETHER.to_be_bytes(),
                };
                self.other(vec![meta(META_IIFTYPE, REGISTER_1), compare(CMP_EQ, value.to_vec())]);
            }
            let family = field.family().filter(|_| !field.is_of_connection());
            if let (Some(family), None) = (family, self.family) {
                self.family = Some(family);
                self.network_protocol(family);
            }
            if let Some(protocol) = field.protocol() {
                self.transport_protocol(protocol);
            }
        }
    }

    fn transport_protocol(&mut self, protocol: u8) {
        if self.protocol.is_none() {
            self.protocol = Some(protocol);
            self.other(vec![meta(META_L4PROTO, REGISTER_1), compare(CMP_EQ, vec![protocol])]);
        }
    }

    /// Where the rule has asked for Ethernet already, nft takes the EtherType.
    fn network_protocol(&mut self, family: Family) {
        if !self.is_ethernet {
            return self.nfproto(family);
        }
        let ether_type: u16 = match family {
            Family::Ipv4 => 0x0800,
            Family::Ipv6 => 0x86dd,
        };
        let place = Place {
            header: Header::Link,
            offset: 12,
            length: 2,
        };
        self.pieces.push(Piece::Packet {
            place,
            value: ether_type.to_be_bytes().to_vec(),
            is_protocol: true,
        });
    }

    fn nfproto(&mut self, family: Family) {
        let number = match family {
            Family::Ipv4 => 2,
            Family::Ipv6 => 10,
        };
        self.other(vec![meta(META_NFPROTO, REGISTER_1), compare(CMP_EQ, vec![number])]);
    }

    /// Asks for bits of what was loaded: a number in the machine's order, or one byte.
    fn status(&mut self, bits: Bits) {
        self.bits(ct(CT_STATUS, REGISTER_1), bits, 4);
    }

    fn bits(&mut self, loaded: Attribute, bits: Bits, length: usize) {
        let data = |value: u32| match length {
            1 => vec![value.to_le_bytes()[0]],
            _ => self.endian.u32(value),
        };
        let (operator, value) = match bits {
            Bits::Any(_) => (CMP_NEQ, 0),
            Bits::Exactly { set, .. } => (CMP_EQ, set),
        };
        let and = bitwise(REGISTER_1, data(bits.mask()), vec![0; length]);
        let compared = compare(operator, data(value));
        self.other(vec![loaded, and, compared]);
    }

    /// The field, compared with these bytes.
    /// Ports are in network order, so that the kernel's `memcmp` orders them.
    fn ordered(&mut self, field: Field, operator: u32, port: u16) {
        self.dependencies(&[field]);
        let mut list = load(field, REGISTER_1);
        list.push(compare(operator, port.to_be_bytes().to_vec()));
        self.other(list);
    }

    fn loaded(&mut self, field: Field, value: Vec<u8>) {
        let mut list = load(field, REGISTER_1);
        list.push(compare(CMP_EQ, value));
        self.other(list);
    }

    fn other(&mut self, list: Vec<Attribute>) {
        self.pieces.push(Piece::Other(list));
    }
}

fn state_bit(state: State) -> u32 {
    match state {
        State::Invalid => 1,
        State::Established => 1 << 1,
        State::Related => 1 << 2,
        State::New => 1 << 3,
        State::Untracked => 1 << 6,
    }
}

fn words_of(kind: Kind) -> u32 {
    match kind {
        Kind::InetProto | Kind::InetService | Kind::Ipv4Addr => 1,
        Kind::EtherAddr | Kind::Time => 2,
        Kind::Ipv6Addr | Kind::Ifname => 4,
    }
}

/// Two comparisons of neighbouring bytes become one (nft's `payload_do_merge`), if that is no slower for the kernel.
fn merge(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let mut start = 0;
    while start < pieces.len() {
        let length = pieces[start..]
            .iter()
            .position(|piece| matches!(piece, Piece::Action(_)));
        let end = length.map_or(pieces.len(), |length| start + length);
        let merged = merge_matches(pieces[start..end].to_vec());
        let next = start + merged.len() + 1;
        pieces.splice(start..end, merged);
        start = next;
    }
    pieces
}

fn merge_matches(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut slots: Vec<Option<Piece>> = pieces.into_iter().map(Some).gathered();
    let place_at = |slots: &[Option<Piece>], index: usize| match &slots[index] {
        Some(Piece::Packet { place, .. }) => Some(*place),
        _ => None,
    };
    let mut order: Vec<(Place, usize)> = (0..slots.len())
        .filter_map(|index| Some((place_at(&slots, index)?, index)))
        .gathered();
    order.sort_unstable();
    let mut last: Option<usize> = None;
    for (_, index) in order {
        last = match last {
            Some(low) => Some(join(&mut slots, low, index).unwrap_or(index)),
            None => Some(index),
        };
    }
    slots.into_iter().flatten().gathered()
}

/// Joins two and says where the result stands: at the place of the first bytes, unless the second says what protocol follows.
fn join(slots: &mut [Option<Piece>], low: usize, high: usize) -> Option<usize> {
    let (
        Some(Piece::Packet { place, value, .. }),
        Some(Piece::Packet {
            place: next,
            value: tail,
            is_protocol,
        }),
    ) = (&slots[low], &slots[high])
    else {
        return None;
    };
    let length = place.length + next.length;
    let is_adjacent = place.header == next.header && place.offset + place.length == next.offset;
    if !is_adjacent || length > 16 || (place.header != Header::Link && length > 4) {
        return None;
    }
    let joined = Piece::Packet {
        place: Place { length, ..*place },
        value: [value.as_slice(), tail.as_slice()].concat(),
        is_protocol: *is_protocol,
    };
    let (at, gone) = if *is_protocol { (high, low) } else { (low, high) };
    slots[gone] = None;
    slots[at] = Some(joined);
    Some(at)
}

fn encode(piece: Piece) -> Vec<Attribute> {
    match piece {
        Piece::Packet { place, value, .. } => vec![payload(place, REGISTER_1), compare(CMP_EQ, value)],
        Piece::Other(list) => list,
        Piece::Action(attribute) => vec![attribute],
    }
}

/// One expression, or two for a field with a mask.
fn load(field: Field, register: u32) -> Vec<Attribute> {
    let loaded = match source(field) {
        Source::Meta(key) => meta(key, register),
        Source::Payload(place) => payload(place, register),
        Source::Original(key) => ct_towards(key, Direction::Original, register),
    };
    let mask = |bits| bitwise(register, mask6(bits).octets().to_vec(), vec![0; 16]);
    std::iter::once(loaded).chain(field.whole().1.map(mask)).gathered()
}
