//! The root disk: an ext4 image made from a tar without mounting anything. The same tar gives the same bytes.

mod ext4_times;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::debian::{Finish, installed};
use crate::digest::Digest;
use crate::ownership::Ownership;
use crate::tool::{MKE2FS, TAR, ToolError};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
/// Left free in the image; the disk over it is larger, and the agent grows the file system.
const FREE: u64 = 300 * MIB;
const JOURNAL: u64 = 32 * MIB;
/// The largest size, in blocks, that the file system keeps room to grow to: 4 TiB.
const GROWS_TO: u64 = 1 << 30;
/// Spelt out, so that a newer mke2fs makes the same image. Without checksums of inodes, whose dates are
/// set afterwards; with checksums of groups, so that growing the file system writes little.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,uninit_bg,dir_nlink,extra_isize";

/// Why there is no root disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file could not be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system that mke2fs made is not as asked for.
    #[error("the new file system is not the expected ext4: {reason}")]
    Unexpected {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What the root disk is made from.
pub(crate) struct RootDisk<'a> {
    /// The root file system.
    pub(crate) tar: &'a Path,
    /// Its last files.
    pub(crate) finish: Finish<'a>,
    /// Decides the file system's ids.
    pub(crate) inputs: &'a Digest,
}

impl RootDisk<'_> {
    /// Makes `image` with the help of the folder `work`; the answer is what is installed in it.
    pub(crate) fn build(
        &self,
        work: &Path,
        image: &Path,
        ownership: Ownership,
        heard: &dyn Fn(&str),
    ) -> Result<Vec<String>, DiskError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| DiskError::File { path, source }
        };
        let tree = work.join("tree");
        fs::create_dir(&tree).map_err(at(&tree))?;
        unpack(self.tar, &tree, ownership, heard)?;
        ownership.remove(Finish::REMOVED.iter().map(|path| tree.join(path)))?;
        let last = work.join("finish.tar");
        self.finish.write(&last).map_err(at(&last))?;
        unpack(&last, &tree, ownership, heard)?;
        let status = tree.join("var/lib/dpkg/status");
        let packages = installed(&fs::read_to_string(&status).map_err(at(&status))?);
        let bytes = disk_size(File::open(self.tar).and_then(content).map_err(at(self.tar))?);
        File::create(image).and_then(|file| file.set_len(bytes)).map_err(at(image))?;
        self.format(&tree, image, ownership, heard)?;
        ext4_times::settle(image, self.finish.epoch)?;
        ownership.remove([&tree])?;
        Ok(packages)
    }

    fn format(&self, tree: &Path, image: &Path, ownership: Ownership, heard: &dyn Fn(&str)) -> Result<(), DiskError> {
        let id = stable_uuid(self.inputs);
        let epoch = self.finish.epoch.to_string();
        let mut command = ownership.command(MKE2FS)?;
        command.env("E2FSPROGS_FAKE_TIME", &epoch).env("SOURCE_DATE_EPOCH", &epoch);
        command.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0"]);
        command.args(["-L", "machine-root", "-O", FEATURES, "-U", &id]);
        command.arg("-E").arg(format!(
            "hash_seed={id},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard,resize={GROWS_TO}"
        ));
        command.arg("-J").arg(format!("size={}", JOURNAL / MIB));
        command.arg("-d").arg(tree).arg(image);
        MKE2FS.run(command, heard)?;
        Ok(())
    }
}

fn unpack(tar: &Path, tree: &Path, ownership: Ownership, heard: &dyn Fn(&str)) -> Result<(), ToolError> {
    let mut command = ownership.command(TAR)?;
    command.args(["--extract", "--numeric-owner", "--same-owner", "--preserve-permissions"]);
    // The guest's device nodes come from its kernel, and a user could not make them here.
    command.args(["--anchored", "--exclude=./dev/*"]);
    command.args(["--xattrs", "--xattrs-include=*", "--file"]).arg(tar).arg("--directory").arg(tree);
    TAR.run(command, heard).map(drop)
}

/// Bytes that a tar's files take in blocks, and how many there are.
fn content(tar: File) -> io::Result<(u64, u64)> {
    let mut archive = tar::Archive::new(io::BufReader::new(tar));
    let (mut bytes, mut entries) = (0, 0);
    for entry in archive.entries()? {
        bytes += entry?.header().size()?.next_multiple_of(BLOCK);
        entries += 1;
    }
    Ok((bytes, entries))
}

/// The image's size for content of so many bytes in so many files.
fn disk_size((bytes, entries): (u64, u64)) -> u64 {
    let names = entries * BLOCK / 8;
    let plain = bytes + names + JOURNAL + FREE;
    // Inode tables take a sixty-fourth, bitmaps and the room to grow a little more.
    (plain + plain / 40).next_multiple_of(64 * MIB)
}

/// A UUID that the inputs decide.
fn stable_uuid(inputs: &Digest) -> String {
    let hex = inputs.as_str();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_room_for_its_content_and_some_work() {
        let size = disk_size((300 * MIB, 10_000));
        assert!(size > 300 * MIB + FREE && size < 800 * MIB, "{size}");
        assert_eq!(size % (64 * MIB), 0);
    }

    #[test]
    fn the_inputs_decide_the_file_systems_id() {
        assert_eq!(stable_uuid(&Digest::of(b"")), "e3b0c442-98fc-4c14-8afb-f4c8996fb924");
    }
}
