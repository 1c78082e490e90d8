//! Starting a program, hearing what it says, and being there when it ends.

use crate::gather::Gather;
use nix::fcntl::{fcntl, open, FcntlArg, OFlag};
use nix::libc;
use nix::sys::signal::{kill, sigprocmask, SigSet, SigmaskHow, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{fork, getppid, pipe2, read, setsid, write, ForkResult, Pid};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::signal::unix::{signal, Signal as Signals, SignalKind};

/// Where programs are looked for by what we start.
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
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
    process: Pid,
    /// What it reads, where that stays open.
    _input: Option<OwnedFd>,
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
        let mut texts = vec![text(program.as_os_str().as_bytes())?];
        for argument in arguments {
            texts.push(text(argument.as_bytes())?);
        }
        let variables = [
            text(PATH.as_bytes())?,
            text(&[b"HOME=", home.as_os_str().as_bytes()].concat())?,
        ];
        let (arguments, variables) = (pointers(&texts), pointers(&variables));
        Self::begin(Work::Program(&arguments, &variables), input)
    }

    fn begin(work: Work<'_>, input: Input) -> io::Result<Self> {
        let exits = signal(SignalKind::child())?;
        // Ours is always the first; what is read from is the first of a pair.
        let (input, its_input) = if input == Input::Nothing {
            (
                None,
                open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?,
            )
        } else {
            let (reads, writes) = pipe2(OFlag::O_CLOEXEC)?;
            if let Input::Text(text) = input {
                // Few bytes have room in a pipe, whether they are read or not.
                write(&writes, text)?;
            }
            (Some(writes), reads)
        };
        let (out, its_out) = pipe2(OFlag::O_CLOEXEC)?;
        let (errors, its_errors) = pipe2(OFlag::O_CLOEXEC)?;
        let (out, errors) = (Lines::of(out)?, Lines::of(errors)?);
        let process = start(work, [its_input, its_out, its_errors])?;
        Ok(Self {
            process,
            _input: input,
            exits,
            out,
            errors,
            status: None,
            kill_at: None,
            minute: tokio::time::Instant::now(),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.as_raw().unsigned_abs()
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
        if self.status.is_none() {
            // It may have ended by itself.
            let _ = kill(self.process, signal);
        }
    }

    /// The next that it tells. Nothing is lost if this is dropped while it waits.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            if self.status.is_none() {
                self.status = wait(self.process, libc::WNOHANG);
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
            self.send(Signal::SIGKILL);
            wait(self.process, 0);
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
fn control(option: libc::c_int, value: libc::c_ulong) -> nix::Result<()> {
    let nothing: libc::c_ulong = 0;
    // SAFETY: the two options used here take numbers, no pointers.
    nix::Error::result(unsafe { libc::prctl(option, value, nothing, nothing, nothing) }).map(drop)
}

/// A text for the system. One with a zero in it is none.
fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Pointers to texts, as `execve` takes them.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    let mut pointers = Vec::with_capacity(texts.len() + 1);
    for text in texts {
        pointers.push(text.as_ptr());
    }
    pointers.push(std::ptr::null());
    pointers
}

/// What a child does.
#[derive(Clone, Copy)]
enum Work<'a> {
    /// Becomes a program: pointers to its path and its arguments, and to its variables.
    Program(&'a [*const libc::c_char], &'a [*const libc::c_char]),
    /// Says what comes of this, and ends.
    Own(&'a dyn Fn() -> Result<String, String>),
}

/// Starts a child. Its descriptors are what it reads and the two that it writes to. (`std::process::Command` does it likewise, and weighs 24 kilobytes more.)
#[allow(unsafe_code)]
fn start(work: Work<'_>, descriptors: [OwnedFd; 3]) -> io::Result<Pid> {
    let parent = nix::unistd::getpid();
    // It closes when the work has begun; before that comes what has gone wrong.
    let (trouble, its_trouble) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the daemon has one thread, so no lock is held by one that the child does not have. It touches nothing of the loop's, and ends by itself.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let mut error = prepare(parent, &descriptors).err();
            match work {
                Work::Program(texts, variables) if error.is_none() => {
                    // It may be gone, and is nothing that a client needs.
                    let _ = nix::unistd::chdir(c"/");
                    // SAFETY: the texts end with a zero, the lists with a null, and both live in the frame of our caller.
                    unsafe { libc::execve(texts[0], texts.as_ptr(), variables.as_ptr()) };
                    error = Some(nix::Error::last());
                }
                Work::Own(work) if error.is_none() => {
                    // What the daemon closes is to be closed: nothing of it is open here any more, its_trouble neither.
                    for descriptor in 3..INHERITED {
                        // SAFETY: numbers; whoever had them in this copy never comes back to them.
                        unsafe { libc::close(descriptor) };
                    }
                    let (said, status) = match work() {
                        Ok(said) => (said, 0),
                        Err(why) => (why, 1),
                    };
                    // SAFETY: the pointer and the length are of one text. (Where nobody reads it, that it has ended says enough.) Then this process alone ends.
                    unsafe {
                        libc::write(libc::STDOUT_FILENO, said.as_ptr().cast(), said.len());
                        libc::_exit(status)
                    }
                }
                _ => {}
            }
            let error = error.map_or(0, |error| error as i32);
            // Who does not hear it hears that we have ended.
            let _ = write(&its_trouble, &error.to_ne_bytes());
            // SAFETY: as above.
            unsafe { libc::_exit(1) }
        }
    };
    drop((its_trouble, descriptors));
    let mut error = [0; 4];
    match read(&trouble, &mut error) {
        Ok(0) => Ok(child),
        _ => {
            wait(child, 0);
            Err(io::Error::from_raw_os_error(i32::from_ne_bytes(error)))
        }
    }
}

