//! conntrack over ctnetlink: dump and delete.

use std::net::IpAddr;

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct Tuple {
    pub source: IpAddr,
    pub dest: IpAddr,
    pub source_port: u16,
    pub dest_port: u16,
}

/// A conntrack entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct Flow {
    /// The IP protocol's number.
    pub protocol: u8,
    pub original: Tuple,
    pub reply: Tuple,
    /// conntrack zone (0 unless rules set one).
    pub zone: u16,
    /// The kernel's id of the entry: a deletion that names it cannot hit the flow's successor.
    pub id: u32,
}
