//! A tar stream from a guest, unpacked into a folder here. The guest is not trusted: no name leaves the
//! folder, no symbolic link is followed, no special file is made, no file takes more than was sent.
//!
//! Every step of a path is opened beneath the one before it without following links, so that a link
//! which the stream made itself leads nowhere. Files appear under their names when they are complete.

mod allowance;
mod meter;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use indicatif::ProgressBar;
use machine_sdk::api::Code;
use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, open, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::draft;
use super::selection::{Selection, Special};
use crate::cli::exit::Failure;
pub(crate) use allowance::Allowance;
use meter::{Meter, Metered};

/// How much of a file is in memory.
const PIECE: usize = 256 << 10;

/// Why a stream cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// A name would leave the folder.
    #[error("refused what the guest sent: the path leads out of the folder: {}", path.display())]
    Escapes {
        /// The name.
        path: PathBuf,
    },
    /// A name leads through something that is no folder, such as a link.
    #[error("refused what the guest sent: the path leads through something that is not a folder: {}", path.display())]
    NotThroughFolders {
        /// The name.
        path: PathBuf,
    },
    /// Something is no file, folder or link.
    #[error("cannot copy {}: it is a special file", path.display())]
    Special {
        /// The name.
        path: PathBuf,
    },
    /// It is more than may be taken.
    #[error("refused what the guest sent: {what}")]
    TooMuch {
        /// What of it.
        what: &'static str,
    },
    /// It cannot be written here.
    #[error("cannot write {}", path.display())]
    Write {
        /// The name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The stream makes no sense, or broke off.
    #[error("cannot read what the guest sent")]
    Stream {
        /// Why.
        source: io::Error,
    },
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        match &error {
            UnpackError::Escapes { .. } | UnpackError::NotThroughFolders { .. } | UnpackError::Special { .. } => {
                Self::new(Code::FileError, error.to_string())
            }
            UnpackError::TooMuch { .. } => Self::new(Code::CapacityExceeded, error.to_string()),
            UnpackError::Write { source, .. } | UnpackError::Stream { source } => Self::file(&error, source),
        }
    }
}

/// Whose the folder is that is unpacked into: ours takes the mode of what is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Ours,
    Theirs,
}

/// What becomes of modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modes {
    /// They are set.
    Set,
    /// They are noted; what is unpacked is for us to read.
    Noted,
}

/// How a stream is unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Unpacking {
    /// Whose the folder is.
    pub(crate) root: Root,
    /// What becomes of modes.
    pub(crate) modes: Modes,
    /// What is taken.
    pub(crate) selection: Selection,
    /// How much of it.
    pub(crate) allowance: Allowance,
}

/// What was noted of a stream.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// Modes, where they are noted.
    pub(crate) modes: BTreeMap<PathBuf, u32>,
    /// What was passed over, being no file, folder or link.
    pub(crate) skipped: Vec<PathBuf>,
}

impl Unpacking {
    /// As a person copies.
    pub(crate) const fn all(root: Root) -> Self {
        Self { root, modes: Modes::Set, selection: Selection::all(), allowance: Allowance::Endless }
    }
}

