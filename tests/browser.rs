//! The pages in a real browser. `house` and `manners`: against the daemon in a house of its own, with packets to ask; `states`: with answers
//! that a case gives. The scenarios are Python (`tests/browser/*.py`), the browser is Debian's Chromium.
//!
//! Without more the pages run on a stand-in for LuCI's framework. `LANWARD_LUCI` names a program that puts up a real LuCI; it is called as
//! `PROGRAM UBUS-SOCKET CONFIG-DIR APP-DIR PORT`, has its web server listen on 127.0.0.1:PORT in the network namespace that it is called in, with
//! CONFIG-DIR as `/etc/config` and APP-DIR (`luci-app/luci-app-lanward`) installed, stays in the foreground, and leaves nothing behind when
//! it gets SIGTERM. Users: `root` with all rights, `reader` who may only read; both with the password `test`.

#![allow(clippy::unwrap_used)]

use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::House;
use lanward_rig::namespace::Namespace;
use lanward_rig::report_line::skip;
use lanward_rig::scratch::Scratch;
use lanward_rig::settings::Firewall;
use lanward_rig::web::{Site, Web};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::json;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a real LuCI may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long a scenario has failed.
const LIMIT: Duration = Duration::from_secs(1000);

/// Where the pages' files are: this checkout, as whoever runs the test sees it.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Python with Playwright, and a browser for it. `None`, and loudly so, where one of them is missing.
fn tools(test: &str) -> Option<(PathBuf, PathBuf)> {
    let python = root().join("target/tools/browser/bin/python");
    let chromium = PathBuf::from("/usr/bin/chromium");
    for (file, what) in [(&python, "Playwright for Python"), (&chromium, "chromium")] {
        if !file.exists() {
            skip(test, &format!("{what} is missing: tests/install-tools.sh"));
            return None;
        }
    }
    Some((python, chromium))
}

/// Runs a scenario file; what it prints is this test's output.
fn run(mut command: Command, place: Option<&Namespace>) {
    let child = |command: &mut Command| -> io::Result<Child> { command.spawn() };
    command.stdin(Stdio::null()).process_group(0);
    dies_with_us(&mut command);
    let (end, ended) = std::sync::mpsc::channel();
    let place = place.cloned();
    // Whoever starts it also waits for it: it dies with that thread.
    let waiting = std::thread::spawn(move || {
        if let Some(place) = place {
            place.enter().unwrap();
        }
        let mut child = child(&mut command).unwrap();
        let _ = end.send(Err(child.id()));
        let _ = end.send(Ok(child.wait()));
    });
    let pid = ended.recv().unwrap().unwrap_err();
    let outcome = ended.recv_timeout(LIMIT);
    let group = Pid::from_raw(-i32::try_from(pid).unwrap());
    // A browser that is left over goes as well.
    let _ = kill(group, Signal::SIGKILL);
    waiting.join().unwrap();
    let status = outcome.unwrap_or_else(|_| panic!("not done after {LIMIT:?}"));
    let status = status.unwrap().unwrap();
    assert!(status.success(), "the scenarios failed: {status}");
}

#[allow(unsafe_code)]
fn dies_with_us(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// A real LuCI. Dropped, it is told to end, and waited for.
struct Luci {
    child: Child,
}

impl Luci {
    /// Runs the program in this namespace and waits until its web server listens.
    fn start(program: &Path, office: &Namespace, home: &Home) -> (Self, SocketAddr) {
        let address = office
            .tcp_listener("127.0.0.1:0".parse().unwrap())
            .local_addr()
            .unwrap();
        let mut command = Command::new(program);
        command
            .arg(home.house.directory().join("ubus.sock"))
            .arg(home.house.config_dir())
            .arg(root().join("luci-app/luci-app-lanward"))
            .arg(address.port().to_string())
            .stdin(Stdio::null());
        let child = office.run(|| command.spawn());
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut luci = Self { child };
        let end = Instant::now() + PATIENCE;
        while office.run(|| TcpStream::connect(address)).is_err() {
            let ended = luci.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < end,
                "no LuCI at {address}: {ended:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        (luci, address)
    }
}

impl Drop for Luci {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// The firewall as a router comes, with its mail server open to everybody.
fn firewall() -> Firewall {
    Firewall::default().with(json!({
        "type": "rule", "name": "Allow-IMAPS", "src": "wan", "proto": "tcp", "dest_port": "993", "target": "ACCEPT"
    }))
}

/// A scenario file against the daemon, from a room of which no way leads out but to the web server.
fn in_a_house(name: &str) {
    let Some((python, chromium)) = tools(name) else {
        return;
    };
    let Some(home) = Home::start_gated(name, House::plan(), firewall(), &switched_off("")) else {
        return;
    };
    let home = Arc::new(Mutex::new(home));
    let office = Namespace::new().unwrap();
    let site = Site {
        app: root().join("luci-app/luci-app-lanward"),
        stand_in: root().join("tests/browser/luci"),
        files: root().join("files"),
    };
    let web = Web::start(&office, site, Arc::clone(&home)).unwrap();
    let luci = std::env::var_os("LANWARD_LUCI").map(|program| {
        let home = home.lock().unwrap();
        Luci::start(Path::new(&program), &office, &home)
    });
    let mut command = Command::new(python);
    command
        .arg(root().join(format!("tests/browser/{name}.py")))
        .env("LANWARD_RIG", format!("http://{}", web.address()))
        .env("LANWARD_CHROMIUM", chromium)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    match &luci {
        Some((_, address)) => command
            .env("LANWARD_PAGE", format!("http://{address}"))
            .env("LANWARD_KIND", "luci"),
        None => command
            .env("LANWARD_PAGE", format!("http://{}", web.address()))
            .env("LANWARD_KIND", "stand-in"),
    };
    run(command, Some(&office));
}

#[test]
fn house() {
    in_a_house("house");
}

#[test]
fn manners() {
    in_a_house("manners");
}

/// The page's files as the package has them. False: what makes them small is missing.
fn pack_page(into: &Path) -> bool {
    let mut copy = Command::new("cp");
    copy.arg("-R")
        .arg(root().join("luci-app/luci-app-lanward/htdocs"))
        .arg(into);
    assert!(copy.status().unwrap().success());
    let small = Command::new(root().join("package/minify.py")).arg(into).output();
    small.is_ok_and(|output| output.status.success())
}

#[test]
fn states() {
    let Some((python, _)) = tools("states") else {
        return;
    };
    let mut command = Command::new(python);
    command
        .arg(root().join("tests/browser/states.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let packed = Scratch::for_everybody("states");
    if pack_page(&packed) {
        command.env("LANWARD_WWW", packed.join("htdocs"));
    } else {
        skip(
            "states of the page as it is packed",
            "rjsmin or rcssmin is missing: tests/install-tools.sh",
        );
    }
    run(command, None);
}

/// Nothing lies there that no test runs.
#[test]
fn every_scenario_file_is_run() {
    let mut files: Vec<String> = std::fs::read_dir(root().join("tests/browser"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".py"))
        .collect();
    files.sort();
    assert_eq!(files, ["house.py", "manners.py", "run.py", "states.py"]);
}
