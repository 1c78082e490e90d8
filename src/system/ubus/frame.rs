//! Messages: bytes to [`Message`] in any pieces, and back.

use crate::blobmsg::{self, Writer};
use serde_json::{Map, Value};
use std::fmt;
use ubus::BlobAttrId;

/// What ubusd accepts from us: the blob's length, its own header included, rounded up to 4 (`UBUS_MAX_MSGLEN`).
pub const MAX_SENT: usize = 1_048_576;

/// What we accept from ubusd. More than it accepts itself, because it adds USER and GROUP to a call after it has measured it.
pub const MAX_RECEIVED: usize = MAX_SENT + 4096;

/// Message header and blob header.
const HEADER: usize = 12;
const BLOB_HEADER: usize = 4;

/// A message's type (`ubusmsg.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Type {
    Hello,
    Status,
    Data,
    Ping,
    Lookup,
    Invoke,
    AddObject,
    RemoveObject,
    Subscribe,
    Unsubscribe,
    Notify,
    Monitor,
    /// One that does not exist yet.
    Unknown(u8),
}

const TYPES: [Type; 12] = [
    Type::Hello,
    Type::Status,
    Type::Data,
    Type::Ping,
    Type::Lookup,
    Type::Invoke,
    Type::AddObject,
    Type::RemoveObject,
    Type::Subscribe,
    Type::Unsubscribe,
    Type::Notify,
    Type::Monitor,
];

impl From<u8> for Type {
    fn from(number: u8) -> Self {
        TYPES.get(usize::from(number)).copied().unwrap_or(Self::Unknown(number))
    }
}

impl Type {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown(number) => number,
            known => (0..)
                .zip(TYPES)
                .find(|(_, kind)| *kind == known)
                .map_or(u8::MAX, |(number, _)| number),
        }
    }
}

/// What stands in front of a message's attributes. The version is left out: ubusd does not look at it, and we send 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Header {
    pub kind: Type,
    pub sequence: u16,
    pub peer: u32,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Type, sequence, peer.
    pub header: Header,
    /// The list of attributes, for [`Message::parse`] or [`blobmsg::attributes`].
    pub body: Vec<u8>,
}

/// A message's attributes. One of the wrong size, or a string without its NUL, counts as absent; of a repeated one the last
/// counts; unknown ones are skipped, and so is everything behind a malformed one: all as ubusd and libubus do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Attributes<'a> {
    pub status: Option<u32>,
    pub path: Option<&'a [u8]>,
    pub object: Option<u32>,
    pub method: Option<&'a [u8]>,
    pub object_type: Option<u32>,
    /// A blobmsg list.
    pub signature: Option<&'a [u8]>,
    /// A blobmsg list.
    pub data: Option<&'a [u8]>,
    pub target: Option<u32>,
    pub active: Option<bool>,
    pub no_reply: Option<bool>,
    /// A list of attributes with the number 0, each an object's id.
    pub subscribers: Option<&'a [u8]>,
    pub user: Option<&'a [u8]>,
    pub group: Option<&'a [u8]>,
}

