//! Keeps the verdict for as long as nothing that it rests on can have changed.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::evidence::Evidence;
use crate::process::boot_id;
use crate::whole_file;

const CACHE_FILE: &str = "kvm.json";

/// The same key means the same verdict. The evidence is in it: joining the group kvm changes the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    boot: String,
    kernel: String,
    evidence: Evidence,
    our_version: String,
}

#[derive(Serialize, Deserialize)]
struct Cached {
    key: Key,
    verdict: Verdict,
}

impl Key {
    pub(super) fn now() -> Self {
        Self {
            boot: boot_id(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            evidence: Evidence::gather(),
            our_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A cache that cannot be read is an empty one.
pub(super) fn look_up(folder: &Path, key: &Key) -> Option<Verdict> {
    let cached: Cached = whole_file::read_json(&folder.join(CACHE_FILE)).ok()??;
    (cached.key == *key).then_some(cached.verdict)
}

pub(super) fn keep(folder: &Path, key: Key, verdict: &Verdict) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    whole_file::write_json(&folder.join(CACHE_FILE), &Cached { key, verdict: verdict.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::Accelerator;
    use super::*;

    #[test]
    fn a_verdict_is_kept_until_its_ground_changes() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::now();
        let verdict =
            Verdict { accelerator: Accelerator::Tcg, reason: "because".to_owned(), evidence: key.evidence.clone() };
        assert_eq!(look_up(folder.path(), &key), None);
        keep(folder.path(), key.clone(), &verdict).unwrap();
        assert_eq!(look_up(folder.path(), &key), Some(verdict));
        assert_eq!(look_up(folder.path(), &Key { boot: "another".to_owned(), ..key }), None);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CACHE_FILE), b"{\"key\": tr").unwrap();
        assert_eq!(look_up(folder.path(), &Key::now()), None);
    }
}
