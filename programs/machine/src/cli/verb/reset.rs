//! `reset`: the project's machine as if it had just been made: destroyed, made anew, started.

use clap::Args;

use crate::cli::Desk;
use crate::cli::consent::{self, Deed};
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project;
use crate::cli::word::served;

/// Whether to ask.
#[derive(Debug, Args)]
#[command(after_help = "The project's folder stays as it is. Asks on a terminal, and needs --yes elsewhere.")]
pub(crate) struct ResetArguments {
    /// do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Makes the project's machine anew.
pub(crate) async fn reset(asked: ResetArguments, desk: &Desk) -> Result<u8, Failure> {
    let project = project::need(desk)?;
    if let Some(machine) = project.machine(desk).await? {
        if !asked.yes {
            let question = format!("destroy {} and all that is in it, and make it anew", machine.called());
            let names = machine.called();
            let deed = Deed { doing: "resetting", question: &question, refused: "not reset", names };
            consent::ask(deed, &desk.voice)?;
        }
        desk.link.ask(async |client| client.destroy(&machine.id, &mut |_| ()).await).await?;
        project.notes.forget();
    }
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let machine = project::start(&project, desk, &mut progress, project::How::Asked).await?;
    progress.done(&served::standing(&machine));
    desk.voice.changed(&machine)?;
    Ok(0)
}
