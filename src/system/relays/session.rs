//! One client's life: its files, its words, its end.

use super::client::{self, Client, Kind, Place};
use super::process::{Input, Running, Told};
use super::Shared;
use crate::config;
use crate::relay::key::{self, HostKey, PrivateKey};
use crate::relay::words;
use crate::relay::{Exit, Heard, Purpose};
use crate::system::{keys, storage};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use std::cell::Cell;
use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::task::Poll;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The longest life of a client that is to end by itself.
const ERRAND: Duration = Duration::from_secs(30);
/// A last word of a client comes with its end; a daemon that has none has ended it.
const PUBLIC_COMMENT: &str = "lanward";

/// What others need of a client that runs.
pub(super) struct Live {
    pub(super) session: u64,
    pub(super) begun: Instant,
    /// Set: it is to end.
    pub(super) ending: Cell<bool>,
    /// Set: it has.
    pub(super) gone: Cell<bool>,
    /// The port of our own that leads through it, and the client's process.
    pub(super) port: Cell<u16>,
    pub(super) process: Cell<Option<u32>>,
    /// Our own port of its connection to the relay, once it was seen; 0: not yet.
    pub(super) line: Cell<u16>,
}

impl Live {
    pub(super) fn new(session: u64) -> Self {
        Self {
            session,
            begun: Instant::now(),
            ending: Cell::new(false),
            gone: Cell::new(false),
            port: Cell::new(0),
            process: Cell::new(None),
            line: Cell::new(0),
        }
    }

