//! The recorded conversations with a real ubusd: read and written again, replayed to the broker, and replayed to the daemon's connection.

#![allow(clippy::unwrap_used)]

use lanward::blobmsg::{self, Data, Field, Writer};
use lanward::system::ubus::frame::{Decoder, Frame, Header, Message, Type};
use lanward::system::ubus::{Bus, Incoming, Kind, Method, Object, Status};
use lanward_rig::broker::Tested;
use lanward_rig::scratch::Scratch;
use lanward_rig::wire::{self, Line, Sender};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

const DATA: u32 = 7;
const SIGNATURE: u32 = 6;

/// Recordings in which somebody sent, on purpose, what is no blobmsg.
const BROKEN: [&str; 9] = [
    "bad-length",
    // libubus leaves stray bytes in the call that starts the monitor.
    "monitor",
    "nonroot-monitor-denied",
    "ping-max",
    "ping-max-minus-3-unpadded",
    "ping-max-plus-1-unpadded",
    "ping-max-plus-4",
    "raw-rules.a",
    "raw-rules.b",
];

fn message(line: &Line) -> Option<Message> {
    match Decoder::default().next(&mut line.bytes.as_slice()) {
        Ok(Some(Frame::Message(message))) => Some(message),
        _ => None,
    }
}

type Rewritten = Result<Vec<u8>, blobmsg::Error>;

/// A message's attributes taken apart to the last number and put together again.
fn rewritten(message: &Message) -> Rewritten {
    let monitor = message.header.kind == Type::Monitor;
    list(&message.body, &|id, payload| match (monitor, id) {
        (false, DATA | SIGNATURE) => fields(payload),
        (true, 5) => list(payload, &|id, payload| match id {
            DATA | SIGNATURE => fields(payload),
            _ => Ok(payload.to_vec()),
        }),
        _ => Ok(payload.to_vec()),
    })
}

fn list(bytes: &[u8], inner: &dyn Fn(u32, &[u8]) -> Rewritten) -> Rewritten {
    let mut writer = Writer::default();
    for attribute in blobmsg::attributes(bytes) {
        let attribute = attribute?;
        writer.attribute(attribute.id, &inner(attribute.id, attribute.payload)?)?;
    }
    Ok(writer.finish())
}

fn fields(bytes: &[u8]) -> Rewritten {
    let mut writer = Writer::default();
    for field in blobmsg::fields(bytes) {
        let Field { name, data } = field?;
        match data {
            Data::Array(inner) => writer.field(name, Data::Array(&fields(inner)?))?,
            Data::Table(inner) => writer.field(name, Data::Table(&fields(inner)?))?,
            data => writer.field(name, data)?,
        }
    }
    Ok(writer.finish())
}

#[test]
fn every_recorded_message_is_read_and_written_to_the_byte() {
    let mut count = 0;
    for name in wire::names() {
        for line in wire::read(&name) {
            let Some(message) = message(&line) else {
                assert!(BROKEN.contains(&name.as_str()), "{name} cannot be read");
                continue;
            };
            match rewritten(&message) {
                Ok(body) => assert_eq!(body, message.body, "{name}"),
                Err(error) => assert!(BROKEN.contains(&name.as_str()), "{name}: {error}"),
            }
            count += 1;
            if line.bytes[0] == 0 && message.body.len() <= lanward::system::ubus::frame::MAX_SENT - 4 {
                assert_eq!(message.encode().unwrap(), line.bytes, "{name}");
            }
        }
    }
    assert!(count > 600, "only {count} messages");
}

#[test]
fn every_recorded_list_of_fields_has_a_value() {
    let mut count = 0;
    for name in wire::names() {
        for message in wire::read(&name).iter().filter_map(message) {
            let parsed = message.parse();
            for list in parsed.data.into_iter().chain(parsed.signature) {
                match blobmsg::decode(list) {
                    Ok(map) => {
                        count += 1;
                        assert_eq!(blobmsg::decode(&blobmsg::encode(&map).unwrap()).unwrap(), map, "{name}");
                    }
                    Err(error) => assert!(BROKEN.contains(&name.as_str()), "{name}: {error}"),
                }
            }
        }
    }
    assert!(count > 200, "only {count} lists");
}

