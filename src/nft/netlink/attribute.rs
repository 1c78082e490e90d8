//! Netlink attributes as a tree to send, and as bytes received.

use crate::gather::Gather;
use netlink_packet_core::{Emitable, Nla, NLA_F_NESTED, NLA_TYPE_MASK};

/// An attribute to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A value.
    Leaf {
        /// Its type.
        kind: u16,
        /// Its bytes, without padding.
        value: Vec<u8>,
    },
    /// Attributes within an attribute.
    Nest {
        /// Its type.
        kind: u16,
        /// What is in it.
        inner: Vec<Attribute>,
    },
}

impl Attribute {
    /// A value.
    #[must_use]
    pub fn bytes(kind: u16, value: Vec<u8>) -> Self {
        Attribute::Leaf { kind, value }
    }

    pub(super) fn string(kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        Attribute::Leaf { kind, value }
    }

    /// A number, big endian.
    #[must_use]
    pub fn u32(kind: u16, value: u32) -> Self {
        Attribute::Leaf {
            kind,
            value: value.to_be_bytes().to_vec(),
        }
    }

    pub(super) fn u64(kind: u16, value: u64) -> Self {
        Attribute::Leaf {
            kind,
            value: value.to_be_bytes().to_vec(),
        }
    }

    pub(super) fn nest(kind: u16, inner: Vec<Attribute>) -> Self {
        Attribute::Nest { kind, inner }
    }

    /// Whether the bytes, which the kernel dumped as this attribute's value, say the same. What it dumps beyond that must be zero, which is
    /// what not sending an attribute means in nf_tables.
    pub(super) fn says(&self, dumped: &[u8]) -> bool {
        match self {
            Attribute::Leaf { value, .. } => value == dumped,
            Attribute::Nest { inner, .. } => all_said(inner, dumped),
        }
    }
}

/// See [`Attribute::says`]. Attributes of one type are compared in order.
pub(super) fn all_said(sent: &[Attribute], dumped: &[u8]) -> bool {
    let mut sent: Vec<&Attribute> = sent.iter().gathered();
    for (kind, value) in attributes(dumped) {
        let is_said = match sent
            .iter()
            .position(|attribute| attribute.kind() & NLA_TYPE_MASK == kind)
        {
            Some(index) => sent.remove(index).says(value),
            None => value.iter().all(|byte| *byte == 0),
        };
        if !is_said {
            return false;
        }
    }
    sent.is_empty()
}

impl Nla for Attribute {
    fn value_len(&self) -> usize {
        match self {
            Attribute::Leaf { value, .. } => value.len(),
            Attribute::Nest { inner, .. } => inner.as_slice().buffer_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Attribute::Leaf { kind, .. } => *kind,
            Attribute::Nest { kind, .. } => *kind | NLA_F_NESTED,
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Attribute::Leaf { value, .. } => buffer.copy_from_slice(value),
            Attribute::Nest { inner, .. } => inner.as_slice().emit(buffer),
        }
    }
}

/// The attributes in a buffer; ends at the first that is broken.
///
/// Not `netlink_packet_core::NlasIterator`: that gives an error and goes on, and nothing here could do anything else than end.
#[must_use]
pub fn attributes(buffer: &[u8]) -> Attributes<'_> {
    Attributes { rest: buffer }
}

/// See [`attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    /// Type without flags, and value without padding.
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(self.rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.rest.get(2..4)?.try_into().ok()?) & NLA_TYPE_MASK;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The value of the first attribute of that type.
pub(super) fn find(buffer: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(buffer)
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| value)
}

pub(super) fn string(buffer: &[u8], kind: u16) -> Option<&str> {
    let value = find(buffer, kind)?;
    std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
}

pub(super) fn u32(buffer: &[u8], kind: u16) -> Option<u32> {
    find(buffer, kind)?.try_into().ok().map(u32::from_be_bytes)
}

pub(super) fn u64(buffer: &[u8], kind: u16) -> Option<u64> {
    find(buffer, kind)?.try_into().ok().map(u64::from_be_bytes)
}
