//! nf_tables' expressions as attributes: one function for each, and the numbers of `linux/netfilter/nf_tables.h`.

use super::super::{Direction, Mark, Operation, Reject};
use super::attribute::Attribute;
use crate::gather::GatherInto;

/// `NFTA_LIST_ELEM`
pub(super) const LIST_ELEMENT: u16 = 1;
/// `NFTA_EXPR_NAME`
pub(super) const EXPRESSION_NAME: u16 = 1;
/// `NFTA_EXPR_DATA`
const EXPRESSION_DATA: u16 = 2;
/// `NFTA_DATA_VALUE`
pub(super) const DATA_VALUE: u16 = 1;
/// `NFTA_DATA_VERDICT`
const DATA_VERDICT: u16 = 2;

/// `NFT_REG_1`, the first of four registers of 16 bytes.
pub(super) const REGISTER_1: u32 = 1;
/// `NFT_REG32_00`, the first of sixteen registers of 4 bytes in the same memory.
pub(super) const REGISTER32_0: u32 = 8;
/// `NFT_REG_VERDICT`
const REGISTER_VERDICT: u32 = 0;

/// `enum nft_payload_bases`, in nft's sorting order too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Header {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// Where in a packet a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub header: Header,
    pub offset: u32,
    pub length: u32,
}

/// `enum nft_meta_keys`
const META_MARK: u32 = 3;
pub(super) const META_IIFNAME: u32 = 6;
pub(super) const META_OIFNAME: u32 = 7;
pub(super) const META_IIFTYPE: u32 = 8;
pub(super) const META_NFPROTO: u32 = 15;
pub(super) const META_L4PROTO: u32 = 16;
pub(super) const META_TIME_NS: u32 = 30;

/// `enum nft_ct_keys`
pub(super) const CT_STATE: u32 = 0;
pub(super) const CT_DIRECTION: u32 = 1;
pub(super) const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
pub(super) const CT_PROTO_DST: u32 = 12;
pub(super) const CT_BYTES: u32 = 15;
pub(super) const CT_SRC_IP: u32 = 19;
pub(super) const CT_DST_IP: u32 = 20;
pub(super) const CT_SRC_IP6: u32 = 21;
pub(super) const CT_DST_IP6: u32 = 22;

pub(super) const CMP_EQ: u32 = 0;
pub(super) const CMP_NEQ: u32 = 1;
pub(super) const CMP_LT: u32 = 2;
pub(super) const CMP_GT: u32 = 4;
pub(super) const CMP_GTE: u32 = 5;

pub(super) fn expression(name: &str, data: Vec<Attribute>) -> Attribute {
    Attribute::nest(
        LIST_ELEMENT,
        vec![
            Attribute::string(EXPRESSION_NAME, name),
            Attribute::nest(EXPRESSION_DATA, data),
        ],
    )
}

pub(super) fn load_mark(mark: Mark) -> Attribute {
    match mark {
        Mark::Packet => meta(META_MARK, REGISTER_1),
        Mark::Connection => ct(CT_MARK, REGISTER_1),
    }
}

/// `NFTA_META_KEY`, `NFTA_META_SREG`; `NFTA_CT_KEY`, `NFTA_CT_SREG`
pub(super) fn store_mark(mark: Mark) -> Attribute {
    let (name, key, register) = match mark {
        Mark::Packet => ("meta", META_MARK, 3),
        Mark::Connection => ("ct", CT_MARK, 4),
    };
    expression(name, vec![Attribute::u32(2, key), Attribute::u32(register, REGISTER_1)])
}

/// `NFTA_META_DREG`, `NFTA_META_KEY`
pub(super) fn meta(key: u32, register: u32) -> Attribute {
    expression("meta", vec![Attribute::u32(2, key), Attribute::u32(1, register)])
}

/// `NFTA_CT_DREG`, `NFTA_CT_KEY`
pub(super) fn ct(key: u32, register: u32) -> Attribute {
    expression("ct", vec![Attribute::u32(2, key), Attribute::u32(1, register)])
}

/// As [`ct`], with `NFTA_CT_DIRECTION`: `enum ip_conntrack_dir`
pub(super) fn ct_towards(key: u32, direction: Direction, register: u32) -> Attribute {
    let number = match direction {
        Direction::Original => 0,
        Direction::Reply => 1,
    };
    expression(
        "ct",
        vec![
            Attribute::u32(2, key),
            Attribute::u32(1, register),
            Attribute::bytes(3, vec![number]),
        ],
    )
}

/// `NFTA_FIB_DREG`, `NFTA_FIB_RESULT` (`NFT_FIB_RESULT_ADDRTYPE`), `NFTA_FIB_FLAGS` (`NFTA_FIB_F_DADDR`)
pub(super) fn fib_daddr_type() -> Attribute {
    expression(
        "fib",
        vec![
            Attribute::u32(1, REGISTER_1),
            Attribute::u32(2, 3),
            Attribute::u32(3, 1 << 1),
        ],
    )
}

/// `NFTA_BITWISE_*`: the register's bytes, those not in the mask cleared, those in `flip` turned over.
pub(super) fn bitwise(register: u32, mask: Vec<u8>, flip: Vec<u8>) -> Attribute {
    let length = u32::try_from(mask.len()).unwrap_or_default();
    expression(
        "bitwise",
        vec![
            Attribute::u32(1, register),
            Attribute::u32(2, register),
            Attribute::u32(3, length),
            Attribute::nest(4, vec![Attribute::bytes(DATA_VALUE, mask)]),
            Attribute::nest(5, vec![Attribute::bytes(DATA_VALUE, flip)]),
        ],
    )
}

