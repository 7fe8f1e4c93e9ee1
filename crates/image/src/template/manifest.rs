//! What a template is made of, as written beside it. The identity names the template; the rest is about its making.

use jiff::Timestamp;
use machine_core::Recipe;
use serde::{Deserialize, Serialize};

use super::{MODULES, ROOT_DISK, VMLINUX};
use crate::digest::Digest;

/// The form of manifest that this program writes and reads.
const SCHEMA: u32 = 1;

/// A template's `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form's version.
    pub schema: u32,
    /// The name it was built under.
    pub name: String,
    /// When it was built; no part of its identity.
    pub created: Timestamp,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Origin::is_plain")]
    pub origin: Origin,
    /// What it is made of.
    pub identity: Identity,
}

/// What a build was asked for. No part of the identity, whose `inputs` say it together with the host's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// To follow a recipe.
    Recipe(Recipe),
    /// To keep a machine's disk.
    Disk {
        /// The template that its machine was made of.
        parent: Digest,
        /// Which state of the disk.
        key: String,
    },
}

impl Origin {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self::Recipe(Recipe::default())
    }
}

/// Everything that makes two templates the same or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Digest of what the build was asked to do: recipe, sources, authorities.
    pub inputs: Digest,
    /// The distribution's release.
    pub release: String,
    /// The guest's architecture.
    pub architecture: String,
    /// The kernel's `uname -r`.
    pub kernel_version: String,
    /// The kernel's package, `name=version`.
    pub kernel_package: String,
    /// The root disk.
    pub root_disk: Part,
    /// The file system on it, and so `rootfstype` of a kernel command line.
    pub root_filesystem: String,
    /// The kernel.
    pub vmlinux: Part,
    /// Modules for the initramfs, in load order.
    pub modules: Vec<ModulePart>,
    /// Every package in the root disk, `name=version`, sorted.
    pub packages: Vec<String>,
    /// A line for the guest's shell that succeeds once its services do their work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
}

/// One file of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its content.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// A kernel module that the initramfs loads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulePart {
    /// Its file name in `modules/`.
    pub file: String,
    /// Its content and length.
    #[serde(flatten)]
    pub part: Part,
}

impl Identity {
    /// The template's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("an identity has only strings for keys"))
    }

    /// Every file beside the manifest, by its path in the folder.
    pub(crate) fn parts(&self) -> Vec<(String, &Part)> {
        let fixed = [(ROOT_DISK.to_owned(), &self.root_disk), (VMLINUX.to_owned(), &self.vmlinux)];
        let modules = self.modules.iter().map(|module| (format!("{MODULES}/{}", module.file), &module.part));
        fixed.into_iter().chain(modules).collect()
    }
}

impl Manifest {
    /// The manifest of a template built now.
    pub(crate) fn new(name: &str, created: Timestamp, origin: Origin, identity: Identity) -> Self {
        Self { schema: SCHEMA, name: name.to_owned(), created, origin, identity }
    }

    /// Reads a manifest; the error says what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.schema != SCHEMA {
            return Err(format!("schema {} is not {SCHEMA}", manifest.schema));
        }
        if manifest.identity.modules.iter().any(|module| module.file.contains('/') || module.file.starts_with('.')) {
            return Err("a module's name is a path".to_owned());
        }
        Ok(manifest)
    }

    /// The manifest as it is written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest has only strings for keys");
        bytes.push(b'\n');
        bytes
    }
}
