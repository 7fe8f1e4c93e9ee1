//! Removes what killed builds left behind. A living build holds a lock on its folder, and is left alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::ownership::Ownership;
use crate::tool::ToolError;

/// How the folders of builds are named, up to what tells them apart.
pub(crate) const UNFINISHED: &str = "unfinished-";

/// Why a leftover is still there.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The images' folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A leftover could not be removed.
    #[error("cannot remove what a build left behind: {}", path.display())]
    Remove {
        /// The leftover.
        path: PathBuf,
        /// Why.
        source: ToolError,
    },
}

/// Removes the folders of builds that are over; the answer is what was removed.
///
/// # Errors
/// When the folder cannot be read or a leftover cannot be removed.
pub fn sweep_unfinished(images: &Path) -> Result<Vec<PathBuf>, SweepError> {
    let folder = match fs::read_dir(images) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(SweepError::Read { path: images.to_owned(), source }),
    };
    let mut removed = Vec::new();
    for entry in folder {
        let path = entry.map_err(|source| SweepError::Read { path: images.to_owned(), source })?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
        if ours && !is_held(&path) {
            Ownership::of_this_process()
                .remove([&path])
                .map_err(|source| SweepError::Remove { path: path.clone(), source })?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// Takes the lock that says a build in `folder` is alive; it goes with the file.
pub(crate) fn hold(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn is_held(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}
