//! Why nf_tables did not do what it was asked.

use crate::nft::Fault;
use std::{fmt, io};

/// Why nf_tables did not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// The socket: with what was being done.
    Io(&'static str, io::Error),
    /// No answer within the time limit.
    Timeout,
    /// The kernel's answer is not what netlink promises.
    Malformed,
    /// Others changed the ruleset faster than it could be read.
    Unsteady,
    /// The table, or an element, cannot be expressed.
    Fault(Fault),
    /// The kernel refused; nothing was changed.
    Refused {
        /// The error's number.
        errno: i32,
        /// What was refused: `rule 3 of chain "x"`.
        about: String,
        /// Which part of it, where the kernel says so: `expression 2 (lookup)`.
        part: Option<String>,
        /// What the kernel says about it.
        message: Option<String>,
    },
}

impl Error {
    /// Whether it is there no more, or not yet.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Error::Refused {
                errno: libc::ENOENT,
                ..
            }
        )
    }

    /// Whether it may come from somebody else's change in between; trying again would tell.
    pub(super) fn is_race(&self) -> bool {
        matches!(
            self,
            Error::Refused {
                errno: libc::ENOENT | libc::EEXIST | libc::EBUSY,
                ..
            }
        )
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Fault(fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(doing, source) => write!(f, "cannot {doing}: {source}"),
            Error::Timeout => write!(f, "the kernel does not answer"),
            Error::Malformed => write!(f, "the kernel's answer is broken"),
            Error::Unsteady => write!(f, "the ruleset changes faster than it can be read"),
            Error::Fault(fault) => write!(f, "{fault}"),
            Error::Refused {
                errno,
                about,
                part,
                message,
            } => {
                write!(f, "the kernel refuses {about}")?;
                if let Some(part) = part {
                    write!(f, ", {part}")?;
                }
                write!(f, ": {}", io::Error::from_raw_os_error(*errno))?;
                if let Some(message) = message {
                    write!(f, " ({message})")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(_, source) => Some(source),
            Error::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}
