//! What a defect says that is a trap and no more, as panics are on a router.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // a trap is an instruction

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// The test in which this program, started by itself, does what it was told.
const CHILD: &str = "LANWARD_DEFECT";

#[inline(never)]
extern "C" fn trap() {
    // SAFETY: what it raises ends the process.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("ud2");
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("brk #1");
        #[cfg(target_arch = "arm")]
        std::arch::asm!("udf #65006");
    }
}

fn too_deep(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 100]);
    if depth == u64::MAX {
        return 0;
    }
    too_deep(depth + 1).wrapping_add(here[7])
}

/// Not a test by itself: what the others start.
#[test]
fn child() {
    let Some(what) = std::env::var_os(CHILD) else { return };
    lanward::system::defect::watch();
    println!("at {:#x}", trap as extern "C" fn() as usize);
    match what.to_str().unwrap() {
        "trap" => trap(),
        "abort" => std::process::abort(),
        "signal" => nix::sys::signal::raise(nix::sys::signal::Signal::SIGTRAP).unwrap(),
        "depth" => println!("{}", too_deep(0)),
        other => panic!("{other}"),
    }
    println!("still there");
}

fn ended_by(what: &str) -> (Output, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("still there"),
        "{said}"
    );
    assert_eq!(said.matches("a defect at 0x").count(), 1, "{said}");
    assert!(said.ends_with("ended the process; what is enforced stays\n"), "{said}");
    (output, said)
}

fn number(text: &str, before: &str) -> u64 {
    let from = text.split_once(before).unwrap().1;
    let digits = from.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap();
    u64::from_str_radix(digits, 16).unwrap()
}

#[test]
fn a_trap_says_where_it_is_and_ends_the_process_all_the_same() {
    let (output, said) = ended_by("trap");
    let function = number(&String::from_utf8_lossy(&output.stdout), "at 0x");
    let at = number(&said, "a defect at 0x");
    assert!((function..function + 64).contains(&at), "{said} {function:#x}");
    let expected = if cfg!(target_arch = "aarch64") {
        libc::SIGTRAP
    } else {
        libc::SIGILL
    };
    assert_eq!(output.status.signal(), Some(expected));
}

#[test]
fn what_is_sent_and_what_aborts_ends_it_too() {
    assert_eq!(ended_by("abort").0.status.signal(), Some(libc::SIGABRT));
    assert_eq!(ended_by("signal").0.status.signal(), Some(libc::SIGTRAP));
}

/// The thread's own stack is used up: std's threads, as the test's, have another one for signals, and so has the main thread from `watch`.
#[test]
fn a_stack_that_is_too_deep_is_told() {
    assert_eq!(ended_by("depth").0.status.signal(), Some(libc::SIGSEGV));
}
