//! What the broker does with a message.

use super::access::{Access, Peer, Wish};
use super::connection::{Connection, Message};
use lanward::blobmsg::{self, Data, Writer};
use lanward::system::ubus::frame;
use std::collections::BTreeMap;
use std::io::Read;

const OK: u32 = 0;
const INVALID_COMMAND: u32 = 1;
const INVALID_ARGUMENT: u32 = 2;
const NOT_FOUND: u32 = 4;
const PERMISSION_DENIED: u32 = 6;

const HELLO: u8 = 0;
const STATUS: u8 = 1;
const DATA: u8 = 2;
const PING: u8 = 3;
const LOOKUP: u8 = 4;
const INVOKE: u8 = 5;
const ADD_OBJECT: u8 = 6;
const REMOVE_OBJECT: u8 = 7;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 9;
const NOTIFY: u8 = 10;

const ATTR_STATUS: u32 = 1;
const ATTR_OBJPATH: u32 = 2;
const ATTR_OBJID: u32 = 3;
const ATTR_METHOD: u32 = 4;
const ATTR_OBJTYPE: u32 = 5;
const ATTR_SIGNATURE: u32 = 6;
const ATTR_DATA: u32 = 7;
const ATTR_TARGET: u32 = 8;
const ATTR_ACTIVE: u32 = 9;
const ATTR_NO_REPLY: u32 = 10;
const ATTR_SUBSCRIBERS: u32 = 11;
const ATTR_USER: u32 = 12;
const ATTR_GROUP: u32 = 13;

/// `UBUS_SYSTEM_OBJECT_EVENT` and `UBUS_SYSTEM_OBJECT_MAX`.
const EVENTS: u32 = 1;
const SYSTEM_OBJECTS: std::ops::Range<u32> = 1..4;
const FIRST_ID: u32 = 1024;

/// A request's outcome: a STATUS to the client, or none.
type Outcome = Option<u32>;

#[derive(Debug)]
pub struct Rules {
    pub clients: BTreeMap<u32, Client>,
    objects: BTreeMap<u32, Object>,
    types: BTreeMap<u32, ObjectType>,
    paths: BTreeMap<Vec<u8>, u32>,
    patterns: Vec<Pattern>,
    event_sequence: u16,
    access: Access,
}

#[derive(Debug)]
pub struct Client {
    pub connection: Connection,
    peer: Peer,
}

#[derive(Debug)]
struct Object {
    client: u32,
    path: Option<Vec<u8>>,
    kind: Option<u32>,
    /// Newest first; one that subscribed twice is there twice.
    subscribers: Vec<u32>,
    sequence: u16,
}

#[derive(Debug)]
struct ObjectType {
    users: usize,
    /// Name and whole attribute.
    methods: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug)]
struct Pattern {
    object: u32,
    prefix: Vec<u8>,
    partial: bool,
}

impl Rules {
    pub fn new(access: Access) -> Self {
        Self {
            clients: BTreeMap::new(),
            objects: BTreeMap::new(),
            types: BTreeMap::new(),
            paths: BTreeMap::new(),
            patterns: Vec::new(),
            event_sequence: 0,
            access,
        }
    }

    pub fn connect(&mut self, connection: Connection) {
        let Some(peer) = Peer::of(connection.stream()) else {
            return;
        };
        let id = random_id(|id| self.clients.contains_key(&id));
        self.clients.insert(id, Client { connection, peer });
        self.send(id, &Message::new(HELLO, 0, id, Vec::new()));
    }

    pub fn disconnect(&mut self, client: u32) {
        let own: Vec<u32> = self
            .objects
            .iter()
            .filter(|(_, object)| object.client == client)
            .map(|(id, _)| *id)
            .collect();
        for id in own {
            self.free(id);
        }
        self.clients.remove(&client);
    }

