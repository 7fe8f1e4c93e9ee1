//! What can go wrong under the ledger, and how it is said to those above.

use std::io;
use std::path::Path;

use machine_core::promise::ledger::LedgerError;

/// What was tried, when it was a write.
pub(super) const WRITE: &str = "write";
/// What was tried, when it was a read.
pub(super) const READ: &str = "read";

/// SQLite's primary code for a full disk.
const SQLITE_FULL: &str = "13";
/// Growing the shared-memory file failed; on a disk with room that does not happen.
const SQLITE_IOERR_SHMSIZE: &str = "4874";

/// Why a statement was not carried out.
#[derive(Debug)]
pub(super) enum Fault {
    /// The owner has a machine by that name.
    NameTaken(String),
    /// The file could not be made.
    File(io::Error),
    /// SQLite said no.
    Sql(sqlx::Error),
    /// What was asked does not fit what is written, or what is written cannot be understood.
    Nonsense(String),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    /// A value that a newer or damaged ledger holds.
    pub(super) fn unreadable(column: &str, text: &str) -> Self {
        Self::Nonsense(format!("not a {column}: '{text}'"))
    }

    /// The fault as those above the ledger are told of it.
    pub(super) fn explain(self, tried: &'static str, path: &Path) -> LedgerError {
        let said = match self {
            Self::NameTaken(name) => return LedgerError::NameTaken(name),
            Self::File(error) if error.kind() == io::ErrorKind::StorageFull => return LedgerError::DiskFull,
            Self::File(error) => error.to_string(),
            Self::Sql(error) if is_full(&error) => return LedgerError::DiskFull,
            Self::Sql(error) => error.to_string(),
            Self::Nonsense(said) => said,
        };
        LedgerError::Broken { tried, detail: format!("{}: {said}", path.display()) }
    }
}

fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE)
}
