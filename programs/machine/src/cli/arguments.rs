//! What may be written after `machine`: the flags that every verb takes, and the list of verbs. Each
//! verb's own flags stand beside what it does, in `verb/`. Flags that this build would not honour are
//! absent, not ignored.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use machine_sdk::api::{Code, ErrorBody, ErrorDetail};

use super::exit;
use super::verb::{
    agent, bench, completion, cp, create, destroy, egress, events, exec, hibernate, image, init, inspect, lock, logs,
    pause, ports, reset, restart, resume, run, schema, serve, shell, start, status, stop, sync, template, top, trust,
};

const AFTER_HELP: &str = "\
NAME is a machine's name, its id, or the unique beginning of an id. Without NAME a verb means the machine
of the Machinefile in this folder or above it; `machine` alone says how that is.
If no server runs for this user, one is started; `machine serve --stop` ends it, machines go on.

Environment:
  MACHINE_HOME  all state, images and logs of one installation
  MACHINE_LOG   what the server logs
  NO_COLOR      no colour
  CI            no live progress

Exit codes:
  0 ok, 1 generic, 2 usage, 3 not found, 4 unauthenticated, 5 permission denied, 6 capacity,
  7 conflict, 8 guest or VMM failure, 9 host not capable, 10 consent refused;
  egress explain: 5 where the machine may not;
  run, shell and exec: the command's own, else 124 timeout, 125 a failure of ours, 126 not executable,
  127 not found, 128+n ended by signal n";

/// virtual machines for programs and people
#[derive(Debug, Parser)]
#[command(name = "machine", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Arguments {
    /// JSON: a document, a list, or one document per line
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,

    /// table, wide, json, or name
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: Format,

    /// ids only, and no progress
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// no colour, as with NO_COLOR
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) no_color: bool,

    /// print this
    // One text for both flags: the long one would only spread it out.
    #[arg(short, long, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,

    /// print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,

    /// what to do; left out, a project's machine is told about
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// How answers are written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// columns for people
    Table,
    /// more columns
    Wide,
    /// as --json
    Json,
    /// names, or ids where there is no name
    Name,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// write a Machinefile for the project that is here
    Init(init::InitArguments),
    /// say what a start of the project would do, and change nothing
    Plan,
    /// run a command in the project's machine, or in a throw-away one
    Run(run::RunArguments),
    /// open a shell in a machine
    Shell(shell::ShellArguments),
    /// run Claude Code in the project's machine
    Claude(agent::AgentArguments),
    /// run Codex in the project's machine
    Codex(agent::AgentArguments),
    /// tell how a machine is, its services and ports
    Status(status::StatusArguments),
    /// show what the machine changed in its copy of a folder, and copy that out
    Sync(sync::SyncArguments),
    /// provision the project's machine once more
    Provision,
    /// make the project's machine anew
    Reset(reset::ResetArguments),
    /// show what a Machinefile asks of this computer, and let it
    Trust(trust::TrustArguments),
    /// write down what the project's machine is made from, for others to have the same
    Lock(lock::LockArguments),
    /// print the project's file as it is meant, and where each value comes from
    Config,
    /// print a JSON Schema, for editors
    #[command(subcommand)]
    Schema(schema::SchemaVerb),
    /// make a machine, start it, and return when it answers
    #[command(visible_alias = "new")]
    Create(create::CreateArguments),
    /// run a command in a machine
    Exec(exec::ExecArguments),
    /// start machines and return when they answer
    #[command(visible_alias = "up")]
    Start(start::StartArguments),
    /// power machines off
    #[command(visible_alias = "down")]
    Stop(stop::StopArguments),
    #[command(flatten)]
    Rest(RestVerb),
    /// stop machines and start them again
    Restart(restart::RestartArguments),
    /// remove machines and all that is their own
    #[command(visible_alias = "rm")]
    Destroy(destroy::DestroyArguments),
    /// list machines
    #[command(visible_alias = "ps")]
    Ls,
    /// show all that is known of a machine
    Inspect(inspect::InspectArguments),
    /// show what running machines cost this host, over and over on a terminal
    Top(top::TopArguments),
    /// print a machine's logs
    Logs(logs::LogsArguments),
    /// show and change what a machine may reach, and say why
    #[command(subcommand)]
    Egress(egress::EgressVerb),
    /// list, add and remove ports of this host that lead to machines
    Ports(ports::PortsArguments),
    /// copy files and folders between this computer and a machine
    Cp(cp::CpArguments),
    /// list and build templates, which machines are made from
    #[command(subcommand)]
    Template(template::TemplateVerb),
    /// list and remove memory images, which machines are made of without booting
    #[command(subcommand)]
    Image(image::ImageVerb),
    /// print what happened to machines
    Events(events::EventsArguments),
    /// measure this computer: what machines cost and how long they take, beside plain QEMU
    Bench(bench::BenchArguments),
    /// say what this host can do, and how to fix what it cannot
    Doctor,
    /// run the server, or end the one that runs
    Serve(serve::ServeArguments),
    /// print the version of this program and of the server, if one runs
    Version,
    /// print a completion script for a shell
    Completion(completion::CompletionArguments),
    /// keep one VMM; for the server alone
    #[command(hide = true)]
    Supervise {
        /// what to keep
        plan: PathBuf,
    },
    /// try the kernel's accelerator; for the server alone
    #[command(hide = true)]
    ProbeKvm,
}

