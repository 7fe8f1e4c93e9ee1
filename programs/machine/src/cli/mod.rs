//! The command line: reads words, asks the server over the SDK, prints answers. Holds no rules of the
//! lifecycle and no private door to the server; what only a server does is in `serve/`.
//!
//! ```text
//! arguments ──▶ verb/NAME.rs ──link──▶ sdk ──▶ server      session/: a command's streams
//!                   └──voice──▶ stdout is data, stderr is talk   copy/: files and folders
//! ```

mod arguments;
mod consent;
mod copied;
mod copy;
mod exit;
#[cfg(test)]
mod help_tests;
mod link;
mod network_wanted;
mod paint;
mod progress;
mod project;
mod session;
mod table;
mod throwaway;
mod verb;
mod voice;
mod wanted;
mod word;

use std::path::PathBuf;

pub(crate) use arguments::{Arguments, RestVerb, Verb};
use exit::Failure;
use link::Link;
use voice::Voice;

use crate::settings::Environment;

/// The surroundings of one invocation, resolved by the caller.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Where the server listens.
    pub(crate) socket: PathBuf,
    /// The folder of the installation.
    pub(crate) home: PathBuf,
    /// This program, to start a server with.
    pub(crate) program: PathBuf,
    /// Where a server that is started here writes.
    pub(crate) server_log: PathBuf,
    /// Whether colour is welcome.
    pub(crate) color: bool,
    /// Whether this is a CI job: no live progress.
    pub(crate) ci: bool,
    /// The current folder.
    pub(crate) cwd: PathBuf,
    /// The kind of the terminal.
    pub(crate) term: Option<String>,
    /// The person's own folder.
    pub(crate) personal: Option<PathBuf>,
    /// What a Machinefile may ask of the environment.
    pub(crate) environment: Environment,
}

/// What a verb works with.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The surroundings.
    pub(crate) context: Context,
    /// How it talks.
    pub(crate) voice: Voice,
    /// How it reaches the server.
    pub(crate) link: Link,
}

/// Does what the arguments say, prints all of it, and gives the exit code.
pub(crate) async fn run(arguments: Arguments, context: Context) -> u8 {
    let voice = Voice::new(&arguments, &context);
    let link = Link::new(&context, voice);
    let desk = Desk { context, voice, link };
    let done = match arguments.verb {
        Some(verb) => dispatch(verb, &desk).await,
        None => alone(&desk).await,
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            voice.fail(&failure);
            failure.exit()
        }
    }
}

/// `machine` without a verb: in a project, how its machine is; elsewhere, help.
async fn alone(desk: &Desk) -> Result<u8, Failure> {
    match verb::status::bare(desk).await? {
        Some(code) => Ok(code),
        None => {
            arguments::print_help();
            Ok(exit::USAGE)
        }
    }
}

async fn dispatch(verb: Verb, desk: &Desk) -> Result<u8, Failure> {
    match verb {
        Verb::Create(asked) => verb::create::create(asked, desk).await,
        Verb::Init(asked) => verb::init::init(asked, desk),
        Verb::Plan => verb::plan::plan(desk).await,
        Verb::Run(asked) => verb::run::run(asked, desk).await.map_err(Failure::of_a_command),
        Verb::Shell(asked) => verb::shell::shell(asked, desk).await.map_err(Failure::of_a_command),
        Verb::Claude(asked) => verb::agent::claude(asked, desk).await.map_err(Failure::of_a_command),
        Verb::Codex(asked) => verb::agent::codex(asked, desk).await.map_err(Failure::of_a_command),
        Verb::Status(asked) => verb::status::status(asked, desk).await,
        Verb::Sync(asked) => verb::sync::sync(asked, desk).await,
        Verb::Provision => verb::provision::provision(desk).await,
        Verb::Reset(asked) => verb::reset::reset(asked, desk).await,
        Verb::Trust(asked) => verb::trust::trust(asked, desk),
        Verb::Lock(asked) => verb::lock::lock(asked, desk).await,
        Verb::Config => verb::config::config(desk),
        Verb::Schema(asked) => verb::schema::schema(asked, desk),
        Verb::Exec(asked) => verb::exec::exec(asked, desk).await.map_err(Failure::of_a_command),
        Verb::Start(asked) => verb::start::start(asked, desk).await,
        Verb::Stop(asked) => verb::stop::stop(asked, desk).await,
        Verb::Rest(asked) => rest(asked, desk).await,
        Verb::Restart(asked) => verb::restart::restart(asked, desk).await,
        Verb::Destroy(asked) => verb::destroy::destroy(asked, desk).await,
        Verb::Ls => verb::ls::ls(desk).await,
        Verb::Inspect(asked) => verb::inspect::inspect(asked, desk).await,
        Verb::Logs(asked) => verb::logs::logs(asked, desk).await,
        Verb::Egress(asked) => verb::egress::egress(asked, desk).await,
        Verb::Ports(asked) => verb::ports::ports(asked, desk).await,
        Verb::Cp(asked) => verb::cp::cp(asked, desk).await,
        Verb::Image(asked) => verb::image::image(asked, desk).await,
        Verb::Top(asked) => verb::top::top(asked, desk).await,
        Verb::Template(asked) => verb::template::template(asked, desk).await,
        Verb::Events(asked) => verb::events::events(asked, desk).await,
        Verb::Serve(asked) => verb::serve::serve(asked, desk).await,
        Verb::Bench(asked) => verb::bench::bench(asked, desk).await,
        Verb::Version => verb::version::version(desk).await,
        Verb::Completion(asked) => verb::completion::completion(asked, desk),
        Verb::Doctor | Verb::Supervise { .. } | Verb::ProbeKvm => {
            Err(Failure::usage("this verb is not one of the command line's client"))
        }
    }
}

async fn rest(verb: RestVerb, desk: &Desk) -> Result<u8, Failure> {
    match verb {
        RestVerb::Pause(asked) => verb::pause::pause(asked, desk).await,
        RestVerb::Hibernate(asked) => verb::hibernate::hibernate(asked, desk).await,
        RestVerb::Resume(asked) => verb::resume::resume(asked, desk).await,
    }
}
