//! A network namespace without a name: it lives as long as somebody holds it, so nothing is left behind however a test ends.

use crate::report_line::skip;
use nix::sched::{setns, unshare, CloneFlags};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A network namespace. Clones mean the same one.
#[derive(Debug, Clone)]
pub struct Namespace {
    fd: Arc<OwnedFd>,
}

impl Namespace {
    /// Makes a new one, with `lo` up and IPv6 addresses that are usable at once.
    ///
    /// # Errors
    /// The kernel's: `EPERM` without `CAP_SYS_ADMIN`.
    pub fn new() -> io::Result<Self> {
        let made = std::thread::spawn(|| -> io::Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(File::open("/proc/thread-self/ns/net")?.into())
        });
        let fd = made.join().expect("the thread does nothing that panics")?;
        let namespace = Self { fd: Arc::new(fd) };
        for family in ["all", "default"] {
            namespace.sysctl(&format!("net/ipv6/conf/{family}/accept_dad"), "0")?;
            namespace.sysctl(&format!("net/ipv6/conf/{family}/accept_ra"), "0")?;
            namespace.sysctl(&format!("net/ipv4/conf/{family}/rp_filter"), "0")?;
        }
        namespace.ip("link set lo up\n");
        Ok(namespace)
    }

    /// Whether one can be made here. If not, the test is skipped, loudly.
    #[must_use]
    pub fn can_be_made(test: &str) -> bool {
        let made = Self::new();
        let made =
            made.inspect_err(|error| skip(test, &format!("no network namespaces here (root is needed): {error}")));
        made.is_ok()
    }

    /// A path that `ip`, `nsenter --net=` and the like take for it while this process lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd())
    }

    /// Runs something in a thread inside. Sockets made and processes started there stay there.
    ///
    /// # Panics
    /// If the closure does.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let fd = &*self.fd;
        let ran = std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(fd, CloneFlags::CLONE_NEWNET).expect("the namespace exists while it is held");
                    inside()
                })
                .join()
        });
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Moves the calling thread in, for good.
    ///
    /// # Errors
    /// The kernel's.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&*self.fd, CloneFlags::CLONE_NEWNET)?)
    }

    /// Sets `/proc/sys/NAME`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn sysctl(&self, name: &str, value: &str) -> io::Result<()> {
        self.run(|| fs::write(format!("/proc/sys/{name}"), value))
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
    }

    /// Answers with as many ICMP errors as there are reasons for. The kernel limits them for each destination, and for the whole namespace to a
    /// burst of 50 that is not filled up for 20 ms: in a mask without types neither is asked (`icmp_ratemask`, `ratemask` in the kernel's
    /// ip-sysctl).
    ///
    /// # Errors
    /// The kernel's.
    pub fn refuses_without_limit(&self) -> io::Result<()> {
        self.sysctl("net/ipv4/icmp_ratemask", "0")?;
        self.sysctl("net/ipv6/icmp/ratemask", "\n")
    }

    /// A file below `/proc/net` as it reads in there.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn proc_net(&self, name: &str) -> String {
        self.run(|| fs::read_to_string(format!("/proc/thread-self/net/{name}")))
            .unwrap_or_else(|error| panic!("/proc/net/{name}: {error}"))
    }

    /// A bound UDP socket.
    ///
    /// # Panics
    /// If the address is not to be had.
    #[must_use]
    pub fn udp(&self, address: SocketAddr) -> UdpSocket {
        self.run(|| bind(|| UdpSocket::bind(address)))
            .unwrap_or_else(|error| panic!("bind udp {address}: {error}"))
    }

    /// A listening TCP socket.
    ///
    /// # Panics
    /// If the address is not to be had.
    #[must_use]
    pub fn tcp_listener(&self, address: SocketAddr) -> TcpListener {
        self.run(|| bind(|| TcpListener::bind(address)))
            .unwrap_or_else(|error| panic!("bind tcp {address}: {error}"))
    }

    /// Runs a program inside with a text on standard input.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn output(&self, program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
        self.run(|| {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
            // A program that ends without reading says why by itself.
            let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
            child.wait_with_output()
        })
    }

    /// As [`output`](Self::output), and gives what it printed.
    ///
    /// # Panics
    /// Unless it ends well.
    pub fn must(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let output = self
            .output(program, arguments, input)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(
            output.status.success(),
            "{program} {}: {}\n{}{input}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs lines of `ip` commands.
    ///
    /// # Panics
    /// At the first that fails.
    pub fn ip(&self, lines: &str) {
        self.must("ip", &["-batch", "-"], lines);
    }

    /// Loads an nft script.
    ///
    /// # Panics
    /// If nft refuses it.
    pub fn nft(&self, script: &str) {
        self.must("nft", &["-f", "-"], script);
    }

    /// A named nft counter's packets.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn nft_counter(&self, table: &str, counter: &str) -> u64 {
        let text = self.must("nft", &["list", "counter", "inet", table, counter], "");
        let packets = text.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        packets
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no packets in {text}"))
    }

    /// The sets of a table `inet` whose names begin so, with the number of their elements and their size (0: none is set).
    ///
    /// # Panics
    /// If there is no such table.
    #[must_use]
    pub fn nft_sets(&self, table: &str, beginning: &str) -> Vec<(String, usize, u64)> {
        let text = self.must("nft", &["-j", "list", "table", "inet", table], "");
        let listed: Value = serde_json::from_str(&text).expect("nft prints JSON");
        let items = listed["nftables"].as_array().expect("a list").iter();
        let sets = items.filter_map(|item| item.get("set"));
        let read = |set: &Value| {
            let elements = set["elem"].as_array().map_or(0, Vec::len);
            let size = set["size"].as_u64().unwrap_or(0);
            (set["name"].as_str().unwrap_or_default().to_owned(), elements, size)
        };
        sets.map(read)
            .filter(|(name, ..)| name.starts_with(beginning))
            .collect()
    }
}

/// Tries to bind until the address is free. A socket that was closed a moment ago may live on for another: a process that a neighbouring
/// thread is just starting holds it until its exec.
///
/// # Errors
/// The last attempt's, after ten seconds.
pub fn bind<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            bound => return bound,
        }
    }
}
