//! The router's part of it by hand: `ssh` and `dbclient`, asked as the daemon asks them.

use super::{Relay, PORT, USER};
use crate::namespace::Namespace;
use crate::servers::{program, tool, Dialogue};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a client may be silent on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which client it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Client {
    OpenSsh,
    Dropbear,
}

/// Both, to go through.
pub const CLIENTS: [Client; 2] = [Client::OpenSsh, Client::Dropbear];

/// Somebody with a key, who knows the relay's.
#[derive(Debug)]
pub struct Visitor {
    directory: PathBuf,
    address: String,
    from: Namespace,
}

impl Visitor {
    /// Makes a key, and takes the relay's as it is.
    ///
    /// # Panics
    /// If that cannot be done.
    #[must_use]
    pub fn new(directory: &Path, from: &Namespace, relay: &Relay) -> Self {
        let ssh = directory.join(".ssh");
        fs::create_dir_all(&ssh).expect("ours");
        let address = relay.address().to_string();
        fs::write(ssh.join("known_hosts"), format!("{address} {}\n", relay.host_key())).expect("ours");
        let visitor = Self {
            directory: directory.to_owned(),
            address,
            from: from.clone(),
        };
        let key = visitor.path("key");
        tool(
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-C", "visitor", "-f", &key],
        );
        tool(
            "dropbearconvert",
            &["openssh", "dropbear", &key, &visitor.path("key.dropbear")],
        );
        visitor
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Its public key, in one line.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn public_key(&self) -> String {
        let line = fs::read_to_string(self.path("key.pub")).expect("it was made");
        line.trim_end().to_owned()
    }

    fn command(&self, client: Client, options: &[&str], words: &[&str]) -> Command {
        let port = PORT.to_string();
        let mut command = match client {
            Client::OpenSsh => {
                let mut command = Command::new(program("ssh"));
                command.args(["-F", "none", "-p", &port, "-i", &self.path("key")]);
                let known = format!("UserKnownHostsFile={}", self.path(".ssh/known_hosts"));
                for option in [
                    known.as_str(),
                    "GlobalKnownHostsFile=/dev/null",
                    "StrictHostKeyChecking=yes",
                    "HostKeyAlgorithms=ssh-ed25519",
                    "BatchMode=yes",
                    "IdentitiesOnly=yes",
                    "IdentityAgent=none",
                    "ConnectTimeout=5",
                ] {
                    command.args(["-o", option]);
                }
                command
            }
            Client::Dropbear => {
                let mut command = Command::new(program("dbclient"));
                command.args(["-p", &port, "-i", &self.path("key.dropbear")]);
                command
            }
        };
        command.args(["-o", "ExitOnForwardFailure=yes"]).args(options);
        command.env_clear().env("HOME", &self.directory);
        command.arg(format!("{USER}@{}", self.address)).args(words);
        command
    }

    /// Asks for this command, and gives what it was answered: standard output, and what the client complains of. A client that does not end is ended.
    ///
    /// # Panics
    /// If the client cannot be started.
    #[must_use]
    pub fn ask(&self, client: Client, options: &[&str], words: &str) -> (String, String) {
        let mut session = self.session(client, options, &[words]);
        session.hush();
        let mut said = Vec::new();
        while let Some(line) = session.line(PATIENCE) {
            said.push(line);
        }
        let _ = session.ends(PATIENCE);
        (said.join("\n"), session.log())
    }

    /// A session with these options, which stays open: with a command, or with `-N` among the options and without.
    ///
    /// # Panics
    /// If the client cannot be started.
    #[must_use]
    pub fn session(&self, client: Client, options: &[&str], words: &[&str]) -> Dialogue {
        let mut command = self.command(client, options, words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        Dialogue::start(&self.from, command)
    }
}
