//! The switch where it says something else than the configuration.

use crate::json::{self, json};

/// A switch that was turned without being saved. It outlives the daemon in the run directory (and so not a reboot), for as long as the configuration says what it said then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// What the switch was turned to.
    pub on: bool,
    /// `lan_only.enabled` at that time.
    pub configured: bool,
}

impl Override {
    /// As it is kept in the run directory.
    #[must_use]
    pub fn encode(self) -> String {
        json::lines(&json!({ "lan_only": self.on, "configured": self.configured }))
    }

    /// `None` for anything else than [`Override::encode`] writes: then the configuration alone counts.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Self> {
        let value = json::parse(text).ok()?;
        Some(Self {
            on: value.get("lan_only")?.as_bool()?,
            configured: value.get("configured")?.as_bool()?,
        })
    }
}
