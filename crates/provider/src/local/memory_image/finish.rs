//! Seals images that were just made: brings their parts to the disk and digests them, while machines are made
//! of them already. Blocking, and long: as long as a disk takes for a guest's memory.
//!
//! ```text
//! fresh ──parts synced, read──▶ manifest replaced ──▶ sealed
//!   │ killed: the next server begins anew     └─ no room for it: fresh still, tried again
//!   └─ removed or replaced meanwhile: nothing
//! ```
//! The manifest with the digests is written last, so whoever finds it finds whole parts on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use machine_core::Digest;

use super::manifest::{Manifest, Part};
use super::store::{Check, DISK, Damage, ImageStore, MANIFEST, RAM, STATE, VERIFIED, boot_id, damage};

/// Everything else goes first.
pub(super) const LAST: i32 = 19;
/// The manifest that is being written.
const NEXT: &str = "manifest.json.next";

/// What became of an image that was to be sealed.
#[derive(Debug)]
pub(crate) enum Finish {
    /// It is.
    Sealed,
    /// It is not there any more, or it is another.
    Gone,
    /// It is as fresh as it was: its manifest could not be written.
    Later(io::Error),
}

impl ImageStore {
    /// Seals every fresh image in a thread of its own, for which nobody waits: not even a server that ends.
    pub(crate) fn finish_apart(self: Arc<Self>) {
        let work = move || {
            // Refused where it is as nice as can be.
            let _ = rustix::process::nice(LAST);
            for id in self.ids().unwrap_or_default().iter().filter(|id| self.is_fresh(id)) {
                self.finish_or_remove(id);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("seal".to_owned()).spawn(work) {
            tracing::warn!(%error, "memory images are sealed later");
        }
    }

    /// Whether an image waits for its digests, as far as can be read.
    fn is_fresh(&self, id: &Digest) -> bool {
        let manifest = fs::read(self.root.join(id.hex()).join(MANIFEST));
        manifest.is_ok_and(|bytes| Manifest::open(&bytes).is_ok_and(|manifest| manifest.is_fresh()))
    }

    fn finish_or_remove(&self, id: &Digest) {
        match self.finish(id) {
            Ok(Finish::Sealed) => tracing::info!(image = %id, "a memory image is sealed"),
            Ok(Finish::Gone) => {}
            Ok(Finish::Later(error)) => tracing::warn!(image = %id, %error, "a memory image is sealed later"),
            Err(damage) => {
                tracing::warn!(image = %id, %damage, "a memory image cannot be sealed; it is removed");
                if let Err(error) = self.remove(id) {
                    tracing::warn!(image = %id, %error, "cannot remove a memory image");
                }
            }
        }
    }

    /// Seals an image, if it is fresh. `Err`: it cannot be trusted, and must go.
    pub(crate) fn finish(&self, id: &Digest) -> Result<Finish, Damage> {
        let folder = self.root.join(id.hex());
        // Held open, so that no other folder can be taken for it.
        let Ok(held) = File::open(&folder) else { return Ok(Finish::Gone) };
        match self.finish_in(&held, &folder, id) {
            Err(_) if !is_still(&held, &folder) => Ok(Finish::Gone),
            finished => finished,
        }
    }

    fn finish_in(&self, held: &File, folder: &Path, id: &Digest) -> Result<Finish, Damage> {
        let Some(kept) = self.open(id, Check::Lengths)? else { return Ok(Finish::Gone) };
        if !kept.manifest.is_fresh() {
            return Ok(Finish::Sealed);
        }
        let sealed = [RAM, STATE, DISK].map(|name| seal_part(&folder.join(name)).map_err(|error| (name, error)));
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_still(held, folder) {
            return Ok(Finish::Gone);
        }
        let [ram, state, disk] = sealed.map(|part| part.map_err(|(name, error)| damage(name, error)));
        // Read again as it was made: nothing was sealed that changed meanwhile.
        let Some(kept) = self.open(id, Check::Lengths)? else { return Ok(Finish::Gone) };
        let manifest = kept.manifest.with_parts([ram?, state?, disk?]);
        match self.replace(held, folder, &manifest) {
            Ok(()) => Ok(Finish::Sealed),
            Err(error) => {
                let _ = fs::remove_file(folder.join(NEXT));
                Ok(Finish::Later(error))
            }
        }
    }

    fn replace(&self, held: &File, folder: &Path, manifest: &Manifest) -> io::Result<()> {
        // Its name, and the parts' names in it.
        File::open(&self.root)?.sync_all()?;
        held.sync_all()?;
        let mut next = File::create(folder.join(NEXT))?;
        next.write_all(&manifest.sealed())?;
        next.sync_all()?;
        fs::rename(folder.join(NEXT), folder.join(MANIFEST))?;
        held.sync_all()?;
        if let Err(error) = fs::write(folder.join(VERIFIED), boot_id()) {
            tracing::debug!(%error, "an image's check cannot be noted; it is checked again");
        }
        Ok(())
    }
}

/// On the disk, and read whole.
fn seal_part(path: &Path) -> io::Result<Part> {
    File::open(path)?.sync_all()?;
    Part::sealed(path)
}

fn is_still(held: &File, folder: &Path) -> bool {
    match (held.metadata(), fs::metadata(folder)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        (Err(_), _) | (_, Err(_)) => false,
    }
}
