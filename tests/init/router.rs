//! A small root file system to run the init script in: busybox, the program, nft, and the tree `files/` as the package installs it, over stand-ins for
//! what OpenWrt brings, or over OpenWrt's own where `LANWARD_OPENWRT_ROOT` names a tree that has it.

use crate::procd::{Era, Procd};
use lanward_rig::broker::Tested;
use lanward_rig::daemon::program;
use lanward_rig::namespace::Namespace;
use lanward_rig::netifd::Netifd;
use lanward_rig::scratch::Scratch;
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Everything in it ends, and the files go, when it is dropped or the test dies.
pub struct Router {
    inside: Inside,
    /// The first process in there, and with it all others, ends when this standard input does.
    init: Child,
    syslog: UnixDatagram,
    bus: Option<(Procd, Netifd, Tested)>,
    /// The last to go.
    _root: Scratch,
}

/// What it takes to run a command in there.
#[derive(Debug, Clone)]
pub struct Inside {
    pub root: PathBuf,
    net: Namespace,
    init: u32,
}

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

impl Router {
    /// With a bus, netifd and procd.
    pub fn new(era: Era, lanward: &str) -> Self {
        let mut router = Self::without_bus(lanward);
        let socket = router.inside.root.join("var/run/ubus/ubus.sock");
        let broker = Tested::start(&socket, Some(&router.inside.root.join("usr/share/acl.d")));
        let dump = fs::read_to_string(Path::new(ROOT).join("tests/openwrt/network.interface.dump.json"));
        let dump = serde_json::from_str(&dump.expect("a recorded file")).expect("JSON");
        let netifd = Netifd::start(&socket, dump).expect("the bus is there");
        let procd = Procd::start(&socket, era, router.inside.clone());
        router.bus = Some((procd, netifd, broker));
        router
    }

