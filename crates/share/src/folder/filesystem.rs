//! The messages of the machine's kernel, one method each: they only find the nodes and hand on. What is not here
//! is answered with "no such call", after which the kernel does it itself or does without: opens and closes
//! (its opens cost no message), extended attributes, locks, ioctl.

use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::AtFlags;
use rustix::io::Errno;
use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, OpenOptions, SetattrValid, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::{Attr, SetattrIn};

use super::SharedFolder;
use super::listing::Listing;
use super::node::Known;
use crate::sys;

type Opened = (Option<u64>, OpenOptions);

/// Answers the messages from its folder.
#[derive(Debug)]
pub(crate) struct Answering(pub(crate) Arc<SharedFolder>);

impl FileSystem for Answering {
    type Inode = u64;
    type Handle = u64;
    type DirIter = Listing;

    fn destroy(&self) {
        self.0.nodes.forget_all();
    }

    fn lookup(&self, _: Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.0.look_up(parent, name)
    }

    fn forget(&self, _: Context, id: u64, count: u64) {
        self.0.nodes.forget(id, count);
    }

    fn getattr(&self, _: Context, id: u64, _: Option<u64>) -> io::Result<(Attr, Duration)> {
        self.0.attributes_of(&self.0.nodes.known(id)?)
    }

    fn setattr(
        &self,
        _: Context,
        id: u64,
        asked: SetattrIn,
        handle: Option<u64>,
        valid: SetattrValid,
    ) -> io::Result<(Attr, Duration)> {
        let node = self.0.node(id)?;
        self.0.set_attributes(&node, &asked, valid, handle.is_some())?;
        self.0.attributes_of(&Known::Node(node))
    }

    fn readlink(&self, _: Context, id: u64) -> io::Result<Vec<u8>> {
        self.0.link_target(&*self.0.node(id)?)
    }

    fn symlink(&self, _: Context, target: &CStr, parent: u64, name: &CStr, _: Extensions) -> io::Result<Entry> {
        self.0.make_link(target, &*self.0.node(parent)?, name)
    }

    fn mknod(
        &self,
        _: Context,
        parent: u64,
        name: &CStr,
        mode: u32,
        _: u32,
        _: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        self.0.make_file(&*self.0.node(parent)?, name, mode)
    }

    fn mkdir(&self, _: Context, parent: u64, name: &CStr, mode: u32, _: u32, _: Extensions) -> io::Result<Entry> {
        self.0.make_folder(&*self.0.node(parent)?, name, mode)
    }

    fn unlink(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        self.0.remove(&*self.0.node(parent)?, name, AtFlags::empty())
    }

    fn rmdir(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        self.0.remove(&*self.0.node(parent)?, name, AtFlags::REMOVEDIR)
    }

    fn rename(&self, _: Context, from: u64, old: &CStr, to: u64, new: &CStr, flags: u32) -> io::Result<()> {
        let (from, to) = (self.0.node(from)?, self.0.node(to)?);
        self.0.rename((&from, old), (&to, new), flags)
    }

    fn link(&self, _: Context, id: u64, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.0.make_name(&*self.0.node(id)?, &*self.0.node(parent)?, name)
    }

    fn open(&self, _: Context, _: u64, _: bool, _: u32) -> io::Result<Opened> {
        Err(Errno::NOSYS.into())
    }

    fn opendir(&self, _: Context, _: u64, _: u32) -> io::Result<Opened> {
        Err(Errno::NOSYS.into())
    }

    fn read<W: ZeroCopyWriter>(
        &self,
        _: Context,
        id: u64,
        _: u64,
        to: W,
        size: u32,
        offset: u64,
        _: Option<u64>,
        _: u32,
    ) -> io::Result<usize> {
        self.0.read_from(&*self.0.node(id)?, to, size, offset)
    }

    fn write<R: ZeroCopyReader>(
        &self,
        _: Context,
        id: u64,
        _: u64,
        from: R,
        size: u32,
        offset: u64,
        _: Option<u64>,
        delayed: bool,
        _: bool,
        flags: u32,
    ) -> io::Result<usize> {
        // What comes late from the page cache has its offset; the flag may be of another open.
        let appends = !delayed && flags & libc::O_APPEND.cast_unsigned() != 0;
        self.0.write_to(&*self.0.node(id)?, from, (size, offset), appends)
    }

    fn fsync(&self, _: Context, id: u64, data_only: bool, _: u64) -> io::Result<()> {
        self.0.sync(&*self.0.node(id)?, data_only)
    }

    fn fsyncdir(&self, _: Context, id: u64, data_only: bool, _: u64) -> io::Result<()> {
        self.0.sync(&*self.0.node(id)?, data_only)
    }

    fn fallocate(&self, _: Context, id: u64, _: u64, mode: u32, offset: u64, length: u64) -> io::Result<()> {
        self.0.allocate(&*self.0.node(id)?, mode, offset, length)
    }

    fn statfs(&self, _: Context, _: u64) -> io::Result<libc::statvfs64> {
        sys::file_system(&**self.0.nodes.root())
    }

    fn readdir(&self, _: Context, id: u64, _: u64, _: u32, offset: u64) -> io::Result<Listing> {
        self.0.list(&self.0.nodes.known(id)?, offset)
    }

    fn lseek(&self, _: Context, id: u64, _: u64, offset: u64, whence: u32) -> io::Result<u64> {
        self.0.next_part(&*self.0.node(id)?, offset, whence)
    }

    fn copyfilerange(
        &self,
        _: Context,
        from: u64,
        _: u64,
        from_offset: u64,
        to: u64,
        _: u64,
        to_offset: u64,
        length: u64,
        _: u64,
    ) -> io::Result<usize> {
        self.0.copy((&*self.0.node(from)?, from_offset), (&*self.0.node(to)?, to_offset), length)
    }
}
