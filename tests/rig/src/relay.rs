//! A relay server: a host in the internet with an SSH server of either kind and one account, and what can go wrong with it.
//!
//! The server runs as root, as on a host of one's own, or as the account itself. What it runs on is a namespace that can be taken away with all that its
//! kernel knows, as a host does that loses its power: no connection is closed, nothing is said to anybody.

mod client;
mod target;

pub use client::{Client, Visitor, CLIENTS};
pub use target::{greets, Greets, Target};

use crate::house::House;
use crate::namespace::Namespace;
use crate::servers::{enclose, listens, program, tool, Inside, Process};
use nix::sys::signal::{kill, Signal};
use nix::unistd::{chown, Pid};
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{symlink, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Software {
    OpenSsh,
    Dropbear,
}

/// Both, to go through.
pub const SOFTWARE: [Software; 2] = [Software::OpenSsh, Software::Dropbear];

/// As whom the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// As root, as usual.
    Root,
    /// As the account, which can then end any of its processes.
    Account,
}

/// How much room there is in the account's home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// As much as anybody wants.
    Roomy,
    /// Not a byte.
    Full,
    /// Not a byte, and not a file.
    NoFiles,
}

/// What kind of relay.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its server.
    pub software: Software,
    /// As whom that runs.
    pub rights: Rights,
    /// What its disk is like.
    pub disk: Disk,
    /// Further lines for `sshd_config`, or arguments for dropbear, by words.
    pub settings: String,
}

impl Setup {
    /// As somebody sets it up who does nothing special: the server runs as root.
    #[must_use]
    pub fn of(software: Software) -> Self {
        Self {
            software,
            rights: Rights::Root,
            disk: Disk::Roomy,
            settings: String::new(),
        }
    }

    /// The server runs as the account.
    #[must_use]
    pub fn own(mut self) -> Self {
        self.rights = Rights::Account;
        self
    }

    /// With such a disk.
    #[must_use]
    pub fn on(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// With these settings.
    #[must_use]
    pub fn with(mut self, settings: &str) -> Self {
        self.settings = settings.to_owned();
        self
    }
}

/// The account's name on every relay.
pub const USER: &str = "relay";
/// Where the server listens.
pub const PORT: u16 = 22;
/// Nobody on the machine has it.
const UID: u32 = 54_321;

/// A relay server. Dropped, it is gone, and so are all its processes.
#[derive(Debug)]
pub struct Relay {
    setup: Setup,
    disk: PathBuf,
    place: Namespace,
    cable: Option<Cable>,
    server: Option<Process>,
}

/// What joins it to the internet.
#[derive(Debug, Clone)]
struct Cable {
    internet: Namespace,
    number: u8,
}

impl Cable {
    fn device(&self) -> String {
        format!("to-relay{}", self.number)
    }

    fn v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, 128 + 4 * self.number + host)
    }

    fn v6(&self, host: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0xa0, self.number.into(), 0, 0, 0, host)
    }

    fn plug(&self, place: &Namespace) {
        let device = self.device();
        self.internet.ip(&format!(
            "link add {device} type veth peer name eth0 netns {}\n\
             addr add {}/30 dev {device}\naddr add {}/64 dev {device}\nlink set {device} up\n",
            place.path(),
            self.v4(1),
            self.v6(1)
        ));
        place.ip(&format!(
            "addr add {}/30 dev eth0\naddr add {}/64 dev eth0\nlink set eth0 up\n\
             route add default via {}\nroute add default via {}\n",
            self.v4(2),
            self.v6(2),
            self.v4(1),
            self.v6(1)
        ));
    }
}

impl Relay {
    /// A host that nothing leads to, for what is to be tried on itself: `127.0.0.1`.
    ///
    /// # Panics
    /// If anything is in the way.
    #[must_use]
    pub fn alone(directory: &Path, setup: Setup) -> Self {
        Self::of(directory.join("relay"), setup, None)
    }

