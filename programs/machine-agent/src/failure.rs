//! Turns what the system says into what the host can act on.

use machine_agent_protocol::{Failed, FailureCode};
use rustix::io::Errno;
use std::fmt::Display;
use std::io;

/// What was tried, and why it did not work.
pub(crate) fn failed(tried: impl Display, error: &io::Error) -> Failed {
    Failed { code: code(error), message: format!("{tried}: {error}") }
}

/// A request that makes no sense.
pub(crate) fn invalid(message: impl Into<String>) -> Failed {
    Failed { code: FailureCode::Invalid, message: message.into() }
}

fn code(error: &io::Error) -> FailureCode {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => FailureCode::NotFound,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => FailureCode::PermissionDenied,
        Some(Errno::NOTDIR) => FailureCode::NotADirectory,
        Some(Errno::EXIST) => FailureCode::AlreadyExists,
        Some(Errno::NOSPC | Errno::DQUOT) => FailureCode::NoSpace,
        Some(Errno::ISDIR) => FailureCode::IsDirectory,
        Some(Errno::NOTEMPTY) => FailureCode::NotEmpty,
        Some(Errno::INVAL | Errno::NAMETOOLONG | Errno::LOOP) => FailureCode::Invalid,
        Some(Errno::NOSYS | Errno::OPNOTSUPP) => FailureCode::Unsupported,
        Some(_) | None => match error.kind() {
            io::ErrorKind::NotFound => FailureCode::NotFound,
            io::ErrorKind::InvalidInput => FailureCode::Invalid,
            _ => FailureCode::Io,
        },
    }
}
