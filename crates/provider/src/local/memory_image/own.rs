//! A machine's own copy of an image's memory, for one whose memory is shared with whoever serves it folders, and
//! the spare copy that is kept ready for the next one. Blocking.
//!
//! ```text
//! image's ram ──copied apart──▶ spare-<boot>.new ──rename──▶ spare-<boot> ──rename──▶ a machine's own
//!      └──copied, if there is no spare──────────────────────────────────────────────────▲
//! ```
//! A copy is not synced, so it serves the boot of the host that it was made in. At most one spare an image: it is
//! made again after it was taken, and not at all where the disk has little room. The machine's own has all its
//! room reserved: a guest's memory that finds none would kill its VMM.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom, copy_file_range, fallocate, flock, ftruncate, seek};
use rustix::io::Errno;

use super::finish::LAST;
use super::lent::Lent;
use super::store::{ImageStore, Kept, RAM, boot_id};

const SPARE: &str = "spare-";
const UNFINISHED: &str = ".new";
/// A spare is made where at least so many of it have room.
const ROOM_FOR: u64 = 3;

impl Kept {
    /// Gives a machine its own names of the parts, but of the memory a copy of its own.
    pub(crate) fn lend_with_own_ram(&self, to: &Path) -> io::Result<Lent> {
        let lent = self.lend_parts(to)?;
        if !take(&self.spare(), &lent.own_ram)? {
            copy(&self.folder.join(RAM), &lent.own_ram)?;
        }
        reserve(&lent.own_ram)?;
        Ok(lent)
    }

    /// Makes the spare copy, unless it is there or somebody makes it. Answers whether this call did.
    pub(crate) fn make_spare(&self) -> io::Result<bool> {
        let turn = File::open(&self.folder)?;
        match flock(&turn, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let spare = self.spare();
        self.sweep_spares()?;
        if spare.exists() || !self.has_room()? {
            return Ok(false);
        }
        let unfinished = spare.with_extension(UNFINISHED.trim_start_matches('.'));
        let made = copy(&self.folder.join(RAM), &unfinished).and_then(|()| fs::rename(&unfinished, &spare));
        if made.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        made.map(|()| true)
    }

    /// Where the spare copy is, if there is one.
    pub(super) fn spare(&self) -> PathBuf {
        self.folder.join(format!("{SPARE}{}", boot_id().trim()))
    }

    /// Removes what an earlier boot of the host or a killed maker left. Whoever calls has the turn.
    fn sweep_spares(&self) -> io::Result<()> {
        let spare = self.spare();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_spare = entry.file_name().to_string_lossy().starts_with(SPARE);
            if is_spare && entry.path() != spare {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn has_room(&self) -> io::Result<bool> {
        let facts = rustix::fs::statvfs(&self.folder)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize) >= self.manifest.ram.bytes.saturating_mul(ROOM_FOR))
    }
}

impl ImageStore {
    /// Makes an image's spare copy in a thread of its own, for which nobody waits.
    pub(crate) fn spare_apart(self: &Arc<Self>, kept: Kept) {
        let work = move || {
            // Refused where it is as nice as can be.
            let _ = rustix::process::nice(LAST);
            match kept.make_spare() {
                Ok(true) => tracing::debug!(image = %kept.id, "a spare copy of an image's memory is ready"),
                Ok(false) => {}
                Err(error) => tracing::info!(image = %kept.id, %error, "no spare copy of an image's memory"),
            }
        };
        if let Err(error) = std::thread::Builder::new().name("spare".to_owned()).spawn(work) {
            tracing::warn!(%error, "no spare copy of an image's memory");
        }
    }
}

/// Takes a spare copy, if there is one that nobody else has: whoever copies a home by hard links has it, too.
fn take(spare: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(spare, to) {
        Ok(()) if fs::metadata(to)?.nlink() == 1 => Ok(true),
        Ok(()) => fs::remove_file(to).map(|()| false),
        Err(error) if is_no_spare(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// No spare, or one that cannot be moved to where it is needed.
fn is_no_spare(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::CrossesDevices)
}

/// Copies a file for its owner alone, to where none is; what is not there of it is not there of the copy either.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let copied = copy_content(&source, &target);
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    copied
}

fn copy_content(source: &File, target: &File) -> io::Result<()> {
    // Where the file system can, both have the same blocks until one of them changes.
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    let length = source.metadata()?.len();
    ftruncate(target, length)?;
    let mut at = 0;
    loop {
        at = match seek(source, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = seek(source, SeekFrom::Hole(at))?;
        copy_range(source, target, at, end)?;
        at = end;
    }
}

fn copy_range(source: &File, target: &File, from: u64, to: u64) -> io::Result<()> {
    let (mut read, mut written) = (from, from);
    while read < to {
        let left = usize::try_from(to - read).unwrap_or(usize::MAX);
        match copy_file_range(source, Some(&mut read), target, Some(&mut written), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return copy_by_hand(source, target, read, to);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// For file systems between which the kernel does not copy.
fn copy_by_hand(source: &File, target: &File, from: u64, to: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let (mut at, mut chunk) = (from, vec![0; 1 << 20]);
    while at < to {
        let most = usize::try_from(to - at).unwrap_or(usize::MAX).min(chunk.len());
        match source.read_at(&mut chunk[..most], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                target.write_all_at(&chunk[..read], at)?;
                at += u64::try_from(read).unwrap_or(u64::MAX);
            }
        }
    }
    Ok(())
}

/// All its room is its own from here on. Not every file system can promise that.
fn reserve(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let file = File::options().write(true).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, file.metadata()?.len()) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// Memory of which little is used: two places in 64 MiB.
    fn sparse(path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"first", 5 << 20).unwrap();
        file.write_all_at(b"last", (64 << 20) - 4).unwrap();
    }

    #[test]
    fn a_copy_has_the_same_content_and_the_same_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("ram"), folder.path().join("own"));
        sparse(&from);
        copy(&from, &to).unwrap();
        assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
        let facts = fs::metadata(&to).unwrap();
        assert!(facts.blocks() * 512 < 4 << 20, "{}", facts.blocks());
        assert_eq!(facts.mode() & 0o777, 0o600);
        reserve(&to).unwrap();
        assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
        assert!(fs::metadata(&to).unwrap().blocks() * 512 >= 64 << 20, "its room is its own");
    }

    #[test]
    fn what_the_kernel_does_not_copy_is_copied_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("ram"), folder.path().join("own"));
        sparse(&from);
        let (source, target) = (File::open(&from).unwrap(), File::create(&to).unwrap());
        target.set_len(64 << 20).unwrap();
        copy_by_hand(&source, &target, 0, 64 << 20).unwrap();
        assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
        assert!(copy_by_hand(&source, &target, 0, 65 << 20).is_err(), "a file that is too short is said");
    }
}
