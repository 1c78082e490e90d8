//! Lines for people: what the demo saw, what a test measured, what was skipped.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};

/// One ✓ or ✗ line for each thing promised, and whether all held.
#[derive(Debug, Default)]
pub struct Checklist {
    failed: usize,
    passed: usize,
}

impl Checklist {
    /// A heading between lines.
    pub fn heading(&self, text: &str) {
        say(&format!("\n{text}"));
    }

    /// Prints one line: what was promised and what was seen.
    pub fn line(&mut self, held: bool, promise: &str, seen: &dyn Display) {
        if held {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        say(&format!("  {} {promise}: {seen}", if held { '✓' } else { '✗' }));
    }

    /// Prints the sum, and says whether every line held (and there were any).
    #[must_use]
    pub fn finish(&self, took: std::time::Duration) -> bool {
        let all = self.failed == 0 && self.passed > 0;
        let sum = if all { "all" } else { "NOT all" };
        say(&format!(
            "\n{sum} as promised: {} ✓, {} ✗ in {:.1} s",
            self.passed,
            self.failed,
            took.as_secs_f32()
        ));
        all
    }
}

fn say(line: &str) {
    // Somebody who closed the pipe does not want to read on; the exit status still counts.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Says that a test did not run and why. Under continuous integration (`CI` is set) that is an error.
///
/// # Panics
/// If `CI` is set.
pub fn skip(test: &str, why: &str) {
    remember(&format!("SKIPPED {test}: {why}"));
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci.is_empty()),
        "skipped where nothing may be: {test}: {why}"
    );
}

/// The running test's name, as the harness gives it to its thread.
#[must_use]
pub fn this_test() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// Says that something was not asked because only a variable could say where it is. No error, also under continuous integration.
pub fn not_asked(test: &str, why: &str) {
    remember(&format!("NOT ASKED {test}: {why}"));
}

/// A figure that a test measured.
pub fn figure(test: &str, figure: &str) {
    remember(&format!("measured {test}: {figure}"));
}

/// To standard error past the test harness, which keeps what a passing test prints to itself, and to the file that `make test` shows at its end.
fn remember(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
    if let Some(path) = std::env::var_os("LANWARD_TEST_NOTES") {
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
            let _ = writeln!(file, "{line}");
        }
    }
}
