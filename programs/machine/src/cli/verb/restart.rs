//! `restart`: machines power off and boot again. One that is off boots.

use clap::Args;

use super::{each, start, stop};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project::{self, Consent};

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct RestartArguments {
    /// do not ask about what goes with a project's root
    #[arg(short, long)]
    yes: bool,

    /// machines to stop and start; the project's, if left out
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Stops machines and starts them again.
pub(crate) async fn restart(asked: RestartArguments, desk: &Desk) -> Result<u8, Failure> {
    if asked.machines.is_empty() {
        let project = project::need(desk)?;
        let consent = if asked.yes { Consent::Given } else { Consent::Asked };
        if project.machine(desk).await?.is_some() {
            stop::stop_project(&project, consent, desk).await?;
        }
        start::start_project(&project, desk).await?;
        return Ok(0);
    }
    each(&asked.machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let machine =
            desk.link.ask(async |client| client.stop(name, &mut |report| progress.tell(&report)).await).await?;
        drop(progress);
        // By its id: a name may have been given to another one meanwhile.
        start::start_one(&machine.id, desk).await
    })
    .await
}
