//! What the kernel has, from its dumps, and how that differs from a table.

use super::super::{Base, Chain, Contents, Hook, Rule, Set, Table, Timeout};
use super::attribute::{all_said, find, string, u32, u64};
use super::element::{self, Reading};
use super::transaction::{comment, concatenation, set_flags, set_key_length, set_key_type};
use super::{expressions, kind, Endian, Received};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::sorted::Map;

/// `NFT_OBJECT_COUNTER`
pub(super) const OBJECT_COUNTER: u32 = 1;
/// `NF_ACCEPT`
const ACCEPT: u32 = 1;
/// `NFT_CHAIN_BASE`: the kernel's own mark.
const CHAIN_BASE: u32 = 1;
/// What the kernel puts in place of a dynamic set's missing size (`nft_dynset_init`).
const DYNAMIC_SIZE: u32 = 0xffff;

/// A named counter's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// A transaction of somebody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The ruleset's number after it.
    pub id: u32,
    /// The name of the process (`comm`), where the kernel says it.
    pub process: String,
}

/// A chain as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SeenChain {
    kind: Option<String>,
    hook: Option<(u32, i32)>,
    policy: Option<u32>,
    flags: u32,
    rules: Vec<SeenRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct SeenRule {
    expressions: Vec<u8>,
    userdata: Vec<u8>,
}

/// A set as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SeenSet {
    key_type: u32,
    key_length: u32,
    flags: u32,
    concatenation: Vec<u8>,
    pub timeout: u64,
    size: Option<u32>,
    /// As dumped, if asked for.
    pub elements: Vec<Vec<u8>>,
}

/// What the kernel has of one table. Take the dumps in with [`Present::take`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Present {
    pub(super) exists: bool,
    /// The number that the kernel gave the table when it was made.
    pub handle: u64,
    flags: u32,
    pub(super) chains: Map<String, SeenChain>,
    pub(super) sets: Map<String, SeenSet>,
    /// Stateful objects by type and name.
    pub(super) objects: Map<(u32, String), Counter>,
}

impl Present {
    /// Whether there is such a table at all.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// Whether a list must be made anew, elements and all, to get its new size or timeout.
    #[must_use]
    pub fn resizes(&self, set: &Set) -> bool {
        let seen = self.sets.get(&set.name);
        matches!(set.contents, Contents::List) && seen.is_some_and(|seen| seen.is_of_type(set) && !seen.has_limits(set))
    }

    /// Takes in one message of a dump; what belongs to another table is left out. Dump sets before elements.
    pub fn take(&mut self, table: &str, received: &Received<'_>) {
        let Received::Message { kind, attributes, .. } = received else {
            return;
        };
        // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, NFTA_OBJ_TABLE are all 1.
        if string(attributes, 1) != Some(table) {
            return;
        }
        match *kind {
            kind::NEWTABLE => {
                self.exists = true;
                self.handle = u64(attributes, 4).unwrap_or(0);
                self.flags = u32(attributes, 2).unwrap_or(0);
            }
            kind::NEWCHAIN => self.take_chain(attributes),
            kind::NEWRULE => self.take_rule(attributes),
            kind::NEWSET => self.take_set(attributes),
            kind::NEWSETELEM => self.take_elements(attributes),
            kind::NEWOBJ => self.take_object(attributes),
            _ => {}
        }
    }

    fn take_chain(&mut self, attributes: &[u8]) {
        let Some(name) = string(attributes, 3) else {
            return;
        };
        let hook =
            find(attributes, 4).and_then(|hook| Some((u32(hook, 1)?, i32::from_be_bytes(u32(hook, 2)?.to_be_bytes()))));
        let chain = self.chains.or_default(name.to_owned());
        chain.hook = hook;
        chain.policy = u32(attributes, 5);
        chain.kind = string(attributes, 7).map(str::to_owned);
        chain.flags = u32(attributes, 10).unwrap_or(0);
    }

    fn take_rule(&mut self, attributes: &[u8]) {
        let Some(chain) = string(attributes, 2) else {
            return;
        };
        self.chains.or_default(chain.to_owned()).rules.push(SeenRule {
            expressions: find(attributes, 4).unwrap_or_default().to_vec(),
            userdata: find(attributes, 7).unwrap_or_default().to_vec(),
        });
    }

    fn take_set(&mut self, attributes: &[u8]) {
        let Some(name) = string(attributes, 2) else {
            return;
        };
        let description = find(attributes, 9).unwrap_or_default();
        self.sets.insert(
            name.to_owned(),
            SeenSet {
                key_type: u32(attributes, 4).unwrap_or(0),
                key_length: u32(attributes, 5).unwrap_or(0),
                flags: u32(attributes, 3).unwrap_or(0),
                concatenation: find(description, 2).unwrap_or_default().to_vec(),
                timeout: u64(attributes, 11).unwrap_or(0),
                size: u32(description, 1),
                elements: Vec::new(),
            },
        );
    }

