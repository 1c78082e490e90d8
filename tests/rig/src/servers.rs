//! Real servers and clients: OpenSSH, dropbear and an IMAPS server in a namespace, `ssh`, `curl` and `openssl` towards them.
//!
//! A server lives in a process namespace of its own, so that whatever it starts ends with it, and in a mount namespace of its own, in
//! which `/run` is empty and root's home is a directory of ours: nothing of this machine's settings is read, and nothing is left behind.

use crate::house::{Family, Host, House};
use crate::namespace::Namespace;
use nix::sched::{unshare, CloneFlags};
use nix::sys::signal::{kill, Signal};
use nix::unistd::{chown, Pid};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to listen, and a session to come up, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer may take on a connection that is open.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// After so many seconds without an answer a connection attempt counts as silent.
const CONNECT_SECONDS: u32 = 8;
/// The mailbox's user and password.
const MAIL_USER: &str = "house:not-a-secret";

/// The keys of a house's servers and of who may come in, in a directory of the house's.
#[derive(Debug, Clone)]
pub struct Keys {
    directory: PathBuf,
}

impl Keys {
    /// Makes them: one host key for every SSH server, one client key that they let in, one TLS certificate.
    ///
    /// # Panics
    /// If a tool is missing (`make tools`).
    #[must_use]
    pub fn make(house: &House) -> Self {
        let keys = Self {
            directory: house.directory().join("servers"),
        };
        let (home, mail) = (keys.path("home"), keys.path("mail"));
        for (directory, mode) in [(&keys.directory, 0o755), (&home, 0o700), (&mail, 0o755)] {
            fs::create_dir(directory).expect("a directory of our own");
            fs::set_permissions(directory, Permissions::from_mode(mode)).expect("our own");
        }
        for key in ["host_key", "client_key"] {
            let path = keys.text("", key);
            tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", &path]);
        }
        let (host_key, dropbear_key) = (keys.text("", "host_key"), keys.text("", "dropbear_key"));
        tool("dropbearconvert", &["openssh", "dropbear", &host_key, &dropbear_key]);
        let (key, certificate) = (keys.text("", "tls.key"), keys.text("", "tls.pem"));
        #[rustfmt::skip]
        tool("openssl", &[
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", "/CN=mail.example", "-keyout", &key, "-out", &certificate,
        ]);
        keys.write_accounts();
        keys
    }

    /// Who is root (with a home of ours, and not locked) and whose keys are let in.
    fn write_accounts(&self) {
        let read = |path: &Path| fs::read_to_string(path).expect("it is there");
        let root = format!("root:x:0:0:root:{}:/bin/sh\n", self.text("", "home"));
        let others = read(Path::new("/etc/passwd"));
        let others = others.lines().filter(|line| !line.starts_with("root:"));
        let accounts = others.fold(root, |accounts, line| accounts + line + "\n");
        let write = |name: &str, text: &str, mode: u32| {
            let path = self.path(name);
            fs::write(&path, text).expect("a file of our own");
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own");
        };
        write("passwd", &accounts, 0o644);
        write("shadow", "root:*:19000:0:99999:7:::\n", 0o600);
        fs::create_dir(self.path("home/.ssh")).expect("a directory of our own");
        fs::set_permissions(self.path("home/.ssh"), Permissions::from_mode(0o700)).expect("our own");
        write("home/.ssh/authorized_keys", &read(&self.path("client_key.pub")), 0o600);
        let host_key = read(&self.path("host_key.pub"));
        write("known_hosts", &format!("* {host_key}"), 0o644);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A path behind a word, as options have it.
    fn text(&self, before: &str, name: &str) -> String {
        format!("{before}{}", self.path(name).display())
    }
}

/// A running server. Dropped, it and all that it started are gone.
#[derive(Debug)]
pub struct Server {
    process: Process,
}

impl Server {
    /// OpenSSH's `sshd` on every address of the namespace.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn openssh(namespace: &Namespace, port: u16, keys: &Keys) -> Self {
        let config = keys.path(&format!("sshd-{port}.conf"));
        let text = format!(
            "HostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nPermitUserRC no\nPrintMotd no\nPrintLastLog no\nUseDNS no\n",
            keys.text("", "host_key")
        );
        fs::write(&config, text).expect("a file of our own");
        let mut command = Command::new(program("sshd"));
        command.args(["-D", "-e", "-p", &port.to_string(), "-f"]).arg(config);
        Self::start(namespace, port, keys, command)
    }

