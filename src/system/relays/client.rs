//! Which SSH clients this router has, and how each is told the same.
//!
//! A name tells nothing: on OpenWrt `/usr/bin/ssh` is dropbear's as long as OpenSSH's is not installed. So each program is asked for its version, and
//! dropbear's for its options, which differ from version to version.

use super::process::output;
use crate::config;
use crate::gather::Gather;
use crate::relay::Purpose;
use crate::system::keys;
use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where they may be, by what OpenWrt's and Debian's packages install.
const PLACES: [&str; 6] = [
    "/usr/bin/ssh",
    "/usr/libexec/ssh-openssh",
    "/usr/bin/dbclient",
    "/usr/libexec/ssh-dropbear",
    "/usr/sbin/dbclient",
    "/bin/dbclient",
];
const MAKERS: [(&str, Kind); 3] = [
    ("/usr/bin/dropbearkey", Kind::Dropbear),
    ("/usr/libexec/dropbearkey", Kind::Dropbear),
    ("/usr/bin/ssh-keygen", Kind::OpenSsh),
];
/// They are looked for again after that, when one cannot be started, and when something else is in their places: packages come and go, and with OpenSSH's
/// client `/usr/bin/ssh` is another program.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// By which our own name for the relay is found in OpenSSH's `known_hosts`.
pub(super) const ALIAS: &str = "lanward-relay";

/// Whose program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenSSH's `ssh`
    OpenSsh,
    /// dropbear's `dbclient`
    Dropbear,
}

/// A client that was found.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// `Dropbear 2022.83`
    pub(super) name: String,
    /// The options that `-o` takes, as dropbear's prints them.
    options: String,
}

/// Those that were found last.
#[derive(Default)]
pub(super) struct Known {
    found: Vec<Client>,
    at: Option<Instant>,
    places: Vec<Seen>,
}

/// What is in a place: the file's number, its size, and when it was written. `None`: nothing.
type Seen = Option<(u64, u64, i64)>;

impl Known {
    /// One of them cannot be started.
    pub(super) fn forget(&mut self) {
        self.at = None;
    }

    fn fresh(&self, places: &[Seen]) -> Option<&[Client]> {
        self.at
            .filter(|at| at.elapsed() < KNOWN_FOR && !self.found.is_empty() && self.places == places)
            .map(|_| self.found.as_slice())
    }
}

fn seen(places: &[&str]) -> Vec<Seen> {
    let one = |place: &&str| {
        let file = std::fs::metadata(place).ok()?;
        Some((file.ino(), file.size(), file.mtime()))
    };
    places.iter().map(one).gathered()
}

/// The client that the configuration wants.
pub(super) async fn find(known: &RefCell<Known>, wanted: config::Client) -> Result<Client, String> {
    find_in(&PLACES, known, wanted).await
}

async fn find_in(places: &[&str], known: &RefCell<Known>, wanted: config::Client) -> Result<Client, String> {
    let seen = seen(places);
    let fresh = known.borrow().fresh(&seen).map(<[Client]>::to_vec);
    let found = match fresh {
        Some(found) => found,
        None => {
            let found = look(places).await;
            *known.borrow_mut() = Known {
                found: found.clone(),
                at: Some(Instant::now()),
                places: seen,
            };
            found
        }
    };
    let of = |kind: Kind| found.iter().find(|client| client.kind == kind).cloned();
    let (client, what) = match wanted {
        config::Client::Auto => (
            of(Kind::OpenSsh).or_else(|| of(Kind::Dropbear)),
            "no SSH client on this router: install dropbear or openssh-client",
        ),
        config::Client::OpenSsh => (
            of(Kind::OpenSsh),
            "OpenSSH's client is not on this router: install openssh-client",
        ),
        config::Client::Dropbear => (
            of(Kind::Dropbear),
            "dropbear's client is not on this router: install dropbear",
        ),
    };
    client.ok_or_else(|| what.to_string())
}

