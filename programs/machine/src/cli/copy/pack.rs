//! A folder here as a tar stream: files, folders and symbolic links with their modes, owned by whom is said.
//! Links are copied, not followed; what is neither is refused by its name before anything is sent, or
//! passed over.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use tar::{Builder, EntryType, Header};

use super::entry::{Digesting, Entry, Mode};
use super::selection::{Selection, Special};
use crate::cli::exit::Failure;
use machine_sdk::api::Code;

/// Why a folder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// Something in it is no file, folder or link.
    #[error("cannot copy {}: it is {kind}", path.display())]
    Special {
        /// What.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file in it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody takes the stream any more.
    #[error("the stream is not taken any more")]
    NotTaken,
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        match &error {
            PackError::Special { .. } | PackError::NotTaken => Self::new(Code::FileError, error.to_string()),
            PackError::Read { source, .. } => Self::file(&error, source),
        }
    }
}

/// Whether the folder itself is in the stream, so that the other side takes its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Packed,
    LeftOut,
}

/// How a folder is packed.
#[derive(Debug, Clone)]
pub(crate) struct Packing {
    /// Whether the folder itself is in the stream.
    pub(crate) root: Root,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// What is packed.
    pub(crate) selection: Selection,
}

impl Packing {
    /// All of it, for root.
    pub(super) const fn all(root: Root) -> Self {
        Self { root, owner: (0, 0), selection: Selection::all() }
    }
}

/// What is told of a path that was packed: exactly what is in the stream.
pub(crate) type Seen<'a> = &'a mut dyn FnMut(&Path, Entry);

/// What a folder amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// The sum of its files' sizes.
    pub(crate) bytes: u64,
    /// How much in it is passed over, being no file, folder or link.
    pub(crate) skipped: u64,
}

/// Walks a folder, and gives what it amounts to, or what in it cannot be copied.
pub(crate) fn survey(folder: &Path, selection: &Selection) -> Result<Survey, PackError> {
    let mut survey = Survey::default();
    walk(folder, Path::new(""), selection, &mut |path, _, metadata| {
        match kind(path, metadata) {
            Ok(EntryType::Regular) => survey.bytes += metadata.len(),
            Ok(_) => {}
            Err(PackError::Special { .. }) if selection.special == Special::Skipped => survey.skipped += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    Ok(survey)
}

/// Writes a folder as a tar stream, and tells what it wrote if that is asked.
pub(crate) fn pack<'a>(
    folder: &Path,
    how: &Packing,
    to: impl Write,
    bar: &'a ProgressBar,
    seen: Option<Seen<'a>>,
) -> Result<(), PackError> {
    let mut stream = Stream { archive: Builder::new(to), owner: how.owner, bar, seen };
    if how.root == Root::Packed {
        let metadata = fs::metadata(folder).map_err(|source| PackError::Read { path: folder.to_owned(), source })?;
        stream.append(folder, Path::new("."), &metadata)?;
    }
    walk(
        folder,
        Path::new(""),
        &how.selection,
        &mut |path, name, metadata| match stream.append(path, name, metadata) {
            Err(PackError::Special { .. }) if how.selection.special == Special::Skipped => Ok(()),
            appended => appended,
        },
    )?;
    let finished = stream.archive.into_inner().and_then(|mut to| to.flush());
    finished.map_err(|_| PackError::NotTaken)
}

/// Visits each path, with its name from the root of the walk.
type Visit<'a> = &'a mut dyn FnMut(&Path, &Path, &Metadata) -> Result<(), PackError>;

fn walk(folder: &Path, above: &Path, selection: &Selection, visit: Visit<'_>) -> Result<(), PackError> {
    let failed = |source| PackError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), above.join(entry.file_name()));
        if selection.leaves_out(&name) {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).map_err(|source| PackError::Read { path: path.clone(), source })?;
        visit(&path, &name, &metadata)?;
        if metadata.is_dir() {
            walk(&path, &name, selection, visit)?;
        }
    }
    Ok(())
}