    /// dropbear on every address of the namespace.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn dropbear(namespace: &Namespace, port: u16, keys: &Keys) -> Self {
        let mut command = Command::new(program("dropbear"));
        command.args(["-F", "-E", "-s", "-p", &port.to_string(), "-P", ""]);
        command.arg("-r").arg(keys.path("dropbear_key"));
        Self::start(namespace, port, keys, command)
    }

    /// dovecot, IMAPS only, on every address of the namespace, with one empty mailbox.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn imaps(namespace: &Namespace, port: u16, keys: &Keys) -> Self {
        let mut number = 0;
        let directory = loop {
            let directory = keys.path(&format!("imap-{number}"));
            match fs::create_dir(&directory) {
                Ok(()) => break directory,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => panic!("{}: {error}", directory.display()),
            }
        };
        let (uid, gid) = (65534, 65534);
        let _ = chown(&keys.path("mail"), Some(uid.into()), Some(gid.into()));
        let config = directory.join("dovecot.conf");
        fs::write(&config, dovecot_config(&directory, port, keys)).expect("a file of our own");
        let mut command = Command::new(program("dovecot"));
        command.arg("-F").arg("-c").arg(config);
        Self::start(namespace, port, keys, command)
    }

    fn start(namespace: &Namespace, port: u16, keys: &Keys, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        enclose(&mut command, &keys.directory);
        let process = Process::start(namespace, command, Inside::OwnProcesses);
        process.comes_up(namespace, port);
        Self { process }
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// dovecot's settings were renamed with 2.4.
fn dovecot_config(directory: &Path, port: u16, keys: &Keys) -> String {
    let version = tool("dovecot", &["--version"]);
    let (base, mail) = (directory.display(), keys.text("", "mail"));
    let (key, certificate) = (keys.text("", "tls.key"), keys.text("", "tls.pem"));
    let password = MAIL_USER.split(':').next_back().unwrap_or_default();
    let mut text = format!(
        "base_dir = {base}/run\nstate_dir = {base}/state\nlog_path = /dev/stderr\nprotocols = imap\nssl = required\n\
         mail_uid = 65534\nmail_gid = 65534\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n\
         service imap-login {{\n inet_listener imap {{\n  port = 0\n }}\n inet_listener imaps {{\n  port = {port}\n  ssl = yes\n }}\n}}\n"
    );
    text = if version.starts_with("2.3.") {
        format!(
            "{text}ssl_cert = <{certificate}\nssl_key = <{key}\nssl_dh =\nmail_location = maildir:{mail}\n\
             passdb {{\n driver = static\n args = password={password}\n}}\n\
             userdb {{\n driver = static\n args = uid=65534 gid=65534 home={mail}\n}}\n"
        )
    } else {
        format!(
            "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n{text}ssl_server_cert_file = {certificate}\n\
             ssl_server_key_file = {key}\nmail_driver = maildir\nmail_path = {mail}\n\
             passdb static {{\n password = {password}\n}}\nuserdb static {{\n fields {{\n  uid = 65534\n  gid = 65534\n  home = {mail}\n }}\n}}\n"
        )
    };
    text
}

/// Runs a program that must succeed; what it printed.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(program(name))
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A program by its full path: sshd insists on it, and `/usr/sbin` is not in everybody's PATH.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places
        .map(|place: PathBuf| place.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no {name} here: `make tools` installs it"))
}

/// Whether something in the namespace listens on the port.
#[must_use]
pub fn listens(namespace: &Namespace, port: u16) -> bool {
    let local = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let table = namespace.proc_net(table);
        table.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().is_some_and(|address| address.ends_with(&local)) && fields.nth(1) == Some("0A")
        })
    })
}