    /// Waits until it is to end. Whoever sets that lets all futures be asked again.
    async fn told_to_end(&self) {
        poll_fn(|_| {
            if self.ending.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// Runs a client for a relay until it is gone.
pub(super) async fn run(shared: &Shared, config: &config::Relay, purpose: Purpose, live: &Live) -> Exit {
    let found = tokio::select! {
        biased;
        found = client::find(&shared.clients, config.client) => found,
        () = live.told_to_end() => return Exit::NotStarted("it was ended before".into()),
    };
    let client = match found {
        Ok(client) => client,
        // A package may be on its way.
        Err(why) => return Exit::NotStarted(why),
    };
    let directory = Directory(shared.directory.join(live.session.to_string()));
    let started = start(&directory, &client, config, purpose, live);
    let mut running = match started {
        Ok(running) => running,
        Err(exit) => {
            shared.clients.borrow_mut().forget();
            return exit;
        }
    };
    let name = client.name.clone();
    let session = live.session;
    shared.tell(&config.name, Heard::Spawned { session, client: name });
    live.process.set(Some(running.pid()));
    let status = hear(shared, config, purpose, live, &mut running).await;
    live.process.set(None);
    let host_key = if purpose == Purpose::AskKey {
        directory.offered()
    } else {
        None
    };
    Exit::Ended {
        how: ended(status),
        told: running.was_told(),
        host_key,
    }
}

fn start(
    directory: &Directory,
    client: &Client,
    config: &config::Relay,
    purpose: Purpose,
    live: &Live,
) -> Result<Running, Exit> {
    let passing = |what: &str, error: std::io::Error| Exit::NotStarted(format!("{what}: {error}"));
    directory.make().map_err(|error| passing("run directory", error))?;
    if purpose != Purpose::AskKey {
        let key = key_for(client.kind, Path::new(&config.key))?;
        storage::replace(&directory.key(), &key, storage::Durability::Secret)
            .map_err(|error| passing("run directory", error))?;
        let pinned = config.host_key.as_deref().unwrap_or_default();
        let pinned = HostKey::parse(pinned).map_err(|error| Exit::Unfit(format!("host_key: {error}")))?;
        let known = match client.kind {
            Kind::OpenSsh => key::known_hosts_openssh(client::ALIAS, &pinned),
            Kind::Dropbear => key::known_hosts_dropbear(&config.host, &pinned),
        };
        storage::replace(&directory.known_hosts(), known.as_bytes(), storage::Durability::Secret)
            .map_err(|error| passing("run directory", error))?;
    }
    if matches!(purpose, Purpose::Forward { .. }) {
        live.port
            .set(free_port().map_err(|error| passing("a port of our own", error))?);
    }
    let place = Place {
        key: &directory.key(),
        known_hosts: &directory.known_hosts(),
        port: live.port.get(),
    };
    let arguments = client.arguments(config, purpose, &place).map_err(Exit::Unfit)?;
    let input = match purpose {
        // The script lives as long as its input.
        Purpose::Forward { hold: true } => Input::Held,
        // dropbear's asks whether to trust the key, and writes it down then.
        Purpose::AskKey if client.kind == Kind::Dropbear => Input::Text(b"y\n"),
        _ => Input::Nothing,
    };
    Running::spawn(&client.path, &arguments, &directory.0, input)
        .map_err(|error| passing(&client.path.display().to_string(), error))
}

async fn hear(
    shared: &Shared,
    config: &config::Relay,
    purpose: Purpose,
    live: &Live,
    running: &mut Running,
) -> ExitStatus {
    let session = live.session;
    let errand = tokio::time::Instant::now() + ERRAND;
    let is_errand = !matches!(purpose, Purpose::Forward { .. });
    let mut told_to_end = false;
    loop {
        let told = tokio::select! {
            biased;
            told = running.next() => told,
            () = live.told_to_end(), if !told_to_end => {
                told_to_end = true;
                running.end();
                continue;
            }
            () = tokio::time::sleep_until(errand), if is_errand && !told_to_end => {
                told_to_end = true;
                running.end();
                continue;
            }
        };
        let heard = match told {
            Told::Exited(status) => return status,
            Told::Out(line) => words::said(&line).map(|said| Heard::Said { session, said }),
            Told::Error(line) => {
                let word = words::word(&line);
                // Where somebody is asked for a password, the key is written down by now.
                if purpose == Purpose::AskKey && line.trim_ascii_end().ends_with(b"assword:") {
                    running.end();
                }
                let line = words::clean(&line);
                log::debug!("relay {}: client: {line}", config.name);
                word.map(|word| Heard::Complained { session, word, line })
            }
        };
        if let Some(heard) = heard {
            shared.tell(&config.name, heard);
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".into(),
    }
}

/// A port of the loopback that nobody has. Until the client takes it somebody else could: then the client fails, and the next takes another.
fn free_port() -> std::io::Result<u16> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    socket::bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    Ok(socket::getsockname::<SockaddrIn>(socket.as_raw_fd())?.port())
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    keys::read(path, nix::unistd::geteuid().as_raw(), keys::RELAY)
}

/// The configured key in the form that this client reads.
fn key_for(kind: Kind, path: &Path) -> Result<Zeroizing<Vec<u8>>, Exit> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    // What the file is like waits for somebody; that nothing can be read now does not.
    if let Err(error) = std::fs::File::open(path) {
        if !matches!(error.kind(), NotFound | PermissionDenied) {
            return Err(Exit::NotStarted(format!("{}: {error}", path.display())));
        }
    }
    read_key(path)
        .and_then(|bytes| in_form(kind, path, bytes))
        .map_err(Exit::Unfit)
}

fn in_form(kind: Kind, path: &Path, bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, String> {
    let named = |what: &str| format!("{}: {what}", path.display());
    match PrivateKey::parse(&bytes).map_err(named)? {
        key::KeyFile::Ed25519(key) => Ok(match kind {
            Kind::OpenSsh => key.openssh(),
            Kind::Dropbear => key.dropbear(),
        }),
        key::KeyFile::Other(format) => match (format, kind) {
            (key::Form::OpenSsh, Kind::OpenSsh) | (key::Form::Dropbear, Kind::Dropbear) => Ok(bytes),
            (key::Form::OpenSsh, Kind::Dropbear) => Err(named(
                "an OpenSSH key that is not ed25519, which dropbear's client does not read: put it aside and make another with 'lanward relay keygen NAME'",
            )),
            (key::Form::Dropbear, Kind::OpenSsh) => Err(named(
                "a dropbear key that is not ed25519, which OpenSSH's client does not read: put it aside and make another with 'lanward relay keygen NAME'",
            )),
        },
    }
}

/// The public part of a key file, as `authorized_keys` has it.
///
/// # Errors
/// One line that names the file.
pub fn public_line(path: &Path) -> Result<String, String> {
    let bytes = read_key(path)?;
    let named = |what: &str| format!("{}: {what}", path.display());
    match PrivateKey::parse(&bytes).map_err(named)? {
        key::KeyFile::Ed25519(key) => Ok(key.public_line(PUBLIC_COMMENT)),
        key::KeyFile::Other(_) => Err(named("its public part is not shown: it is not an ed25519 key")),
    }
}

/// A session's own files. They go with it.
struct Directory(PathBuf);

impl Directory {
    fn make(&self) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let ssh = self.known_hosts();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(ssh.parent().unwrap_or(&self.0))
    }

    fn key(&self) -> PathBuf {
        self.0.join("key")
    }

    /// Where dropbear's client looks for it by itself.
    fn known_hosts(&self) -> PathBuf {
        self.0.join(".ssh/known_hosts")
    }

    fn offered(&self) -> Option<HostKey> {
        let text = storage::read(&self.known_hosts()).ok().flatten()?;
        key::offered(&text)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // In RAM; the next daemon removes what is left.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
