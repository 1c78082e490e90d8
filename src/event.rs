//! The whole contract between the pure code and I/O: what can happen, and what can be done about it.
//!
//! An action that gives something back names, in its doc comment, the event that brings it. A failure is such an event, too.

mod parts;

pub use parts::{Ask, Asked, CutScope, KeyFile, KeyText, Listing, NewKey, PublicKey, ReadKeys, Reply, Then, Turned};

use crate::check;
use crate::config;
use crate::gate::{self, Interest, Readings};
use crate::lan_only::Doomed;
use crate::ledger::counts::Reading as Counted;
use crate::ledger::Subject;
use crate::network::Links;
use crate::nft::netlink::Edit;
use crate::nft::Table;
use crate::relay;
use crate::sorted::Set;
use crate::spa::Keys;
use crate::system::conntrack::Session;
use crate::system::nftables::{Counters, Verdict};
use serde_json::Value;
use std::net::IpAddr;
use std::rc::Rc;

/// The time, as an event's handler is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since the boot, on a clock that never jumps.
    pub monotonic: u64,
    /// Seconds since 1970; wrong on a router without a battery until NTP has answered.
    pub unix: u64,
}

/// A bus call that waits for its answer: whatever the bus needs to find the caller again.
pub type CallId = crate::system::ubus::CallId;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// The daemon has started. First and once.
    Started,
    /// Configuration was read.
    Configured(Box<Texts>, Option<CallId>),
    /// Something out there changed.
    Wake(Wake),
    /// The router was surveyed.
    Surveyed(Box<Survey>),
    /// [`Action::Apply`] has ended; the text says why it failed.
    Applied(Result<(), String>),
    /// [`Action::Verify`] has ended.
    Verified(Result<Verified, String>),
    /// [`Action::Switch`] has ended.
    Switched {
        /// Why the kernel does not know of it.
        result: Result<(), String>,
        /// What to do next.
        then: Then,
    },
    /// [`Action::Cut`] has ended.
    Cut {
        /// How many flows.
        flows: u32,
        /// Why not all.
        error: Option<String>,
        /// What to do next.
        then: Then,
    },
    /// [`Action::Preview`] has ended.
    Previewed {
        /// What would be cut, or why nobody knows.
        result: Result<Vec<Doomed>, String>,
        /// Who asked.
        call: CallId,
    },
    /// [`Action::Save`] has ended.
    Saved {
        /// Why the configuration file could not be changed.
        result: Result<(), String>,
        /// What to do next.
        then: Then,
    },
    /// [`Action::WriteRunState`] has ended: why the note could not be written or taken away.
    Noted(Result<(), String>),
    /// [`Action::Pause`] has ended.
    Paused {
        /// Seconds; 0: resumed.
        seconds: u32,
        /// Why not.
        result: Result<(), String>,
        /// Who asked.
        call: Option<CallId>,
    },
    /// [`Action::Read`] has ended.
    Read {
        /// What the kernel says, or why it does not.
        result: Result<Reading, String>,
        /// For whom.
        call: CallId,
        /// What the caller is told.
        reply: Reply,
    },
    /// [`Action::Diagnose`] has ended.
    Diagnosed {
        /// What was found out about the router.
        facts: Box<check::Facts>,
        /// Who asked.
        call: CallId,
    },
    /// A call of a method that exists, with arguments of the right types.
    Call {
        /// Where the answer goes.
        id: CallId,
        /// A method of [`crate::report::METHODS`].
        method: String,
        /// Declared arguments only.
        arguments: serde_json::Map<String, Value>,
    },
    /// Copies of packets that changed the gates' lists.
    Heard(Vec<gate::Heard>),
    /// [`Action::Look`] has ended.
    Looked(Result<Reading, String>),
    /// [`Action::Edit`] has ended.
    Edited {
        /// Why the kernel's lists are as they were.
        result: Result<(), String>,
        /// What to do next.
        then: Listing,
    },
    /// [`Action::ReadKeys`] has ended.
    KeysRead(ReadKeys),
    /// [`Action::MakeKey`] has ended.
    KeyMade {
        /// Whose.
        new: NewKey,
        /// Its file and the keys, or why there are none.
        result: Result<(String, Keys), String>,
    },
    /// [`Action::RemoveKey`] has ended.
    KeyRemoved {
        /// Whose.
        name: String,
        /// Why the file is still there.
        result: Result<(), String>,
        /// Who asked.
        call: CallId,
    },
    /// [`Action::Sessions`] has ended.
    Sessions(Result<Vec<Session>, String>),
    /// [`Action::FindEndpoint`] has ended.
    Endpoint {
        /// The address inside.
        inner: IpAddr,
        /// Where its VPN peer is, if it has one.
        endpoint: Option<IpAddr>,
        /// At which gate.
        gate: String,
        /// For how long.
        seconds: Option<u32>,
        /// Who asked.
        call: CallId,
    },
    /// [`Action::LoadLedger`] has ended.
    LedgerLoaded {
        /// Its file; `None`: there is none yet.
        file: Result<Option<Vec<u8>>, String>,
        /// What an earlier daemon has left in the run directory.
        run: Option<Vec<u8>>,
    },
    /// [`Action::SetLedgerAside`] has ended: under which name, or why not.
    LedgerSetAside(Result<String, String>),
    /// [`Action::ReadLedger`] has ended.
    LedgerRead {
        /// What the kernel has counted; `None`: there is no table.
        result: Result<Option<Counted>, String>,
        /// Whether somebody sets the clock.
        synchronised: bool,
        /// Why it was read.
        asked: Asked,
    },
    /// [`Action::ForgetSubjects`] has ended: who is gone, or why they are still there.
    SubjectsForgotten(Result<Vec<Subject>, String>),
    /// [`Action::CommitLedger`] has ended.
    LedgerCommitted {
        /// Why the old file is still there.
        result: Result<(), String>,
        /// The time that the file says it was written.
        unix: u64,
        /// Who asked.
        call: Option<CallId>,
    },
    /// [`Action::EraseLedger`] has ended.
    LedgerErased {
        /// Why the file is still there.
        result: Result<(), String>,
        /// Who asked.
        call: CallId,
    },
    /// What came of [`Action::Relay`].
    Relay {
        /// The relay's.
        name: String,
        /// What.
        heard: relay::Heard,
    },
    /// [`Action::ReadPublicKeys`] has ended.
    PublicKeys(Vec<PublicKey>),
    /// [`Action::MakeRelayKey`] has ended.
    RelayKeyMade {
        /// Its file.
        path: String,
        /// Whether it was made now, and its public line; or why there is none.
        result: Result<(bool, String), String>,
        /// Who asked.
        call: CallId,
    },
    /// The time that [`crate::state::State::next_deadline`] named has come.
    Deadline,
    /// SIGTERM or SIGINT.
    Terminate,
}

