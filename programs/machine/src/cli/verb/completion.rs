//! `completion`: a script that completes verbs and flags in a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::exit::Failure;
use crate::cli::{Arguments, Desk};

const AFTER_HELP: &str = "\
Examples:
  source <(machine completion bash)
  machine completion fish > ~/.config/fish/completions/machine.fish";

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CompletionArguments {
    /// shell to complete in
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn completion(asked: CompletionArguments, desk: &Desk) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut Arguments::command(), "machine", &mut script);
    desk.voice.write(&script)?;
    Ok(0)
}