/// Gives the command mounts of its own: an empty `/run` with sshd's directory, its own processes in `/proc`, and as accounts the files `passwd` and
/// `shadow` of a directory of ours. It must be started in a process namespace of its own.
pub(crate) fn enclose(command: &mut Command, directory: &Path) {
    let c = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).expect("no path of ours has a zero");
    let of = |name: &str| (c(&directory.join(name)), c(&Path::new("/etc").join(name)));
    let accounts = [of("passwd"), of("shadow")];
    let [root, run, sshd, proc] = ["/", "/run", "/run/sshd", "/proc"].map(|path| c(Path::new(path)));
    let [tmpfs, procfs] = ["tmpfs", "proc"].map(|kind| c(Path::new(kind)));
    let checked = |result: i32| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: between fork and exec only system calls are made, and what they point to was made before.
    unsafe {
        command.pre_exec(move || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let mount = |source: *const libc::c_char, target: &CString, kind: *const libc::c_char, flags| {
                checked(libc::mount(source, target.as_ptr(), kind, flags, std::ptr::null()))
            };
            let none = std::ptr::null();
            mount(none, &root, none, libc::MS_REC | libc::MS_PRIVATE)?;
            mount(procfs.as_ptr(), &proc, procfs.as_ptr(), 0)?;
            mount(tmpfs.as_ptr(), &run, tmpfs.as_ptr(), 0)?;
            checked(libc::mkdir(sshd.as_ptr(), 0o755))?;
            for (ours, theirs) in &accounts {
                mount(ours.as_ptr(), theirs, none, libc::MS_BIND)?;
            }
            Ok(())
        });
    }
}

/// Who calls, and whom.
#[derive(Debug, Clone)]
pub struct Caller<'a> {
    keys: &'a Keys,
    from: &'a Namespace,
    /// The source address; `None`: the system's choice.
    source: Option<IpAddr>,
    /// An address, for IPv6 perhaps with a scope: `fe80::1%eth0`.
    target: String,
}

/// What became of a call by `ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// It got in: to this address and port, as the server sees its own; or what the command printed.
    In(String),
    /// The connection was refused: by a RST, or by an ICMP message for the port.
    Refused,
    /// Nothing came back.
    Silent,
    /// Something else; what `ssh` said.
    Failed(String),
}

impl Login {
    /// Whether it got in.
    #[must_use]
    pub fn is_in(&self) -> bool {
        matches!(self, Self::In(_))
    }
}

impl Keys {
    /// A call from a host, with the host's own address, to an address.
    #[must_use]
    pub fn call<'a>(&'a self, from: &'a Host, to: IpAddr) -> Caller<'a> {
        let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
        let source = Some(from.address(family)).filter(|source| !source.is_unspecified());
        Caller {
            keys: self,
            from: &from.namespace,
            source,
            target: to.to_string(),
        }
    }

    /// A call to a link-local address by the device on which it is.
    #[must_use]
    pub fn call_on_link<'a>(&'a self, from: &'a Host, to: IpAddr, device: &str) -> Caller<'a> {
        Caller {
            keys: self,
            from: &from.namespace,
            source: None,
            target: format!("{to}%{device}"),
        }
    }
}

