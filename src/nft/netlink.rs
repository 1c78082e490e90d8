//! A [`Table`](super::Table) as nfnetlink messages, and the kernel's answers as what they mean. Pure: `system::nftables` sends and receives.
//!
//! [`transaction`] makes the messages that bring the kernel from what is [`Present`] to a table, [`edits`] those that change elements,
//! [`request`] those that read; [`Present`] takes the answers and [`Present::differences`] holds them against a table.
//!
//! # Why not `netlink-packet-netfilter`'s types throughout
//! Its header and the traits of `netlink-packet-core` are used; its nftables attributes are not. They have no `ct`, `objref`, `byteorder` or `dynset`,
//! no element timeouts as nft uses them, and no objects, so that half of every rule would be untyped anyway; their `emit` cannot be asked for the
//! other byte order, which is how the encoding is tested for big endian; and what was sent must be compared with what the kernel
//! dumps, attribute by attribute, for which both must be one plain tree ([`Attribute`]). Their parsers are also the larger part of
//! what the crate adds to a router's flash.
//!
//! # Byte order
//! Attribute headers are in the machine's order, integers *of attributes* in network order (`nf_tables.h`: all `NLA_U32` there are big
//! endian). Values that a packet is compared with are as the kernel has them in a register: addresses and ports in network order, `meta` and `ct`
//! values in the machine's ([`Endian`]), but as sets of ranges order keys by `memcmp`, times are turned to network order before such a lookup.

mod attribute;
mod element;
mod expression;
mod instruction;
pub mod neighbours;
mod present;
mod transaction;
mod wire;

pub use attribute::{attributes, Attribute, Attributes};
pub use element::Reading;
pub use expression::expressions;
pub use present::{counters, each_reading, generation, readings, Counter, Generation, Present};
pub use transaction::{edits, element_request, transaction, Edit};
pub use wire::{batch, emit, messages, request, Message, Received, BATCH_OVERHEAD};

/// Byte order of the machine that the kernel runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Endian {
    Little,
    Big,
}

impl Endian {
    /// This machine's.
    pub const NATIVE: Endian = if cfg!(target_endian = "big") {
        Endian::Big
    } else {
        Endian::Little
    };

    fn u32(self, value: u32) -> Vec<u8> {
        match self {
            Endian::Little => value.to_le_bytes().to_vec(),
            Endian::Big => value.to_be_bytes().to_vec(),
        }
    }

    /// From network order to this.
    fn ordered(self, mut network: Vec<u8>) -> Vec<u8> {
        if self == Endian::Little {
            network.reverse();
        }
        network
    }
}

/// `NFPROTO_INET`
pub(crate) const INET: u8 = 1;

/// Message types: `enum nf_tables_msg_types`.
#[allow(missing_docs)]
pub mod kind {
    pub const NEWTABLE: u8 = 0;
    pub const GETTABLE: u8 = 1;
    pub const DELTABLE: u8 = 2;
    pub const NEWCHAIN: u8 = 3;
    pub const GETCHAIN: u8 = 4;
    pub const DELCHAIN: u8 = 5;
    pub const NEWRULE: u8 = 6;
    pub const GETRULE: u8 = 7;
    pub const DELRULE: u8 = 8;
    pub const NEWSET: u8 = 9;
    pub const GETSET: u8 = 10;
    pub const DELSET: u8 = 11;
    pub const NEWSETELEM: u8 = 12;
    pub const GETSETELEM: u8 = 13;
    pub const DELSETELEM: u8 = 14;
    pub const NEWGEN: u8 = 15;
    pub const GETGEN: u8 = 16;
    pub const NEWOBJ: u8 = 18;
    pub const GETOBJ: u8 = 19;
    pub const DELOBJ: u8 = 20;
}

#[cfg(test)]
mod tests;
