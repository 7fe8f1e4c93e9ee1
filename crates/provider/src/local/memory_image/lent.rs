//! What of an image a machine has: its own names of the parts, so that it needs the image's folder no more.
//!
//! ```text
//! ram, state, disk ──boots──▶ disk ──given back──▶ nothing        own-ram in place of ram: see own.rs
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use machine_hypervisor::boot_plan::Backing;

use super::manifest::Manifest;
use super::store::{DISK, Kept, MANIFEST, RAM, STATE, make_folder, remove_folder};

/// A machine's own copy of the memory.
const OWN_RAM: &str = "own-ram";

/// A machine's own names of its image's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lent {
    pub(crate) ram: PathBuf,
    /// In place of `ram`, where the machine writes to it: never a name of the image's.
    pub(crate) own_ram: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) disk: PathBuf,
}

impl Lent {
    /// The names that `lend` makes there.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let [ram, own_ram, state, disk] = [RAM, OWN_RAM, STATE, DISK].map(|name| folder.join(name));
        Self { ram, own_ram, state, disk }
    }

    /// What the memory of a machine that runs is made of, as far as these names tell.
    pub(crate) fn backing(&self) -> Backing {
        if self.own_ram.exists() {
            Backing::Kept(self.own_ram.clone())
        } else if self.ram.exists() {
            Backing::Image(self.ram.clone())
        } else {
            Backing::Anonymous
        }
    }

    /// Whether a machine that runs was restored on them.
    pub(crate) fn is_restored(&self) -> bool {
        self.state.exists()
    }

    /// Forgets the memory that nobody else has, of a machine that is off.
    pub(crate) fn forget_own_ram(folder: &Path) -> io::Result<()> {
        remove_file(&Self::in_folder(folder).own_ram)
    }

    /// What the image knew of its guest; nothing, if that cannot be read.
    pub(crate) fn ssh_host_keys(folder: &Path) -> Vec<String> {
        let manifest = fs::read(folder.join(MANIFEST)).ok().and_then(|bytes| Manifest::open(&bytes).ok());
        manifest.map(|manifest| manifest.ssh_host_keys).unwrap_or_default()
    }

    /// Forgets all of it.
    pub(crate) fn give_back(folder: &Path) -> io::Result<()> {
        remove_folder(folder)
    }

    /// Forgets the memory: a guest that booted on the disk has its own.
    pub(crate) fn keep_disk_alone(folder: &Path) -> io::Result<()> {
        let lent = Self::in_folder(folder);
        [lent.ram, lent.own_ram, lent.state].iter().try_for_each(|path| remove_file(path))
    }
}

impl Kept {
    /// Gives a machine its own names of the parts, so that it needs this folder no more.
    pub(crate) fn lend(&self, to: &Path) -> io::Result<Lent> {
        let lent = self.lend_parts(to)?;
        share(&self.folder.join(RAM), &lent.ram)?;
        Ok(lent)
    }

    /// All but the memory.
    pub(super) fn lend_parts(&self, to: &Path) -> io::Result<Lent> {
        remove_folder(to)?;
        make_folder(to)?;
        let lent = Lent::in_folder(to);
        for (name, target) in [(STATE, &lent.state), (DISK, &lent.disk)] {
            share(&self.folder.join(name), target)?;
        }
        share(&self.folder.join(MANIFEST), &to.join(MANIFEST))?;
        Ok(lent)
    }
}

/// A second name of a file; on another file system, a copy of the disk and a link to the rest, which a
/// machine needs only while it starts.
fn share(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => match to.file_name() {
            Some(name) if name == DISK || name == MANIFEST => fs::copy(from, to).map(drop),
            Some(_) | None => std::os::unix::fs::symlink(from.canonicalize()?, to),
        },
        shared => shared,
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
