//! The folder that a build works in, from its lock to the parts of a template.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{BuildError, Inputs};
use crate::digest::Digest;
use crate::kernel::UnpackedKernel;
use crate::ownership::Ownership;
use crate::template::manifest::{Identity, ModulePart, Part};
use crate::template::{self, MODULES, ROOT_DISK, UNFINISHED, VMLINUX};

/// The folder a build works in; it goes when the build is over, however it ends.
pub(crate) struct Workshop {
    pub(crate) folder: PathBuf,
    pub(crate) template: PathBuf,
    pub(crate) ownership: Ownership,
    _held: File,
}

impl Workshop {
    pub(crate) fn open(images: &Path, needed: u64) -> Result<Self, BuildError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| BuildError::Io { path, source }
        };
        fs::create_dir_all(images).map_err(at(images))?;
        let images = images.canonicalize().map_err(at(images))?;
        let free = free_space(&images).map_err(at(&images))?;
        if free < needed {
            return Err(BuildError::DiskFull { path: images, free, needed });
        }
        let folder = fresh_folder(&images).map_err(at(&images))?;
        let held = template::hold(&folder).map_err(at(&folder))?;
        let template = folder.join("template");
        fs::create_dir_all(template.join(MODULES)).map_err(at(&template))?;
        Ok(Self { folder, template, ownership: Ownership::of_this_process(), _held: held })
    }

    pub(crate) fn keep_kernel(&self, kernel: &UnpackedKernel) -> Result<(), BuildError> {
        let write =
            |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(|source| BuildError::Io { path, source });
        write(self.template.join(VMLINUX), &kernel.vmlinux)?;
        kernel
            .parts
            .modules
            .iter()
            .try_for_each(|module| write(self.template.join(MODULES).join(&module.file), &module.bytes))
    }

    pub(super) fn identity(
        &self,
        inputs: &Inputs,
        kernel: &UnpackedKernel,
        packages: Vec<String>,
    ) -> Result<Identity, BuildError> {
        let modules = kernel.parts.modules.iter().map(|module| {
            let part = self.part(&format!("{MODULES}/{}", module.file))?;
            Ok::<_, BuildError>(ModulePart { file: module.file.clone(), part })
        });
        Ok(Identity {
            inputs: inputs.digest.clone(),
            release: inputs.sources.codename.clone(),
            architecture: "amd64".to_owned(),
            kernel_version: kernel.parts.version.clone(),
            kernel_package: kernel.package.clone(),
            root_disk: self.part(ROOT_DISK)?,
            root_filesystem: "ext4".to_owned(),
            vmlinux: self.part(VMLINUX)?,
            modules: modules.collect::<Result<_, _>>()?,
            packages,
            ready: inputs.ingredients.ready.clone(),
        })
    }

    pub(crate) fn part(&self, file: &str) -> Result<Part, BuildError> {
        let path = self.template.join(file);
        let failed = |source| BuildError::Io { path: path.clone(), source };
        let bytes = fs::metadata(&path).map_err(failed)?.len();
        Ok(Part { digest: Digest::of_file(&path).map_err(failed)?, bytes })
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next sweep.
        let _ = self.ownership.remove([&self.folder]);
    }
}

fn fresh_folder(images: &Path) -> io::Result<PathBuf> {
    let id = std::process::id();
    let mut number = 0_u32;
    loop {
        let folder = images.join(format!("{UNFINISHED}{id}-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn free_space(folder: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}
