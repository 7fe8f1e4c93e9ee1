//! `run`: a command in the project's machine, in the folder where we are; without a Machinefile, or with `--rm`, in a
//! machine that is made for it and removed.

use std::time::Duration;

use clap::Args;
use machine_sdk::api::attach::AttachStart;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project::{self, Project};
use crate::cli::session::{self, Signals, Stdin, Wish};
use crate::cli::throwaway::{Made, Throwaway};
use crate::cli::verb::exec;
use crate::cli::wanted::Wanted;
use crate::cli::word::duration;

const AFTER_HELP: &str = "\
In a project (a folder with a Machinefile, or below it) the command runs in the project's machine, which
is started if it does not run, in the same folder, as the project's user. Elsewhere, and with --rm, a
machine is made for the command and removed in every case; the flags under Machine and Network are for it.
Standard input, signals and the terminal, if there is one, are the command's; so is the exit code.
The phases are shown while they last on a terminal only; --verbose prints them everywhere.

Examples:
  machine run npm ci
  machine run --rm -- uname -a
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

/// Runs a command in the project's machine, or in one that is made for it.
pub(crate) async fn run(asked: RunArguments, desk: &Desk) -> Result<u8, Failure> {
    if asked.rm {
        return in_throwaway(asked, desk).await;
    }
    let Some(project) = project::find(desk)? else { return in_throwaway(asked, desk).await };
    if !asked.wanted.is_usual() {
        let message = "flags of a throw-away machine, and a Machinefile is here";
        return Err(Failure::usage(message).hint("say it in the Machinefile, or use --rm for a throw-away machine"));
    }
    let trace = if asked.verbose { Some(Trace::Kept) } else { None };
    let start = exec::start(asked.command, asked.wanted.env, asked.workdir, asked.user, asked.timeout);
    traced_in_project(&project, start, trace, desk).await
}

/// Runs a command in a project's machine, with our streams.
pub(crate) async fn in_project(project: &Project, start: AttachStart, desk: &Desk) -> Result<u8, Failure> {
    traced_in_project(project, start, None, desk).await
}

async fn traced_in_project(
    project: &Project,
    start: AttachStart,
    trace: Option<Trace>,
    desk: &Desk,
) -> Result<u8, Failure> {
    let mut progress = match trace {
        Some(trace) => Progress::new(&desk.voice, trace),
        None if desk.voice.live => Progress::new(&desk.voice, Trace::Wiped),
        None => Progress::silent(),
    };
    let machine = project::start(project, desk, &mut progress, project::How::OnTheWay).await?;
    drop(progress);
    let mut signals = Signals::catch()?;
    let start = AttachStart {
        cwd: start.cwd.or_else(|| Some(project.cwd(desk))),
        user: start.user.or_else(|| Some(project.file.user.name.clone())),
        ..start
    };
    let with_terminal = session::stdin_is_terminal() && session::stdout_is_terminal();
    let terminal = with_terminal.then(|| desk.context.term.clone());
    let wish = Wish { start, stdin: Stdin::Forwarded, terminal };
    session::attached(&desk.link.client().await?, &machine.id, wish, &mut signals, &desk.voice).await
}

async fn in_throwaway(asked: RunArguments, desk: &Desk) -> Result<u8, Failure> {
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
