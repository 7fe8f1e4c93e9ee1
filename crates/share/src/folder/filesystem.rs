//! The messages of the machine's kernel, one method each: they only find the nodes and hand on. What is not here
//! is answered with "no such call", after which the kernel does it itself or does without: opens and closes
//! (its opens cost no message), extended attributes, locks, ioctl.

use std::ffi::CStr;
use std::io;
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

impl FileSystem for SharedFolder {
    type Inode = u64;
    type Handle = u64;
    type DirIter = Listing;

    fn destroy(&self) {
        self.nodes.forget_all();
    }

    fn lookup(&self, _: Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.look_up(parent, name)
    }

    fn forget(&self, _: Context, id: u64, count: u64) {
        self.nodes.forget(id, count);
    }

    fn getattr(&self, _: Context, id: u64, _: Option<u64>) -> io::Result<(Attr, Duration)> {
        self.attributes_of(&self.nodes.known(id)?)
    }

    fn setattr(
        &self,
        _: Context,
        id: u64,
        asked: SetattrIn,
        handle: Option<u64>,
        valid: SetattrValid,
    ) -> io::Result<(Attr, Duration)> {
        let node = self.node(id)?;
        self.set_attributes(&node, &asked, valid, handle.is_some())?;
        self.attributes_of(&Known::Node(node))
    }

    fn readlink(&self, _: Context, id: u64) -> io::Result<Vec<u8>> {
        self.link_target(&*self.node(id)?)
    }

    fn symlink(&self, _: Context, target: &CStr, parent: u64, name: &CStr, _: Extensions) -> io::Result<Entry> {
        self.make_link(target, &*self.node(parent)?, name)
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
        self.make_file(&*self.node(parent)?, name, mode)
    }

    fn mkdir(&self, _: Context, parent: u64, name: &CStr, mode: u32, _: u32, _: Extensions) -> io::Result<Entry> {
        self.make_folder(&*self.node(parent)?, name, mode)
    }

    fn unlink(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        self.remove(&*self.node(parent)?, name, AtFlags::empty())
    }

    fn rmdir(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        self.remove(&*self.node(parent)?, name, AtFlags::REMOVEDIR)
    }

    fn rename(&self, _: Context, from: u64, old: &CStr, to: u64, new: &CStr, flags: u32) -> io::Result<()> {
        let (from, to) = (self.node(from)?, self.node(to)?);
        Self::rename(self, (&from, old), (&to, new), flags)
    }

    fn link(&self, _: Context, id: u64, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.make_name(&*self.node(id)?, &*self.node(parent)?, name)
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
        self.read_from(&*self.node(id)?, to, size, offset)
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
        self.write_to(&*self.node(id)?, from, (size, offset), appends)
    }

    fn fsync(&self, _: Context, id: u64, data_only: bool, _: u64) -> io::Result<()> {
        self.sync(&*self.node(id)?, data_only)
    }

    fn fsyncdir(&self, _: Context, id: u64, data_only: bool, _: u64) -> io::Result<()> {
        self.sync(&*self.node(id)?, data_only)
    }

    fn fallocate(&self, _: Context, id: u64, _: u64, mode: u32, offset: u64, length: u64) -> io::Result<()> {
        self.allocate(&*self.node(id)?, mode, offset, length)
    }

    fn statfs(&self, _: Context, _: u64) -> io::Result<libc::statvfs64> {
        sys::file_system(&**self.nodes.root())
    }

    fn readdir(&self, _: Context, id: u64, _: u64, _: u32, offset: u64) -> io::Result<Listing> {
        self.list(&self.nodes.known(id)?, offset)
    }

    fn lseek(&self, _: Context, id: u64, _: u64, offset: u64, whence: u32) -> io::Result<u64> {
        self.next_part(&*self.node(id)?, offset, whence)
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
        self.copy((&*self.node(from)?, from_offset), (&*self.node(to)?, to_offset), length)
    }
}