impl Caller<'_> {
    /// Runs a command over SSH and says what became of it.
    ///
    /// # Panics
    /// If `ssh` cannot be started.
    #[must_use]
    pub fn ssh(&self, port: u16) -> Login {
        match self.ssh_run(port, "echo $SSH_CONNECTION") {
            // The client's address and port, the server's address and port.
            Login::In(said) => Login::In(said.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")),
            other => other,
        }
    }

    /// Runs this command over SSH; what it printed, if it got in and the command succeeded.
    ///
    /// # Panics
    /// If `ssh` cannot be started.
    #[must_use]
    pub fn ssh_run(&self, port: u16, line: &str) -> Login {
        let mut command = self.ssh_command(port);
        command.args(["-o", "ServerAliveInterval=3", &self.root(), line]);
        let output = run(self.from, command);
        let complained = String::from_utf8_lossy(&output.stderr);
        match () {
            () if output.status.success() => Login::In(String::from_utf8_lossy(&output.stdout).into_owned()),
            () if complained.contains("Connection refused") => Login::Refused,
            () if complained.contains("timed out") => Login::Silent,
            () => Login::Failed(format!("{}: {complained}", output.status)),
        }
    }

    /// Opens an SSH session that stays open.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn ssh_session(&self, port: u16) -> Dialogue {
        let mut command = self.ssh_command(port);
        command.args([&self.root(), "cat"]);
        let mut session = Dialogue::start(self.from, command);
        assert!(
            session.asks("are you there\n", "are you there", PATIENCE),
            "no SSH session to {}: {}",
            self.target,
            session.process.log()
        );
        session
    }

    fn ssh_command(&self, port: u16) -> Command {
        let mut command = Command::new(program("ssh"));
        command.args(["-F", "none", "-p", &port.to_string(), "-i"]);
        command.arg(self.keys.path("client_key"));
        let known = self.keys.text("UserKnownHostsFile=", "known_hosts");
        let patience = format!("ConnectTimeout={CONNECT_SECONDS}");
        for option in [
            known.as_str(),
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "HostKeyAlgorithms=ssh-ed25519",
            "CheckHostIP=no",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "LogLevel=ERROR",
            patience.as_str(),
        ] {
            command.args(["-o", option]);
        }
        if let Some(source) = self.source {
            command.args(["-b", &source.to_string()]);
        }
        command
    }

    fn root(&self) -> String {
        format!("root@{}", self.target)
    }

    /// Looks for mail as a mail program does: connects by TLS, logs in, opens the mailbox, logs out.
    ///
    /// # Errors
    /// What `curl` says.
    ///
    /// # Panics
    /// If `curl` cannot be started.
    pub fn check_mail(&self, port: u16) -> Result<(), String> {
        let mut command = Command::new(program("curl"));
        let seconds = CONNECT_SECONDS.to_string();
        #[rustfmt::skip]
        command.args([
            "--disable", "--silent", "--show-error", "--insecure", "--noproxy", "*", "--connect-timeout", &seconds,
            "--max-time", "20", "--user", MAIL_USER, "--request", "EXAMINE INBOX",
        ]);
        if let Some(source) = self.source {
            command.args(["--interface", &format!("host!{source}")]);
        }
        // A scope's percent sign has to be written so in an address of the web's.
        let target = match self.target.contains(':') {
            true => format!("[{}]", self.target.replace('%', "%25")),
            false => self.target.clone(),
        };
        command.arg(format!("imaps://{target}:{port}/"));
        let output = run(self.from, command);
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Opens an IMAPS connection that stays open, logged in.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn mail_session(&self, port: u16) -> Dialogue {
        let address = |address: &str| match address.contains(':') {
            true => format!("[{address}]"),
            false => address.to_owned(),
        };
        let mut command = Command::new(program("openssl"));
        command.args(["s_client", "-quiet", "-connect"]);
        command.arg(format!("{}:{port}", address(&self.target)));
        if let Some(source) = self.source {
            command.args(["-bind", &format!("{}:0", address(&source.to_string()))]);
        }
        let mut session = Dialogue::start(self.from, command);
        let login = format!("a LOGIN {}\n", MAIL_USER.replace(':', " "));
        assert!(
            session.asks(&login, "a OK", PATIENCE),
            "no mail from {}: {}",
            self.target,
            session.process.log()
        );
        session
    }
}

