//! The keeper: the part of the daemon that stays root when the rest becomes another user, and the files that only it may touch.
//!
//! On many routers the UCI files are root's alone (mode 0600: they hold passwords). So `run --user` forks before anything else: the child
//! stays root, without the network and without every right but those that root's access to files needs, and does three things that the
//! daemon asks for over a socket: read one of four UCI files, set `lan_only.enabled`, and read the key of an `spa` section. A request is one
//! byte, and for a key the section's name behind it: never a path, which the keeper finds by itself in the configuration. What is no
//! request ends the keeper. A reply is a byte, a length and as many bytes.
//!
//! The directory that keys lie in is the daemon's, so somebody who has taken it over could put other files there under a key's name. So of such a
//! file nothing leaves the keeper but the two keys, if that is what it holds.
//!
//! The keeper ends when the daemon does, by the end of the socket. The signals that stop a service it ignores: the daemon may have something left
//! to save. If the keeper ends first, the daemon notices at once, says so and ends with status 1, so that procd starts both anew; the
//! kernel's table stays.

use super::storage::{self, Durability};
use super::{keys, privileges};
use crate::config;
use crate::lan_only::saved::saved;
use crate::spa::Keys;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sys::signal::{signal, SigHandler, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, ForkResult, Pid};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::{Zeroize, Zeroizing};

/// A UCI file: one of the three that the configuration is made of, or one that the diagnosis looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum File {
    Lanward,
    Firewall,
    Network,
    /// For the diagnosis.
    Upnpd,
}

impl File {
    /// Its name in the configuration's directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lanward => "lanward",
            Self::Firewall => "firewall",
            Self::Network => "network",
            Self::Upnpd => "upnpd",
        }
    }
}

/// What a read file is: its bytes, `None` if there is none, or why it cannot be read.
pub type Contents = Result<Option<Vec<u8>>, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Read(File),
    Save(bool),
}

const REQUESTS: [(u8, Request); 6] = [
    (b'L', Request::Read(File::Lanward)),
    (b'F', Request::Read(File::Firewall)),
    (b'N', Request::Read(File::Network)),
    (b'U', Request::Read(File::Upnpd)),
    (b'1', Request::Save(true)),
    (b'0', Request::Save(false)),
];

/// The request for a key: behind it the length of the section's name in one byte, and the name.
const KEY: u8 = b'K';

/// A reply's first byte; behind it the length of what follows, 32 bit, little endian.
const DONE: u8 = 0;
const NOTHING: u8 = 1;
const FAILED: u8 = 2;

/// More than any reply: a file has at most 4 MiB.
const LARGEST_REPLY: u32 = 5 << 20;
/// Longer than the slowest flash takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The daemon's side of the socket.
#[derive(Debug)]
pub struct Keeper {
    socket: UnixStream,
    /// Nothing is ever said here. It is for its end, which can be waited for while the other one is asked without waiting.
    lifeline: UnixStream,
    process: Pid,
}

/// The keeper is gone, or says what it never says.
#[derive(Debug)]
pub struct Lost(String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keeper, which touches root's files for this daemon, {}", self.0)
    }
}

impl std::error::Error for Lost {}

impl Keeper {
    /// Forks the keeper of the files in this directory, for a daemon that becomes the user with this id. To be called while the program has one thread and has opened nothing: the child keeps
    /// running in a copy of it.
    ///
    /// # Errors
    /// What the system says, or what the keeper could not do without.
    #[allow(unsafe_code)]
    pub fn start(directory: &Path, user: u32) -> Result<Self, String> {
        let pair = || UnixStream::pair().map_err(|error| format!("keeper: socket: {error}"));
        let ((ours, theirs), (lifeline, held)) = (pair()?, pair()?);
        // SAFETY: there is one thread, so that no lock is held by a thread that the child does not have.
        match unsafe { fork() } {
            Err(error) => Err(format!("keeper: fork: {}", io::Error::from(error))),
            Ok(ForkResult::Child) => {
                drop((ours, lifeline));
                be_keeper(&theirs, &held, directory, user);
                // SAFETY: ends this process alone. What the parent wants done at its end is not done twice.
                unsafe { libc::_exit(0) }
            }
            Ok(ForkResult::Parent { child }) => {
                drop((theirs, held));
                let keeper = Self {
                    socket: ours,
                    lifeline,
                    process: child,
                };
                let limits = keeper
                    .socket
                    .set_read_timeout(Some(PATIENCE))
                    .and_then(|()| keeper.socket.set_write_timeout(Some(PATIENCE)));
                limits.map_err(|error| format!("keeper: socket: {error}"))?;
                // It speaks first: whether it has become what it is to be.
                match keeper.reply().map_err(|lost| lost.to_string())? {
                    (DONE, _) => Ok(keeper),
                    (_, why) => Err(format!("keeper: {}", String::from_utf8_lossy(&why))),
                }
            }
        }
    }

