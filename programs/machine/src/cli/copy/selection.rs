//! What of a folder is copied: all of it, or not what is left out. The same rules for both directions.

use std::path::{Path, PathBuf};

/// What becomes of that which is no file, folder or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// The copy is refused.
    Refused,
    /// It is passed over, and counted.
    Skipped,
}

/// What is copied.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// See there.
    pub(crate) special: Special,
    /// Paths from the folder's root that are left out with all below them.
    pub(crate) left_out: Vec<PathBuf>,
}

impl Selection {
    /// All, and what cannot be copied is refused.
    pub(crate) const fn all() -> Self {
        Self { special: Special::Refused, left_out: Vec::new() }
    }

    /// Whether a path from the folder's root is left out.
    pub(crate) fn leaves_out(&self, path: &Path) -> bool {
        self.left_out.iter().any(|out| path.starts_with(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_left_out_from_the_root_and_whole_names_only() {
        let selection = Selection { special: Special::Skipped, left_out: vec!["web/node_modules".into()] };
        for (path, out) in [
            ("web/node_modules", true),
            ("web/node_modules/a/b", true),
            ("web/node_modules2", false),
            ("node_modules", false),
            ("a/web/node_modules", false),
        ] {
            assert_eq!(selection.leaves_out(Path::new(path)), out, "{path}");
        }
    }
}
