//! A folder here as a tar stream: files, folders and symbolic links with their modes, owned by root.
//! Links are copied, not followed; what is neither is refused by its name before anything is sent.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use tar::{Builder, EntryType, Header};

use crate::cli::exit::Failure;
use machine_sdk::api::Code;

/// Why a folder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
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
pub(super) enum Root {
    Packed,
    LeftOut,
}

/// Walks a folder and gives the sum of its files' sizes, or what in it cannot be copied.
pub(super) fn survey(folder: &Path) -> Result<u64, PackError> {
    let mut total = 0;
    walk(folder, &mut |path, metadata| {
        total += match kind(path, metadata)? {
            EntryType::Regular => metadata.len(),
            _ => 0,
        };
        Ok(())
    })?;
    Ok(total)
}

/// Writes a folder as a tar stream.
pub(super) fn pack(folder: &Path, root: Root, to: impl Write, bar: &ProgressBar) -> Result<(), PackError> {
    let mut archive = Builder::new(to);
    if root == Root::Packed {
        let metadata = fs::metadata(folder).map_err(|source| PackError::Read { path: folder.to_owned(), source })?;
        append(&mut archive, folder, Path::new("."), &metadata, bar)?;
    }
    walk(folder, &mut |path, metadata| {
        let name = path.strip_prefix(folder).unwrap_or(path);
        append(&mut archive, path, name, metadata, bar)
    })?;
    let finished = archive.into_inner().and_then(|mut to| to.flush());
    finished.map_err(|_| PackError::NotTaken)
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), PackError>) -> Result<(), PackError> {
    let failed = |source| PackError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let metadata = fs::symlink_metadata(&path).map_err(|source| PackError::Read { path: path.clone(), source })?;
        visit(&path, &metadata)?;
        if metadata.is_dir() {
            walk(&path, visit)?;
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

fn append(
    archive: &mut Builder<impl Write>,
    path: &Path,
    name: &Path,
    metadata: &Metadata,
    bar: &ProgressBar,
) -> Result<(), PackError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::BrokenPipe => PackError::NotTaken,
        _ => PackError::Read { path: path.to_owned(), source },
    };
    let kind = kind(path, metadata)?;
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.permissions().mode() & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
    header.set_size(0);
    let appended = match kind {
        EntryType::Regular => {
            header.set_size(metadata.len());
            let file = File::open(path).map_err(failed)?;
            archive.append_data(&mut header, name, Exactly { file, left: metadata.len(), bar })
        }
        EntryType::Symlink => {
            let target = fs::read_link(path).map_err(failed)?;
            archive.append_link(&mut header, name, target)
        }
        _ => archive.append_data(&mut header, name, io::empty()),
    };
    appended.map_err(failed)
}

/// So much of a file as its header says, whatever becomes of the file meanwhile.
struct Exactly<'a> {
    file: File,
    left: u64,
    bar: &'a ProgressBar,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..room])?;
        if read == 0 && room > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= read as u64;
        self.bar.inc(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(survey(&root).unwrap(), 70_004);

        let mut stream = Vec::new();
        pack(&root, Root::Packed, &mut stream, &ProgressBar::hidden()).unwrap();
        let target = folder.path().join("target");
        fs::create_dir(&target).unwrap();
        super::super::unpack::unpack(&stream[..], &target, super::super::unpack::Root::Ours, &ProgressBar::hidden())
            .unwrap();
        assert_eq!(fs::read(target.join("a/x")).unwrap(), [9; 70_000]);
        assert_eq!(fs::metadata(target.join("a/x")).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_link(target.join("a/link")).unwrap(), Path::new("../nowhere"));
        assert_eq!(fs::read_to_string(target.join("n".repeat(200))).unwrap(), "long");
    }

    #[test]
    fn a_special_file_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        let error = survey(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("/s: it is a socket"), "{error}");
    }
}
