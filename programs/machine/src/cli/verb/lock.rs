//! `lock`: writes what the project's machine is made from into `Machinefile.lock`, or says what is not as it says.

use clap::Args;
use machine_machinefile::lock;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project;

/// Whether a lock that differs is written anew.
#[derive(Debug, Args)]
#[command(after_help = "\
Builds the project's template, if it is not here, to know what it is made from. Commit the lock with the
Machinefile: a start that would make something else is refused then.")]
pub(crate) struct LockArguments {
    /// write it anew where it differs
    #[arg(long)]
    update: bool,
}

/// Locks the project.
pub(crate) async fn lock(asked: LockArguments, desk: &Desk) -> Result<u8, Failure> {
    let project = project::need(desk)?;
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    project::ensure_ground(&project, desk, &mut progress).await?;
    drop(progress);
    let now = project::lock::now(&project, desk).await?;
    if let Some(locked) = project::lock::read(&project)?
        && !asked.update
    {
        let report = locked.judge(&now);
        if report.refuses() {
            return Err(project::told(&report, desk)?);
        }
        if report.findings().is_empty() {
            desk.voice.say(&format!("{} says what the machine is made from", lock::FILE));
            return Ok(0);
        }
    }
    project::lock::write(&project, &now)?;
    desk.voice.say(&format!("wrote {}", project.folder.join(lock::FILE).display()));
    Ok(0)
}
