//! The messages of a transaction.

use super::super::{Base, Chain, Contents, Element, Fault, Kind, Rule, Set, Table};
use super::attribute::Attribute;
use super::element;
use super::instruction::META_TIME_NS;
use super::present::{hook_number, timeout_milliseconds, OBJECT_COUNTER};
use super::{expressions, kind, Endian, Message, Present, INET};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::sorted::Map;
use netlink_packet_core::{Emitable, NLM_F_APPEND, NLM_F_CREATE};
use std::collections::BTreeMap;

/// Elements of one message take at most this many bytes: the attribute that holds them has a length of 16 bits.
const ELEMENTS: usize = 32 * 1024;

const SET_INTERVAL: u32 = 0x4;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
const SET_CONCAT: u32 = 0x80;

/// One change of a set's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Puts an element in; one that is there already gets the new timeout.
    Add {
        /// The set's name.
        set: String,
        /// What is put in.
        element: Element,
    },
    /// Gives an element that is there the new timeout. One that is not, or is taken out in the meantime, stays out.
    Renew {
        /// The set's name.
        set: String,
        /// The element with its timeout.
        element: Element,
    },
    /// Takes an element out. One that is not there is not an error.
    Delete {
        /// The set's name.
        set: String,
        /// What is taken out; its timeout does not matter.
        element: Element,
    },
    /// Takes all elements out.
    Flush {
        /// The set's name.
        set: String,
    },
}

/// The messages that make the kernel's table this one.
///
/// In place: base chains stay hooked, lists keep their elements and remaining time, counters their readings. What the table no longer has is
/// deleted. Deleted and created anew are only: a set whose type or flags changed (its elements are lost); a set whose size or timeout
/// changed (kernels before 6.5 cannot change it; its elements are carried over, with their remaining time, as far as `present` holds
/// them and the new size goes); a chain whose hook or priority changed (the kernel cannot move one).
///
/// What is there already is declared again without harm, so that a table that vanishes after `present` was taken is created
/// whole; only a deletion of what is gone fails (`ENOENT`): take `present` again then.
#[must_use]
pub fn transaction(table: &Table, present: &Present, endian: Endian) -> Vec<Message> {
    let name = &table.name;
    let mut messages = vec![
        new(
            kind::NEWTABLE,
            vec![Attribute::string(1, name), Attribute::u32(2, 0)],
            format!("table \"{name}\""),
        ),
        delete(
            kind::DELRULE,
            vec![Attribute::string(1, name)],
            format!("rules of table \"{name}\""),
        ),
    ];
    messages.extend(removals(table, present));
    messages.gather(table.counters.iter().map(|counter| new_counter(name, counter)));
    for (index, set) in table.sets.iter().enumerate() {
        messages.push(new_set(name, set, index, endian));
        if let Some(seen) = present.sets.get(&set.name).filter(|_| present.resizes(set)) {
            let room = set
                .size
                .map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
            let becomes = timeout_milliseconds(set);
            let carried = seen
                .elements
                .iter()
                .take(room)
                .map(|element| element::carried(element, seen.timeout, becomes));
            messages.extend(element_messages(kind::NEWSETELEM, name, &set.name, carried));
        }
        if matches!(set.contents, Contents::Configuration(_)) {
            messages.push(flush(name, &set.name));
            let elements = set.elements();
            let opening = element::opening(set, &elements, endian);
            let encoded = elements.iter().flat_map(|one| element::encode(set, one, endian));
            messages.extend(element_messages(
                kind::NEWSETELEM,
                name,
                &set.name,
                opening.into_iter().chain(encoded),
            ));
        }
    }
    messages.gather(table.chains.iter().map(|chain| new_chain(name, chain)));
    for chain in &table.chains {
        messages.gather(
            chain
                .rules
                .iter()
                .enumerate()
                .map(|(index, rule)| new_rule(table, chain, rule, index, endian)),
        );
    }
    messages
}

