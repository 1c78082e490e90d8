//! Copies of packets by NFLOG (`linux/netfilter/nfnetlink_log.h`): what a rule with `log group N` saw is told here. A copy holds no packet up:
//! where nobody reads, or not fast enough, the kernel drops copies, and says so once.
//!
//! netlink's own headers are in the machine's byte order; everything in nfnetlink_log's attributes is big endian.

mod parse;

pub use parse::{parse, Copied, Parsed, MOST};

use super::netlink::{Messages, NFGENMSG};
use crate::nft::netlink::{emit, Attribute};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterProtoFamily};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket, AsyncSocketExt, Socket, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// `NFNL_SUBSYS_ULOG`
const SUBSYSTEM: u16 = 4;
/// `NFULNL_MSG_PACKET`; no request, and the kernel says so to whom it lets ask at all.
const MSG_PACKET: u16 = SUBSYSTEM << 8;
/// `NFULNL_MSG_CONFIG`
const MSG_CONFIG: u16 = SUBSYSTEM << 8 | 1;
// enum nfulnl_attr_config
const CFG_CMD: u16 = 1;
const CFG_MODE: u16 = 2;
const CFG_QTHRESH: u16 = 5;
/// `NFULNL_CFG_CMD_BIND`
const CMD_BIND: u8 = 1;
/// `NFULNL_COPY_PACKET`
const COPY_PACKET: u8 = 2;

/// An IPv6 header: with less there are no addresses.
const LEAST_SNAPLEN: u32 = 40;
/// `NFULNL_COPY_RANGE_MAX`: an attribute holds no more.
const MOST_SNAPLEN: u32 = 0xffff - 4;
/// What may wait to be read, in bytes as the kernel counts them; it doubles what is asked for.
const RECEIVE_BUFFER: usize = 128 * 1024;
/// Room beside the payload. The kernel's own buffer for several copies (`NLMSG_GOODSIZE`) is not larger.
const ROOM: usize = 8192;
/// After the socket itself failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Copies, in the order of the packets; at least one and at most [`MOST`].
    Packets(Vec<Copied>),
    /// Copies were lost: they came faster than they were read. Those that were not lost follow.
    Lost,
}

/// Why there are no copies to be had.
#[derive(Debug)]
pub enum Error {
    /// The socket: with what was being done.
    Io(&'static str, io::Error),
    /// The kernel has no NFLOG (module `nfnetlink_log`).
    Missing,
    /// Another program has this group.
    Taken(u16),
    /// Without `CAP_NET_ADMIN` in this network namespace.
    Forbidden,
    /// The kernel refused.
    Refused(io::Error),
    /// The kernel did not answer, or not what netlink promises.
    Malformed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(doing, source) => write!(f, "nflog: cannot {doing}: {source}"),
            Self::Missing => f.write_str("nflog: the kernel module nfnetlink_log is missing"),
            Self::Taken(group) => write!(
                f,
                "nflog: another program has group {group} (its netlink port is in /proc/net/netfilter/nfnetlink_log)"
            ),
            Self::Forbidden => f.write_str("nflog: not without CAP_NET_ADMIN"),
            Self::Refused(source) => write!(f, "nflog: refused: {source}"),
            Self::Malformed => f.write_str("nflog: the kernel's answer is broken"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, source) | Self::Refused(source) => Some(source),
            Self::Missing | Self::Taken(_) | Self::Forbidden | Self::Malformed => None,
        }
    }
}

/// One group's copies. The group is free again when this is dropped.
pub struct Nflog {
    socket: TokioSocket,
    group: u16,
    snaplen: usize,
    buffer: Vec<u8>,
    /// Messages that were no copy of an IP packet.
    skipped: u32,
    /// Not to be read before, after the socket itself failed.
    rest: Option<Instant>,
}

