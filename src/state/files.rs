//! What the texts of the configuration files come to.

use crate::check;
use crate::config::{Problem, System};
use crate::uci;

/// What became of a file that said something before.
pub(super) fn gone(is_missing: bool) -> &'static str {
    match is_missing {
        true => "the file is not there any more",
        false => "the file has no section any more",
    }
}

/// The warning while the defaults hold.
pub(super) fn without_file() -> String {
    check::says_nothing("/etc/config/lanward")
}

/// Refuses a file as a whole.
pub(super) fn file_problem(file: &str, message: &str) -> Problem {
    Problem {
        system: System::Lanward,
        option: file.into(),
        message: message.into(),
        restricts: true,
    }
}

/// A configuration file that is only read. `None` with a problem noted if it cannot be.
pub(crate) fn package(
    text: &Result<Option<Vec<u8>>, String>,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Option<uci::Package> {
    let error = match text {
        Ok(None) => return None,
        Ok(Some(text)) => match uci::parse(text) {
            Ok(package) => return Some(package),
            Err(error) => format!("line {}, column {}: {}", error.line, error.column, error.message),
        },
        Err(error) => error.clone(),
    };
    problems.push(file_problem(file, &error));
    None
}