/// Sets first: maps among them may hold on to chains and objects.
fn removals(table: &Table, present: &Present) -> Vec<Message> {
    let name = &table.name;
    let mut messages = Vec::new();
    for (set, seen) in &present.sets {
        let stays = table
            .set(set)
            .is_some_and(|wanted| seen.is_of_type(wanted) && seen.has_limits(wanted));
        if !stays {
            messages.push(delete(kind::DELSET, named(name, 2, set), format!("old set \"{set}\"")));
        }
    }
    for (chain, seen) in &present.chains {
        let stays = table
            .chains
            .iter()
            .any(|wanted| wanted.name == *chain && seen.is_hooked_as(wanted));
        if !stays {
            messages.push(delete(
                kind::DELCHAIN,
                named(name, 3, chain),
                format!("old chain \"{chain}\""),
            ));
        }
    }
    for (object_type, object) in present.objects.keys() {
        if *object_type != OBJECT_COUNTER || !table.counters.contains(object) {
            let mut attributes = named(name, 2, object);
            attributes.push(Attribute::u32(3, *object_type));
            messages.push(delete(kind::DELOBJ, attributes, format!("old object \"{object}\"")));
        }
    }
    messages
}

/// The messages of some edits, in order. `is_there` is asked at most once for each element, about the state before all edits: the kernel refuses to
/// delete what is not there, and does not take over the timeout of what is (before 6.12).
///
/// # Errors
/// What `is_there` gives; a [`Fault`], where a set is not in the table or an element does not fit.
pub fn edits<E: From<Fault>>(
    table: &Table,
    edits: &[Edit],
    endian: Endian,
    is_there: &mut dyn FnMut(&Set, &Element) -> Result<bool, E>,
) -> Result<Vec<Message>, E> {
    let mut run = Run {
        table,
        endian,
        messages: Vec::new(),
        pending: None,
    };
    // By set; elements can be many.
    let mut known: Map<&str, BTreeMap<Vec<element::Bounds>, bool>> = Map::new();
    let mut flushed: Vec<&str> = Vec::new();
    for edit in edits {
        let (Edit::Add { set: name, .. }
        | Edit::Renew { set: name, .. }
        | Edit::Delete { set: name, .. }
        | Edit::Flush { set: name }) = edit;
        let set = table.set(name).ok_or_else(|| Fault {
            at: format!("set \"{name}\""),
            problem: "there is none".into(),
        })?;
        let (element, is_wanted) = match edit {
            Edit::Flush { .. } => {
                run.finish();
                run.messages.push(flush(&table.name, name));
                flushed.push(name);
                known.remove(name.as_str());
                continue;
            }
            Edit::Add { element, .. } => (element, Some(true)),
            Edit::Renew { element, .. } => (element, None),
            Edit::Delete { element, .. } => (element, Some(false)),
        };
        set.check_element(element)?;
        let key = element::bounds(&element.key);
        let known = known.or_default(name.as_str());
        let was = match known.get(&key) {
            Some(was) => *was,
            None => !flushed.contains(&name.as_str()) && is_there(set, element)?,
        };
        let is_wanted = is_wanted.unwrap_or(was);
        if was {
            run.push(
                kind::DELSETELEM,
                set,
                &Element {
                    key: element.key.clone(),
                    timeout: None,
                },
            );
        }
        if is_wanted {
            run.push(kind::NEWSETELEM, set, element);
        }
        known.insert(key, is_wanted);
    }
    run.finish();
    Ok(run.messages)
}

/// Elements of one set that are all added or all deleted go in one message.
struct Run<'a> {
    table: &'a Table,
    endian: Endian,
    messages: Vec<Message>,
    pending: Option<(u8, String, Vec<Attribute>)>,
}

impl Run<'_> {
    fn push(&mut self, kind: u8, set: &Set, one: &Element) {
        if !matches!(&self.pending, Some((same, name, _)) if *same == kind && *name == set.name) {
            self.finish();
            self.pending = Some((kind, set.name.clone(), Vec::new()));
        }
        if let Some((_, _, elements)) = &mut self.pending {
            elements.extend(element::encode(set, one, self.endian));
        }
    }

    fn finish(&mut self) {
        if let Some((kind, set, elements)) = self.pending.take() {
            self.messages
                .extend(element_messages(kind, &self.table.name, &set, elements.into_iter()));
        }
    }
}

/// Asks for one element by its key; the kernel answers `ENOENT` if it is not there. Not for sets of ranges, where any range around
/// the key answers.
#[must_use]
pub fn element_request(table: &Table, set: &Set, element: &Element, endian: Endian) -> Message {
    let plain = Element {
        key: element.key.clone(),
        timeout: None,
    };
    let mut attributes = named(&table.name, 2, &set.name);
    attributes.push(Attribute::nest(3, element::encode(set, &plain, endian)));
    Message {
        family: INET,
        kind: kind::GETSETELEM,
        flags: 0,
        attributes,
        about: format!("element of set \"{}\"", set.name),
    }
}

