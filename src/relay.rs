//! The relay: a supervised reverse SSH tunnel.

pub mod greeting;
pub mod key;
pub mod words;
