//! Live UDP flows with answers, and when they stopped.

use crate::count::Count;
use crate::probe::{receive, send, wait_readable, Patience, Way};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Flows that are sent and answered until dropped.
#[derive(Debug)]
pub struct Session {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    end: AtomicBool,
    sent: Count,
    arrived: Count,
    answered: Count,
    /// By the kernel's receive time stamp at the far end, in nanoseconds since 1970.
    last_arrival: Count,
}

/// Packets so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Sent.
    pub sent: u64,
    /// Arrived at the far end.
    pub arrived: u64,
    /// Answers that came back.
    pub answered: u64,
}

impl Way<'_> {
    /// One live flow to `port`, some 4 000 packets a second.
    ///
    /// # Panics
    /// If it does not come alive.
    #[must_use]
    pub fn udp_session(&self, port: u16) -> Session {
        self.udp_sessions(port, 1, Duration::from_micros(250))
    }

    /// `flows` live flows from as many source ports to `port`; one packet per `pace`, each flow in turn.
    ///
    /// # Panics
    /// If they do not come alive.
    #[must_use]
    pub fn udp_sessions(&self, port: u16, flows: usize, pace: Duration) -> Session {
        assert!(flows > 0, "no flow, no session");
        let seen = Arc::new(Seen::default());
        let listener = self.listen(port);
        // Enough for what arrives while the echo waits for its turn on a busy machine.
        let _ = nix::sys::socket::setsockopt(&listener, nix::sys::socket::sockopt::RcvBuf, &(4 << 20));
        // A source port of choice is for one flow; several take the system's.
        let senders: Vec<UdpSocket> = (0..flows)
            .map(|flow| self.sender(if flow == 0 { self.chosen_port() } else { 0 }))
            .collect();
        let target = self.target(port);
        let (echo, pump) = (Arc::clone(&seen), Arc::clone(&seen));
        let threads = vec![
            std::thread::spawn(move || echo.echo(&listener)),
            std::thread::spawn(move || {
                let mut turn = 0_usize;
                while !pump.end.load(Ordering::Relaxed) {
                    let Some(sender) = senders.get(turn % senders.len()) else {
                        return;
                    };
                    turn += 1;
                    if send(sender, b"a live flow", target).is_err() {
                        return;
                    }
                    pump.sent.add(1);
                    while receive(sender).is_some() {
                        pump.answered.add(1);
                    }
                    std::thread::sleep(pace);
                }
            }),
        ];
        let session = Session { seen, threads };
        let wanted = u64::try_from(flows).unwrap_or(u64::MAX);
        let alive = session.wait_for(Duration::from_secs(20), |tally| {
            tally.arrived >= wanted && tally.answered >= wanted
        });
        assert!(
            alive,
            "the live flow did not come alive: {self}, port {port}: {:?}",
            session.tally()
        );
        session
    }
}

impl Seen {
    fn echo(&self, listener: &UdpSocket) {
        while !self.end.load(Ordering::Relaxed) {
            if !wait_readable(&[listener], Instant::now() + Duration::from_millis(20)) {
                continue;
            }
            while let Some(datagram) = receive(listener) {
                self.last_arrival.set(datagram.at);
                self.arrived.add(1);
                let _ = send(listener, &datagram.payload, datagram.from);
            }
        }
    }
}

impl Session {
    /// Packets so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            sent: self.seen.sent.get(),
            arrived: self.seen.arrived.get(),
            answered: self.seen.answered.get(),
        }
    }

    /// Whether the flow goes on: packets sent from now on arrive, and answers come back.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let before = self.tally();
        let [mut moment, mut long] = [500, 10_000].map(|time| Patience::of(Duration::from_millis(time)));
        loop {
            let now = self.tally();
            if now.arrived > before.arrived + 3 && now.answered > before.answered + 3 {
                return true;
            }
            // Where none was sent, none can have been lost.
            let has_sent = now.sent > before.sent + 10;
            if (moment.is_over() && has_sent) || long.is_over() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// When the last packet arrived, on the clock of [`now`], once the flow has been silent for `silence` while packets were sent; `None` if
    /// it still arrives after `patience`.
    #[must_use]
    pub fn stopped(&self, silence: Duration, patience: Duration) -> Option<u64> {
        let mut patience = Patience::of(patience);
        let mut silences = 0;
        while !patience.is_over() {
            let before = self.tally();
            std::thread::sleep(silence);
            let after = self.tally();
            let is_silent = after.arrived == before.arrived && after.sent > before.sent + 3;
            silences = if is_silent { silences + 1 } else { 0 };
            // Twice: what arrived may not have been counted yet.
            if silences == 2 {
                return Some(self.seen.last_arrival.get());
            }
        }
        None
    }

    /// Milliseconds from `call` (on the clock of [`now`]) to the last packet that arrived, if the flow has stopped; negative if none
    /// arrived after it.
    #[must_use]
    pub fn stopped_after(&self, call: u64) -> Option<f64> {
        let last = self.stopped(Duration::from_millis(60), Duration::from_secs(2))?;
        #[allow(clippy::cast_precision_loss)]
        let after = if last >= call {
            (last - call) as f64
        } else {
            -((call - last) as f64)
        };
        Some(after / 1e6)
    }

    fn wait_for(&self, patience: Duration, reached: impl Fn(Tally) -> bool) -> bool {
        let mut patience = Patience::of(patience);
        while !reached(self.tally()) {
            if patience.is_over() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.seen.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
