//! How much a guest may make us take: bytes of the disk, entries, and names in our memory.

use std::path::Path;

use super::UnpackError;

/// What an entry takes of the disk besides its content, and of our memory besides its name.
const ENTRY: u64 = 4096;
/// How long a path may be, as the system has it.
const PATH: usize = 4096;
/// How many folders may be in each other: each takes an open file of ours when they are walked.
const DEPTH: usize = 256;

/// How much may yet come.
#[derive(Debug, Clone)]
pub(crate) enum Allowance {
    /// What a person asked for by its name.
    Endless,
    /// So much.
    Left { bytes: u64, entries: u64, names: u64 },
}

impl Allowance {
    /// Takes one entry of it.
    pub(super) fn take(&mut self, path: &Path, link: usize, size: u64) -> Result<(), UnpackError> {
        let Self::Left { bytes, entries, names } = self else { return Ok(()) };
        let length = path.as_os_str().len();
        if length > PATH || link > PATH || path.components().count() > DEPTH {
            return Err(UnpackError::TooMuch { what: "a path is too long" });
        }
        let take = |left: &mut u64, some: u64, what| {
            *left = left.checked_sub(some).ok_or(UnpackError::TooMuch { what })?;
            Ok(())
        };
        take(entries, 1, "there are too many files in it")?;
        take(names, (length + link) as u64, "the names of its files are too long")?;
        take(bytes, size.saturating_add(ENTRY), "there is no room for it on this computer's disk")
    }
}