/// Why to look again. What changed is not said: everything is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// SIGHUP: the configuration files.
    Config,
    /// A device or an address, or a notification was lost.
    Links,
    /// netifd says so, or it has come or gone.
    Netifd,
    /// The bus can be used.
    BusUp,
    /// The bus is gone; why.
    BusDown(String),
    /// Another program has changed nftables' configuration (or a notification was lost): its name, where known.
    Nftables(Option<String>),
}

/// The files that the configuration is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// `lanward`; `None`: there is no such file.
    pub lanward: Result<Option<Vec<u8>>, String>,
    /// `firewall`
    pub firewall: Result<Option<Vec<u8>>, String>,
    /// `network`
    pub network: Result<Option<Vec<u8>>, String>,
    /// POSIX TZ string, empty for UTC.
    pub time_zone: String,
    /// The daemon's own note about a switch that was turned without being saved (see [`crate::state::Override`]).
    pub run_state: Option<Vec<u8>>,
    /// The application profiles that came with the package.
    pub profiles: Option<Vec<u8>>,
    /// Why the kernel cannot copy packets to us: it has no NFLOG, or another program has our group. Tried again with the files.
    pub no_copies: Option<String>,
}

impl Default for Texts {
    /// No file at all.
    fn default() -> Self {
        Self {
            lanward: Ok(None),
            firewall: Ok(None),
            network: Ok(None),
            time_zone: String::new(),
            run_state: None,
            profiles: None,
            no_copies: None,
        }
    }
}

/// What netifd had to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Netifd {
    /// It was not asked yet: the kernel was quicker, or the bus is down.
    NotAsked,
    /// It did not answer; why.
    Silent(String),
    /// Its interfaces.
    Says(Value),
}

/// The router as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// netifd's `network.interface dump`.
    pub netifd: Netifd,
    /// Devices, addresses, routes, neighbours.
    pub links: Result<Links, String>,
}

/// What [`Action::Verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The table against what it should be.
    pub verdict: Verdict,
    /// What is in it, where it is there.
    pub reading: Reading,
}

/// What the kernel says of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The table is there.
    pub present: bool,
    /// The switch's element is in.
    pub on: bool,
    /// Milliseconds of the pause that are left; the greatest number for one that does not end.
    pub paused: Option<u64>,
    /// Named counters.
    pub counters: Counters,
    /// Addresses behind the MACs of `host`.
    pub learned: Set<IpAddr>,
    /// The kernel's number for the table: another one means another table, with empty lists.
    pub handle: u64,
    /// The gates' lists.
    pub lists: Readings,
}

