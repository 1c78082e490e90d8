//! The daemon's connection: sockets and timers around what [`Session`] says.
//!
//! Descriptors that come with a message need no care: the kernel closes those that a plain `read` does not ask for, and they never
//! appear in our table.

use super::frame::Decoder;
use super::session::Session;
use super::{Call, CallError, CallId, Object, Status, Ticket};
use nix::sys::socket::{connect, socket, AddressFamily, SockFlag, SockType, UnixAddr};
use serde_json::{Map, Value};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{sleep_until, timeout, Instant};

/// How long a call of ours may take, look-up included.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before connecting again, as libubus does it.
const RETRY: Duration = Duration::from_secs(1);
/// How long leaving may take.
const FAREWELL: Duration = Duration::from_secs(1);
const READ: usize = 8192;

/// What the bus has for us.
#[derive(Debug)]
pub enum Incoming {
    /// The object is on the bus, from now on calls come and go.
    Up,
    /// Why it is not, or no longer. Said once for every reason, however often connecting fails for it. Nobody is subscribed any more; open
    /// calls need no answer.
    Down(String),
    /// Somebody calls us. Wants one [`Bus::answer`].
    Call(Call),
    /// What became of a call of ours. `Null`: done, with nothing to say.
    Answer {
        /// What [`Bus::call`] returned.
        ticket: Ticket,
        /// The reply's fields as an object.
        result: Result<Value, CallError>,
    },
    /// Whether anybody is subscribed to our object.
    Subscribers(bool),
    /// A subscription that [`Bus::subscribe`] asked for stands, for the first time or again: what went before it was not heard.
    Subscribed {
        /// The object's path.
        path: String,
    },
    /// An object that we are subscribed to has news.
    Notification {
        /// The object's path.
        path: String,
        /// What happened.
        name: String,
        /// And how.
        data: Map<String, Value>,
    },
    /// An event that [`Bus::listen`] asked for.
    Event {
        /// Its name.
        name: String,
        /// What came with it.
        data: Map<String, Value>,
    },
    /// ubusd did not let us listen or subscribe. It is tried again with the next connection, or when the object comes.
    Refused {
        /// The pattern, or the object's path.
        what: String,
        /// Why not.
        status: Status,
    },
}

/// The daemon's connection to the bus, with one object on it.
///
/// Everything but [`Bus::next`] and [`Bus::close`] returns at once; what it has to say is written as the socket takes it, at
/// the latest within the next [`Bus::next`]. If ubusd does not read for so long that two megabytes pile up, the connection is closed and made anew.
#[derive(Debug)]
pub struct Bus {
    path: PathBuf,
    session: Session,
    link: Link,
    /// The last [`Incoming::Down`].
    said: Option<String>,
}

#[derive(Debug)]
enum Link {
    Down { retry: Instant },
    Up { stream: UnixStream, decoder: Decoder },
}

