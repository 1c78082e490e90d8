//! Questions that only a packet can answer: does it arrive, does the answer come back, does a flow go on?
//!
//! "It did not arrive" is said only when a control packet, sent behind it on the same way, did.

use crate::house::{Family, Host, House};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sched::{sched_getcpu, sched_setaffinity, CpuSet};
use nix::sys::socket::{recvmsg, setsockopt, sockopt, ControlMessageOwned, MsgFlags, SockaddrStorage};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many times slower than usual this machine is: `LANWARD_TEST_SLOWNESS`, which an emulated one sets; otherwise 1. A limit that says how soon something
/// must have happened is multiplied by it.
#[must_use]
pub fn slowness() -> u32 {
    let set = std::env::var("LANWARD_TEST_SLOWNESS");
    set.ok().and_then(|times| times.parse().ok()).unwrap_or(1).max(1)
}

/// What became of a UDP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrived and the far end's answer came back.
    Answered,
    /// It arrived; the answer did not come back.
    Arrived,
    /// It did not arrive, though the control packet behind it did.
    Lost,
}

/// What a TCP connection attempt met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The handshake was completed.
    Accepted,
    /// Refused by a RST.
    Reset,
    /// Refused by an ICMP message of this type and code.
    Unreachable(u8, u8),
    /// Nothing came back.
    Silent,
}

/// A way through the house, from one host to another.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    from: &'a Host,
    to: &'a Host,
    family: Family,
    source_port: u16,
    addressed: Option<IpAddr>,
    control: Control,
    patience: Duration,
}

/// How the control packet differs from the one in question.
#[derive(Debug, Clone, Copy)]
enum Control {
    DestPort(u16),
    SourcePort(u16),
}

/// "discard": below every range that `lan_only` drops.
const CONTROL_PORT: u16 = 9;
/// How long a control packet may take on a busy machine before the house counts as broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the answers may take where neither comes.
const ANSWER_PATIENCE: Duration = Duration::from_millis(1500);
/// How long a packet may be behind the control packet that was sent after it.
const GRACE: Duration = Duration::from_millis(25);

impl House {
    /// From one host to another over IPv4.
    #[must_use]
    pub fn way(&self, from: &str, to: &str) -> Way<'_> {
        let control = Control::DestPort(CONTROL_PORT);
        Way {
            from: self.host(from),
            to: self.host(to),
            family: Family::V4,
            source_port: 0,
            addressed: None,
            control,
            patience: PATIENCE,
        }
    }
}