impl Message {
    /// The attributes by name.
    #[must_use]
    pub fn parse(&self) -> Attributes<'_> {
        let mut parsed = Attributes::default();
        for attribute in blobmsg::attributes(&self.body).map_while(Result::ok) {
            let payload = attribute.payload;
            match BlobAttrId::from(attribute.id) {
                BlobAttrId::STATUS => set(&mut parsed.status, word(payload)),
                BlobAttrId::OBJPATH => set(&mut parsed.path, string(payload)),
                BlobAttrId::OBJID => set(&mut parsed.object, word(payload)),
                BlobAttrId::METHOD => set(&mut parsed.method, string(payload)),
                BlobAttrId::OBJTYPE => set(&mut parsed.object_type, word(payload)),
                BlobAttrId::SIGNATURE => parsed.signature = Some(payload),
                BlobAttrId::DATA => parsed.data = Some(payload),
                BlobAttrId::TARGET => set(&mut parsed.target, word(payload)),
                BlobAttrId::ACTIVE => set(&mut parsed.active, flag(payload)),
                BlobAttrId::NO_REPLY => set(&mut parsed.no_reply, flag(payload)),
                BlobAttrId::SUBSCRIBERS => parsed.subscribers = Some(payload),
                BlobAttrId::USER => set(&mut parsed.user, string(payload)),
                BlobAttrId::GROUP => set(&mut parsed.group, string(payload)),
                _ => {}
            }
        }
        parsed
    }

    /// The bytes for the wire.
    ///
    /// # Errors
    /// Where ubusd would close the connection on it: see [`MAX_SENT`].
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let length = self.body.len() + BLOB_HEADER;
        if length.next_multiple_of(4) > MAX_SENT {
            return Err(TooLong);
        }
        let length = u32::try_from(length).map_err(|_| TooLong)?;
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend([0, self.header.kind.number()]);
        bytes.extend(self.header.sequence.to_be_bytes());
        bytes.extend(self.header.peer.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.body);
        Ok(bytes)
    }
}

/// A message that ubusd would not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of more than {MAX_SENT} bytes")
    }
}

impl std::error::Error for TooLong {}

fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

fn word(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_be_bytes)
}

fn flag(payload: &[u8]) -> Option<bool> {
    match payload {
        [byte] => Some(*byte != 0),
        _ => None,
    }
}

fn string(payload: &[u8]) -> Option<&[u8]> {
    payload.last().filter(|byte| **byte == 0)?;
    payload.split(|byte| *byte == 0).next()
}

/// A message in the making. Where something does not fit, [`Builder::finish`] says so.
#[derive(Debug)]
pub struct Builder {
    header: Header,
    body: Writer,
    failed: bool,
}

impl Builder {
    /// A message without attributes.
    #[must_use]
    pub fn new(kind: Type, sequence: u16, peer: u32) -> Self {
        Self {
            header: Header { kind, sequence, peer },
            body: Writer::default(),
            failed: false,
        }
    }

    /// STATUS.
    #[must_use]
    pub fn status(self, status: super::Status) -> Self {
        self.word(BlobAttrId::STATUS, status.code())
    }

    /// OBJPATH.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        self.string(BlobAttrId::OBJPATH, path)
    }

    /// OBJID.
    #[must_use]
    pub fn object(self, id: u32) -> Self {
        self.word(BlobAttrId::OBJID, id)
    }

    /// METHOD.
    #[must_use]
    pub fn method(self, name: &str) -> Self {
        self.string(BlobAttrId::METHOD, name)
    }

    /// TARGET.
    #[must_use]
    pub fn target(self, id: u32) -> Self {
        self.word(BlobAttrId::TARGET, id)
    }

    /// NO_REPLY.
    #[must_use]
    pub fn no_reply(self) -> Self {
        self.put(BlobAttrId::NO_REPLY, &[1])
    }

    /// SIGNATURE: for each method a table with, for each argument, the number of its type.
    #[must_use]
    pub fn signature(self, methods: &[super::Method]) -> Self {
        let mut signature = Map::new();
        for method in methods {
            let mut arguments = Map::new();
            for (name, kind) in method.arguments {
                arguments.insert((*name).to_owned(), kind.type_number().into());
            }
            signature.insert(method.name.to_owned(), Value::Object(arguments));
        }
        self.fields(BlobAttrId::SIGNATURE, &signature)
    }

    /// DATA.
    #[must_use]
    pub fn data(self, data: &Map<String, Value>) -> Self {
        self.fields(BlobAttrId::DATA, data)
    }

    /// The message.
    ///
    /// # Errors
    /// If it would be too long for ubusd, or a value in it lies too deep.
    pub fn finish(self) -> Result<Vec<u8>, TooLong> {
        if self.failed {
            return Err(TooLong);
        }
        Message {
            header: self.header,
            body: self.body.finish(),
        }
        .encode()
    }

    fn fields(self, id: BlobAttrId, map: &Map<String, Value>) -> Self {
        match blobmsg::encode(map) {
            Ok(list) => self.put(id, &list),
            Err(_) => Self { failed: true, ..self },
        }
    }

    fn string(self, id: BlobAttrId, text: &str) -> Self {
        self.put(id, &[text.as_bytes(), &[0]].concat())
    }

    fn word(self, id: BlobAttrId, word: u32) -> Self {
        self.put(id, &word.to_be_bytes())
    }

    fn put(mut self, id: BlobAttrId, payload: &[u8]) -> Self {
        self.failed |= self.body.attribute(id.value(), payload).is_err();
        self
    }
}

