//! The images on the host's disk: found by key, sealed, lent to machines, removed. Blocking.
//!
//! ```text
//! <root>/<hex of the id>/{ram, state, disk.qcow2, manifest.json, verified, spare-<boot>: see own.rs}
//! <root>/unfinished-*        being made, or being removed; a living one is locked
//! <root>/making              locked while an image is made: one at a time, across servers
//!
//! unfinished ──keep: manifest, rename──▶ fresh ──finish.rs: sync, digest, manifest──▶ sealed
//!                                          │ the host boots                            │ a digest differs
//!                                          └──────────────remove: rename───────────────┴──▶ unfinished ──▶ gone
//! ```
//! A fresh image serves this boot of the host alone, since what of its memory is on the disk nobody knows; a
//! sealed one was synced before its digests were written down.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use machine_core::Digest;
use rustix::fs::{FlockOperation, flock};

use super::key::Key;
use super::manifest::{Content, Facts, Manifest, Part};

/// The guest's memory.
pub(crate) const RAM: &str = "ram";
/// The state of its devices.
pub(crate) const STATE: &str = "state";
/// Its root disk, over the template's.
pub(crate) const DISK: &str = "disk.qcow2";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const VERIFIED: &str = "verified";
const UNFINISHED: &str = "unfinished-";
const MAKING: &str = "making";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// See the module.
pub(crate) struct ImageStore {
    pub(super) root: PathBuf,
    /// One reader of a whole image at a time: the others find it read.
    reading: Mutex<()>,
    /// Held while an image's folder is given another name, or its manifest is replaced.
    pub(super) changing: Mutex<()>,
}

/// An image that is whole.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) id: Digest,
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
}

/// A part that is not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {what}")]
pub(crate) struct Damage {
    /// The file's name.
    pub(crate) part: &'static str,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// A folder in which an image is made. Dropped before it is kept, it is removed.
#[derive(Debug)]
pub(crate) struct Unfinished {
    folder: PathBuf,
    lock: File,
    kept: bool,
}

/// How thoroughly an image is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Manifest, lengths, and whether a fresh part is the one that was made.
    Lengths,
    /// Also the state's digest; every digest at the first use since the host booted.
    ForUse,
    /// Every digest.
    Whole,
}