impl<'a> Way<'a> {
    /// Over this family.
    #[must_use]
    pub fn over(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// With a source port of one's own choice (0: the system's).
    #[must_use]
    pub fn source_port(mut self, port: u16) -> Self {
        self.source_port = port;
        self
    }

    /// Sent to this address instead of the far end's own: the router's, where a mapping leads on. The control packet takes the same
    /// mapping, from a source port below every range.
    #[must_use]
    pub fn through(mut self, address: IpAddr) -> Self {
        self.addressed = Some(address);
        self.same_port_control()
    }

    /// Sends the control packet to the same port as the packet in question, from a source port below every range: for ways on
    /// which a firewall lets no other port through.
    #[must_use]
    pub fn same_port_control(mut self) -> Self {
        self.control = Control::SourcePort(CONTROL_PORT);
        self
    }

    /// Waits no longer than this for the control packet.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends one UDP packet to `port` and says what became of it.
    ///
    /// # Panics
    /// If the packet is lost and so is the control packet: then the house is broken, and the answer would mean nothing.
    #[must_use]
    pub fn udp(&self, port: u16) -> Fate {
        self.try_udp(port).unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// As [`udp`](Self::udp).
    ///
    /// # Errors
    /// That neither packet arrived: what is between these hosts lets nothing through at all.
    pub fn try_udp(&self, port: u16) -> Result<Fate, String> {
        on_one_processor(|| self.ask(port))
    }

    fn ask(&self, port: u16) -> Result<Fate, String> {
        let sent = self.send_and_watch(port)?;
        if !sent.arrived {
            return Ok(Fate::Lost);
        }
        // The first answer may have to find its neighbour, and a solicitation that got lost is repeated after a second.
        let senders = [&sent.sender, &sent.control_sender];
        let back = watch(
            &senders,
            &sent.question,
            &sent.control,
            ANSWER_PATIENCE,
            FarEnd::Listens,
        );
        Ok(if back.question { Fate::Answered } else { Fate::Arrived })
    }

    /// Sends one UDP packet to `port` and says only whether it arrives, at once: no answer is waited for.
    ///
    /// # Panics
    /// As [`udp`](Self::udp).
    #[must_use]
    pub fn arrives(&self, port: u16) -> bool {
        on_one_processor(|| self.send_and_watch(port))
            .unwrap_or_else(|broken| panic!("{broken}"))
            .arrived
    }

    fn send_and_watch(&self, port: u16) -> Result<Sent, String> {
        let listener = self.listen(port);
        let (control_listener, control_port) = match self.control {
            Control::DestPort(control) if control != port => (Some(self.listen(control)), control),
            _ => (None, port),
        };
        let sender = self.sender(self.source_port);
        let control_sender = match self.control {
            Control::SourcePort(source) if source != self.source_port => self.sender(source),
            _ => self.sender(0),
        };
        let (question, control) = (nonce(), nonce());
        // A refusal that an ICMP message brings back concerns the packet before: the far end alone decides.
        let _ = sender.send_to(&question, self.target(port));
        let _ = control_sender.send_to(&control, self.target(control_port));
        let sockets: Vec<&UdpSocket> = std::iter::once(&listener).chain(control_listener.as_ref()).collect();
        let seen = watch(&sockets, &question, &control, self.patience, FarEnd::Answers);
        if !seen.question && !seen.control {
            let control = self.control;
            return Err(format!(
                "neither the packet nor the control packet arrived: {self}, port {port}, control {control:?}"
            ));
        }
        Ok(Sent {
            arrived: seen.question,
            sender,
            control_sender,
            question,
            control,
        })
    }

    /// Connects to `port`, where the far end listens.
    ///
    /// # Panics
    /// If a socket cannot be had.
    #[must_use]
    pub fn tcp(&self, port: u16) -> Connection {
        let _listener = self.to.namespace.tcp_listener(self.to.socket(self.family, port));
        self.tcp_unheard(port)
    }

    /// Connects to `port`, where the far end does not listen unless something else there does.
    ///
    /// # Panics
    /// If a socket cannot be had.
    #[must_use]
    pub fn tcp_unheard(&self, port: u16) -> Connection {
        let (target, source) = (self.target(port), self.from.socket(self.family, self.source_port));
        let wait = Duration::from_millis(400) * slowness();
        let connected = self.from.namespace.run(|| crate::tcp::connect(source, target, wait));
        connected.unwrap_or_else(|error| panic!("{self}: tcp to {target}: {error}"))
    }

    pub(crate) fn listen(&self, port: u16) -> UdpSocket {
        let socket = self.to.namespace.udp(self.to.socket(self.family, port));
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("every kernel has it");
        socket
    }

    pub(crate) fn sender(&self, port: u16) -> UdpSocket {
        self.from.namespace.udp(self.from.socket(self.family, port))
    }

    pub(crate) fn chosen_port(&self) -> u16 {
        self.source_port
    }

    pub(crate) fn target(&self, port: u16) -> SocketAddr {
        let address = self.addressed.unwrap_or_else(|| self.to.address(self.family));
        assert!(
            !address.is_unspecified(),
            "say by `through` which of the router's addresses"
        );
        SocketAddr::new(address, port)
    }
}

impl std::fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {} over {:?}", self.from.name, self.to.name, self.family)?;
        if self.source_port != 0 {
            write!(f, " from port {}", self.source_port)?;
        }
        self.addressed.map_or(Ok(()), |address| write!(f, " through {address}"))
    }
}

/// What is left of a packet that was sent: where its answer would come back.
struct Sent {
    arrived: bool,
    sender: UdpSocket,
    control_sender: UdpSocket,
    question: Vec<u8>,
    control: Vec<u8>,
}

struct Seen {
    question: bool,
    control: bool,
}

/// What comes in on these sockets until both have, or a moment behind the control packet, or the patience ends. Answers, where
/// somebody listens at the far end.
fn watch(sockets: &[&UdpSocket], question: &[u8], control: &[u8], patience: Duration, far: FarEnd) -> Seen {
    let mut seen = Seen {
        question: false,
        control: false,
    };
    let mut end = Instant::now() + patience;
    while !(seen.question && seen.control) && wait_readable(sockets, end) {
        for socket in sockets {
            while let Some(datagram) = receive(socket) {
                if datagram.payload == question {
                    seen.question = true;
                } else if datagram.payload == control {
                    seen.control = true;
                    end = end.min(Instant::now() + GRACE);
                } else {
                    continue;
                }
                if far == FarEnd::Answers {
                    let _ = socket.send_to(&datagram.payload, datagram.from);
                }
            }
        }
    }
    seen
}

/// Whether the far end of a [`watch`] sends back what it gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FarEnd {
    Answers,
    Listens,
}

/// Whether one of them can be read before `end`, or at once if that is past: what came while nobody looked has come.
pub(crate) fn wait_readable(sockets: &[&UdpSocket], end: Instant) -> bool {
    let left = end.saturating_duration_since(Instant::now());
    let mut polled: Vec<PollFd> = sockets
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    let timeout = PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
    poll(&mut polled, timeout).is_ok_and(|ready| ready > 0)
}

/// A datagram and when the kernel took it in.
pub(crate) struct Datagram {
    pub payload: Vec<u8>,
    pub from: SocketAddr,
    /// Nanoseconds since 1970; now, where the socket does not ask for it.
    pub at: u64,
}

