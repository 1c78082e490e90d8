//! The daemon in the house's router: started, asked over the bus, killed, and looked at from outside.

use crate::house::House;
use crate::namespace::Namespace;
use crate::probe::Patience;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::{json, Value};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How to reach an object on the bus: object, method and arguments in; what it replies, or the status's number, out.
pub type Caller = Box<dyn Fn(&str, &str, &Value) -> Result<Value, u32> + Send + Sync>;

/// A running (or killed) daemon.
pub struct Daemon {
    program: PathBuf,
    directory: PathBuf,
    router: Namespace,
    process: Option<Process>,
    log: Arc<Mutex<String>>,
    caller: Caller,
}

struct Process {
    pid: Pid,
    ended: Receiver<ExitStatus>,
}

/// How long the daemon may take to be ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

impl Daemon {
    /// Starts it in the house's router and waits until it answers `status`.
    ///
    /// # Errors
    /// Why it did not come up, with its log.
    pub fn start(house: &House, program: &Path, caller: Caller) -> Result<Self, String> {
        let mut daemon = Self {
            program: program.to_owned(),
            directory: house.directory().to_owned(),
            router: house.router().clone(),
            process: None,
            log: Arc::default(),
            caller,
        };
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Starts it once more after [`kill9`](Self::kill9) or [`terminate`](Self::terminate), and waits until it answers.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<(), String> {
        self.launch()?;
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.call("status", &json!({}));
            match &answer {
                Ok(status) if status.get("lan_only").is_some() => return Ok(()),
                _ if self.ended() => return Err(format!("the daemon ended before it answered:\n{}", self.log())),
                _ if Instant::now() > end => {
                    return Err(format!("no status after {PATIENCE:?}, but {answer:?}:\n{}", self.log()))
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Starts it once more, and waits for nothing.
    ///
    /// # Errors
    /// That there is no process.
    pub fn launch(&mut self) -> Result<(), String> {
        let spawned = self.spawn();
        self.process = Some(spawned.map_err(|error| format!("{}: {error}", self.program.display()))?);
        Ok(())
    }

    /// From now on starts this program instead, which ends as the daemon or becomes it.
    pub fn set_program(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// The process dies with the thread that starts it, and that thread waits for it: whatever becomes of the test, nothing is left.
    fn spawn(&self) -> io::Result<Process> {
        let mut command = Command::new(&self.program);
        let at = |name: &str| self.directory.join(name);
        command.arg("run");
        for (option, path) in [
            ("--config-dir", "config"),
            ("--ubus-socket", "ubus.sock"),
            ("--state-dir", "state"),
            ("--run-dir", "run"),
        ] {
            command.arg(option).arg(at(path));
        }
        // A time zone for this house alone.
        if let Ok(zone) = fs::read_to_string(at("TZ")) {
            command.env("TZ", zone);
        }
        // And a clock: how many seconds it is off, and the library (faketime's) that says so. The file is read at each look at the clock.
        if let (true, Ok(library)) = (at("clock").exists(), fs::read_to_string(at("preload"))) {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", at("clock"));
            command
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        // Also where this machine has a syslog.
        command
            .env("LANWARD_LOG", "stderr")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // SAFETY: prctl is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        let (router, log) = (self.router.clone(), Arc::clone(&self.log));
        let (started, starting) = channel();
        let (end, ended) = channel();
        std::thread::spawn(move || {
            let mut child = match router.enter().and_then(|()| command.spawn()) {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let _ = started.send(i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other));
            let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
            if let Ok(status) = child.wait() {
                let _ = end.send(status);
            }
        });
        let pid = starting.recv().map_err(io::Error::other)??;
        Ok(Process { pid, ended })
    }

    /// Calls a method of its object.
    ///
    /// # Errors
    /// The status's number.
    pub fn call(&self, method: &str, arguments: &Value) -> Result<Value, u32> {
        (self.caller)("lanward", method, arguments)
    }

    /// Calls a method that must not fail.
    ///
    /// # Panics
    /// If it fails or answers with `error`.
    pub fn must(&self, method: &str, arguments: &Value) -> Value {
        match self.call(method, arguments) {
            Ok(reply) if reply.get("error").is_none() => reply,
            other => panic!("lanward {method} {arguments}: {other:?}\n{}", self.log()),
        }
    }

    /// `status.lan_only`
    pub fn lan_only(&self) -> Value {
        self.must("status", &json!({}))["lan_only"].take()
    }

    /// What `lanward print` prints for the configuration as it is.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn print(&self) -> String {
        let config = self.directory.join("config");
        let arguments = [
            "print",
            "--config-dir",
            config.to_str().expect("our own directory's name"),
        ];
        self.router.must(
            self.program.to_str().expect("a path that can be printed"),
            &arguments,
            "",
        )
    }

    /// Tells it, as an init script may, to read its configuration again.
    ///
    /// # Panics
    /// If it does not run.
    pub fn hang_up(&self) {
        let pid = self.process.as_ref().expect("it runs").pid;
        kill(pid, Signal::SIGHUP).expect("it is our own process");
    }

    /// Ends it by SIGKILL and waits until it is gone.
    pub fn kill9(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// Ends it as procd does, and waits until it is gone; how it ended.
    pub fn terminate(&mut self) -> Option<ExitStatus> {
        self.end(Signal::SIGTERM)
    }

    fn end(&mut self, signal: Signal) -> Option<ExitStatus> {
        let process = self.process.take()?;
        let _ = kill(process.pid, signal);
        let ended = process.ended.recv_timeout(PATIENCE);
        if ended.is_err() {
            let _ = kill(process.pid, Signal::SIGKILL);
        }
        ended.ok()
    }

    /// Whether the process has ended by itself.
    pub fn ended(&self) -> bool {
        self.process
            .as_ref()
            .is_none_or(|process| process.ended.try_recv().is_ok())
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the log has a line with this text.
    #[must_use]
    pub fn logs(&self, text: &str, patience: Duration) -> bool {
        let mut patience = Patience::of(patience);
        while !self.log().contains(text) {
            if patience.is_over() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Its process.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.as_ref().expect("it runs").pid
    }

    /// The processes that it has started, those included that have ended and were not asked how.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn children(&self) -> Vec<Pid> {
        children(self.pid())
    }

    /// Resident memory in KiB.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        self.proc_status("VmRSS:")
    }

    /// Of the resident memory what the process has asked for, in KiB: heap, stack and what it has written to.
    ///
    /// What grows is judged by this: the program's pages come in when they are first run, sixteen at a time, and
    /// nobody has asked for them.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn own_kib(&self) -> u64 {
        // Not `RssAnon`, of which kernels from 6.2 to 6.16 show what one processor has not yet told the others.
        self.proc_field("smaps_rollup", "Anonymous:")
    }

    /// Resident memory in KiB, of which what others have mapped too counts in parts.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pss_kib(&self) -> u64 {
        self.proc_field("smaps_rollup", "Pss:")
    }

    /// How often it has gone to sleep and been woken.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn voluntary_switches(&self) -> u64 {
        self.proc_status("voluntary_ctxt_switches:")
    }

    /// Time that processors have spent on it.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        processor_time(self.process.as_ref().expect("it runs").pid)
    }

    fn proc_status(&self, field: &str) -> u64 {
        self.proc_field("status", field)
    }

    fn proc_field(&self, file: &str, field: &str) -> u64 {
        proc_field(self.process.as_ref().expect("it runs").pid, file, field)
    }
}

/// The processes that a process has started.
///
/// # Panics
/// If there is no `/proc`.
#[must_use]
pub fn children(parent: Pid) -> Vec<Pid> {
    let pids = fs::read_dir("/proc").expect("every Linux has it").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    let is_child = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the program's name: state, parent.
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        fields.split(' ').nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// Time that processors have spent on a process, its children left out.
pub(crate) fn processor_time(pid: Pid) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    // Nanoseconds come first; a thread that has ended meanwhile counts for nothing.
    let times = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    });
    times.sum()
}

/// A number from one of the files that the kernel has about a process.
pub(crate) fn proc_field(pid: Pid, file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let line = text
        .lines()
        .find(|line| line.starts_with(field))
        .expect("every kernel has the field");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
        // What the daemon said is what somebody with a failed test wants to see.
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// The daemon's program: named by `LANWARD_PROGRAM`, or built beside the running program.
///
/// # Panics
/// If it is nowhere.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("LANWARD_PROGRAM") {
        return named.into();
    }
    let running = std::env::current_exe().expect("the kernel knows it");
    let beside = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("lanward"));
    beside
        .into_iter()
        .find(|path| path.is_file())
        .expect("the lanward program is built before what tests it")
}
