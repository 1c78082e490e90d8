//! The page's code without a browser, by node.

use crate::report_line::skip;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a script with the page's `resources` as its argument, gives it JSON, and takes JSON from it. `None`: there is no node here, and said so.
///
/// # Panics
/// If the script fails.
#[must_use]
pub fn ask(test: &str, script: &Path, resources: &Path, given: &Value) -> Option<Value> {
    let node = Command::new("node")
        .arg(script)
        .arg(resources)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut node = match node {
        Ok(node) => node,
        Err(error) => {
            skip(test, &format!("node: {error}"));
            return None;
        }
    };
    let mut stdin = node.stdin.take().expect("it is piped");
    stdin.write_all(given.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = node.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}: {}", script.display(), output.status);
    Some(serde_json::from_slice(&output.stdout).expect("it writes JSON"))
}
