//! Lets programs of the guest that watch a mounted folder know what the host changed: the kernel tells them only of
//! what is done in the guest. So something is done that changes nothing.
//!
//! | the host's change | is done here | is seen as |
//! |---|---|---|
//! | content | cut a file to the size that it has | `IN_MODIFY`, `IN_CLOSE_WRITE` |
//! | new, gone | as above; and the folder gets the rights that it has | `IN_ATTRIB` of the folder |
//! | rights | the rights that it has | `IN_ATTRIB` |
//!
//! Who serves the folder takes a cut to the present size for nothing. A file whose size is another from one look to
//! the next is being written: it is left alone, since the host will tell of it again.

use super::place::relative;
use crate::failure::failed;
use machine_agent_protocol::{Change, ChangeKind, Failed};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// Replays the host's changes below `folder`. A change whose path is none, or no more, has nobody to be told.
pub(super) fn replay(folder: &Path, changes: &[Change]) -> Result<(), Failed> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty());
    let root = opened.map_err(|error| failed(format_args!("cannot open {}", folder.display()), &error.into()))?;
    let mut folders = BTreeSet::new();
    for change in changes {
        let path = relative(&change.path)?;
        match change.kind {
            ChangeKind::Modified => rewrite(&root, &path).unwrap_or_default(),
            ChangeKind::Attributes => {
                open(&root, &path).and_then(|file| keep_rights(&file)).unwrap_or_default();
            }
            ChangeKind::Created => {
                rewrite(&root, &path).unwrap_or_default();
                folders.insert(parent(&path));
            }
            ChangeKind::Removed => {
                // To look for it is what makes the kernel notice that it is gone.
                open(&root, &path).map(drop).unwrap_or_default();
                folders.insert(parent(&path));
            }
        }
    }
    for folder in folders {
        open(&root, &folder).and_then(|folder| keep_rights(&folder)).unwrap_or_default();
    }
    Ok(())
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Never leaves the mounted folder, nor the file system: what is mounted below is the guest's own.
fn open(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let beneath =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), beneath)?)
}

/// Cuts a regular file to the size that it has.
fn rewrite(root: &OwnedFd, path: &Path) -> io::Result<()> {
    let file = open(root, path)?;
    let Some(size) = size_of_file(&file)? else { return Ok(()) };
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let writable = rustix::fs::open(link_to(&file), flags, Mode::empty())?;
    // Asked anew of whoever has it: a size from memory may be an old one.
    if size_of_file(&writable)? == Some(size) {
        rustix::fs::ftruncate(&writable, size)?;
    }
    Ok(())
}

/// The size of a regular file, from whoever serves it; none of anything else.
fn size_of_file(file: &OwnedFd) -> io::Result<Option<u64>> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    let found = rustix::fs::statx(file, "", flags, StatxFlags::TYPE | StatxFlags::SIZE)?;
    let kind = FileType::from_raw_mode(u32::from(found.stx_mode));
    Ok((kind == FileType::RegularFile).then_some(found.stx_size))
}

/// Sets the rights that a file or folder has. A link has none.
fn keep_rights(file: &OwnedFd) -> io::Result<()> {
    let found = rustix::fs::fstat(file)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile | FileType::Directory => {
            Ok(rustix::fs::chmod(link_to(file), Mode::from_raw_mode(found.st_mode & 0o7777))?)
        }
        _ => Ok(()),
    }
}

/// The way to what is open: a descriptor that was opened to look does nothing itself.
fn link_to(file: &OwnedFd) -> String {
    format!("/proc/thread-self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    use std::fs;

    fn change(path: &str, kind: ChangeKind) -> Change {
        Change { path: path.into(), kind }
    }

    /// What a watcher of `watched` sees of a replay below `root`.
    fn seen(root: &Path, watched: &Path, changes: &[Change]) -> Vec<(String, ReadFlags)> {
        let watcher = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watcher, watched, WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB)
            .unwrap();
        replay(root, changes).unwrap();
        let mut room = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&watcher, &mut room);
        let mut all = Vec::new();
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            all.push((name, event.events()));
        }
        all
    }

    fn of(name: &str, flags: ReadFlags) -> (String, ReadFlags) {
        (name.to_owned(), flags)
    }

    #[test]
    fn a_changed_file_is_seen_as_written_and_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("d/f"), "content").unwrap();
        let seen = seen(folder.path(), &folder.path().join("d"), &[change("d/f", ChangeKind::Modified)]);
        assert_eq!(seen, [of("f", ReadFlags::MODIFY), of("f", ReadFlags::CLOSE_WRITE)]);
        assert_eq!(fs::read(folder.path().join("d/f")).unwrap(), b"content");
    }

    #[test]
    fn a_new_file_and_one_that_is_gone_are_seen_in_their_folder_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("new"), "").unwrap();
        let changes = [change("new", ChangeKind::Created), change("gone", ChangeKind::Removed)];
        let seen = seen(folder.path(), folder.path(), &changes);
        let folder_itself = of("", ReadFlags::ATTRIB | ReadFlags::ISDIR);
        assert_eq!(seen, [of("new", ReadFlags::MODIFY), of("new", ReadFlags::CLOSE_WRITE), folder_itself]);
    }

    #[test]
    fn other_rights_are_seen_as_such_and_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("f"), "").unwrap();
        fs::set_permissions(folder.path().join("f"), fs::Permissions::from_mode(0o751)).unwrap();
        let seen = seen(folder.path(), folder.path(), &[change("f", ChangeKind::Attributes)]);
        assert_eq!(seen, [of("f", ReadFlags::ATTRIB)]);
        assert_eq!(fs::metadata(folder.path().join("f")).unwrap().permissions().mode() & 0o7777, 0o751);
    }

    #[test]
    fn links_and_pipes_are_not_touched_and_nothing_outside_is() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("f"), "x").unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(other.path().join("f"), folder.path().join("to")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        let changes = ["link/f", "to", "pipe"].map(|path| change(path, ChangeKind::Modified));
        assert_eq!(seen(folder.path(), other.path(), &changes), []);
        assert!(replay(folder.path(), &[change("../f", ChangeKind::Modified)]).is_err());
    }
}
