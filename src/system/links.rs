//! Devices, addresses, routes and neighbours by rtnetlink (`linux/rtnetlink.h`), and their changes as wake-ups.
//!
//! `rtnetlink`'s own message type drops what it cannot decode (a link of a kind newer than the crate) and logs it as an error, so a dump
//! can succeed with links missing. Its connection therefore carries [`Raw`] messages here, which always decode, and the few fixed fields and
//! attributes that are wanted are read from them: nothing can get lost.

pub mod parse;
mod watch;

pub use watch::Watcher;

use crate::gather::GatherInto;
use crate::network::Links;
use futures_util::StreamExt;
use rtnetlink::packet_core::{
    DecodeError, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
};
use rtnetlink::packet_route::{
    address::AddressHeader, link::LinkHeader, neighbour::NeighbourHeader, route::RouteHeader,
};
use rtnetlink::proto::{new_connection, ConnectionHandle};
use rtnetlink::sys::{protocols::NETLINK_ROUTE, SocketAddr};
use std::fmt;
use std::io;
use std::time::Duration;

/// More routes than a home router has; what is beyond is left out.
const ROUTES: usize = 100_000;
/// Likewise devices, addresses and neighbours.
const ENTRIES: usize = 16_384;
/// A dump during which something changed is asked for again so many times, and then taken as it is: the change wakes us anyway.
const DUMPS: u32 = 4;
/// The kernel answers at once; this is for a kernel in trouble.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the kernel's view could not be read.
#[derive(Debug)]
pub enum Error {
    /// No netlink socket.
    Open(io::Error),
    /// The connection broke.
    Lost(io::Error),
    /// The kernel refused a request.
    Refused(io::Error),
    /// No answer in time.
    Timeout,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "rtnetlink: no socket: {error}"),
            Self::Lost(error) => write!(f, "rtnetlink: connection lost: {error}"),
            Self::Refused(error) => write!(f, "rtnetlink: refused: {error}"),
            Self::Timeout => f.write_str("rtnetlink: no answer"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) | Self::Lost(error) | Self::Refused(error) => Some(error),
            Self::Timeout => None,
        }
    }
}

/// A connection to rtnetlink.
pub struct Reader {
    handle: ConnectionHandle<Raw>,
    task: Task,
}

impl Reader {
    /// Opens a connection. Needs no right. Only within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        let (connection, handle, _unsolicited) = new_connection::<Raw>(NETLINK_ROUTE).map_err(Error::Open)?;
        Ok(Self {
            handle,
            task: Task(tokio::spawn(connection)),
        })
    }

    /// Reads everything, in one go. A connection that broke earlier is opened anew.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read(&mut self) -> Result<Links, Error> {
        if self.task.0.is_finished() {
            *self = Self::open()?;
        }
        let links = tokio::time::timeout(PATIENCE, read_all(&self.handle))
            .await
            .map_err(|_| Error::Timeout)??;
        // A dump that ends because the connection died looks like one that is complete.
        if self.task.0.is_finished() {
            return Err(Error::Lost(io::ErrorKind::ConnectionAborted.into()));
        }
        Ok(links)
    }
}

async fn read_all(handle: &ConnectionHandle<Raw>) -> Result<Links, Error> {
    let devices = dump(
        handle,
        Raw::request(libc::RTM_GETLINK, &LinkHeader::default()),
        ENTRIES,
        parse::device,
    );
    let devices = devices.await?;
    let addresses = dump(
        handle,
        Raw::request(libc::RTM_GETADDR, &AddressHeader::default()),
        ENTRIES,
        parse::address,
    );
    let addresses = addresses.await?;
    let routes = dump(
        handle,
        Raw::request(libc::RTM_GETROUTE, &RouteHeader::default()),
        ROUTES,
        parse::routes,
    )
    .await?;
    let neighbours = dump(
        handle,
        Raw::request(libc::RTM_GETNEIGH, &NeighbourHeader::default()),
        ENTRIES,
        parse::neighbour,
    );
    let neighbours = neighbours.await?;
    let mut links = Links {
        devices: devices.into_iter().collect(),
        addresses,
        routes,
        neighbours,
    };
    links.addresses.sort_unstable();
    links.addresses.dedup();
    links.routes.sort_unstable();
    links.routes.dedup();
    links.neighbours.sort_unstable();
    links.neighbours.dedup();
    Ok(links)
}

/// Ends the connection with the reader.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What `parse` makes of each message of a dump, `most` of it.
async fn dump<T, I: IntoIterator<Item = T>>(
    handle: &ConnectionHandle<Raw>,
    request: Raw,
    most: usize,
    parse: fn(u16, &[u8]) -> I,
) -> Result<Vec<T>, Error> {
    let mut found = Vec::new();
    for _ in 0..DUMPS {
        found.clear();
        let mut is_consistent = true;
        let mut message = NetlinkMessage::from(request.clone());
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let answers = handle.request(message, SocketAddr::new(0, 0));
        let mut answers = answers.map_err(|_| Error::Lost(io::ErrorKind::NotConnected.into()))?;
        while let Some(answer) = answers.next().await {
            is_consistent &= answer.header.flags & NLM_F_DUMP_INTR == 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(raw) => {
                    let room = most.saturating_sub(found.len());
                    found.gather(parse(raw.kind, &raw.payload).into_iter().take(room));
                }
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(Error::Refused(error.to_io())),
                NetlinkPayload::Overrun(_) => is_consistent = false,
                _ => {}
            }
        }
        if is_consistent {
            break;
        }
    }
    Ok(found)
}

/// A message as it came.
#[derive(Debug, Clone)]
struct Raw {
    kind: u16,
    payload: Vec<u8>,
}

impl Raw {
    /// A request for everything of a kind: its fixed header alone, since `RouteNetlinkMessage` can encode every attribute of every kind.
    fn request(kind: u16, header: &impl Emitable) -> Self {
        let mut payload = vec![0; header.buffer_len()];
        header.emit(&mut payload);
        Self { kind, payload }
    }
}

impl NetlinkDeserializable for Raw {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: header.message_type,
            payload: payload.to_vec(),
        })
    }
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.payload.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.payload);
    }
}

impl From<Raw> for NetlinkPayload<Raw> {
    fn from(raw: Raw) -> Self {
        Self::InnerMessage(raw)
    }
}
