//! `stop`: machines power off. One that is off stays as it is.

use clap::Args;

use super::each;
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project::{self, Consent, Project};

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// do not ask about what goes with a project's root
    #[arg(short, long)]
    yes: bool,

    /// machines to stop; the project's, if left out
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Stops machines.
pub(crate) async fn stop(asked: StopArguments, desk: &Desk) -> Result<u8, Failure> {
    if asked.machines.is_empty() {
        let consent = if asked.yes { Consent::Given } else { Consent::Asked };
        return stop_project(&project::need(desk)?, consent, desk).await.map(|()| 0);
    }
    each(&asked.machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let machine =
            desk.link.ask(async |client| client.stop(name, &mut |report| progress.tell(&report)).await).await?;
        progress.done(&format!("{} is {}", machine.called(), machine.phase));
        desk.voice.changed(&machine)
    })
    .await
}

/// Stops a project's machine and says so.
pub(super) async fn stop_project(project: &Project, consent: Consent, desk: &Desk) -> Result<(), Failure> {
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let machine = project::stop(project, consent, desk, &mut progress).await?;
    progress.done(&format!("{} is {}", machine.called(), machine.phase));
    desk.voice.changed(&machine)
}
