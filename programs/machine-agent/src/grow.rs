//! Lets the root file system use all of its disk, if the disk grew. Never fails the boot.

use super::root::is_writable;
use crate::console::say;
use crate::sys;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;

const SUPERBLOCK: u64 = 1024;
const MAGIC: [u8; 2] = [0x53, 0xef];
const SECTOR: u64 = 512;
const INCOMPAT_64BIT: u32 = 0x80;

/// Grows the mounted root, if it is an ext4 that is smaller than its disk.
pub(super) fn root() {
    if let Err(error) = try_grow() {
        say(format_args!("cannot grow the root file system: {error}"));
    }
}

fn try_grow() -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let device = mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ');
        let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (place == "/" && kind == "ext4").then_some(device)
    });
    let Some(device) = device.filter(|_| is_writable()) else { return Ok(()) };
    let name = device.rsplit('/').next().unwrap_or(device);
    let sectors = fs::read_to_string(format!("/sys/class/block/{name}/size"))?;
    let bytes = sectors.trim().parse::<u64>().unwrap_or(0).saturating_mul(SECTOR);
    let mut disk = File::open(device)?;
    disk.seek(SeekFrom::Start(SUPERBLOCK))?;
    let mut superblock = [0; 1024];
    disk.read_exact(&mut superblock)?;
    match wanted_blocks(&superblock, bytes) {
        Some(blocks) => sys::grow_ext4(File::open("/")?.as_fd(), blocks),
        None => Ok(()),
    }
}

/// How many blocks the file system should have, if that is more than it has.
fn wanted_blocks(superblock: &[u8; 1024], disk_bytes: u64) -> Option<u64> {
    let word =
        |at: usize| u32::from_le_bytes([superblock[at], superblock[at + 1], superblock[at + 2], superblock[at + 3]]);
    if superblock[0x38..0x3a] != MAGIC {
        return None;
    }
    let block = 1024_u64.checked_shl(word(0x18)).filter(|block| (1024..=65536).contains(block))?;
    let high = if word(0x60) & INCOMPAT_64BIT == 0 { 0 } else { word(0x150) };
    let has = u64::from(high) << 32 | u64::from(word(0x4));
    let wants = disk_bytes / block;
    (wants > has).then_some(wants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_grows_to_its_disk_and_never_shrinks() {
        let mut superblock = [0; 1024];
        superblock[0x38..0x3a].copy_from_slice(&MAGIC);
        superblock[0x18] = 2;
        superblock[0x4] = 100;
        assert_eq!(wanted_blocks(&superblock, 4096 * 200 + 5), Some(200));
        assert_eq!(wanted_blocks(&superblock, 4096 * 100), None);
        assert_eq!(wanted_blocks(&superblock, 4096 * 50), None);
        assert_eq!(wanted_blocks(&[0; 1024], 4096 * 200), None);
    }
}
