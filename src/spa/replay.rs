//! Which packets were here before.

use super::Denied;

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
    pub const MOST_BYTES: usize = 4096;

    /// What [`Replay::bytes`] wrote; `None`: damaged, or of a newer version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let _ = bytes;
        None
    }

    /// The file's content, at most [`Replay::MOST_BYTES`].
    pub fn bytes(&self) -> Vec<u8> {
        Vec::new()
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
        if sent <= self.floor {
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