#[test]
fn a_connection_reads_the_same_in_any_pieces() {
    for name in wire::names() {
        let lines = wire::read(&name);
        let lines: Vec<&Line> = lines.iter().filter(|line| line.sender == Sender::Broker).collect();
        let expected: Vec<Message> = lines.iter().filter_map(|line| message(line)).collect();
        let stream: Vec<u8> = lines.iter().flat_map(|line| line.bytes.iter().copied()).collect();
        for size in [1, 3, 11, 12, 13, 4096] {
            if stream.len() / size > 200_000 {
                continue;
            }
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for mut piece in stream.chunks(size) {
                while let Some(frame) = decoder.next(&mut piece).unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(
                got,
                expected.iter().cloned().map(Frame::Message).collect::<Vec<_>>(),
                "{name} by {size}"
            );
        }
    }
}

// Replays: what the recorded parties said is said again; what ubusd said must come again. Client, object and type ids are random and event
// numbers depend on what went before; they are learned from the answers and have to be the same everywhere afterwards.

struct Replay {
    parties: Vec<Party>,
    /// Recorded id to the one of today.
    ids: BTreeMap<u32, u32>,
    /// All recorded ids: a message that names one waits until it is known.
    known: BTreeSet<u32>,
}

struct Party {
    name: String,
    lines: VecDeque<Line>,
    stream: UnixStream,
    decoder: Decoder,
    received: VecDeque<Message>,
    closed: bool,
}

impl Party {
    fn new(name: &str, path: &Path, lines: Vec<Line>) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (decoder, received) = (Decoder::default(), VecDeque::new());
        Self {
            name: name.to_owned(),
            lines: lines.into(),
            stream,
            decoder,
            received,
            closed: false,
        }
    }

    fn fill(&mut self) {
        let mut buffer = [0; 65536];
        while let Ok(length) = self.stream.read(&mut buffer) {
            if length == 0 {
                self.closed = true;
                return;
            }
            let mut input = &buffer[..length];
            while let Some(Frame::Message(message)) = self.decoder.next(&mut input).unwrap() {
                self.received.push_back(message);
            }
        }
    }

    fn wait(&mut self) -> Message {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            self.fill();
            if let Some(message) = self.received.pop_front() {
                return message;
            }
            assert!(Instant::now() < deadline, "{}: nothing comes", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Where in a message an id that is new may stand, as offsets of words: the greeting's peer, a call's peer (the caller), and the attributes
/// and fields that hold ids.
fn id_places(bytes: &[u8]) -> BTreeSet<usize> {
    let word = |offset: usize| {
        bytes
            .get(offset..offset + 4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
    };
    let mut places = BTreeSet::new();
    if matches!(Type::from(bytes[1]), Type::Hello | Type::Invoke) {
        places.insert(4);
    }
    for offset in (12..bytes.len()).step_by(4) {
        match word(offset) {
            Some(0x0300_0008 | 0x0500_0008 | 0x0800_0008 | 0x0000_0008) => drop(places.insert(offset + 4)),
            // An int32 named "id".
            Some(0x8500_0010) if word(offset + 4) == Some(0x0002_6964) => drop(places.insert(offset + 12)),
            _ => {}
        }
    }
    places
}

fn words(bytes: &[u8]) -> impl Iterator<Item = (usize, u32)> + '_ {
    (4..bytes.len().saturating_sub(3))
        .step_by(4)
        .map(|at| (at, u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())))
}

impl Replay {
    fn new() -> Self {
        Self {
            parties: Vec::new(),
            ids: BTreeMap::new(),
            known: BTreeSet::new(),
        }
    }

    fn add(&mut self, name: &str, path: &Path, lines: Vec<Line>) {
        for line in lines.iter().filter(|line| line.sender == Sender::Broker) {
            let places = id_places(&line.bytes);
            let ids = words(&line.bytes).filter(|(at, word)| places.contains(at) && *word >= 1024);
            self.known.extend(ids.map(|(_, word)| word));
        }
        self.parties.push(Party::new(name, path, lines));
    }

    /// The party is where a long connection was when the recording begins: greeted, with an object of that id and signature.
    fn add_owner(&mut self, name: &str, path: &Path, object: &Message, recorded: u32) {
        self.add(name, path, wire::read(name));
        let party = self.parties.last_mut().unwrap();
        let hello = party.wait();
        assert_eq!(hello.header.kind, Type::Hello);
        party.stream.write_all(&object.encode().unwrap()).unwrap();
        let data = party.wait();
        assert_eq!(party.wait().header.kind, Type::Status);
        let parsed = data.parse();
        self.ids.insert(recorded, parsed.object.unwrap());
    }

    fn run(mut self) {
        let mut idle = Instant::now();
        while self.parties.iter().any(|party| !party.lines.is_empty()) {
            let moved = (0..self.parties.len()).any(|index| self.step(index));
            if moved {
                idle = Instant::now();
                continue;
            }
            let stuck: Vec<String> = self
                .parties
                .iter()
                .map(|party| format!("{} ({} left)", party.name, party.lines.len()))
                .collect();
            assert!(idle.elapsed() < Duration::from_secs(5), "stuck: {stuck:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(20));
        for party in &mut self.parties {
            party.fill();
            assert_eq!(party.received, [], "{}: more than was recorded", party.name);
        }
    }

    fn step(&mut self, index: usize) -> bool {
        let party = &mut self.parties[index];
        let Some(line) = party.lines.front() else { return false };
        if line.sender == Sender::Party {
            let unknown = |(_, word): (usize, u32)| self.known.contains(&word) && !self.ids.contains_key(&word);
            if words(&line.bytes).any(unknown) {
                return false;
            }
            let mut bytes = line.bytes.clone();
            for (at, word) in words(&line.bytes) {
                if let Some(id) = self.ids.get(&word) {
                    bytes[at..at + 4].copy_from_slice(&id.to_be_bytes());
                }
            }
            party.stream.set_nonblocking(false).unwrap();
            party.stream.write_all(&bytes).unwrap();
            party.stream.set_nonblocking(true).unwrap();
            party.lines.pop_front();
            return true;
        }
        party.fill();
        let Some(message) = party.received.pop_front() else {
            return false;
        };
        let (line, name) = (party.lines.pop_front().unwrap(), party.name.clone());
        self.compare(&name, &line, &message);
        true
    }

    fn compare(&mut self, name: &str, line: &Line, message: &Message) {
        let expected = &line.bytes;
        let mut got = expected[..12].to_vec();
        got[1] = message.header.kind.number();
        // Events and the bus's own notifications count on by themselves.
        let counted =
            message.header.peer == 0 && matches!(message.header.kind, Type::Invoke | Type::Notify | Type::Unsubscribe);
        if !counted {
            got[2..4].copy_from_slice(&message.header.sequence.to_be_bytes());
        }
        got[4..8].copy_from_slice(&message.header.peer.to_be_bytes());
        got[8..12].copy_from_slice(&u32::try_from(message.body.len() + 4).unwrap().to_be_bytes());
        got.extend(&message.body);
        let places = id_places(expected);
        for (at, word) in words(expected) {
            let Some(new) = got
                .get(at..at + 4)
                .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            else {
                break;
            };
            if at == 4 && !places.contains(&at) && self.ids.get(&word) == Some(&new) {
                got[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
            if word >= 1024 && new >= 1024 && places.contains(&at) {
                let id = *self.ids.entry(word).or_insert(new);
                assert_eq!(id, new, "{name}: another id than before at {at}");
                got[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
        }
        assert_eq!(hex(&got), hex(expected), "{name}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(4096).map(|byte| format!("{byte:02x}")).collect()
}

/// Conversations of one party that need nothing but a bus.
#[test]
fn the_broker_says_what_ubusd_said_to_one() {
    for name in [
        "add-object-duplicate",
        "add-object-libubus",
        "add-object-ucode",
        "event-object-unknown-method",
        "event-send",
        "event-send-partial",
        "event-send-reserved",
        "event-send-unheard",
        "hello",
        "invoke-unknown-object",
        "invoke-unknown-objid-raw",
        "lookup-missing",
        "lookup-wildcard-none",
        "ping",
        "ping-max",
        "ping-max-minus-3-unpadded",
        "raw-rules.d",
        "unknown-types",
    ] {
        let place = Scratch::new("wire");
        let _broker = Tested::start(&place.socket(), None);
        let mut replay = Replay::new();
        if name == "add-object-duplicate" {
            replay.add("add-object-libubus", &place.socket(), wire::read("add-object-libubus"));
            replay.run();
            replay = Replay::new();
            replay.add_owner("hello", &place.socket(), &added("add-object-libubus"), 1024);
            replay.parties[0].lines.clear();
        }
        replay.add(name, &place.socket(), wire::read(name));
        replay.run();
    }
}

#[test]
fn the_broker_hangs_up_where_ubusd_did() {
    for name in ["bad-length", "ping-max-plus-1-unpadded", "ping-max-plus-4"] {
        let place = Scratch::new("wire");
        let _broker = Tested::start(&place.socket(), None);
        let mut party = Party::new(name, &place.socket(), wire::read(name));
        assert_eq!(party.wait().header.kind, Type::Hello);
        let last = party.lines.pop_back().unwrap();
        party.stream.set_nonblocking(false).unwrap();
        // It may hang up before it has read everything.
        let _ = party.stream.write_all(&last.bytes);
        party.stream.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut closed = false;
        while !closed && Instant::now() < deadline {
            closed = match party.stream.read(&mut [0; 100]) {
                Ok(length) => {
                    assert_eq!(length, 0, "{name}: an answer");
                    true
                }
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            };
        }
        assert!(closed, "{name}");
    }
}

/// The ADD_OBJECT of a recording.
fn added(name: &str) -> Message {
    let lines = wire::read(name);
    lines
        .iter()
        .filter_map(message)
        .find(|message| message.header.kind == Type::AddObject)
        .unwrap()
}

/// Look-ups, with the objects that were on the recorded bus put there first.
#[test]
fn the_broker_lists_what_ubusd_listed() {
    for name in ["lookup-one", "lookup-wildcard", "lookup-all", "signature", "wait-for"] {
        let place = Scratch::new("wire");
        let _broker = Tested::start(&place.socket(), None);
        let lines = wire::read(name);
        let mut owner = Party::new("owner", &place.socket(), Vec::new());
        owner.wait();
        let mut replay = Replay::new();
        // Objects of one type share it: the first brings the signature, the others name it.
        let mut types = BTreeMap::new();
        for found in lines
            .iter()
            .filter_map(message)
            .filter(|message| message.parse().signature.is_some())
        {
            let (parsed, mut body) = (found.parse(), Writer::default());
            body.attribute(2, &[parsed.path.unwrap(), &[0]].concat()).unwrap();
            let recorded = parsed.object_type.unwrap();
            match types.get(&recorded) {
                Some(kind) => body.attribute(5, &u32::to_be_bytes(*kind)).unwrap(),
                None => body.attribute(6, parsed.signature.unwrap()).unwrap(),
            }
            let header = Header {
                kind: Type::AddObject,
                sequence: 1,
                peer: 0,
            };
            let request = Message {
                header,
                body: body.finish(),
            }
            .encode()
            .unwrap();
            owner.stream.write_all(&request).unwrap();
            let data = owner.wait();
            assert_eq!(owner.wait().parse().status, Some(0));
            if let Some(kind) = data.parse().object_type {
                types.insert(recorded, kind);
            }
            replay.ids.insert(parsed.object.unwrap(), data.parse().object.unwrap());
        }
        replay.ids.extend(types);
        replay.add(name, &place.socket(), lines);
        replay.run();
    }
}

/// Calls, seen from both sides.
#[test]
fn the_broker_passes_calls_and_answers_as_ubusd_did() {
    for (name, object) in [
        ("fd-passing", "libubus"),
        ("invoke-deferred", "libubus"),
        ("invoke-invalid-argument", "libubus"),
        ("invoke-multi", "libubus"),
        ("invoke-near-max", "libubus"),
        ("invoke-noargs-empty", "libubus"),
        ("invoke-status-no-data", "libubus"),
        ("invoke-timeout", "libubus"),
        ("invoke-types", "libubus"),
        ("invoke-unknown-method", "libubus"),
        ("add-second-object", "libubus"),
        ("reply-types", "libubus"),
        ("whoami-root", "libubus"),
        ("ucode-bare", "ucode"),
        ("ucode-defer", "ucode"),
        ("ucode-echo", "ucode"),
        ("ucode-err", "ucode"),
        ("ucode-extra-arg", "ucode"),
        ("ucode-none", "ucode"),
        ("ucode-retval", "ucode"),
        ("ucode-wrong-type", "ucode"),
    ] {
        let place = Scratch::new("wire");
        let _broker = Tested::start(&place.socket(), None);
        let (client, server) = (format!("{name}.client"), format!("{name}.server"));
        let recorded = wire::read(&server)
            .iter()
            .filter_map(message)
            .find_map(|message| message.parse().object)
            .unwrap();
        let mut replay = Replay::new();
        replay.add_owner(
            &server,
            &place.socket(),
            &added(&format!("add-object-{object}")),
            recorded,
        );
        replay.add(&client, &place.socket(), wire::read(&client));
        replay.run();
    }
}

/// Several parties that try what ubusd allows.
#[test]
fn the_broker_keeps_ubusds_rules() {
    for names in [
        &["listen-events"][..],
        &["subscribe-unsubscribe.subscriber", "subscribe-unsubscribe.publisher"],
    ] {
        let place = Scratch::new("wire");
        let _broker = Tested::start(&place.socket(), None);
        let mut replay = Replay::new();
        if let Some(publisher) = names.get(1) {
            let lines = wire::read(publisher);
            let recorded = lines
                .iter()
                .filter_map(message)
                .find_map(|message| message.parse().object)
                .unwrap();
            replay.add_owner(publisher, &place.socket(), &added("add-object-libubus"), recorded);
            replay.add(names[0], &place.socket(), wire::read(names[0]));
        } else {
            let lines = wire::read(names[0]);
            let events = lines.iter().position(|line| {
                message(line).is_some_and(|message| message.header.kind == Type::Invoke && message.header.peer == 0)
            });
            let (before, _) = lines.split_at(events.unwrap());
            replay.add(names[0], &place.socket(), before.to_vec());
            while !replay.parties[0].lines.is_empty() {
                replay.step(0);
            }
            replay.parties[0].lines = lines[events.unwrap()..].to_vec().into();
            replay.add("event-send", &place.socket(), wire::read("event-send"));
            while !replay.parties[1].lines.is_empty() {
                replay.step(1);
            }
            replay.add("event-send-partial", &place.socket(), wire::read("event-send-partial"));
        }
        replay.run();
    }
}

// The other way: ubusd's side of the recordings, said to our connection.

const WIRE_TEST: Object = Object {
    name: "wire.test",
    methods: &[
        Method {
            name: "echo",
            arguments: &[
                ("s", Kind::String),
                ("i", Kind::Int),
                ("b", Kind::Bool),
                ("arr", Kind::Array),
                ("tbl", Kind::Table),
                ("neg", Kind::Int),
                ("i64", Kind::Int),
            ],
        },
        Method {
            name: "whoami",
            arguments: &[],
        },
        Method {
            name: "types",
            arguments: &[],
        },
        Method {
            name: "empty",
            arguments: &[],
        },
        Method {
            name: "strict",
            arguments: &[("s", Kind::String), ("i", Kind::Int)],
        },
    ],
};

fn run<T>(test: impl std::future::Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), test)
            .await
            .expect("the test hangs")
    })
}

/// Takes our connection through the recorded ADD_OBJECT, says to it what `name` has, and returns what it says to that, with
/// the calls that came out.
fn said_to_us(name: &str, mut handle: impl FnMut(&mut Bus, Incoming)) -> Vec<Message> {
    let place = Scratch::new("wire");
    let listener = UnixListener::bind(place.socket()).unwrap();
    run(async {
        let mut bus = Bus::new(place.socket(), WIRE_TEST);
        let _ = tokio::time::timeout(Duration::from_millis(5), bus.next()).await;
        let (mut ubusd, _) = listener.accept().unwrap();
        let own = wire::read("add-object-libubus");
        let own_id = own
            .iter()
            .filter_map(message)
            .find_map(|message| message.parse().object)
            .unwrap();
        for line in own.iter().filter(|line| line.sender == Sender::Broker) {
            ubusd.write_all(&line.bytes).unwrap();
        }
        while !bus.is_up() {
            let _ = tokio::time::timeout(Duration::from_millis(5), bus.next()).await;
        }
        let mut head = [0; 12];
        ubusd.read_exact(&mut head).unwrap();
        let length = usize::from(u16::from_be_bytes([head[10], head[11]])) - 4;
        let mut rest = vec![0; length];
        ubusd.read_exact(&mut rest).unwrap();
        let mut stream = Vec::new();
        for line in wire::read(name).iter().filter(|line| line.sender == Sender::Broker) {
            let mut bytes = line.bytes.clone();
            // The object had another id in that recording.
            if let Some(recorded) = message(line).and_then(|message| message.parse().object) {
                for (at, word) in words(&line.bytes) {
                    if word == recorded {
                        bytes[at..at + 4].copy_from_slice(&own_id.to_be_bytes());
                    }
                }
            }
            stream.extend(bytes);
        }
        let mut writing = ubusd.try_clone().unwrap();
        let writer = std::thread::spawn(move || writing.write_all(&stream).unwrap());
        loop {
            match tokio::time::timeout(Duration::from_millis(60), bus.next()).await {
                Ok(incoming) => handle(&mut bus, incoming),
                // Nothing comes, and all of it has been said.
                Err(_) if writer.is_finished() => break,
                Err(_) => {}
            }
        }
        writer.join().unwrap();
        ubusd.set_nonblocking(true).unwrap();
        let (mut buffer, mut decoder, mut got) = ([0; 65536], Decoder::default(), Vec::new());
        while let Ok(length) = ubusd.read(&mut buffer) {
            let mut input = &buffer[..length];
            while let Some(Frame::Message(message)) = decoder.next(&mut input).unwrap() {
                got.push(message);
            }
        }
        got
    })
}

/// The recorded server's answers, with our object's id.
fn recorded_answers(name: &str) -> Vec<Message> {
    let own = wire::read("add-object-libubus");
    let own_id = own
        .iter()
        .filter_map(message)
        .find_map(|message| message.parse().object)
        .unwrap();
    let mut answers = Vec::new();
    for line in wire::read(name).iter().filter(|line| line.sender == Sender::Party) {
        let recorded = message(line).unwrap().parse().object.unwrap();
        let mut line = line.clone();
        for (at, word) in words(&line.bytes.clone()) {
            if word == recorded {
                line.bytes[at..at + 4].copy_from_slice(&own_id.to_be_bytes());
            }
        }
        answers.push(message(&line).unwrap());
    }
    answers
}

#[test]
fn we_answer_as_libubus_answered() {
    for name in [
        "invoke-noargs-empty.server",
        "whoami-root.server",
        "invoke-unknown-method.server",
        "invoke-invalid-argument.server",
    ] {
        let got = said_to_us(name, |bus, incoming| match incoming {
            Incoming::Call(call) if call.method == "whoami" => {
                bus.answer(
                    call.id,
                    Ok(json!({ "user": call.user, "group": call.group }).as_object().unwrap()),
                );
            }
            Incoming::Call(call) => bus.answer(call.id, Err(Status::Ok)),
            other => panic!("{name}: {other:?}"),
        });
        let expected = recorded_answers(name);
        assert_eq!(got.len(), expected.len(), "{name}");
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(got.header, expected.header, "{name}");
            if got.header.kind == Type::Status {
                assert_eq!(got.body, expected.body, "{name}");
            }
        }
    }
}

#[test]
fn a_call_with_every_type_comes_out_as_it_was_recorded() {
    let mut seen = Vec::new();
    let got = said_to_us("reply-types.server", |bus, incoming| match incoming {
        Incoming::Call(call) => {
            seen.push((call.method, call.user.clone(), call.group.clone()));
            bus.answer(call.id, Ok(&call.arguments));
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(seen, [("types", "root".to_owned(), "root".to_owned())]);
    assert_eq!(got.len(), 2);
}

#[test]
fn nothing_that_ubusd_ever_said_upsets_us() {
    for name in wire::names() {
        let mut trouble = Vec::new();
        said_to_us(&name, |bus, incoming| match incoming {
            Incoming::Call(call) => bus.answer(call.id, Err(Status::NoData)),
            Incoming::Down(reason) => trouble.push(reason),
            _ => {}
        });
        assert_eq!(trouble, Vec::<String>::new(), "{name}");
    }
}
