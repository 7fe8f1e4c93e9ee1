//! What is in a folder. Each request opens the folder anew and goes on where the last one ended.
//!
//! Excluded names are listed as folders; those that the host does not have come after everything else.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::vec::IntoIter;

use rustix::fs::{FileType, OFlags, RawDir, SeekFrom, seek};
use rustix::io::Errno;
use virtiofsd::filesystem::{DirEntry, DirectoryIterator};

use super::node::{self, Known, Node};
use super::{Place, SharedFolder};

/// Positions of what the host does not have. One of the host's is among these by a chance in billions.
const AFTER_EVERYTHING: u64 = 0x7fff_fff0_0000_0000;
/// Room for the entries of one request: the machine asks for a page, with attributes about 25 names.
const BATCH: usize = 4096;

/// One request's entries.
#[derive(Debug)]
pub(crate) struct Listing {
    entries: IntoIter<Listed>,
    current: Option<Listed>,
}

#[derive(Debug)]
struct Listed {
    inode: u64,
    offset: u64,
    kind: u32,
    name: CString,
}

impl DirectoryIterator for Listing {
    fn next(&mut self) -> Option<DirEntry<'_>> {
        self.current = self.entries.next();
        let Listed { inode, offset, kind, name } = self.current.as_ref()?;
        Some(DirEntry { ino: *inode, offset: *offset, type_: *kind, name })
    }
}

impl SharedFolder {
    pub(super) fn list(&self, known: &Known, offset: u64) -> io::Result<Listing> {
        let entries = match known {
            Known::Node(node) => self.entries(node, offset)?,
            Known::Empty(index) => empty(*index, offset),
        };
        Ok(Listing { entries: entries.into_iter(), current: None })
    }

    fn entries(&self, folder: &Node, offset: u64) -> io::Result<Vec<Listed>> {
        if folder.kind != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        let opened = self.reopen(folder, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let excluded = self.excluded_in(folder)?;
        let after = offset.checked_sub(AFTER_EVERYTHING).filter(|after| *after <= excluded.len() as u64);
        if after.is_none() {
            seek(&opened, SeekFrom::Start(offset))?;
            let mut entries = read(&opened)?;
            if !entries.is_empty() {
                for entry in &mut entries {
                    if let Some((index, _)) = excluded.iter().find(|(_, name)| *name == entry.name) {
                        (entry.inode, entry.kind) = (node::empty_folder(*index), libc::DT_DIR.into());
                    }
                }
                return Ok(entries);
            }
        }
        let done = after.unwrap_or(0);
        let missing = excluded.into_iter().filter(|(_, name)| matches!(Self::find(folder, name), Err(Errno::NOENT)));
        let listed = |(place, (index, name)): (u64, (usize, CString))| Listed {
            inode: node::empty_folder(index),
            offset: AFTER_EVERYTHING + place,
            kind: libc::DT_DIR.into(),
            name,
        };
        Ok((1..).zip(missing).map(listed).filter(|entry| entry.offset > AFTER_EVERYTHING + done).collect())
    }

    fn excluded_in(&self, folder: &Node) -> io::Result<Vec<(usize, CString)>> {
        if !self.rules.excludes_something() {
            return Ok(Vec::new());
        }
        let Place::At(place) = self.place(folder)? else { return Ok(Vec::new()) };
        let named = |(index, name): (usize, &[u8])| CString::new(name).ok().map(|name| (index, name));
        Ok(self.rules.excluded_in(&place).into_iter().filter_map(named).collect())
    }
}

fn read(folder: impl AsFd) -> io::Result<Vec<Listed>> {
    let mut buffer = Vec::with_capacity(BATCH);
    let mut raw = RawDir::new(folder, buffer.spare_capacity_mut());
    let mut entries = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let kind = match entry.file_type() {
            FileType::Unknown => libc::DT_UNKNOWN.into(),
            kind => kind.as_raw_mode() >> 12,
        };
        let (inode, offset) = (entry.ino(), entry.next_entry_cookie());
        entries.push(Listed { inode, offset, kind, name: entry.file_name().to_owned() });
        if raw.is_buffer_empty() {
            break;
        }
    }
    Ok(entries)
}

fn empty(index: usize, offset: u64) -> Vec<Listed> {
    let dots: [&CStr; 2] = [c".", c".."];
    let listed = |(place, name): (u64, &CStr)| Listed {
        inode: node::empty_folder(index),
        offset: place,
        kind: libc::DT_DIR.into(),
        name: name.to_owned(),
    };
    (1..).zip(dots).map(listed).filter(|entry| entry.offset > offset).collect()
}
