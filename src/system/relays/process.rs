//! Starting a program, hearing what it says, and being there when it ends.

use nix::libc;
use nix::sys::signal::{kill, sigprocmask, SigSet, SigmaskHow, Signal};
use nix::unistd::{getppid, setsid, Pid};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::signal::unix::{signal, Signal as Signals, SignalKind};

/// Where programs are looked for by what we start.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Longer lines are cut.
const LINE: usize = 512;
/// More than any client says in a minute.
const SAYS_MOST: usize = 64 * 1024;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a program that is told to end may take until it is made to.
const PATIENCE: Duration = Duration::from_secs(3);
/// Descriptors that could have come from whoever started us.
const INHERITED: libc::c_int = 256;

/// The numbers of signals that whoever started us may have told us to ignore.
const SIGNALS: libc::c_int = 31;

/// A program that runs. Dropped, it is ended.
pub(super) struct Running {
    child: Child,
    exits: Signals,
    out: Lines,
    errors: Lines,
    status: Option<ExitStatus>,
    /// When it is made to end.
    kill_at: Option<tokio::time::Instant>,
    /// When it was begun to count what it says.
    minute: tokio::time::Instant,
}

/// What a program tells.
#[derive(Debug)]
pub(super) enum Told {
    Out(Vec<u8>),
    Error(Vec<u8>),
    /// Everything that it has said was told before.
    Exited(ExitStatus),
}

/// What a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Nothing,
    /// A pipe that stays open until it ends, or we do.
    Held,
    /// The same, with this in it.
    Text(&'static [u8]),
}

