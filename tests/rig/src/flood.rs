//! Many packets: as fast as one processor sends them or at a steady pace, and what of them arrives.

use crate::count::Count;
use crate::house::{Family, Host};
use crate::namespace::Namespace;
use crate::probe::Way;
use crate::segments::Segment;
use nix::net::if_::if_nametoindex;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as it goes.
    Full,
    /// Packets per second.
    Paced(u32),
}

/// A sender that sends until stopped or dropped.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    began: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    end: AtomicBool,
    sent: Count,
}

/// Packets per system call.
const BATCH: u32 = 32;

impl Way<'_> {
    /// Floods `port` with small packets of one flow.
    ///
    /// # Panics
    /// If no socket is to be had.
    #[must_use]
    pub fn flood(&self, port: u16, rate: Rate) -> Flood {
        let socket = self.sender(self.chosen_port());
        socket.connect(self.target(port)).expect("there is a route");
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || of_thread.pump(&socket, rate));
        Flood {
            shared,
            thread: Some(thread),
            began: Instant::now(),
        }
    }
}

impl Shared {
    fn pump(&self, socket: &UdpSocket, rate: Rate) {
        let began = Instant::now();
        while !self.end.load(Ordering::Relaxed) {
            if let Rate::Paced(per_second) = rate {
                let due = began.elapsed().as_micros() * u128::from(per_second) / 1_000_000;
                if u128::from(self.sent.get()) >= due {
                    std::thread::sleep(Duration::from_micros(50));
                    continue;
                }
            }
            self.sent.add(send_batch(socket));
        }
    }
}

/// How many went out. None, where the socket had an error to report first (a refusal from far away): the next batch goes.
fn send_batch(socket: &UdpSocket) -> u64 {
    let payload = [0x6c_u8; 18];
    let mut iov = libc::iovec {
        iov_base: payload.as_ptr().cast_mut().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: all fields of mmsghdr are integers and pointers, for which zero is a value.
    let mut messages: [libc::mmsghdr; BATCH as usize] = unsafe { MaybeUninit::zeroed().assume_init() };
    for message in &mut messages {
        message.msg_hdr.msg_iov = &raw mut iov;
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: `messages`, the iovec and the payload outlive the call, and their lengths are given as they are.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), BATCH, 0) };
    u64::try_from(sent).unwrap_or(0)
}

impl Flood {
    /// Packets sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.get()
    }

    /// Ends it, and says how many packets were sent in what time.
    #[must_use]
    pub fn stop(mut self) -> (u64, Duration) {
        self.end();
        (self.sent(), self.began.elapsed())
    }

    fn end(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.end();
    }
}

/// The address of the `number`th of many hosts that do not exist: in 100.64.0.0/10 or 2001:db8:64::/48, each in a /64 of its own.
#[must_use]
pub fn nobody(family: Family, number: u32) -> SocketAddr {
    let port = 1024 + u16::try_from(number % 60_000).expect("it is less");
    match family {
        Family::V4 => SocketAddr::new(Ipv4Addr::from_bits(0x6440_0000 | number & 0x003f_ffff).into(), port),
        Family::V6 => {
            let network = u128::from(u16::try_from(number & 0xffff).expect("16 bits"));
            let host = u128::from(number >> 16) + 1;
            let first = Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0).to_bits();
            SocketAddr::new(Ipv6Addr::from_bits(first | network << 64 | host).into(), port)
        }
    }
}

/// One end of a cable, onto which ready-made packets go as they are, past the kernel's TCP and its routes.
#[derive(Debug)]
pub struct Cable {
    socket: OwnedFd,
    /// Both link-layer addresses, as a frame begins.
    header: [u8; 12],
}

