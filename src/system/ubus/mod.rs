//! The bus: frames, an object server and a client.
//!
//! [`Bus`] is the daemon's connection: it serves one object, makes calls, listens and subscribes, and comes back by itself when ubusd
//! does. [`Client`] is the command line's: it connects, asks and is gone. Both stand on [`frame`], which knows the messages.
//!
//! From the crate `ubus` come the numbers of the messages' attributes ([`ubus::BlobAttrId`]) and, by way of
//! [`crate::blobmsg`], their headers. Its connection is not used: it blocks, waits for an answer without serving the calls that come in
//! meanwhile (two daemons that call each other would wait for ever), numbers requests without wrapping, reads into 64 KiB on the
//! stack and panics on longer messages, and cannot add an object. Nor are its message types: NOTIFY and MONITOR
//! carry the wrong numbers there.

pub mod client;
pub mod frame;
mod server;
mod session;

pub use client::{call_once, Client, Found};
pub use server::{Bus, Incoming, TIMEOUT};

use serde_json::{Map, Value};
use std::fmt;
use std::io;

/// Where ubusd listens on OpenWrt.
pub const SOCKET: &str = "/var/run/ubus/ubus.sock";

/// How a request ended (`ubusmsg.h` of openwrt/ubus).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Status {
    Ok,
    InvalidCommand,
    InvalidArgument,
    MethodNotFound,
    NotFound,
    NoData,
    PermissionDenied,
    Timeout,
    NotSupported,
    UnknownError,
    ConnectionFailed,
    NoMemory,
    ParseError,
    SystemError,
    /// Some server's own number.
    Other(u32),
}

const STATUSES: [(Status, &str); 14] = [
    (Status::Ok, "Success"),
    (Status::InvalidCommand, "Invalid command"),
    (Status::InvalidArgument, "Invalid argument"),
    (Status::MethodNotFound, "Method not found"),
    (Status::NotFound, "Not found"),
    (Status::NoData, "No response"),
    (Status::PermissionDenied, "Permission denied"),
    (Status::Timeout, "Request timed out"),
    (Status::NotSupported, "Operation not supported"),
    (Status::UnknownError, "Unknown error"),
    (Status::ConnectionFailed, "Connection failed"),
    (Status::NoMemory, "Out of memory"),
    (Status::ParseError, "Parsing message data failed"),
    (Status::SystemError, "System error"),
];

impl Status {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Other(code) => code,
            known => (0..)
                .zip(STATUSES)
                .find(|(_, (status, _))| *status == known)
                .map_or(0, |(code, _)| code),
        }
    }
}

impl From<u32> for Status {
    fn from(code: u32) -> Self {
        let index = usize::try_from(code).unwrap_or(usize::MAX);
        STATUSES.get(index).map_or(Self::Other(code), |(status, _)| *status)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match STATUSES.iter().find(|(status, _)| status == self) {
            Some((_, text)) => f.write_str(text),
            None => write!(f, "status {}", self.code()),
        }
    }
}

/// Why a call brought nothing.
#[derive(Debug)]
pub enum CallError {
    /// Nobody listens on the socket, or the connection broke.
    NoBus(io::Error),
    /// There is no object of that name on the bus, or none that we may see.
    NoObject(String),
    /// ubusd or the object's owner refused.
    Status(Status),
    /// No answer in time.
    Timeout,
    /// An answer that is none.
    Protocol(&'static str),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBus(error) => write!(f, "cannot talk to ubusd: {error}"),
            Self::NoObject(path) => write!(f, "there is no object '{path}' on the bus"),
            Self::Status(status) => write!(f, "refused: {status} (status {})", status.code()),
            Self::Timeout => write!(f, "no answer in time"),
            Self::Protocol(what) => write!(f, "ubusd sent {what}"),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoBus(error) => Some(error),
            _ => None,
        }
    }
}

/// An object as the daemon offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// Its path on the bus.
    pub name: &'static str,
    /// What can be called.
    pub methods: &'static [Method],
}

/// A method with the arguments that it knows. Which of them must be there is the handler's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Method {
    pub name: &'static str,
    pub arguments: &'static [(&'static str, Kind)],
}

/// An argument's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Bool,
    /// Shown as 32 bit in the signature (the `ubus` tool has no name for others); 16 and 64 bit are accepted, too.
    Int,
    String,
    Array,
    Table,
}

