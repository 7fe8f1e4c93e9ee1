//! `.machine/id` and its `.gitignore`: read, decided about, written. What is decided is in `mod.rs`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{ENTROPY, IdRecord, Identity, ProjectId, decide};
use crate::whole_file;

const FOLDER: &str = ".machine";
const ID: &str = "id";
const MACHINEFILE: &str = "Machinefile";

/// Why a project's identity cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The id file, or its folder, cannot be read or written.
    #[error("cannot keep the project's id in {}", path.display())]
    Keep {
        /// What was tried on.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The id file does not say what it should.
    #[error("not a project's id file: {} (take it away: the project gets a new machine)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// `.machine` is a link or a file.
    #[error("not a folder: {} (take it away, or make it a folder)", path.display())]
    NotAFolder {
        /// What it is called.
        path: PathBuf,
    },
}

/// Tells what the project of a folder is, and writes that down, so that the answer is `Same` from then on, also for
/// another who asks at the same time.
pub fn identify(folder: &Path, entropy: &[u8; ENTROPY]) -> Result<Identity, IdentityError> {
    let here =
        std::fs::canonicalize(folder).map_err(|source| IdentityError::Keep { path: folder.to_owned(), source })?;
    if let same @ Identity::Same(_) = look(&here, entropy)? {
        return Ok(same);
    }
    let _turn = turn(&here)?;
    let identity = look(&here, entropy)?;
    match &identity {
        // Whoever had the turn before has written it down.
        Identity::Same(_) => {}
        Identity::New(id) | Identity::Copied { id, .. } | Identity::Moved { id, .. } => {
            write(&here, &IdRecord { id: id.clone(), path: here.clone() })?;
        }
    }
    Ok(identity)
}

fn look(here: &Path, entropy: &[u8; ENTROPY]) -> Result<Identity, IdentityError> {
    let recorded = recorded(here)?;
    // A folder that cannot be looked at is not where the project is.
    let elsewhere = recorded.as_ref().filter(|recorded| recorded.path != here);
    let there = elsewhere.and_then(|recorded| self::recorded(&recorded.path).ok().flatten());
    Ok(decide(here, recorded.as_ref(), there.as_ref(), ProjectId::from_entropy(entropy)))
}

/// Held while the id is settled. On a file system without locks, two who ask at once may settle it differently.
fn turn(here: &Path) -> Result<Option<File>, IdentityError> {
    let kept = here.join(FOLDER);
    let opened = std::fs::create_dir_all(&kept).and_then(|()| File::open(&kept));
    let folder = opened.map_err(|source| IdentityError::Keep { path: kept, source })?;
    Ok(folder.lock().is_ok().then_some(folder))
}

fn recorded(folder: &Path) -> Result<Option<IdRecord>, IdentityError> {
    let kept = folder.join(FOLDER);
    match std::fs::symlink_metadata(&kept) {
        Ok(found) if !found.is_dir() => return Err(IdentityError::NotAFolder { path: kept }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Keep { path: kept, source }),
    }
    let path = kept.join(ID);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| IdentityError::Damaged { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::Keep { path, source }),
    }
}

fn write(folder: &Path, record: &IdRecord) -> Result<(), IdentityError> {
    let kept = folder.join(FOLDER);
    let keep = |source| IdentityError::Keep { path: kept.clone(), source };
    let ignored = kept.join(".gitignore");
    if !ignored.exists() {
        // Untracked as a whole, unless the project's file lives there.
        let what = if kept.join(MACHINEFILE).exists() { "/id\n" } else { "*\n" };
        std::fs::write(&ignored, what).map_err(keep)?;
    }
    let text = serde_json::to_string_pretty(record).expect("an id and a path are JSON");
    whole_file::write(&kept.join(ID), format!("{text}\n").as_bytes()).map_err(keep)
}
