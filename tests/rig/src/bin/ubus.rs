//! `lanward-ubus`: as much of the `ubus` tool as tests and people without one need, with its output and its exit statuses.

use lanward::blobmsg;
use lanward::system::ubus::frame::{Builder, Message, Type};
use lanward::system::ubus::{CallError, Client, Status, SOCKET};
use lanward_rig::libubox_json;
use serde_json::{Map, Value};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// ubusd's object for events.
const EVENTS: u32 = 1;

const USAGE: &str = "Usage: lanward-ubus [-s SOCKET] [-t SECONDS] [-S] [-v] COMMAND
 - list [PATH]                     List objects
 - call PATH METHOD [MESSAGE]      Call an object method
 - subscribe PATH [PATH...]        Subscribe to object(s) notifications
 - listen [PATTERN...]             Listen for events
 - send TYPE [MESSAGE]             Send an event
 - wait_for OBJECT [OBJECT...]     Wait for multiple objects to appear on ubus";

struct Options {
    socket: String,
    /// `-t`; `None` means what the command does without.
    seconds: Option<u64>,
    simple: bool,
    verbose: bool,
    words: Vec<String>,
}

/// How a command failed.
enum Failure {
    Usage,
    Status(Status),
    /// In a call, which the tool reports in another way.
    Call(Status),
    /// It was said already.
    Other,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Status(status(error))
    }
}

fn status(error: CallError) -> Status {
    match error {
        CallError::Status(status) => status,
        CallError::NoObject(_) => Status::NotFound,
        CallError::Timeout => Status::Timeout,
        CallError::NoBus(_) => Status::ConnectionFailed,
        CallError::Protocol(_) => Status::UnknownError,
    }
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(1);
    };
    let limit = Duration::from_secs(options.seconds.unwrap_or(30));
    let Ok(mut client) = Client::connect(Path::new(&options.socket), limit) else {
        if !options.simple {
            eprintln!("Failed to connect to ubus");
        }
        return ExitCode::from(255);
    };
    match run(&mut client, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, &options),
    }
}

fn options() -> Option<Options> {
    let mut options = Options {
        socket: SOCKET.to_owned(),
        seconds: None,
        simple: false,
        verbose: false,
        words: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-s" => options.socket = arguments.next()?,
            "-t" => options.seconds = Some(arguments.next()?.parse().ok()?),
            "-S" => options.simple = true,
            "-v" => options.verbose = true,
            flag if flag.starts_with('-') => return None,
            _ => {
                options.words.push(argument);
                options.words.extend(arguments.by_ref());
            }
        }
    }
    (!options.words.is_empty()).then_some(options)
}

fn run(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => list(client, "", options),
        ["list", path] => list(client, path, options),
        ["call", path, method] => call(client, path, method, "{}", options),
        ["call", path, method, message] => call(client, path, method, message, options),
        ["subscribe", paths @ ..] if !paths.is_empty() => subscribe(client, paths, options),
        ["listen"] => listen(client, &["*"], options),
        ["listen", patterns @ ..] => listen(client, patterns, options),
        ["send", name] => send(client, name, "{}"),
        ["send", name, message] => send(client, name, message),
        ["wait_for", paths @ ..] if !paths.is_empty() => wait_for(client, paths, options),
        _ => Err(Failure::Usage),
    }
}

fn report(failure: &Failure, options: &Options) -> ExitCode {
    match failure {
        Failure::Usage => {
            eprintln!("{USAGE}");
            ExitCode::from(254)
        }
        Failure::Other => ExitCode::from(255),
        Failure::Call(status) if !options.simple && !std::io::stderr().is_terminal() => {
            eprintln!("Command failed: ubus {} ({status})", options.words.join(" "));
            ExitCode::from(code(*status).wrapping_neg())
        }
        Failure::Status(status) | Failure::Call(status) => {
            if !options.simple {
                eprintln!("Command failed: {status}");
            }
            ExitCode::from(code(*status))
        }
    }
}

fn code(status: Status) -> u8 {
    u8::try_from(status.code()).unwrap_or(u8::MAX)
}

fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // Whoever reads it may have gone.
    let _ = out
        .write_all(bytes)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
}

fn object(text: &str) -> Result<Map<String, Value>, Status> {
    serde_json::from_str(text).map_err(|_| Status::ParseError)
}

fn list(client: &mut Client, pattern: &str, options: &Options) -> Result<(), Failure> {
    let found = client.lookup(pattern)?;
    // An empty answer to a path that exists and may not be seen is not told apart here.
    if found.is_empty() && !pattern.is_empty() {
        return Err(Failure::Status(Status::NotFound));
    }
    for object in found {
        if options.simple || !options.verbose {
            print(object.path.as_bytes());
            continue;
        }
        print(format!("'{}' @{:08x}", object.path, object.id).as_bytes());
        for method in blobmsg::fields(&object.signature).map_while(Result::ok) {
            print(&[b"\t", libubox_json::signature(&method).as_slice()].concat());
        }
    }
    Ok(())
}

