//! One client's socket: whole messages in, with their descriptor, and a bounded queue out.

use nix::sys::socket::{recvmsg, sendmsg, ControlMessage, ControlMessageOwned, MsgFlags};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// `UBUS_MAX_MSGLEN`.
const MAX_MESSAGE: usize = 1_048_576;
/// `UBUS_CLIENT_MAX_TXQ_LEN`.
const MAX_QUEUE: usize = 1_048_576;
const HEADER: usize = 12;

/// A message with its header in host order, `body` being the attributes.
#[derive(Debug, Clone)]
pub struct Message {
    pub version: u8,
    pub kind: u8,
    pub sequence: u16,
    pub peer: u32,
    pub body: Vec<u8>,
    pub descriptor: Option<Rc<OwnedFd>>,
}

impl Message {
    pub fn new(kind: u8, sequence: u16, peer: u32, body: Vec<u8>) -> Self {
        Self {
            version: 0,
            kind,
            sequence,
            peer,
            body,
            descriptor: None,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.version, self.kind];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.peer.to_be_bytes());
        bytes.extend(
            u32::try_from(self.body.len() + 4)
                .expect("checked when it came")
                .to_be_bytes(),
        );
        bytes.extend(&self.body);
        bytes
    }
}

#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    descriptor: Option<OwnedFd>,
    output: VecDeque<(Vec<u8>, Option<Rc<OwnedFd>>)>,
    /// How much of the first one is gone.
    written: usize,
    pub broken: bool,
}

impl Connection {
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            descriptor: None,
            output: VecDeque::new(),
            written: 0,
            broken: false,
        })
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub fn descriptor(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The next message, if it is there; an error if the client has gone or sends no messages. The header is read on its own, so that a
    /// descriptor can be told to belong to it.
    pub fn read(&mut self) -> io::Result<Option<Message>> {
        loop {
            let wanted = match self.length()? {
                None => HEADER,
                Some(length) => 8 + length,
            };
            if self.input.len() == wanted && wanted > HEADER - 1 && self.length()?.is_some() {
                return Ok(Some(self.message()));
            }
            if !self.fill(wanted)? {
                return Ok(None);
            }
        }
    }

    fn length(&self) -> io::Result<Option<usize>> {
        let Some(length) = self.input.get(9..HEADER) else {
            return Ok(None);
        };
        let length = usize::from(length[0]) << 16 | usize::from(length[1]) << 8 | usize::from(length[2]);
        if length < 4 || length.next_multiple_of(4) > MAX_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(length))
    }

    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        let have = self.input.len();
        self.input.resize(wanted, 0);
        let mut control = nix::cmsg_space!(RawFd);
        let mut slices = [IoSliceMut::new(&mut self.input[have..])];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(self.stream.as_raw_fd(), &mut slices, Some(&mut control), flags);
        let (length, descriptors) = match received {
            Ok(message) => (
                message.bytes,
                message.cmsgs().map(|all| all.collect::<Vec<_>>()).unwrap_or_default(),
            ),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {
                self.input.truncate(have);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.input.truncate(have + length);
        for message in descriptors {
            if let ControlMessageOwned::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    // SAFETY: the kernel has just made it for us, and nobody else knows of it.
                    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
                    self.descriptor.get_or_insert(descriptor);
                }
            }
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(true)
    }

    fn message(&mut self) -> Message {
        let head: [u8; HEADER] = self.input[..HEADER].try_into().expect("read that much");
        let mut body = std::mem::take(&mut self.input);
        body.drain(..HEADER);
        Message {
            version: head[0],
            kind: head[1],
            sequence: u16::from_be_bytes([head[2], head[3]]),
            peer: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            body,
            descriptor: self.descriptor.take().map(Rc::new),
        }
    }

    /// Sends, or queues; what does not fit is dropped without a word.
    pub fn send(&mut self, message: &Message) {
        let queued: usize = self.output.iter().map(|(bytes, _)| bytes.len()).sum::<usize>() - self.written;
        if !self.output.is_empty() && queued + 8 + 4 + message.body.len() > MAX_QUEUE {
            return;
        }
        self.send_unbounded(message);
    }

    pub fn send_unbounded(&mut self, message: &Message) {
        self.output.push_back((message.encode(), message.descriptor.clone()));
        self.flush();
    }

    pub fn flush(&mut self) {
        while let Some((bytes, descriptor)) = self.output.front() {
            let raw = descriptor
                .as_ref()
                .filter(|_| self.written == 0)
                .map(|descriptor| [descriptor.as_raw_fd()]);
            let control: Vec<ControlMessage> = raw.iter().map(|raw| ControlMessage::ScmRights(raw)).collect();
            let slices = [IoSlice::new(&bytes[self.written..])];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.stream.as_raw_fd(), &slices, &control, flags, None) {
                Ok(length) => self.written += length,
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return,
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
            if self.written == bytes.len() {
                self.output.pop_front();
                self.written = 0;
            }
        }
    }
}
