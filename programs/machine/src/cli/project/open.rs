//! Opening a project: its file found and read, its findings told, its identity settled.

use std::path::PathBuf;

use machine_machinefile::{Host, Reading, Report};
use machine_sdk::api::{Code, MachineInfo, MiB};

use super::notes::Notes;
use super::{Project, identity};
use crate::cli::Desk;
use crate::cli::exit::{Failure, USAGE};

/// The first port that everybody may listen at.
const FIRST_PORT: u16 = 1024;

/// Whose machine is meant, whatever the file says: who looks at a machine or removes it needs no more.
#[derive(Debug)]
pub(crate) struct Known {
    /// The folder of the Machinefile, without links on the way.
    folder: PathBuf,
    /// Who the project is, also after it was moved.
    id: String,
}

impl Known {
    /// Its machine, if there is one.
    pub(crate) async fn machine(&self, desk: &Desk) -> Result<Option<MachineInfo>, Failure> {
        super::machine_of(&self.id, desk).await
    }

    /// Its machine.
    ///
    /// # Errors
    /// If there is none yet.
    pub(crate) async fn made(&self, desk: &Desk) -> Result<MachineInfo, Failure> {
        self.machine(desk).await?.ok_or_else(|| super::no_machine(&self.folder))
    }
}

/// Whose machine the current folder's is; nothing, if no project is here.
pub(crate) fn known(desk: &Desk) -> Result<Option<Known>, Failure> {
    let Some(found) = look(desk)?.0 else { return Ok(None) };
    let id = identity::of(&found, &desk.voice)?;
    Ok(Some(Known { folder: found.folder, id }))
}

/// Whose machine the current folder's is.
///
/// # Errors
/// If no project is here.
pub(crate) fn need_known(desk: &Desk) -> Result<Known, Failure> {
    known(desk)?.ok_or_else(|| no_project(desk))
}

/// The project of the current folder; nothing, if there is none.
///
/// # Errors
/// If its file cannot be understood: all that is wrong with it has been told.
pub(crate) fn find(desk: &Desk) -> Result<Option<Project>, Failure> {
    let (Some(found), home) = look(desk)? else { return Ok(None) };
    let reading = machine_machinefile::read(&found, &host(home), &|name| desk.context.environment.get(name));
    if reading.report.refuses() {
        return Err(told(&reading.report, desk)?);
    }
    let Some(file) = reading.machinefile else {
        return Err(Failure::new(Code::InternalError, "a Machinefile without errors means nothing"));
    };
    let id = identity::of(&found, &desk.voice)?;
    let notes = Notes::of(&desk.context.home, &id);
    let Reading { files, report, .. } = reading;
    Ok(Some(Project { folder: found.folder, file, files, report, id, notes }))
}

/// The project of the current folder.
///
/// # Errors
/// If there is none, or its file cannot be understood.
pub(crate) fn need(desk: &Desk) -> Result<Project, Failure> {
    find(desk)?.ok_or_else(|| no_project(desk))
}

fn no_project(desk: &Desk) -> Failure {
    let message = format!("no Machinefile in {} or above it", desk.context.cwd.display());
    Failure::usage(message).hint("`machine init` writes one; or name a machine: `machine ls` lists them")
}

/// Where the current folder's project is, if there is one, and where whoever asks is at home.
fn look(desk: &Desk) -> Result<(Option<machine_machinefile::Project>, Option<PathBuf>), Failure> {
    let context = &desk.context;
    let cwd = std::fs::canonicalize(&context.cwd);
    let cwd = cwd.map_err(|error| Failure::path("cannot find the current folder", &context.cwd, &error))?;
    let home: Option<PathBuf> = context.personal.as_ref().and_then(|home| std::fs::canonicalize(home).ok());
    Ok((machine_machinefile::find(&cwd, home.as_deref()), home))
}

/// Tells findings: as text to standard error, or with `--json` as a document.
pub(crate) fn told(report: &Report, desk: &Desk) -> Result<Failure, Failure> {
    if desk.voice.json() {
        desk.voice.document(&serde_json::json!({ "errors": report.findings() }))?;
    } else {
        use std::io::Write as _;
        // Nobody is left to be told that standard error is gone.
        let _ = std::io::stderr().write_all(report.render().as_bytes());
    }
    Ok(Failure::quiet(USAGE))
}

/// What the checks of a file must know of this computer.
pub(crate) fn host(home: Option<PathBuf>) -> Host {
    let facts = rustix::system::sysinfo();
    let memory = facts.totalram.saturating_mul(u64::from(facts.mem_unit)) >> 20;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let first_port = if rustix::process::geteuid().is_root() { 0 } else { FIRST_PORT };
    Host { cpus: u32::try_from(cpus).unwrap_or(u32::MAX), memory: MiB(memory), home, first_port }
}