fn call(client: &mut Client, path: &str, method: &str, message: &str, options: &Options) -> Result<(), Failure> {
    let arguments = object(message).map_err(Failure::Call)?;
    let id = find(client, path)?;
    let reply = |data: &[u8]| {
        print(&if options.simple {
            libubox_json::object(data)
        } else {
            libubox_json::indented(data)
        });
    };
    client
        .invoke(id, method, &arguments, reply)
        .map_err(|error| Failure::Call(status(error)))
}

fn find(client: &mut Client, path: &str) -> Result<u32, Failure> {
    let found = client.lookup(path)?;
    found
        .first()
        .map(|object| object.id)
        .ok_or(Failure::Status(Status::NotFound))
}

/// A nameless object, for events and notifications.
fn listener(client: &mut Client) -> Result<u32, Failure> {
    let mut id = None;
    let status = client.request(
        0,
        |sequence| Builder::new(Type::AddObject, sequence, 0),
        |message| id = message.parse().object,
    )?;
    id.ok_or(Failure::Status(status))
}

fn register(client: &mut Client, listener: u32, pattern: &str) -> Result<(), CallError> {
    let data = serde_json::json!({ "object": listener.cast_signed(), "pattern": pattern });
    client.invoke(EVENTS, "register", data.as_object().unwrap_or(&Map::new()), |_| ())
}

fn listen(client: &mut Client, patterns: &[&str], options: &Options) -> Result<(), Failure> {
    let listener = listener(client)?;
    for pattern in patterns {
        if let Err(error) = register(client, listener, pattern) {
            return Err(not_registered(pattern, status(error), options));
        }
    }
    follow(client, options)
}

fn subscribe(client: &mut Client, paths: &[&str], options: &Options) -> Result<(), Failure> {
    let own = listener(client)?;
    for path in paths {
        let Ok(target) = find(client, path) else {
            return Err(not_registered(path, Status::NotFound, options));
        };
        let request = |sequence| Builder::new(Type::Subscribe, sequence, 0).object(own).target(target);
        match client.request(0, request, |_| ())? {
            Status::Ok => {}
            status => return Err(not_registered(path, status, options)),
        }
    }
    follow(client, options)
}

fn not_registered(what: &str, status: Status, options: &Options) -> Failure {
    if !options.simple {
        eprintln!("Error while registering for event '{what}': {status}");
    }
    Failure::Other
}

/// Prints what comes, for ever or for as long as `-t` says.
fn follow(client: &mut Client, options: &Options) -> Result<(), Failure> {
    let deadline = options
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        let message = match client.receive(deadline) {
            Ok(message) => message,
            Err(CallError::Timeout | CallError::NoBus(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if message.header.kind == Type::Invoke {
            show(&message);
            acknowledge(client, &message)?;
        }
    }
}

fn show(message: &Message) {
    let attributes = message.parse();
    let name = attributes.method.unwrap_or_default();
    let data = libubox_json::object(attributes.data.unwrap_or_default());
    print(&[b"{ \"", name, b"\": ", data.as_slice(), b" }"].concat());
}

fn acknowledge(client: &mut Client, message: &Message) -> Result<(), Failure> {
    let attributes = message.parse();
    let Some(object) = attributes.object.filter(|_| attributes.no_reply != Some(true)) else {
        return Ok(());
    };
    let reply = Builder::new(Type::Status, message.header.sequence, message.header.peer)
        .status(Status::Ok)
        .object(object);
    if let Ok(bytes) = reply.finish() {
        client.send(&bytes)?;
    }
    Ok(())
}

fn send(client: &mut Client, name: &str, message: &str) -> Result<(), Failure> {
    let data = object(message).map_err(Failure::Status)?;
    let request = Map::from_iter([
        ("id".to_owned(), Value::from(name)),
        ("data".to_owned(), Value::Object(data)),
    ]);
    Ok(client.invoke(EVENTS, "send", &request, |_| ())?)
}

fn wait_for(client: &mut Client, paths: &[&str], options: &Options) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(options.seconds.unwrap_or(30));
    let listener = listener(client)?;
    register(client, listener, "ubus.object.add")?;
    let mut missing: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    for object in client.lookup("")? {
        missing.retain(|path| *path != object.path);
    }
    while !missing.is_empty() {
        let message = client.receive(Some(deadline))?;
        let data = blobmsg::decode(message.parse().data.unwrap_or_default()).unwrap_or_default();
        let added = data.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
        missing.retain(|path| *path != added);
    }
    Ok(())
}
