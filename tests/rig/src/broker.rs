//! A stand-in for ubusd where none can be installed: the rules of `ubusd_*.c` as the recordings in `tests/ubus-wire` show them.
//!
//! What it leaves out: the monitor (object 3) and the query of ACLs (object 2) are refused, a SIGHUP changes nothing, and a long
//! answer to a LOOKUP is queued whole instead of in bursts.

mod access;
mod connection;
mod rules;

use access::Access;
use connection::Connection;
use rules::Rules;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A broker that runs in a thread until it is dropped.
#[derive(Debug)]
pub struct Broker {
    path: PathBuf,
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Listens on the socket `path`, which must not be in use; a stale one is replaced. Only root may do anything.
    pub fn start(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::start_with_access(path, None)
    }

    /// The same, with what the ACL files of a directory grant to others (as in `/usr/share/acl.d`).
    pub fn start_with_access(path: impl AsRef<Path>, directory: Option<&Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let access = directory.map(Access::read).transpose()?.unwrap_or_default();
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if UnixStream::connect(&path).is_err() && path.exists() {
            std::fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new()
            .name("broker".to_owned())
            .spawn(move || serve(&listener, &stopped, Rules::new(access)))?;
        Ok(Self {
            path,
            stop,
            thread: Some(thread),
        })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.stop.write_all(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(listener: &UnixListener, stopped: &UnixStream, mut rules: Rules) {
    loop {
        let mut polled = vec![
            entry(listener.as_raw_fd(), libc::POLLIN),
            entry(stopped.as_raw_fd(), libc::POLLIN),
        ];
        let clients: Vec<u32> = rules.clients.keys().copied().collect();
        polled.extend(rules.clients.values().map(|client| {
            let out = if client.connection.has_output() {
                libc::POLLOUT
            } else {
                0
            };
            entry(client.connection.descriptor(), libc::POLLIN | out)
        }));
        let count = libc::nfds_t::try_from(polled.len()).expect("few clients");
        // SAFETY: the pointer and the count are those of one vector.
        if unsafe { libc::poll(polled.as_mut_ptr(), count, -1) } < 0 {
            continue;
        }
        if polled[1].revents != 0 {
            return;
        }
        for (client, polled) in clients.into_iter().zip(&polled[2..]) {
            if polled.revents & libc::POLLOUT != 0 {
                if let Some(client) = rules.clients.get_mut(&client) {
                    client.connection.flush();
                }
            }
            if polled.revents & !libc::POLLOUT != 0 {
                receive(&mut rules, client);
            }
        }
        if polled[0].revents != 0 {
            while let Ok((stream, _)) = listener.accept() {
                if let Ok(connection) = Connection::new(stream) {
                    rules.connect(connection);
                }
            }
        }
        rules.bury();
    }
}

fn entry(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Takes what a client has sent, but not more than a few messages at once, so that nobody waits for long.
fn receive(rules: &mut Rules, id: u32) {
    for _ in 0..64 {
        let Some(client) = rules.clients.get_mut(&id) else {
            return;
        };
        match client.connection.read() {
            Ok(Some(message)) => rules.receive(id, message),
            Ok(None) => return,
            Err(_) => return rules.disconnect(id),
        }
    }
}

/// The broker that tests run against: the stand-in, or the ubusd that `LANWARD_UBUSD` names.
#[derive(Debug)]
pub enum Tested {
    /// The stand-in.
    Broker(Broker),
    /// A real one.
    Ubusd(Child),
}

impl Tested {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(path: &Path, access: Option<&Path>) -> Self {
        let Some(program) = std::env::var_os("LANWARD_UBUSD") else {
            return Self::Broker(Broker::start_with_access(path, access).expect("the broker starts"));
        };
        let access = access.unwrap_or(Path::new("/nonexistent"));
        let child = Command::new(program)
            .arg("-s")
            .arg(path)
            .arg("-A")
            .arg(access)
            .spawn()
            .expect("ubusd starts");
        let deadline = Instant::now() + Duration::from_secs(5);
        while UnixStream::connect(path).is_err() {
            assert!(Instant::now() < deadline, "ubusd does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self::Ubusd(child)
    }

    /// Whether it is a real one.
    pub fn is_real(&self) -> bool {
        matches!(self, Self::Ubusd(_))
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        if let Self::Ubusd(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
