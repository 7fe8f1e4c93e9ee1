//! `logs`: what a machine's guest wrote to its console since its last start.

use clap::Args;
use machine_sdk::Follow;

use crate::cli::Desk;
use crate::cli::exit::Failure;

/// Which log, of which machine.
#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// the guest's console since its last start; the default
    #[arg(long)]
    boot: bool,

    /// go on until the machine runs no more
    #[arg(short, long)]
    follow: bool,

    /// machine whose log to print
    #[arg(value_name = "NAME")]
    machine: String,
}

/// Prints a log as it comes.
pub(crate) async fn logs(asked: LogsArguments, desk: &Desk) -> Result<u8, Failure> {
    let follow = if asked.follow { Follow::Yes } else { Follow::No };
    let mut log = desk.link.ask(async |client| client.boot_log(&asked.machine, follow).await).await?;
    while let Some(bytes) = log.next().await? {
        desk.voice.write(&bytes)?;
    }
    Ok(0)
}
