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

    pub(super) fn check(&self, proof: &[u8; 16], sent: u64) -> Result<(), Denied> {
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

fn checksum(body: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&sum(Kind::Sha256, &[body]).bytes()[..CHECK]);
    check
}