impl Kind {
    /// Whether a value that came over the bus is of this kind.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::Int => value.is_i64(),
            Self::String => value.is_string(),
            Self::Array => value.is_array(),
            Self::Table => value.is_object(),
        }
    }

    fn type_number(self) -> i32 {
        match self {
            Self::Array => 1,
            Self::Table => 2,
            Self::String => 3,
            Self::Int => 5,
            Self::Bool => 7,
        }
    }
}

impl Object {
    /// What becomes of a call before any handler sees it: the method must be there and the arguments known and of their kind.
    ///
    /// # Errors
    /// [`Status::MethodNotFound`] and [`Status::InvalidArgument`].
    pub fn check(&self, method: &str, arguments: &Map<String, Value>) -> Result<&'static Method, Status> {
        let method = self
            .methods
            .iter()
            .find(|known| known.name == method)
            .ok_or(Status::MethodNotFound)?;
        let known = |(name, value): (&String, &Value)| {
            method
                .arguments
                .iter()
                .any(|(argument, kind)| argument == name && kind.accepts(value))
        };
        if arguments.iter().all(known) {
            Ok(method)
        } else {
            Err(Status::InvalidArgument)
        }
    }
}

/// A call of one of our object's methods, to be answered exactly once by [`Bus::answer`].
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What the answer must name.
    pub id: CallId,
    /// One of the object's methods.
    pub method: &'static str,
    /// Known arguments of the right kind; the web server's session id is not among them.
    pub arguments: Map<String, Value>,
    /// The caller's user, as ubusd knows it by the socket. `root` for everything that comes from the web.
    pub user: String,
    /// The caller's primary group, likewise.
    pub group: String,
}

/// Which call. Callers' sequence numbers collide, so it takes all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    peer: u32,
    sequence: u16,
    object: u32,
    /// Tells apart calls of different connections, and a caller that uses a number twice.
    serial: u64,
}

#[cfg(test)]
impl CallId {
    /// Some call, for tests that never see a bus.
    pub(crate) fn for_test() -> Self {
        Self {
            peer: 1,
            sequence: 1,
            object: 1,
            serial: 1,
        }
    }
}

/// Which of our own calls an [`Incoming::Answer`] belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OBJECT: Object = Object {
        name: "x",
        methods: &[
            Method {
                name: "plain",
                arguments: &[],
            },
            Method {
                name: "typed",
                arguments: &[("flag", Kind::Bool), ("count", Kind::Int), ("name", Kind::String)],
            },
        ],
    };

    fn check(method: &str, arguments: Value) -> Result<&'static str, Status> {
        let Value::Object(arguments) = arguments else {
            panic!("not an object")
        };
        OBJECT.check(method, &arguments).map(|method| method.name)
    }

    #[test]
    fn statuses_have_the_numbers_of_ubusmsg_h() {
        for (code, expected) in [
            (0, Status::Ok),
            (4, Status::NotFound),
            (7, Status::Timeout),
            (13, Status::SystemError),
        ] {
            assert_eq!(Status::from(code), expected);
            assert_eq!(expected.code(), code);
        }
        assert_eq!(Status::from(77), Status::Other(77));
        assert_eq!(Status::Other(77).code(), 77);
        assert_eq!(Status::Other(77).to_string(), "status 77");
        assert_eq!(Status::NoData.to_string(), "No response");
    }

    #[test]
    fn a_call_is_checked_before_it_is_handled() {
        assert_eq!(check("plain", json!({})), Ok("plain"));
        assert_eq!(check("nosuch", json!({})), Err(Status::MethodNotFound));
        assert_eq!(check("plain", json!({ "extra": 1 })), Err(Status::InvalidArgument));
        assert_eq!(
            check("typed", json!({ "flag": true, "count": 5_000_000_000_i64, "name": "" })),
            Ok("typed")
        );
        assert_eq!(check("typed", json!({ "flag": 1 })), Err(Status::InvalidArgument));
        assert_eq!(check("typed", json!({ "count": 1.0 })), Err(Status::InvalidArgument));
        assert_eq!(check("typed", json!({ "count": true })), Err(Status::InvalidArgument));
        assert_eq!(check("typed", json!({ "name": null })), Err(Status::InvalidArgument));
    }
}
