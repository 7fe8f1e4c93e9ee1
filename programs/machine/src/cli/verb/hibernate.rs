//! `hibernate`: the memory of machines goes to the disk, and their processes end. One that is hibernated stays as it is.

use clap::Args;

use super::{each, named_or_the_projects};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};

/// Which machines.
#[derive(Debug, Args)]
#[command(
    after_help = "`machine resume` lets them go on where they were. A hibernated machine takes disk, and neither \
memory nor processor."
)]
pub(crate) struct HibernateArguments {
    /// machines to hibernate; the project's, if left out
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Hibernates machines.
pub(crate) async fn hibernate(asked: HibernateArguments, desk: &Desk) -> Result<u8, Failure> {
    let machines = named_or_the_projects(asked.machines, desk).await?;
    each(&machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let machine =
            desk.link.ask(async |client| client.hibernate(name, &mut |report| progress.tell(&report)).await).await?;
        progress.done(&format!("{} is {}", machine.called(), machine.phase));
        desk.voice.changed(&machine)
    })
    .await
}
