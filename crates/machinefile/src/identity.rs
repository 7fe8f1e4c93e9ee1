//! A project's identity: its default name, and the id that tells a moved folder from a copy.

use std::path::Path;

use machine_core::MachineName;
use sha2::{Digest as _, Sha256};

/// How many letters of the folder's name are kept: with `-` and four digits, a machine's name has at most 39.
const LONGEST_FOLDER: usize = 34;

/// The name of a machine nobody named: the folder's, and 4 hexadecimal digits of its whole path.
#[must_use]
pub fn default_name(folder: &Path) -> MachineName {
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let digest = Sha256::digest(whole.as_os_str().as_encoded_bytes());
    let last = whole.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let dashed: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let begun = dashed.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let kept: String = begun.chars().take(LONGEST_FOLDER).collect();
    let kept = if kept.trim_matches('-').is_empty() { "project" } else { kept.trim_end_matches('-') };
    let name = format!("{kept}-{:02x}{:02x}", digest[0], digest[1]);
    name.parse().expect("letters, digits and dashes that begin with a letter are a machine's name")
}
