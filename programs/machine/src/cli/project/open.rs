//! Opening a project: its file found and read, its findings told, its identity settled.

use std::path::PathBuf;

use machine_machinefile::{Host, Reading, Report};
use machine_sdk::api::{Code, MiB};

use super::notes::Notes;
use super::{Project, identity};
use crate::cli::Desk;
use crate::cli::exit::{Failure, USAGE};

/// The first port that everybody may listen at.
const FIRST_PORT: u16 = 1024;

/// The project of the current folder; nothing, if there is none.
///
/// # Errors
/// If its file cannot be understood: all that is wrong with it has been told.
pub(crate) fn find(desk: &Desk) -> Result<Option<Project>, Failure> {
    let Some((found, reading)) = read(desk)? else { return Ok(None) };
    if reading.report.refuses() {
        return Err(told(&reading.report, desk)?);
    }
    let Some(file) = reading.machinefile else {
        return Err(Failure::new(Code::InternalError, "a Machinefile without errors means nothing"));
    };
    let id = identity::of(&found, &desk.voice)?;
    let notes = Notes::of(&desk.context.home, &id);
    Ok(Some(Project { folder: found.folder, file, files: reading.files, id, notes }))
}

/// The project of the current folder.
///
/// # Errors
/// If there is none, or its file cannot be understood.
pub(crate) fn need(desk: &Desk) -> Result<Project, Failure> {
    find(desk)?.ok_or_else(|| {
        let message = format!("no Machinefile in {} or above it", desk.context.cwd.display());
        Failure::usage(message).hint("`machine init` writes one; or name a machine: `machine ls` lists them")
    })
}

/// A project's file as it is, with what is wrong in it.
pub(crate) fn read(desk: &Desk) -> Result<Option<(machine_machinefile::Project, Reading)>, Failure> {
    let context = &desk.context;
    let cwd = std::fs::canonicalize(&context.cwd);
    let cwd = cwd.map_err(|error| Failure::path("cannot find the current folder", &context.cwd, &error))?;
    let home: Option<PathBuf> = context.personal.as_ref().and_then(|home| std::fs::canonicalize(home).ok());
    let Some(found) = machine_machinefile::find(&cwd, home.as_deref()) else { return Ok(None) };
    let reading = machine_machinefile::read(&found, &host(home), &|name| context.environment.get(name));
    Ok(Some((found, reading)))
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