fn new(kind: u8, attributes: Vec<Attribute>, about: String) -> Message {
    Message {
        family: INET,
        kind,
        flags: NLM_F_CREATE,
        attributes,
        about,
    }
}

fn delete(kind: u8, attributes: Vec<Attribute>, about: String) -> Message {
    Message {
        family: INET,
        kind,
        flags: 0,
        attributes,
        about,
    }
}

/// The table's name, and the name of something in it.
fn named(table: &str, kind: u16, name: &str) -> Vec<Attribute> {
    vec![Attribute::string(1, table), Attribute::string(kind, name)]
}

/// `NFTA_OBJ_TABLE`, `_NAME`, `_TYPE`, `_DATA` with zeros, which the kernel takes only for a counter that is not there yet
fn new_counter(table: &str, name: &str) -> Message {
    let mut attributes = named(table, 2, name);
    attributes.push(Attribute::u32(3, OBJECT_COUNTER));
    attributes.push(Attribute::nest(4, vec![Attribute::u64(1, 0), Attribute::u64(2, 0)]));
    new(kind::NEWOBJ, attributes, format!("counter \"{name}\""))
}

/// `NFTA_SET_*`
fn new_set(table: &str, set: &Set, index: usize, endian: Endian) -> Message {
    let mut attributes = named(table, 2, &set.name);
    attributes.push(Attribute::u32(3, set_flags(set)));
    attributes.push(Attribute::u32(4, set_key_type(set)));
    attributes.push(Attribute::u32(5, set_key_length(set)));
    attributes.push(Attribute::u32(
        10,
        u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
    ));
    let mut description: Vec<Attribute> = set.size.map(|size| Attribute::u32(1, size)).into_iter().gathered();
    description.gather(concatenation(set).map(|fields| Attribute::nest(2, fields)));
    if !description.is_empty() {
        attributes.push(Attribute::nest(9, description));
    }
    if timeout_milliseconds(set) > 0 {
        attributes.push(Attribute::u64(11, timeout_milliseconds(set)));
    }
    attributes.push(Attribute::bytes(13, set_userdata(set, endian)));
    new(kind::NEWSET, attributes, format!("set \"{}\"", set.name))
}

/// `enum nft_set_flags`
pub(super) fn set_flags(set: &Set) -> u32 {
    let flags = [
        (SET_INTERVAL, set.interval),
        (SET_TIMEOUT, set.timeout.is_some()),
        (SET_EVAL, set.dynamic),
        (SET_CONCAT, set.interval && set.is_concatenation()),
    ];
    flags
        .iter()
        .filter(|(_, is_set)| *is_set)
        .fold(0, |flags, (flag, _)| flags | flag)
}

/// nft's number of the key's type (`enum datatypes`), six bits for each part of a concatenation. The kernel only keeps it, for nft.
pub(super) fn set_key_type(set: &Set) -> u32 {
    let number = |kind: Kind| match kind {
        Kind::Ipv4Addr => 7,
        Kind::Ipv6Addr => 8,
        Kind::EtherAddr => 9,
        Kind::InetProto => 12,
        Kind::InetService => 13,
        Kind::Ifname => 41,
        Kind::Time => 43,
    };
    set.key
        .iter()
        .fold(0u32, |key, kind| key.wrapping_shl(6) | number(*kind))
}