/// Rest without a loss.
#[derive(Debug, Subcommand)]
pub(crate) enum RestVerb {
    /// stop machines where they are; their memory stays in memory
    Pause(pause::PauseArguments),
    /// put the memory of machines on the disk, and end their processes
    #[command(visible_alias = "suspend")]
    Hibernate(hibernate::HibernateArguments),
    /// let machines go on where they were
    Resume(resume::ResumeArguments),
}

impl Arguments {
    /// Reads the words of a command line, the program's name first. Help, and what is wrong with the
    /// words, is printed here.
    ///
    /// # Errors
    /// The exit code: 0 after help, else that of a usage error, which for `run` and `exec` is theirs.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, u8> {
        let words: Vec<OsString> = words.into_iter().collect();
        Self::try_parse_from(&words).map_err(|error| {
            if !error.use_stderr() {
                let _ = error.print();
                return 0;
            }
            let ours = words.iter().take_while(|word| *word != "--");
            if ours.into_iter().any(|word| word == "--json") {
                let _ = writeln!(io::stdout(), "{}", as_json(&error));
            } else {
                let _ = io::stderr().write_all(as_text(&error).as_bytes());
            }
            if runs_a_command(&words) { exit::OURS } else { exit::USAGE }
        })
    }
}

/// Prints what `--help` does, to standard error.
pub(crate) fn print_help() {
    let help = <Arguments as clap::CommandFactory>::command().render_help();
    let _ = io::stderr().write_all(help.to_string().as_bytes());
}

/// As all our failures begin; usage and hints follow as the library has them.
fn as_text(error: &clap::Error) -> String {
    let text = error.render().to_string();
    text.strip_prefix("error: ").map_or_else(|| text.clone(), |rest| format!("machine: {rest}"))
}

fn as_json(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let error = ErrorDetail {
        code: Code::InvalidRequest.word().to_owned(),
        message: message.split_whitespace().collect::<Vec<_>>().join(" "),
        hint: Some("see `machine --help`".to_owned()),
        reason: Some("usage".to_owned()),
        request_id: String::new(),
        machine: None,
    };
    serde_json::to_string(&ErrorBody { error }).unwrap_or_default()
}

fn runs_a_command(words: &[OsString]) -> bool {
    let verb = words.iter().skip(1).find(|word| !word.to_string_lossy().starts_with('-'));
    verb.is_some_and(|verb| ["run", "exec", "shell", "claude", "codex"].iter().any(|ours| verb == ours))
}

impl Verb {
    /// Whether standard output belongs to a command in the guest, so that ours goes elsewhere.
    pub(crate) fn passes_output_through(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Shell(_) | Self::Claude(_) | Self::Codex(_))
            || matches!(self, Self::Exec(asked) if !asked.detach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn read(line: &str) -> Arguments {
        Arguments::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_of_the_command_are_not_ours() {
        for line in [
            "machine exec web -i ls --json -la -- x",
            "machine exec -i web -- ls --json -la -- x",
            "machine exec web -i -- ls --json -la -- x",
        ] {
            let arguments = read(line);
            assert!(!arguments.json, "{line}");
            let Some(Verb::Exec(asked)) = arguments.verb else { panic!("{line}") };
            assert!(asked.interactive, "{line}");
            assert_eq!(asked.command, ["ls", "--json", "-la", "--", "x"], "{line}");
        }
        let Some(Verb::Run(asked)) = read("machine run --cpus 1 uname -a --rm").verb else { panic!() };
        assert_eq!(asked.command, ["uname", "-a", "--rm"]);
        assert!(!asked.rm);
    }

    #[test]
    fn flags_of_every_verb_stand_before_or_after_it() {
        for line in ["machine --json ls", "machine ls --json"] {
            assert!(read(line).json, "{line}");
        }
    }

    #[test]
    fn a_usage_error_of_run_and_exec_is_not_a_code_of_the_command() {
        let code = |line: &str| Arguments::read(line.split(' ').map(OsString::from)).err();
        assert_eq!(code("machine exec"), Some(125));
        assert_eq!(code("machine run --nonsense"), Some(125));
        assert_eq!(code("machine ls --nonsense"), Some(2));
        assert_eq!(code("machine --version"), Some(0));
        assert_eq!(code("machine ls"), None);
    }
}
