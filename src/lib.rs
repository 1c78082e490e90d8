//! lanward keeps remote access to a home inside the home.
//!
//! Everything directly in `src/` is pure, except `main`, [`cli`] and [`daemon`]: it takes values and the time and gives
//! values back. Everything in [`system`] does I/O and decides nothing.

pub mod blobmsg;
pub mod check;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod date;
pub mod event;
pub mod gate;
mod gather;
pub mod json;
pub mod keygen;
pub mod knockd_import;
pub mod lan_only;
pub mod ledger;
pub mod network;
pub mod nft;
pub mod policy;
pub mod profiles;
pub mod relay;
pub mod report;
pub mod ruleset;
pub mod schedule;
pub mod sorted;
pub mod spa;
pub mod state;
pub mod syslog_import;
pub mod system;
pub mod uci;