impl ImageStore {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, reading: Mutex::default(), changing: Mutex::default() }
    }

    /// Removes what a killed maker or remover left.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for name in self.names()?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            let path = self.root.join(name);
            if lock(&path).is_ok_and(|lock| lock.is_some()) {
                tracing::info!(folder = %path.display(), "removing an unfinished memory image");
                remove_folder(&path)?;
            }
        }
        Ok(())
    }

    /// Waits until nobody else makes an image, and keeps others from it.
    pub(crate) fn take_turn(&self) -> io::Result<File> {
        make_folder(&self.root)?;
        let file = File::options().create(true).append(true).open(self.root.join(MAKING))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    /// A folder to make an image in.
    pub(crate) fn begin(&self, id: &Digest) -> io::Result<Unfinished> {
        make_folder(&self.root)?;
        let folder = self.root.join(format!("{UNFINISHED}{}-{}", std::process::id(), id.hex()));
        remove_folder(&folder)?;
        make_folder(&folder)?;
        let held = lock(&folder)?.ok_or_else(|| io::Error::other("somebody holds a folder of ours"))?;
        // Without a link in it: the name will stand in a disk's header.
        Ok(Unfinished { folder: folder.canonicalize()?, lock: held, kept: false })
    }

    /// Makes what is in the folder an image, to be finished later; one of the same id is replaced.
    pub(crate) fn keep(&self, mut made: Unfinished, facts: Facts) -> io::Result<Kept> {
        // Machines stand on it for good, also after a power cut that takes this image away.
        File::open(made.folder.join(DISK))?.sync_all()?;
        let [ram, state, disk] = [RAM, STATE, DISK].map(|part| fresh_part(&made.folder.join(part)));
        let manifest = Manifest::new(facts, ram?, state?, disk?);
        fs::write(made.folder.join(MANIFEST), manifest.sealed())?;
        let id = manifest.key.id();
        let folder = self.root.join(id.hex());
        if folder.exists() {
            self.remove(&id)?;
        }
        fs::rename(&made.folder, &folder)?;
        made.kept = true;
        Ok(Kept { id, folder, manifest })
    }

    /// The image of a key.
    pub(crate) fn find(&self, key: &Key, check: Check) -> Result<Option<Kept>, Damage> {
        let id = key.id();
        let kept = self.open(&id, check)?;
        match kept {
            Some(kept) if kept.manifest.key != *key => Err(damage(MANIFEST, "it is another image's")),
            found => Ok(found),
        }
    }

    /// The image by this name.
    pub(crate) fn open(&self, id: &Digest, check: Check) -> Result<Option<Kept>, Damage> {
        let folder = self.root.join(id.hex());
        let bytes = match fs::read(folder.join(MANIFEST)) {
            Ok(bytes) => bytes,
            Err(_) if !folder.exists() => return Ok(None),
            Err(error) => return Err(damage(MANIFEST, error)),
        };
        let manifest = Manifest::open(&bytes).map_err(|what| damage(MANIFEST, what))?;
        if manifest.key.id() != *id {
            return Err(damage(MANIFEST, "it is another image's"));
        }
        let kept = Kept { id: id.clone(), folder, manifest };
        kept.check(check, &self.reading)?;
        Ok(Some(kept))
    }

    /// The names of all images.
    pub(crate) fn ids(&self) -> io::Result<Vec<Digest>> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| format!("sha256:{name}").parse().ok()).collect())
    }

    /// Takes an image away at once, whatever state it is in; what was lent stays. Answers whether it was there.
    pub(crate) fn remove(&self, id: &Digest) -> io::Result<bool> {
        let gone = self.root.join(format!("{UNFINISHED}gone-{}-{}", std::process::id(), id.hex()));
        remove_folder(&gone)?;
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::rename(self.root.join(id.hex()), &gone) {
            Ok(()) => remove_folder(&gone).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        match fs::read_dir(&self.root) {
            Ok(entries) => Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Kept {
    fn check(&self, check: Check, reading: &Mutex<()>) -> Result<(), Damage> {
        for (name, part) in self.parts() {
            let found = fs::metadata(self.folder.join(name)).map_err(|error| damage(name, error))?.len();
            if found != part.bytes {
                return Err(damage(name, format!("it has {found} bytes instead of {}", part.bytes)));
            }
        }
        for (name, part) in self.parts().into_iter().filter(|(_, part)| part.is_fresh()) {
            self.compare(name, part)?;
        }
        match check {
            Check::Lengths => Ok(()),
            Check::ForUse => {
                self.compare(STATE, &self.manifest.state)?;
                if self.manifest.is_fresh() {
                    return Ok(());
                }
                let _turn = reading.lock().unwrap_or_else(PoisonError::into_inner);
                if self.is_verified() { Ok(()) } else { self.verify() }
            }
            Check::Whole => self.verify(),
        }
    }

    /// Reads everything, and notes for which boot of the host it was found right.
    fn verify(&self) -> Result<(), Damage> {
        for (name, part) in self.parts() {
            self.compare(name, part)?;
        }
        if let Err(error) = fs::write(self.folder.join(VERIFIED), boot_id()) {
            tracing::debug!(%error, "an image's check cannot be noted; it is checked again");
        }
        Ok(())
    }

    fn compare(&self, name: &'static str, part: &Part) -> Result<(), Damage> {
        let path = self.folder.join(name);
        let (found, why) = match &part.content {
            Content::Sealed { .. } => (Part::sealed(&path), "its digest is not what was sealed"),
            Content::Fresh { .. } => {
                (Part::fresh(&path, &boot_id()), "the host was booted, or the file changed, before it was sealed")
            }
        };
        let same = found.map_err(|error| damage(name, error))? == *part && part.boot() != Some("");
        if same { Ok(()) } else { Err(damage(name, why)) }
    }

    fn is_verified(&self) -> bool {
        let boot = boot_id();
        !boot.is_empty() && fs::read_to_string(self.folder.join(VERIFIED)).is_ok_and(|noted| noted == boot)
    }

    fn parts(&self) -> [(&'static str, &Part); 3] {
        [(RAM, &self.manifest.ram), (STATE, &self.manifest.state), (DISK, &self.manifest.disk)]
    }

    /// Bytes on the host's disk.
    pub(crate) fn occupies(&self) -> u64 {
        let blocks = |path: PathBuf| fs::metadata(path).map_or(0, |facts| facts.blocks() * 512);
        let parts = [RAM, STATE, DISK].map(|name| blocks(self.folder.join(name)));
        parts.iter().sum::<u64>() + blocks(self.spare())
    }

    /// How many machines have a name of its disk.
    pub(crate) fn machines(&self) -> u64 {
        fs::metadata(self.folder.join(DISK)).map_or(0, |facts| facts.nlink().saturating_sub(1))
    }
}

impl Unfinished {
    /// Where the parts are made.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = remove_folder(&self.folder)
        {
            tracing::warn!(%error, folder = %self.folder.display(), "cannot remove an unfinished image");
        }
        // Closed after the folder is gone: nobody else sweeps it meanwhile.
        let _ = &self.lock;
    }
}

pub(super) fn damage(part: &'static str, what: impl ToString) -> Damage {
    Damage { part, what: what.to_string() }
}

/// Read-only: from here on it never changes.
fn fresh_part(path: &Path) -> io::Result<Part> {
    fs::set_permissions(path, Permissions::from_mode(0o444))?;
    Part::fresh(path, &boot_id())
}

pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The lock of a folder; `None` if somebody has it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = File::open(folder)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default()
}