    fn take_elements(&mut self, attributes: &[u8]) {
        let (Some(name), Some(list)) = (string(attributes, 2), find(attributes, 3)) else {
            return;
        };
        if let Some(set) = self.sets.get_mut(name) {
            set.elements.gather(element::split(list).map(<[u8]>::to_vec));
        }
    }

    fn take_object(&mut self, attributes: &[u8]) {
        let (Some(name), Some(kind)) = (string(attributes, 2), u32(attributes, 3)) else {
            return;
        };
        let data = find(attributes, 4).unwrap_or_default();
        let counter = Counter {
            bytes: u64(data, 1).unwrap_or(0),
            packets: u64(data, 2).unwrap_or(0),
        };
        self.objects.insert((kind, name.to_owned()), counter);
    }

    /// What the kernel has otherwise than the table says, for people; empty if nothing.
    ///
    /// Elements of lists and readings of counters are not looked at. Elements of configuration with a timeout may be gone. Flow tables are not
    /// looked at: without a rule they do nothing.
    #[must_use]
    pub fn differences(&self, table: &Table, endian: Endian) -> Vec<String> {
        let mut found = Vec::new();
        if self.flags != 0 {
            found.push(format!("table has flags {:#x}", self.flags));
        }
        let counters: Vec<(u32, &str)> = table
            .counters
            .iter()
            .map(|name| (OBJECT_COUNTER, name.as_str()))
            .gathered();
        let objects: Vec<(u32, &str)> = self
            .objects
            .keys()
            .map(|(kind, name)| (*kind, name.as_str()))
            .gathered();
        found.gather(
            counters
                .iter()
                .filter(|one| !objects.contains(one))
                .map(|(_, name)| format!("counter \"{name}\" is missing")),
        );
        found.gather(
            objects
                .iter()
                .filter(|one| !counters.contains(one))
                .map(|(_, name)| format!("object \"{name}\" is not ours")),
        );
        for set in &table.sets {
            match self.sets.get(&set.name) {
                None => found.push(format!("set \"{}\" is missing", set.name)),
                Some(seen) => found.extend(seen.differences(set, endian)),
            }
        }
        found.gather(
            self.sets
                .keys()
                .filter(|name| table.set(name).is_none())
                .map(|name| format!("set \"{name}\" is not ours")),
        );
        for chain in &table.chains {
            match self.chains.get(&chain.name) {
                None => found.push(format!("chain \"{}\" is missing", chain.name)),
                Some(seen) => found.extend(seen.differences(table, chain, endian)),
            }
        }
        let ours = |name: &str| table.chains.iter().any(|chain| chain.name == *name);
        found.gather(
            self.chains
                .keys()
                .filter(|name| !ours(name))
                .map(|name| format!("chain \"{name}\" is not ours")),
        );
        found
    }
}

impl SeenSet {
    /// Whether it can become the wanted one by nothing but its size and timeout.
    pub fn is_of_type(&self, set: &Set) -> bool {
        let concatenation = concatenation(set);
        let said = match &concatenation {
            Some(fields) => all_said(fields, &self.concatenation),
            None => self.concatenation.is_empty() || set.is_concatenation(),
        };
        said && self.key_type == set_key_type(set)
            && self.key_length == set_key_length(set)
            && self.flags == set_flags(set)
    }

    /// Whether size and timeout are as wanted.
    pub fn has_limits(&self, set: &Set) -> bool {
        let size_fits = match set.size {
            Some(_) => self.size == set.size,
            None => matches!(self.size, None | Some(0)) || (set.dynamic && self.size == Some(DYNAMIC_SIZE)),
        };
        size_fits && self.timeout == timeout_milliseconds(set)
    }

    fn differences(&self, set: &Set, endian: Endian) -> Vec<String> {
        let name = &set.name;
        if !self.is_of_type(set) {
            return vec![format!("set \"{name}\" is of another type")];
        }
        let mut found = Vec::new();
        if !self.has_limits(set) {
            found.push(format!("set \"{name}\" has another size or timeout"));
        }
        if !matches!(set.contents, Contents::Configuration(_)) {
            return found;
        }
        let wanted = set.elements();
        let there = element::decode(set, &self.elements, endian);
        let mut there: Vec<_> = there.iter().map(|reading| element::bounds(&reading.key)).gathered();
        there.sort_unstable();
        let lost = wanted
            .iter()
            .filter(|one| one.timeout.is_none() && there.binary_search(&element::bounds(&one.key)).is_err())
            .count();
        let mut keys: Vec<_> = wanted.iter().map(|one| element::bounds(&one.key)).gathered();
        keys.sort_unstable();
        let added = there.iter().filter(|key| keys.binary_search(key).is_err()).count();
        if lost + added > 0 {
            found.push(format!(
                "set \"{name}\": {lost} elements are missing, {added} are not ours"
            ));
        }
        found
    }
}

