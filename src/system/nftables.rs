//! nf_tables over nfnetlink: transactions, elements, counters, notifications. Never starts `nft`.

use crate::nft;
use std::collections::BTreeMap;

/// A named counter's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// What became of an apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel holds the table as it was meant.
    Same,
    /// There is no such table.
    Missing,
    /// The table is there and differs: what differs, for people.
    Differs(Vec<String>),
}

/// An element as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The key's parts.
    pub key: Vec<nft::Range>,
    /// Milliseconds that are left; `None`: for ever.
    pub expires: Option<u64>,
}

/// One change of a set's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Edit {
    Add {
        set: String,
        element: nft::Element,
    },
    /// An element that is not there is not an error.
    Delete {
        set: String,
        element: nft::Element,
    },
    Flush {
        set: String,
    },
}

/// All counters and small lists of a table.
pub type Counters = BTreeMap<String, Counter>;
