//! What a cable brings to a device: IP packets, also those to addresses that nobody there has.

use crate::namespace::Namespace;
use crate::segments::Packet;
use nix::net::if_::if_nametoindex;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A device listened to.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
}

impl Tap {
    /// Listens at `device` in a namespace.
    ///
    /// # Errors
    /// The kernel's: no packet sockets here, no such device.
    pub fn open(namespace: &Namespace, device: &str) -> io::Result<Self> {
        namespace.run(|| {
            let all = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be();
            let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: a plain system call; the descriptor is owned by nobody else yet.
            let socket = unsafe {
                match libc::socket(libc::AF_PACKET, kind, 0) {
                    -1 => return Err(io::Error::last_os_error()),
                    fd => OwnedFd::from_raw_fd(fd),
                }
            };
            // SAFETY: all fields of sockaddr_ll are integers, for which zero is a value.
            let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
            address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
            address.sll_protocol = all;
            address.sll_ifindex = i32::try_from(if_nametoindex(device)?).map_err(io::Error::other)?;
            let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
            // SAFETY: the address outlives the call, and its length is given as it is.
            match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
                0 => Ok(Self { socket }),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    /// The next packet that has come in, waited for no longer than this. What is neither TCP, UDP nor ICMP is passed over, and so is what went out.
    ///
    /// # Panics
    /// If the device is gone.
    #[must_use]
    pub fn next(&self, patience: Duration) -> Option<Packet> {
        self.next_bytes(patience).map(|(packet, _)| packet)
    }

    /// As [`next`](Self::next), with the packet's bytes.
    ///
    /// # Panics
    /// As [`next`](Self::next).
    #[must_use]
    pub fn next_bytes(&self, patience: Duration) -> Option<(Packet, Vec<u8>)> {
        let end = Instant::now() + patience;
        loop {
            if let Some(packet) = self.read() {
                return Some(packet);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], left).expect("it is a socket");
        }
    }

    fn read(&self) -> Option<(Packet, Vec<u8>)> {
        let mut packet = [0_u8; 2048];
        loop {
            // SAFETY: all fields of sockaddr_ll are integers, for which zero is a value.
            let mut from: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
            let mut length = libc::socklen_t::try_from(size_of_val(&from)).expect("it is small");
            // SAFETY: both buffers outlive the call, and their lengths are given as they are.
            let read = unsafe {
                let (buffer, address) = (packet.as_mut_ptr().cast(), (&raw mut from).cast());
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    buffer,
                    packet.len(),
                    0,
                    address,
                    &raw mut length,
                )
            };
            let Ok(read) = usize::try_from(read) else {
                match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => return None,
                    error => panic!("reading from a device: {error}"),
                }
            };
            if from.sll_pkttype == libc::PACKET_OUTGOING {
                continue;
            }
            let bytes = &packet[..read.min(2048)];
            if let Some(packet) = Packet::parse(bytes) {
                return Some((packet, bytes.to_vec()));
            }
        }
    }
}
