//! What a machine can do with a folder, asked as its kernel asks: with messages, or with those that no kernel
//! sends. One group of promises a file; here is what they are asked with.

mod exclude;
mod guard;
mod plain;
mod sleep;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use tempfile::TempDir;
use virtiofsd::filesystem::{
    Context, DirectoryIterator, Entry, Extensions, FileSystem, ROOT_ID, SetattrValid, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::{Attr, SetattrIn};
use virtiofsd::oslib::{ReadvFlags, WritevFlags};

use super::{Answering, SharedFolder};
use crate::plan::{Access, Cache, Owner, SharePlan};
use crate::rules::Rules;

/// A folder of the host and the machine's view of it.
struct Stage {
    host: TempDir,
    folder: Answering,
}

/// Who asks: the messages of a kernel say it, and nothing here depends on it.
fn somebody() -> Context {
    Context { uid: 4242.into(), gid: 4242.into(), pid: 1 }
}

fn named(name: impl AsRef<[u8]>) -> CString {
    CString::new(name.as_ref()).unwrap()
}

impl Stage {
    fn new(exclude: &[&str], guard: &[&str]) -> Self {
        Self::prepared(Access::ReadWrite, exclude, guard, |_| ())
    }

    /// `prepare` is what the host did before the machine came.
    fn prepared(access: Access, exclude: &[&str], guard: &[&str], prepare: impl Fn(&Path)) -> Self {
        let host = tempfile::tempdir().unwrap();
        prepare(host.path());
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let owner = Owner { host_uid: 0, host_gid: 0, guest_uid: 1000, guest_gid: 1001 };
        let plan = SharePlan {
            socket: PathBuf::new(),
            folder: host.path().to_owned(),
            access,
            owner,
            exclude: owned(exclude),
            guard: owned(guard),
            cache: Cache::default(),
            watch: None,
        };
        let root = open(host.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let descriptors = open("/proc/self/fd", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let rules = Rules::of(&plan).unwrap();
        let folder = SharedFolder::new(root, descriptors, rules, (access, owner, plan.cache), 10_000).unwrap();
        Self { host, folder: Answering(std::sync::Arc::new(folder)) }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.host.path().join(path)
    }

    fn on_host(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    /// Looks up each component; the machine's kernel does no other way.
    fn find(&self, path: &str) -> io::Result<Entry> {
        let mut id = ROOT_ID;
        let mut found = Err(Errno::NOENT.into());
        for name in path.split('/') {
            let entry = self.folder.lookup(somebody(), id, &named(name))?;
            id = entry.inode;
            found = Ok(entry);
        }
        found
    }

    fn id(&self, path: &str) -> u64 {
        if path.is_empty() { ROOT_ID } else { self.find(path).unwrap().inode }
    }

    /// The folder of a path, and its last name.
    fn split<'a>(&self, path: &'a str) -> (u64, CString) {
        let (above, name): (&'a str, &'a str) = path.rsplit_once('/').unwrap_or(("", path));
        (self.id(above), named(name))
    }

    fn mkdir(&self, path: &str) -> io::Result<Entry> {
        let (parent, name) = self.split(path);
        self.folder.mkdir(somebody(), parent, &name, 0o755, 0, Extensions::default())
    }

    fn mknod(&self, path: &str, mode: u32) -> io::Result<Entry> {
        let (parent, name) = self.split(path);
        self.folder.mknod(somebody(), parent, &name, mode, 0, 0, Extensions::default())
    }

    fn make(&self, path: &str) -> io::Result<Entry> {
        self.mknod(path, libc::S_IFREG | 0o644)
    }

    fn symlink(&self, target: &str, path: &str) -> io::Result<Entry> {
        let (parent, name) = self.split(path);
        self.folder.symlink(somebody(), &named(target), parent, &name, Extensions::default())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<Entry> {
        let (parent, name) = self.split(to);
        self.folder.link(somebody(), self.id(from), parent, &name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename_with(from, to, 0)
    }

    fn rename_with(&self, from: &str, to: &str, flags: u32) -> io::Result<()> {
        let ((from, old), (to, new)) = (self.split(from), self.split(to));
        FileSystem::rename(&self.folder, somebody(), from, &old, to, &new, flags)
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.split(path);
        self.folder.unlink(somebody(), parent, &name)
    }

    fn rmdir(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.split(path);
        self.folder.rmdir(somebody(), parent, &name)
    }

    fn write(&self, id: u64, bytes: &[u8]) -> io::Result<usize> {
        let length = u32::try_from(bytes.len()).unwrap();
        self.folder.write(somebody(), id, 0, Bytes(bytes.to_vec()), length, 0, None, false, false, 0)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Bytes(Vec::new());
        self.folder.read(somebody(), self.id(path), 0, &mut bytes, 65536, 0, None, 0)?;
        Ok(bytes.0)
    }

    fn set(&self, id: u64, valid: SetattrValid, asked: SetattrIn) -> io::Result<Attr> {
        self.folder.setattr(somebody(), id, asked, None, valid).map(|(attributes, _)| attributes)
    }

    fn truncate(&self, id: u64, size: u64) -> io::Result<Attr> {
        self.set(id, SetattrValid::SIZE, SetattrIn { size, ..SetattrIn::default() })
    }

    fn chmod(&self, id: u64, mode: u32) -> io::Result<Attr> {
        self.set(id, SetattrValid::MODE, SetattrIn { mode, ..SetattrIn::default() })
    }

    /// Names and kinds, read in as many requests as it takes, without the dots.
    fn list(&self, path: &str) -> Vec<(String, u32)> {
        let (id, mut offset, mut all) = (self.id(path), 0, Vec::new());
        loop {
            let mut listing = self.folder.readdir(somebody(), id, 0, 4096, offset).unwrap();
            let before = offset;
            while let Some(entry) = listing.next() {
                offset = entry.offset;
                all.push((entry.name.to_string_lossy().into_owned(), entry.type_));
            }
            if offset == before {
                break;
            }
        }
        all.retain(|(name, _)| name != "." && name != "..");
        all.sort();
        all
    }
}

/// A request's pages.
struct Bytes(Vec<u8>);

impl ZeroCopyReader for Bytes {
    fn write_to_file_at(&mut self, file: &File, _: usize, at: u64, _: Option<WritevFlags>) -> io::Result<usize> {
        file.write_at(&self.0, at)
    }
}

impl ZeroCopyWriter for Bytes {
    fn read_from_file_at(&mut self, file: &File, count: usize, at: u64, _: Option<ReadvFlags>) -> io::Result<usize> {
        self.0.resize(count, 0);
        let length = file.read_at(&mut self.0, at)?;
        self.0.truncate(length);
        Ok(length)
    }
}

#[track_caller]
fn refused<T>(answer: io::Result<T>) {
    refused_as(answer, Errno::PERM);
}

#[track_caller]
fn refused_as<T>(answer: io::Result<T>, with: Errno) {
    match answer {
        Ok(_) => panic!("it was allowed"),
        Err(error) => assert_eq!(error.raw_os_error(), Some(with.raw_os_error()), "{error}"),
    }
}