/// Something to do. Carried out in order.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// → [`Event::Configured`]
    ReadConfig(Option<CallId>),
    /// → [`Event::Surveyed`], at once without netifd where the bus is down.
    Survey,
    /// Replace the table in place, in one transaction. → [`Event::Applied`]
    Apply(Rc<Table>),
    /// Compare the kernel's table with this. → [`Event::Verified`]
    Verify(Rc<Table>),
    /// Put the switch's element in or take it out, and end a pause, in one transaction. → [`Event::Switched`]
    Switch {
        /// In or out. (In while observing, too, whatever the switch says.)
        element: bool,
        /// What to do next.
        then: Then,
    },
    /// Delete the running flows that the policy would not let begin. → [`Event::Cut`]
    Cut {
        /// Which.
        scope: Box<CutScope>,
        /// What to do next.
        then: Then,
    },
    /// Find the running flows that [`Action::Cut`] would delete, and leave them. → [`Event::Previewed`]
    Preview {
        /// Which.
        scope: Box<CutScope>,
        /// Who asked.
        call: CallId,
    },
    /// Set `lan_only.enabled` in the configuration file. → [`Event::Saved`]
    Save {
        /// The new value.
        enabled: bool,
        /// What to do next.
        then: Then,
    },
    /// Put the pause's element in for so many seconds (0: take it out). → [`Event::Paused`]
    Pause {
        /// How long.
        seconds: u32,
        /// Who asked.
        call: Option<CallId>,
    },
    /// → [`Event::Read`]
    Read {
        /// For whom.
        call: CallId,
        /// What the caller is told.
        reply: Reply,
        /// Whose lists are read.
        table: Option<Rc<Table>>,
    },
    /// Read a table's lists. → [`Event::Looked`]
    Look(Rc<Table>),
    /// Change elements of a table's lists, in one transaction. → [`Event::Edited`]
    Edit {
        /// What declares the sets.
        table: Rc<Table>,
        /// The changes.
        edits: Vec<Edit>,
        /// What to do next.
        then: Listing,
    },
    /// Read the keys' files, and what was accepted before. → [`Event::KeysRead`]
    ReadKeys(Vec<KeyFile>),
    /// Keep what was accepted, over restarts and losses of power.
    KeepSeen(Vec<u8>),
    /// Make a key and its file, in the state directory. → [`Event::KeyMade`]
    MakeKey(NewKey),
    /// Remove a key's file from the state directory. → [`Event::KeyRemoved`]
    RemoveKey {
        /// Whose.
        name: String,
        /// Where its section says that it lies; `None`: no section names it.
        path: Option<String>,
        /// Who asked.
        call: CallId,
    },
    /// Read conntrack. → [`Event::Sessions`]
    Sessions(Box<Interest>),
    /// Find out where the VPN peer with an inner address is. → [`Event::Endpoint`]
    FindEndpoint {
        /// Devices that may be a VPN's.
        devices: Vec<String>,
        /// The address.
        inner: IpAddr,
        /// At which gate it is to be admitted.
        gate: String,
        /// For how long.
        seconds: Option<u32>,
        /// Who asked.
        call: CallId,
    },
    /// → [`Event::Diagnosed`]
    Diagnose {
        /// Who asked.
        call: CallId,
    },
    /// → [`Event::LedgerLoaded`]
    LoadLedger,
    /// Keep a file that is damaged or not understood, under another name. → [`Event::LedgerSetAside`]
    SetLedgerAside,
    /// Read what the kernel has counted. → [`Event::LedgerRead`]
    ReadLedger(Asked),
    /// Take subjects out of the sets that count. → [`Event::SubjectsForgotten`]
    ForgetSubjects(Vec<Subject>),
    /// Keep what was read, for the next daemon, in the run directory.
    KeepCounts(Vec<u8>),
    /// Write the ledger's file. → [`Event::LedgerCommitted`]
    CommitLedger {
        /// Its content.
        bytes: Vec<u8>,
        /// The time that it says.
        unix: u64,
        /// Who asked.
        call: Option<CallId>,
        /// Whether all else waits for it; otherwise it is written beside, since flash can be slow.
        waits: bool,
    },
    /// Remove the ledger's files. → [`Event::LedgerErased`]
    EraseLedger(CallId),
    /// → [`Event::Relay`], later, as its [`relay::Do`] says.
    Relay(Box<config::Relay>, relay::Do),
    /// End all relays' clients, and wait until they are gone.
    EndRelays,
    /// Read the public part of these key files. → [`Event::PublicKeys`]
    ReadPublicKeys(Vec<String>),
    /// Make a relay's key where there is none yet. → [`Event::RelayKeyMade`], later.
    MakeRelayKey {
        /// Its file.
        path: String,
        /// Who asked.
        call: CallId,
    },
    /// Write the applied table as nft script, for fw4's include.
    WriteScript(Rc<Table>),
    /// Write the note about an unsaved switch; `None`: remove it. → [`Event::Noted`]
    WriteRunState(Option<String>),
    /// Answer a call: with data, or with a status alone.
    Answer(CallId, Result<Value, crate::system::ubus::Status>),
    /// Tell the subscribers.
    Notify(&'static str, Value),
    /// One line in the log.
    Log(log::Level, String),
    /// A new log level.
    LogLevel(log::LevelFilter),
    /// Leave. The table stays.
    Exit,
}
