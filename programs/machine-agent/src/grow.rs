//! Lets the root file system use all of its disk, if the disk grew.

use crate::console::say;
use crate::failure::failed;
use crate::{rights, sys};
use machine_agent_protocol::{Failed, FailureCode};
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::time::Duration;
use tokio::time::Instant;

const SUPERBLOCK: u64 = 1024;
const MAGIC: [u8; 2] = [0x53, 0xef];
const SECTOR: u64 = 512;
const INCOMPAT_64BIT: u32 = 0x80;
/// The kernel hears of its disk's new size soon after it runs.
const SIZE_PATIENCE: Duration = Duration::from_secs(5);
/// Growing reads and writes much of a very large disk.
const GROW_PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The disk with the mounted, writable ext4 root.
struct Disk {
    device: String,
}

/// Grows the root to the disk that there is. What fails is said; the guest works without it.
pub(crate) fn at_boot() {
    let Some(disk) = Disk::of_root() else { return };
    if let Err(error) = disk.grow() {
        say(format_args!("cannot grow the root file system: {error}"));
    }
}

/// Waits until the root's disk has `bytes`, and grows the file system to all of it.
pub(crate) async fn to(bytes: u64) -> Result<(), Failed> {
    let Some(disk) = Disk::of_root() else {
        let message = "cannot grow the root file system: it is not a writable ext4 on a disk".to_owned();
        return Err(Failed { code: FailureCode::Unsupported, message });
    };
    let error = |source| failed(format_args!("cannot grow the root file system to {bytes} bytes"), &source);
    let until = Instant::now() + SIZE_PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        let has = disk.bytes().map_err(error)?;
        if has >= bytes {
            break;
        }
        if Instant::now() >= until {
            return Err(error(io::Error::other(format!("the disk {} has {has} bytes", disk.device))));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    disk.grow_alone().await.map_err(error)
}

/// Waits until nobody grows the root any more.
pub(crate) async fn settle() {
    if let Some(disk) = Disk::of_root() {
        // Whoever began it said why it failed.
        disk.grow_alone().await.unwrap_or_default();
    }
}

impl Disk {
    fn of_root() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let device = mounts.lines().rev().find_map(|line| {
            let mut fields = line.split(' ');
            let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
            (place == "/" && kind == "ext4").then_some(device)
        })?;
        let writable = rustix::fs::statvfs("/").is_ok_and(|root| !root.f_flag.contains(StatVfsMountFlags::RDONLY));
        writable.then(|| Self { device: device.to_owned() })
    }

    fn bytes(&self) -> io::Result<u64> {
        let name = self.device.rsplit('/').next().unwrap_or(&self.device);
        let sectors = fs::read_to_string(format!("/sys/class/block/{name}/size"))?;
        Ok(sectors.trim().parse::<u64>().unwrap_or(0).saturating_mul(SECTOR))
    }

    /// How many blocks the file system lacks; none if it has all.
    fn wanted(&self) -> io::Result<Option<u64>> {
        let mut disk = File::open(&self.device)?;
        disk.seek(SeekFrom::Start(SUPERBLOCK))?;
        let mut superblock = [0; 1024];
        disk.read_exact(&mut superblock)?;
        Ok(wanted_blocks(&superblock, self.bytes()?))
    }

    fn grow(&self) -> io::Result<()> {
        match self.wanted()? {
            Some(blocks) => sys::grow_ext4(File::open("/")?.as_fd(), blocks),
            None => Ok(()),
        }
    }

    /// Grows while nobody else does: the kernel lets only one.
    async fn grow_alone(&self) -> io::Result<()> {
        let until = Instant::now() + GROW_PATIENCE;
        while let Some(blocks) = self.wanted()? {
            // A thread of its own only if there is work: it may take long.
            let work = move || Ok(File::open("/").and_then(|root| sys::grow_ext4(root.as_fd(), blocks)));
            let grown = rights::with(None, work).await.map_err(|failed| io::Error::other(failed.message))?;
            match grown {
                Err(error) if is_busy(&error) && Instant::now() < until => tokio::time::sleep(LONGEST_PAUSE).await,
                grown => return grown,
            }
        }
        Ok(())
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BUSY.raw_os_error())
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
