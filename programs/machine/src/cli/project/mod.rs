//! A project and its machine: found from the current folder, read, and known again after it was moved or copied.
//! What its file means is in `machine-machinefile`; what is done about it is here, over the SDK like everything.
//!
//! ```text
//! no machine ──template──▶ made ──started──▶ running ──fitted out──▶ fitted ──ready──▶ (start returns)
//!     ▲                      ▲                  │ stops               │ stops, or the file changes
//!     └──────destroyed───────┴──────────────────┴─────────────────────┘
//! ```

pub(crate) mod copies;
mod environment;
mod fit;
mod hooks;
mod identity;
pub(crate) mod lock;
pub(crate) mod means;
mod names;
mod notes;
mod open;
mod place;
mod provision;
mod ready;
mod services;
mod start;
mod stop;
mod template;
mod trust;
mod user;
pub(crate) mod wish;

use std::path::{Path, PathBuf};

use machine_machinefile::{Machinefile, ReadFile, Report};
use machine_sdk::MachineFilter;
use machine_sdk::api::{Code, MachineInfo};
use serde_json::{Map, Value};

use super::Desk;
use super::exit::Failure;
use notes::Notes;

pub(crate) use fit::provision_again;
pub(crate) use open::{find, known, need, need_known, told};
pub(crate) use start::{How, start};
pub(crate) use stop::{Consent, stop};
pub(crate) use template::ensure_ground;
pub(crate) use trust::{asks, is_trusted, record as record_trust};

/// The key in a machine's metadata by which it is known as a project's.
const PROJECT: &str = "project";
/// Where the project is, for people.
const FOLDER: &str = "project_folder";
/// The digest of what its file said when the machine was made.
const FILE: &str = "project_file";

/// A project: its folder, its file, and what is remembered of it.
#[derive(Debug)]
pub(crate) struct Project {
    /// The folder of the Machinefile, without links on the way.
    pub(crate) folder: PathBuf,
    /// Its file, resolved.
    pub(crate) file: Machinefile,
    /// What it was read from.
    pub(crate) files: Vec<ReadFile>,
    /// What is wrong with it that keeps it from being started alone, and warnings.
    pub(crate) report: Report,
    /// Who it is, also after it was moved.
    pub(crate) id: String,
    /// What this computer remembers of it.
    pub(crate) notes: Notes,
}

impl Project {
    /// Its machine, if there is one.
    pub(crate) async fn machine(&self, desk: &Desk) -> Result<Option<MachineInfo>, Failure> {
        machine_of(&self.id, desk).await
    }

    /// Its machine.
    ///
    /// # Errors
    /// If there is none yet.
    pub(crate) async fn made(&self, desk: &Desk) -> Result<MachineInfo, Failure> {
        self.machine(desk).await?.ok_or_else(|| no_machine(&self.folder))
    }

    /// The name of the template that its machine is made of.
    pub(crate) fn template(&self) -> Result<String, Failure> {
        template::name(self)
    }

    /// What it waits for, in the words of people.
    pub(crate) fn probe_names(&self) -> Vec<String> {
        self.file.ready.iter().map(ready::called).collect()
    }

    /// What is provisioned, in the words of people.
    pub(crate) fn provision_names(&self) -> Vec<String> {
        self.file.provision.iter().map(provision::called).collect()
    }

    /// The guest's name of the current folder; the machine's own working folder, if the guest does not have it.
    pub(crate) fn cwd(&self, desk: &Desk) -> String {
        let here = std::fs::canonicalize(&desk.context.cwd).unwrap_or_else(|_| desk.context.cwd.clone());
        let shown = self.file.mounts.iter().map(|mount| place::Shown {
            here: &mount.source,
            guest: &mount.guest,
            exclude: &mount.exclude,
        });
        place::in_guest(&here, shown).unwrap_or_else(|| self.file.workdir.clone())
    }
}

/// The machine that a verb means: the one named, or the project's own.
pub(crate) async fn meant_one(name: Option<&String>, desk: &Desk) -> Result<String, Failure> {
    match name {
        Some(name) => Ok(name.clone()),
        None => Ok(need_known(desk)?.made(desk).await?.id),
    }
}

fn no_machine(folder: &Path) -> Failure {
    let message = format!("this project has no machine yet: {}", folder.display());
    Failure::new(Code::MachineNotFound, message).hint("`machine start` makes it")
}

/// The machine of the project of this id, if there is one.
async fn machine_of(project: &str, desk: &Desk) -> Result<Option<MachineInfo>, Failure> {
    let metadata = Map::from_iter([(PROJECT.to_owned(), Value::String(project.to_owned()))]);
    let filter = MachineFilter { metadata, ..MachineFilter::default() };
    let found = desk.link.ask(async |client| client.list(&filter).await).await?;
    Ok(found.into_iter().next())
}
