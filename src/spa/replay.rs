//! Which packets were here before.
//!
//! The file: `lwspa` with the version, the floor, the packets (time, proof) in order, a checksum; numbers with the highest byte
//! first. Who can write the file can make any; the checksum is against damage.

use super::crypt::{sum, Kind};
use super::Denied;

/// The name of the format and its version.
const MAGIC: &[u8] = b"lwspa\0\0\x01";
const HEAD: usize = 16;
const ENTRY: usize = 24;
const CHECK: usize = 8;

/// Remembers accepted packets, the latest [`Replay::MOST`] one by one, and all older ones by a floor. It knows no time but the packets' own, so
/// that a wrong clock cannot make it forget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// Whatever was sent at or before it is refused.
    floor: u64,
    /// Sorted by `sent`, all above the floor.
    seen: Vec<(u64, [u8; 16])>,
}

impl Replay {
    /// How many packets are remembered one by one.
    pub const MOST: usize = 128;
    /// The file is never longer, in bytes.
    pub const MOST_BYTES: usize = HEAD + Self::MOST * ENTRY + CHECK;

    /// What [`Replay::bytes`] wrote; `None`: damaged, or of a newer version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at(bytes.len().checked_sub(CHECK)?);
        let (head, entries) = body.split_at_checked(HEAD)?;
        if bytes.len() > Self::MOST_BYTES
            || !head.starts_with(MAGIC)
            || entries.len() % ENTRY != 0
            || check != checksum(body)
        {
            return None;
        }
        let floor = number(&head[MAGIC.len()..])?;
        let mut seen = Vec::with_capacity(entries.len() / ENTRY + 1);
        for entry in entries.chunks_exact(ENTRY) {
            let (sent, proof) = entry.split_at(8);
            seen.push((number(sent)?, proof.try_into().ok()?));
        }
        // As it was written, and no other way.
        let sorted = seen.is_sorted_by(|one, next| one < next) && seen.first().is_none_or(|first| first.0 > floor);
        sorted.then_some(Self { floor, seen })
    }

    /// The file's content: 24 bytes for each packet and 24 more, at most [`Replay::MOST_BYTES`].
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.seen.len() * ENTRY + CHECK);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.floor.to_be_bytes());
        for (sent, proof) in &self.seen {
            bytes.extend_from_slice(&sent.to_be_bytes());
            bytes.extend_from_slice(proof);
        }
        let check = checksum(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// Whether this packet was certainly not noted before.
    pub fn is_new(&self, proof: &[u8; 16], sent: u64) -> bool {
        self.check(proof, sent).is_ok()
    }

    /// The same, with the reason.
    ///
    /// # Errors
    /// [`Denied::Replayed`] or [`Denied::Forgotten`].
    pub fn check(&self, proof: &[u8; 16], sent: u64) -> Result<(), Denied> {
        if self.seen.iter().any(|(_, seen)| seen == proof) {
            return Err(Denied::Replayed);
        }
        if sent <= self.floor {
            return Err(Denied::Forgotten { floor: self.floor });
        }
        Ok(())
    }

    /// Remembers a packet: it is not new from now on, whatever else is noted.
    pub fn note(&mut self, proof: &[u8; 16], sent: u64) {
        if !self.is_new(proof, sent) {
            return;
        }
        let at = self.seen.partition_point(|seen| *seen < (sent, *proof));
        self.seen.insert(at, (sent, *proof));
        if self.seen.len() > Self::MOST {
            self.refuse_until(self.seen[0].0);
        }
    }

    /// Refuses whatever was sent at or before that time: for a file that was damaged or lost.
    pub fn refuse_until(&mut self, unix: u64) {
        self.floor = self.floor.max(unix);
        let floor = self.floor;
        self.seen.retain(|(sent, _)| *sent > floor);
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What a file ends with whose damage is to be noticed: the first bytes of its SHA-256.
#[must_use]
pub fn checksum(body: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&sum(Kind::Sha256, &[body]).bytes()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proof(number: u32) -> [u8; 16] {
        let mut proof = [0; 16];
        proof[12..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        proof
    }

    /// What happens between two packets.
    #[derive(Debug, Clone)]
    enum Step {
        Note(u64),
        Again(prop::sample::Index),
        Save,
        RefuseUntil(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few different times, many, and the ends.
        let time = prop_oneof![4 => 100_u64..130, 4 => 0_u64..100_000, 1 => Just(0), 1 => Just(u64::MAX)];
        let step = prop_oneof![
            40 => time.clone().prop_map(Step::Note),
            3 => any::<prop::sample::Index>().prop_map(Step::Again),
            2 => Just(Step::Save),
            1 => (0_u64..200).prop_map(Step::RefuseUntil),
        ];
        prop::collection::vec(step, 0..500)
    }

    proptest! {
        #[test]
        fn what_was_noted_is_never_new_again(steps in steps()) {
            let mut replay = Replay::default();
            let mut noted: Vec<([u8; 16], u64)> = Vec::new();
            let mut refused = 0;
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Note(sent) => {
                        replay.note(&proof(number), sent);
                        noted.push((proof(number), sent));
                    }
                    Step::Again(which) if !noted.is_empty() => {
                        let (proof, sent) = noted[which.index(noted.len())];
                        let before = replay.clone();
                        replay.note(&proof, sent);
                        prop_assert_eq!(&before, &replay);
                    }
                    Step::Again(_) => {}
                    Step::Save => {
                        let bytes = replay.bytes();
                        prop_assert!(bytes.len() <= Replay::MOST_BYTES);
                        let again = Replay::parse(&bytes);
                        prop_assert_eq!(again.as_ref(), Some(&replay));
                    }
                    Step::RefuseUntil(until) => {
                        replay.refuse_until(until);
                        refused = refused.max(until);
                    }
                }
                prop_assert!(replay.seen.len() <= Replay::MOST && replay.floor >= refused);
                for (proof, sent) in &noted {
                    prop_assert!(!replay.is_new(proof, *sent));
                }
            }
        }

        /// Nothing is refused without need: the latest packets' successors get in.
        #[test]
        fn later_ones_are_new(times in prop::collection::vec(1_u64..1_000_000, 0..300)) {
            let mut replay = Replay::default();
            for (number, sent) in (0..).zip(&times) {
                replay.note(&proof(number), *sent);
            }
            let latest = times.iter().max().copied().unwrap_or(0);
            prop_assert!(replay.is_new(&proof(u32::MAX), latest + 1));
            if times.len() <= Replay::MOST {
                prop_assert!(replay.is_new(&proof(u32::MAX), 1));
            }
        }

        #[test]
        fn damage_is_noticed(times in prop::collection::vec(1_u64..1000, 0..40), at in any::<prop::sample::Index>(), bit in 0..8, cut in any::<prop::sample::Index>()) {
            let mut replay = Replay::default();
            for (number, sent) in (0..).zip(times) {
                replay.note(&proof(number), sent);
            }
            let good = replay.bytes();
            let mut bad = good.clone();
            bad[at.index(good.len())] ^= 1_u8 << bit;
            prop_assert_eq!(Replay::parse(&bad), None);
            prop_assert_eq!(Replay::parse(&good[..cut.index(good.len())]), None);
            prop_assert_eq!(Replay::parse(&[&good[..], b"\n"].concat()), None);
        }
    }

    #[test]
    fn the_file_has_a_bound_and_a_version() {
        let mut replay = Replay::default();
        for number in 0..1000 {
            replay.note(&proof(number), u64::from(number) + 1);
        }
        assert_eq!((replay.bytes().len(), Replay::MOST_BYTES), (3096, 3096));
        assert_eq!(replay.floor, 1000 - 128);
        let mut newer = replay.bytes();
        newer[7] = 2;
        let end = newer.len() - CHECK;
        let check = checksum(&newer[..end]);
        newer[end..].copy_from_slice(&check);
        assert_eq!(Replay::parse(&newer), None);
        assert_eq!(Replay::parse(b""), None);
    }
}
