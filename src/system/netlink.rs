//! The frame that all netlink messages share (`linux/netlink.h`), and a socket to ask on.

mod socket;

pub(super) use socket::Socket;

/// `struct nlmsghdr`
const NLMSGHDR: usize = 16;
/// `struct nfgenmsg`, which begins every message of nfnetlink.
pub(super) const NFGENMSG: usize = 4;

/// One message of a datagram.
#[allow(missing_docs)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// The error number of `NLMSG_ERROR` and `NLMSG_DONE`, 0 for success.
    #[must_use]
    pub fn status(&self) -> Option<i32> {
        let code = self.payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))?;
        code.checked_neg()
    }
}

/// A datagram's messages; `None` once, at the end, for what is no message.
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// What was received in one piece.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }

    fn split(&self) -> Option<(Message<'a>, &'a [u8])> {
        let length = usize::try_from(u32::from_ne_bytes(*self.0.first_chunk()?)).ok()?;
        let header = self.0.get(..NLMSGHDR)?;
        let message = Message {
            kind: u16::from_ne_bytes(*header.get(4..)?.first_chunk()?),
            flags: u16::from_ne_bytes(*header.get(6..)?.first_chunk()?),
            sequence: u32::from_ne_bytes(*header.get(8..)?.first_chunk()?),
            payload: self.0.get(NLMSGHDR..length)?,
        };
        let padded = length.checked_add(3)? & !3;
        Some((message, self.0.get(padded..).unwrap_or_default()))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Option<Message<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.split();
        self.0 = split.as_ref().map_or(&[][..], |(_, rest)| rest);
        Some(split.map(|(message, _)| message))
    }
}

/// Messages as the kernel writes them.
#[cfg(test)]
pub(super) mod testing {
    /// An attribute: header in the machine's order, value as given, padded.
    pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    pub fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len() + 16).unwrap().to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        bytes
    }
}