async fn look(places: &[&str]) -> Vec<Client> {
    let mut found: Vec<Client> = Vec::new();
    for place in places {
        let path = Path::new(place);
        if !path.exists() {
            continue;
        }
        let Ok((_, said)) = output(path, &["-V".into()]).await else {
            continue;
        };
        let Some((kind, name)) = version(&said) else { continue };
        if found.iter().any(|known| known.kind == kind) {
            continue;
        }
        let options = match kind {
            Kind::OpenSsh => String::new(),
            Kind::Dropbear => match output(path, &["-o".into(), "help".into(), "localhost".into()]).await {
                Ok((_, said)) => said,
                Err(_) => String::new(),
            },
        };
        found.push(Client {
            path: path.to_path_buf(),
            kind,
            name,
            options,
        });
    }
    found
}

/// `OpenSSH_9.2p1 Debian-2, …` or `Dropbear v2022.83`.
fn version(said: &str) -> Option<(Kind, String)> {
    let words = said.lines().find_map(|line| {
        let openssh = line
            .strip_prefix("OpenSSH_")
            .map(|rest| (Kind::OpenSsh, "OpenSSH ", rest));
        openssh.or_else(|| {
            line.strip_prefix("Dropbear v")
                .map(|rest| (Kind::Dropbear, "Dropbear ", rest))
        })
    });
    let (kind, name, rest) = words?;
    let is_part = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '.';
    let version: String = rest.chars().take_while(is_part).take(16).collect();
    Some((kind, format!("{name}{version}")))
}

/// What a session's files are, and the port of our own that leads through it.
pub(super) struct Place<'a> {
    pub(super) key: &'a Path,
    pub(super) known_hosts: &'a Path,
    pub(super) port: u16,
}

impl Client {
    /// Whether this option can be given to `-o`.
    fn takes(&self, option: &str) -> bool {
        self.kind == Kind::OpenSsh || self.options.split_whitespace().any(|word| word == option)
    }

    /// Everything behind the program's name.
    pub(super) fn arguments(
        &self,
        config: &config::Relay,
        purpose: Purpose,
        place: &Place<'_>,
    ) -> Result<Vec<OsString>, String> {
        let mut arguments = Arguments(Vec::new());
        match self.kind {
            Kind::OpenSsh => openssh(&mut arguments, config, purpose, place),
            Kind::Dropbear => self.dropbear(&mut arguments, config, purpose, place)?,
        }
        if let Purpose::Forward { hold } = purpose {
            let (port, target) = (config.remote_port, &config.target);
            // With the address: without it a server has done as it was told when it has but one family's, and somebody else the other's.
            arguments.pair("-R", &format!("127.0.0.1:{port}:{target}"));
            arguments.pair("-L", &format!("127.0.0.1:{}:127.0.0.1:{port}", place.port));
            if !hold {
                arguments.word("-N");
            }
        }
        arguments.word(&config.host);
        match purpose {
            Purpose::Forward { hold: true } => arguments.word("lanward-relay hold"),
            Purpose::EndRemains => arguments.word("lanward-relay end"),
            Purpose::AskKey => arguments.word("exit"),
            Purpose::Forward { hold: false } => {}
        }
        Ok(arguments.0)
    }

    fn dropbear(
        &self,
        arguments: &mut Arguments,
        config: &config::Relay,
        purpose: Purpose,
        place: &Place<'_>,
    ) -> Result<(), String> {
        if config.target.host.contains(':') {
            return Err(format!(
                "dropbear's client cannot lead to an IPv6 address ({}): write a name for it, or install openssh-client",
                config.target.host
            ));
        }
        arguments.word("-T");
        arguments.pair("-p", &config.port.to_string());
        arguments.pair("-l", &config.user);
        arguments.pair("-K", &keep_alive(config).to_string());
        for option in ["BatchMode=yes", "PasswordAuthentication=no", "ExitOnForwardFailure=yes"] {
            if option.split('=').next().is_some_and(|name| self.takes(name)) {
                arguments.pair("-o", option);
            }
        }
        if purpose == Purpose::AskKey {
            // What it asks is answered, since versions before 2024.84 write nothing down with -y; later ones ask nobody in batch mode. The key that we have
            // is not shown to whoever that is.
            if self.takes("StrictHostKeyChecking") {
                arguments.pair("-o", "StrictHostKeyChecking=accept-new");
            }
            return Ok(());
        }
        if self.takes("StrictHostKeyChecking") {
            arguments.pair("-o", "StrictHostKeyChecking=yes");
        }
        arguments.path("-i", place.key);
        Ok(())
    }
}

