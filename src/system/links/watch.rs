//! Link and address notifications as wake-ups.

use super::parse;
use super::Error;
use rtnetlink::sys::{protocols::NETLINK_ROUTE, AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Waits for links and addresses to change.
///
/// Routes are not watched: they matter only when flows are to be cut, and are read then; on a router with a routing daemon they change all
/// the time. Notifications that say nothing new are passed over: routers advertise every few seconds, and each time the kernel
/// reports addresses whose lifetime was renewed.
pub struct Watcher {
    /// `None` after it broke, until the time in `retry`.
    socket: Option<TokioSocket>,
    retry: Instant,
    known: Known,
    buffer: Vec<u8>,
}

/// Room for the largest notification: a link with everything it has.
const ROOM: usize = 32 * 1024;
/// Between two attempts at a new socket.
const PAUSE: Duration = Duration::from_secs(1);
/// `IFF_UP | IFF_RUNNING | IFF_LOWER_UP`
const STATE: u32 = 0x1 | 0x40 | 0x1_0000;

impl Watcher {
    /// Begins to listen: what changes from now on wakes. Only within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        let socket = Some(listen().map_err(Error::Open)?);
        Ok(Self {
            socket,
            retry: Instant::now(),
            known: Known::default(),
            buffer: Vec::with_capacity(ROOM),
        })
    }

    /// Waits until there is reason to read again: a change, or notifications that were lost (`ENOBUFS`, a broken socket), after which
    /// anything may have changed. Dropping the future loses nothing.
    pub async fn next(&mut self) {
        loop {
            let Some(socket) = &self.socket else {
                tokio::time::sleep_until(self.retry).await;
                self.retry = Instant::now() + PAUSE;
                self.socket = listen().ok();
                if self.socket.is_some() {
                    return;
                }
                continue;
            };
            self.buffer.clear();
            self.buffer.reserve(ROOM);
            match socket.recv_from(&mut self.buffer).await {
                // Anybody may send to a netlink socket: only port 0 is the kernel.
                Ok(sender) if sender.port_number() != 0 => {}
                Ok(_) if self.known.takes(&self.buffer) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.known = Known::default();
                    if error.raw_os_error() == Some(libc::ENOBUFS) {
                        return;
                    }
                    self.socket = None;
                    self.retry = Instant::now() + PAUSE;
                }
            }
        }
    }
}

fn listen() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
    socket.socket_mut().bind(&SocketAddr::new(0, groups.unsigned_abs()))?;
    Ok(socket)
}

/// What notifications have said so far, to tell news from repetitions.
#[derive(Debug, Default)]
struct Known {
    /// Index, state and name.
    links: Vec<(u32, u32, String)>,
    /// The device's index, the address and the length of its prefix.
    addresses: Vec<(u32, IpAddr, u8)>,
}

impl Known {
    /// More than this is not remembered, and all of it is news again.
    const MOST: usize = 4096;

    /// Takes a datagram in; whether it holds anything new. What does not parse is new.
    fn takes(&mut self, datagram: &[u8]) -> bool {
        let mut is_news = false;
        for message in crate::system::netlink::Messages::new(datagram) {
            is_news |= message.is_none_or(|message| self.takes_message(message.kind, message.payload));
        }
        if self.links.len() + self.addresses.len() > Self::MOST {
            *self = Self::default();
        }
        is_news
    }

    fn takes_message(&mut self, kind: u16, payload: &[u8]) -> bool {
        match kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK if payload.first() == Some(&parse::AF_BRIDGE) => false,
            libc::RTM_NEWLINK => match parse::link(payload) {
                Some((index, flags, name)) => {
                    let link = (index, flags & STATE, name);
                    let is_news = !self.links.contains(&link);
                    if is_news {
                        self.links.retain(|(known, ..)| *known != index);
                        self.links.push(link);
                    }
                    is_news
                }
                None => true,
            },
            libc::RTM_DELLINK => {
                if let Some((index, ..)) = parse::link(payload) {
                    self.links.retain(|(known, ..)| *known != index);
                    self.addresses.retain(|(device, ..)| *device != index);
                }
                true
            }
            libc::RTM_NEWADDR => match parse::any_address(payload) {
                Some((index, subnet, own)) => {
                    let address = (index, own, subnet.prefix);
                    let is_news = !self.addresses.contains(&address);
                    if is_news {
                        self.addresses.push(address);
                    }
                    is_news
                }
                None => true,
            },
            libc::RTM_DELADDR => {
                if let Some((index, subnet, own)) = parse::any_address(payload) {
                    self.addresses.retain(|known| *known != (index, own, subnet.prefix));
                }
                true
            }
            _ => false,
        }
    }
}
