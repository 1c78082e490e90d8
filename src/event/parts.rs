//! What events and actions carry along.

use super::CallId;
use crate::date::Date;
use crate::gate;
use crate::keygen::{self, Access};
use crate::ledger::day::Day;
use crate::ledger::views::Query;
use crate::ruleset::gate::List;
use crate::sorted::Set;
use crate::spa::Digest;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// A key's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The section's name.
    pub spa: String,
    /// As configured.
    pub path: String,
}

/// What a key's file holds, or why it cannot be read.
pub type KeyText = Result<Zeroizing<Vec<u8>>, String>;

/// What the keys' files hold.
#[derive(Debug)]
pub struct ReadKeys {
    /// Each with its text, or why there is none.
    pub keys: Vec<(KeyFile, KeyText)>,
    /// What [`Action::KeepSeen`] has kept; `None`: nothing yet.
    pub seen: Result<Option<Vec<u8>>, String>,
}

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Of its section and its file.
    pub name: String,
    /// How the router is reached, for the client's file.
    pub host: Option<String>,
    /// What it is to open, in fwknop's words: `tcp/22`.
    pub ports: String,
    /// Who asked.
    pub call: CallId,
}

impl NewKey {
    /// For a section with the defaults.
    #[must_use]
    pub fn access(&self) -> Access<'_> {
        Access {
            name: &self.name,
            host: self.host.as_deref(),
            ports: &self.ports,
            port: keygen::PORT,
            digest: Digest::Sha256,
        }
    }
}

/// The public part of a relay's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its file, as configured.
    pub path: String,
    /// As in `authorized_keys`, or why there is none.
    pub line: Result<String, String>,
}

/// What somebody wants of a gate's list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Ask {
    /// Of one gate, or of all.
    List(Option<String>),
    Admit {
        gate: String,
        source: IpAddr,
        seconds: Option<u32>,
    },
    Remove {
        gate: String,
        source: IpAddr,
    },
    Flush(String),
}

/// What lists were changed for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Listing {
    Admitted {
        gate: String,
        source: IpAddr,
        list: List,
        seconds: u32,
        call: CallId,
    },
    Removed {
        gate: String,
        source: IpAddr,
        why: &'static str,
        call: Option<CallId>,
    },
    Flushed {
        gate: String,
        removed: usize,
        call: CallId,
    },
    /// By an authenticated packet.
    Proved {
        gate: String,
        spa: String,
        source: IpAddr,
        seconds: u32,
    },
    /// So many entries, into a new table.
    Restored(usize),
    /// Whom live connections keep listed, with the window's seconds.
    Refreshed(Vec<(gate::Alive, u32)>),
}

/// What a chain of steps was begun for: switch, cut, save, tell. It travels along, so that no step needs to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Then {
    /// Who is told in the end.
    pub call: Option<CallId>,
    /// To what the switch was turned, if it was.
    pub turned: Option<Turned>,
    /// What went wrong on the way.
    pub error: Option<String>,
}

/// The switch was turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turned {
    /// On or off.
    pub on: bool,
    /// Whether the configuration file is to say so.
    pub persist: bool,
}

/// What a caller is told once the kernel was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `status`
    Status,
    /// `status.lan_only`, with the error that goes with it.
    LanOnly(Option<String>),
    /// What becomes of this.
    Gate(Ask),
}

/// Why the ledger's counters are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It was time.
    Nobody,
    /// `history`
    History(CallId, Box<Query>),
    /// `ledger_recent`
    Recent(CallId),
    /// The days go to flash.
    Commit(Option<CallId>),
    /// `ledger_erase`
    Erase(CallId),
    /// `ledger_import`
    Import(CallId, Vec<(Date, Day)>),
    /// The daemon ends.
    Stop,
}

/// Which flows to cut: the policy, with what is known about addresses behind MACs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutScope {
    /// The scope of the mode.
    pub lan_only: crate::policy::LanOnly,
    /// Addresses learned in the kernel behind the MACs of `host`.
    pub learned: Set<IpAddr>,
}
