//! The guest's kernel: the distribution's cloud kernel, fetched, unpacked and made ready to boot directly.

mod load_order;
mod payload;

use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::apt::{AptError, Package, PrivateApt};
use crate::host_sources::HostSources;
use crate::tool::{DEPMOD, DPKG_DEB, ToolError};

pub use load_order::OrderError;
pub use payload::PayloadError;

/// The package that stands for the newest cloud kernel.
const METAPACKAGE: &str = "linux-image-cloud-amd64";
/// Modules that must be there before the root disk is mounted or while the guest gets its first address.
const BOOT_MODULES: [&str; 3] = ["virtio_blk", "virtio_net", "virtio_rng"];

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// apt could not bring it.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The package is not laid out as expected.
    #[error("the kernel package holds no {what}")]
    Layout {
        /// What was looked for.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[error("cannot use the kernel's file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The boot image could not be unpacked.
    #[error("cannot take the kernel out of {}", path.display())]
    Payload {
        /// The compressed kernel.
        path: PathBuf,
        /// Why.
        source: PayloadError,
    },
    /// The load order could not be found.
    #[error("cannot order the modules needed at boot")]
    Order(#[from] OrderError),
    /// A module could not be decompressed.
    #[error("cannot decompress the module {}: {reason}", path.display())]
    Module {
        /// The module.
        path: PathBuf,
        /// What its decompressor said.
        reason: String,
    },
}

/// A module as the guest loads it: not compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootModule {
    /// File name, `virtio_blk.ko`.
    pub file: String,
    /// The module itself.
    pub bytes: Vec<u8>,
}

/// What an initramfs needs of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelParts {
    /// The release, as `uname -r` in the guest says.
    pub version: String,
    /// The modules loaded at boot, in load order.
    pub modules: Vec<BootModule>,
}

/// A kernel package unpacked on the host.
pub(crate) struct UnpackedKernel {
    pub(crate) parts: KernelParts,
    /// Its package, `name=version`.
    pub(crate) package: String,
    /// The uncompressed boot image.
    pub(crate) vmlinux: Vec<u8>,
    /// The folder with all modules of this version, indexed by depmod.
    pub(crate) modules: PathBuf,
}

/// The suites to look for the kernel in: Debian 12 has 6.12 only in its backports.
pub(crate) fn sources(host: &HostSources) -> HostSources {
    if host.codename != "bookworm" {
        return host.clone();
    }
    let backports = host.backports();
    let mut all = host.with_backports();
    all.entries.retain(|entry| entry.suites.contains(&backports));
    all
}

/// Finds the newest cloud kernel.
pub(crate) fn resolve(apt: &PrivateApt, heard: &dyn Fn(&str)) -> Result<Package, KernelError> {
    let meta = apt.show(METAPACKAGE, heard)?;
    let name = meta.dependency("linux-image-").ok_or(KernelError::Layout { what: "dependency on a kernel" })?;
    Ok(apt.show(name, heard)?)
}

/// Unpacks the file `deb` of `package` into `tree`.
pub(crate) fn unpack(
    package: &Package,
    deb: &Path,
    tree: &Path,
    heard: &dyn Fn(&str),
) -> Result<UnpackedKernel, KernelError> {
    let mut extract = DPKG_DEB.command()?;
    extract.arg("--extract").arg(deb).arg(tree);
    DPKG_DEB.run(extract, heard)?;
    let version = version(&tree.join("boot"))?;
    let modules = modules_folder(tree, &version)?;
    let mut depmod = DEPMOD.command()?;
    depmod.arg("-b").arg(tree).arg(&version);
    DEPMOD.run(depmod, heard)?;
    let image = tree.join(format!("boot/vmlinuz-{version}"));
    let vmlinux =
        payload::vmlinux(&read(&image)?).map_err(|source| KernelError::Payload { path: image.clone(), source })?;
    let parts = KernelParts { modules: boot_modules(&modules)?, version };
    Ok(UnpackedKernel { parts, package: package.to_string(), vmlinux, modules })
}

fn read(path: &Path) -> Result<Vec<u8>, KernelError> {
    fs::read(path).map_err(|source| KernelError::File { path: path.to_owned(), source })
}

fn version(boot: &Path) -> Result<String, KernelError> {
    let folder = fs::read_dir(boot).map_err(|source| KernelError::File { path: boot.to_owned(), source })?;
    folder
        .filter_map(Result::ok)
        .find_map(|entry| entry.file_name().to_string_lossy().strip_prefix("vmlinuz-").map(str::to_owned))
        .ok_or(KernelError::Layout { what: "boot/vmlinuz" })
}

/// The modules' folder; depmod's default place is made to lead there too, whichever of the two it looks in.
fn modules_folder(tree: &Path, version: &str) -> Result<PathBuf, KernelError> {
    let link = |target: &str, path: PathBuf| {
        let parent = path.parent().expect("a path below the tree has a parent");
        fs::create_dir_all(parent)
            .and_then(|()| std::os::unix::fs::symlink(target, &path))
            .map_err(|source| KernelError::File { path: path.clone(), source })
    };
    let classic = tree.join("lib/modules").join(version);
    let merged = tree.join("usr/lib/modules").join(version);
    if classic.is_dir() {
        if !merged.exists() {
            link("../../lib/modules", tree.join("usr/lib/modules"))?;
        }
        Ok(classic)
    } else if merged.is_dir() {
        if !tree.join("lib").exists() {
            link("usr/lib", tree.join("lib"))?;
        }
        Ok(merged)
    } else {
        Err(KernelError::Layout { what: "lib/modules" })
    }
}

fn boot_modules(folder: &Path) -> Result<Vec<BootModule>, KernelError> {
    let text = |name: &str| Ok::<_, KernelError>(String::from_utf8_lossy(&read(&folder.join(name))?).into_owned());
    let order = load_order::of(&BOOT_MODULES, &text("modules.dep")?, &text("modules.builtin")?)?;
    order
        .iter()
        .map(|path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            let file = name.strip_suffix(".xz").unwrap_or(name).to_owned();
            Ok(BootModule { file, bytes: decompressed(&folder.join(path))? })
        })
        .collect()
}

fn decompressed(path: &Path) -> Result<Vec<u8>, KernelError> {
    let bytes = read(path)?;
    if path.extension().is_some_and(|extension| extension == "ko") {
        return Ok(bytes);
    }
    let mut module = Vec::new();
    lzma_rs::xz_decompress(&mut BufReader::new(bytes.as_slice()), &mut module)
        .map_err(|error| KernelError::Module { path: path.to_owned(), reason: format!("{error:?}") })?;
    Ok(module)
}
