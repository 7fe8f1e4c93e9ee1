//! A guest's changes, written to the folder here. Nothing is written through a link, nothing half has its
//! name, and what is here is looked at again before it goes.
//!
//! ```text
//! folders, files, links, modes in the order of paths ──▶ what goes, innermost first ──▶ modes of folders
//! ```
//!
//! Stopped at any point, what was written is what the guest has: the next comparison finds both sides the
//! same there, and goes on with the rest.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, Dir, Mode as Bits, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::changes::{Change, Obstacle};
use super::inside::Inside;
use super::place::{Place, Way, entry};
use crate::cli::copy::draft::set_mode;
use crate::cli::copy::entry::{Entry, Mode};

/// How names begin that are not complete. Nobody else gives such names in a folder that we hold.
const PASSING: &str = ".machine-sync-";

/// Whether what was changed on both sides is written, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflicts {
    /// What is here stays.
    Kept,
    /// What is here goes.
    Overwritten,
}

/// Why a change was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// What was known before.
    Obstacle(Obstacle),
    /// It was changed here since the comparison.
    ChangedMeanwhile,
    /// A folder that should go has something in it that stays.
    NotEmpty,
    /// The way to it is no folder here.
    NoWay,
}

/// What was written, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// These are as the guest has them.
    pub(crate) done: Vec<(Inside, Option<Entry>)>,
    /// These are not.
    pub(crate) left_out: Vec<(Inside, LeftOut)>,
}

/// Why writing ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Somebody wanted so.
    #[error("interrupted")]
    Interrupted,
    /// The files fail.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes changes to the folder here, with contents from the draft.
pub(crate) fn write(
    changes: &[Change],
    draft: &Place,
    here: &Place,
    conflicts: Conflicts,
    stop: &AtomicBool,
) -> Result<Written, WriteError> {
    let mut writing = Writing { draft, here, swept: BTreeSet::new(), modes: Vec::new(), written: Written::default() };
    let (last, first): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|change| goes(change));
    for change in first.into_iter().chain(last.into_iter().rev()) {
        if stop.load(Ordering::Relaxed) {
            return Err(WriteError::Interrupted);
        }
        match against(change, conflicts) {
            Some(obstacle) => writing.left_out(change, LeftOut::Obstacle(obstacle)),
            None => writing.change(change).map_err(|source| failed(here, &change.path, source))?,
        }
    }
    writing.close()
}

fn failed(here: &Place, path: &Inside, source: io::Error) -> WriteError {
    WriteError::File { path: here.path().join(path.path()), source }
}

/// Whether something goes that may have something in it, which must go before.
const fn goes(change: &Change) -> bool {
    match (&change.here, change.now()) {
        (_, None) | (Some(Entry::Folder { .. }), Some(Entry::File { .. } | Entry::Link { .. } | Entry::Other)) => true,
        (Some(Entry::Folder { .. }), Some(Entry::Folder { .. }))
        | (None | Some(Entry::File { .. } | Entry::Link { .. } | Entry::Other), Some(_)) => false,
    }
}

/// What keeps a change from being written.
pub(super) fn against(change: &Change, conflicts: Conflicts) -> Option<Obstacle> {
    let first = change.obstacles.first().copied()?;
    match (first, conflicts) {
        (Obstacle::Conflict, Conflicts::Overwritten) => None,
        (Obstacle::Guarded | Obstacle::LeadsOut | Obstacle::Special, _) | (Obstacle::Conflict, Conflicts::Kept) => {
            Some(first)
        }
    }
}

struct Writing<'a> {
    draft: &'a Place,
    here: &'a Place,
    swept: BTreeSet<Vec<OsString>>,
    modes: Vec<(Inside, Mode)>,
    written: Written,
}

