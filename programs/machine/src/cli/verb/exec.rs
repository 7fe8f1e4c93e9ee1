//! `exec`: a command in a machine that runs.

use std::time::Duration;

use clap::Args;
use machine_sdk::api::attach::{AttachProgram, AttachStart};
use serde_json::json;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::session::{self, Signals, Stdin, Wish};
use crate::cli::word::duration;
use crate::cli::word::pair::{self, Pair};

const AFTER_HELP: &str = "\
Without -t, Ctrl-C and other signals go to the command; three Ctrl-C within two seconds hang it up.
With -t, the keys go to the command as they are. Without -i or -t, it has no standard input.

Examples:
  machine exec web -- uname -a
  machine exec web -it -- bash
  machine exec web -i -- tar -x -C /srv < site.tar
  machine exec web -e MODE=test -w /srv -u www-data --timeout 5m -- ./check
  machine exec web --detach -- ./worker";

/// What is to be run, and how.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ExecArguments {
    /// pass standard input to the command
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// give the command a terminal: this one
    #[arg(short, long)]
    tty: bool,

    /// its environment on top of the machine's, may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<Pair>,

    /// folder to start it in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// the guest's user to run it as [default: root]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// leave it running, and print its process id in the guest
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    pub(crate) detach: bool,

    /// end it after this time: 30s, 10m, 2h, or a number of seconds; 0 is never
    #[arg(long, value_name = "DURATION", value_parser = duration::read)]
    timeout: Option<Duration>,

    /// machine to run it in
    #[arg(value_name = "NAME")]
    machine: String,

    /// the program and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true, required = true)]
    pub(crate) command: Vec<String>,
}

/// Runs a command in a machine.
pub(crate) async fn exec(asked: ExecArguments, desk: &Desk) -> Result<u8, Failure> {
    if asked.tty && !session::stdin_is_terminal() {
        return Err(Failure::usage("-t needs a terminal, and standard input is none")
            .hint("use -i alone to pass standard input"));
    }
    let start = start(asked.command, asked.env, asked.workdir, asked.user, asked.timeout);
    let client = desk.link.client().await?;
    if asked.detach {
        let pid = session::detached(&client, &asked.machine, start).await?;
        if desk.voice.json() {
            desk.voice.document(&json!({ "pid": pid }))?;
        } else {
            desk.voice.print(&pid.to_string())?;
        }
        return Ok(0);
    }
    let wish = Wish {
        start,
        stdin: if asked.interactive || asked.tty { Stdin::Forwarded } else { Stdin::Absent },
        terminal: asked.tty.then(|| desk.context.term.clone()),
    };
    let mut signals = Signals::catch()?;
    session::attached(&client, &asked.machine, wish, &mut signals, &desk.voice).await
}

/// What the server is told to run; the streams are the session's.
pub(crate) fn start(
    command: Vec<String>,
    env: Vec<Pair>,
    workdir: Option<String>,
    user: Option<String>,
    timeout: Option<Duration>,
) -> AttachStart {
    let millis = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    AttachStart {
        program: AttachProgram::Argv(command),
        cwd: workdir,
        envs: pair::map(&env),
        user,
        stdin: false,
        tty: None,
        timeout_ms: millis.filter(|millis| *millis > 0),
        detach: false,
        login: false,
        umask: None,
    }
}
