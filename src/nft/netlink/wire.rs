//! Messages as bytes, both ways.

use super::attribute::{attributes, string, Attribute};
use super::instruction::{EXPRESSION_NAME, LIST_ELEMENT};
use super::INET;
use crate::gather::Gather;
use netlink_packet_core::{Emitable, NetlinkBuffer, NetlinkHeader, Nla, NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterProtoFamily};

/// `NFNL_SUBSYS_NFTABLES`
const SUBSYSTEM: u8 = 10;
/// `NFNL_MSG_BATCH_BEGIN`
const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`
const BATCH_END: u16 = 0x11;
/// `struct nlmsghdr` and `struct nfgenmsg`
const HEADERS: usize = 20;
/// Bytes of a batch that are not its messages'.
pub const BATCH_OVERHEAD: usize = 2 * HEADERS;

/// `NLMSG_ERROR`
const ERROR: u16 = 2;
/// `NLMSG_DONE`
const DONE: u16 = 3;
/// `NLM_F_CAPPED`
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`
const TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`
const ERROR_MESSAGE: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`
const ERROR_OFFSET: u16 = 2;

/// A request to nf_tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One of [`super::kind`].
    pub kind: u8,
    /// `NFPROTO_*`; [`super::INET`] for everything that changes something.
    pub family: u8,
    /// `NLM_F_*`, without `NLM_F_REQUEST`.
    pub flags: u16,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// What it is about, for an error message: `rule 3 of chain "x"`.
    pub about: String,
}

/// A message that reads: one that ends with its answer, or with flag `NLM_F_DUMP` one for all of a kind.
#[must_use]
pub fn request(kind: u8, flags: u16, attributes: &[(u16, &str)]) -> Message {
    let attributes = attributes
        .iter()
        .map(|(kind, text)| Attribute::string(*kind, text))
        .gathered();
    Message {
        kind,
        family: INET,
        flags,
        attributes,
        about: String::new(),
    }
}

impl Message {
    fn length(&self) -> usize {
        HEADERS + self.attributes.as_slice().buffer_len()
    }

    /// Appends it to a buffer.
    pub fn emit(&self, sequence: u32, buffer: &mut Vec<u8>) {
        let header = NetfilterHeader::new(NetfilterProtoFamily::from(self.family), 0, 0);
        let kind = u16::from(SUBSYSTEM) << 8 | u16::from(self.kind);
        emit(kind, self.flags, sequence, &header, &self.attributes, buffer);
    }

    /// The attribute that the kernel points at by its offset in the message, as people would name it.
    #[must_use]
    pub fn locate(&self, offset: usize) -> Option<String> {
        let mut path = Vec::new();
        locate(&self.attributes, HEADERS, offset, &mut path).then(|| path.join(", "))
    }
}

/// The path to the attribute that begins at or holds the offset.
fn locate(list: &[Attribute], mut at: usize, offset: usize, path: &mut Vec<String>) -> bool {
    for (index, attribute) in list.iter().enumerate() {
        let end = at + attribute.buffer_len();
        if (at..end).contains(&offset) {
            path.push(match expression_name(attribute) {
                Some(name) => format!("expression {} ({name})", index + 1),
                None => format!("attribute {}", attribute.kind() & !netlink_packet_core::NLA_F_NESTED),
            });
            if let Attribute::Nest { inner, .. } = attribute {
                locate(inner, at + 4, offset, path);
            }
            return true;
        }
        at = end;
    }
    false
}

fn expression_name(attribute: &Attribute) -> Option<&str> {
    let Attribute::Nest {
        kind: LIST_ELEMENT,
        inner,
    } = attribute
    else {
        return None;
    };
    let Some(Attribute::Leaf {
        kind: EXPRESSION_NAME,
        value,
    }) = inner.first()
    else {
        return None;
    };
    std::str::from_utf8(value.strip_suffix(&[0])?).ok()
}

/// Appends a request of any of nfnetlink's subsystems to a buffer. `kind` holds the subsystem's number too.
pub fn emit(
    kind: u16,
    flags: u16,
    sequence: u32,
    header: &NetfilterHeader,
    attributes: &[Attribute],
    buffer: &mut Vec<u8>,
) {
    let length = HEADERS + attributes.buffer_len();
    let mut netlink = NetlinkHeader::default();
    netlink.length = u32::try_from(length).unwrap_or(u32::MAX);
    netlink.message_type = kind;
    netlink.flags = flags | NLM_F_REQUEST;
    netlink.sequence_number = sequence;
    let at = buffer.len();
    buffer.resize(at + length, 0);
    netlink.emit(&mut buffer[at..]);
    header.emit(&mut buffer[at + 16..]);
    attributes.emit(&mut buffer[at + HEADERS..]);
}