impl Cable {
    /// At `device` in a namespace; the far end is `far_device` in another.
    ///
    /// # Errors
    /// The kernel's: no raw sockets here.
    ///
    /// # Panics
    /// If there is no such device.
    pub fn open(near: &Namespace, device: &str, far: &Namespace, far_device: &str) -> io::Result<Self> {
        let [to, from] = [link_address(far, far_device), link_address(near, device)];
        let mut header = [0; 12];
        header[..6].copy_from_slice(&to);
        header[6..].copy_from_slice(&from);
        near.run(|| {
            let index = i32::try_from(if_nametoindex(device)?).map_err(io::Error::other)?;
            // SAFETY: plain system calls; the descriptor is owned by nobody else yet.
            let socket = unsafe {
                match libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) {
                    -1 => return Err(io::Error::last_os_error()),
                    fd => OwnedFd::from_raw_fd(fd),
                }
            };
            // SAFETY: all fields of sockaddr_ll are integers, for which zero is a value.
            let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
            address.sll_family = u16::try_from(libc::AF_PACKET).expect("it is small");
            address.sll_ifindex = index;
            let length = libc::socklen_t::try_from(size_of_val(&address)).expect("it is small");
            // SAFETY: the address outlives the call, and its length is given as it is.
            match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
                0 => Ok(Self { socket, header }),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    /// The frame that carries a segment.
    #[must_use]
    pub fn frame(&self, segment: &Segment) -> Vec<u8> {
        self.enclose(segment.from.is_ipv6(), &segment.packet())
    }

    /// The frame that carries an IP packet.
    #[must_use]
    pub fn enclose(&self, is_v6: bool, packet: &[u8]) -> Vec<u8> {
        let kind: u16 = if is_v6 { 0x86dd } else { 0x0800 };
        [&self.header[..], &kind.to_be_bytes(), packet].concat()
    }

    /// Sends frames as fast as it goes.
    ///
    /// # Panics
    /// If the kernel refuses one.
    pub fn send(&self, frames: &[Vec<u8>]) {
        for batch in frames.chunks(BATCH as usize) {
            let mut iovs: [libc::iovec; BATCH as usize] = std::array::from_fn(|index| {
                let frame = batch.get(index).map_or(&[][..], Vec::as_slice);
                libc::iovec {
                    iov_base: frame.as_ptr().cast_mut().cast(),
                    iov_len: frame.len(),
                }
            });
            // SAFETY: all fields of mmsghdr are integers and pointers, for which zero is a value.
            let mut messages: [libc::mmsghdr; BATCH as usize] = unsafe { MaybeUninit::zeroed().assume_init() };
            for (message, iov) in messages.iter_mut().zip(&mut iovs) {
                message.msg_hdr.msg_iov = iov;
                message.msg_hdr.msg_iovlen = 1;
            }
            let mut rest = &mut messages[..batch.len()];
            while !rest.is_empty() {
                let length = libc::c_uint::try_from(rest.len()).expect("it is short");
                // SAFETY: the messages, the iovecs and the frames outlive the call, and their lengths are given as they are.
                let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), rest.as_mut_ptr(), length, 0) };
                match usize::try_from(sent) {
                    Ok(sent) => rest = &mut rest[sent..],
                    Err(_) => match io::Error::last_os_error() {
                        error if error.raw_os_error() == Some(libc::ENOBUFS) => std::thread::yield_now(),
                        error => panic!("sending frames: {error}"),
                    },
                }
            }
        }
    }
}

fn link_address(namespace: &Namespace, device: &str) -> [u8; 6] {
    let shown = namespace.must("ip", &["-j", "link", "show", device], "");
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("ip prints JSON");
    let address = shown[0]["address"].as_str().expect("a device has an address");
    let bytes: Vec<u8> = address
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
        .collect();
    bytes.try_into().expect("six bytes")
}

/// Counts every UDP packet to these ports that reaches a host, whether or not somebody listens: no buffer that could be full.
#[derive(Debug)]
pub struct Arrivals {
    namespace: Namespace,
}

impl Arrivals {
    /// Begins to count at `host`.
    ///
    /// # Panics
    /// If nft cannot be run.
    #[must_use]
    pub fn at(host: &Host, ports: &str) -> Self {
        host.namespace.nft(&format!(
            "table inet arrivals\nflush table inet arrivals\ntable inet arrivals {{
	counter seen {{ }}
	chain prerouting {{
		type filter hook prerouting priority raw; policy accept;
		udp dport {ports} counter name seen
	}}
}}
"
        ));
        Self {
            namespace: host.namespace.clone(),
        }
    }

    /// How many so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.namespace.nft_counter("arrivals", "seen")
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        let _ = self
            .namespace
            .output("nft", &["delete", "table", "inet", "arrivals"], "");
    }
}
