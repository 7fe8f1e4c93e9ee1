//! What a file is to the machine: its attributes, and changes of them.
//!
//! Every file appears to belong to the plan's user, and a change of owner changes nothing. A change to what is
//! already so touches nothing on the host, and is allowed where no change is: the mode a file has, the size it has
//! where that is not zero (emptying an empty file is how programs renew its time). The machine's agent makes
//! events of its kernel that way, for what the host changed.

use std::io;
use std::time::Duration;

use rustix::fs::{
    AtFlags, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, chmodat, fstat, ftruncate, utimensat,
};
use rustix::io::Errno;
use rustix::path::DecInt;
use virtiofsd::filesystem::{Entry, SetattrValid};
use virtiofsd::fuse::{Attr, SetattrIn};

use super::node::{self, Known, Node};
use super::{SharedFolder, THROUGH};

/// Bits of a mode that give whoever runs the file somebody else's rights.
const SET_ID: u32 = 0o6000;
/// A folder that is empty and stays so.
const EMPTY_FOLDER_MODE: u32 = libc::S_IFDIR | 0o555;

/// What is to become different.
#[derive(Debug)]
struct Change {
    mode: Option<u32>,
    size: Option<u64>,
    times: Option<Timestamps>,
}

impl SharedFolder {
    pub(super) fn attributes_of(&self, known: &Known) -> io::Result<(Attr, Duration)> {
        let attributes = match known {
            Known::Node(node) => self.attributes(&fstat(node)?),
            Known::Empty(index) => self.empty_attributes(*index),
        };
        Ok((attributes, Duration::from_millis(self.cache.attributes_ms)))
    }

    pub(super) fn set_attributes(
        &self,
        node: &Node,
        asked: &SetattrIn,
        valid: SetattrValid,
        opened: bool,
    ) -> io::Result<()> {
        let change = Change::of(&fstat(node)?, asked, valid, opened)?;
        let Change { mode: None, size: None, times: None } = change else {
            return self.change(node, change);
        };
        Ok(())
    }

    fn change(&self, node: &Node, change: Change) -> io::Result<()> {
        self.may_change(node)?;
        if let Some(size) = change.size {
            node.regular()?;
            ftruncate(self.to_write(node, OFlags::empty())?, size)?;
        }
        if let Some(mode) = change.mode {
            self.change_mode(node, mode)?;
        }
        if let Some(times) = change.times {
            utimensat(&self.descriptors, DecInt::from_fd(node), &times, THROUGH)?;
        }
        self.did(node);
        Ok(())
    }

    fn change_mode(&self, node: &Node, mode: u32) -> io::Result<()> {
        if mode & libc::S_IWUSR == 0 && node.regular().is_ok() {
            // Who has it open may go on writing.
            let opened = self.reopen(node, OFlags::RDWR);
            if let Ok(file) = opened {
                self.kept.keep(node.id, file);
            }
        }
        chmodat(&self.descriptors, DecInt::from_fd(node), Mode::from_raw_mode(mode), AtFlags::empty())?;
        Ok(())
    }

    /// What the machine is told of a file that it gets to know.
    pub(super) fn entry(&self, id: u64, stat: &Stat) -> Entry {
        self.told(id, self.attributes(stat))
    }

    pub(super) fn empty_folder(&self, index: usize) -> Entry {
        self.told(node::empty_folder(index), self.empty_attributes(index))
    }

    /// That there is no such file.
    pub(super) fn absent(&self) -> io::Result<Entry> {
        if self.cache.absent_ms == 0 {
            return Err(Errno::NOENT.into());
        }
        let entry_timeout = Duration::from_millis(self.cache.absent_ms);
        Ok(Entry { inode: 0, generation: 0, attr: Attr::default(), attr_timeout: Duration::ZERO, entry_timeout })
    }

    fn told(&self, inode: u64, attr: Attr) -> Entry {
        Entry {
            inode,
            generation: 0,
            attr,
            attr_timeout: Duration::from_millis(self.cache.attributes_ms),
            entry_timeout: Duration::from_millis(self.cache.entry_ms),
        }
    }

    fn empty_attributes(&self, index: usize) -> Attr {
        Attr {
            ino: node::empty_folder(index),
            mode: EMPTY_FOLDER_MODE,
            nlink: 2,
            uid: self.owner.guest_uid.into(),
            gid: self.owner.guest_gid.into(),
            blksize: 4096,
            ..Attr::default()
        }
    }

    fn attributes(&self, stat: &Stat) -> Attr {
        Attr {
            ino: stat.st_ino,
            size: stat.st_size.cast_unsigned(),
            blocks: stat.st_blocks.cast_unsigned(),
            atime: stat.st_atime.cast_unsigned(),
            mtime: stat.st_mtime.cast_unsigned(),
            ctime: stat.st_ctime.cast_unsigned(),
            atimensec: nanoseconds(stat.st_atime_nsec),
            mtimensec: nanoseconds(stat.st_mtime_nsec),
            ctimensec: nanoseconds(stat.st_ctime_nsec),
            mode: stat.st_mode,
            nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            uid: self.owner.guest_uid.into(),
            gid: self.owner.guest_gid.into(),
            // The machine's devices are not the host's.
            rdev: 0,
            blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
            flags: 0,
        }
    }
}

impl Change {
    fn of(now: &Stat, asked: &SetattrIn, valid: SetattrValid, opened: bool) -> io::Result<Self> {
        let is_same_size = asked.size == now.st_size.cast_unsigned() && asked.size > 0 && !opened;
        let size = (valid.contains(SetattrValid::SIZE) && !is_same_size).then_some(asked.size);
        let mode = asked.mode & 0o7777;
        let mode = (valid.contains(SetattrValid::MODE) && mode != now.st_mode & 0o7777).then_some(mode);
        if mode.is_some_and(|mode| mode & SET_ID & !now.st_mode != 0) {
            return Err(Errno::PERM.into());
        }
        Ok(Self { mode, size, times: times(asked, valid) })
    }
}

/// A new file with such a mode is refused.
pub(super) fn plain_mode(mode: u32) -> io::Result<Mode> {
    if mode & SET_ID != 0 {
        return Err(Errno::PERM.into());
    }
    Ok(Mode::from_raw_mode(mode & 0o1777))
}

fn times(asked: &SetattrIn, valid: SetattrValid) -> Option<Timestamps> {
    let one = |given: SetattrValid, now: SetattrValid, seconds: u64, nanoseconds: u32| {
        let tv_nsec = if valid.contains(now) {
            UTIME_NOW
        } else if valid.contains(given) {
            nanoseconds.min(999_999_999).into()
        } else {
            UTIME_OMIT
        };
        Timespec { tv_sec: seconds.cast_signed(), tv_nsec }
    };
    let last_access = one(SetattrValid::ATIME, SetattrValid::ATIME_NOW, asked.atime, asked.atimensec);
    let last_modification = one(SetattrValid::MTIME, SetattrValid::MTIME_NOW, asked.mtime, asked.mtimensec);
    let nothing = last_access.tv_nsec == UTIME_OMIT && last_modification.tv_nsec == UTIME_OMIT;
    (!nothing).then_some(Timestamps { last_access, last_modification })
}

fn nanoseconds(of: impl TryInto<u32>) -> u32 {
    of.try_into().unwrap_or(0)
}
