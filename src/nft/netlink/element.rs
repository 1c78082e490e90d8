//! Elements of sets as nft sends them and the kernel dumps them.

use super::super::element::{self, Span};
use super::super::{Element, Kind, Range, Set};
use super::attribute::{attributes, find, string, u32, u64, Attribute};
use super::instruction::DATA_VALUE;
use super::Endian;
use crate::gather::Gather;
use crate::gather::GatherInto;

/// `NFTA_SET_ELEM_KEY`
const KEY: u16 = 1;
/// `NFTA_SET_ELEM_FLAGS`
const FLAGS: u16 = 3;
/// `NFTA_SET_ELEM_TIMEOUT`
const TIMEOUT: u16 = 4;
/// `NFTA_SET_ELEM_EXPIRATION`
const EXPIRATION: u16 = 5;
/// `NFTA_SET_ELEM_USERDATA`
const USERDATA: u16 = 6;
/// `NFTA_SET_ELEM_EXPR`
const EXPRESSION: u16 = 7;
/// `NFTA_SET_ELEM_KEY_END`
const KEY_END: u16 = 10;
/// `NFTA_LIST_ELEM`
const LIST_ELEMENT: u16 = 1;
/// `NFT_SET_ELEM_INTERVAL_END`
const INTERVAL_END: u32 = 1;

/// An element as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The key's parts.
    pub key: Vec<Range>,
    /// Milliseconds that are left; `None`: for ever.
    pub expires: Option<u64>,
    /// What its counter says, if it has one: see [`super::super::Statement::Count`].
    pub packets: Option<u64>,
}

/// Whether keys are turned to network order, so that `memcmp` orders them.
fn is_ordered(set: &Set) -> bool {
    set.interval
}

/// One part of a key, in the register's order, unpadded.
fn part(set: &Set, kind: Kind, network: &[u8], endian: Endian) -> Vec<u8> {
    match kind {
        Kind::Time if !is_ordered(set) => endian.ordered(network.to_vec()),
        _ => network.to_vec(),
    }
}

