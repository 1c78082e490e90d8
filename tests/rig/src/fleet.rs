//! The tools of whoever has many routers: Python's, in a place of their own (tests/install-tools.sh).

use crate::report_line::skip;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The project's directory.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One of the programs in there. `None`, and loudly so, where it is missing.
#[must_use]
pub fn program(test: &str, name: &str) -> Option<PathBuf> {
    let program = root().join("target/tools/fleet/bin").join(name);
    if program.exists() {
        return Some(program);
    }
    skip(test, &format!("{name} is missing: tests/install-tools.sh"));
    None
}

/// What `tests/fleet/tools.py` makes of this input. `None` as with [`program`].
///
/// # Panics
/// If it finds a mistake in it.
#[must_use]
#[track_caller]
pub fn ask(test: &str, what: &str, input: &str) -> Option<Value> {
    match judge(test, what, input)? {
        Ok(answer) => Some(answer),
        Err(why) => panic!("{what}: {why}\n{input}"),
    }
}

/// As [`ask`], with what it says of a mistake.
///
/// # Panics
/// If it cannot be run.
#[must_use]
pub fn judge(test: &str, what: &str, input: &str) -> Option<Result<Value, String>> {
    let mut python = Command::new(program(test, "python")?)
        .arg("-B")
        .arg(root().join("tests/fleet/tools.py"))
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is there");
    let mut stdin = python.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads all of it first");
    drop(stdin);
    let output = python.wait_with_output().expect("it ends");
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Some(Ok(serde_json::from_slice(&output.stdout).expect("it writes JSON")))
}