    /// As at boot before anything listens.
    pub fn without_bus(lanward: &str) -> Self {
        // The daemon is not root in there, and this is its `/`.
        let root = Scratch::for_everybody("init");
        fill(&root);
        fs::write(root.join("etc/config/lanward"), lanward).expect("a file of our own");
        let syslog = UnixDatagram::bind(root.join("dev/log")).expect("a socket of our own");
        syslog.set_nonblocking(true).expect("a socket can be");
        let net = Namespace::new().expect("tried before");
        let (inside, init) = Inside::start(root.to_path_buf(), net);
        Self {
            inside,
            init,
            syslog,
            bus: None,
            _root: root,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.inside.root.join(name.trim_start_matches('/'))
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// A script or a program instead of the real one.
    pub fn plant(&self, name: &str, script: &str) {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        self.write(name, script);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of our own");
    }

    pub fn configure(&self, lanward: &str) {
        self.write("/etc/config/lanward", lanward);
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        self.inside.run(words)
    }

    pub fn spawn(&self, words: &[&str]) -> Child {
        self.inside.spawn(words)
    }

    pub fn must(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.status, Some(0), "{words:?}: {ran:?}\n{}", self.log());
        ran.out
    }

    /// Runs a command of the init script, which must neither fail nor complain.
    pub fn lanward(&self, command: &str) {
        let ran = self.run(&["/etc/init.d/lanward", command]);
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{command}: {ran:?}");
    }

    pub fn procd(&self) -> &Procd {
        &self.bus.as_ref().expect("made with a bus").0
    }

    /// What went to the log since the last time.
    pub fn log(&self) -> String {
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while let Ok(length) = self.syslog.recv(&mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            text.push('\n');
        }
        text
    }

    pub fn has_table(&self) -> bool {
        self.run(&["nft", "list", "table", "inet", "lanward"]).status == Some(0)
    }

    /// How often the firewall was told to read again, since the last time.
    pub fn firewall_reloads(&self) -> usize {
        let told = self.read("/tmp/firewall");
        let _ = fs::remove_file(self.path("/tmp/firewall"));
        told.lines().filter(|line| *line == "reload").count()
    }

    /// What `lanward fw4-rules` says now.
    pub fn rules(&self) -> Value {
        let out = self.run(&["lanward", "fw4-rules"]).out;
        serde_json::from_str(&out).expect("JSON, whatever the configuration is like")
    }

    /// What fw4 would be told.
    pub fn published(&self) -> Value {
        let reply = self.must(&["ubus", "call", "service", "get_data", r#"{"type":"firewall"}"#]);
        let reply: Value = serde_json::from_str(&reply).expect("ubus prints JSON");
        reply["lanward"]["instance1"].clone()
    }

    /// Waits until the daemon's table is there and it answers.
    #[track_caller]
    pub fn wait_for_daemon(&self) -> Value {
        let last = RefCell::new(String::new());
        let what = || format!("the daemon, which says {:?}", last.borrow());
        self.wait_saying(what, || {
            let ran = self.run(&["lanward", "status", "--json"]);
            last.replace(ran.out);
            serde_json::from_str::<Value>(&last.borrow()).ok().filter(|status| {
                status["applied"] == true || status["problems"].as_array().is_some_and(|all| !all.is_empty())
            })
        })
    }

    #[track_caller]
    pub fn wait<T>(&self, what: &str, happens: impl FnMut() -> Option<T>) -> T {
        self.wait_saying(|| what.to_owned(), happens)
    }

    /// `what` is asked only where it was in vain.
    #[track_caller]
    fn wait_saying<T>(&self, what: impl Fn() -> String, mut happens: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = happens() {
                return seen;
            }
            assert!(Instant::now() < end, "waited for {}\n{}", what(), self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Files left in `/var/run` by anybody but the bus.
    pub fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("/var/run")).expect("it is there");
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != "ubus").collect();
        names.sort();
        names
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log:\n{}", self.log());
        }
        self.bus = None;
        drop(self.init.stdin.take());
        let _ = self.init.wait();
    }
}

impl Inside {
    /// Own processes, mounts and network. `cat` is the first process: it ends when its standard input does, and takes all others with it.
    fn start(root: PathBuf, net: Namespace) -> (Self, Child) {
        let mount = format!("--mount-proc={}", root.join("proc").display());
        let mut command = Command::new("unshare");
        command.args(["--pid", "--mount", "--fork", "--kill-child", &mount, "chroot"]);
        command.arg(&root).args(["/bin/busybox", "cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let init = net.run(|| command.spawn()).expect("unshare starts");
        let end = Instant::now() + PATIENCE;
        let children = format!("/proc/{0}/task/{0}/children", init.id());
        let first = loop {
            let text = fs::read_to_string(&children).unwrap_or_default();
            let child = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
            // chroot has become cat.
            let cat = child.filter(|pid| fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|path| path == root));
            match cat {
                Some(pid) => break pid,
                None => assert!(Instant::now() < end, "no process in {}", root.display()),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let inside = Self { root, net, init: first };
        (inside, init)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.init.to_string());
        command.args(["--pid", "--mount", "--root", "--wd", "--"]);
        command.args(["/bin/busybox", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        command.args(words).stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        let mut command = self.command(words);
        let output = self.net.run(|| command.output());
        output.expect("nsenter starts").into()
    }

    pub fn spawn(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.net.run(|| command.spawn()).expect("nsenter starts")
    }
}

/// The tree.
fn fill(root: &Path) {
    for directory in [
        "bin",
        "sbin",
        "usr/bin",
        "usr/sbin",
        "dev",
        "proc",
        "tmp",
        "etc/config",
        "etc/rc.d",
        "etc/init.d",
        "lib/functions",
        "var/run/ubus",
        "var/lock",
        "usr/lib/opkg/info",
        "usr/share/libubox",
    ] {
        fs::create_dir_all(root.join(directory)).expect("a directory of our own");
    }
    // The stand-ins first; OpenWrt's own go over them, and what is ours over all.
    tree(&Path::new(ROOT).join("tests/init/root"), root);
    if let Some(real) = std::env::var_os("LANWARD_OPENWRT_ROOT") {
        real_parts(Path::new(&real), root);
    }
    tree(&Path::new(ROOT).join("files"), root);
    // The broker runs outside, where the user of number 65534 has another name.
    let access = root.join("usr/share/acl.d/lanward.json");
    let text = fs::read_to_string(&access).expect("copied before");
    fs::write(&access, text.replace("\"user\": \"lanward\"", "\"user\": \"nobody\"")).expect("our own");

    let busybox = which("busybox").expect("asked for before");
    with_libraries(&busybox, root, "bin/busybox");
    let applets = Command::new(&busybox).arg("--list").output().expect("busybox runs");
    for applet in String::from_utf8_lossy(&applets.stdout)
        .lines()
        .filter(|name| *name != "busybox")
    {
        let _ = symlink("busybox", root.join("bin").join(applet));
    }
    with_libraries(&which("nft").expect("asked for before"), root, "usr/sbin/nft");
    with_libraries(&program(), root, "usr/sbin/lanward");
    with_libraries(&ubus(), root, "usr/bin/ubus");
    if let Some(flock) = which("flock") {
        with_libraries(&flock, root, "usr/bin/flock");
    }
    copy(Path::new("/dev/null"), &root.join("dev/null"));
    copy(Path::new("/etc/protocols"), &root.join("etc/protocols"));
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/ash\n").expect("a file of our own");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("a file of our own");
    for name in ["firewall", "network"] {
        let recorded = Path::new(ROOT).join(format!("tests/openwrt/{name}.uci"));
        copy(&recorded, &root.join("etc/config").join(name));
    }
    let list = "/etc/init.d/lanward\n/etc/uci-defaults/lanward\n";
    fs::write(root.join("usr/lib/opkg/info/lanward.list"), list).expect("a file of our own");
    copy(
        &Path::new(ROOT).join("package/lanward/prerm-pkg"),
        &root.join("usr/lib/opkg/info/lanward.prerm-pkg"),
    );
}

/// The `ubus` tool: as real as can be had.
fn ubus() -> PathBuf {
    if let Some(named) = std::env::var_os("LANWARD_UBUS") {
        return named.into();
    }
    let beside = program().with_file_name("lanward-ubus");
    assert!(
        beside.is_file(),
        "cargo build -p lanward-rig makes {}",
        beside.display()
    );
    beside
}

fn real_parts(real: &Path, root: &Path) {
    for part in [
        "etc/rc.common",
        "lib/functions.sh",
        "lib/functions/service.sh",
        "lib/functions/procd.sh",
        "usr/share/libubox/jshn.sh",
    ] {
        copy(&real.join(part), &root.join(part));
    }
    for part in ["usr/bin/jshn", "usr/bin/jsonfilter"] {
        with_libraries(&real.join(part), root, part);
    }
    if real.join("sbin/fw4").exists() {
        for part in ["usr/lib", "usr/share"] {
            tree(&real.join(part), &root.join(part));
        }
        for part in ["usr/bin/ucode", "usr/lib/libucode.so.0"] {
            with_libraries(&real.join(part), root, part);
        }
        symlink("ucode", root.join("usr/bin/utpl")).expect("a link of our own");
        copy(&real.join("sbin/fw4"), &root.join("sbin/fw4"));
    }
}

fn tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from)
        .unwrap_or_else(|error| panic!("{}: {error}", from.display()))
        .flatten()
    {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir_all(&target).expect("a directory of our own");
            tree(&path, &target);
        } else {
            copy(&path, &target);
        }
    }
}

/// A device as a device.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-a", "--dereference"])
        .arg(from)
        .arg(to)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "cannot copy {}",
        from.display()
    );
}

/// A program, and what it is linked with, at the paths where it looks for them.
fn with_libraries(program: &Path, root: &Path, to: &str) {
    let _ = fs::remove_file(root.join(to));
    copy(program, &root.join(to));
    let linked = Command::new("ldd").arg(program).output().expect("ldd runs");
    for word in String::from_utf8_lossy(&linked.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let target = root.join(word.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("a path below /")).expect("a directory of our own");
        if !target.exists() {
            copy(Path::new(word), &target);
        }
    }
}

pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    places
        .into_iter()
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}
