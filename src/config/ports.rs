//! Sets of ports as sorted ranges that neither overlap nor touch.

use crate::gather::Gather;
use crate::nft::PortRange;

/// The ranges sorted; what overlaps or touches becomes one. A range whose end lies before its beginning is empty.
#[must_use]
pub fn join(ranges: &[PortRange]) -> Vec<PortRange> {
    let mut sorted: Vec<PortRange> = ranges.iter().copied().filter(|range| range.from <= range.to).gathered();
    sorted.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.from <= last.to.saturating_add(1) => last.to = last.to.max(range.to),
            _ => joined.push(range),
        }
    }
    joined
}

/// The ports of `ranges` that are not in `without`, joined.
#[must_use]
pub fn subtract(ranges: &[PortRange], without: &[PortRange]) -> Vec<PortRange> {
    let holes = join(without);
    join(ranges).into_iter().flat_map(|range| cut(range, &holes)).gathered()
}

/// What is left of one range. `holes` are joined.
fn cut(range: PortRange, holes: &[PortRange]) -> Vec<PortRange> {
    let mut left = Vec::new();
    let mut from = range.from;
    for hole in holes
        .iter()
        .filter(|hole| hole.from <= range.to && hole.to >= range.from)
    {
        if hole.from > from {
            left.push(PortRange {
                from,
                to: hole.from - 1,
            });
        }
        match hole.to.checked_add(1) {
            Some(next) if next <= range.to => from = next,
            _ => return left,
        }
    }
    left.push(PortRange { from, to: range.to });
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = Vec<PortRange>> {
        let edge = prop_oneof![any::<u16>(), 0..20_u16, 65_515..=65_535_u16];
        prop::collection::vec(
            (edge.clone(), edge).prop_map(|(from, to)| PortRange { from, to }),
            0..12,
        )
    }

    fn bitmap(ranges: &[PortRange]) -> Vec<bool> {
        let mut bits = vec![false; 65_536];
        for range in ranges {
            for port in range.from..=range.to {
                bits[usize::from(port)] = true;
            }
        }
        bits
    }

    fn is_joined(ranges: &[PortRange]) -> bool {
        ranges.iter().all(|range| range.from <= range.to)
            && ranges
                .windows(2)
                .all(|pair| u32::from(pair[0].to) + 1 < u32::from(pair[1].from))
    }

    proptest! {
        #[test]
        fn join_is_the_same_set_of_ports(ranges in ranges()) {
            let joined = join(&ranges);
            prop_assert!(is_joined(&joined));
            prop_assert_eq!(bitmap(&joined), bitmap(&ranges));
        }

        #[test]
        fn subtract_is_the_difference(ranges in ranges(), without in ranges()) {
            let left = subtract(&ranges, &without);
            prop_assert!(is_joined(&left));
            let expected: Vec<bool> =
                bitmap(&ranges).iter().zip(bitmap(&without)).map(|(one, other)| *one && !other).collect();
            prop_assert_eq!(bitmap(&left), expected);
        }
    }
}
