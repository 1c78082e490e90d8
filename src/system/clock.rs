//! The two clocks and the time zone.

use crate::event::Now;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that never jumps, beside the one that may.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts to count.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time. A wall clock before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Now {
            monotonic: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix,
        }
    }

    /// The instant of a monotonic millisecond of [`Now`].
    #[must_use]
    pub fn instant(&self, monotonic: u64) -> Instant {
        self.start + std::time::Duration::from_millis(monotonic)
    }
}

/// OpenWrt keeps the POSIX TZ string in `/etc/TZ` (a link to `/tmp/TZ`), `TZ` overrides it as it does for the C library. Empty: UTC.
#[must_use]
pub fn time_zone() -> String {
    if let Ok(zone) = std::env::var("TZ") {
        return zone;
    }
    std::fs::read_to_string(Path::new("/etc/TZ"))
        .map(|zone| zone.trim().to_string())
        .unwrap_or_default()
}
