//! Another time for one program.

use crate::report_line::{skip, this_test};
use std::process::Command;

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
