//! The files of the repository: tracked, and new ones that are not ignored.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scanner::{self, Blanked};

/// A text file of ours.
pub(crate) struct TextFile {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A Rust file of ours.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Its code without comments and without what literals say.
    pub(crate) code: Blanked,
}

/// The folder that holds all.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests live in the repository").to_owned()
}

/// Every file's path from the root.
pub(crate) fn paths() -> Vec<String> {
    let git = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git is here");
    assert!(git.status.success(), "git ls-files: {}", String::from_utf8_lossy(&git.stderr));
    let listed = String::from_utf8(git.stdout).expect("paths are UTF-8");
    let mut paths: Vec<String> =
        listed.split('\0').filter(|path| root().join(path).is_file()).map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Every file that is text.
pub(crate) fn texts() -> Vec<TextFile> {
    let read = |path: String| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some(TextFile { path, text })
    };
    paths().into_iter().filter_map(read).collect()
}

/// Every Rust file.
pub(crate) fn sources() -> Vec<Source> {
    let rust = texts().into_iter().filter(|file| file.path.ends_with(".rs"));
    rust.map(|file| Source { code: scanner::blank(&file.text), path: file.path, text: file.text }).collect()
}

/// The folders that hold a package of ours.
pub(crate) fn packages() -> Vec<String> {
    let manifest = |path: String| path.strip_suffix("/Cargo.toml").map(str::to_owned);
    paths().into_iter().filter_map(manifest).collect()
}

/// Whether a file is only ever run by `cargo test`.
pub(crate) fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("tests/") || path.contains("/tests/") || name == "tests.rs" || name.ends_with("_tests.rs")
}

/// The lines on which `needle` stands, from 1.
pub(crate) fn lines_with<'t>(text: &'t str, needle: &'t str) -> impl Iterator<Item = usize> + 't {
    (1..).zip(text.lines()).filter(move |(_, line)| line.contains(needle)).map(|(number, _)| number)
}