fn openssh(arguments: &mut Arguments, config: &config::Relay, purpose: Purpose, place: &Place<'_>) {
    arguments.pair("-F", "none");
    arguments.word("-T");
    arguments.pair("-p", &config.port.to_string());
    arguments.pair("-l", &config.user);
    let mut known_hosts = OsString::from("UserKnownHostsFile=");
    known_hosts.push(place.known_hosts);
    arguments.0.extend(["-o".into(), known_hosts]);
    for option in [
        "GlobalKnownHostsFile=/dev/null",
        "CheckHostIP=no",
        "UpdateHostKeys=no",
        "HashKnownHosts=no",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "ForwardAgent=no",
        "ForwardX11=no",
        "ControlMaster=no",
        "ControlPath=none",
        "EscapeChar=none",
        "ExitOnForwardFailure=yes",
        "ConnectTimeout=10",
        "ServerAliveCountMax=3",
    ] {
        arguments.pair("-o", option);
    }
    arguments.pair("-o", &format!("HostKeyAlias={ALIAS}"));
    arguments.pair("-o", &format!("ServerAliveInterval={}", keep_alive(config)));
    if purpose == Purpose::AskKey {
        arguments.pair("-o", "StrictHostKeyChecking=accept-new");
        arguments.pair("-o", "PreferredAuthentications=none");
        return;
    }
    arguments.pair("-o", "StrictHostKeyChecking=yes");
    arguments.pair("-o", "PreferredAuthentications=publickey");
    if let Some(algorithms) = algorithms(config.host_key.as_deref().unwrap_or_default()) {
        arguments.pair("-o", &format!("HostKeyAlgorithms={algorithms}"));
    }
    arguments.path("-i", place.key);
}

/// Only the pinned key's type is asked for, so that a relay with several keys shows this one.
fn algorithms(host_key: &str) -> Option<&str> {
    match host_key.split(' ').next() {
        Some("ssh-rsa") => Some("rsa-sha2-512,rsa-sha2-256"),
        other => other.filter(|kind| !kind.is_empty()),
    }
}

/// Seconds between two signs of life. Three that are missed end the session.
fn keep_alive(config: &config::Relay) -> u32 {
    (config.check / 2).clamp(3, 15)
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn word(&mut self, word: &str) {
        self.0.push(word.into());
    }

    fn pair(&mut self, option: &str, value: &str) {
        self.word(option);
        self.word(value);
    }

    fn path(&mut self, option: &str, path: &Path) {
        self.word(option);
        self.0.push(path.into());
    }
}

/// Makes an ed25519 key without a passphrase, with the router's own tool, directly in this directory. A file that is there is never changed.
pub(super) async fn make_key(path: &Path, directory: &Path) -> Result<(bool, String), String> {
    if path.exists() {
        return super::session::public_line(path).map(|line| (false, line));
    }
    let shown = path.display();
    if path.parent() != Some(directory) {
        let directory = directory.display();
        return Err(format!(
            "{shown}: keys are made in {directory} only: make this one by hand"
        ));
    }
    let maker = MAKERS.iter().find(|(maker, _)| Path::new(maker).exists());
    let Some((maker, kind)) = maker else {
        return Err("nothing on this router can make a key: install dropbear, or openssh-keygen".into());
    };
    let mut arguments = Arguments(Vec::new());
    arguments.pair("-t", "ed25519");
    arguments.path("-f", path);
    if *kind == Kind::OpenSsh {
        arguments.pair("-N", "");
        arguments.pair("-C", "lanward");
    }
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let (status, said) = output(Path::new(maker), &arguments.0)
        .await
        .map_err(|error| format!("{maker}: {error}"))?;
    if !status.success() {
        // Somebody else may have asked for it at the same time.
        if path.exists() {
            return super::session::public_line(path).map(|line| (false, line));
        }
        return Err(format!(
            "{maker}: {}",
            crate::relay::words::clean(why_not(&said).as_bytes())
        ));
    }
    // It is to be there after a loss of power: the relay is told its public part.
    let kept = std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| keys::sync_directory(path));
    kept.map_err(|error| format!("{shown}: {error}"))?;
    super::session::public_line(path).map(|line| (true, line))
}

