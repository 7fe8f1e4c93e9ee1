//! `stop`: machines power off. One that is off stays as it is.

use clap::Args;

use super::each;
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// machines to stop
    #[arg(value_name = "NAME", required = true)]
    machines: Vec<String>,
}

/// Stops machines.
pub(crate) async fn stop(asked: StopArguments, desk: &Desk) -> Result<u8, Failure> {
    each(&asked.machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let machine =
            desk.link.ask(async |client| client.stop(name, &mut |report| progress.tell(&report)).await).await?;
        progress.done(&format!("{} is {}", machine.called(), machine.phase));
        desk.voice.changed(&machine)
    })
    .await
}
