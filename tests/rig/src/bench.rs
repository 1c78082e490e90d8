//! What `make bench` measures with.

use crate::namespace::Namespace;
use nix::time::{clock_gettime, ClockId};
use serde_json::{json, Value};
use std::fmt;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Measured several times.
#[derive(Debug, Clone)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// Of these values.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The one in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The largest.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// Median, smallest and largest.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "median": self.median(), "least": self.0[0], "most": self.worst(), "rounds": self.0.len() })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} (worst {:.1})", self.median(), self.worst())
    }
}

/// A table of somebody else's with 200 000 intervals, as block lists have them.
///
/// # Panics
/// If nft refuses it.
pub fn load_foreign_set(router: &Namespace) {
    let mut script =
        "table inet foreign {\n\tset blocked {\n\t\ttype ipv4_addr; flags interval; elements = {\n".to_owned();
    for number in 0..200_000_u32 {
        let first = 0x0b00_0000 + number * 16;
        script.push_str(&format!("{}-{},\n", Ipv4Addr::from(first), Ipv4Addr::from(first + 6)));
    }
    script.push_str("\t\t}\n\t}\n\tchain forward {\n\t\ttype filter hook forward priority -150; policy accept;\n\t\tip saddr @blocked drop\n\t}\n}\n");
    router.nft(&script);
}

/// Loads a script by `nft -f`, and says how much memory (KiB) nft had at most.
///
/// # Panics
/// If nft refuses it.
#[must_use]
#[allow(clippy::zombie_processes)] // wait4 below waits for it, and says what it used.
pub fn nft_memory(router: &Namespace, script: &str) -> u64 {
    router.run(|| {
        let mut command = Command::new("nft");
        let mut child = command
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nft is installed");
        child
            .stdin
            .take()
            .expect("it is piped")
            .write_all(script.as_bytes())
            .expect("nft reads");
        let pid = i32::try_from(child.id()).expect("a process id");
        let mut status = 0;
        // SAFETY: zero is a value for a structure of integers; both pointers are to locals that outlive the call.
        let (waited, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
        };
        assert!(waited == pid && status == 0, "nft refuses:\n{script}");
        u64::try_from(usage.ru_maxrss).unwrap_or(0)
    })
}

/// How many packets a device has received.
///
/// # Panics
/// If there is no such device.
#[must_use]
pub fn received(namespace: &Namespace, device: &str) -> u64 {
    let table = namespace.proc_net("dev");
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'));
    let packets = line.and_then(|counts| counts.split_whitespace().nth(1)?.parse().ok());
    packets.unwrap_or_else(|| panic!("no {device} in\n{table}"))
}

/// Time that processors have spent on this process's children that have ended.
#[must_use]
pub fn of_children() -> Duration {
    // SAFETY: zero is a value for a structure of integers, and the pointer is to a local that outlives the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// What time is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The processors' time: what else the machine does is not in it.
    Processor,
    /// The wall's, where a process's time leaves out what the kernel did for it in soft interrupts: forwarding (`CONFIG_IRQ_TIME_ACCOUNTING`).
    Wall,
}

impl Clock {
    /// Seconds that this thread has had, from some beginning.
    #[must_use]
    pub fn of_thread(self) -> f64 {
        self.read(libc::CLOCK_THREAD_CPUTIME_ID)
    }

    /// Seconds that this process has had, from some beginning.
    #[must_use]
    pub fn of_process(self) -> f64 {
        self.read(libc::CLOCK_PROCESS_CPUTIME_ID)
    }

    fn read(self, clock: libc::clockid_t) -> f64 {
        let clock = match self {
            Self::Processor => clock,
            Self::Wall => libc::CLOCK_MONOTONIC,
        };
        let time = clock_gettime(ClockId::from_raw(clock)).expect("every kernel has these clocks");
        Duration::from(time).as_secs_f64()
    }

    /// The one that is good here: `act` is something that forwards packets and waits for nothing, in this thread.
    pub fn choose(mut act: impl FnMut(Self)) -> Self {
        let mut least = [f64::INFINITY; 2];
        for _ in 0..100 {
            let began = [Self::Processor, Self::Wall].map(Self::of_thread);
            act(Self::Wall);
            for (index, clock) in [Self::Processor, Self::Wall].into_iter().enumerate() {
                least[index] = least[index].min(clock.of_thread() - began[index]);
            }
        }
        if least[0] > 0.6 * least[1] {
            Self::Processor
        } else {
            Self::Wall
        }
    }
}