/// How a child has ended, if it has. Where there is no such child there is nothing to wait for.
#[allow(unsafe_code)]
fn wait(child: Pid, options: libc::c_int) -> Option<ExitStatus> {
    let mut status = 0;
    loop {
        // SAFETY: a number is written to `status`, which is one.
        match unsafe { libc::waitpid(child.as_raw(), &raw mut status, options) } {
            0 => return None,
            -1 if nix::Error::last() == nix::Error::EINTR => {}
            -1 => return Some(ExitStatus::default()),
            _ => return Some(ExitStatus::from_raw(status)),
        }
    }
}

/// What a child does first: system calls alone. Its descriptors are none of the first three: Rust's start has seen to it that those are open.
#[allow(unsafe_code)]
fn prepare(parent: Pid, descriptors: &[OwnedFd; 3]) -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    for number in 1..=SIGNALS {
        // SAFETY: no function of ours is called by a signal for it. (Those two that cannot be ignored in the first place stay as they are.)
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    for (descriptor, number) in descriptors.iter().zip(0..) {
        // SAFETY: both are numbers; what had the second one before is this child's own copy.
        nix::Error::result(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })?;
    }
    // Nobody to ask for a password: no terminal.
    setsid()?;
    control(
        libc::PR_SET_PDEATHSIG,
        libc::c_ulong::from(libc::SIGTERM.unsigned_abs()),
    )?;
    control(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    for descriptor in 3..INHERITED {
        // SAFETY: numbers; it is no error that there is none with this one.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // We may have ended before that was asked for.
    match getppid() == parent {
        true => Ok(()),
        false => Err(nix::Error::EINTR),
    }
}

/// A pipe's lines.
struct Lines {
    pipe: pipe::Receiver,
    begun: Vec<u8>,
    heard: usize,
    is_ended: bool,
    /// What comes is read, and not told.
    is_muted: bool,
}

impl Lines {
    fn of(pipe: OwnedFd) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd_unchecked(pipe)?,
            begun: Vec::new(),
            heard: 0,
            is_ended: false,
            is_muted: false,
        })
    }

    /// The next line, without its end; `None`: there is none any more. One that is too long comes in parts, and a question comes without its end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.begun.drain(..=end).gathered();
                line.pop();
                return Some(line);
            }
            let is_question = [b": ".as_slice(), b"? "].iter().any(|end| self.begun.ends_with(end));
            if self.begun.len() >= LINE || is_question {
                return Some(std::mem::take(&mut self.begun));
            }
            let mut part = [0; LINE];
            let read = match self.pipe.readable().await {
                Ok(()) => self.pipe.try_read(&mut part),
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

/// Something that is done beside the loop, and ends by itself. Dropped, it is ended.
pub struct Errand {
    running: Running,
    said: String,
}

impl Errand {
    /// Does this in a copy of the process: what takes long, and cannot be waited for otherwise. (Threads weigh 20 kilobytes, and cannot be ended.)
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(work: &dyn Fn() -> Result<String, String>) -> io::Result<Self> {
        Running::begin(Work::Own(work), Input::Nothing).map(Self::of)
    }

    fn of(running: Running) -> Self {
        Self {
            running,
            said: String::new(),
        }
    }

    /// How it has ended, and what it has said on both its outputs, lines joined. Nothing is lost if this is dropped while it waits.
    async fn ended(&mut self) -> (ExitStatus, String) {
        loop {
            match self.running.next().await {
                Told::Out(line) | Told::Error(line) => {
                    self.said.push_str(&String::from_utf8_lossy(&line));
                    self.said.push('\n');
                }
                Told::Exited(status) => return (status, std::mem::take(&mut self.said)),
            }
        }
    }

    /// What came of the work. Nothing is lost if this is dropped while it waits.
    ///
    /// # Errors
    /// What the work has said, or how it has ended.
    pub async fn done(&mut self) -> Result<String, String> {
        let (status, said) = self.ended().await;
        match status.code() {
            Some(0) => Ok(said),
            Some(_) => Err(said.trim_end().to_string()),
            None => Err("it was ended".into()),
        }
    }
}

/// Runs a program that ends by itself, and gives back what it has said on both its outputs, lines joined.
pub(super) async fn output(program: &Path, arguments: &[OsString]) -> io::Result<(ExitStatus, String)> {
    const LONGEST: Duration = Duration::from_secs(20);
    let mut errand = Errand::of(Running::spawn(program, arguments, Path::new("/"), Input::Nothing)?);
    let ended = tokio::time::timeout(LONGEST, errand.ended()).await;
    ended.map_err(|_| io::ErrorKind::TimedOut.into())
}
