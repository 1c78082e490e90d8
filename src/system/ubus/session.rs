//! What is said over a connection, without the connection: messages in, messages and [`Incoming`] out.

mod calls;
mod events;
mod requests;

use super::frame::{Builder, Frame, Header, TooLong, Type, MAX_SENT};
use super::server::Incoming;
use super::{CallError, CallId, Object, Status, Ticket};
use crate::sorted;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// How long ubusd itself may take. It answers at once, unless it lost the answer: then nothing of what was agreed can be relied on.
const SETUP: Duration = Duration::from_secs(10);
/// What may wait to be written: two messages of the greatest size.
const MAX_OUTBOX: usize = 2 * MAX_SENT;
/// Calls that came in and are not answered yet.
const MAX_OPEN: usize = 256;
/// Requests of our own that are not answered yet.
const MAX_REQUESTS: usize = 256;
/// ubusd's own object for events (`UBUS_SYSTEM_OBJECT_EVENT`).
const EVENTS: u32 = 1;
/// The web server adds it to every call; nobody behind this line sees it.
const WEB_SESSION: &str = "ubus_rpc_session";
const OBJECT_ADDED: &str = "ubus.object.add";

#[derive(Debug)]
pub(super) struct Session {
    object: Object,
    /// What the application asked for; outlives connections.
    patterns: sorted::Set<String>,
    subscriptions: sorted::Map<String, Subscription>,
    /// Never start again: no number of an old connection may mean something in a new one.
    serial: u64,
    tickets: u64,
    pub(super) incoming: VecDeque<Incoming>,
    connection: Connection,
}

/// What is forgotten with the connection.
#[derive(Debug, Default)]
struct Connection {
    greeting: Option<Instant>,
    /// Our object's id, once it is on the bus.
    id: Option<u32>,
    listener: Listener,
    subscribers: bool,
    leaving: bool,
    sequence: u16,
    /// At most [`MAX_REQUESTS`] and a few, in the order in which they were sent.
    requests: Vec<Request>,
    /// At most [`MAX_OPEN`], in the order in which they came.
    open: Vec<CallId>,
    outbox: VecDeque<u8>,
    fault: Option<String>,
}

/// The nameless object that events are sent to.
#[derive(Debug, Default, PartialEq, Eq)]
enum Listener {
    #[default]
    None,
    Asked,
    Id(u32),
}

/// A nameless object of ours that notifications are sent to, and the object that it is subscribed to.
#[derive(Debug, Default)]
struct Subscription {
    id: Option<u32>,
    target: Option<u32>,
}

#[derive(Debug)]
struct Request {
    sequence: u16,
    /// What the answer has in its header besides our number.
    peer: u32,
    deadline: Instant,
    purpose: Purpose,
    answer: Answer,
}

#[derive(Debug)]
enum Purpose {
    AddObject,
    AddListener,
    AddSubscriber { path: String },
    Listen { pattern: String },
    Find { path: String },
    Subscribe { path: String, target: u32 },
    LookUp { ticket: Ticket, question: Box<Question> },
    Call { ticket: Ticket },
    Leave,
}

#[derive(Debug)]
struct Question {
    path: String,
    method: String,
    arguments: Map<String, Value>,
}

/// What the DATA messages said, of several the first.
#[derive(Debug, Default)]
struct Answer {
    object: Option<u32>,
    object_type: Option<u32>,
    data: Option<Result<Map<String, Value>, &'static str>>,
}

impl Request {
    /// Whether a message answers it.
    fn is_answered_by(&self, answer: Header) -> bool {
        self.sequence == answer.sequence && self.peer == answer.peer
    }
}

impl Connection {
    /// The request that a message answers.
    fn asked(&mut self, answer: Header) -> Option<&mut Request> {
        self.requests.iter_mut().find(|request| request.is_answered_by(answer))
    }
}

impl Session {
    pub(super) fn new(object: Object) -> Self {
        Self {
            object,
            patterns: sorted::Set::new(),
            subscriptions: sorted::Map::new(),
            serial: 0,
            tickets: 0,
            incoming: VecDeque::new(),
            connection: Connection::default(),
        }
    }

    /// A new connection is there.
    pub(super) fn begin(&mut self, now: Instant) {
        self.connection = Connection {
            greeting: Some(now + SETUP),
            ..Connection::default()
        };
        for subscription in self.subscriptions.values_mut() {
            *subscription = Subscription::default();
        }
    }