/// What is there to read, without waiting.
pub(crate) fn receive(socket: &UdpSocket) -> Option<Datagram> {
    let mut payload = vec![0_u8; 2048];
    let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let (bytes, from, at) = {
        let mut iov = [IoSliceMut::new(&mut payload)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut iov, Some(&mut space), flags).ok()?;
        let stamp = message.cmsgs().ok()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        });
        (message.bytes, message.address?, stamp)
    };
    payload.truncate(bytes);
    let from = match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::new(v4.ip().into(), v4.port()),
        (_, Some(v6)) => SocketAddr::new(v6.ip().into(), v6.port()),
        _ => return None,
    };
    Some(Datagram {
        payload,
        from,
        at: at.map_or_else(now, nanoseconds),
    })
}

/// The time on the clock of [`Datagram::at`].
#[must_use]
pub fn now() -> u64 {
    nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes that no other packet of this process has.
fn nonce() -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("lanward {} {}", now(), NEXT.fetch_add(1, Ordering::Relaxed)).into_bytes()
}

/// Sends until the buffer is full, quietly.
pub(crate) fn send(socket: &UdpSocket, payload: &[u8], target: SocketAddr) -> io::Result<()> {
    match socket.send_to(payload, target) {
        Ok(_) => Ok(()),
        // EPERM is what an output chain's drop looks like; a refusal or a route that is just being replaced is not the sender's end.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::InvalidInput) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Time as far as others can have used it: of what passes between two looks no more counts than a tenth of the whole. A machine that
/// stands still for a second has given nobody a second.
#[derive(Debug)]
pub struct Patience {
    whole: Duration,
    spent: Duration,
    looked: Instant,
}

/// So much between two looks counts where the whole is short: what is looked at takes its time, too.
const LOOK: Duration = Duration::from_millis(50);

impl Patience {
    /// Begins now.
    #[must_use]
    pub fn of(whole: Duration) -> Self {
        Self {
            whole,
            spent: Duration::ZERO,
            looked: Instant::now(),
        }
    }

    /// How much there was so far. This is a look.
    pub fn spent(&mut self) -> Duration {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.looked);
        self.spent += passed.min(LOOK.max(self.whole / 10));
        self.looked = now;
        self.spent
    }

    /// Whether it was all there. This is a look.
    pub fn is_over(&mut self) -> bool {
        self.spent() > self.whole
    }
}

/// A time that is promised, and how often it was kept. The machine has other things to do: most of the times will do.
#[derive(Debug)]
pub struct Promise {
    time: Duration,
    kept: u32,
    late: u32,
}

impl Promise {
    /// Nothing was asked yet.
    #[must_use]
    pub fn of(time: Duration) -> Self {
        Self { time, kept: 0, late: 0 }
    }

    /// Waits until something holds, ten times as long as promised, and says after how much time it did.
    pub fn takes(&mut self, holds: impl FnMut() -> bool) -> Option<Duration> {
        let took = takes(self.time * 10, holds)?;
        let count = if took <= self.time {
            &mut self.kept
        } else {
            &mut self.late
        };
        *count += 1;
        Some(took)
    }

    /// Whether it was, half of the times at least.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept > 0 && self.kept >= self.late
    }
}

/// Does something on one processor, if it may choose: what is sent there is dealt with in that order, and has been when this returns. Each has
/// a queue of its own for what comes in, and on a busy machine one may be far behind the other.
pub(crate) fn on_one_processor<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let worked = std::thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            let mut one = CpuSet::new();
            let here = sched_getcpu().and_then(|here| {
                one.set(here)?;
                sched_setaffinity(Pid::from_raw(0), &one)?;
                Ok(here)
            });
            let done = work();
            // What is taken from the queue is dealt with before anybody else gets the processor.
            let is_empty = || here.map_or(true, |here| queued(here) == 0);
            within(PATIENCE, is_empty);
            done
        });
        pinned.join()
    });
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Packets that have come in and wait for a processor, where the kernel says so (Linux 5.10: `softnet_seq_show`).
fn queued(processor: usize) -> u32 {
    let text = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let number = |word: &str| u32::from_str_radix(word, 16).ok();
    let row = |line: &str| {
        let mut words = line.split_whitespace().skip(11).map_while(number);
        Some((words.next()?, words.next()?))
    };
    let rows = text.lines().filter_map(row);
    let own = rows.filter(|(_, of)| usize::try_from(*of) == Ok(processor));
    own.map(|(waiting, _)| waiting).sum()
}

/// Whether something holds within this time (see [`Patience`]); asked at least once, and every 10 ms.
pub fn within(patience: Duration, holds: impl FnMut() -> bool) -> bool {
    takes(patience, holds).is_some()
}

/// As [`within`], and after how much time.
pub fn takes(patience: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let mut patience = Patience::of(patience);
    loop {
        if holds() {
            return Some(patience.spent());
        }
        if patience.is_over() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
