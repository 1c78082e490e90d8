//! Many packets: as fast as one processor sends them or at a steady pace, and what of them arrives.

use crate::house::Host;
use crate::namespace::Namespace;
use crate::probe::Way;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    sent: AtomicU64,
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
                if u128::from(self.sent.load(Ordering::Relaxed)) >= due {
                    std::thread::sleep(Duration::from_micros(50));
                    continue;
                }
            }
            self.sent.fetch_add(send_batch(socket), Ordering::Relaxed);
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
        self.shared.sent.load(Ordering::Relaxed)
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
