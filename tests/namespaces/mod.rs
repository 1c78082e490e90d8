//! Network namespaces for tests that ask a real kernel.

#![allow(dead_code)]

use lanward_rig::report_line;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace that goes with the value, and with it everything in it.
pub struct Namespace {
    pub name: String,
}

/// Says loudly that a test did not run; with `CI` set it fails instead.
pub fn skip(why: &str) {
    report_line::skip(&report_line::this_test(), why);
}

/// Whether namespaces can be made and every tool is there. If not, says so.
pub fn possible(tools: &[&str]) -> bool {
    for tool in ["ip"].iter().chain(tools) {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(tool).exists()));
        if !found {
            skip(&format!("no {tool}"));
            return false;
        }
    }
    let probe = Namespace::attempt("probe");
    if probe.is_none() {
        skip("cannot make network namespaces (not root?)");
    }
    probe.is_some()
}

impl Namespace {
    pub fn new(role: &str) -> Self {
        Self::attempt(role).expect("ip netns add")
    }

    fn attempt(role: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("net-{}-{number}-{role}", std::process::id());
            let made = Command::new("ip").args(["netns", "add", &name]).output().ok()?;
            if made.status.success() {
                break name;
            }
            // A process that was killed may have had this one's number and left its own.
            if !String::from_utf8_lossy(&made.stderr).contains("File exists") {
                return None;
            }
        };
        let namespace = Self { name };
        namespace.run("ip link set lo up");
        Some(namespace)
    }

    /// Runs a command in the namespace, without a shell; its output. Fails the test if the command fails.
    pub fn run(&self, command: &str) -> String {
        self.attempt_run(command)
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// As [`Self::run`], but a failure is a value.
    pub fn attempt_run(&self, command: &str) -> Result<String, String> {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name])
            .args(command.split_ascii_whitespace())
            .output()
            .expect("ip runs");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Runs a function on a thread of its own in the namespace.
    pub fn enter<T: Send + 'static>(&self, function: impl FnOnce() -> T + Send + 'static) -> T {
        let file = File::open(format!("/var/run/netns/{}", self.name)).expect("namespace");
        let thread = std::thread::spawn(move || {
            join(&file);
            function()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// `self` and `other`, joined by a cable.
    pub fn cable(&self, device: &str, other: &Self, other_device: &str) {
        self.run(&format!(
            "ip link add {device} type veth peer name {other_device} netns {}",
            other.name
        ));
        self.run(&format!("ip link set {device} up"));
        other.run(&format!("ip link set {other_device} up"));
    }
}

#[allow(unsafe_code)]
fn join(namespace: &File) {
    // SAFETY: setns takes a descriptor, which `namespace` keeps open, and changes only the calling thread.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "setns: {}", std::io::Error::last_os_error());
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}