impl Nflog {
    /// Binds the group in this network namespace. Needs `CAP_NET_ADMIN`.
    ///
    /// Each copy holds at most `snaplen` bytes, from the IP header on, and a rule's own `snaplen` may make it less. Below 40 it is taken as 40, so that
    /// there are addresses, and above 65531 as 65531. At most 256 KiB of copies wait in the kernel to be read.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Taken`], [`Error::Forbidden`]; otherwise see [`Error`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn open(group: u16, snaplen: u32) -> Result<Self, Error> {
        let failed = |doing| move |source| Error::Io(doing, source);
        let snaplen = snaplen.clamp(LEAST_SNAPLEN, MOST_SNAPLEN);
        let room = ROOM.saturating_add(usize::try_from(snaplen).unwrap_or(usize::MAX));
        let mut nflog = Self {
            socket: TokioSocket::new(NETLINK_NETFILTER).map_err(no_socket)?,
            group,
            snaplen: room - ROOM,
            buffer: Vec::with_capacity(room),
            skipped: 0,
            rest: None,
        };
        let socket = nflog.socket.socket_mut();
        socket.bind_auto().map_err(failed("bind a netlink socket"))?;
        setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER)
            .map_err(io::Error::from)
            .map_err(failed("bound a netlink socket's buffer"))?;
        let attributes = configuration(snaplen);
        match ask(socket, MSG_CONFIG, group, &attributes, &mut nflog.buffer)? {
            0 => Ok(nflog),
            // The kernel's word both for another's group and for a missing right. What is no request gets it only for the latter.
            libc::EPERM => match ask(socket, MSG_PACKET, group, &[], &mut nflog.buffer)? {
                libc::EPERM => Err(Error::Forbidden),
                _ => Err(Error::Taken(group)),
            },
            errno => Err(refusal(errno, group)),
        }
    }

    /// Waits for copies and gives those of one datagram. Cancel safe: what was received is given back at once. Never ends by an error: messages that are no
    /// copies of IP packets are passed over, and should the socket itself fail, it says [`Heard::Lost`], at most once a second.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(until) = self.rest {
                tokio::time::sleep_until(until).await;
                self.rest = None;
            }
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer).await {
                // Anybody with the right may send to a netlink socket: only port 0 is the kernel.
                Ok(sender) if sender.port_number() != 0 => {}
                Ok(_) => {
                    let parsed = parse(&self.buffer, self.group, self.snaplen);
                    self.count(parsed.skipped);
                    if !parsed.packets.is_empty() {
                        return Heard::Packets(parsed.packets);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Heard::Lost,
                Err(error) => {
                    log::warn!("nflog: cannot receive: {error}");
                    self.rest = Some(Instant::now() + PAUSE);
                    return Heard::Lost;
                }
            }
        }
    }

    /// Says it now and then: whoever makes the packets must not fill the log.
    fn count(&mut self, skipped: u32) {
        let before = self.skipped;
        self.skipped = before.saturating_add(skipped);
        if before.checked_ilog2() != self.skipped.checked_ilog2() {
            log::debug!("nflog: {} messages passed over so far", self.skipped);
        }
    }
}

/// Everything in one request, and each copy to be sent at once: by itself the kernel gathers a hundred, or for a second.
fn configuration(snaplen: u32) -> [Attribute; 3] {
    let [a, b, c, d] = snaplen.to_be_bytes();
    [
        Attribute::bytes(CFG_CMD, vec![CMD_BIND]),
        // struct nfulnl_msg_config_mode, packed
        Attribute::bytes(CFG_MODE, vec![a, b, c, d, COPY_PACKET, 0]),
        Attribute::u32(CFG_QTHRESH, 1),
    ]
}

