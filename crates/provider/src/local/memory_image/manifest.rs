//! What an image is made of: one line of JSON and, below it, that line's digest.
//!
//! ```text
//! Fresh: made in this boot of the host ──synced, digested──▶ Sealed: holds in every boot
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;
use machine_core::Digest;
use serde::{Deserialize, Serialize};

use super::digest;
use super::key::Key;

/// The format that this build writes; it reads no other.
const FORMAT: u32 = 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// What it depends on.
    pub(crate) key: Key,
    /// When it was made.
    pub(crate) made_at: Timestamp,
    /// The guest's memory.
    pub(crate) ram: Part,
    /// The state of its devices.
    pub(crate) state: Part,
    /// Its root disk as it was when the guest stopped.
    pub(crate) disk: Part,
    /// The kinds of SSH host keys that the guest holds.
    pub(crate) ssh_host_keys: Vec<String>,
    /// What was run in it before it was kept.
    pub(crate) warm_up: Option<String>,
}

/// What is known of the guest when its image is sealed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    pub(crate) key: Key,
    pub(crate) made_at: Timestamp,
    pub(crate) ssh_host_keys: Vec<String>,
    pub(crate) warm_up: Option<String>,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its length.
    pub(crate) bytes: u64,
    /// What else is known of its content.
    #[serde(flatten)]
    pub(crate) content: Content,
}

/// How a part is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    /// By its digest, see `digest.rs`. It was synced before that was written down.
    Sealed {
        /// The digest.
        digest: Digest,
    },
    /// As the file that was just made. What of it is on the disk, nobody knows: without this boot of the host
    /// it is nothing.
    Fresh {
        /// The boot.
        boot: String,
        /// The file.
        inode: u64,
        /// When it was last written, in nanoseconds since 1970.
        modified: i64,
    },
}

impl Part {
    /// What a file is now, read whole.
    pub(crate) fn sealed(path: &Path) -> io::Result<Self> {
        let digest = digest::of_file(path)?;
        Ok(Self { bytes: fs::metadata(path)?.len(), content: Content::Sealed { digest } })
    }

    /// A file that was just made.
    pub(crate) fn fresh(path: &Path, boot: &str) -> io::Result<Self> {
        let facts = fs::metadata(path)?;
        let modified = facts.mtime().wrapping_mul(1_000_000_000).wrapping_add(facts.mtime_nsec());
        let content = Content::Fresh { boot: boot.to_owned(), inode: facts.ino(), modified };
        Ok(Self { bytes: facts.len(), content })
    }

    /// Whether it waits for its digest.
    pub(crate) fn is_fresh(&self) -> bool {
        self.boot().is_some()
    }

    /// The boot of the host that it is bound to, while it waits for its digest.
    pub(crate) fn boot(&self) -> Option<&str> {
        match &self.content {
            Content::Fresh { boot, .. } => Some(boot),
            Content::Sealed { .. } => None,
        }
    }
}

impl Manifest {
    pub(crate) fn new(facts: Facts, ram: Part, state: Part, disk: Part) -> Self {
        let Facts { key, made_at, ssh_host_keys, warm_up } = facts;
        Self { format: FORMAT, key, made_at, ram, state, disk, ssh_host_keys, warm_up }
    }

    /// The same image, its parts digested.
    pub(crate) fn with_parts(&self, [ram, state, disk]: [Part; 3]) -> Self {
        Self { ram, state, disk, ..self.clone() }
    }

    /// Whether a part waits for its digest.
    pub(crate) fn is_fresh(&self) -> bool {
        [&self.ram, &self.state, &self.disk].into_iter().any(Part::is_fresh)
    }

    /// The bytes of its file.
    pub(crate) fn sealed(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("a manifest's maps have text keys");
        digest::seal(&text)
    }

    /// Reads the bytes of its file back.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(digest::unseal(bytes)?).map_err(|error| error.to_string())?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(format!("its format is {other}; this version reads {FORMAT}")),
        }
    }
}
