//! Paths that a guest may not change here, since this computer runs or obeys what is there: git's hooks
//! and configuration, an editor's settings, the Machinefile. Decides only.
//!
//! Names are compared as kindly as the kindest file system does, so that `.GIT`, `.git.` and the like are
//! the guarded ones. Git's own folders are guarded at any depth once one of them is.

use std::ffi::OsStr;

use super::inside::{Inside, is_passed_over};
use crate::cli::copy::entry::Entry;

/// What of a git folder makes git run or obey something, besides what a project names.
const GIT: [&str; 4] = ["hooks", "config", "commondir", "config.worktree"];

/// The guarded paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guards {
    paths: Vec<Vec<String>>,
    git: bool,
}

impl Guards {
    /// Guards these paths, written from the folder's root.
    pub(crate) fn new(guarded: &[String]) -> Self {
        let names = |path: &String| -> Vec<String> {
            path.split('/').map(|name| folded(OsStr::new(name))).filter(|name| !name.is_empty()).collect()
        };
        let paths: Vec<_> = guarded.iter().map(names).filter(|names| !names.is_empty()).collect();
        let git = paths.iter().any(|names| names.first().is_some_and(|name| name == ".git"));
        Self { paths, git }
    }

    /// Whether a change of a path is guarded: it is at or below a guarded one, or it would make another
    /// thing than a folder of one above it, which leads elsewhere.
    pub(crate) fn cover(&self, path: &Inside, now: Option<&Entry>) -> bool {
        let names: Vec<String> = path.path().iter().map(folded).collect();
        let stays_folder = matches!(now, Some(Entry::Folder { .. }));
        let meets = |names: &[String], guarded: &[String]| {
            let shared = names.iter().zip(guarded).take_while(|(name, guarded)| name == guarded).count();
            shared == guarded.len() || (shared == names.len() && !stays_folder)
        };
        self.paths.iter().any(|guarded| meets(&names, guarded)) || (self.git && in_git(&names, stays_folder))
    }
}

/// Whether it is what git obeys, of whichever git folder, or of a submodule's.
fn in_git(names: &[String], stays_folder: bool) -> bool {
    let Some(git) = names.iter().position(|name| name == ".git") else { return false };
    let rest = &names[git + 1..];
    match rest.first() {
        // `.git` itself as a file or a link names another folder.
        None => !stays_folder,
        Some(first) if first == "modules" || first == "worktrees" => {
            !stays_folder && rest.len() == 1 || rest.iter().any(|name| GIT.contains(&name.as_str()))
        }
        Some(first) => GIT.contains(&first.as_str()),
    }
}

/// A name as the kindest file system compares it.
fn folded(name: &OsStr) -> String {
    let plain: String = name.to_string_lossy().chars().filter(|letter| !is_passed_over(*letter)).collect();
    let lower = plain.to_lowercase();
    // What a stream of a file, or its short name, would be elsewhere.
    let lower = lower.split(':').next().unwrap_or_default();
    let lower = lower.trim_end_matches(['.', ' ']);
    if lower == "git~1" { ".git".to_owned() } else { lower.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::copy::entry::Mode;
    use std::path::Path;

    fn guards() -> Guards {
        Guards::new(&[".git/hooks".into(), ".git/config".into(), ".vscode".into(), "Machinefile".into()])
    }

    fn covers(path: &str, now: Option<Entry>) -> bool {
        guards().cover(&Inside::new(Path::new(path)).unwrap(), now.as_ref())
    }

    fn link() -> Option<Entry> {
        Some(Entry::Link { target: "elsewhere".into() })
    }

    fn folder() -> Option<Entry> {
        Some(Entry::Folder { mode: Mode::of(0o755) })
    }

    #[test]
    fn what_is_at_or_below_is_guarded_whatever_it_becomes() {
        for path in [".git/hooks", ".git/hooks/post-checkout", ".git/config", ".vscode/tasks.json", "Machinefile"] {
            for now in [None, link(), folder()] {
                assert!(covers(path, now), "{path}");
            }
        }
        for path in ["src/Machinefile", ".git/HEAD", ".gitignore", "hooks", ".vscode2/x", "a/.vscode/x"] {
            assert!(!covers(path, link()), "{path}");
        }
    }

    #[test]
    fn other_spellings_of_a_name_are_the_name() {
        for path in [
            ".GIT/hooks/x",
            ".git/Config",
            ".git./config",
            ".git /hooks/x",
            "git~1/config",
            ".g\u{200c}it/config",
            "MACHINEFILE",
            ".git::$INDEX_ALLOCATION/config",
            ".git/hooks::$data",
        ] {
            assert!(covers(path, link()), "{path}");
        }
    }

    #[test]
    fn nothing_above_may_lead_elsewhere() {
        assert!(covers(".git", link()) && covers(".git", None) && covers(".Git", link()));
        assert!(!covers(".git", folder()));
    }

    #[test]
    fn every_git_folder_is_guarded() {
        for path in ["sub/.git/config", "a/b/.git/hooks/x", ".git/commondir", ".git/modules/x/config", "sub/.git"] {
            assert!(covers(path, link()), "{path}");
        }
        assert!(!covers("sub/.git/index", link()) && !covers("sub/.git", folder()));
        let none = Guards::new(&["Machinefile".into()]);
        assert!(!none.cover(&Inside::new(Path::new(".git/config")).unwrap(), None));
    }
}
