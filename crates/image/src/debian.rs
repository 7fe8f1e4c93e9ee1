//! A template's root file system as a tar: Debian's smallest set, what an agent's work needs, and a recipe's packages.
//! Which kernel and how it becomes a disk is decided elsewhere.

mod extras;

use std::io;
use std::path::{Path, PathBuf};

use crate::apt;
use crate::host_sources::HostSources;
use crate::ingredients::Ingredients;
use crate::ownership::Ownership;
use crate::tool::{MMDEBSTRAP, ToolError};

use extras::Extras;
pub(crate) use extras::{Finish, HOSTS};

/// Packages beyond Debian's required ones, in every template.
pub(crate) const PACKAGES: [&str; 10] =
    ["ca-certificates", "curl", "git", "iproute2", "kmod", "procps", "python3", "sudo", "tzdata", "uuid-runtime"];
/// Left out of every package, as it is in Debian's own container images.
const LEFT_OUT: [&str; 6] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-include=/usr/share/locale/locale.alias",
];
/// Run in the guest's file system once its packages are there.
pub(crate) const SETUP: &str = include_str!("debian/setup.sh");

/// Why there is no root file system.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What is put in beside the packages could not be written.
    #[error("cannot write {}", path.display())]
    Extras {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a root file system is made of.
pub(crate) struct Rootfs<'a> {
    pub(crate) sources: &'a HostSources,
    /// What is installed, and put in beside it.
    pub(crate) ingredients: &'a Ingredients,
    /// What the host's other clients fetched; becomes /usr/local.
    pub(crate) local: &'a Path,
    /// The host administrator's certificate authorities.
    pub(crate) authorities: &'a [PathBuf],
    /// The kernel's modules and their version.
    pub(crate) modules: (&'a Path, &'a str),
    /// Seconds since 1970 that no file is younger than.
    pub(crate) epoch: i64,
}

impl Rootfs<'_> {
    /// Builds the tar `target` with the help of the folder `work`.
    pub(crate) fn build(
        &self,
        work: &Path,
        target: &Path,
        ownership: Ownership,
        heard: &dyn Fn(&str),
    ) -> Result<(), RootfsError> {
        let extras = work.join("extras.tar");
        let sources = work.join("host.sources");
        Extras { rootfs: self }
            .write(&extras)
            .and_then(|()| std::fs::write(&sources, self.sources.deb822()))
            .map_err(|source| RootfsError::Extras { path: extras.clone(), source })?;
        let mut command = ownership.mount_apart(MMDEBSTRAP)?;
        command.env("SOURCE_DATE_EPOCH", self.epoch.to_string());
        if ownership == Ownership::Root {
            // A mapped root could not enter our folder; mmdebstrap then uses the system's.
            command.env("TMPDIR", work);
        }
        command.arg(format!("--mode={}", ownership.mode()));
        command.args(["--variant=minbase", "--format=tar"]);
        command.arg(format!("--include={}", self.ingredients.apt.join(",")));
        command.args(LEFT_OUT.iter().map(|option| format!("--dpkgopt={option}")));
        command.args(apt::host_options(heard)?.iter().map(|line| format!("--aptopt={line}")));
        command.arg(format!("--customize-hook=tar-in '{}' /", extras.display()));
        command.arg("--customize-hook=chroot \"$1\" /bin/sh /.machine-setup");
        if self.ingredients.setup.is_some() {
            command.arg("--customize-hook=chroot \"$1\" /bin/sh /.machine-recipe");
        }
        command.arg(&self.sources.codename).arg(target).arg(&sources);
        MMDEBSTRAP.run(command, heard)?;
        Ok(())
    }
}

/// Every `name=version` in a dpkg status file, sorted.
pub(crate) fn installed(status: &str) -> Vec<String> {
    let field = |stanza: &str, name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let mut packages: Vec<String> = status
        .split("\n\n")
        .filter(|stanza| field(stanza, "Status").is_some_and(|status| status.ends_with(" installed")))
        .filter_map(|stanza| Some(format!("{}={}", field(stanza, "Package")?, field(stanza, "Version")?)))
        .collect();
    packages.sort();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_are_listed() {
        let status = "Package: b\nStatus: install ok installed\nVersion: 2\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: a\nStatus: install ok installed\nVersion: 1:1-1\n";
        assert_eq!(installed(status), ["a=1:1-1", "b=2"]);
    }
}
