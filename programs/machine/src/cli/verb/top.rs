//! `top`: what running machines cost this host: once, or over and over on a terminal.
//!
//! ```text
//! look ──pause──▶ look ──▶ rows (of both) ──▶ table, JSON
//!                   └──on a terminal: screen ──pause──▶ look … until q, Ctrl-C or a signal
//! ```

mod rows;
mod screen;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use machine_sdk::Guests;
use machine_sdk::api::UsageInfo;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::session::{Signals, stdin_is_terminal};
use rows::{rows, shown};
use screen::{Keys, Screen};

/// Between the first two looks: processor time is counted in hundredths of a second.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// Between later ones.
const PAUSE: Duration = Duration::from_secs(2);

const AFTER_HELP: &str = "\
On a terminal it goes on until q or Ctrl-C.

  CPU %          of one processor of this host
  RSS            memory of the machine's VMM that is present
  PRIVATE        what nobody else has of it
  GUEST PRIVATE  the guest's memory that is its own
  SHARED         the guest's memory that it shares with its image
  DISK           what its own disk occupies
  GUEST USED     memory in use, in the guest's words; - if it does not answer at once

Examples:
  machine top
  machine top web db --once
  machine top --json";

/// Which machines, and how often.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TopArguments {
    /// print one table and end, as where standard output is no terminal
    #[arg(long)]
    once: bool,

    /// running machines to show; else all
    #[arg(value_name = "NAME")]
    machines: Vec<String>,
}

/// Which machines are shown.
enum Chosen {
    All,
    /// Those with these ids.
    Some(BTreeSet<String>),
}

/// Shows what running machines cost.
pub(crate) async fn top(asked: TopArguments, desk: &Desk) -> Result<u8, Failure> {
    let chosen = choose(&asked.machines, desk).await?;
    let voice = &desk.voice;
    let once = asked.once || voice.json() || voice.bare() || !voice.out.terminal || !stdin_is_terminal();
    if once { snapshot(&chosen, desk).await } else { watch(&chosen, desk).await }
}

/// Names become ids once, so that a name that another machine takes meanwhile is not mixed up.
async fn choose(names: &[String], desk: &Desk) -> Result<Chosen, Failure> {
    if names.is_empty() {
        return Ok(Chosen::All);
    }
    let mut ids = BTreeSet::new();
    for name in names {
        ids.insert(desk.link.ask(async |client| client.usage(name, Guests::LeftAlone).await).await?.id);
    }
    Ok(Chosen::Some(ids))
}

/// One look at the machines that are shown. One that ended meanwhile is not among them.
async fn look(chosen: &Chosen, guests: Guests, desk: &Desk) -> Result<Vec<UsageInfo>, Failure> {
    let mut usages = desk.link.ask(async |client| client.usages(guests).await).await?;
    match chosen {
        Chosen::All => {}
        Chosen::Some(ids) => usages.retain(|usage| ids.contains(&usage.id)),
    }
    Ok(usages)
}

async fn snapshot(chosen: &Chosen, desk: &Desk) -> Result<u8, Failure> {
    let voice = &desk.voice;
    let before = look(chosen, Guests::LeftAlone, desk).await?;
    if voice.bare() && !voice.json() {
        let handle = |usage: &UsageInfo| if voice.quiet { usage.id.clone() } else { usage.called().to_owned() };
        voice.print(&before.iter().map(|usage| handle(usage) + "\n").collect::<String>())?;
        return Ok(0);
    }
    tokio::time::sleep(FIRST_PAUSE).await;
    let rows = rows(&before, look(chosen, Guests::Asked, desk).await?);
    if voice.json() {
        voice.document(&rows)?;
    } else {
        voice.print(&shown(&rows, voice.format, voice.out.paint))?;
    }
    Ok(0)
}

async fn watch(chosen: &Chosen, desk: &Desk) -> Result<u8, Failure> {
    let mut signals = Signals::catch()?;
    let mut before = look(chosen, Guests::LeftAlone, desk).await?;
    let screen = Screen::enter()?;
    let mut keys = Keys::listen();
    let mut pause = FIRST_PAUSE;
    loop {
        let next = async {
            tokio::time::sleep(pause).await;
            look(chosen, Guests::Asked, desk).await
        };
        let now = tokio::select! {
            now = next => now?,
            () = keys.quit() => return Ok(0),
            caught = signals.next() => return Ok(caught.exit()),
        };
        let rows = rows(&before, now.clone());
        screen.draw(&shown(&rows, desk.voice.format, Paint::Plain), desk)?;
        (before, pause) = (now, PAUSE);
    }
}
