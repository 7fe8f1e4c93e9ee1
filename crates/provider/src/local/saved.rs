//! What a machine was hibernated with, in its folder: written aside, synced, then given its name, so that it is whole or
//! not there. Blocking.
//!
//! ```text
//! nothing ──begin──▶ saving/ (state, pages) ──keep──▶ saved/ ──forget──▶ nothing
//!                      └── killed or failed: removed by the next begin
//! saved/state          the state of the devices
//! saved/pages          the memory's pages that are not its base's; see hypervisor `memory/`
//! saved/manifest.json  what they are, what they depend on, and its own digest
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::machine::Generation;
use machine_core::{Digest, MachineId};
use machine_hypervisor::ingredients::Ingredients;
use machine_hypervisor::memory::SavedPages;
use serde::{Deserialize, Serialize};

use super::memory_image::{digest, make_folder, remove_folder};

const SAVED: &str = "saved";
const SAVING: &str = "saving";
const GONE: &str = "saved.gone";
const STATE: &str = "state";
const PAGES: &str = "pages";
const MANIFEST: &str = "manifest.json";
/// The format that this build writes; it reads no other.
const FORMAT: u32 = 1;

/// The place of one machine's saved memory.
pub(super) struct Saves(PathBuf);

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    pub(super) machine: MachineId,
    /// The launch that was saved.
    pub(super) generation: Generation,
    pub(super) saved_at: Timestamp,
    /// The disk's layer that the memory knows.
    pub(super) disk: String,
    /// What the pages lie over.
    pub(super) base: Base,
    pub(super) pages: SavedPages,
    pub(super) state: Digest,
    /// What it was saved by.
    pub(super) hypervisor: Ingredients,
}

/// Memory that pages are laid over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Base {
    /// The memory image that the machine was made of, by its own name of it.
    Image,
    /// Zeros: the guest booted.
    Zeros,
}

/// What is known before it is kept.
pub(super) struct Facts {
    pub(super) machine: MachineId,
    pub(super) generation: Generation,
    pub(super) saved_at: Timestamp,
    pub(super) disk: String,
    pub(super) base: Base,
    pub(super) pages: SavedPages,
    pub(super) hypervisor: Ingredients,
}

/// Saved memory that is there.
#[derive(Debug)]
pub(super) struct Saved {
    folder: PathBuf,
    pub(super) manifest: Manifest,
}

impl Saves {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Makes room for a new save. What is there already stays until the new one is kept.
    pub(super) fn begin(&self) -> io::Result<Saving> {
        let folder = self.0.join(SAVING);
        remove_folder(&folder)?;
        make_folder(&folder)?;
        Ok(Saving { folder, place: self.0.clone() })
    }

    /// What is there; what is wrong with it, for people.
    pub(super) fn open(&self) -> Result<Option<Saved>, String> {
        let folder = self.0.join(SAVED);
        let bytes = match fs::read(folder.join(MANIFEST)) {
            Ok(bytes) => bytes,
            Err(_) if !folder.exists() => return Ok(None),
            Err(error) => return Err(format!("{MANIFEST}: {error}")),
        };
        let manifest = Manifest::open(&bytes).map_err(|what| format!("{MANIFEST}: {what}"))?;
        Ok(Some(Saved { folder, manifest }))
    }

    /// Removes it, and what is left of an unfinished one. Of nothing: nothing.
    pub(super) fn forget(&self) -> io::Result<()> {
        let gone = self.0.join(GONE);
        remove_folder(&gone)?;
        // At once, so that no half of it is ever found.
        match fs::rename(self.0.join(SAVED), &gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        remove_folder(&gone)?;
        remove_folder(&self.0.join(SAVING))
    }
}

/// A save in the making.
pub(super) struct Saving {
    folder: PathBuf,
    place: PathBuf,
}

impl Saving {
    pub(super) fn state(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    pub(super) fn pages(&self) -> PathBuf {
        self.folder.join(PAGES)
    }

    /// Makes it what the machine is resumed with. All of it is on the disk then.
    pub(super) fn keep(self, facts: Facts) -> io::Result<()> {
        let state = self.state();
        File::open(&state)?.sync_all()?;
        let manifest = Manifest::new(facts, digest::of_file(&state)?);
        let mut file = File::create(self.folder.join(MANIFEST))?;
        file.write_all(&manifest.sealed())?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Saves(self.place.clone()).forget_earlier()?;
        fs::rename(&self.folder, self.place.join(SAVED))?;
        File::open(&self.place)?.sync_all()
    }
}

impl Saves {
    /// One that was left by a resume that is on record as done.
    fn forget_earlier(&self) -> io::Result<()> {
        remove_folder(&self.0.join(SAVED))
    }
}

impl Saved {
    pub(super) fn state(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    pub(super) fn pages(&self) -> PathBuf {
        self.folder.join(PAGES)
    }

    /// Whether the state is what was saved. The pages are looked at while they are laid.
    pub(super) fn check_state(&self) -> Result<(), String> {
        match digest::of_file(&self.state()) {
            Ok(found) if found == self.manifest.state => Ok(()),
            Ok(_) => Err(format!("{STATE}: its digest is not what was saved")),
            Err(error) => Err(format!("{STATE}: {error}")),
        }
    }
}

impl Manifest {
    fn new(facts: Facts, state: Digest) -> Self {
        let Facts { machine, generation, saved_at, disk, base, pages, hypervisor } = facts;
        Self { format: FORMAT, machine, generation, saved_at, disk, base, pages, state, hypervisor }
    }