/// Unpacks a stream into a folder that is there.
pub(crate) fn unpack(
    stream: impl Read,
    folder: &Path,
    how: Unpacking,
    bar: &ProgressBar,
) -> Result<Noted, UnpackError> {
    let opened = open(folder, FOLDER, Mode::empty());
    let opened = opened.map_err(|error| UnpackError::Write { path: folder.to_owned(), source: error.into() })?;
    let mut tree = Tree { root: opened, modes: Vec::new(), how, noted: Noted::default() };
    let meter = Meter::default();
    let mut archive = Archive::new(Metered::new(stream, &meter));
    let mut entries = archive.entries().map_err(|source| UnpackError::Stream { source })?;
    loop {
        meter.header();
        let Some(entry) = entries.next() else { break };
        let entry = entry.map_err(|source| UnpackError::Stream { source })?;
        meter.content();
        tree.put(entry, bar)?;
    }
    tree.close()
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const BENEATH: OFlags = FOLDER.union(OFlags::NOFOLLOW);
const FRESH: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder, and the modes that its folders get when all is in them.
struct Tree {
    root: OwnedFd,
    modes: Vec<(Vec<OsString>, u32)>,
    how: Unpacking,
    noted: Noted,
}

/// A name in the stream, known to stay in the folder.
struct Spot {
    path: PathBuf,
    above: Vec<OsString>,
    name: OsString,
}

impl Tree {
    fn put(&mut self, mut entry: Entry<'_, impl Read>, bar: &ProgressBar) -> Result<(), UnpackError> {
        let stream = |source| UnpackError::Stream { source };
        let path = entry.path().map_err(stream)?.into_owned();
        let mode = entry.header().mode().map_err(stream)?;
        let kind = entry.header().entry_type();
        let Some(spot) = spot(&path)? else {
            if kind == EntryType::Directory && self.how.root == Root::Ours {
                self.modes.push((Vec::new(), mode));
            }
            return Ok(());
        };
        let target = entry.link_name().map_err(stream)?.map(std::borrow::Cow::into_owned).unwrap_or_default();
        if self.how.selection.leaves_out(&spot.inside()) {
            return Ok(());
        }
        self.how.allowance.take(&path, target.as_os_str().len(), entry.size())?;
        match kind {
            EntryType::Regular | EntryType::Continuous => self.file(&spot, mode, &mut entry, bar),
            EntryType::Directory => self.folder(spot, mode),
            EntryType::Symlink => self.symlink(&spot, &target),
            EntryType::Link => self.hard_link(&spot, &target),
            EntryType::XGlobalHeader => Ok(()),
            EntryType::Fifo | EntryType::Char | EntryType::Block if self.how.selection.special == Special::Skipped => {
                self.noted.skipped.push(spot.inside());
                Ok(())
            }
            // Sparse files, too: they may claim any size.
            _ => Err(UnpackError::Special { path }),
        }
    }

    fn file(
        &mut self,
        spot: &Spot,
        mode: u32,
        entry: &mut Entry<'_, impl Read>,
        bar: &ProgressBar,
    ) -> Result<(), UnpackError> {
        let mode = match self.how.modes {
            Modes::Set => mode,
            Modes::Noted => {
                self.noted.modes.insert(spot.inside(), mode);
                0o600
            }
        };
        self.appear(spot, |folder, passing| {
            let file = openat(folder, passing, FRESH, Mode::RUSR | Mode::WUSR).map_err(|error| spot.failed(error))?;
            let mut file = File::from(file);
            let mut left = entry.size();
            let mut buffer = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE).max(1))];
            while left > 0 {
                let read = entry.read(&mut buffer).map_err(|source| UnpackError::Stream { source })?;
                if read == 0 {
                    return Err(UnpackError::Stream { source: io::ErrorKind::UnexpectedEof.into() });
                }
                file.write_all(&buffer[..read]).map_err(|source| spot.write_failed(source))?;
                left = left.saturating_sub(read as u64);
                bar.inc(read as u64);
            }
            draft::set_mode(&file, mode).map_err(|source| spot.write_failed(source))
        })
    }

    fn folder(&mut self, spot: Spot, mode: u32) -> Result<(), UnpackError> {
        let above = self.open(&spot.above, &spot.path)?;
        match mkdirat(&above, &spot.name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // It stays as it is, if it is one.
                return openat(&above, &spot.name, BENEATH, Mode::empty())
                    .map(drop)
                    .map_err(|error| spot.failed(error));
            }
            Err(error) => return Err(spot.failed(error)),
        }
        match self.how.modes {
            Modes::Set => {
                let mut place = spot.above;
                place.push(spot.name);
                self.modes.push((place, mode));
            }
            Modes::Noted => {
                self.noted.modes.insert(spot.inside(), mode);
            }
        }
        Ok(())
    }

    fn symlink(&self, spot: &Spot, target: &Path) -> Result<(), UnpackError> {
        self.appear(spot, |folder, passing| symlinkat(target, folder, passing).map_err(|error| spot.failed(error)))
    }

    /// A second name of a file that is in the folder already.
    fn hard_link(&mut self, spot: &Spot, target: &Path) -> Result<(), UnpackError> {
        let Some(first) = self::spot(target)? else {
            return Err(UnpackError::Escapes { path: target.to_owned() });
        };
        if let Some(mode) = self.noted.modes.get(&first.inside()).copied() {
            self.noted.modes.insert(spot.inside(), mode);
        }
        let from = self.open(&first.above, &first.path)?;
        self.appear(spot, |folder, passing| {
            linkat(&from, &first.name, folder, passing, AtFlags::empty()).map_err(|error| spot.failed(error))
        })
    }

    /// Makes something under a passing name, then gives it its own.
    fn appear(
        &self,
        spot: &Spot,
        make: impl FnOnce(&OwnedFd, &str) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let folder = self.open(&spot.above, &spot.path)?;
        let passing = draft::passing_name().map_err(|source| spot.write_failed(source))?;
        let made = make(&folder, &passing)
            .and_then(|()| renameat(&folder, &passing, &folder, &spot.name).map_err(|error| spot.failed(error)));
        // Also after a rename that did nothing, because both names are of one file.
        let _ = unlinkat(&folder, &passing, AtFlags::empty());
        made
    }

    /// Opens a folder step by step, and makes those that are missing.
    fn open(&self, steps: &[OsString], path: &Path) -> Result<OwnedFd, UnpackError> {
        let failed = |error: Errno| refused(path, error);
        let mut folder = self
            .root
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| UnpackError::Write { path: path.to_owned(), source })?;
        for step in steps {
            folder = match openat(&folder, step, BENEATH, Mode::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(&folder, step, Mode::from_raw_mode(0o755)).map_err(failed)?;
                    openat(&folder, step, BENEATH, Mode::empty()).map_err(failed)?
                }
                opened => opened.map_err(failed)?,
            };
        }
        Ok(folder)
    }

    /// Folders get their modes last, since they may not be writable with them; inner ones first.
    fn close(mut self) -> Result<Noted, UnpackError> {
        for (place, mode) in std::mem::take(&mut self.modes).into_iter().rev() {
            let path: PathBuf = place.iter().collect();
            let folder = self.open(&place, &path)?;
            draft::set_mode(&File::from(folder), mode).map_err(|source| UnpackError::Write { path, source })?;
        }
        Ok(self.noted)
    }
}

impl Spot {
    /// Its path from the folder's root.
    fn inside(&self) -> PathBuf {
        self.above.iter().chain([&self.name]).collect()
    }

    fn failed(&self, error: Errno) -> UnpackError {
        refused(&self.path, error)
    }

    fn write_failed(&self, source: io::Error) -> UnpackError {
        UnpackError::Write { path: self.path.clone(), source }
    }
}

fn refused(path: &Path, error: Errno) -> UnpackError {
    match error {
        Errno::LOOP | Errno::NOTDIR => UnpackError::NotThroughFolders { path: path.to_owned() },
        error => UnpackError::Write { path: path.to_owned(), source: error.into() },
    }
}

/// Where a name is in the folder; nowhere if it is the folder itself.
fn spot(path: &Path) -> Result<Option<Spot>, UnpackError> {
    let mut above = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => above.push(name.to_owned()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(UnpackError::Escapes { path: path.to_owned() });
            }
        }
    }
    Ok(above.pop().map(|name| Spot { path: path.to_owned(), above, name }))
}
