//! Where a project's file is: upward from a folder to the repository's root.

use std::path::{Path, PathBuf};

/// The names under which a file is found, in this order.
pub const NAMES: [&str; 3] = ["Machinefile", "Machinefile.yaml", ".machine/Machinefile"];

/// A project: its folder and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder that paths of the file are from.
    pub folder: PathBuf,
    /// The Machinefile.
    pub file: PathBuf,
}

/// Looks upward from a folder, which is absolute: to the repository's root (where `.git` is), and never into the
/// home or above it when the search began below it. The home itself is looked at only when it is where the
/// search begins, so that a stray file there does not make every folder a project.
#[must_use]
pub fn find(from: &Path, home: Option<&Path>) -> Option<Project> {
    for folder in from.ancestors() {
        if folder != from && Some(folder) == home {
            return None;
        }
        let there = NAMES.iter().map(|name| folder.join(name)).find(|file| file.is_file());
        if let Some(file) = there {
            return Some(Project { folder: folder.to_owned(), file });
        }
        if folder.join(".git").exists() || Some(folder) == home {
            return None;
        }
    }
    None
}
