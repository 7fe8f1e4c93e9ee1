//! A folder of this computer, looked at from its root without following any link. Writes nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode as Bits, OFlags, open, openat, readlinkat, statat};
use rustix::io::Errno;

use super::inside::Inside;
use crate::cli::copy::entry::{Digest, Entry, Mode};

/// All that is in a folder, by its path.
pub(crate) type Tree = BTreeMap<Inside, Entry>;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const BENEATH: OFlags = FOLDER.union(OFlags::NOFOLLOW);
/// A pipe that takes a file's place meanwhile does not hold us.
const CONTENT: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct Place {
    root: OwnedFd,
    path: PathBuf,
}

/// A step on the way to a path.
#[derive(Debug)]
pub(crate) enum Way {
    /// The folder that the path is in.
    Open(OwnedFd),
    /// A folder on the way is not there.
    Missing,
    /// What should be a folder is a link or a file.
    NotThroughFolders,
}

impl Place {
    /// Opens a folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: open(path, FOLDER, Bits::empty())?, path: path.to_owned() })
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All that was written to it is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }

    /// The way to the folder that has these names above it.
    pub(crate) fn way(&self, names: &[OsString]) -> io::Result<Way> {
        let mut folder = self.root.as_fd().try_clone_to_owned()?;
        for name in names {
            folder = match openat(&folder, name, BENEATH, Bits::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(Way::Missing),
                Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Way::NotThroughFolders),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Way::Open(folder))
    }

    /// The way to the folder that a path is in.
    pub(crate) fn above(&self, path: &Inside) -> io::Result<Way> {
        let mut names = path.names();
        names.pop();
        self.way(&names)
    }

    /// What is at a path.
    pub(crate) fn entry(&self, path: &Inside) -> io::Result<Option<Entry>> {
        match self.above(path)? {
            Way::Open(folder) => entry(&folder, path.name()),
            // What is behind a link is not in the folder.
            Way::Missing | Way::NotThroughFolders => Ok(None),
        }
    }

    /// The content of a file.
    pub(crate) fn content(&self, path: &Inside) -> io::Result<File> {
        match self.above(path)? {
            Way::Open(folder) => Ok(openat(&folder, path.name(), CONTENT, Bits::empty())?.into()),
            Way::Missing | Way::NotThroughFolders => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What the link at a path says, if there is one.
    pub(crate) fn link(&self, names: &[OsString]) -> Option<PathBuf> {
        let (name, above) = names.split_last()?;
        match self.way(above).ok()? {
            Way::Open(folder) => target(&folder, name).ok(),
            Way::Missing | Way::NotThroughFolders => None,
        }
    }

    /// All that is in it. It is not deeper than it may be: see what unpacked it.
    pub(crate) fn tree(&self) -> io::Result<Tree> {
        let mut tree = Tree::new();
        walk(&self.root, Path::new(""), &mut tree)?;
        Ok(tree)
    }
}

fn walk(folder: &OwnedFd, above: &Path, tree: &mut Tree) -> io::Result<()> {
    for found in Dir::read_from(folder)? {
        let name = OsString::from_vec(found?.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        let path = above.join(&name);
        let (Some(inside), Some(there)) = (Inside::new(&path), entry(folder, &name)?) else { continue };
        if matches!(there, Entry::Folder { .. }) {
            let next = openat(folder, &name, BENEATH, Bits::empty())?;
            walk(&next, &path, tree)?;
        }
        tree.insert(inside, there);
    }
    Ok(())
}

/// What has a name in a folder.
pub(crate) fn entry(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<Entry>> {
    let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mode = Mode::of(stat.st_mode);
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let (size, digest) = Digest::of(File::from(openat(folder, name, CONTENT, Bits::empty())?))?;
            Entry::File { mode, size, digest }
        }
        FileType::Directory => Entry::Folder { mode },
        FileType::Symlink => Entry::Link { target: target(folder, name)? },
        _ => Entry::Other,
    }))
}

fn target(folder: &OwnedFd, name: &OsStr) -> io::Result<PathBuf> {
    let target = readlinkat(folder, name, Vec::new())?;
    Ok(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
}