/// The reason in what a maker of keys has said: its last line, but dropbear's ends with that it has ended.
fn why_not(said: &str) -> &str {
    let mut lines = said.lines().rev();
    let reason = lines.find(|line| !line.is_empty() && !line.starts_with("Exited: "));
    reason.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanward_rig::scratch::Scratch;
    use std::os::unix::fs::PermissionsExt;

    /// A directory of programs that do no more than say their version, if they are in it.
    struct Programs(Scratch);

    impl Programs {
        fn install(&self, name: &str, version: &str) {
            // As a package manager does it: written aside, and put in its place.
            self.0.write("new", format!("#!/bin/sh\necho '{version}'\n").as_bytes());
            let (new, path) = (self.0.join("new"), self.0.join(name));
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(new, path).unwrap();
        }

        fn find(&self, known: &RefCell<Known>, wanted: config::Client) -> Result<Kind, String> {
            let paths = ["ssh", "dbclient"].map(|name| self.0.join(name).display().to_string());
            let places = paths.each_ref().map(String::as_str);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let found = runtime.block_on(find_in(&places, known, wanted));
            found.map(|client| client.kind)
        }
    }

    /// On OpenWrt dropbear is `/usr/bin/ssh` until openssh-client is installed, and again when that is removed: each must be told in its own words.
    #[test]
    fn another_program_in_a_place_is_noticed_at_once() {
        use config::Client::{Auto, Dropbear, OpenSsh};
        let programs = Programs(Scratch::new("programs"));
        let known = RefCell::default();
        assert!(programs.find(&known, Auto).unwrap_err().contains("no SSH client"));
        programs.install("ssh", "Dropbear v2024.86");
        assert_eq!(programs.find(&known, Auto), Ok(Kind::Dropbear));
        assert!(programs.find(&known, OpenSsh).unwrap_err().contains("openssh-client"));
        programs.install("ssh", "OpenSSH_9.9p2, OpenSSL 3.0.16");
        assert_eq!(programs.find(&known, Auto), Ok(Kind::OpenSsh));
        assert_eq!(programs.find(&known, OpenSsh), Ok(Kind::OpenSsh));
        assert!(programs
            .find(&known, Dropbear)
            .unwrap_err()
            .contains("install dropbear"));
        programs.install("dbclient", "Dropbear v2024.86");
        assert_eq!(programs.find(&known, Dropbear), Ok(Kind::Dropbear));
        programs.install("ssh", "Dropbear v2024.86");
        assert_eq!(programs.find(&known, Auto), Ok(Kind::Dropbear));
    }

    /// On a full disk, as the two say it.
    #[test]
    fn why_no_key_was_made_is_told() {
        for said in [
            "Generating 256 bit ed25519 key, this may take a while...\nFailed writing file k.tmp17: No space left on device\nExited: Failed to generate key.\n\n",
            "Generating public/private ed25519 key pair.\nSaving key \"k\" failed: No space left on device\n",
        ] {
            assert!(why_not(said).ends_with("No space left on device"), "{said}");
        }
        assert_eq!(why_not(""), "");
    }

    #[test]
    fn programs_are_known_by_what_they_say() {
        let name = version;
        assert_eq!(
            name("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19 27 Jan 2026\n"),
            Some((Kind::OpenSsh, "OpenSSH 9.2p1".into()))
        );
        assert_eq!(
            name("Dropbear v2022.83\n"),
            Some((Kind::Dropbear, "Dropbear 2022.83".into()))
        );
        assert_eq!(name("sh: not found\n"), None);
    }
}
