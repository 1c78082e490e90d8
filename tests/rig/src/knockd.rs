//! Debian's `knockd` on the router's WAN, with doors whose commands do nothing but add a line to a file.

use crate::daemon::{proc_field, processor_time};
use crate::house::House;
use crate::knock::{stock, Step};
use crate::servers::{Inside, Process};
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// One of its sections.
#[derive(Debug, Clone)]
pub struct Door {
    /// The section's name.
    pub name: String,
    /// `sequence`
    pub sequence: Vec<Step>,
    /// `seq_timeout`, seconds.
    pub timeout: u32,
}

/// A running knockd. Dropped, it and all that it started are gone.
#[derive(Debug)]
pub struct Knockd {
    process: Process,
    log: PathBuf,
    opened: PathBuf,
}

/// How long it may take for what it does, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

impl Knockd {
    /// Starts it in the house's router and waits until it listens. `None`, and loudly so, where it is not installed.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start(test: &str, house: &House, doors: &[Door]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let program = stock(test, "knockd")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| house.directory().join(format!("knockd-{number}.{name}"));
        let (config, log, opened) = (file("conf"), file("log"), file("opened"));
        fs::write(&opened, "").expect("a file of our own");
        let mut text = format!("[options]\n\tlogfile = {}\n", log.display());
        for door in doors {
            let steps: Vec<String> = door.sequence.iter().map(Step::to_string).collect();
            let _ = write!(
                text,
                "\n[{}]\n\tsequence = {}\n\tseq_timeout = {}\n\ttcpflags = syn\n\tcommand = echo {} %IP% >> {}\n",
                door.name,
                steps.join(","),
                door.timeout,
                door.name,
                opened.display()
            );
        }
        fs::write(&config, text).expect("a file of our own");
        let mut command = Command::new(program);
        command.args(["-i", "wan0", "-c"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let process = Process::start(house.router(), command, Inside::OwnProcesses);
        let knockd = Self { process, log, opened };
        assert!(
            knockd.says("starting up", PATIENCE),
            "knockd does not come up:\n{}",
            knockd.process.log()
        );
        Some(knockd)
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has logged this.
    #[must_use]
    pub fn says(&self, text: &str, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while !self.log().contains(text) {
            if self.process.ended() || Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Waits until it has opened a door to a source: it judges one packet after the other.
    #[must_use]
    pub fn has_opened(&self, source: IpAddr, door: &str) -> bool {
        self.says(&opening(source, door), PATIENCE)
    }

    /// Which doors it has opened to which sources, in order, as it logs them.
    #[must_use]
    pub fn openings(&self) -> Vec<(IpAddr, String)> {
        let log = self.log();
        let openings = log.lines().filter_map(|line| {
            let said = line.split_once("] ")?.1.strip_suffix(": OPEN SESAME")?;
            let (source, door) = said.split_once(": ")?;
            Some((source.parse().ok()?, door.to_owned()))
        });
        openings.collect()
    }

    /// What its commands have written: a line `DOOR SOURCE` each, in whatever order they came to run.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.opened).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Time that processors have spent on it, its commands left out.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        processor_time(self.process.pid)
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        proc_field(self.process.pid, "status", "VmRSS:")
    }
}

fn opening(source: IpAddr, door: &str) -> String {
    format!("{source}: {door}: OPEN SESAME")
}
