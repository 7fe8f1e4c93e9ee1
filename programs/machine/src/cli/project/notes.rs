//! What this computer remembers of a project between verbs, below `projects/<id>` of the installation: which launch
//! of its machine was fitted out, and for which file. One verb at a time changes a project.
//!
//! ```text
//! launched ──provisioned, services told──▶ fitted (noted) ──machine stops, or the file changes──▶ launched
//! ```
//! A note that is lost costs a repetition: everything that it saves can be done twice.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::exit::Failure;
use crate::cli::voice::Voice;

const FITTED: &str = "fitted.json";
const LOCK: &str = "lock";

/// The folder of one project's notes.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    folder: PathBuf,
}

/// A launch of a machine that has all that its file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fitted {
    /// The machine's id.
    pub(crate) machine: String,
    /// Which launch of it.
    pub(crate) generation: u64,
    /// The digest of what its file said then.
    pub(crate) file: String,
    /// The digest of the provisioning that its root disk has, where the disk outlives a stop.
    #[serde(default)]
    pub(crate) provisioned: Option<String>,
}

/// Held while a verb changes a project. Given back when dropped, or when we are killed.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Notes {
    /// Those of the project with this id.
    pub(crate) fn of(home: &Path, project: &str) -> Self {
        Self { folder: home.join("projects").join(project) }
    }

    /// The folder itself, for what else is remembered there.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until nobody else changes the project.
    pub(crate) async fn turn(&self, voice: &Voice) -> Result<Turn, Failure> {
        let failed = |error: io::Error| Failure::path("cannot take the lock of the project in", &self.folder, &error);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).write(true).open(self.folder.join(LOCK));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => return Ok(Turn { _lock: lock }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => voice.say("another machine command works on this project; waiting for it"),
        }
        let waiting = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
        let lock = waiting.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        Ok(Turn { _lock: lock })
    }

    /// The launch that was fitted out last; nothing, if that is not known.
    pub(crate) fn fitted(&self) -> Option<Fitted> {
        serde_json::from_slice(&fs::read(self.folder.join(FITTED)).ok()?).ok()
    }

    /// Remembers a launch.
    pub(crate) fn note(&self, fitted: &Fitted) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::path("cannot remember the project in", &self.folder, &error);
        let text = serde_json::to_vec(fitted).map_err(|error| failed(error.into()))?;
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let next = self.folder.join("fitted.json.next");
        fs::write(&next, text).and_then(|()| fs::rename(&next, self.folder.join(FITTED))).map_err(failed)
    }

    /// Forgets the launch: everything is done again.
    pub(crate) fn forget(&self) {
        // What cannot be removed cannot be written either: said then.
        let _ = fs::remove_file(self.folder.join(FITTED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_again_and_half_of_one_is_none() {
        let home = tempfile::tempdir().unwrap();
        let notes = Notes::of(home.path(), "p");
        assert_eq!(notes.fitted(), None);
        let fitted = Fitted { machine: "m".into(), generation: 3, file: "d".into(), provisioned: None };
        notes.note(&fitted).unwrap();
        assert_eq!(notes.fitted(), Some(fitted));
        fs::write(notes.folder().join(FITTED), "{\"machine\":").unwrap();
        assert_eq!(notes.fitted(), None);
        notes.forget();
        notes.forget();
    }
}
