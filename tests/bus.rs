//! The daemon's connection against a broker: the stand-in, or the real ubusd where `LANWARD_UBUSD` names one; `LANWARD_UBUS` names
//! the real `ubus` tool, which then makes the calls from outside.

#![allow(clippy::unwrap_used)]

use lanward::system::ubus::frame::{Builder, Decoder, Frame, Message, Type, MAX_RECEIVED, MAX_SENT};
use lanward::system::ubus::{call_once, Bus, Call, CallError, Client, Incoming, Kind, Method, Object, Status};
use lanward_rig::broker::Tested;
use lanward_rig::report_line;
use lanward_rig::scratch::Scratch;
use lanward_rig::user::as_user;
use serde_json::{json, Map, Value};
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

const OBJECT: Object = Object {
    name: "lanward.test",
    methods: &[
        Method {
            name: "echo",
            arguments: &[
                ("text", Kind::String),
                ("number", Kind::Int),
                ("flag", Kind::Bool),
                ("list", Kind::Array),
                ("table", Kind::Table),
            ],
        },
        Method {
            name: "whoami",
            arguments: &[],
        },
        Method {
            name: "nothing",
            arguments: &[],
        },
        Method {
            name: "later",
            arguments: &[],
        },
        Method {
            name: "huge",
            arguments: &[],
        },
    ],
};
const OTHER: Object = Object {
    name: "lanward.other",
    methods: &[Method {
        name: "count",
        arguments: &[],
    }],
};
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a bus is. Some of its clients are not root.
fn place() -> Scratch {
    Scratch::for_everybody("bus")
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test)
            .await
            .expect("the test hangs")
    })
}

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else {
        panic!("{value} is no object")
    };
    map
}

async fn next(bus: &mut Bus) -> Incoming {
    tokio::time::timeout(PATIENCE, bus.next()).await.expect("nothing comes")
}

async fn up(bus: &mut Bus) {
    let incoming = next(bus).await;
    assert!(matches!(incoming, Incoming::Up), "{incoming:?}");
}

fn answer(bus: &mut Bus, call: &Call) {
    match call.method {
        "echo" => bus.answer(call.id, Ok(&call.arguments)),
        "whoami" => bus.answer(call.id, Ok(&map(json!({ "user": call.user, "group": call.group })))),
        "nothing" => bus.answer(call.id, Err(Status::NoData)),
        "huge" => bus.answer(call.id, Ok(&map(json!({ "text": "x".repeat(MAX_SENT) })))),
        _ => {}
    }
}

