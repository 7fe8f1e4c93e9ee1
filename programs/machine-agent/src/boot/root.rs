//! From the initramfs to the real root file system, in the same process.

use super::{BootError, LOOK_AGAIN, pause};
use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount as attach, mount_move};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const NEW_ROOT: &str = "/root";
const PATIENCE: Duration = Duration::from_secs(10);
const RAMFS_MAGIC: u64 = 0x8584_58f6;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Waits until the device is there: its driver may still be looking at it.
pub(super) fn wait_for(device: &Path) -> Result<(), BootError> {
    let until = Instant::now() + PATIENCE;
    while !device.exists() {
        if Instant::now() >= until {
            return Err(BootError::NoRoot { device: device.to_owned() });
        }
        pause(LOOK_AGAIN);
    }
    Ok(())
}

/// Mounts the root file system where it can be switched to.
pub(super) fn mount(device: &Path, kind: &str) -> Result<(), BootError> {
    let error = |source: io::Error| BootError::Mount { what: device.display().to_string(), source };
    fs::create_dir_all(NEW_ROOT).map_err(error)?;
    attach(device, NEW_ROOT, kind, MountFlags::empty(), options(kind)).map_err(|source| error(source.into()))
}

/// A file system that grew would zero its new inode tables in the background, on a disk that is zero already,
/// and would go on with it in every machine that is made of its image.
fn options(kind: &str) -> &'static CStr {
    match kind {
        "ext4" => c"noinit_itable,no_prefetch_block_bitmaps",
        _ => c"",
    }
}

/// Makes it the root.
pub(super) fn switch() -> Result<(), BootError> {
    switch_root().map_err(|source| BootError::Switch { source })
}

fn switch_root() -> io::Result<()> {
    for place in ["dev", "proc", "sys"] {
        let new = format!("{NEW_ROOT}/{place}");
        fs::create_dir_all(&new)?;
        mount_move(format!("/{place}"), &new)?;
    }
    if is_in_memory("/") {
        free_initramfs();
    }
    std::env::set_current_dir(NEW_ROOT)?;
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")
}

fn is_in_memory(path: &str) -> bool {
    let magic = statfs(path).ok().and_then(|found| u64::try_from(found.f_type).ok());
    magic.is_some_and(|magic| magic == RAMFS_MAGIC || magic == TMPFS_MAGIC)
}

/// Its memory is for the guest. We ourselves stay: our pages are in use anyway.
fn free_initramfs() {
    let Ok(device) = fs::metadata("/").map(|root| root.dev()) else { return };
    for entry in fs::read_dir("/").into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.dev() != device || path == Path::new("/init") || path == Path::new(NEW_ROOT) {
            continue;
        }
        // What cannot be removed costs a little memory, no more.
        let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_default();
    }
}