/// The messages as one transaction. They are numbered on from `sequence`, which is the number of the transaction's begin, and the last asks for an
/// acknowledgement: one answer says that all went well. (Not the batch's end: kernels before 6.10 do not acknowledge that.)
#[must_use]
pub fn batch(messages: &[Message], sequence: u32) -> Vec<u8> {
    let total: usize = messages.iter().map(Message::length).sum();
    let mut buffer = Vec::with_capacity(total + BATCH_OVERHEAD);
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, u16::from(SUBSYSTEM));
    emit(BATCH_BEGIN, 0, sequence, &header, &[], &mut buffer);
    let mut number = sequence;
    for (index, message) in messages.iter().enumerate() {
        number = number.wrapping_add(1);
        let at = buffer.len();
        message.emit(number, &mut buffer);
        if index + 1 == messages.len() {
            let flags = message.flags | NLM_F_REQUEST | NLM_F_ACK;
            buffer[at + 6..at + 8].copy_from_slice(&flags.to_ne_bytes());
        }
    }
    emit(BATCH_END, 0, number.wrapping_add(1), &header, &[], &mut buffer);
    buffer
}

/// A message from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received<'a> {
    /// One of nf_tables'.
    Message {
        /// One of [`super::kind`].
        kind: u8,
        /// `NLM_F_*`
        flags: u16,
        /// The request's number.
        sequence: u32,
        /// For an answer, the receiver's port; for a notification, the port of whoever made the change.
        port: u32,
        /// Its attributes.
        attributes: &'a [u8],
    },
    /// The end of a dump (`NLMSG_DONE`), or an acknowledgement, or a refusal.
    End {
        /// `NLM_F_*`
        flags: u16,
        /// The request's number.
        sequence: u32,
        /// The error's number, positive; 0: none.
        errno: i32,
        /// What the kernel says about it.
        message: Option<&'a str>,
        /// Where in the request: for [`Message::locate`].
        offset: Option<u32>,
    },
}

/// The messages in what was received; ends at the first that is broken, leaves out what is not nf_tables'.
pub fn messages(mut buffer: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || loop {
        let length = usize::try_from(NetlinkBuffer::new_checked(buffer).ok()?.length()).ok()?;
        let (message, _) = buffer.split_at_checked(length)?;
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or_default();
        if let Some(received) = received(message) {
            return Some(received);
        }
    })
}

fn received(message: &[u8]) -> Option<Received<'_>> {
    let header = NetlinkBuffer::new_checked(message).ok()?;
    let (kind, flags, sequence, port) = (
        header.message_type(),
        header.flags(),
        header.sequence_number(),
        header.port_number(),
    );
    let payload = message.get(16..)?;
    let [high, low] = kind.to_be_bytes();
    match kind {
        ERROR | DONE => {
            // The kernel before 5.x gives no number with a DONE; a dump that fails gives it there.
            let errno = payload
                .get(..4)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, i32::from_ne_bytes);
            let details = if kind == ERROR {
                error_details(payload, flags)
            } else {
                payload.get(4..)
            };
            let details = details.filter(|_| flags & TLVS != 0).unwrap_or_default();
            let offset = attributes(details)
                .find(|(kind, _)| *kind == ERROR_OFFSET)
                .and_then(|(_, value)| value.try_into().ok());
            Some(Received::End {
                flags,
                sequence,
                errno: errno.saturating_neg().max(0),
                message: string(details, ERROR_MESSAGE),
                offset: offset.map(u32::from_ne_bytes),
            })
        }
        _ if high == SUBSYSTEM => Some(Received::Message {
            kind: low,
            flags,
            sequence,
            port,
            attributes: payload.get(4..)?,
        }),
        _ => None,
    }
}

/// `struct nlmsgerr` holds the request's header, and all of the request unless the answer is capped.
fn error_details(payload: &[u8], flags: u16) -> Option<&[u8]> {
    let length = match flags & CAPPED {
        0 => usize::try_from(u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?))
            .ok()?
            .checked_next_multiple_of(4)?,
        _ => 16,
    };
    payload.get(length.checked_add(4)?..)
}
