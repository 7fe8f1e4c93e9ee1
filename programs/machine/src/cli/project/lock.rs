//! The lock of a project: what its machine is made from, committed beside the file, so that a colleague's is the same.
//! A start that would make something else is refused; `machine lock --update` agrees to it.

use machine_machinefile::lock::{Lock, LockError, Resolved};
use machine_machinefile::model::Base;
use machine_sdk::api::Code;
use sha2::{Digest as _, Sha256};

use super::{Project, open, template, wish};
use crate::cli::Desk;
use crate::cli::exit::Failure;

/// What the project's machine is made from now. Its ground template must be there.
pub(crate) async fn now(project: &Project, desk: &Desk) -> Result<Lock, Failure> {
    let ground = template::ground(project)?;
    let templates = desk.link.ask(async |client| client.templates().await).await?;
    let built = templates.into_iter().find(|template| template.name == ground).map(|template| template.digest);
    let digest = |text: &str| {
        let parsed = text.parse();
        parsed.map_err(|error| Failure::new(Code::InternalError, format!("not a digest: {text}: {error}")))
    };
    let resolved = match &project.file.base {
        Base::Template(_) => {
            Resolved { base: built.as_deref().map(digest).transpose()?, template: None, packages: None }
        }
        Base::Debian12 => {
            let recipe = wish::hex(&Sha256::digest(wish::recipe(&project.file)?.canonical().as_bytes()));
            Resolved { base: None, template: Some(digest(&format!("sha256:{recipe}"))?), packages: built }
        }
    };
    Lock::of(&project.file, &project.folder, resolved).map_err(|error| failure(&error))
}

/// The lock that is there, if one is.
pub(crate) fn read(project: &Project) -> Result<Option<Lock>, Failure> {
    Lock::read(&project.folder).map_err(|error| failure(&error))
}

/// Writes the lock.
pub(crate) fn write(project: &Project, lock: &Lock) -> Result<(), Failure> {
    lock.write(&project.folder).map_err(|error| failure(&error))
}

/// Goes on if there is no lock, or the machine would be made from what it says.
///
/// # Errors
/// E006, with all that differs.
pub(super) async fn check(project: &Project, desk: &Desk) -> Result<(), Failure> {
    let Some(lock) = read(project)? else { return Ok(()) };
    let report = lock.judge(&now(project, desk).await?);
    if report.refuses() { Err(open::told(&report, desk)?) } else { Ok(()) }
}

fn failure(error: &LockError) -> Failure {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure::new(Code::FileError, format!("{error}{source}"))
}
