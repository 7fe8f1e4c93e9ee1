//! What the environment and the secrets of a machine are, when it starts: files are read here, commands are not
//! run. A secret's value appears in no error.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::dotenv::{self, BadLine};
use crate::model::{Machinefile, SecretSource};
use crate::paths;
use crate::walk::Lookup;

/// Why the environment or a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Lines of a file are no assignments.
    #[error("{}: {}", path.display(), lines.iter().map(BadLine::to_string).collect::<Vec<_>>().join("; "))]
    Lines {
        /// The file.
        path: PathBuf,
        /// Each of them.
        lines: Vec<BadLine>,
    },
    /// A variable of the host is not set.
    #[error("the variable {0} is not set")]
    Unset(String),
}

/// A secret's value, or what would give it.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// The value. It is not shown.
    Known(Vec<u8>),
    /// What this command prints; whoever has trust may run it.
    Printed(String),
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(_) => f.write_str("Known(..)"),
            Self::Printed(command) => f.debug_tuple("Printed").field(command).finish(),
        }
    }
}

/// The environment of a project's commands: its files in their order, and `env` over them.
pub fn environment(
    file: &Machinefile,
    folder: &Path,
    home: Option<&Path>,
) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let mut whole = BTreeMap::new();
    for env in &file.env_files {
        let path = paths::on_host(folder, home, &env.path);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                whole.extend(dotenv::parse(&text).map_err(|lines| EnvironmentError::Lines { path, lines })?);
            }
            Err(error) if env.optional && error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(EnvironmentError::Read { path, source }),
        }
    }
    whole.extend(file.env.clone());
    Ok(whole)
}

/// The largest secret, in bytes.
const LARGEST: usize = 1 << 20;

/// A secret's value, from a variable or a file. A command is handed back: it is not run here.
pub fn secret(
    source: &SecretSource,
    folder: &Path,
    home: Option<&Path>,
    lookup: Lookup<'_>,
) -> Result<SecretValue, EnvironmentError> {
    match source {
        SecretSource::Env(name) => match lookup(name) {
            Some(value) => Ok(SecretValue::Known(value.into_bytes())),
            None => Err(EnvironmentError::Unset(name.clone())),
        },
        SecretSource::File(path) => {
            let path = paths::on_host(folder, home, path);
            let value = bounded(&path).map_err(|source| EnvironmentError::Read { path, source })?;
            Ok(SecretValue::Known(value))
        }
        SecretSource::Command(command) => Ok(SecretValue::Printed(command.clone())),
    }
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(most).read_to_end(&mut value)?;
    if value.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {LARGEST} bytes")));
    }
    Ok(value)
}
