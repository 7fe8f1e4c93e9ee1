//! A project's identity: its default name, and the id that tells a moved folder from a copy. The files that hold
//! the id are in `record.rs`.
//!
//! ```text
//! no id file ─────────────────────────────────▶ New
//! made for this path ─────────────────────────▶ Same
//! made for another path, whose id is the same ▶ Copied: a new id
//! made for another path, where it is no more ─▶ Moved: the same id, for this path
//! ```

mod record;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use machine_core::MachineName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use record::{IdentityError, identify};

/// How many letters of the folder's name are kept: with `-` and four digits, a machine's name has at most 39.
const LONGEST_FOLDER: usize = 34;
/// How many random bytes an id is made of.
pub const ENTROPY: usize = 32;
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH: usize = 20;

/// A project's id: 20 characters of `[a-z0-9]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectId(String);

/// A text that is no project's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a project's id: 20 characters of a-z and 0-9")]
pub struct NotAProjectId;

/// What `.machine/id` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRecord {
    /// The project's id.
    pub id: ProjectId,
    /// The folder that it was made for.
    pub path: PathBuf,
}

/// What a project is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// One that has no id yet: this is its.
    New(ProjectId),
    /// The one that it always was.
    Same(ProjectId),
    /// A copy of another that is still there: it has an id, and a machine, of its own.
    Copied {
        /// Its own.
        id: ProjectId,
        /// The other's folder.
        of: PathBuf,
    },
    /// The one that was in another folder: its machine is adopted.
    Moved {
        /// As before.
        id: ProjectId,
        /// Where it was.
        from: PathBuf,
    },
}

impl Identity {
    /// The project's id from now on.
    #[must_use]
    pub fn id(&self) -> &ProjectId {
        match self {
            Self::New(id) | Self::Same(id) | Self::Copied { id, .. } | Self::Moved { id, .. } => id,
        }
    }
}

/// What a project is, by what its id file says, and by what the id file of the folder says that it was made for.
#[must_use]
pub fn decide(here: &Path, recorded: Option<&IdRecord>, there: Option<&IdRecord>, fresh: ProjectId) -> Identity {
    let Some(recorded) = recorded else { return Identity::New(fresh) };
    if recorded.path == here {
        return Identity::Same(recorded.id.clone());
    }
    if there.is_some_and(|there| there.id == recorded.id) {
        return Identity::Copied { id: fresh, of: recorded.path.clone() };
    }
    Identity::Moved { id: recorded.id.clone(), from: recorded.path.clone() }
}

impl ProjectId {
    /// Spells an id from random bytes.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; ENTROPY]) -> Self {
        // 36 does not divide 256: bytes above its largest multiple are passed over while others are left.
        let fair = entropy.iter().filter(|byte| **byte < 252).chain(entropy.iter());
        Self(fair.take(LENGTH).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectId {
    type Err = NotAProjectId;
    fn from_str(text: &str) -> Result<Self, NotAProjectId> {
        let spelled = text.len() == LENGTH && text.bytes().all(|byte| LETTERS.contains(&byte));
        if spelled { Ok(Self(text.to_owned())) } else { Err(NotAProjectId) }
    }
}

impl TryFrom<String> for ProjectId {
    type Error = NotAProjectId;
    fn try_from(text: String) -> Result<Self, NotAProjectId> {
        text.parse()
    }
}

impl From<ProjectId> for String {
    fn from(id: ProjectId) -> Self {
        id.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a machine nobody named: the folder's, and 4 hexadecimal digits of its whole path.
#[must_use]
pub fn default_name(folder: &Path) -> MachineName {
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let digest = Sha256::digest(whole.as_os_str().as_encoded_bytes());
    let last = whole.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let dashed: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let begun = dashed.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let kept: String = begun.chars().take(LONGEST_FOLDER).collect();
    let kept = kept.trim_end_matches('-');
    let kept = if kept.is_empty() { "project" } else { kept };
    let name = format!("{kept}-{:02x}{:02x}", digest[0], digest[1]);
    name.parse().expect("letters, digits and dashes that begin with a letter are a machine's name")
}

#[cfg(test)]
mod tests;
