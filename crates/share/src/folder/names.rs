//! The names in folders: finding, making, removing and moving them.

use std::ffi::CStr;
use std::io;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, linkat, mkdirat, mknodat, openat, readlinkat, renameat_with,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::DecInt;
use virtiofsd::filesystem::Entry;

use super::SharedFolder;
use super::attributes::plain_mode;
use super::guard::Making;
use super::node::{Found, Known, Node};
use crate::own::Name;
use crate::rules::Standing;

impl SharedFolder {
    pub(super) fn look_up(&self, parent: u64, name: &CStr) -> io::Result<Entry> {
        proper(name)?;
        let parent = match self.nodes.known(parent)? {
            Known::Node(parent) => parent,
            Known::Empty(_) => return self.absent(),
        };
        if self.rules.may_exclude(name.to_bytes())
            && let Standing::Excluded(index) = self.standing(&parent, name)?
        {
            return Ok(self.empty_folder(index));
        }
        self.enter(&parent, name)
    }

    /// Tells the machine of a file that is there.
    fn enter(&self, parent: &Node, name: &CStr) -> io::Result<Entry> {
        match Self::find(parent, name) {
            Ok((file, stat)) => Ok(self.entry(self.nodes.enter(file, &stat, found_in(parent, name)), &stat)),
            Err(Errno::NOENT) => self.absent(),
            Err(error) => Err(error.into()),
        }
    }

    /// Of a file that was made just now: that it is gone already is an error.
    fn enter_new(&self, parent: &Node, name: &CStr) -> io::Result<Entry> {
        let (file, stat) = Self::find(parent, name)?;
        self.own.changed(&stat);
        self.did_name(parent, name, Name::Made);
        Ok(self.entry(self.nodes.enter(file, &stat, found_in(parent, name)), &stat))
    }

    pub(super) fn make_folder(&self, parent: &Node, name: &CStr, mode: u32) -> io::Result<Entry> {
        proper(name)?;
        self.may_make(parent, name, Making::Folder)?;
        mkdirat(parent, name, plain_mode(mode)?)?;
        self.enter_new(parent, name)
    }

    /// A regular file, a FIFO or a socket: the last two are of the machine alone, and never opened here.
    pub(super) fn make_file(&self, parent: &Node, name: &CStr, mode: u32) -> io::Result<Entry> {
        proper(name)?;
        self.may_make(parent, name, Making::Other)?;
        let (kind, bits) = (FileType::from_raw_mode(mode), plain_mode(mode & 0o7777)?);
        match kind {
            FileType::RegularFile => self.make_regular(parent, name, bits),
            FileType::Fifo | FileType::Socket => {
                mknodat(parent, name, kind, bits, 0)?;
                self.enter_new(parent, name)
            }
            FileType::Directory
            | FileType::Symlink
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Err(Errno::PERM.into()),
        }
    }

    fn make_regular(&self, parent: &Node, name: &CStr, mode: Mode) -> io::Result<Entry> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, mode)?;
        let entry = self.enter_new(parent, name)?;
        if !mode.contains(Mode::WUSR) {
            self.kept.keep(entry.inode, file.into());
        }
        Ok(entry)
    }

    /// The target is text: nobody here follows it.
    pub(super) fn make_link(&self, target: &CStr, parent: &Node, name: &CStr) -> io::Result<Entry> {
        proper(name)?;
        self.may_make(parent, name, Making::Other)?;
        symlinkat(target, parent, name)?;
        self.enter_new(parent, name)
    }

    pub(super) fn link_target(&self, node: &Node) -> io::Result<Vec<u8>> {
        if node.kind != FileType::Symlink {
            return Err(Errno::INVAL.into());
        }
        Ok(readlinkat(node, c"", Vec::with_capacity(256))?.into_bytes())
    }

    /// Another name for a regular file.
    pub(super) fn make_name(&self, node: &Node, parent: &Node, name: &CStr) -> io::Result<Entry> {
        proper(name)?;
        if node.kind != FileType::RegularFile {
            return Err(Errno::PERM.into());
        }
        self.may_change(node)?;
        self.may_make(parent, name, Making::Other)?;
        linkat(&self.descriptors, DecInt::from_fd(node), parent, name, AtFlags::SYMLINK_FOLLOW)?;
        self.enter_new(parent, name)
    }

    pub(super) fn remove(&self, parent: &Node, name: &CStr, flags: AtFlags) -> io::Result<()> {
        proper(name)?;
        self.may_move(parent, name)?;
        unlinkat(parent, name, flags)?;
        self.did_name(parent, name, Name::Gone);
        Ok(())
    }

    pub(super) fn rename(&self, from: (&Node, &CStr), to: (&Node, &CStr), flags: u32) -> io::Result<()> {
        proper(from.1)?;
        proper(to.1)?;
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::INVAL.into());
        }
        self.may_move(from.0, from.1)?;
        self.may_move(to.0, to.1)?;
        renameat_with(from.0, from.1, to.0, to.1, flags)?;
        let came_to = if flags.contains(RenameFlags::EXCHANGE) { Name::Made } else { Name::Gone };
        self.did_name(from.0, from.1, came_to);
        self.did_name(to.0, to.1, Name::Made);
        for (parent, name) in [from, to] {
            if let Ok((_, stat)) = Self::find(parent, name) {
                self.own.changed(&stat);
                self.nodes.moved(&stat, found_in(parent, name));
            }
        }
        Ok(())
    }
}

fn found_in(parent: &Node, name: &CStr) -> Found {
    Found::In { parent: parent.id, name: name.to_owned() }
}

/// A name is one component of a path, and leads down.
fn proper(name: &CStr) -> io::Result<()> {
    match name.to_bytes() {
        b"" | b"." | b".." => Err(Errno::INVAL.into()),
        bytes if bytes.contains(&b'/') => Err(Errno::INVAL.into()),
        _ => Ok(()),
    }
}
