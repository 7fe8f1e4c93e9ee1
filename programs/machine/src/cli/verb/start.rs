//! `start`: machines boot. One that runs stays as it is.

use clap::Args;

use super::each;
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::word::served;

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// machines to start
    #[arg(value_name = "NAME", required = true)]
    machines: Vec<String>,
}

/// Starts machines.
pub(crate) async fn start(asked: StartArguments, desk: &Desk) -> Result<u8, Failure> {
    each(&asked.machines, desk, async |name| start_one(name, desk).await).await
}

/// Starts one machine and says so.
pub(super) async fn start_one(name: &str, desk: &Desk) -> Result<(), Failure> {
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let machine = desk.link.ask(async |client| client.start(name, &mut |report| progress.tell(&report)).await).await?;
    progress.done(&served::standing(&machine));
    desk.voice.changed(&machine)
}
