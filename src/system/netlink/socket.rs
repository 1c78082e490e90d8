//! A socket on which the kernel is asked, one request at a time, and answers within the call.

use netlink_sys::SocketAddr;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;

/// How long the kernel may take for one answer. It answers within the call; this is for a kernel in trouble.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The kernel makes a dump's parts no larger than this, if it is read with so much room.
const PART: usize = 32 * 1024;

pub struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
    /// Always as long as a part may be: nothing of an earlier, longer one is left behind where it could not be wiped.
    buffer: Vec<u8>,
    received: usize,
}

impl Socket {
    /// `protocol` is one of `NETLINK_*`.
    pub fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(protocol)?;
        socket.bind_auto()?;
        let seconds = i64::try_from(PATIENCE.as_secs()).unwrap_or(5);
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(seconds))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; PART],
            received: 0,
        })
    }

    /// As many sequence numbers as there are requests; the first of them.
    pub fn next_sequence(&mut self, requests: usize) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(u32::try_from(requests).unwrap_or(u32::MAX));
        first
    }

    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(request, &SocketAddr::new(0, 0), 0)?;
        if sent == request.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// The next datagram of the kernel, to be had from [`Self::datagram`]. Anybody may send to a netlink socket: only port 0 is the kernel.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for one that is longer than the kernel makes them.
    pub fn receive(&mut self) -> io::Result<()> {
        loop {
            self.received = 0;
            let mut room = self.buffer.as_mut_slice();
            match self.socket.recv_from(&mut room, libc::MSG_TRUNC) {
                Ok((_, from)) if from.port_number() != 0 => {}
                Ok((length, _)) if length > self.buffer.len() => return Err(io::ErrorKind::InvalidData.into()),
                Ok((length, _)) => {
                    self.received = length;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Overwrites what was received: for answers that hold what nobody must find in freed memory.
    pub fn wipe(&mut self) {
        self.received = 0;
        self.buffer.fill(0);
        // Without it the compiler may leave out what nobody reads again.
        std::hint::black_box(&mut self.buffer);
    }

    /// What was received last.
    pub fn datagram(&self) -> &[u8] {
        self.buffer.get(..self.received).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::message;
    use super::*;

    #[test]
    fn what_was_received_is_there_until_it_is_wiped() {
        let mut socket = Socket::open(netlink_sys::protocols::NETLINK_GENERIC).unwrap();
        assert_eq!((socket.next_sequence(2), socket.next_sequence(1)), (1, 3));
        assert!(socket.datagram().is_empty());
        // NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK
        socket.send(&message(1, 5, 3, &[])).unwrap();
        socket.receive().unwrap();
        let acknowledged = socket.datagram();
        assert_eq!(acknowledged.get(8..12), Some(&3_u32.to_ne_bytes()[..]));
        socket.wipe();
        assert!(socket.datagram().is_empty());
        assert!(socket.buffer.len() == PART && socket.buffer.iter().all(|byte| *byte == 0));
    }
}