    fn ask(&self, request: Request) -> Result<(u8, Vec<u8>), Lost> {
        let byte = REQUESTS.iter().find(|(_, known)| *known == request);
        let byte = byte.map_or(0, |(byte, _)| *byte);
        (&self.socket).write_all(&[byte]).map_err(|error| self.lost(&error))?;
        self.reply()
    }

    fn ask_key(&self, section: &str) -> Result<(u8, Vec<u8>), Lost> {
        let Ok(length) = u8::try_from(section.len()) else {
            return Ok((FAILED, b"the section's name is too long".to_vec()));
        };
        let request = [&[KEY, length], section.as_bytes()].concat();
        (&self.socket).write_all(&request).map_err(|error| self.lost(&error))?;
        self.reply()
    }

    fn reply(&self) -> Result<(u8, Vec<u8>), Lost> {
        let mut head = [0; 5];
        (&self.socket)
            .read_exact(&mut head)
            .map_err(|error| self.lost(&error))?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        if length > LARGEST_REPLY {
            return Err(Lost("said what it never says".into()));
        }
        // Of its full size at once: what a vector leaves behind when it grows is not wiped, and this may be a key.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        match (&self.socket).read_exact(&mut bytes) {
            Ok(()) => Ok((kind, bytes)),
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn lost(&self, error: &io::Error) -> Lost {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.ended(),
            io::ErrorKind::WouldBlock => Lost(format!("has not answered for {} s", PATIENCE.as_secs())),
            _ => Lost(format!("cannot be asked: {error}")),
        }
    }

    fn ended(&self) -> Lost {
        Lost(match waitpid(self.process, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("was ended by signal {}", signal as i32),
            _ => "has ended".into(),
        })
    }
}

/// How the daemon comes by its files.
#[derive(Debug)]
pub enum Files {
    /// By itself, as the user that it was started as.
    Own(PathBuf),
    /// By asking the keeper.
    Kept {
        /// To be asked.
        keeper: Keeper,
        /// To be waited for.
        lifeline: tokio::net::UnixStream,
    },
}

