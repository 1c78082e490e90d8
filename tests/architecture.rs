//! What `ARCHITECTURE.md` says of the code's shape, as far as a machine can read it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code without comments and without what is only compiled for tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
}

fn named(path: &Path) -> String {
    path.strip_prefix(src()).unwrap().display().to_string()
}

/// Files that may do I/O besides `system/`.
const DOORS: [&str; 11] = [
    "main.rs",
    "cli.rs",
    "cli/import.rs",
    "cli/knock.rs",
    "cli/spa.rs",
    "daemon.rs",
    "daemon/flows.rs",
    "daemon/keys.rs",
    "daemon/ledger.rs",
    "daemon/relays.rs",
    "daemon/table.rs",
];

#[test]
fn pure_files_do_no_io_and_do_not_ask_for_the_time() {
    const FORBIDDEN: [&str; 14] = [
        "std::fs",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "std::os",
        "SystemTime",
        "Instant",
        "UdpSocket",
        "TcpStream",
        "tokio",
        ".await",
        "nix::",
        "libc::",
    ];
    let mut seen = 0;
    for path in sources(&src()) {
        let name = named(&path);
        if name.starts_with("system/") || DOORS.contains(&name.as_str()) || is_test_file(&path) {
            continue;
        }
        seen += 1;
        let code = code(&path);
        for word in FORBIDDEN {
            assert!(!code.contains(word), "{name} uses {word}");
        }
    }
    assert!(seen > 10, "the pure files were not found");
}

#[test]
fn only_the_relays_clients_are_started_and_unsafe_stays_in_system() {
    for path in sources(&src()) {
        let (name, code) = (named(&path), code(&path));
        if is_test_file(&path) {
            continue;
        }
        for word in ["Command::new", "fork(", "execv", "posix_spawn"] {
            // The keeper is this program itself, split in two before it does anything; a relay's client is the one program that is started.
            let is_keeper = word == "fork(" && name == "system/keeper.rs";
            let is_client = (word == "fork(" || word == "execv") && name == "system/relays/process.rs";
            assert!(
                is_keeper || is_client || !code.contains(word),
                "{name} starts a process: {word}"
            );
        }
        let is_unsafe = code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl");
        assert!(!is_unsafe || name.starts_with("system/"), "{name} is unsafe");
    }
}

#[test]
fn the_program_uses_no_64_bit_atomics_and_no_hash_maps() {
    for path in sources(&src()) {
        let (name, code) = (named(&path), code(&path));
        // 32-bit MIPS has no 64-bit atomics; hash maps are not the same twice.
        for word in ["AtomicU64", "AtomicI64", "HashMap", "HashSet"] {
            assert!(!code.contains(word), "{name} uses {word}");
        }
    }
}

#[test]
fn files_stay_readable() {
    for path in sources(&src()) {
        let lines = code(&path).lines().count();
        assert!(
            is_test_file(&path) || lines <= 600,
            "{} has {lines} lines",
            named(&path)
        );
    }
}

#[test]
fn the_map_names_every_file() {
    let map = fs::read_to_string(src().join("../ARCHITECTURE.md")).unwrap();
    for path in sources(&src()) {
        let name = named(&path);
        let top = name.split('/').next().unwrap();
        let listed = map.contains(&format!("`{top}`"))
            || map.contains(&format!("`{top}/`"))
            || map.contains(&format!("`{top}.rs`"))
            || top == "lib.rs";
        assert!(listed, "ARCHITECTURE.md does not name {name}");
    }
}
