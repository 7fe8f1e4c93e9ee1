//! Gives every inode of a fresh ext4 image the same access, change and birth date. mke2fs copies the first
//! two from the unpacked files, where they say when the build ran.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::DiskError;

const SUPERBLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
const METADATA_CHECKSUMS: u32 = 0x400;
const SIXTY_FOUR_BIT: u32 = 0x80;
const DESCRIPTOR: usize = 32;

/// Offsets in an inode.
const MODE: usize = 0;
const ACCESS: usize = 8;
const CHANGE: usize = 12;
const MODIFY: usize = 16;
/// The finer parts of change, modify and access, then the birth date and its finer part.
const FINER: std::ops::Range<usize> = 132..144;
const BIRTH: usize = 144;
const BIRTH_FINER: std::ops::Range<usize> = 148..152;

/// Where the inodes of a file system are.
struct Layout {
    block: u64,
    groups: usize,
    inodes_per_group: usize,
    inode: usize,
    descriptors: u64,
}

/// Sets the dates of every inode in use in `image`; contents' own dates are cut at `epoch`.
pub(super) fn settle(image: &Path, epoch: i64) -> Result<(), DiskError> {
    let failed = |source| DiskError::File { path: image.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).open(image).map_err(failed)?;
    let mut superblock = [0; 1024];
    file.read_exact_at(&mut superblock, SUPERBLOCK).map_err(failed)?;
    let layout = Layout::read(&superblock).map_err(|reason| DiskError::Unexpected { reason })?;
    let epoch = u32::try_from(epoch).map_err(|_| DiskError::Unexpected { reason: "a date before 1970" })?;
    for table in layout.tables(&file).map_err(failed)? {
        layout.settle_table(&file, table, epoch).map_err(failed)?;
    }
    Ok(())
}

impl Layout {
    fn read(superblock: &[u8]) -> Result<Self, &'static str> {
        let magic = u16::from_le_bytes([superblock[56], superblock[57]]);
        if magic != MAGIC {
            return Err("no superblock");
        }
        if word(superblock, 100) & METADATA_CHECKSUMS != 0 || word(superblock, 96) & SIXTY_FOUR_BIT != 0 {
            return Err("features that were not asked for");
        }
        let size = |at| usize::try_from(word(superblock, at)).map_err(|_| "a size that does not fit");
        let per_group = size(40)?;
        if per_group == 0 || word(superblock, 24) > 6 {
            return Err("impossible sizes");
        }
        let block = 1024_u64 << word(superblock, 24);
        Ok(Self {
            block,
            groups: size(0)? / per_group,
            inodes_per_group: per_group,
            inode: usize::from(u16::from_le_bytes([superblock[88], superblock[89]])),
            descriptors: (u64::from(word(superblock, 20)) + 1) * block,
        })
    }

    /// Where each group's inode table starts.
    fn tables(&self, file: &File) -> io::Result<Vec<u64>> {
        let mut descriptors = vec![0; self.groups * DESCRIPTOR];
        file.read_exact_at(&mut descriptors, self.descriptors)?;
        Ok(descriptors.chunks_exact(DESCRIPTOR).map(|one| u64::from(word(one, 8)) * self.block).collect())
    }

    fn settle_table(&self, file: &File, at: u64, epoch: u32) -> io::Result<()> {
        let mut table = vec![0; self.inodes_per_group * self.inode];
        file.read_exact_at(&mut table, at)?;
        let used = table.chunks_exact_mut(self.inode).filter(|inode| inode[MODE..MODE + 2] != [0, 0]);
        let mut any = false;
        for inode in used {
            settle_inode(inode, epoch);
            any = true;
        }
        if any { file.write_all_at(&table, at) } else { Ok(()) }
    }
}

fn settle_inode(inode: &mut [u8], epoch: u32) {
    let date = epoch.to_le_bytes();
    inode[ACCESS..ACCESS + 4].copy_from_slice(&date);
    inode[CHANGE..CHANGE + 4].copy_from_slice(&date);
    if word(inode, MODIFY) > epoch {
        inode[MODIFY..MODIFY + 4].copy_from_slice(&date);
    }
    if inode.len() >= BIRTH_FINER.end {
        inode[FINER].fill(0);
        inode[BIRTH..BIRTH + 4].copy_from_slice(&date);
        inode[BIRTH_FINER].fill(0);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_dates_are_cut_and_earlier_contents_keep_theirs() {
        let mut inode = vec![0xff; 256];
        settle_inode(&mut inode, 1000);
        assert_eq!([ACCESS, CHANGE, MODIFY, BIRTH].map(|at| word(&inode, at)), [1000; 4]);
        inode[MODIFY..MODIFY + 4].copy_from_slice(&7_u32.to_le_bytes());
        settle_inode(&mut inode, 1000);
        assert_eq!(word(&inode, MODIFY), 7);
    }

    #[test]
    fn what_is_no_ext4_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::write(&image, vec![0; 8192]).unwrap();
        assert!(matches!(settle(&image, 0), Err(DiskError::Unexpected { .. })));
    }
}
