//! Elements as numbers: keys to bytes in network order and back, ranges made disjoint.
//!
//! Network order is what makes ranges comparable byte by byte, for every [`Kind`].

use super::{Element, Kind, Range, Set, Value};
use crate::gather::Gather;
use std::net::{Ipv4Addr, Ipv6Addr};

const NANOSECONDS: u64 = 1_000_000_000;

/// A range as bytes in network order, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
}

impl From<&Range> for Span {
    fn from(range: &Range) -> Self {
        Span {
            from: bytes(&range.from),
            to: bytes(&range.to),
        }
    }
}

/// A value in network order, without padding. A name that is too long is cut ([`super::Table::check`] refuses it).
pub(super) fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Ipv4Addr(address) => address.octets().to_vec(),
        Value::Ipv6Addr(address) => address.octets().to_vec(),
        Value::EtherAddr(address) => address.to_vec(),
        Value::InetService(port) => port.to_be_bytes().to_vec(),
        Value::InetProto(protocol) => vec![*protocol],
        Value::Ifname(name) => {
            let mut padded: Vec<u8> = name.bytes().take(15).gathered();
            padded.resize(16, 0);
            padded
        }
        Value::Time(seconds) => seconds.saturating_mul(NANOSECONDS).to_be_bytes().to_vec(),
    }
}

/// The inverse of [`bytes`]; `None` where the length is not the kind's or a name is not UTF-8. Nanoseconds are cut to seconds.
pub(super) fn value(kind: Kind, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        Kind::Ipv4Addr => Value::Ipv4Addr(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        Kind::Ipv6Addr => Value::Ipv6Addr(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        Kind::EtherAddr => Value::EtherAddr(bytes.try_into().ok()?),
        Kind::InetService => Value::InetService(u16::from_be_bytes(bytes.try_into().ok()?)),
        Kind::InetProto => Value::InetProto(<[u8; 1]>::try_from(bytes).ok()?[0]),
        Kind::Ifname => {
            let padded = <[u8; 16]>::try_from(bytes).ok()?;
            let name = padded.split(|byte| *byte == 0).next()?;
            Value::Ifname(std::str::from_utf8(name).ok()?.to_owned())
        }
        Kind::Time => Value::Time(u64::from_be_bytes(bytes.try_into().ok()?) / NANOSECONDS),
    })
}

/// The number behind it; `None` behind the last one.
pub(super) fn successor(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut next = bytes.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

/// The number before it; `None` before zero.
pub(super) fn predecessor(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut previous = bytes.to_vec();
    for byte in previous.iter_mut().rev() {
        let borrow = *byte == 0;
        *byte = byte.wrapping_sub(1);
        if !borrow {
            return Some(previous);
        }
    }
    None
}

/// An element as one span for each part of the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cuboid {
    spans: Vec<Span>,
    timeout: Option<u32>,
}

/// See [`Set::elements`]. Of elements with a timeout only exact duplicates are joined: two lifetimes do not add up to one. Elements that do
/// not fit the key and ranges that end before they begin are left out ([`super::Table::check`] refuses them).
pub(super) fn disjoint(set: &Set, elements: &[Element]) -> Vec<Element> {
    let mut cuboids: Vec<Cuboid> = elements
        .iter()
        .filter(|element| element.key.len() == set.key.len())
        .map(|element| Cuboid {
            spans: element.key.iter().map(Span::from).gathered(),
            timeout: element.timeout,
        })
        .filter(|cuboid| cuboid.spans.iter().all(|span| span.from <= span.to))
        .gathered();
    cuboids.sort_unstable();
    cuboids.dedup_by(|later, earlier| later.spans == earlier.spans);
    if set.interval {
        cuboids = match set.key.len() {
            1 => join_sorted(cuboids),
            _ => cut_overlaps(join_along_one_part(cuboids)),
        };
    }
    cuboids
        .into_iter()
        .filter_map(|cuboid| element(set, &cuboid))
        .gathered()
}

fn element(set: &Set, cuboid: &Cuboid) -> Option<Element> {
    let range = |(span, kind): (&Span, &Kind)| {
        Some(Range {
            from: value(*kind, &span.from)?,
            to: value(*kind, &span.to)?,
        })
    };
    let key = cuboid
        .spans
        .iter()
        .zip(&set.key)
        .map(range)
        .collect::<Option<Vec<_>>>()?;
    Some(Element {
        key,
        timeout: cuboid.timeout,
    })
}

/// Whether they overlap or one begins where the other ends.
fn touch(a: &Span, b: &Span) -> bool {
    let reaches = |low: &Span, high: &Span| low.to >= high.from || successor(&low.to).as_ref() == Some(&high.from);
    if a.from <= b.from {
        reaches(a, b)
    } else {
        reaches(b, a)
    }
}

fn join_sorted(cuboids: Vec<Cuboid>) -> Vec<Cuboid> {
    let mut joined: Vec<Cuboid> = Vec::with_capacity(cuboids.len());
    for next in cuboids {
        match joined.last_mut() {
            Some(last) if last.timeout.is_none() && next.timeout.is_none() && touch(&last.spans[0], &next.spans[0]) => {
                if next.spans[0].to > last.spans[0].to {
                    last.spans[0].to.clone_from(&next.spans[0].to);
                }
            }
            _ => joined.push(next),
        }
    }
    joined
}

