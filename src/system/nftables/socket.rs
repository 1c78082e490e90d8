//! The netlink socket: requests and their answers.

use super::Error;
use crate::nft::netlink::{self, Message, Received};
use netlink_packet_core::NLM_F_DUMP_INTR;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;

/// A dump's messages come in packets of at most 32 KiB (`NLMSG_GOODSIZE` and `netlink_dump`); a refusal is small, as it does not quote the request.
const PACKET: usize = 64 * 1024;
/// Room for the refusals of a large transaction, one for each message.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// The kernel's answers are there before `send` returns; only a broken kernel lets us wait.
const TIMEOUT_SECONDS: i64 = 10;
/// What `send` needs beyond the batch itself.
const SEND_MARGIN: usize = 4096;

#[derive(Debug)]
pub(super) struct Socket {
    socket: netlink_sys::Socket,
    port: u32,
    sequence: u32,
    send_buffer: usize,
    packet: Vec<u8>,
}

impl Socket {
    pub fn open() -> Result<Self, Error> {
        let failed = |doing| move |source| Error::Io(doing, source);
        let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER).map_err(failed("open a netlink socket"))?;
        let port = socket
            .bind_auto()
            .map_err(failed("bind a netlink socket"))?
            .port_number();
        socket
            .set_ext_ack(true)
            .map_err(failed("ask for the kernel's messages"))?;
        socket.set_cap_ack(true).map_err(failed("ask for short answers"))?;
        let timeout = TimeVal::seconds(TIMEOUT_SECONDS);
        setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)
            .map_err(io::Error::from)
            .map_err(failed("set a time limit"))?;
        // Without the privilege the default has to do, and the kernel will refuse more than that anyway.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        Ok(Socket {
            socket,
            port,
            sequence: 0,
            send_buffer: 0,
            packet: Vec::new(),
        })
    }

    pub fn port_id(&self) -> u32 {
        self.port
    }

    /// One transaction: all messages or none.
    pub fn transact(&mut self, messages: &[Message]) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let begin = self.next_sequence();
        let count = u32::try_from(messages.len()).map_err(|_| Error::Malformed)?;
        // The last message and the transaction's end take numbers too.
        self.sequence = begin.wrapping_add(count).wrapping_add(1);
        let batch = netlink::batch(messages, begin);
        self.make_room(batch.len());
        self.send(&batch)?;
        drop(batch);
        let mut refused = None;
        loop {
            let mut is_over = false;
            self.receive(|received| {
                let Received::End {
                    sequence,
                    errno,
                    message,
                    offset,
                    ..
                } = received
                else {
                    return;
                };
                let index = sequence.wrapping_sub(begin);
                if index > count {
                    return;
                }
                // The first refusal counts: later ones often only follow from it.
                if *errno != 0 && refused.is_none() {
                    let about = messages.get((index as usize).wrapping_sub(1));
                    refused = Some(refusal(about, *errno, *message, *offset));
                }
                // A refusal of the begin is one of the transaction as a whole, and nothing need follow.
                is_over |= index == count || (index == 0 && *errno != 0);
            })?;
            if is_over {
                break;
            }
        }
        self.drain();
        refused.map_or(Ok(()), Err)
    }

    /// One request and its answers, up to the acknowledgement or the end of the dump. Whether the answers are of one generation.
    pub fn query(&mut self, message: &Message, mut take: impl FnMut(&Received<'_>)) -> Result<bool, Error> {
        let number = self.next_sequence();
        let mut request = Vec::new();
        message.emit(number, &mut request);
        self.send(&request)?;
        let mut end = None;
        let mut is_steady = true;
        while end.is_none() {
            self.receive(|received| match received {
                Received::Message { sequence, flags, .. } if *sequence == number => {
                    is_steady &= flags & NLM_F_DUMP_INTR == 0;
                    take(received);
                }
                Received::End {
                    sequence,
                    flags,
                    errno,
                    message: text,
                    offset,
                } if *sequence == number && end.is_none() => {
                    is_steady &= flags & NLM_F_DUMP_INTR == 0;
                    end = Some(match errno {
                        0 => Ok(()),
                        _ => Err(refusal(Some(message), *errno, *text, *offset)),
                    });
                }
                _ => {}
            })?;
        }
        match end {
            Some(Err(error)) => Err(error),
            _ => Ok(is_steady),
        }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// A transaction is one packet, and a packet must fit the socket's buffer.
    fn make_room(&mut self, length: usize) {
        let needed = length.saturating_add(SEND_MARGIN);
        if needed > self.send_buffer && setsockopt(&self.socket, sockopt::SndBufForce, &needed).is_ok() {
            self.send_buffer = needed;
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // Leftovers of a request that was given up would only be in the way of this one's answers.
        self.drain();
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Io("send to nf_tables", error)),
            }
        }
    }

    /// One packet's messages; at least one.
    fn receive(&mut self, mut take: impl FnMut(&Received<'_>)) -> Result<(), Error> {
        self.packet.clear();
        self.packet.reserve_exact(PACKET);
        let length = loop {
            match self.socket.recv(&mut self.packet, libc::MSG_TRUNC) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::Timeout),
                Err(error) => return Err(Error::Io("receive from nf_tables", error)),
            }
        };
        if length > self.packet.len() {
            return Err(Error::Malformed);
        }
        let mut is_empty = true;
        for received in netlink::messages(&self.packet) {
            is_empty = false;
            take(&received);
        }
        if is_empty {
            return Err(Error::Malformed);
        }
        Ok(())
    }

    fn drain(&mut self) {
        loop {
            self.packet.clear();
            self.packet.reserve_exact(PACKET);
            match self.socket.recv(&mut self.packet, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error)
                    if error.kind() == io::ErrorKind::Interrupted || error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}

fn refusal(about: Option<&Message>, errno: i32, message: Option<&str>, offset: Option<u32>) -> Error {
    let part = about
        .zip(offset)
        .and_then(|(about, offset)| about.locate(usize::try_from(offset).ok()?));
    Error::Refused {
        errno,
        about: about.map_or_else(|| "the transaction".into(), |about| about.about.clone()),
        part,
        message: message.map(str::to_owned),
    }
}
