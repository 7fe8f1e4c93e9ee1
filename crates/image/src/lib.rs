//! Templates: what a machine boots from, made on this host from its own package sources.
//!
//! `build_template` makes one, [`Template`] finds it, [`build_initramfs`] joins its kernel to an agent,
//! [`create_overlay`] gives a machine a disk of its own over it. Everything here blocks; nothing here
//! starts a machine.

mod apt;
mod build;
mod cpio;
mod debian;
mod digest;
mod disk;
mod host_sources;
mod ingredients;
mod initramfs;
mod kept_disk;
mod kernel;
mod lz4;
mod overlay;
mod ownership;
mod progress;
mod promise;
mod registry;
mod seal;
mod sys;
mod template;
mod tool;

pub use apt::AptError;
pub use build::{BASE, BuildError, BuildRequest, Built, Rebuild, build_template};
pub use debian::RootfsError;
pub use digest::{Digest, NotADigest};
pub use disk::DiskError;
pub use host_sources::{AptSource, HostSources, SignedBy, SourcesError};
pub use initramfs::build_initramfs;
pub use kernel::{BootModule, KernelError, KernelParts, OrderError, PayloadError};
pub use overlay::{BaseFormat, OverlayError, create_overlay, virtual_size};
pub use promise::LocalImages;
pub use registry::RegistryError;
pub use template::manifest::{ModulePart, Origin};
pub use template::{Check, Identity, Manifest, Part, SweepError, Template, TemplateError, sweep_unfinished};
pub use tool::{RECIPE_TOOLS, TOOLS, Tool, ToolError};
