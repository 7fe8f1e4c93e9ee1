//! `resume`: machines go on from wherever they rest, and answer. One that is stopped starts.

use clap::Args;

use super::{each, start};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project;
use crate::cli::word::served;

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// machines that shall go on; the project's, if left out
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Lets machines go on.
pub(crate) async fn resume(asked: ResumeArguments, desk: &Desk) -> Result<u8, Failure> {
    if asked.machines.is_empty() {
        start::start_project(&project::need(desk)?, desk).await?;
        return Ok(0);
    }
    each(&asked.machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let mut launched = false;
        let machine = desk.link.ask(async |client| {
            let mut tell = |report| {
                launched = true;
                progress.tell(&report);
            };
            client.resume(name, &mut tell).await
        });
        let machine = machine.await?;
        // One that was only paused has no start to tell of.
        let is = format!("{} is {}", machine.called(), machine.phase);
        progress.done(&if launched { served::standing(&machine) } else { is });
        desk.voice.changed(&machine)
    })
    .await
}