impl Files {
    /// Files of a directory, to be had from the keeper if there is one. To be called where the runtime is.
    ///
    /// # Errors
    /// What the system says to somebody who wants to wait for the keeper's end.
    pub fn new(directory: &Path, keeper: Option<Keeper>) -> io::Result<Self> {
        Ok(match keeper {
            None => Self::Own(directory.to_owned()),
            Some(keeper) => {
                let lifeline = keeper.lifeline.try_clone()?;
                lifeline.set_nonblocking(true)?;
                let lifeline = tokio::net::UnixStream::from_std(lifeline)?;
                Self::Kept { keeper, lifeline }
            }
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The keeper is lost.
    pub fn read(&self, file: File) -> Result<Contents, Lost> {
        match self {
            Self::Own(directory) => Ok(read(directory, file)),
            Self::Kept { keeper, .. } => Ok(match keeper.ask(Request::Read(file))? {
                (DONE, bytes) => Ok(Some(bytes)),
                (NOTHING, _) => Ok(None),
                (_, why) => Err(String::from_utf8_lossy(&why).into_owned()),
            }),
        }
    }

    /// Writes down the switch: sets `lan_only.enabled`. What went wrong with the file is told inside.
    ///
    /// # Errors
    /// The keeper is lost.
    pub fn save(&self, on: bool) -> Result<Result<(), String>, Lost> {
        match self {
            Self::Own(directory) => Ok(save(directory, on)),
            Self::Kept { keeper, .. } => Ok(match keeper.ask(Request::Save(on))? {
                (DONE, _) => Ok(()),
                (_, why) => Err(String::from_utf8_lossy(&why).into_owned()),
            }),
        }
    }

    /// Reads the keys of an `spa` section from its file, which is at `path` (the keeper looks it up by itself): text for [`Keys::parse`]. What is
    /// wrong with it is told inside, in one line that names the file.
    ///
    /// # Errors
    /// The keeper is lost.
    pub fn read_key(&self, section: &str, path: &Path) -> Result<Result<Zeroizing<Vec<u8>>, String>, Lost> {
        match self {
            Self::Own(_) => Ok(keys::read(path, nix::unistd::geteuid().as_raw(), keys::SPA)),
            Self::Kept { keeper, .. } => Ok(match keeper.ask_key(section)? {
                (DONE, text) => Ok(Zeroizing::new(text)),
                (_, why) => Err(String::from_utf8_lossy(&why).into_owned()),
            }),
        }
    }

    /// Waits until the keeper is lost; for ever if there is none.
    pub async fn lost(&self) -> Lost {
        let Self::Kept { keeper, lifeline } = self else {
            return std::future::pending().await;
        };
        loop {
            let heard = match lifeline.readable().await {
                Ok(()) => lifeline.try_read(&mut [0]),
                Err(error) => Err(error),
            };
            match heard {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return keeper.ended(),
                Ok(_) => return Lost("speaks without being asked".into()),
                Err(error) => return keeper.lost(&error),
            }
        }
    }
}

/// A file of this directory, for whoever may read it himself.
///
/// # Errors
/// As [`storage::read`], in words.
pub fn read(directory: &Path, file: File) -> Contents {
    storage::read(&directory.join(file.name())).map_err(|error| error.to_string())
}

fn save(directory: &Path, on: bool) -> Result<(), String> {
    // Held until this returns.
    let _lock = lock(&directory.join(File::Lanward.name()))?;
    let old = read(directory, File::Lanward)?.unwrap_or_default();
    let path = directory.join(File::Lanward.name());
    let named = |error: String| format!("{}: {error}", path.display());
    match saved(&old, on).map_err(named)? {
        Some(text) => storage::replace(&path, &text, Durability::Flash).map_err(|error| named(error.to_string())),
        None => Ok(()),
    }
}

/// How long another program may keep a file locked.
const LOCKED: Duration = Duration::from_secs(2);

/// The lock that libuci takes while it commits, on the file itself: whoever read it before us is to have replaced it before we read. `None`: there is no file.
fn lock(path: &Path) -> Result<Option<Flock<std::fs::File>>, String> {
    let named = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let until = Instant::now() + LOCKED;
    loop {
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| named(&error))?,
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                // The name may lead to another file by now: that of whoever held the lock.
                let is_it = match (lock.metadata(), std::fs::metadata(path)) {
                    (Ok(ours), Ok(now)) => (ours.dev(), ours.ino()) == (now.dev(), now.ino()),
                    _ => false,
                };
                if is_it {
                    return Ok(Some(lock));
                }
            }
            Err((_, error)) if error != Errno::EWOULDBLOCK => return Err(named(&io::Error::from(error))),
            Err(_) => {}
        }
        if Instant::now() >= until {
            return Err(named(&"another program keeps it locked"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The keys of a section: whatever else its file holds stays here.
fn read_key(directory: &Path, user: u32, section: &str) -> Result<Zeroizing<String>, String> {
    let text = read(directory, File::Lanward)?;
    let (config, _) = config::read_text(text.as_deref());
    let spa = config.spas.iter().find(|spa| spa.name == section);
    let spa = spa.ok_or("the configuration has no such spa section any more, or something is wrong in it")?;
    let path = Path::new(&spa.key_file);
    let keys =
        Keys::parse(&keys::read(path, user, keys::SPA)?).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(keys.file())
}

/// The child's life.
fn be_keeper(socket: &UnixStream, lifeline: &UnixStream, directory: &Path, user: u32) {
    let greeting = match become_keeper([socket.as_raw_fd(), lifeline.as_raw_fd()]) {
        Ok(()) => (DONE, Vec::new()),
        Err(error) => (FAILED, error.into_bytes()),
    };
    if answer(socket, greeting.0, &greeting.1).is_ok() && greeting.0 == DONE {
        serve(socket, directory, user);
    }
}

#[allow(unsafe_code)]
fn become_keeper(ours: [RawFd; 2]) -> Result<(), String> {
    for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: no handler is installed, so none can do anything that a handler must not.
        unsafe { signal(ignored, SigHandler::SigIgn) }
            .map_err(|error| format!("signals: {}", io::Error::from(error)))?;
    }
    close_all_but(ours);
    // SAFETY: the name is a string with its NUL, and is copied.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"lanward-keeper".as_ptr()) };
    privileges::keep_file_access()
}

/// What came from whoever started us is not the keeper's business; but stderr, where a defect is told.
#[allow(unsafe_code)]
fn close_all_but(ours: [RawFd; 2]) {
    const INHERITED: RawFd = 256;
    for descriptor in (0..2).chain(3..INHERITED) {
        if !ours.contains(&descriptor) {
            // SAFETY: nothing in this process refers to it: our two sockets are all that was opened. Closing what is not open does nothing.
            unsafe { libc::close(descriptor) };
        }
    }
    // So that no file becomes standard output.
    for _ in 0..2 {
        // SAFETY: the path is a string with its NUL.
        unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    }
}

/// Answers until the other side is gone or says what it never says.
fn serve(mut socket: &UnixStream, directory: &Path, user: u32) {
    let mut byte = [0];
    while socket.read_exact(&mut byte).is_ok() {
        let known = REQUESTS.iter().find(|(known, _)| [*known] == byte);
        let (kind, mut bytes) = match known {
            Some((_, Request::Read(file))) => match read(directory, *file) {
                Ok(Some(bytes)) => (DONE, bytes),
                Ok(None) => (NOTHING, Vec::new()),
                Err(why) => (FAILED, why.into_bytes()),
            },
            Some((_, Request::Save(on))) => match save(directory, *on) {
                Ok(()) => (DONE, Vec::new()),
                Err(why) => (FAILED, why.into_bytes()),
            },
            None if byte == [KEY] => {
                let Some(section) = heard_name(socket) else { return };
                match read_key(directory, user, &section) {
                    Ok(mut text) => (DONE, std::mem::take(&mut *text).into_bytes()),
                    Err(why) => (FAILED, why.into_bytes()),
                }
            }
            None => return,
        };
        let answered = answer(socket, kind, &bytes);
        bytes.zeroize();
        if answered.is_err() {
            return;
        }
    }
}

fn heard_name(mut socket: &UnixStream) -> Option<String> {
    let (mut length, mut name) = ([0], [0; u8::MAX as usize]);
    socket.read_exact(&mut length).ok()?;
    let name = name.get_mut(..length[0].into())?;
    socket.read_exact(name).ok()?;
    std::str::from_utf8(name).ok().map(str::to_string)
}

fn answer(mut socket: &UnixStream, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let [a, b, c, d] = length.to_le_bytes();
    socket.write_all(&[kind, a, b, c, d])?;
    socket.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanward_rig::scratch::Scratch;
    use std::fs;

    #[test]
    fn a_change_that_is_being_committed_is_waited_for_and_kept() {
        let here = Scratch::new("keeper");
        let path = here.join("lanward");
        fs::write(&path, "config lan_only 'lan_only'\n\toption enabled '0'\n").unwrap();
        // As libuci commits: it locks the file, reads, writes beside and renames.
        let lock = Flock::lock(fs::File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
        let (place, file) = (here.to_path_buf(), path.clone());
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            let aside = place.join(".lanward.uci");
            fs::write(
                &aside,
                "config lan_only 'lan_only'\n\toption enabled '0'\n\toption level 'strict'\n",
            )
            .unwrap();
            fs::rename(aside, file).unwrap();
            drop(lock);
        });
        save(&here, true).unwrap();
        other.join().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("level 'strict'") && text.contains("enabled '1'"),
            "{text}"
        );
        let _lock = Flock::lock(fs::File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
        assert!(save(&here, false).unwrap_err().contains("keeps it locked"));
    }

    /// The keeper's loop in a thread, and the other end of its socket.
    fn served(directory: &Path) -> (UnixStream, std::thread::JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let directory = directory.to_owned();
        (ours, std::thread::spawn(move || serve(&theirs, &directory, 0)))
    }

    fn client(socket: UnixStream) -> Keeper {
        Keeper {
            lifeline: UnixStream::pair().unwrap().0,
            socket,
            process: Pid::from_raw(i32::MAX),
        }
    }

    #[test]
    fn files_are_read_and_the_switch_is_set() {
        let place = Scratch::new("keeper");
        fs::write(place.join("lanward"), "config lan_only 'lan_only'\n").unwrap();
        fs::create_dir(place.join("network")).unwrap();
        let large = vec![b'#'; 3 << 20];
        fs::write(place.join("firewall"), &large).unwrap();
        let (socket, thread) = served(&place);
        let keeper = client(socket);
        assert_eq!(keeper.ask(Request::Read(File::Firewall)).unwrap(), (DONE, large));
        assert_eq!(keeper.ask(Request::Read(File::Network)).unwrap().0, FAILED);
        assert_eq!(keeper.ask(Request::Save(true)).unwrap().0, DONE);
        let (kind, text) = keeper.ask(Request::Read(File::Lanward)).unwrap();
        assert_eq!(kind, DONE);
        assert_eq!(text, b"config lan_only 'lan_only'\n\toption enabled '1'\n");
        fs::remove_file(place.join("lanward")).unwrap();
        assert_eq!(keeper.ask(Request::Read(File::Lanward)).unwrap(), (NOTHING, Vec::new()));
        drop(keeper);
        thread.join().unwrap();
    }

    #[test]
    fn whatever_is_said_it_answers_requests_or_ends() {
        let place = Scratch::new("keeper");
        let text = "config lan_only 'lan_only'\n\toption enabled '0'\n";
        fs::write(place.join("lanward"), text).unwrap();
        for byte in 0..=u8::MAX {
            if byte == KEY || REQUESTS.iter().any(|(known, _)| *known == byte) {
                continue;
            }
            let (mut socket, thread) = served(&place);
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            // What follows is not heard any more.
            let _ = socket.write_all(&[byte, b'1', b'L']);
            let mut heard = Vec::new();
            let _ = socket.read_to_end(&mut heard);
            assert_eq!(heard, b"", "{byte}");
            thread.join().unwrap();
        }
        assert_eq!(fs::read_to_string(place.join("lanward")).unwrap(), text);
    }

    #[test]
    fn a_key_is_found_by_its_section_and_nothing_else_of_its_file_is_told() {
        let place = Scratch::new("keeper");
        let key = place.join("laptop.key");
        let config = |path: &Path| {
            let text = format!(
                "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\
                 config spa 'laptop'\n\toption gate 'ssh'\n\toption key_file '{}'\n",
                path.display()
            );
            fs::write(place.join("lanward"), text).unwrap();
        };
        config(&key);
        let keys = Keys::from_random(&std::array::from_fn(|at| at.to_le_bytes()[0]));
        let text = format!("# of somebody\n{}", *keys.file());
        keys::create(&key, text.as_bytes()).unwrap();
        let (socket, thread) = served(&place);
        let keeper = client(socket);
        let asked = |section: &str| {
            let (kind, text) = keeper.ask_key(section).unwrap();
            (kind, String::from_utf8(text).unwrap())
        };
        assert_eq!(asked("laptop"), (DONE, keys.file().to_string()));
        assert_eq!(asked("laptop"), (DONE, keys.file().to_string()));
        for section in [
            "",
            "desktop",
            "ssh",
            "laptop\0",
            "/etc/shadow",
            &"x".repeat(255),
            &"x".repeat(256),
        ] {
            let (kind, why) = asked(section);
            assert_eq!(kind, FAILED, "{section}: {why}");
            assert!(!why.contains("/etc/shadow"), "{why}");
        }
        let secret = place.join("secret");
        keys::create(&secret, b"root:$6$precious:19000::\n").unwrap();
        config(&secret);
        let (kind, why) = asked("laptop");
        assert!(kind == FAILED && why.contains("secret: line 1"), "{why}");
        assert!(!why.contains("precious"), "{why}");
        fs::remove_file(&secret).unwrap();
        std::os::unix::fs::symlink(&key, &secret).unwrap();
        assert!(asked("laptop").1.contains("symbolic link"));
        fs::write(place.join("lanward"), "config spa 'laptop").unwrap();
        assert_eq!(asked("laptop").0, FAILED);
        drop(keeper);
        thread.join().unwrap();
    }

    #[test]
    fn half_a_request_for_a_key_ends_it_with_the_socket() {
        let place = Scratch::new("keeper");
        for said in [&b"K"[..], b"K\x05lapt", b"K\x02\xff\xfe"] {
            let (mut socket, thread) = served(&place);
            socket.write_all(said).unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            socket.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, b"");
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_keeper_that_says_what_it_never_says_is_lost() {
        for said in [&[DONE, 255, 255, 255, 255][..], &[DONE, 9, 0, 0, 0, 1], &[DONE], &[]] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(said).unwrap();
            drop(theirs);
            assert!(client(ours).reply().is_err(), "{said:?}");
        }
    }
}
