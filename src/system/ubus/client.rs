//! A client that asks and waits: for the command line.
//!
//! Descriptors that come with a message need no care: the kernel closes those that a plain `read` does not ask for.

use super::frame::{Builder, Decoder, Frame, Message, Type};
use super::{CallError, Status};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many messages that nobody asked for are kept while an answer is awaited.
const BACKLOG: usize = 4096;

/// A connection that blocks.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    decoder: Decoder,
    received: VecDeque<Message>,
    sequence: u16,
    timeout: Duration,
}

/// An object that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Found {
    pub path: String,
    pub id: u32,
    /// The methods that the caller may use, a blobmsg list: in each a table of type numbers by argument.
    pub signature: Vec<u8>,
}

/// Calls a method once: connect, look up, call.
///
/// # Errors
/// See [`CallError`]. A `timeout` is for all of it together.
pub fn call_once(
    path: &Path,
    object: &str,
    method: &str,
    arguments: &Map<String, Value>,
    timeout: Duration,
) -> Result<Value, CallError> {
    let deadline = Instant::now() + timeout;
    let mut client = Client::connect(path, timeout)?;
    client.timeout = deadline.saturating_duration_since(Instant::now());
    let found = client.lookup(object)?;
    let found = found.first().ok_or_else(|| CallError::NoObject(object.to_owned()))?;
    client.timeout = deadline.saturating_duration_since(Instant::now());
    let mut data: Option<Vec<u8>> = None;
    client.invoke(found.id, method, arguments, |reply| {
        data.get_or_insert_with(|| reply.to_vec());
    })?;
    match data {
        None => Ok(Value::Null),
        Some(list) => match crate::blobmsg::decode(&list) {
            Ok(map) => Ok(Value::Object(map)),
            Err(_) => Err(CallError::Protocol("a reply that is no blobmsg")),
        },
    }
}

impl Client {
    /// Connects and waits for the bus's greeting. `timeout` is for this, and for each request later.
    ///
    /// # Errors
    /// [`CallError::NoBus`], [`CallError::Timeout`], [`CallError::Protocol`].
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path).map_err(CallError::NoBus)?;
        let mut client = Self {
            stream,
            decoder: Decoder::default(),
            received: VecDeque::new(),
            sequence: 0,
            timeout,
        };
        match client.receive(Some(Instant::now() + timeout))?.header.kind {
            Type::Hello => Ok(client),
            _ => Err(CallError::Protocol("no greeting")),
        }
    }

    /// The objects whose path is `pattern`, or begins with it if it ends with `*`; all for an empty pattern. In order of their paths.
    ///
    /// # Errors
    /// As for [`Client::request`]; an object that is not there is an empty list.
    pub fn lookup(&mut self, pattern: &str) -> Result<Vec<Found>, CallError> {
        let mut found = Vec::new();
        let request = |sequence| {
            let message = Builder::new(Type::Lookup, sequence, 0);
            if pattern.is_empty() {
                message
            } else {
                message.path(pattern)
            }
        };
        let status = self.request(0, request, |message| {
            let attributes = message.parse();
            if let (Some(path), Some(id)) = (attributes.path, attributes.object) {
                let path = String::from_utf8_lossy(path).into_owned();
                found.push(Found {
                    path,
                    id,
                    signature: attributes.signature.unwrap_or_default().to_vec(),
                });
            }
        })?;
        match status {
            Status::Ok | Status::NotFound => Ok(found),
            status => Err(CallError::Status(status)),
        }
    }

    /// Calls a method of an object by its id; `reply` gets the list of fields of each DATA.
    ///
    /// # Errors
    /// As for [`Client::request`], and [`CallError::Status`] for every status but 0.
    pub fn invoke(
        &mut self,
        object: u32,
        method: &str,
        arguments: &Map<String, Value>,
        mut reply: impl FnMut(&[u8]),
    ) -> Result<(), CallError> {
        let request = |sequence| {
            Builder::new(Type::Invoke, sequence, object)
                .object(object)
                .method(method)
                .data(arguments)
        };
        let each = |message: &Message| {
            if let Some(data) = message.parse().data {
                reply(data);
            }
        };
        match self.request(object, request, each)? {
            Status::Ok => Ok(()),
            status => Err(CallError::Status(status)),
        }
    }

    /// Sends the message that `build` makes with a sequence number, gives `each` the DATA messages that answer it, and
    /// returns how it ended. What else comes meanwhile is kept for [`Client::receive`].
    ///
    /// # Errors
    /// [`CallError::NoBus`], [`CallError::Timeout`], [`CallError::Protocol`]; `Status(InvalidArgument)` for what is too long to be sent.
    pub fn request(
        &mut self,
        peer: u32,
        build: impl FnOnce(u16) -> Builder,
        mut each: impl FnMut(&Message),
    ) -> Result<Status, CallError> {
        let deadline = Instant::now() + self.timeout;
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let bytes = build(sequence)
            .finish()
            .map_err(|_| CallError::Status(Status::InvalidArgument))?;
        self.send(&bytes)?;
        let mut others = VecDeque::new();
        let status = loop {
            let message = match self.receive(Some(deadline)) {
                Ok(message) => message,
                Err(error) => break Err(error),
            };
            match message.header.kind {
                Type::Status | Type::Data if (message.header.sequence, message.header.peer) != (sequence, peer) => {}
                Type::Status => {
                    break message
                        .parse()
                        .status
                        .ok_or(CallError::Protocol("a status without a number"))
                }
                Type::Data => each(&message),
                _ if others.len() < BACKLOG => others.push_back(message),
                _ => {}
            }
        };
        others.append(&mut self.received);
        self.received = others;
        status.map(Status::from)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// [`CallError::NoBus`], [`CallError::Timeout`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        self.stream
            .set_write_timeout(Some(self.timeout.max(Duration::from_millis(1))))
            .map_err(CallError::NoBus)?;
        self.stream.write_all(bytes).map_err(failure)
    }

    /// The next message; without a deadline, for as long as it takes.
    ///
    /// # Errors
    /// [`CallError::NoBus`], [`CallError::Timeout`], [`CallError::Protocol`].
    pub fn receive(&mut self, deadline: Option<Instant>) -> Result<Message, CallError> {
        let mut buffer = [0; 8192];
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(message);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(CallError::Timeout);
            }
            self.stream.set_read_timeout(left).map_err(CallError::NoBus)?;
            let length = match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(failure)?,
            };
            if length == 0 {
                return Err(CallError::NoBus(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it closed the connection",
                )));
            }
            let mut input = &buffer[..length];
            while let Some(frame) = self
                .decoder
                .next(&mut input)
                .map_err(|_| CallError::Protocol("no messages"))?
            {
                if let Frame::Message(message) = frame {
                    self.received.push_back(message);
                }
            }
        }
    }
}

fn failure(error: io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::Timeout,
        _ => CallError::NoBus(error),
    }
}