    /// The connection is gone: whoever waits for an answer is told.
    pub(super) fn end(&mut self, reason: &str) {
        for request in std::mem::take(&mut self.connection.requests) {
            if let Purpose::LookUp { ticket, .. } | Purpose::Call { ticket } = request.purpose {
                let error = io::Error::new(io::ErrorKind::NotConnected, reason);
                self.incoming.push_back(Incoming::Answer {
                    ticket,
                    result: Err(CallError::NoBus(error)),
                });
            }
        }
        self.connection = Connection::default();
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection.id.is_some()
    }

    /// Why the connection cannot go on.
    pub(super) fn take_fault(&mut self) -> Option<String> {
        self.connection.fault.take()
    }

    pub(super) fn outbox(&mut self) -> &mut VecDeque<u8> {
        &mut self.connection.outbox
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let requests = self.connection.requests.iter().map(|request| request.deadline);
        requests.chain(self.connection.greeting).min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if self.connection.greeting.is_some_and(|deadline| deadline <= now) {
            self.fail("ubusd does not greet us");
        }
        while let Some(late) = self
            .connection
            .requests
            .iter()
            .position(|request| request.deadline <= now)
        {
            let request = self.connection.requests.remove(late);
            match request.purpose {
                Purpose::LookUp { ticket, .. } | Purpose::Call { ticket } => {
                    self.incoming.push_back(Incoming::Answer {
                        ticket,
                        result: Err(CallError::Timeout),
                    });
                }
                _ => self.fail("ubusd does not answer"),
            }
        }
    }

    fn fail(&mut self, reason: impl Into<String>) {
        self.connection.fault.get_or_insert(reason.into());
    }

    pub(super) fn receive(&mut self, frame: Frame, now: Instant) {
        let message = match frame {
            Frame::Message(message) => message,
            Frame::Oversize(header) => return self.oversize(header),
        };
        match message.header.kind {
            Type::Hello => self.greet(message.header, now),
            Type::Data => self.data(&message),
            Type::Status => self.status(&message, now),
            Type::Invoke => self.invoke(&message, now),
            Type::Notify => self.subscribers(&message.parse()),
            Type::Unsubscribe => self.target_gone(&message.parse()),
            _ => {}
        }
    }

    /// Somebody has to hear of a message that was too long to be read.
    fn oversize(&mut self, header: Header) {
        match (header.kind, self.connection.id) {
            (Type::Invoke, Some(object)) if header.peer != 0 => {
                self.send(status(header, object, Status::NoMemory).finish());
            }
            (Type::Data, _) => {
                if let Some(request) = self.connection.asked(header) {
                    request.answer.data.get_or_insert(Err("a reply that is too long"));
                }
            }
            _ => {}
        }
    }

    fn greet(&mut self, header: Header, now: Instant) {
        if self.connection.greeting.take().is_none() {
            return;
        }
        let object = self.object;
        self.request(Purpose::AddObject, 0, now + SETUP, |sequence| {
            Builder::new(Type::AddObject, sequence, 0)
                .path(object.name)
                .signature(object.methods)
        });
        if header.peer <= 1 {
            self.fail("ubusd gave us a number that it must not give");
        }
    }

    fn request(&mut self, purpose: Purpose, peer: u32, deadline: Instant, build: impl FnOnce(u16) -> Builder) {
        let sequence = self.next_sequence();
        let message = build(sequence).finish();
        self.connection.requests.push(Request {
            sequence,
            peer,
            deadline,
            purpose,
            answer: Answer::default(),
        });
        self.send(message);
    }

    fn next_sequence(&mut self) -> u16 {
        let connection = &mut self.connection;
        loop {
            connection.sequence = connection.sequence.wrapping_add(1);
            // Ends: there are far fewer requests than numbers.
            let is_taken = |request: &Request| request.sequence == connection.sequence;
            if connection.sequence != 0 && !connection.requests.iter().any(is_taken) {
                return connection.sequence;
            }
        }
    }

    fn send(&mut self, message: Result<Vec<u8>, TooLong>) {
        match message {
            Ok(bytes) if self.connection.outbox.len() + bytes.len() <= MAX_OUTBOX => {
                self.connection.outbox.extend(bytes);
            }
            Ok(_) => self.fail("ubusd does not take what we send"),
            Err(error) => self.fail(error.to_string()),
        }
    }
}

fn status(header: Header, object: u32, status: Status) -> Builder {
    Builder::new(Type::Status, header.sequence, header.peer)
        .status(status)
        .object(object)
}
