//! Servers that are sockets of the router, and what they show of the segments that arrive.

use super::{wan, SERVICES};
use crate::house::FAMILIES;
use crate::namespace::Namespace;
use crate::segments::{flag, Segment};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// The listeners, and the connections they have accepted by the client's address and the service's port.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    listeners: Vec<TcpListener>,
    streams: BTreeMap<(SocketAddr, u16), TcpStream>,
}

impl Sockets {
    pub(super) fn listen(namespace: &Namespace) -> Self {
        let mut sockets = Self::default();
        for (service, family) in SERVICES
            .iter()
            .flat_map(|service| FAMILIES.map(|family| (service, family)))
        {
            let listener = namespace.tcp_listener(SocketAddr::new(wan(family), service.port()));
            listener.set_nonblocking(true).expect("it is a socket");
            sockets.listeners.push(listener);
        }
        sockets
    }

    /// Whether a segment has arrived, as far as a socket shows it; data is echoed, and a FIN answered by closing.
    pub(super) fn heard(&mut self, segment: &Segment) -> Option<bool> {
        let mut opened = false;
        for listener in &self.listeners {
            while let Ok((stream, from)) = listener.accept() {
                opened |= from == segment.from;
                stream.set_nonblocking(true).expect("it is a socket");
                let port = listener.local_addr().expect("it is bound").port();
                self.streams.insert((from, port), stream);
            }
        }
        let key = (segment.from, segment.to.port());
        let stream = self.streams.get_mut(&key);
        let mut bytes = [0; 256];
        let read = stream.map(|stream| (stream.read(&mut bytes), stream));
        match read {
            Some((Ok(0), _)) => {
                self.streams.remove(&key);
                Some(segment.is(flag::FIN))
            }
            Some((Ok(length), stream)) => {
                stream.write_all(&bytes[..length]).expect("there is room");
                Some(bytes[..length] == segment.payload)
            }
            Some((Err(error), _)) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.streams.remove(&key);
                Some(segment.is(flag::RST))
            }
            _ if opened => Some(true),
            // An acknowledgement shows nowhere, and neither does a RST of what was never accepted.
            Some(_) => (!segment.is_empty()).then_some(false),
            None => None,
        }
    }

    pub(super) fn speak(&mut self, client: SocketAddr, port: u16, flags: u8, payload: &[u8]) {
        let Some(stream) = self.streams.get_mut(&(client, port)) else {
            return;
        };
        if flags == flag::FIN {
            let _ = stream.shutdown(Shutdown::Write);
        } else {
            stream.write_all(payload).expect("there is room");
        }
    }
}
