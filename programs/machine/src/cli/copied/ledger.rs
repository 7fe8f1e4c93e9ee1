//! What was copied into a guest, kept in a file of the installation: the state from which both sides go on.
//! One at a time holds it.
//!
//! ```text
//! Nothing ──▶ Copying ──all there──▶ Copied ──changes came out──▶ Copied
//!                └──again──▶ Copying
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use machine_sdk::api::Code;
use serde::{Deserialize, Serialize};

use super::inside::{self, Inside};
use super::place::Tree;
use crate::cli::copy::draft::Draft;
use crate::cli::copy::entry::{Digest, Entry, Mode};
use crate::cli::exit::Failure;

/// The version that is written, and the only one that there was.
const VERSION: u32 = 1;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Another one of us holds it.
    #[error("another command copies this folder: {}", path.display())]
    Held {
        /// The folder.
        path: PathBuf,
    },
    /// It makes no sense.
    #[error("the record of what was copied is damaged: {}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// A later program wrote it.
    #[error("the record of what was copied is of a newer version ({version}): {}", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// The files fail.
    #[error("cannot use the record of what was copied {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Held { .. } => {
                Self::new(Code::TransitionInProgress, error.to_string()).hint("wait for it, then try again")
            }
            LedgerError::Damaged { .. } => Self::new(Code::Damaged, error.to_string())
                .hint("copy what you need with `machine cp`, then make the machine anew"),
            LedgerError::Newer { .. } => Self::new(Code::FileError, error.to_string()).hint("use the newer `machine`"),
            LedgerError::File { source, .. } => Self::file(&error, source),
        }
    }
}

/// What is known of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// Nothing was copied.
    Nothing,
    /// A copy into this machine was begun.
    Copying { machine: String },
    /// This machine has a copy; both sides were so when they last agreed.
    Copied { machine: String, agreed: Tree },
}

/// The ledger of a folder, held.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    /// Held as long as it is open.
    _lock: File,
}