/// A session that is open until it is closed or dropped.
#[derive(Debug)]
pub struct Dialogue {
    process: Process,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Dialogue {
    pub(crate) fn start(namespace: &Namespace, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = Process::start(namespace, command, Inside::OurProcesses);
        let input = process.input.take();
        let lines = process.lines.take().expect("it is piped");
        Self { process, input, lines }
    }

    /// Says nothing more: the far end's input ends.
    pub fn hush(&mut self) {
        drop(self.input.take());
    }

    /// The next line that comes, unless none does in time or the far end has closed.
    #[must_use]
    pub fn line(&mut self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn ends(&self, patience: Duration) -> bool {
        self.process.ended() || self.process.wait(patience).is_some()
    }

    /// What it has complained of so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Says something, and whether a line that begins so comes back in time.
    fn asks(&mut self, question: &str, answer: &str, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let Some(input) = &mut self.input else { return false };
        if input.write_all(question.as_bytes()).is_err() {
            return false;
        }
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(answer) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Whether the SSH session's far end still answers.
    #[must_use]
    pub fn echoes(&mut self) -> bool {
        self.asks("still there\n", "still there", ANSWER_PATIENCE)
    }

    /// Whether the mail server still answers: traffic both ways.
    #[must_use]
    pub fn mail_answers(&mut self) -> bool {
        self.asks("b NOOP\n", "b OK", ANSWER_PATIENCE)
    }

    /// Logs out from the mail server, and waits until the connection is closed.
    ///
    /// # Panics
    /// If it is not.
    pub fn log_out(mut self) {
        assert!(
            self.asks("c LOGOUT\n", "c OK", ANSWER_PATIENCE),
            "{}",
            self.process.log()
        );
        assert!(self.process.wait(PATIENCE).is_some(), "the connection stays open");
    }

    /// Ends the SSH session in order, and waits until it is closed.
    ///
    /// # Panics
    /// If it is not.
    pub fn close(mut self) {
        drop(self.input.take());
        assert!(self.process.wait(PATIENCE).is_some(), "the session stays open");
    }
}

/// Whether a process gets a process namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    OwnProcesses,
    OurProcesses,
}

/// A process that dies with the thread that started it and waits for it: whatever becomes of the test, nothing is left.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    ended: Receiver<ExitStatus>,
    log: Arc<Mutex<String>>,
    input: Option<ChildStdin>,
    lines: Option<Receiver<String>>,
}

type Pipes = (i32, Option<ChildStdin>, Option<std::process::ChildStdout>);

impl Process {
    /// The command must begin a process group (`process_group(0)`).
    pub(crate) fn start(namespace: &Namespace, mut command: Command, inside: Inside) -> Self {
        command.stderr(Stdio::piped());
        die_with_us(&mut command);
        let (namespace, log) = (namespace.clone(), Arc::<Mutex<String>>::default());
        let (started, starting) = channel::<io::Result<Pipes>>();
        let (end, ended) = channel();
        let (lines_in, lines) = channel();
        let said = Arc::clone(&log);
        std::thread::spawn(move || {
            let enter = || -> io::Result<()> {
                namespace.enter()?;
                if inside == Inside::OwnProcesses {
                    unshare(CloneFlags::CLONE_NEWPID)?;
                }
                Ok(())
            };
            let mut child = match enter().and_then(|()| command.spawn()) {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let pid = i32::try_from(child.id()).expect("a process id");
            let _ = started.send(Ok((pid, child.stdin.take(), child.stdout.take())));
            let complaints = BufReader::new(child.stderr.take().expect("it is piped")).split(b'\n');
            for line in complaints.map_while(Result::ok) {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&String::from_utf8_lossy(&line));
                said.push('\n');
            }
            if let Ok(status) = child.wait() {
                let _ = end.send(status);
            }
        });
        let (pid, input, output) = starting
            .recv()
            .expect("the thread says so or the like")
            .unwrap_or_else(|error| panic!("a process in a namespace: {error}"));
        let lines = output.map(|output| {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = lines_in.send(line);
                }
            });
            lines
        });
        Self {
            pid: Pid::from_raw(pid),
            ended,
            log,
            input,
            lines,
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it listens.
    pub(crate) fn comes_up(&self, namespace: &Namespace, port: u16) {
        let end = Instant::now() + PATIENCE;
        while !listens(namespace, port) {
            assert!(
                !self.ended() && Instant::now() < end,
                "the server does not come up:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn ended(&self) -> bool {
        !matches!(self.ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty))
    }

    fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        self.ended.recv_timeout(patience).ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended() {
            // It leads a group of its own.
            let _ = kill(Pid::from_raw(-self.pid.as_raw()), Signal::SIGKILL);
            let _ = self.wait(PATIENCE);
        }
    }
}

/// Runs a program inside to its end.
fn run(namespace: &Namespace, mut command: Command) -> Output {
    command.stdin(Stdio::null());
    die_with_us(&mut command);
    let output = namespace.run(|| command.output());
    output.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()))
}

/// The process gets a SIGKILL when the thread that starts it ends.
fn die_with_us(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}
