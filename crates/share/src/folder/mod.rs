//! The folder as the machine sees it: what may be done with which file, decided by descriptors and by where the
//! host's kernel says they are now, never by a path that the machine spelled. One verb a file beside this one;
//! `filesystem` is their table. How messages come and go is in `device`.
//!
//! A place is asked for anew at each change, so what the host moves meanwhile is judged by where it is. Between
//! the question and the change only the host can move a place of the rules: the machine cannot move what is
//! guarded, excluded, or above it, nor put anything in its stead.

mod attributes;
mod content;
mod filesystem;
mod guard;
mod listing;
mod names;
mod node;
mod state;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;
use rustix::path::DecInt;

use self::content::Kept;
pub(crate) use self::filesystem::Answering;
pub(crate) use self::node::Identity;
use self::node::{Known, Node, Nodes};
use crate::own::{Name, OwnChanges};
use crate::plan::{Access, Cache, Owner};
use crate::rules::Rules;
use crate::slept::Slept;

/// The folder of a share.
#[derive(Debug)]
pub(crate) struct SharedFolder {
    nodes: Nodes,
    /// `/proc/self/fd`: what leads from a descriptor to another of the same file, and to its path.
    descriptors: OwnedFd,
    rules: Rules,
    access: Access,
    owner: Owner,
    cache: Cache,
    kept: Kept,
    /// Where a watcher looks for what the machine did itself.
    own: Arc<OwnChanges>,
    /// Where it looks for a sleep.
    slept: Arc<Slept>,
}

/// Where a file is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Below the folder; the folder itself is the empty path.
    At(Vec<u8>),
    /// It has no name any more.
    Gone,
}

impl SharedFolder {
    /// `root` may be opened in any way; `descriptors` is `/proc/self/fd`; `most` files are held open at once.
    pub(crate) fn new(
        root: OwnedFd,
        descriptors: OwnedFd,
        rules: Rules,
        (access, owner, cache): (Access, Owner, Cache),
        most: usize,
    ) -> io::Result<Self> {
        let stat = fstat(&root)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        let nodes = Nodes::new(root, &stat, most);
        let (kept, own, slept) = (Kept::default(), Arc::default(), Arc::default());
        let mut folder = Self { nodes, descriptors, rules, access, owner, cache, kept, own, slept };
        folder.guard_targets()?;
        Ok(folder)
    }

    /// What the machine changes from now on.
    pub(crate) fn own_changes(&self) -> Arc<OwnChanges> {
        Arc::clone(&self.own)
    }

    /// Whether the machine slept.
    pub(crate) fn slept(&self) -> Arc<Slept> {
        Arc::clone(&self.slept)
    }

    /// The machine changed a file.
    fn did(&self, file: impl AsFd) {
        if let Ok(stat) = fstat(file) {
            self.own.changed(&stat);
        }
    }

    /// The machine made or removed a name.
    fn did_name(&self, parent: &Node, name: &std::ffi::CStr, came_to: Name) {
        self.own.named(parent.identity, name.to_bytes(), came_to);
    }

    /// A file of the host. An excluded place is none, and cannot be changed.
    fn node(&self, id: u64) -> io::Result<Arc<Node>> {
        match self.nodes.known(id)? {
            Known::Node(node) => Ok(node),
            Known::Empty(_) => Err(Errno::PERM.into()),
        }
    }

    fn place(&self, node: &Node) -> io::Result<Place> {
        self.place_of(node)
    }

    /// Where the host's kernel says a descriptor's file is now. What the host moved out of the folder is stale.
    fn place_of(&self, file: impl AsFd) -> io::Result<Place> {
        let path = self.path_of(file.as_fd())?;
        let stat = fstat(&file)?;
        if stat.st_nlink == 0 && path.ends_with(b" (deleted)") {
            return Ok(Place::Gone);
        }
        let root = self.path_of(self.nodes.root().as_fd())?;
        let below = path.strip_prefix(root.as_slice()).ok_or(Errno::STALE)?;
        match below.first() {
            None => Ok(Place::At(Vec::new())),
            Some(b'/') => Ok(Place::At(below[1..].to_vec())),
            Some(_) if root == b"/" => Ok(Place::At(below.to_vec())),
            Some(_) => Err(Errno::STALE.into()),
        }
    }

    fn path_of(&self, file: impl AsFd) -> io::Result<Vec<u8>> {
        let path = readlinkat(&self.descriptors, DecInt::from_fd(file), Vec::with_capacity(256))?;
        Ok(path.into_bytes())
    }

    /// Opens the file of a descriptor once more. Only for what has content: a FIFO would make us wait.
    fn reopen(&self, node: &Node, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = openat(&self.descriptors, DecInt::from_fd(node), flags, Mode::empty())?;
        Ok(opened.into())
    }

    /// The descriptor of a name, which neither reads nor writes nor follows.
    fn find(parent: &Node, name: &std::ffi::CStr) -> rustix::io::Result<(OwnedFd, Stat)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        Ok((file, stat))
    }
}

/// What follows a descriptor's link in `/proc/self/fd`, and no link after it.
const THROUGH: AtFlags = AtFlags::empty();

#[cfg(test)]
mod tests;