fn key_bytes(set: &Set, parts: &[&[u8]], endian: Endian) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, network) in set.key.iter().zip(parts) {
        bytes.extend(part(set, *kind, network, endian));
        if set.is_concatenation() {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

fn data(kind: u16, bytes: Vec<u8>) -> Attribute {
    Attribute::nest(kind, vec![Attribute::bytes(DATA_VALUE, bytes)])
}

/// The elements (`NFTA_LIST_ELEM`) that one element is made of: two for a range in a set of ranges, where the kernel keeps beginnings and ends apart.
pub(super) fn encode(set: &Set, element: &Element, endian: Endian) -> Vec<Attribute> {
    let spans: Vec<Span> = element.key.iter().map(Span::from).gathered();
    let from: Vec<&[u8]> = spans.iter().map(|span| span.from.as_slice()).gathered();
    let to: Vec<&[u8]> = spans.iter().map(|span| span.to.as_slice()).gathered();
    let mut inner = Vec::new();
    inner.gather(
        element
            .timeout
            .map(|seconds| Attribute::u64(TIMEOUT, u64::from(seconds) * 1000)),
    );
    inner.push(data(KEY, key_bytes(set, &from, endian)));
    if !set.interval {
        return vec![Attribute::nest(LIST_ELEMENT, inner)];
    }
    if set.is_concatenation() {
        inner.push(data(KEY_END, key_bytes(set, &to, endian)));
        return vec![Attribute::nest(LIST_ELEMENT, inner)];
    }
    let Some(behind) = to.first().and_then(|to| element::successor(to)) else {
        inner.push(Attribute::bytes(USERDATA, open_interval(endian)));
        return vec![Attribute::nest(LIST_ELEMENT, inner)];
    };
    vec![Attribute::nest(LIST_ELEMENT, inner), end(set, &behind, endian)]
}

fn end(set: &Set, key: &[u8], endian: Endian) -> Attribute {
    let inner = vec![
        Attribute::u32(FLAGS, INTERVAL_END),
        data(KEY, key_bytes(set, &[key], endian)),
    ];
    Attribute::nest(LIST_ELEMENT, inner)
}

/// What nft sends before the ranges of a whole set, unless the first begins at zero: the end of nothing, at zero.
pub(super) fn opening(set: &Set, elements: &[Element], endian: Endian) -> Option<Attribute> {
    if !set.interval || set.is_concatenation() {
        return None;
    }
    let first = element::bytes(&elements.first()?.key.first()?.from);
    let zero = vec![0; first.len()];
    (first != zero).then(|| end(set, &zero, endian))
}

/// libnftnl's `NFTNL_UDATA_SET_ELEM_FLAGS` with `NFTNL_SET_ELEM_F_INTERVAL_OPEN`: nft needs it to print a range that ends with the last value.
fn open_interval(endian: Endian) -> Vec<u8> {
    let mut userdata = vec![1, 4];
    userdata.extend(endian.u32(1));
    userdata
}

/// What a set holds, from elements as dumped (see [`split`]), in order. What does not fit the set's type is left out.
pub(super) fn decode(set: &Set, elements: &[Vec<u8>], endian: Endian) -> Vec<Reading> {
    if set.interval && !set.is_concatenation() {
        return decode_ranges(set, elements, endian);
    }
    let mut readings: Vec<Reading> = elements
        .iter()
        .filter_map(|element| decode_one(set, element, endian))
        .gathered();
    readings.sort_unstable_by_key(|reading| bounds(&reading.key));
    readings
}

/// A range of one part of a key, ordered as the kernel orders it.
pub(super) use super::super::element::Span as Bounds;

/// A key as the kernel orders it.
pub(super) fn bounds(key: &[Range]) -> Vec<Bounds> {
    key.iter().map(Span::from).gathered()
}

pub(super) fn decode_one(set: &Set, element: &[u8], endian: Endian) -> Option<Reading> {
    let from = find(find(element, KEY)?, DATA_VALUE)?;
    let to = match find(element, KEY_END) {
        Some(end) => find(end, DATA_VALUE)?,
        None => from,
    };
    let mut key = Vec::new();
    let mut at: usize = 0;
    for kind in &set.key {
        let range = at..at.checked_add(kind.size())?;
        let value = |bytes: &[u8]| element::value(*kind, &part(set, *kind, bytes.get(range.clone())?, endian));
        key.push(Range {
            from: value(from)?,
            to: value(to)?,
        });
        at = range.end.next_multiple_of(4);
    }
    Some(Reading {
        key,
        expires: u64(element, EXPIRATION),
        packets: packets(element),
    })
}

/// The counter of an element that has one expression: `NFTA_COUNTER_PACKETS` in `NFTA_EXPR_DATA`.
fn packets(element: &[u8]) -> Option<u64> {
    let expression = find(element, EXPRESSION)?;
    match string(expression, 1) {
        Some("counter") => u64(find(expression, 2)?, 2),
        _ => None,
    }
}

/// Beginnings and ends come apart, in any order.
fn decode_ranges(set: &Set, elements: &[Vec<u8>], endian: Endian) -> Vec<Reading> {
    let Some(kind) = set.key.first() else {
        return Vec::new();
    };
    let mut marks: Vec<(&[u8], bool, Option<u64>)> = elements
        .iter()
        .filter_map(|element| {
            let key = find(find(element, KEY)?, DATA_VALUE).filter(|key| key.len() == kind.size())?;
            let is_beginning = u32(element, FLAGS).unwrap_or(0) & INTERVAL_END == 0;
            Some((key, is_beginning, u64(element, EXPIRATION)))
        })
        .gathered();
    marks.sort_unstable();
    let mut readings = Vec::new();
    for (index, (from, is_beginning, expires)) in marks.iter().enumerate() {
        if !is_beginning {
            continue;
        }
        let next = marks[index + 1..].iter().find(|(key, _, _)| key > from);
        let to = match next {
            Some((behind, _, _)) => element::predecessor(behind).unwrap_or_default(),
            None => vec![0xff; kind.size()],
        };
        let value = |bytes: &[u8]| element::value(*kind, &part(set, *kind, bytes, endian));
        if let (Some(from), Some(to)) = (value(from), value(&to)) {
            readings.push(Reading {
                key: vec![Range { from, to }],
                expires: *expires,
                packets: None,
            });
        }
    }
    readings
}

/// The elements in `NFTA_SET_ELEM_LIST_ELEMENTS`.
pub(super) fn split(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    attributes(list)
        .filter(|(kind, _)| *kind == LIST_ELEMENT)
        .map(|(_, value)| value)
}

/// An element as dumped, made ready to be sent again, with what is left of its time, to a set whose default timeout may be another.
pub(super) fn carried(element: &[u8], was: u64, becomes: u64) -> Attribute {
    let mut inner = Vec::new();
    let own = u64(element, TIMEOUT).or((becomes == 0 && was != 0).then_some(was));
    inner.gather(own.map(|timeout| Attribute::u64(TIMEOUT, timeout)));
    let longest = own.unwrap_or(becomes);
    if let (Some(left), true) = (u64(element, EXPIRATION), longest > 0) {
        inner.push(Attribute::u64(EXPIRATION, left.clamp(1, longest)));
    }
    for (kind, value) in attributes(element) {
        match kind {
            KEY | KEY_END => inner.push(data(kind, find(value, DATA_VALUE).unwrap_or_default().to_vec())),
            FLAGS | USERDATA => inner.push(Attribute::bytes(kind, value.to_vec())),
            _ => {}
        }
    }
    Attribute::nest(LIST_ELEMENT, inner)
}
