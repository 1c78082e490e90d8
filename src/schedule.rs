//! A weekly schedule in local time as absolute windows, so that the kernel can hold to it across a change of daylight-saving time.

use crate::config::Schedule;

/// Seconds since 1970-01-01 00:00:00 UTC; the end is the last second that belongs to the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// First second.
    pub from: u64,
    /// Last second.
    pub to: u64,
}