/// What comes out of a [`Decoder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// A message longer than [`MAX_RECEIVED`]; its body is skipped, what follows it is read.
    Oversize(Header),
}

/// The stream cannot be read on: a length of less than its own four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desynchronised;

impl fmt::Display for Desynchronised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message without a length")
    }
}

impl std::error::Error for Desynchronised {}

/// Cuts a stream of bytes into messages. Holds no more memory than it was given bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    head: Vec<u8>,
    rest: Rest,
}

#[derive(Debug, Default)]
enum Rest {
    #[default]
    Head,
    Body {
        header: Header,
        body: Vec<u8>,
        left: usize,
    },
    Skip {
        left: usize,
    },
}

impl Default for Header {
    fn default() -> Self {
        Self {
            kind: Type::Hello,
            sequence: 0,
            peer: 0,
        }
    }
}

impl Decoder {
    /// Takes bytes from the front of `input` until a frame is whole; `None` if they do not suffice. To be called until it gives `None`.
    ///
    /// # Errors
    /// [`Desynchronised`]: close the connection.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Desynchronised> {
        loop {
            match &mut self.rest {
                Rest::Head => {
                    take(input, &mut self.head, HEADER);
                    let Ok(head) = <[u8; HEADER]>::try_from(self.head.as_slice()) else {
                        return Ok(None);
                    };
                    self.head.clear();
                    if let Some(frame) = self.begin(head)? {
                        return Ok(Some(frame));
                    }
                }
                Rest::Body { header, body, left } => {
                    let all = body.len() + *left;
                    take(input, body, all);
                    *left = all - body.len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    let message = Message {
                        header: *header,
                        body: std::mem::take(body),
                    };
                    self.rest = Rest::Head;
                    return Ok(Some(Frame::Message(message)));
                }
                Rest::Skip { left } => {
                    let now = (*left).min(input.len());
                    *input = &input[now..];
                    *left -= now;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.rest = Rest::Head;
                }
            }
        }
    }

    fn begin(&mut self, head: [u8; HEADER]) -> Result<Option<Frame>, Desynchronised> {
        let [_, kind, s0, s1, p0, p1, p2, p3, _, l1, l2, l3] = head;
        let header = Header {
            kind: Type::from(kind),
            sequence: u16::from_be_bytes([s0, s1]),
            peer: u32::from_be_bytes([p0, p1, p2, p3]),
        };
        // The length has 24 bits; the blob's own number above them is of no meaning.
        let length = u32::from_be_bytes([0, l1, l2, l3]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let left = length.checked_sub(BLOB_HEADER).ok_or(Desynchronised)?;
        if length > MAX_RECEIVED {
            self.rest = Rest::Skip { left };
            return Ok(Some(Frame::Oversize(header)));
        }
        self.rest = Rest::Body {
            header,
            body: Vec::new(),
            left,
        };
        Ok(None)
    }
}