    /// A host in the house's internet, where the router reaches it; up to 30 by their numbers.
    ///
    /// # Panics
    /// If anything is in the way.
    #[must_use]
    pub fn outside(house: &House, number: u8, setup: Setup) -> Self {
        let internet = house.host("internet").namespace.clone();
        for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            internet.sysctl(name, "1").expect("ours");
        }
        let disk = house.directory().join(format!("relay-{number}"));
        Self::of(disk, setup, Some(Cable { internet, number }))
    }

    fn of(disk: PathBuf, setup: Setup, cable: Option<Cable>) -> Self {
        let mut relay = Self {
            setup,
            disk,
            place: Namespace::new().expect("a namespace"),
            cable,
            server: None,
        };
        relay.format();
        relay.power_on();
        relay
    }

    /// The disk: accounts, the server's key, the account's home.
    fn format(&self) {
        let home = self.home();
        let directory = |path: &Path, mode: u32| {
            fs::create_dir(path).expect("a directory of our own");
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own");
        };
        directory(&self.disk, 0o755);
        directory(&home, 0o700);
        directory(&home.join(".ssh"), 0o700);
        let read = |path: &str| fs::read_to_string(path).expect("every Linux has it");
        let account = format!("{USER}:x:{UID}:{UID}:relay:{}:/bin/sh\n", home.display());
        fs::write(self.disk.join("passwd"), read("/etc/passwd") + &account).expect("ours");
        fs::write(
            self.disk.join("shadow"),
            format!("root:*:1:0:9:7:::\n{USER}:*:1:0:99999:7:::\n"),
        )
        .expect("ours");
        self.new_host_key();
        for path in [&home, &home.join(".ssh")] {
            chown(path, Some(UID.into()), Some(UID.into())).expect("root may");
        }
    }

    /// It becomes a server with another key, as one that was set up anew. The running one does not notice.
    ///
    /// # Panics
    /// If no key can be made.
    pub fn new_host_key(&self) {
        let path = |name: &str| self.disk.join(name);
        let text = |name: &str| path(name).to_str().expect("our own name").to_owned();
        for name in ["host_key", "host_key.pub", "dropbear_key"] {
            let _ = fs::remove_file(path(name));
        }
        let key = text("host_key");
        tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &key]);
        tool("dropbearconvert", &["openssh", "dropbear", &key, &text("dropbear_key")]);
        if self.setup.rights == Rights::Account {
            for name in ["host_key", "dropbear_key"] {
                chown(&path(name), Some(UID.into()), Some(UID.into())).expect("root may");
            }
        }
    }

    /// Its public key, as `host_key` has it.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn host_key(&self) -> String {
        let line = fs::read_to_string(self.disk.join("host_key.pub")).expect("it was made");
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// The account's home. Where the disk is full, what the server sees there is a copy.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.disk.join("home")
    }

    /// Writes a file of the account's.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.home().join(name);
        fs::write(&path, text).expect("ours");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
        chown(&path, Some(UID.into()), Some(UID.into())).expect("root may");
    }

    /// Makes a link in the account's home.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn link(&self, name: &str, to: &Path) {
        symlink(to, self.home().join(name)).expect("ours");
    }

    /// Who may come in: the whole of `authorized_keys`.
    pub fn authorize(&self, lines: &str) {
        self.write(".ssh/authorized_keys", lines, 0o600);
    }

    /// What its server has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Where it is.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.place
    }

    /// Its address, for whoever can reach it.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        let v4 = self.cable.as_ref().map(|cable| cable.v4(2));
        v4.unwrap_or(Ipv4Addr::LOCALHOST).into()
    }

    /// Its address over IPv6.
    #[must_use]
    pub fn address6(&self) -> IpAddr {
        let v6 = self.cable.as_ref().map(|cable| cable.v6(2));
        v6.unwrap_or(Ipv6Addr::LOCALHOST).into()
    }

    /// Whether anything on it listens on the port.
    #[must_use]
    pub fn listens(&self, port: u16) -> bool {
        listens(&self.place, port)
    }

    fn start(&mut self) {
        let uid = UID.to_string();
        let mut words: Vec<String> = Vec::new();
        let home = self.home().display().to_string();
        let word = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        if self.setup.disk != Disk::Roomy {
            let full = match self.setup.disk {
                Disk::NoFiles => "i=0; while true >\"$1/.$i\"; do i=$((i + 1)); done",
                Disk::Roomy | Disk::Full => ":",
            };
            let script = format!(
                "cp -a \"$1\" /run/home && mount -t tmpfs -o size=128k,nr_inodes=30,mode=700,uid={uid},gid={uid} none \"$1\" && cp -a /run/home/. \"$1\" || exit\n\
                 {{ {full}; }} 2>/dev/null\ndd if=/dev/zero of=\"$1/full\" bs=4k 2>/dev/null\nshift; exec \"$@\""
            );
            words.extend(word(&["/bin/sh", "-c", &script, "sh", &home]));
        }
        if self.setup.rights == Rights::Account {
            let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={uid}"));
            words.extend(word(&[
                "setpriv",
                &uid,
                &gid,
                "--clear-groups",
                "--pdeathsig",
                "KILL",
                "--",
            ]));
        }
        let server = match self.setup.software {
            Software::OpenSsh => self.sshd(),
            Software::Dropbear => self.dropbear(),
        };
        words.extend(server);
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().expect("there is a server"));
        command.args(words).env("HOME", &home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        enclose(&mut command, &self.disk);
        let server = Process::start(&self.place, command, Inside::OwnProcesses);
        server.comes_up(&self.place, PORT);
        self.server = Some(server);
    }

    fn sshd(&self) -> Vec<String> {
        let path = |name: &str| self.disk.join(name).display().to_string();
        let text = format!(
            "HostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitUserRC no\nPrintMotd no\nPrintLastLog no\nUseDNS no\n{}\n",
            path("host_key"),
            self.setup.settings
        );
        let config = path("sshd.conf");
        fs::write(&config, text).expect("ours");
        let sshd = program("sshd").display().to_string();
        let port = PORT.to_string();
        [&sshd, "-D", "-e", "-p", &port, "-f", &config]
            .map(str::to_owned)
            .into()
    }

    fn dropbear(&self) -> Vec<String> {
        let dropbear = program("dropbear").display().to_string();
        let key = self.disk.join("dropbear_key").display().to_string();
        let port = PORT.to_string();
        let words = [&dropbear, "-F", "-E", "-s", "-p", &port, "-P", "", "-r", &key];
        let settings = self.setup.settings.split_whitespace();
        words.into_iter().chain(settings).map(str::to_owned).collect()
    }
}

