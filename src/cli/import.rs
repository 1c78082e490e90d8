//! `lanward import-knockd`: a knockd.conf as sections.

use super::{complain, say, Exit};
use crate::knockd_import::{import, MAX_BYTES};
use std::fs::File;
use std::io::{self, Read};

/// The sections go to standard output, what has to be said to standard error.
pub(super) fn knockd(file: &str, gate: &str) -> Exit {
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("lanward: {file}: {error}"));
            return Exit::Failed;
        }
    };
    let imported = import(&text, gate);
    let said = say(&imported.uci);
    for remark in &imported.remarks {
        complain(&format!("{file}: {remark}"));
    }
    match imported.remarks.iter().any(|remark| remark.lost) {
        true => Exit::Configuration,
        false => said,
    }
}

/// What is longer than the most is told by whoever takes it.
fn read(file: &str) -> io::Result<Vec<u8>> {
    let most = MAX_BYTES as u64 + 1;
    let mut text = Vec::new();
    match file {
        "-" => io::stdin().take(most).read_to_end(&mut text)?,
        file => File::open(file)?.take(most).read_to_end(&mut text)?,
    };
    Ok(text)
}
