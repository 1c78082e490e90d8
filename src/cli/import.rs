//! `lanward import-knockd`: a knockd.conf as sections.

use super::Exit;

pub(super) fn knockd(_file: &str, _gate: &str) -> Exit {
    Exit::Failed
}
