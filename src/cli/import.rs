//! `lanward import-knockd`: a knockd.conf as sections.

use super::{complain, read_named, say, Exit};
use crate::knockd_import::{import, MAX_BYTES};

pub(super) fn knockd(file: &str, gate: &str) -> Exit {
    let text = match read_named(file, MAX_BYTES) {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("lanward: {file}: {error}"));
            return Exit::Failed;
        }
    };
    let imported = import(&text, gate);
    for remark in &imported.remarks {
        complain(&format!("{file}: {remark}"));
    }
    let said = say(&imported.uci);
    if imported.remarks.iter().any(|remark| remark.lost) {
        return Exit::Configuration;
    }
    said
}