    fn sealed(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("a manifest has no maps");
        digest::seal(&text)
    }

    fn open(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(digest::unseal(bytes)?).map_err(|error| error.to_string())?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(format!("its format is {other}; this version reads {FORMAT}")),
        }
    }

    /// What keeps this host from going on with it, for people. The same or a newer version of the hypervisor does; the
    /// kernel's command line was read long ago.
    pub(super) fn differences(&self, now: &Ingredients) -> Vec<String> {
        let both = self.hypervisor.facts().into_iter().zip(now.facts());
        let differ = both.filter_map(|((name, saved), (_, now))| match name {
            "kernel command line" => None,
            "version" if is_as_new(&saved, &now) => None,
            _ if saved == now => None,
            "devices" => Some("devices".to_owned()),
            _ => Some(format!("{name}: {saved}, now {now}")),
        });
        differ.collect()
    }
}

/// Whether a version is not older than another; what stands behind the numbers is a package's business.
fn is_as_new(saved: &str, now: &str) -> bool {
    fn numbers(version: &str) -> Vec<u32> {
        let first = version.split_whitespace().next().unwrap_or_default();
        first.split('.').map_while(|number| number.parse().ok()).collect()
    }
    let (saved, now) = (numbers(saved), numbers(now));
    !saved.is_empty() && now >= saved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingredients() -> Ingredients {
        Ingredients {
            hypervisor: "qemu".to_owned(),
            version: "10.0.2 (Debian 1:10.0.2)".to_owned(),
            accelerator: "tcg".to_owned(),
            machine_type: "pc-q35-10.0".to_owned(),
            cpu_model: "max".to_owned(),
            memory: "256 MiB".to_owned(),
            cpus: "1".to_owned(),
            command_line: "quiet".to_owned(),
            tsc_khz: String::new(),
            devices: vec!["virtio-rng".to_owned()],
        }
    }

    fn facts(generation: u64) -> Facts {
        let digest = digest::of_bytes(b"pages");
        Facts {
            machine: MachineId::from_entropy(&[7; machine_core::id::ID_ENTROPY]),
            generation: Generation(generation),
            saved_at: Timestamp::UNIX_EPOCH,
            disk: "root.qcow2".to_owned(),
            base: Base::Image,
            pages: SavedPages { bytes: 5, digest, pages: 1, zero_pages: 0 },
            hypervisor: ingredients(),
        }
    }

    fn keep(saves: &Saves, generation: u64) {
        let saving = saves.begin().unwrap();
        fs::write(saving.state(), "state").unwrap();
        fs::write(saving.pages(), "pages").unwrap();
        saving.keep(facts(generation)).unwrap();
    }

    #[test]
    fn it_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let saves = Saves::in_folder(folder.path());
        assert!(saves.open().unwrap().is_none());
        let unfinished = saves.begin().unwrap();
        fs::write(unfinished.state(), "half").unwrap();
        assert!(saves.open().unwrap().is_none());
        keep(&saves, 3);
        let saved = saves.open().unwrap().unwrap();
        assert_eq!(saved.manifest.generation, Generation(3));
        saved.check_state().unwrap();
        keep(&saves, 4);
        assert_eq!(saves.open().unwrap().unwrap().manifest.generation, Generation(4));
        saves.forget().unwrap();
        saves.forget().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_flipped_bit_is_found_in_state_and_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let saves = Saves::in_folder(folder.path());
        keep(&saves, 3);
        fs::write(saves.open().unwrap().unwrap().state(), "stbte").unwrap();
        let what = saves.open().unwrap().unwrap().check_state().unwrap_err();
        assert!(what.contains("state"), "{what}");
        let manifest = folder.path().join("saved/manifest.json");
        let whole = fs::read(&manifest).unwrap();
        for place in [5, whole.len() / 2, whole.len() - 10] {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&manifest, flipped).unwrap();
            assert!(saves.open().unwrap_err().contains("manifest.json"), "{place}");
        }
    }

    #[test]
    fn a_newer_hypervisor_does_and_an_older_one_does_not() {
        let manifest = Manifest::new(facts(1), digest::of_bytes(b"state"));
        let with = |version: &str| Ingredients { version: version.to_owned(), ..ingredients() };
        for newer in ["10.0.2 (Debian 1:10.0.2-3)", "10.1.0 (Debian)", "11.0"] {
            assert_eq!(manifest.differences(&with(newer)), Vec::<String>::new(), "{newer}");
        }
        for older in ["10.0.1 (Debian)", "9.2.4", "unknown"] {
            assert_eq!(manifest.differences(&with(older)).len(), 1, "{older}");
        }
        let other = Ingredients { machine_type: "pc-q35-9.2".to_owned(), cpus: "2".to_owned(), ..ingredients() };
        let told = manifest.differences(&other).join("; ");
        assert_eq!(told, "machine type: pc-q35-10.0, now pc-q35-9.2; cpus: 1, now 2");
    }
}
