//! `Machinefile.lock`: what a project's machine was made from, by digests, so that it is made from the same again.
//! What names mean today is found out by others and comes in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use machine_core::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::finding::{Finding, Report};
use crate::model::{Machinefile, ProvisionAction};
use crate::rule::Rule;
use crate::source::{Place, Sources};
use crate::whole_file;

/// The lock's name, beside the project's file.
pub const FILE: &str = "Machinefile.lock";
const VERSION: u32 = 1;
const LARGEST: u64 = 1 << 20;
const UPDATE: &str = "run `machine lock --update`, if that is meant";

/// What a machine is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// What names meant.
    pub resolved: Resolved,
    /// The project's scripts, by their paths.
    pub scripts: BTreeMap<String, Digest>,
}

/// What names meant when somebody looked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// The recipe of the template: what is installed into the base, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Digest>,
    /// The state of the package sources: a time, or whatever names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<String>,
}

/// One thing that is not as the lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What: `base`, `scripts.setup.sh`.
    pub what: String,
    /// What the lock says; absent if nothing.
    pub locked: Option<String>,
    /// What is; absent if it is gone.
    pub now: Option<String>,
}

/// Why a lock cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock or a script cannot be read or written.
    #[error("cannot lock {}", path.display())]
    File {
        /// What was tried on.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not say what it should.
    #[error("not a lock: {} (`machine lock --update` makes it anew)", path.display())]
    Damaged {
        /// The lock.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another build's.
    #[error("a lock of version {version}, and this build reads {VERSION}: {}", path.display())]
    Version {
        /// The lock.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl Lock {
    /// What a project's machine would be made from now.
    pub fn of(file: &Machinefile, folder: &Path, resolved: Resolved) -> Result<Self, LockError> {
        let mut scripts = BTreeMap::new();
        for step in &file.provision {
            match &step.action {
                ProvisionAction::Script(script) => {
                    let path = folder.join(script);
                    let bytes = std::fs::read(&path).map_err(|source| LockError::File { path, source })?;
                    scripts.insert(script.display().to_string(), spelled(&Sha256::digest(bytes)));
                }
                ProvisionAction::Run(_) | ProvisionAction::File { .. } => {}
            }
        }
        Ok(Self { version: VERSION, resolved, scripts })
    }

    /// The lock of a project; absent if it has none.
    pub fn read(folder: &Path) -> Result<Option<Self>, LockError> {
        let path = folder.join(FILE);
        let bytes = match std::fs::metadata(&path).and_then(|found| bounded(&path, &found)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LockError::File { path, source }),
        };
        let lock: Self =
            serde_json::from_slice(&bytes).map_err(|source| LockError::Damaged { path: path.clone(), source })?;
        if lock.version == VERSION { Ok(Some(lock)) } else { Err(LockError::Version { path, version: lock.version }) }
    }

    /// Writes the lock of a project, in place of the one that is there.
    pub fn write(&self, folder: &Path) -> Result<(), LockError> {
        let path = folder.join(FILE);
        whole_file::write_with_mode(&path, self.text().as_bytes(), 0o644)
            .map_err(|source| LockError::File { path, source })
    }

    /// As it is written: the same for the same machine, byte by byte.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n", serde_json::to_string_pretty(self).expect("names and digests are JSON"))
    }

    /// What is not as this lock says, now.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let (locked, found) = (self.pins(), now.pins());
        let names = locked.keys().chain(found.keys().filter(|name| !locked.contains_key(*name)));
        let pairs = names.map(|name| (name, locked.get(name).cloned(), found.get(name).cloned()));
        let differing = pairs.filter(|(_, locked, now)| locked != now);
        differing.map(|(name, locked, now)| Difference { what: name.clone(), locked, now }).collect()
    }

    /// As `differences`, as it is told: E006 for what differs, W002 for what the lock does not pin.
    #[must_use]
    pub fn judge(&self, now: &Self) -> Report {
        let mut sources = Sources::default();
        let file = sources.add(FILE.to_owned(), self.text());
        let findings = self.differences(now).into_iter().map(|difference| {
            let at = self.place(&difference.what, file);
            let (rule, message) = match (&difference.locked, &difference.now) {
                (None, now) => (Rule::W002, format!("{} is not locked: {}", difference.what, shown(now))),
                (locked, now) => {
                    let told = format!("{} is locked to {}, and is {} now", difference.what, shown(locked), shown(now));
                    (Rule::E006, told)
                }
            };
            Finding::new(rule, at, &sources, message, UPDATE.to_owned())
        });
        Report::new(findings.collect(), &sources)
    }

    fn pins(&self) -> BTreeMap<String, String> {
        let text = |digest: &Option<Digest>| digest.as_ref().map(Digest::to_string);
        let Resolved { base, template, packages } = &self.resolved;
        let names = [("base", text(base)), ("template", text(template)), ("packages", packages.clone())];
        let pins = names.into_iter().filter_map(|(name, pin)| pin.map(|pin| (name.to_owned(), pin)));
        pins.chain(self.scripts.iter().map(|(path, pin)| (format!("scripts.{path}"), pin.to_string()))).collect()
    }

    /// The line of a pin in the lock's text; the first, for one that is not there.
    fn place(&self, what: &str, file: usize) -> Place {
        let key = format!("\"{}\":", what.strip_prefix("scripts.").unwrap_or(what));
        let text = self.text();
        let found = text.lines().enumerate().find_map(|(line, text)| text.find(&key).map(|column| (line, column)));
        let (line, column) = found.unwrap_or((0, 0));
        Place { file, line: line + 1, column: column + 1, width: if found.is_some() { key.len() - 1 } else { 1 } }
    }
}

fn bounded(path: &Path, found: &std::fs::Metadata) -> io::Result<Vec<u8>> {
    if !found.is_file() || found.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no file of at most {LARGEST} bytes")));
    }
    std::fs::read(path)
}

fn shown(pin: &Option<String>) -> String {
    pin.as_ref().map_or("gone".to_owned(), |pin| crate::finding::printable(pin))
}

/// A hash as it is written.
pub(crate) fn spelled(hash: &[u8]) -> Digest {
    let mut text = "sha256:".to_owned();
    for byte in hash {
        let _ = write!(text, "{byte:02x}");
    }
    text.parse().expect("32 bytes in hexadecimal are a digest")
}
