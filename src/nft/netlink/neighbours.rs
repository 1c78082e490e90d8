//! Who else is there: all tables, and all chains that a hook calls, of every family.

use super::attribute::{attributes, find, string, u32, u64};
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

/// What a rule of somebody's does, as far as a packet's mark may depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Step {
    pub table: String,
    pub chain: String,
    /// Only what comes in by a device whose name begins so.
    pub device: Option<String>,
    pub does: Does,
}

/// See [`Step`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    /// Goes on in this chain.
    Jump(String),
    /// Writes the mark.
    Mark {
        /// The bits that stay as they are.
        keeps: u32,
        /// Of the others, those that may be set afterwards.
        may_set: u32,
    },
}

/// What is in the register that an expression wrote last.
#[derive(Clone, Copy)]
enum Loaded {
    /// As in [`Does::Mark`].
    Mark(u32, u32),
    /// The connection's state, of which these bits are left.
    State(u32),
    Device,
}

/// `NF_CT_STATE_BIT(IP_CT_NEW)` and `NF_CT_STATE_UNTRACKED_BIT`
const BEGINS: u32 = 8 | 64;

/// The jumps of the rule that an answer is about, and what it does to marks. A rule about connections that have begun does nothing here: the mark is
/// asked where they begin. What an expression makes that is not known here may be anything.
pub fn steps(received: &Received<'_>, mut each: impl FnMut(Step)) {
    let Received::Message {
        kind: kind::NEWRULE,
        attributes: rule,
        ..
    } = received
    else {
        return;
    };
    let (Some(table), Some(chain), Some(expressions)) = (string(rule, 1), string(rule, 2), find(rule, 4)) else {
        return;
    };
    let mut known = Known::default();
    for (_, expression) in attributes(expressions) {
        let (Some(name), data) = (string(expression, 1), find(expression, 2).unwrap_or_default()) else {
            continue;
        };
        let does = match name {
            "meta" => known.meta(data),
            "ct" => known.ct(data),
            "bitwise" => known.bitwise(data),
            "cmp" if known.is_of_what_has_begun(data) => return,
            "cmp" => known.cmp(data),
            "immediate" => known.immediate(data),
            "target" => xtables(data),
            "counter" | "log" | "limit" => None,
            _ => known.load(None),
        };
        if let Some(does) = does {
            each(Step {
                table: table.to_owned(),
                chain: chain.to_owned(),
                device: known.device.clone(),
                does,
            });
        }
    }
}

/// What is known in the middle of a rule. Each expression that it reads may do something.
#[derive(Default)]
struct Known {
    /// As in [`Step`].
    device: Option<String>,
    loaded: Option<Loaded>,
}

impl Known {
    fn load(&mut self, loaded: Option<Loaded>) -> Option<Does> {
        self.loaded = loaded;
        None
    }

    /// `NFTA_META_DREG`, `NFTA_META_KEY`; without the first it is written (`NFTA_META_SREG`).
    fn meta(&mut self, data: &[u8]) -> Option<Does> {
        match (u32(data, 1), u32(data, 2)) {
            (None, Some(3)) => {
                let (keeps, may_set) = match self.loaded {
                    Some(Loaded::Mark(keeps, may_set)) => (keeps, may_set),
                    _ => (0, u32::MAX),
                };
                Some(Does::Mark { keeps, may_set })
            }
            (Some(_), Some(3)) => self.load(Some(Loaded::Mark(u32::MAX, 0))),
            (Some(_), Some(6)) => self.load(Some(Loaded::Device)),
            _ => self.load(None),
        }
    }

    /// `NFTA_CT_KEY`: the state is 0.
    fn ct(&mut self, data: &[u8]) -> Option<Does> {
        self.load((u32(data, 2) == Some(0)).then_some(Loaded::State(u32::MAX)))
    }

    /// `NFTA_BITWISE_MASK`, `NFTA_BITWISE_XOR`; those that shift, or join two registers, have none.
    fn bitwise(&mut self, data: &[u8]) -> Option<Does> {
        let loaded = match (self.loaded, native(data, 4), native(data, 5)) {
            (Some(Loaded::State(state)), Some(mask), _) => Some(Loaded::State(state & mask)),
            (Some(Loaded::Mark(keeps, may_set)), Some(mask), Some(flip)) => {
                Some(Loaded::Mark(keeps & mask & !flip, may_set & mask | flip))
            }
            (_, Some(mask), Some(flip)) => Some(Loaded::Mark(0, mask | flip)),
            _ => None,
        };
        self.load(loaded)
    }

    /// `NFTA_CMP_OP`: whether a comparison (other than with nothing) leaves only connections that have begun.
    fn is_of_what_has_begun(&self, data: &[u8]) -> bool {
        matches!(self.loaded, Some(Loaded::State(state)) if state & BEGINS == 0) && u32(data, 2) == Some(1)
    }

    /// `NFTA_CMP_OP`, `NFTA_CMP_DATA`
    fn cmp(&mut self, data: &[u8]) -> Option<Does> {
        if let (Some(Loaded::Device), Some(0)) = (self.loaded, u32(data, 2)) {
            self.device = find(data, 3).and_then(|value| string(value, 1)).map(str::to_owned);
        }
        None
    }

    /// `NFTA_IMMEDIATE_DATA`, with a verdict (`NFTA_DATA_VERDICT`) or a value.
    fn immediate(&mut self, data: &[u8]) -> Option<Does> {
        self.loaded = native(data, 2).map(|value| Loaded::Mark(0, value));
        let verdict = find(find(data, 2)?, 2)?;
        Some(Does::Jump(string(verdict, 2)?.to_owned()))
    }
}

/// A value in the machine's order (`NFTA_DATA_VALUE`) within an attribute.
fn native(data: &[u8], kind: u16) -> Option<u32> {
    word(find(find(data, kind)?, 1)?, 0)
}

fn word(data: &[u8], index: usize) -> Option<u32> {
    let bytes = data.get(4 * index..)?.get(..4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// What iptables' targets do to the mark: `struct xt_mark_tginfo2`, `struct xt_connmark_tginfo1` and `2`.
fn xtables(data: &[u8]) -> Option<Does> {
    let info = find(data, 3)?;
    let mode = if u32(data, 2)? < 2 { 12 } else { 14 };
    let (value, mask) = match string(data, 1)? {
        "MARK" => (word(info, 0)?, word(info, 1)?),
        // `XT_CONNMARK_RESTORE`
        "CONNMARK" if info.get(mode) == Some(&2) => (word(info, 1)?, word(info, 2)?),
        _ => return None,
    };
    Some(Does::Mark {
        keeps: !(mask | value),
        may_set: value,
    })
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
