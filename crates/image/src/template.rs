//! Templates on the host's disk: found by name, checked, removed. Made elsewhere (build.rs); never changed here.
//!
//! ```text
//! <images>/templates/<digest>/{manifest.json, root.ext4, vmlinux, modules/*.ko}
//! <images>/refs/<name>           the digest that the name stands for
//! <images>/unfinished-*          builds; none of a living one's may be touched
//! ```

pub(crate) mod manifest;
mod sweep;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::kernel::{BootModule, KernelParts};

pub use manifest::{Identity, Manifest, Part};
pub use sweep::{SweepError, sweep_unfinished};
pub(crate) use sweep::{UNFINISHED, hold};

const TEMPLATES: &str = "templates";
const REFS: &str = "refs";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const ROOT_DISK: &str = "root.ext4";
pub(crate) const VMLINUX: &str = "vmlinux";
pub(crate) const MODULES: &str = "modules";

/// A sealed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What it was found by: a name, or its digest.
    pub name: String,
    /// Names it by content.
    pub digest: Digest,
    /// What it is made of.
    pub manifest: Manifest,
    folder: PathBuf,
}

/// How thoroughly a template is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Every part is there and has its length.
    Sizes,
    /// Every byte is as it was.
    Digests,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// No template has this name.
    #[error("unknown template: {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A name that could not be a file's.
    #[error("not a template name: {name}")]
    BadName {
        /// The name.
        name: String,
    },
    /// A part is not as it was sealed.
    #[error("template {name} is damaged: {part}: {reason}")]
    Damaged {
        /// The template.
        name: String,
        /// Which of its files.
        part: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder could not be read or changed.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl TemplateError {
    /// What the person can do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => Some(format!("build it: `machine template build {name}`")),
            Self::Damaged { name, .. } => Some(format!("build it anew: `machine template build {name} --rebuild`")),
            Self::BadName { .. } => Some("use a-z, 0-9, `-`, `_` and `.`, starting with a letter or digit".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

impl Template {
    /// Finds the template `name` and checks that its parts have their lengths.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn load(images: &Path, name: &str) -> Result<Self, TemplateError> {
        let named = ref_path(images, name)?;
        let text = match fs::read_to_string(&named) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TemplateError::Unknown { name: name.to_owned() });
            }
            Err(source) => return Err(TemplateError::Io { path: named, source }),
        };
        let digest =
            Digest::try_from(text.trim().to_owned()).map_err(|error| damaged(name, "refs", error.to_string()))?;
        Self::open(images, digest, name)
    }

    /// Finds the template with this digest, whether or not a name still stands for it.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn by_digest(images: &Path, digest: &Digest) -> Result<Self, TemplateError> {
        if !folder(images, digest).exists() {
            return Err(TemplateError::Unknown { name: digest.to_string() });
        }
        Self::open(images, digest.clone(), digest.as_str())
    }

    fn open(images: &Path, digest: Digest, name: &str) -> Result<Self, TemplateError> {
        let folder = folder(images, &digest);
        let bytes = fs::read(folder.join(MANIFEST)).map_err(|error| damaged(name, MANIFEST, error.to_string()))?;
        let manifest = Manifest::parse(&bytes).map_err(|reason| damaged(name, MANIFEST, reason))?;
        if manifest.identity.digest() != digest {
            return Err(damaged(name, MANIFEST, "it is not the template's own".to_owned()));
        }
        let template = Self { name: name.to_owned(), digest, manifest, folder };
        template.check(Check::Sizes)?;
        Ok(template)
    }

    /// The newest template that was built from these inputs, whatever it is called; best the one called `name`.
    ///
    /// # Errors
    /// When a folder cannot be read. A damaged template is none.
    pub(crate) fn of_inputs(images: &Path, name: &str, inputs: &Digest) -> Result<Option<Self>, TemplateError> {
        let is_it = |template: &Self| template.manifest.identity.inputs == *inputs;
        if let Ok(template) = Self::load(images, name)
            && is_it(&template)
        {
            return Ok(Some(template));
        }
        let digests = entries(&images.join(TEMPLATES))?.into_iter().filter_map(|name| Digest::try_from(name).ok());
        let sound = digests.filter_map(|digest| Self::by_digest(images, &digest).ok()).filter(is_it);
        Ok(sound.max_by_key(|template| template.manifest.created))
    }

    /// Every template that has a name, sorted by it.
    ///
    /// # Errors
    /// When the folder cannot be read or one of them is damaged.
    pub fn list(images: &Path) -> Result<Vec<Self>, TemplateError> {
        let names = entries(&images.join(REFS))?.into_iter().filter(|name| is_name(name));
        names.map(|name| Self::load(images, &name)).collect()
    }

    /// The templates that no name stands for: a rebuild leaves the one before it, since machines may stand on it.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn unnamed(images: &Path) -> Result<Vec<Digest>, TemplateError> {
        let refs = images.join(REFS);
        let named: Vec<String> =
            entries(&refs)?.iter().filter_map(|name| fs::read_to_string(refs.join(name)).ok()).collect();
        let all = entries(&images.join(TEMPLATES))?.into_iter().filter_map(|name| Digest::try_from(name).ok());
        Ok(all.filter(|digest| !named.iter().any(|text| text.trim() == digest.as_str())).collect())
    }

    /// Takes the name away, and the template too if no other name stands for it.
    ///
    /// The caller makes sure that no machine stands on it.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be removed.
    pub fn remove(images: &Path, name: &str) -> Result<(), TemplateError> {
        let named = ref_path(images, name)?;
        let text = fs::read_to_string(&named).map_err(|_| TemplateError::Unknown { name: name.to_owned() })?;
        fs::remove_file(&named).map_err(|source| TemplateError::Io { path: named, source })?;
        match Digest::try_from(text.trim().to_owned()) {
            Ok(digest) if Self::unnamed(images)?.contains(&digest) => Self::remove_unnamed(images, &digest),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Removes a template that no name stands for; of nothing, that is no failure.
    ///
    /// The caller makes sure that no machine stands on it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_unnamed(images: &Path, digest: &Digest) -> Result<(), TemplateError> {
        let folder = folder(images, digest);
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(TemplateError::Io { path: folder, source }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Checks every part.
    ///
    /// # Errors
    /// [`TemplateError::Damaged`] names the first part that is not as it was sealed.
    pub fn check(&self, how: Check) -> Result<(), TemplateError> {
        let name = &self.name;
        for (file, part) in self.manifest.identity.parts() {
            let path = self.folder.join(&file);
            let bytes = fs::metadata(&path).map_err(|error| damaged(name, &file, error.to_string()))?.len();
            if bytes != part.bytes {
                let reason = format!("{bytes} bytes, of {}", part.bytes);
                return Err(damaged(name, &file, reason));
            }
            if how == Check::Digests {
                let digest = Digest::of_file(&path).map_err(|error| damaged(name, &file, error.to_string()))?;
                if digest != part.digest {
                    return Err(damaged(name, &file, "its content has changed".to_owned()));
                }
            }
        }
        Ok(())
    }

    /// The template's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The root disk: raw ext4, never written.
    #[must_use]
    pub fn root_disk(&self) -> PathBuf {
        self.folder.join(ROOT_DISK)
    }

    /// The kernel: an ELF file that a hypervisor enters directly.
    #[must_use]
    pub fn vmlinux(&self) -> PathBuf {
        self.folder.join(VMLINUX)
    }

    /// What [`crate::build_initramfs`] needs of the kernel.
    ///
    /// # Errors
    /// When a module cannot be read or has changed.
    pub fn kernel_parts(&self) -> Result<KernelParts, TemplateError> {
        let identity = &self.manifest.identity;
        let modules = identity.modules.iter().map(|module| {
            let file = format!("{MODULES}/{}", module.file);
            let failed = |reason| damaged(&self.name, &file, reason);
            let bytes = fs::read(self.folder.join(&file)).map_err(|error| failed(error.to_string()))?;
            if Digest::of(&bytes) != module.part.digest {
                return Err(failed("its content has changed".to_owned()));
            }
            Ok(BootModule { file: module.file.clone(), bytes })
        });
        Ok(KernelParts { version: identity.kernel_version.clone(), modules: modules.collect::<Result<_, _>>()? })
    }
}

fn damaged(name: &str, part: &str, reason: String) -> TemplateError {
    TemplateError::Damaged { name: name.to_owned(), part: part.to_owned(), reason }
}

/// The names in a folder, sorted; none where it is not there.
fn entries(path: &Path) -> Result<Vec<String>, TemplateError> {
    let folder = match fs::read_dir(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(TemplateError::Io { path: path.to_owned(), source }),
    };
    let mut names: Vec<String> =
        folder.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Where the template with this digest lives.
pub(crate) fn folder(images: &Path, digest: &Digest) -> PathBuf {
    images.join(TEMPLATES).join(digest.as_str())
}

/// Where the name's digest is written.
pub(crate) fn ref_path(images: &Path, name: &str) -> Result<PathBuf, TemplateError> {
    if is_name(name) { Ok(images.join(REFS).join(name)) } else { Err(TemplateError::BadName { name: name.to_owned() }) }
}

/// Whether a template can be called so.
///
/// # Errors
/// When it cannot.
pub(crate) fn check_name(name: &str) -> Result<(), TemplateError> {
    if is_name(name) { Ok(()) } else { Err(TemplateError::BadName { name: name.to_owned() }) }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 64
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_' | b'.'))
        && !name.ends_with(".new")
}

#[cfg(test)]
mod tests;
