//! `/etc/config/lanward` section by section, as most houses have it: the gate `ssh`, what proves for it, and the ledger.

use crate::knock::Step;
use std::fmt::Write as _;
use std::path::Path;

/// A section, `gate 'ssh'`, with these lines in it.
#[must_use]
pub fn section(head: &str, lines: &str) -> String {
    let mut text = format!("\nconfig {head}\n");
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let _ = writeln!(text, "\t{line}");
    }
    text
}

/// The gate, switched on.
#[must_use]
pub fn gate(lines: &str) -> String {
    section("gate 'ssh'", &format!("option enabled '1'\n{lines}"))
}

/// Whoever uses IMAPS is let in by the gate.
#[must_use]
pub fn witness(lines: &str) -> String {
    section("witness 'imaps'", &format!("option gate 'ssh'\n{lines}"))
}

/// Whoever knocks so is.
#[must_use]
pub fn knock(sequence: &[Step], lines: &str) -> String {
    let open: String = sequence
        .iter()
        .map(|step| format!("list open '{}'\n", step.uci()))
        .collect();
    section("knock 'door'", &format!("option gate 'ssh'\n{open}{lines}"))
}

/// Whoever has this key is.
#[must_use]
pub fn spa(key_file: &Path, lines: &str) -> String {
    let key_file = key_file.display();
    section(
        "spa 'laptop'",
        &format!("option gate 'ssh'\noption key_file '{key_file}'\n{lines}"),
    )
}

/// The ledger, as it is where nobody asks for anything.
#[must_use]
pub fn ledger() -> String {
    section("ledger 'ledger'", "")
}
