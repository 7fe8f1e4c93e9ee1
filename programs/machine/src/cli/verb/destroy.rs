//! `destroy`: machines go, with all that is their own. Asks first, if somebody is there to ask.

use clap::Args;

use super::each;
use crate::cli::Desk;
use crate::cli::consent::{self, Deed};
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project;

const AFTER_HELP: &str = "\
Asks on a terminal, and needs --yes elsewhere.

Examples:
  machine destroy
  machine destroy web
  machine ls -q | xargs machine destroy --yes";

/// Which machines.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DestroyArguments {
    /// do not ask
    #[arg(short, long)]
    yes: bool,

    /// machines to remove; the project's, if left out
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Removes machines.
pub(crate) async fn destroy(asked: DestroyArguments, desk: &Desk) -> Result<u8, Failure> {
    let machines = match asked.machines.is_empty() {
        false => asked.machines,
        // Its goal holds where there is none.
        true => match project::need_known(desk)?.machine(desk).await? {
            Some(machine) => vec![machine.called().to_owned()],
            None => return Ok(0),
        },
    };
    if !asked.yes {
        let names = machines.join(" ");
        let question = format!("destroy {names} and all that is in it");
        let deed = Deed { doing: "destroying", question: &question, refused: "not destroyed", names: &names };
        consent::ask(deed, &desk.voice)?;
    }
    each(&machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let machine =
            desk.link.ask(async |client| client.destroy(name, &mut |report| progress.tell(&report)).await).await?;
        progress.done(&format!("{} is {}", machine.called(), machine.phase));
        desk.voice.changed(&machine)
    })
    .await
}