fn kind(path: &Path, metadata: &Metadata) -> Result<EntryType, PackError> {
    let kind = metadata.file_type();
    let special = |kind| Err(PackError::Special { path: path.to_owned(), kind });
    if kind.is_file() {
        Ok(EntryType::Regular)
    } else if kind.is_dir() {
        Ok(EntryType::Directory)
    } else if kind.is_symlink() {
        Ok(EntryType::Symlink)
    } else if kind.is_socket() {
        special("a socket")
    } else if kind.is_fifo() {
        special("a named pipe")
    } else {
        special("a device")
    }
}

/// The stream that is being written.
struct Stream<'a, W: Write> {
    archive: Builder<W>,
    owner: (u32, u32),
    bar: &'a ProgressBar,
    seen: Option<Seen<'a>>,
}

impl<W: Write> Stream<'_, W> {
    fn append(&mut self, path: &Path, name: &Path, metadata: &Metadata) -> Result<(), PackError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::BrokenPipe => PackError::NotTaken,
            _ => PackError::Read { path: path.to_owned(), source },
        };
        let kind = kind(path, metadata)?;
        let mut header = self.header(kind, metadata);
        let mode = Mode::of(metadata.permissions().mode());
        let entry = match kind {
            EntryType::Regular => {
                header.set_size(metadata.len());
                let file = File::open(path).map_err(failed)?;
                let digesting = self.seen.is_some().then(Digesting::default);
                let mut content = Exactly { file, left: metadata.len(), bar: self.bar, digesting };
                self.archive.append_data(&mut header, name, &mut content).map_err(failed)?;
                let digest = content.digesting.map(Digesting::finish);
                digest.map(|digest| Entry::File { mode, size: metadata.len(), digest })
            }
            EntryType::Symlink => {
                let target = fs::read_link(path).map_err(failed)?;
                self.archive.append_link(&mut header, name, &target).map_err(failed)?;
                Some(Entry::Link { target })
            }
            _ => {
                self.archive.append_data(&mut header, name, io::empty()).map_err(failed)?;
                Some(Entry::Folder { mode })
            }
        };
        if let (Some(seen), Some(entry)) = (&mut self.seen, entry) {
            seen(name, entry);
        }
        Ok(())
    }

    fn header(&self, kind: EntryType, metadata: &Metadata) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(metadata.permissions().mode() & 0o7777);
        header.set_uid(self.owner.0.into());
        header.set_gid(self.owner.1.into());
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
        header.set_size(0);
        header
    }
}

/// So much of a file as its header says, whatever becomes of the file meanwhile.
struct Exactly<'a> {
    file: File,
    left: u64,
    bar: &'a ProgressBar,
    digesting: Option<Digesting>,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..room])?;
        if read == 0 && room > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        if let Some(digesting) = &mut self.digesting {
            digesting.feed(&buffer[..read]);
        }
        self.left -= read as u64;
        self.bar.inc(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::unpack;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_comes_out_as_it_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/x"), [9; 70_000]).unwrap();
        fs::set_permissions(root.join("a/x"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(root.join("n".repeat(200)), "long").unwrap();
        symlink("../nowhere", root.join("a/link")).unwrap();
        assert_eq!(survey(&root, &Selection::all()).unwrap(), Survey { bytes: 70_004, skipped: 0 });

        let mut stream = Vec::new();
        pack(&root, &Packing::all(Root::Packed), &mut stream, &ProgressBar::hidden(), None).unwrap();
        let target = folder.path().join("target");
        fs::create_dir(&target).unwrap();
        let how = unpack::Unpacking::all(unpack::Root::Ours);
        unpack::unpack(&stream[..], &target, how, &ProgressBar::hidden()).unwrap();
        assert_eq!(fs::read(target.join("a/x")).unwrap(), [9; 70_000]);
        assert_eq!(fs::metadata(target.join("a/x")).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_link(target.join("a/link")).unwrap(), Path::new("../nowhere"));
        assert_eq!(fs::read_to_string(target.join("n".repeat(200))).unwrap(), "long");
    }

    #[test]
    fn a_special_file_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        let error = survey(folder.path(), &Selection::all()).unwrap_err().to_string();
        assert!(error.ends_with("/s: it is a socket"), "{error}");
        let skipping = Selection { special: Special::Skipped, left_out: Vec::new() };
        assert_eq!(survey(folder.path(), &skipping).unwrap(), Survey { bytes: 0, skipped: 1 });
    }
}