/// Joins those that differ in one part of the key only and touch there: the common case, one address with several port ranges.
fn join_along_one_part(mut cuboids: Vec<Cuboid>) -> Vec<Cuboid> {
    let parts = cuboids.first().map_or(0, |cuboid| cuboid.spans.len());
    for part in 0..parts {
        let others = |one: &Cuboid, other: &Cuboid| {
            let before = one.spans[..part].cmp(&other.spans[..part]);
            before.then_with(|| one.spans[part + 1..].cmp(&other.spans[part + 1..]))
        };
        cuboids.sort_unstable_by(|one, other| others(one, other).then_with(|| one.spans[part].cmp(&other.spans[part])));
        let mut joined: Vec<Cuboid> = Vec::with_capacity(cuboids.len());
        for next in cuboids {
            match joined.last_mut() {
                Some(last)
                    if last.timeout.is_none()
                        && next.timeout.is_none()
                        && others(last, &next).is_eq()
                        && touch(&last.spans[part], &next.spans[part]) =>
                {
                    if next.spans[part].to > last.spans[part].to {
                        last.spans[part].to.clone_from(&next.spans[part].to);
                    }
                }
                _ => joined.push(next),
            }
        }
        cuboids = joined;
    }
    cuboids.sort_unstable();
    cuboids
}

/// Cuts out of each what an earlier one already covers.
fn cut_overlaps(cuboids: Vec<Cuboid>) -> Vec<Cuboid> {
    let mut kept: Vec<Cuboid> = Vec::with_capacity(cuboids.len());
    for next in cuboids {
        let mut pieces = vec![next];
        for earlier in &kept {
            pieces = pieces.iter().flat_map(|piece| without(piece, earlier)).gathered();
        }
        kept.extend(pieces);
    }
    kept.sort_unstable();
    kept
}

/// What of `piece` lies outside of `cut`: at most two cuboids for each part of the key.
fn without(piece: &Cuboid, cut: &Cuboid) -> Vec<Cuboid> {
    let apart = |(a, b): (&Span, &Span)| a.to < b.from || b.to < a.from;
    if piece.spans.iter().zip(&cut.spans).any(apart) {
        return vec![piece.clone()];
    }
    let mut rest = piece.clone();
    let mut outside = Vec::new();
    for part in 0..rest.spans.len() {
        let cut = &cut.spans[part];
        if rest.spans[part].from < cut.from {
            if let Some(to) = predecessor(&cut.from) {
                let mut below = rest.clone();
                below.spans[part].to = to;
                outside.push(below);
                rest.spans[part].from.clone_from(&cut.from);
            }
        }
        if rest.spans[part].to > cut.to {
            if let Some(from) = successor(&cut.to) {
                let mut above = rest.clone();
                above.spans[part].from = from;
                outside.push(above);
                rest.spans[part].to.clone_from(&cut.to);
            }
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::Contents;
    use proptest::prelude::*;

    fn set(key: &[Kind]) -> Set {
        Set {
            name: "s".into(),
            key: key.to_vec(),
            interval: true,
            dynamic: false,
            timeout: None,
            size: None,
            contents: Contents::List,
        }
    }

    fn ports(from: u16, to: u16) -> Range {
        Range {
            from: Value::InetService(from),
            to: Value::InetService(to),
        }
    }

    fn protocols(from: u8, to: u8) -> Range {
        Range {
            from: Value::InetProto(from),
            to: Value::InetProto(to),
        }
    }

    fn plain(key: Vec<Range>) -> Element {
        Element { key, timeout: None }
    }

    #[test]
    fn overlapping_and_adjoining_ranges_are_one() {
        let given = [
            ports(9, 20),
            ports(1, 5),
            ports(6, 7),
            ports(15, 30),
            ports(40, 40),
            ports(10, 12),
        ];
        let elements: Vec<Element> = given.into_iter().map(|range| plain(vec![range])).collect();
        let expected = [ports(1, 7), ports(9, 30), ports(40, 40)].map(|range| plain(vec![range]));
        assert_eq!(disjoint(&set(&[Kind::InetService]), &elements), expected);
    }

    #[test]
    fn the_last_port_has_no_successor() {
        assert_eq!(successor(&[0xff, 0xff]), None);
        assert_eq!(successor(&[0x00, 0xff]), Some(vec![0x01, 0x00]));
        assert_eq!(predecessor(&[0x01, 0x00]), Some(vec![0x00, 0xff]));
        assert_eq!(predecessor(&[0, 0]), None);
    }

    proptest! {
        /// Small cuboids, and every point of the space asked: the same points are in as before, and none twice.
        #[test]
        fn disjoint_covers_the_same_points_once(
            given in prop::collection::vec((0u8..6, 0u8..6, 0u16..6, 0u16..6), 0..8)
        ) {
            let elements: Vec<Element> = given
                .iter()
                .map(|(a, b, c, d)| plain(vec![protocols(*a.min(b), *a.max(b)), ports(*c.min(d), *c.max(d))]))
                .collect();
            let result = disjoint(&set(&[Kind::InetProto, Kind::InetService]), &elements);
            let covers = |element: &Element, protocol, port| {
                let within = |range: &Range, value: Value| range.from <= value && value <= range.to;
                within(&element.key[0], Value::InetProto(protocol)) && within(&element.key[1], Value::InetService(port))
            };
            for protocol in 0..7 {
                for port in 0..7 {
                    let before = elements.iter().any(|element| covers(element, protocol, port));
                    let after = result.iter().filter(|element| covers(element, protocol, port)).count();
                    prop_assert_eq!(after, usize::from(before));
                }
            }
        }
    }
}
