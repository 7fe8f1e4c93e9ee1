//! `pause`: machines stop where they are; their memory stays in memory. One that is paused stays as it is.

use clap::Args;

use super::{each, named_or_the_projects};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};

/// Which machines.
#[derive(Debug, Args)]
#[command(after_help = "`machine resume` lets them go on. A paused machine takes memory, and no processor.")]
pub(crate) struct PauseArguments {
    /// machines to pause; the project's, if left out
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Pauses machines.
pub(crate) async fn pause(asked: PauseArguments, desk: &Desk) -> Result<u8, Failure> {
    let machines = named_or_the_projects(asked.machines, desk).await?;
    each(&machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let machine =
            desk.link.ask(async |client| client.pause(name, &mut |report| progress.tell(&report)).await).await?;
        progress.done(&format!("{} is {}", machine.called(), machine.phase));
        desk.voice.changed(&machine)
    })
    .await
}
