//! `events`: the history of machines, oldest first.

use std::time::Duration;

use clap::Args;
use machine_sdk::api::event::EventInfo;

use crate::cli::Desk;
use crate::cli::exit::Failure;

/// How many are asked for at once.
const PAGE: u32 = 500;
/// How often a history is asked for that is followed.
const PAUSE: Duration = Duration::from_millis(500);

const AFTER_HELP: &str = "\
With --json one document per line. Its `number` grows; --after goes on where a program left off.";

/// Which events.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct EventsArguments {
    /// go on with what happens from now on
    #[arg(short, long)]
    follow: bool,

    /// only events after this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
}

/// Prints the history.
pub(crate) async fn events(asked: EventsArguments, desk: &Desk) -> Result<u8, Failure> {
    let mut after = asked.after;
    loop {
        let page = desk.link.ask(async |client| client.events(after, PAGE).await).await?;
        for event in &page.events {
            if desk.voice.json() {
                desk.voice.line(event)?;
            } else {
                desk.voice.print(&line(event))?;
            }
        }
        after = page.last.max(after);
        if page.events.is_empty() {
            if !asked.follow {
                return Ok(0);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn line(event: &EventInfo) -> String {
    let reason = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{:.3}  {}  {}, {}{reason}", event.at, event.machine, event.what, event.state)
}
