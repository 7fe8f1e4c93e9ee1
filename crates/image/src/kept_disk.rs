//! A template of a machine's disk: the disk flattened, made whole, freed of what was this one machine's, and cut
//! to its content. The machine is at rest, and its disk is only read.
//!
//! convert ─▶ check ─▶ scrub ─▶ check ─▶ cut ─▶ seal

mod scrub;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::Progress;
use machine_core::promise::image_source::Rest;
use machine_core::stage::Stage;

use crate::build::{BuildError, Built, Rebuild, Workshop};
use crate::debian::installed;
use crate::digest::Digest;
use crate::disk::DiskError;
use crate::progress::during;
use crate::seal::{self, Sealed};
use crate::template::manifest::{Identity, Manifest, Origin};
use crate::template::{MODULES, ROOT_DISK, Template, VMLINUX};
use crate::tool::{DEBUGFS, E2FSCK, QEMU_IMG, RESIZE2FS, ToolError};

/// Raised when a disk is kept in another way.
const RECIPE: &str = "disk 1";
/// Beside what the disk holds.
const SPARE: u64 = 1 << 30;
/// Left free in the template, as in one that was built.
const FREE: u64 = 300 << 20;
/// Where an ext4 says how many blocks of which size it has; below 16 TiB, which our disks are.
const SUPERBLOCK: u64 = 1024;

/// Whose disk is kept, and as what.
#[derive(Clone, Debug)]
pub(crate) struct DiskRequest {
    pub(crate) images: PathBuf,
    pub(crate) name: String,
    pub(crate) disk: PathBuf,
    pub(crate) rest: Rest,
    pub(crate) parent: Digest,
    pub(crate) key: String,
    pub(crate) rebuild: Rebuild,
    pub(crate) now: Timestamp,
}

/// Keeps a disk as a template, or finds that it is kept.
pub(crate) fn keep(request: &DiskRequest, report: &Progress) -> Result<Built, BuildError> {
    let DiskRequest { images, name, disk, parent, key, rebuild, .. } = request;
    let inputs = Digest::of(format!("{RECIPE}\n{parent}\n{key}\n").as_bytes());
    if *rebuild == Rebuild::WhenChanged
        && let Some(template) = Template::of_inputs(images, name, &inputs)?
    {
        seal::name(images, name, &template.digest)?;
        return Ok(Built::Already(Template::load(images, name)?));
    }
    for tool in [DEBUGFS, E2FSCK, QEMU_IMG, RESIZE2FS] {
        tool.find()?;
    }
    let base = Template::by_digest(images, parent)?;
    let own = fs::metadata(disk).map_err(|source| BuildError::Io { path: disk.clone(), source })?.len();
    let workshop = Workshop::open(images, base.manifest.identity.root_disk.bytes + own + SPARE)?;
    let image = workshop.template.join(ROOT_DISK);
    during(Stage::Build, report, |heard| convert(disk, &image, heard))?;
    if !request.rest.lasts() {
        return Err(BuildError::Restless { disk: disk.clone() });
    }
    let packages = during(Stage::Disk, report, |heard| finish(&image, &workshop.folder, heard))?;
    during(Stage::Seal, report, |_| {
        take_kernel(&base, &workshop.template)?;
        let identity = Identity {
            inputs: inputs.clone(),
            root_disk: workshop.part(ROOT_DISK)?,
            packages,
            ..base.manifest.identity.clone()
        };
        let origin = Origin::Disk { parent: parent.clone(), key: key.clone() };
        let manifest = Manifest::new(name, request.now, origin, identity);
        seal::seal(images, Sealed { folder: &workshop.template, manifest: &manifest })?;
        Ok::<_, BuildError>(())
    })?;
    drop(workshop);
    Ok(Built::New(Template::load(images, name)?))
}

/// The disk and all it lies on as plain bytes; what is empty takes no room.
fn convert(disk: &Path, image: &Path, heard: &dyn Fn(&str)) -> Result<(), DiskError> {
    let mut command = QEMU_IMG.command()?;
    command.args(["convert", "-f", "qcow2", "-O", "raw", "-S", "4k"]).arg(disk).arg(image);
    QEMU_IMG.run(command, heard)?;
    Ok(())
}

/// The answer is what is installed on it.
fn finish(image: &Path, work: &Path, heard: &dyn Fn(&str)) -> Result<Vec<String>, DiskError> {
    make_whole(image, heard)?;
    scrub::scrub(image, work)?;
    make_whole(image, heard)?;
    cut(image, heard)?;
    let status = scrub::read(image, "/var/lib/dpkg/status")?;
    Ok(installed(&String::from_utf8_lossy(&status)))
}

/// What a check corrects is good only if the next one finds nothing.
fn make_whole(image: &Path, heard: &dyn Fn(&str)) -> Result<(), ToolError> {
    let check = || {
        let mut command = E2FSCK.command()?;
        command.args(["-f", "-p"]).arg(image);
        E2FSCK.run(command, heard)
    };
    match check() {
        Ok(_) => Ok(()),
        Err(ToolError::Failed { .. }) => check().map(drop),
        Err(error) => Err(error),
    }
}

/// Cuts the file system to its content and a little more; a machine's disk grows it again.
fn cut(image: &Path, heard: &dyn Fn(&str)) -> Result<(), DiskError> {
    let at = |source| DiskError::File { path: image.to_owned(), source };
    let resize = |how: &[&str]| {
        let mut command = RESIZE2FS.command()?;
        command.args(how).arg(image);
        RESIZE2FS.run(command, heard)
    };
    resize(&["-M"])?;
    let file = OpenOptions::new().read(true).write(true).open(image).map_err(at)?;
    let least = length(&file).map_err(at)?;
    // First to its content alone, so that nothing of what was behind it is left.
    file.set_len(least).map_err(at)?;
    file.set_len((least + FREE).next_multiple_of(1 << 20)).map_err(at)?;
    resize(&[])?;
    Ok(())
}

/// How long a file system says that it is.
fn length(file: &File) -> io::Result<u64> {
    let word = |at: u64| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, SUPERBLOCK + at)?;
        Ok::<_, io::Error>(u64::from(u32::from_le_bytes(bytes)))
    };
    let (blocks, scale) = (word(4)?, word(24)?);
    1024_u64
        .checked_shl(u32::try_from(scale).unwrap_or(u32::MAX))
        .and_then(|size| size.checked_mul(blocks))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file system says it has an impossible length"))
}

/// The parent's kernel is this one's: the same files, by names of their own where the file system has those.
fn take_kernel(base: &Template, folder: &Path) -> Result<(), BuildError> {
    let modules = base.manifest.identity.modules.iter().map(|module| format!("{MODULES}/{}", module.file));
    for file in std::iter::once(VMLINUX.to_owned()).chain(modules) {
        let (from, to) = (base.folder().join(&file), folder.join(&file));
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(drop))
            .map_err(|source| BuildError::Io { path: to, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