/// Moves bytes from `input` to `buffer` until that holds `wanted`.
fn take(input: &mut &[u8], buffer: &mut Vec<u8>, wanted: usize) {
    let now = wanted.saturating_sub(buffer.len()).min(input.len());
    let (front, back) = input.split_at(now);
    buffer.extend(front);
    *input = back;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(decoder: &mut Decoder, mut input: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next(&mut input).unwrap()).collect()
    }

    fn message(sequence: u16, size: usize) -> Message {
        Message {
            header: Header {
                kind: Type::Ping,
                sequence,
                peer: 7,
            },
            body: vec![9; size],
        }
    }

    #[test]
    fn types_have_the_numbers_of_ubusmsg_h() {
        assert!((0..=255).all(|number| Type::from(number).number() == number));
        assert_eq!((Type::Notify.number(), Type::Monitor.number()), (10, 11));
    }

    #[test]
    fn attributes_have_the_numbers_of_ubusmsg_h() {
        assert_eq!(BlobAttrId::STATUS.value(), 1);
        assert_eq!(BlobAttrId::DATA.value(), 7);
        assert_eq!(BlobAttrId::NO_REPLY.value(), 10);
        assert_eq!(BlobAttrId::GROUP.value(), 13);
    }

    #[test]
    fn what_is_wrong_counts_as_absent_and_the_last_one_counts() {
        let mut writer = Writer::default();
        writer.attribute(3, &[0, 0, 0, 1]).unwrap();
        writer.attribute(3, &[0, 0, 0, 2]).unwrap();
        writer.attribute(3, &[0, 0]).unwrap();
        writer.attribute(2, b"no nul").unwrap();
        writer.attribute(4, b"met\0hod\0").unwrap();
        writer.attribute(99, b"").unwrap();
        writer.attribute(9, &[1]).unwrap();
        let mut body = writer.finish();
        body.extend([0, 0, 0, 3, 1, 0, 0, 8, 0, 0, 0, 0]);
        let message = Message {
            header: Header::default(),
            body,
        };
        let expected = Attributes {
            object: Some(2),
            method: Some(b"met"),
            active: Some(true),
            ..Attributes::default()
        };
        assert_eq!(message.parse(), expected);
    }

    #[test]
    fn the_limit_is_ubusds() {
        assert!(message(1, MAX_SENT - 4).encode().is_ok());
        assert!(message(1, MAX_SENT - 7).encode().is_ok());
        assert_eq!(message(1, MAX_SENT - 3).encode(), Err(TooLong));
    }

    #[test]
    fn an_oversize_message_is_skipped_and_the_next_one_read() {
        let mut stream = vec![0, 5, 0, 1, 0, 0, 0, 2, 0];
        let body = MAX_RECEIVED + 1;
        stream.extend(&u32::try_from(body + 4).unwrap().to_be_bytes()[1..]);
        stream.extend(vec![0xff; body]);
        stream.extend(message(2, 4).encode().unwrap());
        let mut decoder = Decoder::default();
        let header = Header {
            kind: Type::Invoke,
            sequence: 1,
            peer: 2,
        };
        let got: Vec<Frame> = stream
            .chunks(1000)
            .flat_map(|chunk| frames(&mut decoder, chunk))
            .collect();
        assert_eq!(got, [Frame::Oversize(header), Frame::Message(message(2, 4))]);
    }

    #[test]
    fn a_length_of_three_ends_the_stream() {
        let mut input: &[u8] = &[0, 3, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(Decoder::default().next(&mut input), Err(Desynchronised));
    }

    #[test]
    fn a_length_alone_takes_no_memory() {
        let mut decoder = Decoder::default();
        assert_eq!(frames(&mut decoder, &[0, 5, 0, 1, 0, 0, 0, 2, 0, 0x10, 0, 0]), []);
        assert!(matches!(decoder.rest, Rest::Body { body, .. } if body.capacity() < 64));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            sizes in prop::collection::vec(0..90_usize, 0..8),
            cuts in prop::collection::vec(1..40_usize, 1..60),
        ) {
            let messages: Vec<Message> = (0..).zip(sizes).map(|(sequence, size)| message(sequence, size)).collect();
            let stream: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                got.extend(frames(&mut decoder, piece));
                rest = tail;
            }
            prop_assert_eq!(got, messages.into_iter().map(Frame::Message).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut input = bytes.as_slice();
            let mut decoder = Decoder::default();
            while let Ok(Some(frame)) = decoder.next(&mut input) {
                if let Frame::Message(message) = frame {
                    let _ = message.parse();
                }
            }
        }
    }
}
