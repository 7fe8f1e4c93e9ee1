//! What was trusted on this computer: `trust.json` in a folder of the user's, by the project's real path. What a
//! file asks is in `trust.rs`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use machine_core::Digest;
use serde::{Deserialize, Serialize};

use crate::whole_file;

const FILE: &str = "trust.json";
const VERSION: u32 = 1;

/// What `trust.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Records {
    version: u32,
    /// A project's real path, and the digest of its files when they were trusted.
    trusted: BTreeMap<PathBuf, Digest>,
}

/// Why trust cannot be looked up or recorded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The record, or the project's folder, cannot be read or written.
    #[error("cannot keep what is trusted in {}", path.display())]
    Keep {
        /// What was tried on.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record does not say what it should.
    #[error("not a record of trust: {} (take it away, and trust anew)", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another build's.
    #[error("a record of trust of version {version}, and this build reads {VERSION}: {}", path.display())]
    Version {
        /// The record.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// Whether a project's files were trusted as they are: by their digest, at this path.
pub fn is_trusted(records: &Path, project: &Path, digest: &Digest) -> Result<bool, TrustError> {
    Ok(read(records)?.trusted.get(&real(project)?) == Some(digest))
}

/// Records that a project's files are trusted as they are.
pub fn record(records: &Path, project: &Path, digest: &Digest) -> Result<(), TrustError> {
    let mut known = read(records)?;
    known.trusted.insert(real(project)?, digest.clone());
    write(records, &known)
}

/// Records that a project is trusted no more. Of one that was not, nothing changes.
pub fn forget(records: &Path, project: &Path) -> Result<(), TrustError> {
    let mut known = read(records)?;
    if known.trusted.remove(&real(project)?).is_some() {
        write(records, &known)?;
    }
    Ok(())
}

fn real(project: &Path) -> Result<PathBuf, TrustError> {
    std::fs::canonicalize(project).map_err(|source| TrustError::Keep { path: project.to_owned(), source })
}

fn read(records: &Path) -> Result<Records, TrustError> {
    let path = records.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Records { version: VERSION, trusted: BTreeMap::new() });
        }
        Err(source) => return Err(TrustError::Keep { path, source }),
    };
    let known: Records =
        serde_json::from_slice(&bytes).map_err(|source| TrustError::Damaged { path: path.clone(), source })?;
    if known.version == VERSION { Ok(known) } else { Err(TrustError::Version { path, version: known.version }) }
}

fn write(records: &Path, known: &Records) -> Result<(), TrustError> {
    let path = records.join(FILE);
    let keep = |source| TrustError::Keep { path: path.clone(), source };
    std::fs::create_dir_all(records).map_err(keep)?;
    let bytes = serde_json::to_vec_pretty(known).map_err(io::Error::other).map_err(keep)?;
    whole_file::write(&path, &bytes).map_err(keep)
}
