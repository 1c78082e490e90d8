//! The day that it is, and another time for one program.

use crate::report_line::{skip, this_test};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: u64 = 86_400;
/// No test that looks at one day takes longer.
const ENOUGH: u64 = 180;

/// For what looks at one day: waits for the next one where this one is nearly over (in UTC, as it is in every house).
pub fn away_from_midnight() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = DAY - now.as_secs() % DAY;
    if left < ENOUGH {
        std::thread::sleep(Duration::from_secs(left + 1));
    }
}

/// The library that has a program see another time: what a house's file `preload` takes, beside `clock`. `None`, and loudly so, where it is not
/// installed.
#[must_use]
pub fn faketime() -> Option<String> {
    let ran = Command::new("faketime")
        .args(["-f", "+0", "printenv", "LD_PRELOAD"])
        .output();
    let printed = ran.ok().filter(|ran| ran.status.success());
    let path = printed.map(|ran| String::from_utf8_lossy(&ran.stdout).trim().to_owned());
    if path.is_none() {
        skip(&this_test(), "no faketime (Debian's package of that name)");
    }
    path
}
