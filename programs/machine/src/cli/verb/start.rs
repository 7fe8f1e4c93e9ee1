//! `start`: machines start; of a project, its machine is made if need be, provisioned, and waited for.

use clap::Args;

use super::each;
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project::{self, Project};
use crate::cli::word::served;

/// Which machines.
#[derive(Debug, Args)]
#[command(
    after_help = "Without NAME: the project's machine. It is made if there is none, and ready when this returns."
)]
pub(crate) struct StartArguments {
    /// machines to start; the project's, if left out
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Starts machines.
pub(crate) async fn start(asked: StartArguments, desk: &Desk) -> Result<u8, Failure> {
    if asked.machines.is_empty() {
        start_project(&project::need(desk)?, desk).await?;
        return Ok(0);
    }
    each(&asked.machines, desk, async |name| start_one(name, desk).await).await
}

/// Starts a project's machine and says so.
pub(super) async fn start_project(project: &Project, desk: &Desk) -> Result<(), Failure> {
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let machine = project::start(project, desk, &mut progress, project::How::Asked).await?;
    progress.done(&served::standing(&machine));
    desk.voice.changed(&machine)
}

/// Starts one machine and says so.
pub(super) async fn start_one(name: &str, desk: &Desk) -> Result<(), Failure> {
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let machine = desk.link.ask(async |client| client.start(name, &mut |report| progress.tell(&report)).await).await?;
    progress.done(&served::standing(&machine));
    desk.voice.changed(&machine)
}
