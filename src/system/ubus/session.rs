//! What is said over a connection, without the connection: messages in, messages and [`Incoming`] out.

use super::frame::{Attributes, Builder, Frame, Header, Message, TooLong, Type, MAX_SENT};
use super::server::Incoming;
use super::{Call, CallError, CallId, Object, Status, Ticket};
use crate::blobmsg;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    patterns: BTreeSet<String>,
    subscriptions: BTreeMap<String, Subscription>,
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
            patterns: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
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

    // Our own requests.

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

    fn data(&mut self, message: &Message) {
        let Some(request) = self.connection.asked(message.header) else {
            return;
        };
        let attributes = message.parse();
        let answer = &mut request.answer;
        answer.object = answer.object.or(attributes.object);
        answer.object_type = answer.object_type.or(attributes.object_type);
        if let (None, Some(list)) = (&answer.data, attributes.data) {
            answer.data = Some(blobmsg::decode(list).map_err(|_| "a reply that is no blobmsg"));
        }
    }

    fn status(&mut self, message: &Message, now: Instant) {
        let is_answered = |request: &Request| request.is_answered_by(message.header);
        let Some(index) = self.connection.requests.iter().position(is_answered) else {
            return;
        };
        let request = self.connection.requests.remove(index);
        let status = message.parse().status.map_or(Status::UnknownError, Status::from);
        self.complete(request, status, now);
    }

    fn complete(&mut self, request: Request, status: Status, now: Instant) {
        let Request {
            purpose,
            answer,
            deadline,
            ..
        } = request;
        match purpose {
            Purpose::AddObject => self.added(&answer, status, now),
            Purpose::AddListener => self.listening(answer.object, status, now),
            Purpose::AddSubscriber { path } => self.find(path, answer.object, now),
            Purpose::Listen { pattern } => self.refused(&pattern, status),
            Purpose::Find { path } => {
                if let (Status::Ok, Some(target)) = (status, answer.object) {
                    self.subscribe_to(&path, target, now);
                }
            }
            Purpose::Subscribe { path, target } => self.subscribed(&path, target, status),
            Purpose::LookUp { ticket, question } => match (status, answer.object) {
                // No object without a status: there is one, and we may not see it.
                (Status::Ok, None) | (Status::NotFound, _) => {
                    self.answered(ticket, Err(CallError::NoObject(question.path)));
                }
                (Status::Ok, Some(object)) => self.ask(ticket, object, &question, deadline),
                (status, _) => self.answered(ticket, Err(CallError::Status(status))),
            },
            Purpose::Call { ticket } => {
                let result = match (status, answer.data) {
                    (Status::Ok, None) => Ok(Value::Null),
                    (Status::Ok, Some(Ok(map))) => Ok(Value::Object(map)),
                    (Status::Ok, Some(Err(what))) => Err(CallError::Protocol(what)),
                    (status, _) => Err(CallError::Status(status)),
                };
                self.answered(ticket, result);
            }
            Purpose::Leave => self.fail("we are leaving"),
        }
    }

    fn answered(&mut self, ticket: Ticket, result: Result<Value, CallError>) {
        self.incoming.push_back(Incoming::Answer { ticket, result });
    }

    pub(super) fn call(
        &mut self,
        path: &str,
        method: &str,
        arguments: Map<String, Value>,
        deadline: Instant,
    ) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let hindrance = match () {
            () if !self.is_up() => Some("there is no connection"),
            () if self.connection.requests.len() >= MAX_REQUESTS => Some("too many calls are under way"),
            () => None,
        };
        if let Some(hindrance) = hindrance {
            self.answered(ticket, Err(CallError::NoBus(io::Error::other(hindrance))));
            return ticket;
        }
        let question = Box::new(Question {
            path: path.to_owned(),
            method: method.to_owned(),
            arguments,
        });
        self.request(Purpose::LookUp { ticket, question }, 0, deadline, |sequence| {
            Builder::new(Type::Lookup, sequence, 0).path(path)
        });
        ticket
    }

    fn ask(&mut self, ticket: Ticket, object: u32, question: &Question, deadline: Instant) {
        let sequence = self.next_sequence();
        let message = Builder::new(Type::Invoke, sequence, object)
            .object(object)
            .method(&question.method)
            .data(&question.arguments)
            .finish();
        if message.is_err() {
            return self.answered(ticket, Err(CallError::Status(Status::InvalidArgument)));
        }
        let purpose = Purpose::Call { ticket };
        self.connection.requests.push(Request {
            sequence,
            peer: object,
            deadline,
            purpose,
            answer: Answer::default(),
        });
        self.send(message);
    }

    // Our object, and calls of it.

    fn added(&mut self, answer: &Answer, status: Status, now: Instant) {
        let name = self.object.name;
        match (status, answer.object, answer.object_type) {
            (Status::Ok, Some(id), Some(_)) => {
                self.connection.id = Some(id);
                self.incoming.push_back(Incoming::Up);
                self.set_up(now);
            }
            (Status::Ok, ..) => self.fail(format!("ubusd does not understand the methods of '{name}'")),
            (status, ..) => self.fail(format!("'{name}' is taken or may not be published by us: {status}")),
        }
    }

    fn invoke(&mut self, message: &Message, now: Instant) {
        let attributes = message.parse();
        let Some(object) = attributes.object else { return };
        if Some(object) == self.connection.id {
            return self.called(message.header, object, &attributes);
        }
        let (Some(name), Ok(data)) = (attributes.method, blobmsg::decode(attributes.data.unwrap_or_default())) else {
            return;
        };
        let name = text(name);
        if self.connection.listener == Listener::Id(object) {
            return self.event(name, data, now);
        }
        let Some(path) = self.subscription_of(object) else {
            return;
        };
        if attributes.no_reply != Some(true) {
            self.send(status(message.header, object, Status::Ok).finish());
        }
        self.incoming.push_back(Incoming::Notification { path, name, data });
    }

    fn called(&mut self, header: Header, object: u32, attributes: &Attributes<'_>) {
        // Only a notification wants no answer, and this object is subscribed to nothing.
        if attributes.no_reply == Some(true) {
            return;
        }
        match self.check(attributes) {
            Ok((method, arguments)) => {
                self.serial += 1;
                let id = CallId {
                    peer: header.peer,
                    sequence: header.sequence,
                    object,
                    serial: self.serial,
                };
                self.connection.open.push(id);
                let (user, group) = (
                    attributes.user.unwrap_or_default(),
                    attributes.group.unwrap_or_default(),
                );
                let call = Call {
                    id,
                    method,
                    arguments,
                    user: text(user),
                    group: text(group),
                };
                self.incoming.push_back(Incoming::Call(call));
            }
            Err(refusal) => self.send(status(header, object, refusal).finish()),
        }
    }

    fn check(&self, attributes: &Attributes<'_>) -> Result<(&'static str, Map<String, Value>), Status> {
        if self.connection.leaving {
            return Err(Status::NotFound);
        }
        if self.connection.open.len() >= MAX_OPEN {
            return Err(Status::NoMemory);
        }
        let method = attributes.method.ok_or(Status::InvalidArgument)?;
        let method = std::str::from_utf8(method).map_err(|_| Status::MethodNotFound)?;
        let arguments = blobmsg::decode(attributes.data.unwrap_or_default());
        // An unknown method is that, whatever its arguments are.
        let mut arguments =
            arguments.or_else(|_| self.object.check(method, &Map::new()).and(Err(Status::InvalidArgument)))?;
        arguments.remove(WEB_SESSION);
        let method = self.object.check(method, &arguments)?;
        Ok((method.name, arguments))
    }

    pub(super) fn answer(&mut self, id: CallId, result: Result<&Map<String, Value>, Status>) {
        let Some(index) = self.connection.open.iter().position(|open| *open == id) else {
            return;
        };
        self.connection.open.remove(index);
        let header = Header {
            kind: Type::Status,
            sequence: id.sequence,
            peer: id.peer,
        };
        let reply = result.map(|data| {
            Builder::new(Type::Data, id.sequence, id.peer)
                .object(id.object)
                .data(data)
                .finish()
        });
        let outcome = match reply {
            Ok(Ok(message)) => {
                self.send(Ok(message));
                Status::Ok
            }
            Ok(Err(TooLong)) => Status::UnknownError,
            Err(refusal) => refusal,
        };
        self.send(status(header, id.object, outcome).finish());
    }

    fn subscribers(&mut self, attributes: &Attributes<'_>) {
        let (Some(active), true) = (attributes.active, attributes.object == self.connection.id) else {
            return;
        };
        if self.is_up() && self.connection.subscribers != active {
            self.connection.subscribers = active;
            self.incoming.push_back(Incoming::Subscribers(active));
        }
    }

    pub(super) fn notify(&mut self, name: &str, data: &Map<String, Value>) {
        let (Some(id), true) = (self.connection.id, self.connection.subscribers) else {
            return;
        };
        let sequence = self.next_sequence();
        let message = Builder::new(Type::Notify, sequence, id)
            .object(id)
            .method(name)
            .data(data)
            .no_reply()
            .finish();
        // One that is too long is lost, as any other may be; the connection is not worth it.
        if message.is_ok() {
            self.send(message);
        }
    }

    /// Refuses what is not answered, takes the object away and asks for a last sign: what is sent right before hanging up may get lost.
    pub(super) fn leave(&mut self, deadline: Instant) {
        for id in self.connection.open.clone() {
            self.answer(id, Err(Status::UnknownError));
        }
        self.connection.leaving = true;
        if let Some(id) = self.connection.id {
            let sequence = self.next_sequence();
            self.send(Builder::new(Type::RemoveObject, sequence, 0).object(id).finish());
        }
        self.request(Purpose::Leave, 0, deadline, |sequence| {
            Builder::new(Type::Ping, sequence, 0)
        });
    }

    // Events and subscriptions.

    pub(super) fn listen(&mut self, pattern: &str, now: Instant) {
        if self.patterns.insert(pattern.to_owned()) {
            self.catch_up(now, |session, listener| {
                session.register(listener, pattern.to_owned(), now);
            });
        }
    }

    pub(super) fn subscribe(&mut self, path: &str, now: Instant) {
        if self.subscriptions.contains_key(path) {
            return;
        }
        self.subscriptions.insert(path.to_owned(), Subscription::default());
        self.catch_up(now, |session, listener| {
            session.register(listener, OBJECT_ADDED.to_owned(), now);
            session.add_subscriber(path.to_owned(), now);
        });
    }

    /// Does now what [`Self::set_up`] would have done.
    fn catch_up(&mut self, now: Instant, act: impl FnOnce(&mut Self, u32)) {
        match self.connection.listener {
            Listener::Id(listener) => act(self, listener),
            Listener::Asked => {}
            Listener::None => self.set_up(now),
        }
    }

    fn set_up(&mut self, now: Instant) {
        if !self.is_up() || (self.patterns.is_empty() && self.subscriptions.is_empty()) {
            return;
        }
        self.connection.listener = Listener::Asked;
        self.request(Purpose::AddListener, 0, now + SETUP, |sequence| {
            Builder::new(Type::AddObject, sequence, 0)
        });
    }

    /// First the event, then the look-up: between them no object can appear unseen.
    fn listening(&mut self, listener: Option<u32>, status: Status, now: Instant) {
        let Some(listener) = listener else {
            return self.fail(format!("ubusd gave us no object for events: {status}"));
        };
        self.connection.listener = Listener::Id(listener);
        let mut patterns = self.patterns.clone();
        if !self.subscriptions.is_empty() {
            patterns.insert(OBJECT_ADDED.to_owned());
        }
        for pattern in patterns {
            self.register(listener, pattern, now);
        }
        let paths: Vec<String> = self.subscriptions.keys().cloned().collect();
        for path in paths {
            self.add_subscriber(path, now);
        }
    }

    fn register(&mut self, listener: u32, pattern: String, now: Instant) {
        let listener = i32::from_be_bytes(listener.to_be_bytes());
        let mut data = Map::new();
        data.insert("object".to_owned(), Value::from(listener));
        data.insert("pattern".to_owned(), Value::from(pattern.as_str()));
        self.request(Purpose::Listen { pattern }, EVENTS, now + SETUP, |sequence| {
            Builder::new(Type::Invoke, sequence, EVENTS)
                .object(EVENTS)
                .method("register")
                .data(&data)
        });
    }

    fn refused(&mut self, what: &str, status: Status) {
        if status != Status::Ok {
            self.incoming.push_back(Incoming::Refused {
                what: what.to_owned(),
                status,
            });
        }
    }

    fn add_subscriber(&mut self, path: String, now: Instant) {
        self.request(Purpose::AddSubscriber { path }, 0, now + SETUP, |sequence| {
            Builder::new(Type::AddObject, sequence, 0)
        });
    }

    fn find(&mut self, path: String, subscriber: Option<u32>, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(&path) else {
            return;
        };
        if subscriber.is_none() {
            return self.fail("ubusd gave us no object for notifications");
        }
        subscription.id = subscriber;
        let name = path.clone();
        self.request(Purpose::Find { path }, 0, now + SETUP, |sequence| {
            Builder::new(Type::Lookup, sequence, 0).path(&name)
        });
    }

    fn subscribe_to(&mut self, path: &str, target: u32, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(path) else {
            return;
        };
        let Some(id) = subscription.id else { return };
        // ubusd does not notice a repeated subscription: everything would come twice.
        if subscription.target == Some(target) {
            return;
        }
        subscription.target = Some(target);
        self.request(
            Purpose::Subscribe {
                path: path.to_owned(),
                target,
            },
            0,
            now + SETUP,
            |sequence| Builder::new(Type::Subscribe, sequence, 0).object(id).target(target),
        );
    }

    fn subscribed(&mut self, path: &str, target: u32, status: Status) {
        if status == Status::Ok {
            self.incoming.push_back(Incoming::Subscribed { path: path.to_owned() });
            return;
        }
        if let Some(subscription) = self
            .subscriptions
            .get_mut(path)
            .filter(|known| known.target == Some(target))
        {
            subscription.target = None;
            // "Not found" is also the answer for an object that has gone again; its return is an event.
            self.refused(path, status);
        }
    }

    fn target_gone(&mut self, attributes: &Attributes<'_>) {
        let of = |known: &&mut Subscription| known.id == attributes.object && known.target == attributes.target;
        if let Some(subscription) = self.subscriptions.values_mut().find(of) {
            subscription.target = None;
        }
    }

    fn subscription_of(&self, object: u32) -> Option<String> {
        self.subscriptions
            .iter()
            .find(|(_, known)| known.id == Some(object))
            .map(|(path, _)| path.clone())
    }

    fn event(&mut self, name: String, data: Map<String, Value>, now: Instant) {
        if name == OBJECT_ADDED {
            let path = data
                .get("path")
                .and_then(Value::as_str)
                .filter(|path| self.subscriptions.contains_key(*path));
            let id = data
                .get("id")
                .and_then(Value::as_i64)
                .and_then(|id| i32::try_from(id).ok());
            if let (Some(path), Some(id)) = (path.map(str::to_owned), id) {
                self.subscribe_to(&path, u32::from_be_bytes(id.to_be_bytes()), now);
            }
        }
        if self.patterns.iter().any(|pattern| matches(pattern, &name)) {
            self.incoming.push_back(Incoming::Event { name, data });
        }
    }
}

fn status(header: Header, object: u32, status: Status) -> Builder {
    Builder::new(Type::Status, header.sequence, header.peer)
        .status(status)
        .object(object)
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == name, |prefix| name.starts_with(prefix))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
