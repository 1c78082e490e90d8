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

/// Asks for the rules of one table of family `inet`.
#[must_use]
pub fn rules(table: &str) -> Message {
    request(kind::GETRULE, NLM_F_DUMP, &[(1, table)])
}

/// The comment of the rule that an answer is about, if it has one and is a rule of this table.
#[must_use]
pub fn rule_comment(received: &Received<'_>, table: &str) -> Option<String> {
    let Received::Message {
        kind: kind::NEWRULE,
        attributes,
        ..
    } = received
    else {
        return None;
    };
    // The kernel may answer for more than was asked: the table's name only narrows the dump.
    if string(attributes, 1) != Some(table) {
        return None;
    }
    let text = user_comment(find(attributes, 7)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// libnftnl's `NFTNL_UDATA_RULE_COMMENT` (type 0) among user data: type, length, value, again and again.
fn user_comment(mut data: &[u8]) -> Option<&[u8]> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(value.strip_suffix(&[0]).unwrap_or(value));
        }
        data = &rest[value.len()..];
    }
    None
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
    fn a_comment_is_found_behind_other_user_data_and_a_broken_end_is_none() {
        assert_eq!(user_comment(b"\x00\x03hi\0"), Some(&b"hi"[..]));
        assert_eq!(user_comment(b"\x01\x04abcd\x00\x02hi"), Some(&b"hi"[..]));
        assert_eq!(user_comment(b"\x00\x00"), Some(&b""[..]));
        for broken in [&b""[..], b"\x00", b"\x00\x03hi", b"\x01\x09abcd\x00\x02hi", b"\x01\x00"] {
            assert_eq!(user_comment(broken), None, "{broken:?}");
        }
    }

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
