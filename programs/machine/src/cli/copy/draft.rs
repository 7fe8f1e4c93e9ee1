//! What is being made on this computer under a name of ours, and gets its own name when it is complete.
//! Dropped before that, it is removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file or a folder that is being made.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    named: bool,
}

impl Draft {
    /// An empty file beside `target`.
    pub(crate) fn file(target: &Path) -> io::Result<(Self, File)> {
        let path = beside(target)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Self { path, named: false }, file))
    }

    /// An empty folder beside `target`.
    pub(crate) fn folder(target: &Path) -> io::Result<Self> {
        let path = beside(target)?;
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, named: false })
    }

    /// Where it is meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It is complete: it gets its name, and a file that had it goes.
    pub(crate) fn name(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.named {
            // What cannot be removed has a name that says what it is.
            let _ = fs::remove_file(&self.path).or_else(|_| fs::remove_dir_all(&self.path));
        }
    }
}

/// Sets permission bits. What a guest calls setuid is not so here.
pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(mode & 0o777))
}

/// A name that nothing has, in the same folder.
fn beside(target: &Path) -> io::Result<PathBuf> {
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    Ok(folder.join(passing_name()?))
}

/// A name for what is not complete.
pub(crate) fn passing_name() -> io::Result<String> {
    let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!(".machine-cp-{number:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_what_was_not_completed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        drop(Draft::file(&target).unwrap());
        let draft = Draft::folder(&target).unwrap();
        fs::write(draft.path().join("a"), "b").unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let (draft, _) = Draft::file(&target).unwrap();
        draft.name(&target).unwrap();
        assert!(target.is_file());
    }
}
