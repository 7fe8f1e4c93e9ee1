//! What is in files. Each request opens its file anew: the machine's kernel sends no message for an open or a
//! close, and a file that stayed open for writing could not be run on the host.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, copy_file_range, fallocate, fdatasync, fsync, seek};
use rustix::io::Errno;
use virtiofsd::filesystem::{ZeroCopyReader, ZeroCopyWriter};

use super::SharedFolder;
use super::node::Node;

/// Descriptors kept at most, and for how long.
const KEPT_MOST: usize = 64;
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Files that cannot be opened for writing any more, by who made or changed them so, and goes on writing: a
/// program that makes a file which is read-only from the start (git does), or that closes it last.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<VecDeque<(u64, Instant, Arc<File>)>>);

impl Kept {
    pub(super) fn keep(&self, id: u64, file: File) {
        let mut files = self.0.lock().expect("nothing panics while it holds the files");
        let now = Instant::now();
        files.retain(|(_, since, _)| now.duration_since(*since) < KEPT_FOR);
        if files.len() == KEPT_MOST {
            files.pop_front();
        }
        files.push_back((id, now, Arc::new(file)));
    }

    fn find(&self, id: u64) -> Option<Arc<File>> {
        let files = self.0.lock().expect("nothing panics while it holds the files");
        files.iter().find(|(of, _, _)| *of == id).map(|(_, _, file)| Arc::clone(file))
    }
}

impl SharedFolder {
    pub(super) fn read_from<W: ZeroCopyWriter>(
        &self,
        node: &Node,
        mut to: W,
        size: u32,
        offset: u64,
    ) -> io::Result<usize> {
        node.regular()?;
        let file = self.reopen(node, OFlags::RDONLY)?;
        to.read_from_file_at(&file, size as usize, offset, None)
    }

    pub(super) fn write_to<R: ZeroCopyReader>(
        &self,
        node: &Node,
        mut from: R,
        (size, offset): (u32, u64),
        appends: bool,
    ) -> io::Result<usize> {
        node.regular()?;
        self.may_change(node)?;
        let file = self.to_write(node, if appends { OFlags::APPEND } else { OFlags::empty() })?;
        let written = from.write_to_file_at(&file, size as usize, offset, None)?;
        self.did(node);
        Ok(written)
    }

    /// Opens a file for writing. Whether it may be is asked before.
    pub(super) fn to_write(&self, node: &Node, flags: OFlags) -> io::Result<Arc<File>> {
        match self.reopen(node, OFlags::WRONLY | flags) {
            Ok(file) => Ok(Arc::new(file)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.kept.find(node.id).ok_or(error),
            Err(error) => Err(error),
        }
    }

    pub(super) fn sync(&self, node: &Node, data_only: bool) -> io::Result<()> {
        let flags = if node.regular().is_ok() { OFlags::RDONLY } else { OFlags::RDONLY | OFlags::DIRECTORY };
        let file = match self.reopen(node, flags) {
            Ok(file) => Arc::new(file),
            Err(error) => self.to_write(node, OFlags::empty()).map_err(|_| error)?,
        };
        if data_only {
            fdatasync(file)?
        } else {
            fsync(file)?
        }
        Ok(())
    }

    pub(super) fn allocate(&self, node: &Node, mode: u32, offset: u64, length: u64) -> io::Result<()> {
        node.regular()?;
        self.may_change(node)?;
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
        fallocate(self.to_write(node, OFlags::empty())?, mode, offset, length)?;
        self.did(node);
        Ok(())
    }

    /// Where the next data or the next hole is; other seeks need no file.
    pub(super) fn next_part(&self, node: &Node, offset: u64, whence: u32) -> io::Result<u64> {
        node.regular()?;
        let from = match whence.cast_signed() {
            libc::SEEK_DATA => SeekFrom::Data(offset),
            libc::SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL.into()),
        };
        Ok(seek(self.reopen(node, OFlags::RDONLY)?, from)?)
    }

    pub(super) fn copy(&self, from: (&Node, u64), to: (&Node, u64), length: u64) -> io::Result<usize> {
        let ((from, mut from_offset), (to, mut to_offset)) = (from, to);
        from.regular()?;
        to.regular()?;
        self.may_change(to)?;
        let source = self.reopen(from, OFlags::RDONLY)?;
        let target = self.to_write(to, OFlags::empty())?;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(1 << 30);
        let copied = copy_file_range(source, Some(&mut from_offset), target, Some(&mut to_offset), length)?;
        self.did(to);
        Ok(copied)
    }
}