/// What can go wrong with it.
impl Relay {
    /// Its power goes: nothing of it is left, and nobody is told.
    pub fn power_off(&mut self) {
        if let Some(cable) = &self.cable {
            // A device that is already gone is as good.
            let _ = cable.internet.output("ip", &["link", "delete", &cable.device()], "");
        }
        self.server = None;
        self.place = Namespace::new().expect("a namespace");
    }

    /// Its power comes back, and its server with it.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn power_on(&mut self) {
        if self.setup.rights == Rights::Account {
            // So that it can have the same port.
            self.place
                .sysctl("net/ipv4/ip_unprivileged_port_start", "1")
                .expect("ours");
        }
        if let Some(cable) = &self.cable {
            cable.plug(&self.place);
        }
        self.start();
    }

    /// The server is ended and started again; so are its sessions, and their connections are closed.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&mut self) {
        self.server = None;
        self.start();
    }

    /// The server ends, and nothing listens any more; the host answers so.
    pub fn end(&mut self) {
        self.server = None;
    }

    /// From now on no packet gets to it or from it, and nobody is told.
    ///
    /// # Panics
    /// If it has no line.
    pub fn cut(&self) {
        let cable = self.cable.as_ref().expect("a line");
        let device = cable.device();
        let mut script = format!("table inet {device} {{\n");
        for hook in ["forward", "input", "output"] {
            let _ = writeln!(script, " chain {hook} {{ type filter hook {hook} priority -300; ");
            if hook != "output" {
                let _ = writeln!(script, "  iifname {device} drop");
            }
            if hook != "input" {
                let _ = writeln!(script, "  oifname {device} drop");
            }
            script.push_str(" }\n");
        }
        script.push_str("}\n");
        cable.internet.nft(&script);
    }

    /// The line is as before.
    ///
    /// # Panics
    /// If it was not cut.
    pub fn mend(&self) {
        let cable = self.cable.as_ref().expect("a line");
        cable.internet.nft(&format!("delete table inet {}\n", cable.device()));
    }

    /// All its processes, the server first.
    ///
    /// # Panics
    /// If there is no server.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let server = self.server.as_ref().expect("it runs").pid;
        let room = |pid: Pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = room(server);
        let pids = fs::read_dir("/proc").expect("every Linux has it").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
        let others = pids.filter(|pid| *pid != server && own.is_some() && room(*pid) == own);
        std::iter::once(server).chain(others).collect()
    }

    /// The server's processes for sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<Pid> {
        let serves = |pid: &Pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.starts_with("sshd") || name.starts_with("dropbear")
        };
        self.processes().into_iter().skip(1).filter(serves).collect()
    }

    /// Sends a signal to all its processes: `SIGSTOP`, and `SIGCONT`.
    pub fn signal_all(&self, signal: Signal) {
        signal_each(&self.processes(), signal);
    }

    /// The same to the sessions that there are.
    pub fn signal_sessions(&self, signal: Signal) {
        signal_each(&self.sessions(), signal);
    }
}

fn signal_each(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // One that has just ended is no concern.
        let _ = kill(*pid, signal);
    }
}
