//! The two clocks and the time zone.

use crate::event::Now;
use nix::sys::time::TimeValLike;
use nix::time::{clock_gettime, ClockId};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that never jumps, beside the one that may.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// Milliseconds since the boot, at the start: the next daemon's clock goes on where this one's ended.
    booted: u64,
}

impl Clock {
    /// Starts to count.
    #[must_use]
    pub fn start() -> Self {
        let booted = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.num_milliseconds());
        Self {
            start: Instant::now(),
            booted: u64::try_from(booted).unwrap_or(0),
        }
    }

    /// The time. A wall clock before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Now {
            monotonic: u64::try_from(self.start.elapsed().as_millis())
                .unwrap_or(u64::MAX)
                .saturating_add(self.booted),
            unix,
        }
    }

    /// The instant of a monotonic millisecond of [`Now`].
    #[must_use]
    pub fn instant(&self, monotonic: u64) -> Instant {
        self.start + std::time::Duration::from_millis(monotonic.saturating_sub(self.booted))
    }
}

/// Whether the kernel has been told that the clock is right: by an NTP client, as busybox's is (`adjtimex`, `STA_UNSYNC`).
#[must_use]
#[allow(unsafe_code)]
pub fn is_synchronised() -> bool {
    // More than `struct timex` takes on any machine: its layout differs, and only the answer matters.
    let mut timex = [0u64; 64];
    // SAFETY: the kernel writes no more than its struct timex, which has 208 bytes at most. All zero, it changes nothing.
    let state = unsafe { nix::libc::syscall(nix::libc::SYS_adjtimex, timex.as_mut_ptr()) };
    (0..TIME_ERROR).contains(&state)
}

/// `TIME_ERROR`: the clock is not synchronised.
const TIME_ERROR: nix::libc::c_long = 5;

/// OpenWrt keeps the POSIX TZ string in `/etc/TZ` (a link to `/tmp/TZ`), `TZ` overrides it as it does for the C library. Empty: UTC.
///
/// Where there is a file that cannot be read, the text says so. It is no time zone, so that a schedule cannot be placed and is told with this text,
/// instead of being placed by another one.
#[must_use]
pub fn time_zone() -> String {
    if let Ok(zone) = std::env::var("TZ") {
        return zone;
    }
    of_files(Path::new("/etc/TZ"), Path::new("/etc/localtime"))
}

/// Where the zone's package is installed (`zoneinfo-europe`), OpenWrt has no `/etc/TZ` but links `/etc/localtime` to the zone's file, which ends with the same
/// string (RFC 8536 3.3).
fn of_files(text: &Path, binary: &Path) -> String {
    let zone = of_file(text);
    if !zone.is_empty() {
        return zone;
    }
    match std::fs::read(binary) {
        Ok(bytes) => footer(&bytes).map_or_else(|| format!("{} is no time zone", binary.display()), str::to_string),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => format!("{} cannot be read: {error}", binary.display()),
    }
}

/// The string between the last two line ends of a zone's file of version 2 or later.
fn footer(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.strip_suffix(b"\n").filter(|bytes| bytes.starts_with(b"TZif"))?;
    let begin = bytes.iter().rposition(|byte| *byte == b'\n')?;
    std::str::from_utf8(bytes.get(begin + 1..)?).ok()
}

fn of_file(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(zone) => zone.trim().to_string(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_read_from_its_file_where_there_is_no_text() {
        let here = lanward_rig::scratch::Scratch::new("zone");
        let (text, binary) = (here.join("TZ"), here.join("localtime"));
        assert_eq!(of_files(&text, &binary), "", "neither: UTC");
        std::fs::write(&binary, b"TZif2\0\0data\nCET-1CEST,M3.5.0,M10.5.0/3\n").unwrap();
        assert_eq!(of_files(&text, &binary), "CET-1CEST,M3.5.0,M10.5.0/3");
        std::fs::write(&text, "JST-9\n").unwrap();
        assert_eq!(of_files(&text, &binary), "JST-9");
        std::fs::remove_file(&text).unwrap();
        std::fs::write(&binary, b"what").unwrap();
        assert!(of_files(&text, &binary).contains("no time zone"));
    }

    #[test]
    fn a_time_zone_that_cannot_be_read_is_not_utc() {
        let (config, problems) = crate::config::read_text(Some(
            b"config lan_only 'lan_only'\n\toption enabled '1'\n\toption start '09:00'\n\toption stop '17:00'\n",
        ));
        assert_eq!(problems, []);
        let compiled = |zone: &str| {
            let network = crate::network::read(&crate::network::Sources {
                firewall: None,
                network: None,
                netifd: None,
                links: &crate::network::Links::default(),
            });
            crate::policy::compile(&config, &network, zone, 1_750_000_000)
        };
        let named = |zone: &str| {
            let compiled = compiled(zone);
            let placed = compiled.policy.lan_only.off_hours.is_some();
            let told = compiled.warnings.iter().any(|warning| warning.contains("time zone"));
            assert_ne!(placed, told);
            told
        };
        assert_eq!(of_file(Path::new("/nonexistent")), "");
        assert!(!named(""));
        // A directory cannot be read as a file, by root neither.
        let zone = of_file(Path::new("/proc"));
        assert!(zone.contains("/proc cannot be read"), "{zone}");
        assert!(named(&zone));
    }
}