/// In a concatenation, every part takes whole registers of four bytes.
pub(super) fn set_key_length(set: &Set) -> u32 {
    let length: usize = match set.key.as_slice() {
        [one] => one.size(),
        parts => parts.iter().map(|kind| kind.size().next_multiple_of(4)).sum(),
    };
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// `NFTA_SET_DESC_CONCAT`: the parts' lengths, only where the kernel must compare them as ranges.
pub(super) fn concatenation(set: &Set) -> Option<Vec<Attribute>> {
    let length = |kind: &Kind| Attribute::u32(1, u32::try_from(kind.size()).unwrap_or(u32::MAX));
    let is_needed = set.interval && set.is_concatenation();
    is_needed.then(|| {
        set.key
            .iter()
            .map(|kind| Attribute::nest(1, vec![length(kind)]))
            .gathered()
    })
}

/// libnftnl's `NFTNL_UDATA_SET_*`, without which nft could not print the set: `KEYBYTEORDER`, and for a time, which has no name as a type,
/// `KEY_TYPEOF` with the expression `meta time`.
fn set_userdata(set: &Set, endian: Endian) -> Vec<u8> {
    // enum byteorder; nft itself leaves it open (0) for protocols and concatenations.
    let byte_order = match set.key.as_slice() {
        [Kind::Time | Kind::Ifname] => 1,
        [Kind::Ipv4Addr | Kind::Ipv6Addr | Kind::EtherAddr | Kind::InetService] => 2,
        _ => 0,
    };
    let mut userdata = tlv(0, &endian.u32(byte_order));
    if set.key == [Kind::Time] {
        // NFTNL_UDATA_SET_TYPEOF_EXPR: EXPR_META; NFTNL_UDATA_SET_TYPEOF_DATA: NFTNL_UDATA_META_KEY
        let expression = tlv(0, &endian.u32(9));
        let data = tlv(1, &tlv(0, &endian.u32(META_TIME_NS)));
        userdata.extend(tlv(3, &[expression, data].concat()));
    }
    userdata
}

/// libnftnl's user data: type, length, value. What is longer than a length can say is cut.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![kind, length];
    bytes.extend(&value[..usize::from(length)]);
    bytes
}

/// An empty list of elements means all.
fn flush(table: &str, set: &str) -> Message {
    delete(
        kind::DELSETELEM,
        named(table, 2, set),
        format!("elements of set \"{set}\""),
    )
}

fn element_messages(kind: u8, table: &str, set: &str, elements: impl Iterator<Item = Attribute>) -> Vec<Message> {
    let flags = if kind == kind::NEWSETELEM { NLM_F_CREATE } else { 0 };
    let message = |list: Vec<Attribute>| {
        let mut attributes = named(table, 2, set);
        attributes.push(Attribute::nest(3, list));
        Message {
            family: INET,
            kind,
            flags,
            attributes,
            about: format!("elements of set \"{set}\""),
        }
    };
    let mut messages = Vec::new();
    let mut list = Vec::new();
    let mut bytes = 0;
    for element in elements {
        let length = element.buffer_len();
        if bytes + length > ELEMENTS {
            messages.push(message(std::mem::take(&mut list)));
            bytes = 0;
        }
        bytes += length;
        list.push(element);
    }
    if !list.is_empty() {
        messages.push(message(list));
    }
    messages
}

/// `NFTA_CHAIN_*`
fn new_chain(table: &str, chain: &Chain) -> Message {
    let mut attributes = named(table, 3, &chain.name);
    if let Some(Base { hook, priority }) = chain.base {
        attributes.push(Attribute::string(7, "filter"));
        attributes.push(Attribute::u32(5, 1));
        let hook = vec![
            Attribute::u32(1, hook_number(hook)),
            Attribute::bytes(2, priority.to_be_bytes().to_vec()),
        ];
        attributes.push(Attribute::nest(4, hook));
    }
    new(kind::NEWCHAIN, attributes, format!("chain \"{}\"", chain.name))
}

/// `NFTA_RULE_*`
fn new_rule(table: &Table, chain: &Chain, rule: &Rule, index: usize, endian: Endian) -> Message {
    let mut attributes = named(&table.name, 2, &chain.name);
    attributes.push(Attribute::nest(4, expressions(table, rule, endian)));
    let userdata = comment(rule);
    if !userdata.is_empty() {
        attributes.push(Attribute::bytes(7, userdata));
    }
    let about = format!("rule {} of chain \"{}\" ({})", index + 1, chain.name, rule.comment);
    Message {
        family: INET,
        kind: kind::NEWRULE,
        flags: NLM_F_CREATE | NLM_F_APPEND,
        attributes,
        about,
    }
}

/// libnftnl's `NFTNL_UDATA_RULE_COMMENT`; empty without a comment.
pub(super) fn comment(rule: &Rule) -> Vec<u8> {
    if rule.comment.is_empty() {
        return Vec::new();
    }
    let mut text = rule.comment.as_bytes().to_vec();
    text.truncate(127);
    text.push(0);
    tlv(0, &text)
}
