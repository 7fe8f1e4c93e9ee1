//! `destroy`: machines go, with all that is their own. Asks first, if somebody is there to ask.

use std::io::{self, BufRead as _, Write as _};

use clap::Args;

use super::each;
use crate::cli::Desk;
use crate::cli::exit::{CONSENT_REFUSED, Failure};
use crate::cli::progress::{Progress, Trace};
use crate::cli::session;

const AFTER_HELP: &str = "\
Asks on a terminal, and needs --yes elsewhere.

Examples:
  machine destroy web
  machine ls -q | xargs machine destroy --yes";

/// Which machines.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DestroyArguments {
    /// do not ask
    #[arg(short, long)]
    yes: bool,

    /// machines to remove
    #[arg(value_name = "NAME", required = true)]
    machines: Vec<String>,
}

/// Removes machines.
pub(crate) async fn destroy(asked: DestroyArguments, desk: &Desk) -> Result<u8, Failure> {
    if !asked.yes {
        consent(&asked.machines, desk)?;
    }
    each(&asked.machines, desk, async |name| {
        let mut progress = Progress::new(&desk.voice, Trace::Kept);
        let machine =
            desk.link.ask(async |client| client.destroy(name, &mut |report| progress.tell(&report)).await).await?;
        progress.done(&format!("{} is {}", machine.called(), machine.phase));
        desk.voice.changed(&machine)
    })
    .await
}

fn consent(machines: &[String], desk: &Desk) -> Result<(), Failure> {
    let names = machines.join(" ");
    if !session::stdin_is_terminal() || !desk.voice.err.terminal {
        let message = format!("destroying needs consent, and nobody is here to ask: {names}");
        return Err(Failure::usage(message).hint("add --yes if it is meant"));
    }
    let failed = |error: io::Error| Failure::file("cannot ask", &error);
    write!(io::stderr(), "destroy {names} and all that is in it? [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage(format!("not destroyed: {names}")).exiting(CONSENT_REFUSED)),
    }
}
