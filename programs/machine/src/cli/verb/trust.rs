//! `trust`: shows what a Machinefile asks of this computer beyond its own folder, and remembers that it may.

use clap::Args;

use crate::cli::Desk;
use crate::cli::consent::{self, Deed};
use crate::cli::exit::Failure;
use crate::cli::project;

/// Whether to ask.
#[derive(Debug, Args)]
#[command(after_help = "\
Trust is for the file as it is, in this folder: changed or copied, it is asked for again.
Asks on a terminal, and needs --yes elsewhere; --show only shows.")]
pub(crate) struct TrustArguments {
    /// do not ask
    #[arg(short, long, conflicts_with = "show")]
    yes: bool,

    /// show what is asked for, and change nothing
    #[arg(long)]
    show: bool,
}

/// Trusts the project's file.
pub(crate) fn trust(asked: TrustArguments, desk: &Desk) -> Result<u8, Failure> {
    let project = project::need(desk)?;
    let asks = project::asks(&project, desk);
    let trusted = project::is_trusted(&project, desk)?;
    if desk.voice.json() {
        desk.voice.document(&serde_json::json!({ "asks": asks, "trusted": trusted || asks.is_empty() }))?;
    } else if asks.is_empty() {
        desk.voice.say("this Machinefile asks for nothing that needs trust");
    } else {
        desk.voice.print(&asks.join("\n"))?;
    }
    if asks.is_empty() || trusted || asked.show {
        return Ok(0);
    }
    if !asked.yes {
        let names = project.folder.display().to_string();
        let question = "let this Machinefile do that on this computer";
        consent::ask(Deed { doing: "trusting", question, refused: "not trusted", names: &names }, &desk.voice)?;
    }
    project::record_trust(&project, desk)?;
    desk.voice.say("trusted, until the file changes");
    Ok(0)
}