    /// Drops the clients that could not be written to.
    pub fn bury(&mut self) {
        let broken: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, client)| client.connection.broken)
            .map(|(id, _)| *id)
            .collect();
        for id in broken {
            self.disconnect(id);
        }
    }

    pub fn receive(&mut self, client: u32, mut message: Message) {
        if !matches!(message.kind, STATUS | INVOKE) {
            message.descriptor = None;
        }
        let (sequence, peer) = (message.sequence, message.peer);
        if let Some(status) = self.handle(client, message) {
            let mut body = Writer::default();
            word(&mut body, ATTR_STATUS, status);
            self.send(client, &Message::new(STATUS, sequence, peer, body.finish()));
        }
    }

    fn handle(&mut self, client: u32, message: Message) -> Outcome {
        let parsed = frame::Message {
            header: frame::Header::default(),
            body: message.body.clone(),
        };
        let attributes = parsed.parse();
        match message.kind {
            PING => {
                self.send(client, &Message { kind: DATA, ..message });
                Some(OK)
            }
            LOOKUP => Some(self.look_up(client, &message, attributes.path)),
            ADD_OBJECT => Some(self.add(client, &message, &attributes)),
            REMOVE_OBJECT => Some(self.remove(client, &message, attributes.object)),
            INVOKE => self.invoke(client, message, &attributes),
            STATUS | DATA => {
                self.respond(client, message, &attributes);
                None
            }
            SUBSCRIBE => Some(self.subscribe(client, attributes.object, attributes.target)),
            UNSUBSCRIBE => Some(self.unsubscribe(client, attributes.object, attributes.target)),
            NOTIFY => self.notify(client, &message, &attributes),
            _ => Some(INVALID_COMMAND),
        }
    }

    fn send(&mut self, client: u32, message: &Message) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.connection.send(message);
        }
    }

    fn may(&self, client: u32, what: Option<&[u8]>, wish: Wish<'_>) -> bool {
        let Some(what) = what else { return true };
        self.clients
            .get(&client)
            .is_some_and(|client| self.access.allows(&client.peer, what, wish))
    }

    fn look_up(&mut self, client: u32, message: &Message, path: Option<&[u8]>) -> u32 {
        let ids: Vec<u32> = match path {
            None => self.paths.values().copied().collect(),
            Some([]) => return INVALID_ARGUMENT,
            Some([prefix @ .., b'*']) => self
                .paths
                .iter()
                .filter(|(path, _)| path.starts_with(prefix))
                .map(|(_, id)| *id)
                .collect(),
            Some(path) => self.paths.get(path).copied().into_iter().collect(),
        };
        if ids.is_empty() && path.is_some() {
            return NOT_FOUND;
        }
        for id in ids {
            if let Some(body) = self.describe(client, id) {
                let answer = Message::new(DATA, message.sequence, message.peer, body);
                if let Some(client) = self.clients.get_mut(&client) {
                    client.connection.send_unbounded(&answer);
                }
            }
        }
        OK
    }

    /// `None` for an object without a type, or with methods of which the client may call none.
    fn describe(&self, client: u32, id: u32) -> Option<Vec<u8>> {
        let object = self.objects.get(&id)?;
        let (kind, path) = (object.kind?, object.path.as_ref()?);
        let methods = &self.types.get(&kind)?.methods;
        let granted: Vec<&(Vec<u8>, Vec<u8>)> = methods
            .iter()
            .filter(|(name, _)| self.may(client, Some(path), Wish::Access(name)))
            .collect();
        if granted.is_empty() && !methods.is_empty() {
            return None;
        }
        let mut body = Writer::default();
        string(&mut body, ATTR_OBJPATH, path);
        word(&mut body, ATTR_OBJID, id);
        word(&mut body, ATTR_OBJTYPE, kind);
        let signature: Vec<u8> = granted
            .into_iter()
            .flat_map(|(_, attribute)| attribute.iter().copied())
            .collect();
        put(&mut body, ATTR_SIGNATURE, &signature);
        Some(body.finish())
    }

    fn add(&mut self, client: u32, message: &Message, attributes: &frame::Attributes<'_>) -> u32 {
        let path = attributes.path.map(<[u8]>::to_vec);
        if !self.may(client, path.as_deref(), Wish::Publish)
            || path.as_ref().is_some_and(|path| self.paths.contains_key(path))
        {
            return INVALID_ARGUMENT;
        }
        let kind = match (attributes.object_type, attributes.signature) {
            (Some(kind), _) => Some(kind).filter(|kind| self.types.contains_key(kind)),
            (None, Some(signature)) => methods(signature).map(|methods| {
                let kind = random_id(|id| self.types.contains_key(&id));
                self.types.insert(kind, ObjectType { users: 0, methods });
                kind
            }),
            (None, None) => None,
        };
        if let Some(kind) = kind.and_then(|kind| self.types.get_mut(&kind)) {
            kind.users += 1;
        }
        let id = random_id(|id| self.objects.contains_key(&id));
        let object = Object {
            client,
            path: path.clone(),
            kind,
            subscribers: Vec::new(),
            sequence: 0,
        };
        self.objects.insert(id, object);
        if let Some(path) = path {
            self.paths.insert(path.clone(), id);
            self.tell_of_object("ubus.object.add", id, &path);
        }
        let mut body = Writer::default();
        word(&mut body, ATTR_OBJID, id);
        if let (Some(kind), Some(_)) = (kind, attributes.signature) {
            word(&mut body, ATTR_OBJTYPE, kind);
        }
        self.send(
            client,
            &Message::new(DATA, message.sequence, message.peer, body.finish()),
        );
        OK
    }

    fn remove(&mut self, client: u32, message: &Message, id: Option<u32>) -> u32 {
        let Some(id) = id else { return INVALID_ARGUMENT };
        let Some(object) = self.objects.get(&id) else {
            return if SYSTEM_OBJECTS.contains(&id) {
                PERMISSION_DENIED
            } else {
                NOT_FOUND
            };
        };
        if object.client != client {
            return PERMISSION_DENIED;
        }
        let mut body = Writer::default();
        word(&mut body, ATTR_OBJID, id);
        if let Some(kind) = object
            .kind
            .filter(|kind| self.types.get(kind).is_some_and(|kind| kind.users == 1))
        {
            word(&mut body, ATTR_OBJTYPE, kind);
        }
        self.send(
            client,
            &Message::new(DATA, message.sequence, message.peer, body.finish()),
        );
        self.free(id);
        OK
    }

    fn free(&mut self, id: u32) {
        let targets: Vec<u32> = self
            .objects
            .iter()
            .filter(|(_, object)| object.subscribers.contains(&id))
            .map(|(id, _)| *id)
            .collect();
        for target in targets {
            while self.drop_subscription(id, target) {}
        }
        while let Some(subscriber) = self
            .objects
            .get(&id)
            .and_then(|object| object.subscribers.first().copied())
        {
            self.tell_target_gone(subscriber, id);
            self.drop_subscription(subscriber, id);
        }
        self.patterns.retain(|pattern| pattern.object != id);
        let Some(object) = self.objects.get(&id) else { return };
        if let Some(path) = object.path.clone() {
            self.tell_of_object("ubus.object.remove", id, &path);
            self.paths.remove(&path);
        }
        let kind = self.objects.remove(&id).and_then(|object| object.kind);
        let Some(kind) = kind else { return };
        if let Some(known) = self.types.get_mut(&kind) {
            known.users -= 1;
            if known.users == 0 {
                self.types.remove(&kind);
            }
        }
    }

    fn invoke(&mut self, client: u32, message: Message, attributes: &frame::Attributes<'_>) -> Outcome {
        let (Some(id), Some(method)) = (attributes.object, attributes.method) else {
            return Some(INVALID_ARGUMENT);
        };
        if id == EVENTS {
            return Some(self.event_request(client, method, attributes.data));
        }
        if SYSTEM_OBJECTS.contains(&id) {
            let root = self.clients.get(&client).is_some_and(|client| client.peer.uid == 0);
            return Some(if root { INVALID_COMMAND } else { PERMISSION_DENIED });
        }
        let Some(object) = self.objects.get(&id) else {
            return Some(NOT_FOUND);
        };
        if !self.may(client, object.path.as_deref(), Wish::Access(method)) {
            return Some(PERMISSION_DENIED);
        }
        self.forward(client, id, Writer::default(), &message, attributes);
        None
    }

    fn forward(
        &mut self,
        client: u32,
        object: u32,
        mut body: Writer,
        message: &Message,
        attributes: &frame::Attributes<'_>,
    ) {
        let Some(peer) = self.clients.get(&client).map(|client| client.peer.clone()) else {
            return;
        };
        let Some(owner) = self.objects.get(&object).map(|object| object.client) else {
            return;
        };
        word(&mut body, ATTR_OBJID, object);
        string(&mut body, ATTR_METHOD, attributes.method.unwrap_or_default());
        string(&mut body, ATTR_USER, peer.user.as_bytes());
        string(&mut body, ATTR_GROUP, peer.group.as_bytes());
        if let Some(data) = attributes.data {
            put(&mut body, ATTR_DATA, data);
        }
        let mut forwarded = Message::new(INVOKE, message.sequence, client, body.finish());
        forwarded.descriptor.clone_from(&message.descriptor);
        self.send(owner, &forwarded);
    }

    /// Passes on whatever the object's owner says, to whomever it names: there is no list of open calls.
    fn respond(&mut self, client: u32, message: Message, attributes: &frame::Attributes<'_>) {
        let complete = match message.kind {
            STATUS => attributes.status.is_some(),
            _ => attributes.data.is_some(),
        };
        let Some(id) = attributes.object.filter(|_| complete) else {
            return;
        };
        if self.objects.get(&id).is_some_and(|object| object.client == client) {
            let caller = message.peer;
            self.send(caller, &Message { peer: id, ..message });
        }
    }

    fn subscribe(&mut self, client: u32, own: Option<u32>, target: Option<u32>) -> u32 {
        let (Some(own), Some(target)) = (own, target) else {
            return INVALID_ARGUMENT;
        };
        match self.objects.get(&own) {
            None if SYSTEM_OBJECTS.contains(&own) => return INVALID_ARGUMENT,
            None => return NOT_FOUND,
            Some(object) if object.client != client => return INVALID_ARGUMENT,
            Some(_) => {}
        }
        let Some(object) = self.objects.get(&target) else {
            return NOT_FOUND;
        };
        if object.client == client {
            return INVALID_ARGUMENT;
        }
        let allowed = match &object.path {
            Some(path) => self.may(client, Some(path), Wish::Subscribe),
            None => self.same_people(client, object.client),
        };
        if !allowed {
            return NOT_FOUND;
        }
        let first = object.subscribers.is_empty();
        if let Some(object) = self.objects.get_mut(&target) {
            object.subscribers.insert(0, own);
        }
        if first {
            self.tell_active(target);
        }
        OK
    }

    fn same_people(&self, one: u32, other: u32) -> bool {
        let peer = |client: u32| {
            self.clients
                .get(&client)
                .map(|client| (&client.peer.user, &client.peer.group))
        };
        peer(one)
            .zip(peer(other))
            .is_some_and(|(one, other)| one.0 == other.0 || one.1 == other.1)
    }

    fn unsubscribe(&mut self, client: u32, own: Option<u32>, target: Option<u32>) -> u32 {
        let (Some(own), Some(target)) = (own, target) else {
            return INVALID_ARGUMENT;
        };
        let Some(object) = self.objects.get(&own) else {
            return NOT_FOUND;
        };
        if object.client != client {
            return INVALID_ARGUMENT;
        }
        if self.drop_subscription(own, target) {
            OK
        } else {
            NOT_FOUND
        }
    }

    fn drop_subscription(&mut self, subscriber: u32, target: u32) -> bool {
        let Some(object) = self.objects.get_mut(&target) else {
            return false;
        };
        let Some(index) = object.subscribers.iter().position(|known| *known == subscriber) else {
            return false;
        };
        object.subscribers.remove(index);
        if object.subscribers.is_empty() {
            self.tell_active(target);
        }
        true
    }

    fn tell_active(&mut self, id: u32) {
        let Some(object) = self.objects.get_mut(&id) else {
            return;
        };
        object.sequence = object.sequence.wrapping_add(1);
        let (client, sequence) = (object.client, object.sequence);
        let mut body = Writer::default();
        word(&mut body, ATTR_OBJID, id);
        put(&mut body, ATTR_ACTIVE, &[u8::from(!object.subscribers.is_empty())]);
        self.send(client, &Message::new(NOTIFY, sequence, 0, body.finish()));
    }

    fn tell_target_gone(&mut self, subscriber: u32, target: u32) {
        let Some(object) = self.objects.get_mut(&subscriber) else {
            return;
        };
        object.sequence = object.sequence.wrapping_add(1);
        let (client, sequence) = (object.client, object.sequence);
        let mut body = Writer::default();
        word(&mut body, ATTR_OBJID, subscriber);
        word(&mut body, ATTR_TARGET, target);
        self.send(client, &Message::new(UNSUBSCRIBE, sequence, 0, body.finish()));
    }

    fn notify(&mut self, client: u32, message: &Message, attributes: &frame::Attributes<'_>) -> Outcome {
        let (Some(id), Some(_)) = (attributes.object, attributes.method) else {
            return Some(INVALID_ARGUMENT);
        };
        let Some(object) = self.objects.get(&id) else {
            return Some(if SYSTEM_OBJECTS.contains(&id) {
                PERMISSION_DENIED
            } else {
                NOT_FOUND
            });
        };
        if object.client != client {
            return Some(PERMISSION_DENIED);
        }
        let subscribers = object.subscribers.clone();
        let no_reply = attributes.no_reply == Some(true);
        if !no_reply {
            let mut list = Writer::default();
            for subscriber in &subscribers {
                word(&mut list, 0, *subscriber);
            }
            let mut body = Writer::default();
            word(&mut body, ATTR_OBJID, id);
            put(&mut body, ATTR_SUBSCRIBERS, &list.finish());
            word(&mut body, ATTR_STATUS, OK);
            self.send(
                client,
                &Message::new(STATUS, message.sequence, message.peer, body.finish()),
            );
        }
        for subscriber in subscribers {
            let mut body = Writer::default();
            if no_reply {
                put(&mut body, ATTR_NO_REPLY, &[1]);
            }
            self.forward(client, subscriber, body, message, attributes);
        }
        None
    }

    // Events.

    fn event_request(&mut self, client: u32, method: &[u8], data: Option<&[u8]>) -> u32 {
        let Some(data) = data.filter(|_| matches!(method, b"register" | b"send")) else {
            return if matches!(method, b"register" | b"send") {
                INVALID_ARGUMENT
            } else {
                INVALID_COMMAND
            };
        };
        if method == b"register" {
            return self.register(client, data);
        }
        let (Some(Data::String(name)), Some(Data::Table(table))) = (find(data, b"id", 3), find(data, b"data", 2))
        else {
            return INVALID_ARGUMENT;
        };
        if name.starts_with(b"ubus.") || !self.may(client, Some(name), Wish::Send) {
            return PERMISSION_DENIED;
        }
        self.send_event(Some(client), name, table);
        OK
    }

    fn register(&mut self, client: u32, data: &[u8]) -> u32 {
        let (Some(Data::String(pattern)), Some(Data::Int32(id))) =
            (find(data, b"pattern", 3), find(data, b"object", 5))
        else {
            return INVALID_ARGUMENT;
        };
        let id = id.cast_unsigned();
        if id < FIRST_ID {
            return PERMISSION_DENIED;
        }
        let Some(object) = self.objects.get(&id) else {
            return NOT_FOUND;
        };
        let (prefix, partial) = match pattern.strip_suffix(b"*") {
            Some(prefix) => (prefix, true),
            None => (pattern, false),
        };
        if object.client != client || pattern.is_empty() || !self.may(client, Some(prefix), Wish::Listen) {
            return PERMISSION_DENIED;
        }
        self.patterns.push(Pattern {
            object: id,
            prefix: prefix.to_vec(),
            partial,
        });
        OK
    }

    /// To every object that listens, once, whichever of its patterns fit; but not to the sender's own.
    fn send_event(&mut self, sender: Option<u32>, name: &[u8], data: &[u8]) {
        let fits = |pattern: &&Pattern| match pattern.partial {
            true => name.starts_with(&pattern.prefix),
            false => name == pattern.prefix,
        };
        let mut fitting: Vec<&Pattern> = self.patterns.iter().filter(fits).collect();
        fitting.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        let mut listeners: Vec<u32> = Vec::new();
        for pattern in fitting {
            if !listeners.contains(&pattern.object) {
                listeners.push(pattern.object);
            }
        }
        for id in listeners {
            let Some(client) = self.objects.get(&id).map(|object| object.client) else {
                continue;
            };
            if Some(client) == sender {
                continue;
            }
            let mut body = Writer::default();
            word(&mut body, ATTR_OBJID, id);
            string(&mut body, ATTR_METHOD, name);
            put(&mut body, ATTR_DATA, data);
            self.event_sequence = self.event_sequence.wrapping_add(1);
            self.send(client, &Message::new(INVOKE, self.event_sequence, 0, body.finish()));
        }
    }

    fn tell_of_object(&mut self, event: &str, id: u32, path: &[u8]) {
        let mut data = Writer::default();
        let written = data
            .field(b"id", Data::Int32(id.cast_signed()))
            .and_then(|()| data.field(b"path", Data::String(path)));
        written.expect("a path that came in one message fits another");
        self.send_event(None, event.as_bytes(), &data.finish());
    }
}

