//! `run`: a command in a throw-away machine. Project machines come with the Machinefile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::session::{self, Signals, Stdin, Wish};
use crate::cli::throwaway::{Made, Throwaway};
use crate::cli::verb::exec;
use crate::cli::wanted::Wanted;
use crate::cli::word::duration;

const AFTER_HELP: &str = "\
The machine is made, the command is run in it, and the machine is removed in every case. Standard
input, signals and the terminal, if there is one, are the command's, and the exit code is its own.
The phases are shown while they last on a terminal only; --verbose prints them everywhere.
A Machinefile is not read by this version: where there is one, --rm says that none is meant.

Examples:
  machine run -- uname -a
  machine run --rm --memory 2GiB -- bash
  printf 'hello' | machine run -- sha256sum
  machine run -e MODE=test -w /tmp --timeout 5m -- ./check";

/// What is to be run, in what.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RunArguments {
    /// use a throw-away machine even where there is a Machinefile
    #[arg(long)]
    pub(crate) rm: bool,

    #[command(flatten)]
    wanted: Wanted,

    /// folder to start it in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// the guest's user to run it as [default: root]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// end it after this time: 30s, 10m, 2h, or a number of seconds; 0 is never
    #[arg(long, value_name = "DURATION", value_parser = duration::read)]
    timeout: Option<Duration>,

    /// print the phases with their times
    #[arg(short, long)]
    verbose: bool,

    /// the program and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true, required = true)]
    pub(crate) command: Vec<String>,
}

/// Where a project's file may lie, from its folder.
const MACHINEFILES: [&str; 3] = ["Machinefile", "Machinefile.yaml", ".machine/Machinefile"];

/// Runs a command in a machine that is made for it.
pub(crate) async fn run(asked: RunArguments, desk: &Desk) -> Result<u8, Failure> {
    if !asked.rm
        && let Some(file) = machinefile(&desk.context.cwd)
    {
        let message = format!("this version does not read Machinefiles: {}", file.display());
        return Err(Failure::usage(message).hint("project machines come later; use --rm for a throw-away machine"));
    }
    let mut signals = Signals::catch()?;
    let machine = Throwaway::new(desk)?;
    let ended = make_and_execute(&machine, asked, desk, &mut signals).await;
    let removed = machine.remove(&mut signals).await;
    match (ended, removed) {
        (Ok(code), Err(failure)) => {
            // The command's exit code stays its own.
            desk.voice.fail(&failure);
            Ok(code)
        }
        (ended, _) => ended,
    }
}

async fn make_and_execute(
    machine: &Throwaway<'_>,
    asked: RunArguments,
    desk: &Desk,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let mut progress = progress(&asked, desk);
    match machine.make(asked.wanted.request(), &mut progress, signals).await? {
        Made::Ready if asked.verbose => progress.done("ready"),
        Made::Ready => drop(progress),
        Made::Interrupted(caught) => return Ok(caught.exit()),
    }
    let with_terminal = session::stdin_is_terminal() && session::stdout_is_terminal();
    let wish = Wish {
        start: exec::start(asked.command, Vec::new(), asked.workdir, asked.user, asked.timeout),
        stdin: Stdin::Forwarded,
        terminal: with_terminal.then(|| desk.context.term.clone()),
    };
    let client = desk.link.client().await?;
    session::attached(&client, &machine.name, wish, signals, &desk.voice).await
}

fn progress(asked: &RunArguments, desk: &Desk) -> Progress {
    if asked.verbose {
        Progress::new(&desk.voice, Trace::Kept)
    } else if desk.voice.live {
        Progress::new(&desk.voice, Trace::Wiped)
    } else {
        Progress::silent()
    }
}

/// The project's file, from this folder upward to the root of its repository.
fn machinefile(from: &Path) -> Option<PathBuf> {
    for folder in from.ancestors() {
        if let Some(found) = MACHINEFILES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
            return Some(found);
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_machinefile_is_found_upward_to_the_root_of_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let (repository, below) = (folder.path().join("r"), folder.path().join("r/a/b"));
        fs::create_dir_all(&below).unwrap();
        fs::create_dir(repository.join(".git")).unwrap();
        fs::write(folder.path().join("Machinefile"), "").unwrap();
        assert_eq!(machinefile(&below), None);
        fs::create_dir(repository.join(".machine")).unwrap();
        fs::write(repository.join(".machine/Machinefile"), "").unwrap();
        assert_eq!(machinefile(&below), Some(repository.join(".machine/Machinefile")));
    }
}