impl Running {
    /// Starts a program with nothing of ours but three pipes and an environment of two variables. It ends when this process does, however that ends.
    pub(super) fn spawn(program: &Path, arguments: &[OsString], home: &Path, input: Input) -> io::Result<Self> {
        let exits = signal(SignalKind::child())?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", home)
            .current_dir("/")
            .stdin(if input == Input::Nothing {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn()?;
        if let (Input::Text(text), Some(pipe)) = (input, &mut child.stdin) {
            // Few bytes have room in a pipe, whether they are read or not. A client that has ended already is noticed below.
            let _ = pipe.write_all(text);
        }
        let lines = |pipe: Option<OwnedFd>| pipe.map_or_else(|| Ok(Lines::ended()), Lines::of);
        let out = lines(child.stdout.take().map(OwnedFd::from));
        let errors = lines(child.stderr.take().map(OwnedFd::from));
        match (out, errors) {
            (Ok(out), Ok(errors)) => Ok(Self {
                child,
                exits,
                out,
                errors,
                status: None,
                kill_at: None,
                minute: tokio::time::Instant::now(),
            }),
            (Err(error), _) | (_, Err(error)) => {
                // The first error is the one to tell.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it was told to end.
    pub(super) fn was_told(&self) -> bool {
        self.kill_at.is_some()
    }

    /// Tells it to end; makes it, after a while.
    pub(super) fn end(&mut self) {
        if self.kill_at.is_none() {
            self.send(Signal::SIGTERM);
            self.kill_at = Some(tokio::time::Instant::now() + PATIENCE);
        }
    }

    fn send(&self, signal: Signal) {
        // Until its status was taken, the number is its own.
        if let (None, Ok(pid)) = (self.status, i32::try_from(self.child.id())) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// The next that it tells. Nothing is lost if this is dropped while it waits.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            if self.status.is_none() {
                // An error means that there is no such child: then there is nothing to wait for.
                match self.child.try_wait() {
                    Ok(status) => self.status = status,
                    Err(_) => self.status = Some(ExitStatus::default()),
                }
            }
            let over = self.status.is_some();
            if let (Some(status), true) = (self.status, self.out.is_ended && self.errors.is_ended) {
                return Told::Exited(status);
            }
            let kill_at = self.kill_at;
            tokio::select! {
                biased;
                line = self.errors.next(), if !self.errors.is_ended => {
                    if let Some(line) = line.filter(|_| !self.errors.is_muted) {
                        return Told::Error(line);
                    }
                }
                line = self.out.next(), if !self.out.is_ended => {
                    if let Some(line) = line {
                        return Told::Out(line);
                    }
                }
                _ = self.exits.recv(), if !over => {}
                // What it has started itself may hold its pipes.
                () = tokio::time::sleep(PATIENCE), if over => {
                    self.out.is_ended = true;
                    self.errors.is_ended = true;
                }
                () = until(kill_at), if !over => {
                    self.send(Signal::SIGKILL);
                    self.kill_at = Some(tokio::time::Instant::now() + PATIENCE);
                }
            }
            if self.minute.elapsed() > MINUTE {
                self.minute = tokio::time::Instant::now();
                (self.out.heard, self.errors.heard) = (0, 0);
            }
            // The other side decides what is said. Complaints beyond that are left out; a script has no reason to say so much.
            self.errors.is_muted = self.errors.heard > SAYS_MOST;
            if self.out.heard > SAYS_MOST {
                self.out.is_ended = true;
                self.end();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

async fn until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// `prctl` takes longs.
#[allow(unsafe_code)]
fn control(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let nothing: libc::c_ulong = 0;
    // SAFETY: the two options used here take numbers, no pointers.
    match unsafe { libc::prctl(option, value, nothing, nothing, nothing) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a child does between `fork` and `exec`.
#[allow(unsafe_code)]
fn prepare(command: &mut Command) {
    let parent = nix::unistd::getpid();
    let terminate = libc::c_ulong::from(libc::SIGTERM.unsigned_abs());
    // SAFETY: what is called there are system calls alone, which is all that is allowed between fork and exec; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
            for number in 1..=SIGNALS {
                // Those two cannot be ignored in the first place.
                libc::signal(number, libc::SIG_DFL);
            }
            // Nobody to ask for a password: no terminal.
            setsid()?;
            control(libc::PR_SET_PDEATHSIG, terminate)?;
            control(libc::PR_SET_NO_NEW_PRIVS, 1)?;
            for descriptor in 3..INHERITED {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
            // We may have ended before that was asked for.
            if getppid() == parent {
                Ok(())
            } else {
                Err(io::ErrorKind::Interrupted.into())
            }
        });
    }
}

/// A pipe's lines.
struct Lines {
    pipe: Option<pipe::Receiver>,
    begun: Vec<u8>,
    heard: usize,
    is_ended: bool,
    /// What comes is read, and not told.
    is_muted: bool,
}

impl Lines {
    fn ended() -> Self {
        Self {
            pipe: None,
            begun: Vec::new(),
            heard: 0,
            is_ended: true,
            is_muted: false,
        }
    }

    fn of(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            pipe: Some(pipe::Receiver::from_owned_fd(pipe)?),
            is_ended: false,
            ..Self::ended()
        })
    }

    /// The next line, without its end; `None`: there is none any more. One that is too long comes in parts, and a question comes without its end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let Some(pipe) = &self.pipe else {
            self.is_ended = true;
            return None;
        };
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.begun.drain(..=end).collect();
                line.pop();
                return Some(line);
            }
            let is_question = [b": ".as_slice(), b"? "].iter().any(|end| self.begun.ends_with(end));
            if self.begun.len() >= LINE || is_question {
                return Some(std::mem::take(&mut self.begun));
            }
            let mut part = [0; LINE];
            let read = match pipe.readable().await {
                Ok(()) => pipe.try_read(&mut part),
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => break,
                Ok(count) => {
                    self.heard = self.heard.saturating_add(count);
                    self.begun.extend_from_slice(part.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        self.is_ended = true;
        let rest = std::mem::take(&mut self.begun);
        (!rest.is_empty()).then_some(rest)
    }
}

/// Runs a program that ends by itself, and gives back what it has said on both its outputs, lines joined.
pub(super) async fn output(program: &Path, arguments: &[OsString]) -> io::Result<(ExitStatus, String)> {
    const LONGEST: Duration = Duration::from_secs(20);
    let mut running = Running::spawn(program, arguments, Path::new("/"), Input::Nothing)?;
    let mut said = String::new();
    let ended = async {
        loop {
            match running.next().await {
                Told::Out(line) | Told::Error(line) => {
                    said.push_str(&String::from_utf8_lossy(&line));
                    said.push('\n');
                }
                Told::Exited(status) => return status,
            }
        }
    };
    let status = tokio::time::timeout(LONGEST, ended).await;
    Ok((status.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?, said))
}