/// Sends a request to the kernel; the number of its error, 0 for success. It has answered when `send` returns.
fn ask(socket: &Socket, kind: u16, group: u16, attributes: &[Attribute], buffer: &mut Vec<u8>) -> Result<i32, Error> {
    // The kinds differ, and each is asked once.
    let sequence = u32::from(kind);
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, group);
    let mut request = Vec::new();
    emit(
        kind,
        NLM_F_REQUEST | NLM_F_ACK,
        sequence,
        &header,
        attributes,
        &mut request,
    );
    let sent = socket.send_to(&request, &SocketAddr::new(0, 0), 0);
    sent.map_err(|source| Error::Io("send to the kernel", source))?;
    loop {
        buffer.clear();
        match socket.recv_from(buffer, 0) {
            Ok((_, from)) if from.port_number() != 0 => {}
            // The first copies may be there before the answer.
            Ok(_) => {
                if let Some(answer) = answer(buffer, sequence) {
                    return answer;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::Malformed),
            Err(error) => return Err(Error::Io("receive from the kernel", error)),
        }
    }
}

/// The answer to a request, if it is in this datagram.
fn answer(datagram: &[u8], sequence: u32) -> Option<Result<i32, Error>> {
    let mut messages = Messages::new(datagram).flatten();
    let answer =
        messages.find(|message| message.sequence == sequence && i32::from(message.kind) == libc::NLMSG_ERROR)?;
    Some(answer.status().ok_or(Error::Malformed))
}

fn no_socket(error: io::Error) -> Error {
    match error.raw_os_error() {
        // Not even nfnetlink, which every one of its subsystems needs.
        Some(libc::EPROTONOSUPPORT) => Error::Missing,
        _ => Error::Io("open a netlink socket", error),
    }
}

/// nfnetlink answers EINVAL to a subsystem that nobody registered, and our requests are valid otherwise.
fn refusal(errno: i32, group: u16) -> Error {
    match errno {
        libc::EINVAL | libc::EOPNOTSUPP => Error::Missing,
        libc::EBUSY | libc::EEXIST => Error::Taken(group),
        errno => Error::Refused(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::testing::{attribute, message};
    use super::*;

    #[test]
    fn a_request_binds_and_asks_for_single_copies_of_so_many_bytes() {
        let mut request = Vec::new();
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 7477);
        emit(
            MSG_CONFIG,
            NLM_F_REQUEST | NLM_F_ACK,
            7,
            &header,
            &configuration(0x0102),
            &mut request,
        );
        let expected = [
            vec![0, 0, 0x1d, 0x35],
            attribute(1, &[1]),
            attribute(2, &[0, 0, 1, 2, 2, 0]),
            attribute(5, &[0, 0, 0, 1]),
        ];
        assert_eq!(request, message(0x0401, 5, 7, &expected.concat()));
    }

    #[test]
    fn the_answer_is_found_behind_copies() {
        let copy = message(0x0400, 0, 0, &[2, 0, 0x1d, 0x35]);
        let refused = message(2, 0, 7, &(-libc::EBUSY).to_ne_bytes());
        let both = [copy.clone(), refused.clone()].concat();
        assert_eq!(answer(&both, 7).map(Result::unwrap), Some(libc::EBUSY));
        assert!(answer(&both, 8).is_none() && answer(&copy, 0).is_none());
        assert!(matches!(
            answer(&message(2, 0, 7, &[0; 2]), 7),
            Some(Err(Error::Malformed))
        ));
    }

    #[test]
    fn errors_name_what_is_missing_and_who_is_in_the_way() {
        let says = |error: Error| error.to_string();
        assert!(says(refusal(libc::EINVAL, 1)).contains("nfnetlink_log"));
        assert!(says(no_socket(io::Error::from_raw_os_error(libc::EPROTONOSUPPORT))).contains("nfnetlink_log"));
        assert!(says(refusal(libc::EBUSY, 7477)).contains("another program has group 7477"));
        assert!(says(refusal(libc::ENOMEM, 1)).contains("refused"));
        assert!(says(no_socket(io::Error::from_raw_os_error(libc::EMFILE))).contains("open a netlink socket"));
    }
}
