//! `restart`: machines power off and boot again. One that is off boots.

use clap::Args;

use super::{each, start};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct RestartArguments {
    /// machines to stop and start
    #[arg(value_name = "NAME", required = true)]
    machines: Vec<String>,
}

/// Stops machines and starts them again.
pub(crate) async fn restart(asked: RestartArguments, desk: &Desk) -> Result<u8, Failure> {
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