impl SeenChain {
    /// Whether it hangs where it should. (What a kernel can change of a chain in place is its policy.)
    pub fn is_hooked_as(&self, chain: &Chain) -> bool {
        let hook = chain.base.map(|Base { hook, priority }| (hook_number(hook), priority));
        let is_filter = chain.base.is_none() || self.kind.as_deref() == Some("filter");
        self.hook == hook && is_filter && self.flags & !CHAIN_BASE == 0
    }

    fn differences(&self, table: &Table, chain: &Chain, endian: Endian) -> Vec<String> {
        let name = &chain.name;
        let mut found = Vec::new();
        if !self.is_hooked_as(chain) {
            found.push(format!("chain \"{name}\" has another hook or priority"));
        }
        if chain.base.is_some() && self.policy != Some(ACCEPT) {
            found.push(format!("chain \"{name}\" has another policy"));
        }
        if self.rules.len() != chain.rules.len() {
            found.push(format!(
                "chain \"{name}\" has {} rules instead of {}",
                self.rules.len(),
                chain.rules.len()
            ));
            return found;
        }
        let differ = self
            .rules
            .iter()
            .zip(&chain.rules)
            .enumerate()
            .filter(|(_, (seen, rule))| !seen.is(table, rule, endian));
        found.gather(differ.map(|(index, _)| format!("chain \"{name}\", rule {} is another", index + 1)));
        found
    }
}

impl SeenRule {
    fn is(&self, table: &Table, rule: &Rule, endian: Endian) -> bool {
        let sent = expressions(table, rule, endian);
        let dumped: Vec<&[u8]> = element::split(&self.expressions)
            .filter(|expression| !is_idle(expression))
            .gathered();
        let same = sent.len() == dumped.len() && sent.iter().zip(dumped).all(|(sent, dumped)| sent.says(dumped));
        same && self.userdata == comment(rule)
    }
}

/// nft before 1.1 turns the bytes of a protocol's number around, two at a time; there is but one.
fn is_idle(expression: &[u8]) -> bool {
    let data = find(expression, 2).unwrap_or_default();
    // NFTA_BYTEORDER_LEN, NFTA_BYTEORDER_SIZE
    string(expression, 1) == Some("byteorder") && u32(data, 4) < u32(data, 5)
}

/// `enum nf_inet_hooks`
pub(super) fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

/// The default for elements that come without a timeout; 0: none.
pub(super) fn timeout_milliseconds(set: &Set) -> u64 {
    match set.timeout {
        Some(Timeout::Seconds(seconds)) => u64::from(seconds) * 1000,
        Some(Timeout::PerElement) | None => 0,
    }
}

/// The counters among what was dumped.
#[must_use]
pub fn counters(present: &Present) -> Map<String, Counter> {
    let counters = present.objects.iter().filter(|((kind, _), _)| *kind == OBJECT_COUNTER);
    counters.map(|((_, name), counter)| (name.clone(), *counter)).collect()
}

/// The elements of a set among what was dumped, in order. A set that is of another type there has none.
#[must_use]
pub fn readings(present: &Present, set: &Set, endian: Endian) -> Vec<Reading> {
    match present.sets.get(&set.name) {
        Some(seen) if seen.is_of_type(set) => element::decode(set, &seen.elements, endian),
        _ => Vec::new(),
    }
}

/// Gives the elements in one message of a set's dump to `each`, in the kernel's order; for sets so large that they are better not kept. The set must be of that
/// type there.
pub fn each_reading(received: &Received<'_>, set: &Set, endian: Endian, each: &mut dyn FnMut(Reading)) {
    let Received::Message {
        kind: kind::NEWSETELEM,
        attributes,
        ..
    } = received
    else {
        return;
    };
    let elements = element::split(find(attributes, 3).unwrap_or_default());
    elements
        .filter_map(|element| element::decode_one(set, element, endian))
        .for_each(each);
}

/// What `NFT_MSG_NEWGEN` says, as answer or notification.
#[must_use]
pub fn generation(received: &Received<'_>) -> Option<Generation> {
    match received {
        Received::Message {
            kind: kind::NEWGEN,
            attributes,
            ..
        } => Some(Generation {
            id: u32(attributes, 1)?,
            process: string(attributes, 3).unwrap_or_default().to_owned(),
        }),
        _ => None,
    }
}
