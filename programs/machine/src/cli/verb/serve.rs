//! `serve --stop`: ends the server that runs. Running one is in the program's own `serve/`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use machine_sdk::SdkError;
use machine_sdk::api::Code;
use machine_sdk::api::server::MachinesThen;
use tokio::time::Instant;

use crate::cli::Desk;
use crate::cli::exit::Failure;

/// How long a server may take to end, with machines to stop.
const DEADLINE: Duration = Duration::from_secs(120);

/// Whether a server is run or ended.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// started by the command line: leaves its session and logs to a file
    #[arg(long, hide = true)]
    pub(crate) on_demand: bool,

    /// end the server that runs
    #[arg(long, conflicts_with = "on_demand")]
    pub(crate) stop: bool,

    /// with --stop: leave the machines that run to the next server, or stop them
    #[arg(long, value_name = "leave|stop", requires = "stop", default_value = "leave", hide_possible_values = true)]
    machines: Machines,
}

/// What becomes of running machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Machines {
    /// they go on, and the next server finds them
    Leave,
    /// they are stopped first
    Stop,
}

/// Ends the server that runs.
pub(crate) async fn serve(asked: ServeArguments, desk: &Desk) -> Result<u8, Failure> {
    let Some(client) = desk.link.client_if_there().await? else {
        desk.voice.say("no server runs");
        return Ok(0);
    };
    let pid = client.version().await?.pid;
    let machines = match asked.machines {
        Machines::Leave => MachinesThen::Leave,
        Machines::Stop => MachinesThen::Stop,
    };
    client.shutdown(machines).await?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        match client.version().await {
            Err(SdkError::Unreachable { .. }) => break,
            // Another one took its place.
            Ok(version) if version.pid != pid => break,
            Ok(_) | Err(SdkError::Refused(..) | SdkError::Broken { .. }) if Instant::now() > deadline => {
                let message = format!("the server still runs after {} s (pid {pid})", DEADLINE.as_secs());
                return Err(Failure::new(Code::InternalError, message).reason("server_not_stopped"));
            }
            Ok(_) | Err(SdkError::Refused(..) | SdkError::Broken { .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    desk.voice.say(&format!("stopped the server (pid {pid})"));
    Ok(0)
}