impl Writing<'_> {
    fn left_out(&mut self, change: &Change, why: LeftOut) {
        self.written.left_out.push((change.path.clone(), why));
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        let Some(folder) = self.folder(change)? else {
            if change.now().is_some() {
                self.left_out(change, LeftOut::NoWay);
            } else {
                self.written.done.push((change.path.clone(), None));
            }
            return Ok(());
        };
        if entry(&folder, change.path.name())? != change.here {
            self.left_out(change, LeftOut::ChangedMeanwhile);
            return Ok(());
        }
        match self.apply(change, &folder) {
            Ok(()) => self.written.done.push((change.path.clone(), change.now().cloned())),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                self.left_out(change, LeftOut::NotEmpty);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The folder that a change is in; those that are missing are made, if something is to be there.
    fn folder(&mut self, change: &Change) -> io::Result<Option<OwnedFd>> {
        let mut names = change.path.names();
        names.pop();
        if change.now().is_some() {
            for count in 1..=names.len() {
                let (name, above) = names[..count].split_last().expect("it has one name at least");
                let Way::Open(folder) = self.here.way(above)? else { return Ok(None) };
                match mkdirat(&folder, name, Bits::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let Way::Open(folder) = self.here.way(&names)? else { return Ok(None) };
        if self.swept.insert(names) {
            sweep(&folder)?;
        }
        Ok(Some(folder))
    }

    fn apply(&mut self, change: &Change, folder: &OwnedFd) -> io::Result<()> {
        let name = change.path.name();
        let here_folder = matches!(change.here, Some(Entry::Folder { .. }));
        match change.now() {
            None | Some(Entry::Other) => {
                let flags = if here_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                return Ok(unlinkat(folder, name, flags)?);
            }
            Some(Entry::Folder { mode }) => {
                self.modes.push((change.path.clone(), *mode));
                return if here_folder { Ok(()) } else { make_folder(folder, name.as_ref(), change.here.is_some()) };
            }
            Some(Entry::File { mode, .. }) if only_mode(change) => {
                let file = openat(folder, name, OPEN, Bits::empty())?;
                return set_mode(&file.into(), mode.bits());
            }
            Some(Entry::File { .. } | Entry::Link { .. }) => {}
        }
        let passing = passing()?;
        let made = self.make(change, folder, &passing).and_then(|()| {
            if here_folder {
                unlinkat(folder, name, AtFlags::REMOVEDIR)?;
            }
            Ok(renameat(folder, &passing, folder, name)?)
        });
        if made.is_err() {
            let _ = unlinkat(folder, &passing, AtFlags::empty());
        }
        made
    }

    /// A complete file or link under a passing name.
    fn make(&self, change: &Change, folder: &OwnedFd, passing: &str) -> io::Result<()> {
        match change.now() {
            Some(Entry::File { mode, .. }) => {
                let mut content = self.draft.content(&change.path)?;
                let mut file = File::from(openat(folder, passing, FRESH, Bits::RUSR | Bits::WUSR)?);
                io::copy(&mut content, &mut file)?;
                set_mode(&file, mode.bits())
            }
            Some(Entry::Link { target }) => Ok(symlinkat(target, folder, passing)?),
            Some(Entry::Folder { .. } | Entry::Other) | None => Ok(()),
        }
    }

    /// Folders get their modes last, since they may not be writable with them.
    fn close(self) -> Result<Written, WriteError> {
        for (path, mode) in self.modes.iter().rev() {
            let set = match self.here.way(&path.names()) {
                Ok(Way::Open(folder)) => set_mode(&File::from(folder), mode.bits()),
                Ok(Way::Missing | Way::NotThroughFolders) => Ok(()),
                Err(error) => Err(error),
            };
            set.map_err(|source| failed(self.here, path, source))?;
        }
        Ok(self.written)
    }
}

const FRESH: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Whether the content here is the guest's already.
fn only_mode(change: &Change) -> bool {
    match (&change.here, change.now()) {
        (Some(Entry::File { digest: here, .. }), Some(Entry::File { digest: now, .. })) => here == now,
        (None | Some(Entry::File { .. } | Entry::Folder { .. } | Entry::Link { .. } | Entry::Other), _) => false,
    }
}

/// A folder in the place of nothing, or of a file or a link: the name is never without either.
fn make_folder(folder: &OwnedFd, name: &Path, replaces: bool) -> io::Result<()> {
    if !replaces {
        return Ok(mkdirat(folder, name, Bits::RWXU)?);
    }
    let passing = passing()?;
    mkdirat(folder, &passing, Bits::RWXU)?;
    match renameat_with(folder, &passing, folder, name, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(unlinkat(folder, &passing, AtFlags::empty())?),
        Err(error) => {
            let _ = unlinkat(folder, &passing, AtFlags::REMOVEDIR);
            Err(error.into())
        }
    }
}

/// Removes what an interrupted one of us left; never what has something in it.
fn sweep(folder: &OwnedFd) -> io::Result<()> {
    for found in Dir::read_from(folder)? {
        let name = OsString::from_vec(found?.file_name().to_bytes().to_vec());
        if is_passing(&name) {
            let _ = unlinkat(folder, &name, AtFlags::empty());
            let _ = unlinkat(folder, &name, AtFlags::REMOVEDIR);
        }
    }
    Ok(())
}

fn is_passing(name: &OsString) -> bool {
    let digits = name.as_bytes().strip_prefix(PASSING.as_bytes());
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

fn passing() -> io::Result<String> {
    let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{PASSING}{number:016x}"))
}