/// The first field of that name and type.
fn find<'a>(list: &'a [u8], name: &[u8], kind: u32) -> Option<Data<'a>> {
    let fields = blobmsg::fields(list).zip(blobmsg::attributes(list));
    let mut fields = fields.map_while(|(field, attribute)| Some((field.ok()?, attribute.ok()?)));
    fields
        .find(|(field, attribute)| field.name == name && attribute.id == kind)
        .map(|(field, _)| field.data)
}

/// The methods of a signature; `None` if one has no name or is no field.
fn methods(signature: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut methods = Vec::new();
    let mut rest = signature;
    while !rest.is_empty() {
        let Some(Ok(attribute)) = blobmsg::attributes(rest).next() else {
            break;
        };
        let (whole, behind) = rest.split_at((attribute.payload.len() + 4).next_multiple_of(4));
        let field = blobmsg::fields(whole).next()?.ok()?;
        if field.name.is_empty() {
            return None;
        }
        methods.push((field.name.to_vec(), whole.to_vec()));
        rest = behind;
    }
    Some(methods)
}

fn word(body: &mut Writer, id: u32, word: u32) {
    put(body, id, &word.to_be_bytes());
}

fn string(body: &mut Writer, id: u32, text: &[u8]) {
    put(body, id, &[text, &[0]].concat());
}

fn put(body: &mut Writer, id: u32, payload: &[u8]) {
    body.attribute(id, payload)
        .expect("what came in one message fits another");
}

fn random_id(taken: impl Fn(u32) -> bool) -> u32 {
    let mut random = std::fs::File::open("/dev/urandom").expect("there is a /dev/urandom");
    loop {
        let mut id = [0; 4];
        random.read_exact(&mut id).expect("it has no end");
        let id = u32::from_be_bytes(id);
        if id >= FIRST_ID && !taken(id) {
            return id;
        }
    }
}
