//! `shell`: an interactive shell in a machine. A terminal of ours becomes the shell's; piped input is its script.

use clap::Args;
use machine_sdk::api::attach::{AttachProgram, AttachStart};

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::project;
use crate::cli::session::{self, Signals, Stdin, Wish};
use crate::cli::verb::{exec, run};

/// The user's own shell, as a log-in would start it.
const LOGIN: &str = "exec \"${SHELL:-/bin/sh}\" -l";

const AFTER_HELP: &str = "\
Without NAME: the project's machine, started if it does not run, in the folder where you are.

Examples:
  machine shell
  machine shell web -u www-data
  echo 'uname -a' | machine shell";

/// In which machine, as whom.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ShellArguments {
    /// the guest's user [default: the project's, else root]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// folder to start it in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// machine to run it in; the project's, if left out
    #[arg(value_name = "NAME")]
    machine: Option<String>,
}

/// Opens a shell.
pub(crate) async fn shell(asked: ShellArguments, desk: &Desk) -> Result<u8, Failure> {
    let blank = exec::start(Vec::new(), Vec::new(), asked.workdir, asked.user, None);
    let start = AttachStart { program: AttachProgram::Shell(LOGIN.to_owned()), ..blank };
    let Some(machine) = asked.machine else {
        return run::in_project(&project::need(desk)?, start, desk).await;
    };
    let with_terminal = session::stdin_is_terminal() && session::stdout_is_terminal();
    let wish = Wish { start, stdin: Stdin::Forwarded, terminal: with_terminal.then(|| desk.context.term.clone()) };
    let mut signals = Signals::catch()?;
    session::attached(&desk.link.client().await?, &machine, wish, &mut signals, &desk.voice).await
}
