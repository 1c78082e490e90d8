//! Notifications: that somebody changed the ruleset.

use super::Error;
use crate::nft::netlink::{self, kind, Received};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket, TokioSocket};
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;

/// `NFNLGRP_NFTABLES`
const GROUP: u32 = 7;
/// `NFT_MSG_NEWGEN` of `NFNL_SUBSYS_NFTABLES`
const NEWGEN: u16 = 10 << 8 | kind::NEWGEN as u16;
/// A notification of a generation is below 100 bytes.
const PACKET: usize = 4096;

/// Somebody's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One transaction, whatever it changed in whatever table.
    Generation {
        /// The netlink port that it came from; [`super::Nftables::port_id`] tells our own.
        port_id: u32,
        /// The name of the process (`comm`).
        process: String,
    },
    /// Notifications were lost: anything may have changed.
    Lost,
}

/// Tells when the ruleset was changed, by whomever.
///
/// The kernel sends every single change to the whole group: 200 000 notifications when somebody loads a set of that size. A filter on
/// the socket lets only the one through that ends each transaction.
pub struct Monitor {
    socket: TokioSocket,
    packet: Vec<u8>,
}

impl Monitor {
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn open() -> Result<Self, Error> {
        let failed = |doing| move |source| Error::Io(doing, source);
        let mut listener = TokioSocket::new(NETLINK_NETFILTER).map_err(failed("open a netlink socket"))?;
        let socket = listener.socket_mut();
        socket.bind_auto().map_err(failed("bind a netlink socket"))?;
        attach_filter(socket).map_err(failed("set a filter on a netlink socket"))?;
        socket.add_membership(GROUP).map_err(failed("listen to nf_tables"))?;
        Ok(Monitor {
            socket: listener,
            packet: Vec::with_capacity(PACKET),
        })
    }

    /// The next change. Cancel safe: nothing is received before it is given back. Ends never; should the socket itself fail, it says [`Change::Lost`]
    /// at most once a second.
    pub async fn next(&mut self) -> Change {
        loop {
            match self.receive().await {
                Ok(Some(change)) => return change,
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Change::Lost,
                Err(error) => {
                    log::warn!("nftables: cannot receive notifications: {error}");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    return Change::Lost;
                }
            }
        }
    }

    async fn receive(&mut self) -> io::Result<Option<Change>> {
        self.packet.clear();
        poll_fn(|context| self.socket.poll_recv(context, &mut self.packet)).await?;
        Ok(netlink::messages(&self.packet).find_map(|received| change(&received)))
    }
}

fn change(received: &Received<'_>) -> Option<Change> {
    let generation = netlink::generation(received)?;
    match received {
        Received::Message { port, .. } => Some(Change::Generation {
            port_id: *port,
            process: generation.process,
        }),
        Received::End { .. } => None,
    }
}

/// The message type is in the machine's byte order, and the filter's loads are in network order.
const fn as_loaded(kind: u16) -> u32 {
    u16::from_be_bytes(kind.to_ne_bytes()) as u32
}

/// Classic BPF: let a packet pass if its first message is `NFT_MSG_NEWGEN`, which the kernel sends in a packet of its own.
#[allow(clippy::cast_possible_truncation)] // operation codes are below 0x100
fn filter() -> [libc::sock_filter; 4] {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    [
        // Half a word at offset 4: nlmsghdr.nlmsg_type
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, 4),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, as_loaded(NEWGEN)),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

#[allow(unsafe_code, clippy::cast_possible_truncation)] // lengths of two small structures
fn attach_filter(socket: &netlink_sys::Socket) -> io::Result<()> {
    let mut steps = filter();
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program and its steps live until the call returns, the kernel copies them; the length is the program's own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            std::mem::size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