impl Bus {
    /// A connection that the first [`Bus::next`] makes, and makes again whenever it is lost.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, object: Object) -> Self {
        let link = Link::Down { retry: Instant::now() };
        Self {
            path: path.into(),
            session: Session::new(object),
            link,
            said: None,
        }
    }

    /// What happens next. Never ends; may be dropped at any point and called again without losing anything.
    pub async fn next(&mut self) -> Incoming {
        loop {
            if let Some(incoming) = self.session.incoming.pop_front() {
                return incoming;
            }
            self.step().await;
        }
    }

    /// Answers a call. An answer to a call of an earlier connection, or a second one, is dropped. One that is too long for the bus becomes
    /// [`Status::UnknownError`]. `Err(Status::Ok)` is success without data.
    pub fn answer(&mut self, id: CallId, result: Result<&Map<String, Value>, Status>) {
        self.session.answer(id, result);
        self.flush();
    }

    /// Tells all subscribers; without any, nothing is sent.
    pub fn notify(&mut self, name: &str, data: &Map<String, Value>) {
        self.session.notify(name, data);
        self.flush();
    }

    /// Calls another object's method (or our own): its path is looked up each time, as ids change. The answer comes as [`Incoming::Answer`], within [`TIMEOUT`].
    #[must_use]
    pub fn call(&mut self, path: &str, method: &str, arguments: Map<String, Value>) -> Ticket {
        self.call_within(path, method, arguments, TIMEOUT)
    }

    /// The same with another time limit.
    #[must_use]
    pub fn call_within(&mut self, path: &str, method: &str, arguments: Map<String, Value>, limit: Duration) -> Ticket {
        let ticket = self.session.call(path, method, arguments, Instant::now() + limit);
        self.flush();
        ticket
    }

    /// Subscribes to an object, now, whenever it comes back, and after every reconnection.
    pub fn subscribe(&mut self, path: &str) {
        self.session.subscribe(path, Instant::now());
        self.flush();
    }

    /// Listens for events whose name is `pattern`, or begins with it if it ends with `*`, after every reconnection, too.
    pub fn listen(&mut self, pattern: &str) {
        self.session.listen(pattern, Instant::now());
        self.flush();
    }

    /// Whether the object is on the bus.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.session.is_up()
    }

    /// Leaves the bus: refuses the calls that are not answered, takes the object away and waits, a second at most, until ubusd has read it all.
    pub async fn close(mut self) {
        if !self.is_up() {
            return;
        }
        self.session.leave(Instant::now() + FAREWELL);
        let gone = async {
            while matches!(self.link, Link::Up { .. }) {
                self.step().await;
            }
        };
        // Too late is as good as gone: there is nothing left to do about it.
        let _ = timeout(FAREWELL, gone).await;
    }

    async fn step(&mut self) {
        if let Some(reason) = self.session.take_fault() {
            return self.lose(reason);
        }
        match &self.link {
            Link::Down { retry } => {
                sleep_until(*retry).await;
                self.connect();
            }
            Link::Up { .. } => self.exchange().await,
        }
    }

    fn connect(&mut self) {
        match open(&self.path) {
            Ok(stream) => {
                self.link = Link::Up {
                    stream,
                    decoder: Decoder::default(),
                };
                self.session.begin(Instant::now());
            }
            Err(error) => self.lose(format!("{}: {error}", self.path.display())),
        }
    }

    /// Waits for the socket or the next deadline, whatever comes first. Holds no bytes while it waits.
    async fn exchange(&mut self) {
        let Link::Up { stream, .. } = &self.link else { return };
        let interest = if self.session.outbox().is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let deadline = self.session.deadline();
        let ready = tokio::select! {
            ready = stream.ready(interest) => ready,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return self.session.expire(Instant::now());
            }
        };
        match ready {
            Ok(ready) if ready.is_readable() || ready.is_read_closed() => self.read(),
            Ok(_) => {}
            Err(error) => return self.lose(error.to_string()),
        }
        self.flush();
    }

    fn read(&mut self) {
        let Link::Up { stream, decoder } = &mut self.link else {
            return;
        };
        let mut buffer = [0; READ];
        let length = match stream.try_read(&mut buffer) {
            Ok(0) => return self.lose("ubusd closed the connection".to_owned()),
            Ok(length) => length,
            Err(error) if is_transient(&error) => return,
            Err(error) => return self.lose(error.to_string()),
        };
        let (mut input, now) = (&buffer[..length], Instant::now());
        loop {
            match decoder.next(&mut input) {
                Ok(Some(frame)) => self.session.receive(frame, now),
                Ok(None) => return,
                Err(error) => return self.lose(format!("ubusd sent {error}")),
            }
        }
    }

    /// Writes what the socket takes.
    fn flush(&mut self) {
        let Link::Up { stream, .. } = &self.link else { return };
        let outbox = self.session.outbox();
        while !outbox.is_empty() {
            match stream.try_write(outbox.as_slices().0) {
                Ok(0) => return,
                Ok(length) => drop(outbox.drain(..length)),
                Err(error) if is_transient(&error) => return,
                // The reader may have something left to read, and will find out itself.
                Err(_) => return outbox.clear(),
            }
        }
        outbox.shrink_to(READ);
    }

    fn lose(&mut self, reason: String) {
        let was_up = self.is_up();
        self.session.end(&reason);
        self.link = Link::Down {
            retry: Instant::now() + RETRY,
        };
        if was_up || self.said.as_ref() != Some(&reason) {
            self.session.incoming.push_back(Incoming::Down(reason.clone()));
        }
        self.said = Some(reason);
    }
}

/// Connects without waiting, so that there is no point at which a half made connection could be dropped: on a Unix socket the kernel says at once
/// whether it worked.
fn open(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    UnixStream::from_std(socket.into())
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
