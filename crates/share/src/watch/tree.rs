//! The folders that are watched: which watch stands for which place. A folder is reached through descriptors and the
//! thread's own working directory, never by a path that a link could lead astray.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::rules::{Rules, join};

/// What could not be watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unwatched {
    /// The plan's limit, or the host's.
    TooMany,
}

/// What is in a folder.
pub(super) struct Entry<'a> {
    pub(super) folder: &'a OwnedFd,
    pub(super) name: &'a [u8],
    pub(super) place: &'a [u8],
}

/// All that is watched.
pub(super) struct Tree {
    root: OwnedFd,
    events: OwnedFd,
    places: HashMap<i32, Vec<u8>>,
    most: usize,
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

impl Tree {
    /// The thread's working directory must be its own.
    pub(super) fn new(root: OwnedFd, most: usize) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { root, events, places: HashMap::new(), most })
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    pub(super) fn place(&self, watch: i32) -> Option<&[u8]> {
        self.places.get(&watch).map(Vec::as_slice)
    }

    /// Watches a folder and all below it; `found` is told of what is in them. A folder that is gone again, or may
    /// not be read, is none.
    pub(super) fn watch(
        &mut self,
        place: Vec<u8>,
        rules: &Rules,
        found: &mut dyn FnMut(&Entry<'_>),
    ) -> Result<(), Unwatched> {
        let mut waiting = vec![place];
        while let Some(place) = waiting.pop() {
            if rules.hides(&place) {
                continue;
            }
            let Ok(folder) = self.open(&place) else { continue };
            match self.add(&folder, place.clone()) {
                Err(Errno::NOSPC) => return Err(Unwatched::TooMany),
                Err(_) => continue,
                Ok(()) => {}
            }
            for (name, is_folder) in entries(&folder).unwrap_or_default() {
                let below = join(&place, &name);
                found(&Entry { folder: &folder, name: &name, place: &below });
                if is_folder {
                    waiting.push(below);
                }
            }
        }
        Ok(())
    }

    /// A folder has left its place, with all below it.
    pub(super) fn forget(&mut self, place: &[u8]) {
        let gone = |of: &[u8]| of.strip_prefix(place).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'));
        let watches: Vec<i32> = self.places.iter().filter(|(_, of)| gone(of)).map(|(watch, _)| *watch).collect();
        for watch in watches {
            self.places.remove(&watch);
            // The kernel may have done so itself.
            let _ = inotify::remove_watch(&self.events, watch);
        }
    }

    /// The kernel took it away.
    pub(super) fn forget_watch(&mut self, watch: i32) {
        self.places.remove(&watch);
    }

    fn open(&self, place: &[u8]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let place = if place.is_empty() { b"." } else { place };
        openat2(&self.root, place, flags, Mode::empty(), resolve)
    }

    fn add(&mut self, folder: &OwnedFd, place: Vec<u8>) -> rustix::io::Result<()> {
        if self.places.len() >= self.most {
            return Err(Errno::NOSPC);
        }
        let changes = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB;
        rustix::process::fchdir(folder)?;
        let how = WatchFlags::ONLYDIR | WatchFlags::EXCL_UNLINK | WatchFlags::DONT_FOLLOW;
        let watch = inotify::add_watch(&self.events, ".", changes | how)?;
        self.places.insert(watch, place);
        Ok(())
    }
}

fn entries(folder: &OwnedFd) -> rustix::io::Result<Vec<(Vec<u8>, bool)>> {
    let mut buffer = Vec::with_capacity(16_384);
    let mut raw = RawDir::new(folder, buffer.spare_capacity_mut());
    let mut entries = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let may_be_folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            entries.push((name.to_vec(), may_be_folder));
        }
    }
    Ok(entries)
}
