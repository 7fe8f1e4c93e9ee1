//! Whether a change is allowed: of a file, of a name. Each question is asked of the host's kernel anew.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use super::node::{Identity, Node};
use super::{Place, SharedFolder};
use crate::plan::Access;
use crate::rules::{Standing, join};

/// Guarded files looked through at most when a file with several names is to be changed; where there are more,
/// it is refused.
const GUARDED_FILES: usize = 20_000;

/// What a name is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// A folder: it may stand above a place of the rules.
    Folder,
    /// Anything else. A file or a link above a guarded place would stand in for it (`.git` as a file).
    Other,
}

impl SharedFolder {
    /// A guarded symbolic link of the host guards what it leads to, too, where that is in the folder.
    pub(super) fn guard_targets(&mut self) -> io::Result<()> {
        let guarded: Vec<_> = self.rules.guarded().collect();
        for place in guarded {
            let followed = self.beneath(&place, ResolveFlags::BENEATH);
            if let Ok(file) = followed
                && let Ok(Place::At(target)) = self.place_of(&file)
                && target != place
            {
                self.rules.guard(&target);
            }
        }
        Ok(())
    }

    /// Whether a file's content or attributes may change.
    pub(super) fn may_change(&self, node: &Node) -> io::Result<()> {
        self.writable()?;
        if self.rules.is_empty() {
            return Ok(());
        }
        let place = self.place(node)?;
        if let Place::At(place) = &place {
            self.content_may_change(place)?;
        }
        // A file may have a guarded name beside the one it was found by.
        let links = fstat(node)?.st_nlink;
        let other_names = match place {
            Place::At(_) => links > 1,
            Place::Gone => links > 0,
        };
        let other_names = other_names || self.nameless_but_linked(node, links)?;
        if node.kind == FileType::RegularFile && other_names && self.is_guarded(node)? {
            return Err(Errno::PERM.into());
        }
        Ok(())
    }

    /// Whether a new file may have this name.
    pub(super) fn may_make(&self, parent: &Node, name: &CStr, making: Making) -> io::Result<()> {
        self.writable()?;
        match (self.standing(parent, name)?, making) {
            (Standing::Plain, _) | (Standing::Above, Making::Folder) => Ok(()),
            (Standing::Above, Making::Other) | (Standing::Guarded | Standing::Excluded(_) | Standing::Hidden, _) => {
                Err(Errno::PERM.into())
            }
        }
    }

    /// Whether what has this name may lose it, or be replaced.
    pub(super) fn may_move(&self, parent: &Node, name: &CStr) -> io::Result<()> {
        self.writable()?;
        match self.standing(parent, name)? {
            Standing::Plain => Ok(()),
            Standing::Above | Standing::Guarded | Standing::Excluded(_) | Standing::Hidden => Err(Errno::PERM.into()),
        }
    }

    /// What a name in a folder is to the rules.
    pub(super) fn standing(&self, parent: &Node, name: &CStr) -> io::Result<Standing> {
        if self.rules.is_empty() {
            return Ok(Standing::Plain);
        }
        match self.place(parent)? {
            Place::At(folder) => Ok(self.rules.standing(&join(&folder, name.to_bytes()))),
            Place::Gone => Err(Errno::NOENT.into()),
        }
    }

    fn writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Errno::ROFS.into()),
        }
    }

    fn content_may_change(&self, place: &[u8]) -> io::Result<()> {
        match self.rules.standing(place) {
            Standing::Plain | Standing::Above => Ok(()),
            Standing::Guarded | Standing::Excluded(_) | Standing::Hidden => Err(Errno::PERM.into()),
        }
    }

    /// The name it was found by is gone, and it has another.
    fn nameless_but_linked(&self, node: &Node, links: u64) -> io::Result<bool> {
        Ok(links > 0 && self.path_of(node)?.ends_with(b" (deleted)"))
    }

    /// Whether one of the guarded names leads to this file.
    fn is_guarded(&self, node: &Node) -> io::Result<bool> {
        let wanted = Identity::of(&fstat(node)?);
        let mut left = GUARDED_FILES;
        for place in self.rules.guarded() {
            // What is not there, or behind a link of the host, has no content of its own to guard.
            let Ok(file) = self.beneath(&place, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) else { continue };
            let stat = fstat(&file)?;
            let found = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => holds(&file, wanted, &mut left)?,
                _ => Identity::of(&stat) == wanted,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn beneath(&self, place: &[u8], resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        openat2(self.nodes.root(), place, flags, Mode::empty(), resolve | ResolveFlags::NO_MAGICLINKS)
    }
}

/// Whether a file is in a folder or below it.
fn holds(folder: impl AsFd, wanted: Identity, left: &mut usize) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(&folder, c".", flags, Mode::empty())?;
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(&opened, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if entry.file_name() == c"." || entry.file_name() == c".." {
            continue;
        }
        *left = left.checked_sub(1).ok_or(Errno::PERM)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = openat(&opened, entry.file_name(), flags, Mode::empty()) else { continue };
        let stat = fstat(&file)?;
        let below = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if Identity::of(&stat) == wanted || (below && holds(&file, wanted, left)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