impl Ledger {
    /// Opens and holds the ledger at a path, for this folder here.
    pub(crate) fn open(path: &Path, here: &Path) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::File { path: path.to_owned(), source };
        let above = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(above).map_err(failed)?;
        // The folder's own lock: two machines may have copies of one folder.
        let lock = File::open(here).map_err(|source| LedgerError::File { path: here.to_owned(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(LedgerError::Held { path: here.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// What it says.
    pub(crate) fn read(&self) -> Result<Record, LedgerError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::Nothing),
            Err(source) => return Err(LedgerError::File { path: self.path.clone(), source }),
        };
        let damaged = || LedgerError::Damaged { path: self.path.clone() };
        let Version { version } = serde_json::from_slice(&text).map_err(|_| damaged())?;
        if version != VERSION {
            return Err(LedgerError::Newer { path: self.path.clone(), version });
        }
        let written: Written = serde_json::from_slice(&text).map_err(|_| damaged())?;
        written.record().ok_or_else(damaged)
    }

    /// Says something else from now on, whatever interrupts.
    pub(crate) fn write(&self, record: &Record) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::File { path: self.path.clone(), source };
        let text = serde_json::to_vec(&Written::of(record)).map_err(|error| failed(error.into()))?;
        let (draft, mut file) = Draft::file(&self.path).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        draft.name(&self.path).map_err(failed)
    }

    /// A new folder beside it, for what comes from the guest; what an interrupted command left is removed.
    pub(crate) fn fetched(&self) -> Result<Fetched, LedgerError> {
        let mut name = self.path.file_name().unwrap_or(OsStr::new("copied")).to_owned();
        name.push(".fetched");
        let path = self.path.with_file_name(name);
        let failed = |source| LedgerError::File { path: path.clone(), source };
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        Ok(Fetched { path })
    }
}

/// What came from a guest, until it is dropped.
#[derive(Debug)]
pub(crate) struct Fetched {
    path: PathBuf,
}

impl Fetched {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What every version says.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    #[serde(flatten)]
    state: WrittenState,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum WrittenState {
    Nothing,
    Copying { machine: String },
    Copied { machine: String, entries: BTreeMap<String, WrittenEntry> },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WrittenEntry {
    File { mode: u32, size: u64, sha256: String },
    Folder { mode: u32 },
    Link { target: String },
    Other,
}

impl Written {
    fn of(record: &Record) -> Self {
        let state = match record {
            Record::Nothing => WrittenState::Nothing,
            Record::Copying { machine } => WrittenState::Copying { machine: machine.clone() },
            Record::Copied { machine, agreed } => {
                let written = |(path, entry): (&Inside, &Entry)| {
                    (inside::written(path.path().as_os_str()), WrittenEntry::of(entry))
                };
                WrittenState::Copied { machine: machine.clone(), entries: agreed.iter().map(written).collect() }
            }
        };
        Self { version: VERSION, state }
    }

    fn record(self) -> Option<Record> {
        Some(match self.state {
            WrittenState::Nothing => Record::Nothing,
            WrittenState::Copying { machine } => Record::Copying { machine },
            WrittenState::Copied { machine, entries } => {
                let read = |(path, entry): (String, WrittenEntry)| {
                    Some((Inside::new(Path::new(&inside::read(&path)?))?, entry.entry()?))
                };
                Record::Copied { machine, agreed: entries.into_iter().map(read).collect::<Option<Tree>>()? }
            }
        })
    }
}

impl WrittenEntry {
    fn of(entry: &Entry) -> Self {
        match entry {
            Entry::File { mode, size, digest } => {
                Self::File { mode: mode.bits(), size: *size, sha256: digest.to_string() }
            }
            Entry::Folder { mode } => Self::Folder { mode: mode.bits() },
            Entry::Link { target } => Self::Link { target: inside::written(target.as_os_str()) },
            Entry::Other => Self::Other,
        }
    }

    fn entry(self) -> Option<Entry> {
        Some(match self {
            Self::File { mode, size, sha256 } => {
                Entry::File { mode: Mode::of(mode), size, digest: Digest::parse(&sha256)? }
            }
            Self::Folder { mode } => Entry::Folder { mode: Mode::of(mode) },
            Self::Link { target } => Entry::Link { target: inside::read(&target)?.into() },
            Self::Other => Entry::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn tree() -> Tree {
        let path = |bytes: &[u8]| Inside::new(Path::new(OsStr::from_bytes(bytes))).unwrap();
        let (size, digest) = Digest::of(&b"x"[..]).unwrap();
        Tree::from([
            (path(b"d"), Entry::Folder { mode: Mode::of(0o755) }),
            (path(b"d/\xff\n%41"), Entry::File { mode: Mode::of(0o640), size, digest }),
            (path(b"l"), Entry::Link { target: OsStr::from_bytes(b"d/\xfe").into() }),
        ])
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("projects/p/work.json"), folder.path()).unwrap();
        assert_eq!(ledger.read().unwrap(), Record::Nothing);
        for record in [
            Record::Copying { machine: "m1".into() },
            Record::Copied { machine: "m1".into(), agreed: tree() },
            Record::Nothing,
        ] {
            ledger.write(&record).unwrap();
            assert_eq!(ledger.read().unwrap(), record);
        }
        assert_eq!(fs::read_dir(folder.path().join("projects/p")).unwrap().count(), 1);
    }

    #[test]
    fn a_ledger_that_makes_no_sense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.json");
        let ledger = Ledger::open(&path, folder.path()).unwrap();
        for text in [
            "",
            "{",
            "{\"version\":1}",
            "{\"version\":1,\"state\":\"copied\",\"machine\":\"m\",\"entries\":{\"../x\":{\"kind\":\"folder\",\"mode\":1}}}",
        ] {
            fs::write(&path, text).unwrap();
            assert!(matches!(ledger.read(), Err(LedgerError::Damaged { .. })), "{text}");
        }
        fs::write(&path, "{\"version\":2,\"state\":\"a_word_of_tomorrow\"}").unwrap();
        assert!(matches!(ledger.read(), Err(LedgerError::Newer { version: 2, .. })));
    }

    #[test]
    fn one_at_a_time_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.json");
        let first = Ledger::open(&path, folder.path()).unwrap();
        assert!(matches!(Ledger::open(&path, folder.path()), Err(LedgerError::Held { .. })));
        drop(first);
        assert!(Ledger::open(&path, folder.path()).is_ok());
    }

    #[test]
    fn what_was_fetched_goes_and_so_does_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("work.json"), folder.path()).unwrap();
        let fetched = ledger.fetched().unwrap();
        fs::write(fetched.path().join("x"), "x").unwrap();
        std::mem::forget(fetched);
        let again = ledger.fetched().unwrap();
        assert_eq!(fs::read_dir(again.path()).unwrap().count(), 0);
        drop(again);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
