//! Who else is there: all tables, and all chains that a hook calls, of every family.

use super::attribute::{find, string, u32, u64};
use super::wire::{request, Message, Received};
use super::{kind, INET};
use netlink_packet_core::NLM_F_DUMP;

/// `NFPROTO_*` of the families that tables can have, as nft writes them.
pub const FAMILIES: [(u8, &str); 6] = [
    (INET, "inet"),
    (2, "ip"),
    (10, "ip6"),
    (3, "arp"),
    (7, "bridge"),
    (NETDEV, "netdev"),
];
const NETDEV: u8 = 5;
const ARP: u8 = 3;

/// A chain that a hook calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Neighbour {
    pub table: String,
    pub chain: String,
    /// As nft writes it: `forward`.
    pub hook: &'static str,
    pub priority: i32,
}

/// Asks for all of a kind in one family. (The family of an answer is that of its request.)
#[must_use]
pub fn dump(kind: u8, family: u8) -> Message {
    Message {
        family,
        ..request(kind, NLM_F_DUMP, &[])
    }
}

/// The table that an answer is about.
#[must_use]
pub fn table(received: &Received<'_>) -> Option<String> {
    match received {
        Received::Message {
            kind: kind::NEWTABLE,
            attributes,
            ..
        } => string(attributes, 1).map(str::to_owned),
        _ => None,
    }
}

/// The kernel's number for the table that an answer is about.
#[must_use]
pub fn handle(received: &Received<'_>) -> Option<u64> {
    match received {
        Received::Message {
            kind: kind::NEWTABLE,
            attributes,
            ..
        } => u64(attributes, 4),
        _ => None,
    }
}

/// The base chain that an answer is about.
#[must_use]
pub fn base_chain(received: &Received<'_>, family: u8) -> Option<Neighbour> {
    let Received::Message {
        kind: kind::NEWCHAIN,
        attributes,
        ..
    } = received
    else {
        return None;
    };
    let hook = find(attributes, 4)?;
    Some(Neighbour {
        table: string(attributes, 1)?.to_owned(),
        chain: string(attributes, 3)?.to_owned(),
        hook: hook_name(family, u32(hook, 1)?),
        priority: i32::from_be_bytes(u32(hook, 2)?.to_be_bytes()),
    })
}

/// `enum nf_inet_hooks`, `nf_dev_hooks`, and `NF_ARP_*`.
fn hook_name(family: u8, number: u32) -> &'static str {
    match (family, number) {
        (NETDEV, 0) | (INET, 5) => "ingress",
        (NETDEV, 1) => "egress",
        (ARP, 0) => "input",
        (ARP, _) => "output",
        (_, 1) => "input",
        (_, 0) => "prerouting",
        (_, 2) => "forward",
        (_, 3) => "output",
        (_, 4) => "postrouting",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_have_the_numbers_of_the_kernels_headers() {
        let names = |family| (0..5).map(|number| hook_name(family, number)).collect::<Vec<_>>();
        assert_eq!(names(INET), ["prerouting", "input", "forward", "output", "postrouting"]);
        assert_eq!(names(2), names(10));
        assert_eq!(names(NETDEV)[..2], ["ingress", "egress"]);
        assert_eq!(names(ARP)[..2], ["input", "output"]);
        assert_eq!((hook_name(INET, 5), hook_name(2, 9)), ("ingress", "unknown"));
    }
}