/// `NFTA_PAYLOAD_*`
pub(super) fn payload(place: Place, register: u32) -> Attribute {
    expression(
        "payload",
        vec![
            Attribute::u32(1, register),
            Attribute::u32(2, place.header as u32),
            Attribute::u32(3, place.offset),
            Attribute::u32(4, place.length),
        ],
    )
}

/// `NFTA_CMP_*`
pub(super) fn compare(operator: u32, value: Vec<u8>) -> Attribute {
    let data = vec![Attribute::bytes(DATA_VALUE, value)];
    expression(
        "cmp",
        vec![
            Attribute::u32(1, REGISTER_1),
            Attribute::u32(2, operator),
            Attribute::nest(3, data),
        ],
    )
}

/// `NFTA_BYTEORDER_*`: to network order (`NFT_BYTEORDER_HTON`) in steps of `size` over `length` bytes.
pub(super) fn byteorder(register: u32, size: u32, length: u32) -> Attribute {
    expression(
        "byteorder",
        vec![
            Attribute::u32(1, register),
            Attribute::u32(2, register),
            Attribute::u32(3, 1),
            Attribute::u32(4, length),
            Attribute::u32(5, size),
        ],
    )
}

/// `NFTA_OBJREF_IMM_TYPE` (`NFT_OBJECT_COUNTER`), `NFTA_OBJREF_IMM_NAME`
pub(super) fn counter(name: &str) -> Attribute {
    expression("objref", vec![Attribute::u32(1, 1), Attribute::string(2, name)])
}

/// `NFTA_DYNSET_SET_NAME`, `NFTA_DYNSET_OP` (`enum nft_dynset_ops`), `NFTA_DYNSET_SREG_KEY`, `NFTA_DYNSET_TIMEOUT` (milliseconds)
pub(super) fn dynset(operation: Operation, set: &str, timeout: Option<u32>) -> Attribute {
    let number = match operation {
        Operation::Add => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
    };
    let mut data = vec![
        Attribute::string(1, set),
        Attribute::u32(3, number),
        Attribute::u32(4, REGISTER_1),
    ];
    data.gather(timeout.map(|seconds| Attribute::u64(6, u64::from(seconds) * 1000)));
    expression("dynset", data)
}

/// [`dynset`] of an element that counts: `NFTA_DYNSET_EXPR` is what it begins with, `NFTA_COUNTER_BYTES` and `NFTA_COUNTER_PACKETS` of 0.
/// (`NFTA_DYNSET_EXPRESSIONS` came with Linux 5.11 only.)
pub(super) fn counting(set: &str) -> Attribute {
    let zero = vec![Attribute::u64(1, 0), Attribute::u64(2, 0)];
    let begin = vec![
        Attribute::string(EXPRESSION_NAME, "counter"),
        Attribute::nest(EXPRESSION_DATA, zero),
    ];
    let data = vec![
        Attribute::string(1, set),
        Attribute::u32(3, 0),
        Attribute::u32(4, REGISTER_1),
        Attribute::nest(7, begin),
    ];
    expression("dynset", data)
}

/// `NFTA_LOG_GROUP`, `NFTA_LOG_PREFIX`, `NFTA_LOG_SNAPLEN`
pub(super) fn log(group: u16, snaplen: u32, prefix: &str) -> Attribute {
    expression(
        "log",
        vec![
            Attribute::bytes(1, group.to_be_bytes().to_vec()),
            Attribute::string(2, prefix),
            Attribute::u32(3, snaplen),
        ],
    )
}

/// `NFTA_LIMIT_RATE`, `NFTA_LIMIT_UNIT` (one second), `NFTA_LIMIT_BURST`, `NFTA_LIMIT_TYPE` (`NFT_LIMIT_PKTS`)
pub(super) fn limit(rate: u32, burst: u32) -> Attribute {
    expression(
        "limit",
        vec![
            Attribute::u64(1, rate.into()),
            Attribute::u64(2, 1),
            Attribute::u32(3, burst),
            Attribute::u32(4, 0),
        ],
    )
}

/// `NFTA_REJECT_TYPE` (`enum nft_reject_types`), `NFTA_REJECT_ICMP_CODE` (`NFT_REJECT_ICMPX_PORT_UNREACH`). A reset has no code, and the kernel
/// would not say the one it was sent.
pub(super) fn reject(how: Reject) -> Attribute {
    let data = match how {
        Reject::TcpReset => vec![Attribute::u32(1, 1)],
        Reject::PortUnreachable => vec![Attribute::u32(1, 2), Attribute::bytes(2, vec![1])],
    };
    expression("reject", data)
}

/// `NFTA_IMMEDIATE_DREG`, `NFTA_IMMEDIATE_DATA` with `NFTA_VERDICT_CODE` and `NFTA_VERDICT_CHAIN`
pub(super) fn verdict(code: i32, chain: Option<&str>) -> Attribute {
    let mut inner = vec![Attribute::bytes(1, code.to_be_bytes().to_vec())];
    inner.gather(chain.map(|chain| Attribute::string(2, chain)));
    let data = vec![Attribute::nest(DATA_VERDICT, inner)];
    expression(
        "immediate",
        vec![Attribute::u32(1, REGISTER_VERDICT), Attribute::nest(2, data)],
    )
}