/// Serves until `work`, in a thread of its own, is done.
async fn serve_while<T: Send + 'static>(bus: &mut Bus, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, working) = tokio::net::UnixStream::pair().unwrap();
    let working = working.into_std().unwrap();
    let thread = std::thread::spawn(move || {
        let _working = working;
        work()
    });
    loop {
        tokio::select! {
            _ = done.readable() => break,
            incoming = bus.next() => match incoming {
                Incoming::Call(call) => answer(bus, &call),
                Incoming::Subscribers(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    thread.join().unwrap()
}

/// A whole conversation: broker, connection, somebody who calls.
fn served<T: Send + 'static>(work: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let place = place();
    let socket = place.socket();
    let _broker = Tested::start(&socket, None);
    run(async {
        let mut bus = Bus::new(&socket, OBJECT);
        up(&mut bus).await;
        let path = socket.clone();
        let result = serve_while(&mut bus, move || work(&path)).await;
        bus.close().await;
        result
    })
}

fn call(path: &Path, method: &str, arguments: Value) -> Result<Value, CallError> {
    call_once(path, OBJECT.name, method, &map(arguments), PATIENCE)
}

fn refusal(result: Result<Value, CallError>) -> Status {
    match result {
        Err(CallError::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_is_answered() {
    served(|path| {
        let arguments = json!({
            "text": "h\u{e9}", "number": 5_000_000_000_i64, "flag": true, "list": [1, "a", null], "table": { "": 1 }
        });
        assert_eq!(call(path, "echo", arguments.clone()).unwrap(), arguments);
        assert_eq!(
            call(path, "whoami", json!({})).unwrap(),
            json!({ "user": "root", "group": "root" })
        );
        assert_eq!(refusal(call(path, "nothing", json!({}))), Status::NoData);
    });
}

#[test]
fn the_bus_refuses_what_no_handler_should_see() {
    served(|path| {
        assert_eq!(refusal(call(path, "nosuch", json!({}))), Status::MethodNotFound);
        assert_eq!(
            refusal(call(path, "nosuch", json!({ "text": 1 }))),
            Status::MethodNotFound
        );
        assert_eq!(
            refusal(call(path, "echo", json!({ "text": 1 }))),
            Status::InvalidArgument
        );
        assert_eq!(
            refusal(call(path, "echo", json!({ "number": true }))),
            Status::InvalidArgument
        );
        assert_eq!(
            refusal(call(path, "whoami", json!({ "extra": "" }))),
            Status::InvalidArgument
        );
        assert_eq!(refusal(call(path, "huge", json!({}))), Status::UnknownError);
    });
}

#[test]
fn the_web_servers_session_is_taken_out() {
    served(|path| {
        let got = call(path, "echo", json!({ "text": "a", "ubus_rpc_session": "secret" })).unwrap();
        assert_eq!(got, json!({ "text": "a" }));
        assert!(call(path, "whoami", json!({ "ubus_rpc_session": "secret" })).is_ok());
    });
}

#[test]
fn a_call_fails_with_its_reason() {
    let place = place();
    assert!(matches!(
        call(&place.socket(), "echo", json!({})),
        Err(CallError::NoBus(_))
    ));
    let _broker = Tested::start(&place.socket(), None);
    assert!(matches!(
        call(&place.socket(), "echo", json!({})),
        Err(CallError::NoObject(_))
    ));
    served(|path| {
        let started = Instant::now();
        let result = call_once(path, OBJECT.name, "later", &Map::new(), Duration::from_millis(300));
        assert!(matches!(result, Err(CallError::Timeout)), "{result:?}");
        assert!(started.elapsed() < PATIENCE);
    });
}

#[test]
fn the_signature_says_what_can_be_called() {
    served(|path| {
        let mut client = Client::connect(path, PATIENCE).unwrap();
        let found = client.lookup("lanward.*").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, OBJECT.name);
        let signature = Value::Object(lanward::blobmsg::decode(&found[0].signature).unwrap());
        let echo = json!({ "text": 3, "number": 5, "flag": 7, "list": 1, "table": 2 });
        assert_eq!(
            signature,
            json!({ "echo": echo, "whoami": {}, "nothing": {}, "later": {}, "huge": {} })
        );
    });
}

#[test]
fn a_thousand_calls() {
    served(|path| {
        let mut client = Client::connect(path, PATIENCE).unwrap();
        let id = client.lookup(OBJECT.name).unwrap()[0].id;
        for number in 0..1000 {
            let mut replies = Vec::new();
            let arguments = map(json!({ "number": number, "text": "x".repeat(number) }));
            client
                .invoke(id, "echo", &arguments, |data| {
                    replies.push(lanward::blobmsg::decode(data).unwrap());
                })
                .unwrap();
            assert_eq!(replies, [arguments]);
        }
    });
}

/// A connection that speaks in bytes.
struct Raw {
    stream: UnixStream,
    decoder: Decoder,
    id: u32,
    frames: std::collections::VecDeque<Frame>,
}

impl Raw {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }

    fn over(stream: UnixStream) -> Self {
        let mut raw = Self {
            stream,
            decoder: Decoder::default(),
            id: 0,
            frames: Default::default(),
        };
        let hello = raw.read();
        assert_eq!(hello.header.kind, Type::Hello);
        raw.id = hello.header.peer;
        raw
    }

    fn read(&mut self) -> Message {
        let mut buffer = [0; 4096];
        loop {
            match self.frames.pop_front() {
                Some(Frame::Message(message)) => return message,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            let length = self.stream.read(&mut buffer).expect("an answer in time");
            assert_ne!(length, 0, "closed");
            let mut input = &buffer[..length];
            while let Some(frame) = self.decoder.next(&mut input).unwrap() {
                self.frames.push_back(frame);
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads up to the next STATUS, and returns it with the DATA before it.
    fn outcome(&mut self) -> (u16, Status, Vec<Message>) {
        let mut data = Vec::new();
        loop {
            let message = self.read();
            match message.header.kind {
                Type::Data => data.push(message),
                Type::Status => {
                    let status = message.parse().status.unwrap();
                    return (message.header.sequence, Status::from(status), data);
                }
                _ => {}
            }
        }
    }

    fn lookup(&mut self, path: &str) -> u32 {
        self.write(&Builder::new(Type::Lookup, 999, 0).path(path).finish().unwrap());
        let (_, status, data) = self.outcome();
        assert_eq!(status, Status::Ok);
        data[0].parse().object.unwrap()
    }
}

fn invoke(sequence: u16, object: u32, method: &str, arguments: Value) -> Vec<u8> {
    Builder::new(Type::Invoke, sequence, object)
        .object(object)
        .method(method)
        .data(&map(arguments))
        .finish()
        .unwrap()
}

#[test]
fn callers_may_use_the_same_number() {
    served(|path| {
        let mut callers: Vec<Raw> = (0..20).map(|_| Raw::connect(path)).collect();
        let id = callers[0].lookup(OBJECT.name);
        for (number, caller) in callers.iter_mut().enumerate() {
            caller.write(&invoke(2, id, "echo", json!({ "number": number })));
        }
        for (number, caller) in callers.iter_mut().enumerate().rev() {
            let (sequence, status, data) = caller.outcome();
            assert_eq!((sequence, status, data.len()), (2, Status::Ok, 1));
            let got = lanward::blobmsg::decode(data[0].parse().data.unwrap()).unwrap();
            assert_eq!(got, map(json!({ "number": number })));
        }
    });
}

#[test]
fn one_caller_may_use_a_number_twice_and_gets_two_answers() {
    served(|path| {
        let mut caller = Raw::connect(path);
        let id = caller.lookup(OBJECT.name);
        caller.write(
            &[
                invoke(7, id, "echo", json!({ "number": 1 })),
                invoke(7, id, "whoami", json!({})),
            ]
            .concat(),
        );
        let outcomes = [caller.outcome(), caller.outcome()];
        assert!(outcomes
            .iter()
            .all(|(sequence, status, data)| (*sequence, *status, data.len()) == (7, Status::Ok, 1)));
    });
}

#[test]
fn a_call_without_data_is_a_call_without_arguments() {
    served(|path| {
        let mut caller = Raw::connect(path);
        let id = caller.lookup(OBJECT.name);
        caller.write(
            &Builder::new(Type::Invoke, 3, id)
                .object(id)
                .method("whoami")
                .finish()
                .unwrap(),
        );
        assert_eq!(caller.outcome().1, Status::Ok);
    });
}

#[test]
fn arguments_that_are_no_blobmsg_are_refused() {
    served(|path| {
        let mut caller = Raw::connect(path);
        let id = caller.lookup(OBJECT.name);
        for (method, garbage, expected) in [
            (
                "whoami",
                &[0x85, 0, 0, 12, 0, 1, b'a', 0, 0, 0, 0, 0][..],
                Status::InvalidArgument,
            ),
            (
                "whoami",
                &[0x85, 0, 0, 40, 0, 1, b'a', 0, 0, 0, 0, 0],
                Status::InvalidArgument,
            ),
            ("whoami", &[1, 2, 3], Status::InvalidArgument),
            ("nosuch", &[1, 2, 3], Status::MethodNotFound),
        ] {
            let mut body = lanward::blobmsg::Writer::default();
            body.attribute(3, &id.to_be_bytes()).unwrap();
            body.attribute(4, &[method.as_bytes(), &[0]].concat()).unwrap();
            body.attribute(7, garbage).unwrap();
            let header = lanward::system::ubus::frame::Header {
                kind: Type::Invoke,
                sequence: 4,
                peer: id,
            };
            caller.write(
                &Message {
                    header,
                    body: body.finish(),
                }
                .encode()
                .unwrap(),
            );
            assert_eq!(caller.outcome().1, expected, "{method} {garbage:?}");
        }
        assert_eq!(call(path, "whoami", json!({})).unwrap()["user"], "root");
    });
}

#[test]
fn the_longest_call_that_the_bus_takes_arrives() {
    served(|path| {
        let mut caller = Raw::connect(path);
        let id = caller.lookup(OBJECT.name);
        let overhead = invoke(5, id, "echo", json!({ "text": "" })).len() - 8;
        let text = "x".repeat(MAX_SENT - overhead);
        caller.write(&invoke(5, id, "echo", json!({ "text": text })));
        let (_, status, data) = caller.outcome();
        assert_eq!(status, Status::Ok);
        let got = lanward::blobmsg::decode(data[0].parse().data.unwrap()).unwrap();
        assert_eq!(got["text"].as_str().map(str::len), Some(text.len()));
    });
}

#[test]
fn a_caller_that_sends_in_pieces_or_goes_away_hurts_nobody() {
    served(|path| {
        let mut caller = Raw::connect(path);
        let id = caller.lookup(OBJECT.name);
        for byte in invoke(6, id, "whoami", json!({})) {
            caller.write(&[byte]);
        }
        assert_eq!(caller.outcome().1, Status::Ok);
        for _ in 0..20 {
            let mut caller = Raw::connect(path);
            caller.write(&invoke(6, id, "later", json!({})));
            caller.write(&invoke(7, id, "echo", json!({ "text": "x".repeat(100_000) }))[..5000]);
        }
        assert_eq!(call(path, "whoami", json!({})).unwrap()["user"], "root");
    });
}

#[test]
fn too_many_open_calls_are_refused_and_the_rest_is_served() {
    served(|path| {
        let mut caller = Raw::connect(path);
        let id = caller.lookup(OBJECT.name);
        for sequence in 0..300 {
            caller.write(&invoke(sequence, id, "later", json!({})));
        }
        let (sequence, status, _) = caller.outcome();
        assert_eq!((sequence, status), (256, Status::NoMemory));
    });
}

#[test]
fn two_of_us_call_each_other_and_themselves() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    run(async {
        let (mut one, mut other) = (Bus::new(place.socket(), OBJECT), Bus::new(place.socket(), OTHER));
        up(&mut one).await;
        up(&mut other).await;
        let own = one.call(OBJECT.name, "whoami", Map::new());
        let there = one.call(OTHER.name, "count", Map::new());
        let missing = one.call("no.such", "count", Map::new());
        let wrong = one.call(OTHER.name, "nosuch", Map::new());
        let back = other.call(OBJECT.name, "echo", map(json!({ "number": 1 })));
        let mut answers = std::collections::BTreeMap::new();
        let mut came_back = false;
        while answers.len() < 4 || !came_back {
            tokio::select! {
                incoming = next(&mut one) => match incoming {
                    Incoming::Call(call) => answer(&mut one, &call),
                    Incoming::Answer { ticket, result } => drop(answers.insert(ticket, result)),
                    other => panic!("{other:?}"),
                },
                incoming = next(&mut other) => match incoming {
                    Incoming::Call(call) => other.answer(call.id, Ok(&map(json!({ "count": 2 })))),
                    Incoming::Answer { ticket, result } => {
                        assert_eq!((ticket, result.unwrap()), (back, json!({ "number": 1 })));
                        came_back = true;
                    }
                    other => panic!("{other:?}"),
                },
            }
        }
        assert_eq!(answers.remove(&own).unwrap().unwrap()["user"], "root");
        assert_eq!(answers.remove(&there).unwrap().unwrap(), json!({ "count": 2 }));
        assert!(matches!(answers.remove(&missing), Some(Err(CallError::NoObject(path))) if path == "no.such"));
        assert!(matches!(
            answers.remove(&wrong),
            Some(Err(CallError::Status(Status::MethodNotFound)))
        ));
    });
}

#[test]
fn a_call_that_nobody_answers_ends_by_itself() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    run(async {
        let mut bus = Bus::new(place.socket(), OBJECT);
        up(&mut bus).await;
        let ticket = bus.call_within(OBJECT.name, "later", Map::new(), Duration::from_millis(200));
        let open = match next(&mut bus).await {
            Incoming::Call(call) => call.id,
            other => panic!("{other:?}"),
        };
        match next(&mut bus).await {
            Incoming::Answer {
                ticket: of,
                result: Err(CallError::Timeout),
            } if of == ticket => {}
            other => panic!("{other:?}"),
        }
        // The late answer belongs to nothing any more.
        bus.answer(open, Ok(&Map::new()));
        bus.answer(open, Ok(&Map::new()));
        let ticket = bus.call(OBJECT.name, "whoami", Map::new());
        loop {
            match next(&mut bus).await {
                Incoming::Call(call) => answer(&mut bus, &call),
                Incoming::Answer { ticket: of, result } => {
                    assert_eq!(
                        (of, result.unwrap()),
                        (ticket, json!({ "user": "root", "group": "root" }))
                    );
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn notifications_reach_subscribers_and_only_them() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    run(async {
        let (mut one, mut other) = (Bus::new(place.socket(), OBJECT), Bus::new(place.socket(), OTHER));
        up(&mut one).await;
        one.notify("unheard", &map(json!({})));
        other.subscribe(OBJECT.name);
        up(&mut other).await;
        assert!(matches!(next(&mut other).await, Incoming::Subscribed { path } if path == OBJECT.name));
        assert!(matches!(next(&mut one).await, Incoming::Subscribers(true)));
        one.notify("heard", &map(json!({ "n": 1 })));
        one.notify("again", &map(json!({ "n": 2 })));
        let news = serve_both(&mut other, &mut one).await;
        assert_eq!(
            news,
            (OBJECT.name.to_owned(), "heard".to_owned(), map(json!({ "n": 1 })))
        );
        let news = serve_both(&mut other, &mut one).await;
        assert_eq!(news.1, "again");
        other.close().await;
        assert!(matches!(next(&mut one).await, Incoming::Subscribers(false)));
    });
}

/// The next notification of `listener`, while `speaker` is served, too.
async fn serve_both(listener: &mut Bus, speaker: &mut Bus) -> (String, String, Map<String, Value>) {
    tokio::select! {
        incoming = next(listener) => match incoming {
            Incoming::Notification { path, name, data } => (path, name, data),
            other => panic!("{other:?}"),
        },
        incoming = next(speaker) => panic!("{incoming:?}"),
    }
}

#[test]
fn a_subscription_survives_that_its_object_goes_and_comes() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    run(async {
        let mut other = Bus::new(place.socket(), OTHER);
        other.subscribe(OBJECT.name);
        up(&mut other).await;
        for round in 0..3 {
            let mut one = Bus::new(place.socket(), OBJECT);
            up(&mut one).await;
            assert!(
                matches!(next(&mut other).await, Incoming::Subscribed { .. }),
                "round {round}"
            );
            assert!(matches!(next(&mut one).await, Incoming::Subscribers(true)));
            one.notify("news", &map(json!({ "round": round })));
            let (.., data) = serve_both(&mut other, &mut one).await;
            assert_eq!(data, map(json!({ "round": round })));
            one.close().await;
        }
    });
}

#[test]
fn events_come_to_those_who_listen() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    run(async {
        let mut bus = Bus::new(place.socket(), OTHER);
        bus.listen("test.*");
        up(&mut bus).await;
        bus.listen("ubus.object.*");
        // Our own object is proof that both patterns are known.
        let probe = bus.call(OTHER.name, "count", Map::new());
        while !matches!(next(&mut bus).await, Incoming::Call(_)) {}
        let _ = probe;
        let mut one = Bus::new(place.socket(), OBJECT);
        up(&mut one).await;
        match next(&mut bus).await {
            Incoming::Event { name, data } => {
                assert_eq!(name, "ubus.object.add");
                assert_eq!(data["path"], OBJECT.name);
            }
            other => panic!("{other:?}"),
        }
        let path = place.socket();
        let sent = std::thread::spawn(move || {
            let mut client = Client::connect(&path, PATIENCE).unwrap();
            for name in ["other", "test.event"] {
                client
                    .invoke(1, "send", &map(json!({ "id": name, "data": { "x": 1 } })), |_| ())
                    .unwrap();
            }
        });
        match next(&mut bus).await {
            Incoming::Event { name, data } => assert_eq!((name.as_str(), data), ("test.event", map(json!({ "x": 1 })))),
            other => panic!("{other:?}"),
        }
        sent.join().unwrap();
    });
}

#[test]
fn a_late_broker_is_found_and_a_restarted_one_again() {
    let place = place();
    run(async {
        let mut bus = Bus::new(place.socket(), OTHER);
        bus.subscribe(OBJECT.name);
        assert!(matches!(next(&mut bus).await, Incoming::Down(_)));
        // Said once: nothing more comes while it is not there.
        assert!(tokio::time::timeout(Duration::from_millis(2500), bus.next())
            .await
            .is_err());
        for _ in 0..2 {
            let broker = Tested::start(&place.socket(), None);
            up(&mut bus).await;
            let mut one = Bus::new(place.socket(), OBJECT);
            up(&mut one).await;
            assert!(matches!(next(&mut bus).await, Incoming::Subscribed { .. }));
            let ticket = bus.call(OBJECT.name, "later", Map::new());
            assert!(matches!(
                tokio::select! { incoming = next(&mut one) => Some(incoming), _ = bus.next() => None },
                Some(Incoming::Subscribers(true))
            ));
            drop(broker);
            match next(&mut bus).await {
                Incoming::Answer {
                    ticket: of,
                    result: Err(CallError::NoBus(_)),
                } => assert_eq!(of, ticket),
                other => panic!("{other:?}"),
            }
            assert!(matches!(next(&mut bus).await, Incoming::Down(_)));
        }
    });
}

#[test]
fn a_path_that_is_taken_is_a_reason_and_is_tried_again() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    run(async {
        let mut first = Bus::new(place.socket(), OBJECT);
        up(&mut first).await;
        let mut second = Bus::new(place.socket(), OBJECT);
        match next(&mut second).await {
            Incoming::Down(reason) => assert!(reason.contains("taken"), "{reason}"),
            other => panic!("{other:?}"),
        }
        first.close().await;
        up(&mut second).await;
    });
}

#[test]
fn the_last_answers_before_leaving_arrive() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    for _ in 0..20 {
        run(async {
            let mut bus = Bus::new(place.socket(), OBJECT);
            up(&mut bus).await;
            let mut caller = Raw::connect(&place.socket());
            let id = caller.lookup(OBJECT.name);
            for sequence in 0..200 {
                caller.write(&invoke(sequence, id, "later", json!({})));
            }
            for _ in 0..200 {
                assert!(matches!(next(&mut bus).await, Incoming::Call(_)));
            }
            bus.close().await;
            for _ in 0..200 {
                assert_eq!(caller.outcome().1, Status::UnknownError);
            }
        });
    }
}

#[test]
fn next_may_be_dropped_at_any_point() {
    let place = place();
    let _broker = Tested::start(&place.socket(), None);
    run(async {
        let mut bus = Bus::new(place.socket(), OBJECT);
        up(&mut bus).await;
        let path = place.socket();
        let caller = std::thread::spawn(move || {
            for number in 0..50 {
                let arguments = json!({ "text": "x".repeat(20_000), "number": number });
                assert_eq!(call(&path, "echo", arguments.clone()).unwrap(), arguments);
            }
        });
        let mut tick = 0_u64;
        while !caller.is_finished() {
            tick += 1;
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_micros(tick * 37 % 500)) => {}
                incoming = bus.next() => match incoming {
                    Incoming::Call(call) => answer(&mut bus, &call),
                    other => panic!("{other:?}"),
                }
            }
        }
        caller.join().unwrap();
    });
}

#[test]
fn a_user_without_a_grant_is_refused_and_one_without_a_name_is_not_let_in() {
    served(|path| {
        let id = Raw::connect(path).lookup(OBJECT.name);
        let socket = path.to_owned();
        let nobody = as_user(65534, 65534, move || {
            let mut caller = Raw::connect(&socket);
            caller.write(&invoke(2, id, "whoami", json!({})));
            caller.outcome().1
        });
        assert_eq!(nobody, Status::PermissionDenied);
        let socket = path.to_owned();
        let nameless = as_user(54321, 54321, move || {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.read(&mut [0; 100]).unwrap()
        });
        assert_eq!(nameless, 0);
    });
}

// What no broker does: a peer of our own that plays ubusd.

/// Accepts one connection and takes it as far as the object's id.
async fn accepted(listener: &tokio::net::UnixListener, bus: &mut Bus) -> Raw {
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 4]).unwrap();
        stream
    };
    let stream = tokio::select! {
        stream = accept => stream,
        incoming = bus.next() => panic!("{incoming:?}"),
    };
    // The greeting has to be read, and the object to be offered.
    let _ = tokio::time::timeout(Duration::from_millis(100), bus.next()).await;
    let mut raw = Raw {
        stream,
        decoder: Decoder::default(),
        id: 0x1234,
        frames: Default::default(),
    };
    let request = raw.read();
    assert_eq!(request.header.kind, Type::AddObject);
    let mut data = lanward::blobmsg::Writer::default();
    data.attribute(3, &OWN_ID.to_be_bytes()).unwrap();
    data.attribute(5, &77_777_u32.to_be_bytes()).unwrap();
    raw.write(&plain(Type::Data, request.header.sequence, 0, data.finish()));
    raw.write(
        &Builder::new(Type::Status, request.header.sequence, 0)
            .status(Status::Ok)
            .finish()
            .unwrap(),
    );
    up(bus).await;
    raw
}

const OWN_ID: u32 = 0x5555_5555;

fn plain(kind: Type, sequence: u16, peer: u32, body: Vec<u8>) -> Vec<u8> {
    Message {
        header: lanward::system::ubus::frame::Header { kind, sequence, peer },
        body,
    }
    .encode()
    .unwrap()
}

fn listener(place: &Scratch) -> tokio::net::UnixListener {
    let listener = UnixListener::bind(place.socket()).unwrap();
    listener.set_nonblocking(true).unwrap();
    tokio::net::UnixListener::from_std(listener).unwrap()
}

#[test]
fn answers_are_told_from_calls_and_from_answers_to_others() {
    run(async {
        let place = place();
        let listener = listener(&place);
        let mut bus = Bus::new(place.socket(), OBJECT);
        let mut ubusd = accepted(&listener, &mut bus).await;
        let ticket = bus.call("else.where", "ask", Map::new());
        let _ = tokio::time::timeout(Duration::from_millis(50), bus.next()).await;
        let lookup = ubusd.read();
        let number = lookup.header.sequence;
        // A call with the same number as our request, an answer to another peer, and one to another number.
        ubusd.write(&invoke(number, OWN_ID, "whoami", json!({})));
        ubusd.write(
            &Builder::new(Type::Status, number, 99)
                .status(Status::NotFound)
                .finish()
                .unwrap(),
        );
        ubusd.write(
            &Builder::new(Type::Status, number + 1, 0)
                .status(Status::NotFound)
                .finish()
                .unwrap(),
        );
        match next(&mut bus).await {
            Incoming::Call(call) => answer(&mut bus, &call),
            other => panic!("{other:?}"),
        }
        assert!(tokio::time::timeout(Duration::from_millis(100), bus.next())
            .await
            .is_err());
        ubusd.write(
            &Builder::new(Type::Data, number, 0)
                .path("else.where")
                .object(0x6666_6666)
                .finish()
                .unwrap(),
        );
        ubusd.write(
            &Builder::new(Type::Status, number, 0)
                .status(Status::Ok)
                .finish()
                .unwrap(),
        );
        let _ = tokio::time::timeout(Duration::from_millis(50), bus.next()).await;
        let question = loop {
            let message = ubusd.read();
            if message.header.kind == Type::Invoke {
                break message;
            }
        };
        assert_eq!(question.header.peer, 0x6666_6666);
        ubusd.write(
            &Builder::new(Type::Status, question.header.sequence, 0x6666_6666)
                .status(Status::Ok)
                .finish()
                .unwrap(),
        );
        match next(&mut bus).await {
            Incoming::Answer { ticket: of, result } => assert_eq!((of, result.unwrap()), (ticket, Value::Null)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn broken_frames_close_the_connection_and_it_is_made_anew() {
    run(async {
        let place = place();
        let listener = listener(&place);
        let mut bus = Bus::new(place.socket(), OBJECT);
        let mut ubusd = accepted(&listener, &mut bus).await;
        ubusd.write(&[0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3]);
        assert!(matches!(next(&mut bus).await, Incoming::Down(_)));
        let mut ubusd = accepted(&listener, &mut bus).await;
        ubusd.write(&[1, 2, 3]);
        drop(ubusd);
        assert!(matches!(next(&mut bus).await, Incoming::Down(_)));
        accepted(&listener, &mut bus).await;
    });
}

#[test]
fn bytes_one_by_one_and_an_oversize_message_between_calls() {
    run(async {
        let place = place();
        let listener = listener(&place);
        let mut bus = Bus::new(place.socket(), OBJECT);
        let mut ubusd = accepted(&listener, &mut bus).await;
        for byte in invoke(1, OWN_ID, "whoami", json!({})) {
            ubusd.write(&[byte]);
            tokio::select! {
                biased;
                incoming = bus.next() => match incoming {
                    Incoming::Call(call) => answer(&mut bus, &call),
                    other => panic!("{other:?}"),
                },
                () = tokio::time::sleep(Duration::from_micros(200)) => {}
            }
        }
        let writer = std::thread::spawn(move || {
            let body = MAX_RECEIVED + 400_000;
            let length = u32::try_from(body + 4).unwrap().to_be_bytes();
            ubusd.write(&[&[0, 5, 0, 2, 0, 0, 0, 9], &length[..]].concat());
            ubusd.write(&invoke(3, OWN_ID, "whoami", json!({})).repeat(body / 12 + 1)[..body]);
            ubusd.write(&invoke(4, OWN_ID, "echo", json!({ "number": 4 })));
            let mut outcomes = Vec::new();
            for _ in 0..3 {
                outcomes.push(ubusd.outcome());
            }
            (outcomes, ubusd)
        });
        let mut calls = 0;
        while !writer.is_finished() {
            tokio::select! {
                incoming = bus.next() => match incoming {
                    Incoming::Call(call) => {
                        calls += 1;
                        answer(&mut bus, &call);
                    }
                    other => panic!("{other:?}"),
                },
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        let (outcomes, _ubusd) = writer.join().unwrap();
        let outcomes: Vec<(u16, Status)> = outcomes
            .into_iter()
            .map(|(sequence, status, _)| (sequence, status))
            .collect();
        assert_eq!(outcomes, [(1, Status::Ok), (2, Status::NoMemory), (4, Status::Ok)]);
        assert!(calls <= 2);
    });
}

#[test]
fn a_peer_that_does_not_read_is_read_all_the_same_and_given_up_at_last() {
    run(async {
        let place = place();
        let listener = listener(&place);
        let mut bus = Bus::new(place.socket(), OBJECT);
        let mut ubusd = accepted(&listener, &mut bus).await;
        let text = "x".repeat(60_000);
        let mut served = 0;
        let reason = loop {
            ubusd.write(&invoke(served, OWN_ID, "echo", json!({ "text": text })));
            match next(&mut bus).await {
                Incoming::Call(call) => answer(&mut bus, &call),
                Incoming::Down(reason) => break reason,
                other => panic!("{other:?}"),
            }
            served += 1;
            assert!(served < 1000, "no bound");
        };
        assert!(served > 20, "given up after {served}");
        assert!(reason.contains("does not take"), "{reason}");
        accepted(&listener, &mut bus).await;
    });
}

#[test]
fn descriptors_do_not_pile_up() {
    use nix::sys::socket::{sendmsg, ControlMessage, MsgFlags};
    use std::os::fd::AsRawFd;
    run(async {
        let place = place();
        let listener = listener(&place);
        let mut bus = Bus::new(place.socket(), OBJECT);
        let ubusd = accepted(&listener, &mut bus).await;
        let null = std::fs::File::open("/dev/null").unwrap();
        let ours = || {
            let entries = std::fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
            entries.filter(|target| target == Path::new("/dev/null")).count()
        };
        let before = ours();
        for sequence in 0..100 {
            let bytes = invoke(sequence, OWN_ID, "whoami", json!({}));
            let descriptors = [null.as_raw_fd()];
            let control = [ControlMessage::ScmRights(&descriptors)];
            let slices = [std::io::IoSlice::new(&bytes)];
            sendmsg::<()>(ubusd.stream.as_raw_fd(), &slices, &control, MsgFlags::empty(), None).unwrap();
            match next(&mut bus).await {
                Incoming::Call(call) => answer(&mut bus, &call),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ours(), before);
    });
}

#[test]
fn the_real_tool_understands_us() {
    let Some(tool) = std::env::var_os("LANWARD_UBUS") else {
        report_line::not_asked("the real ubus tool", "LANWARD_UBUS does not name it");
        return;
    };
    served(move |path| {
        let run = |arguments: &[&str]| {
            let output = std::process::Command::new(&tool)
                .arg("-s")
                .arg(path)
                .args(arguments)
                .output()
                .unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (status, text) = run(&["call", OBJECT.name, "echo", r#"{"number":7,"list":[true]}"#]);
        assert_eq!(status, Some(0));
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({ "number": 7, "list": [true] })
        );
        assert_eq!(run(&["call", OBJECT.name, "nosuch"]).0, Some(253));
        let (status, text) = run(&["-v", "list", OBJECT.name]);
        assert_eq!(status, Some(0));
        assert!(
            text.contains(
                r#""echo":{"flag":"Boolean","list":"Array","number":"Integer","table":"Table","text":"String"}"#
            ),
            "{text}"
        );
    });
}
