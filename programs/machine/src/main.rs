//! The one program: `machine` is a command line (which sees only the SDK) and `machine serve` (which wires
//! everything). Four hidden verbs are for the server alone: `supervise` keeps one VMM, `gateway` is one machine's
//! way out, `share` shows it a folder (and says, with
//! `--check`, whether it could), `probe-kvm` risks a hang.

mod cli;
mod doctor;
mod serve;
mod settings;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use cli::{Arguments, Verb};
use machine_hypervisor::{accelerator, supervise};
use settings::Settings;

fn main() -> ExitCode {
    // Before even the arguments are understood: there is one of each for a machine, and it must stay small.
    if let Some(plan) = plan_of(machine_network::GATEWAY_VERB, std::env::args_os()) {
        // It told why itself, as its log wants it.
        return machine_network::run(&plan).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if let Some(plan) = plan_of(machine_share::SHARE_VERB, std::env::args_os()) {
        return machine_share::run(&plan).map_or_else(|error| fail(&error.into()), |()| ExitCode::SUCCESS);
    }
    if let Some(folder) = checked_folder(std::env::args_os()) {
        return machine_share::check(&folder).map_or_else(|error| fail(&error.into()), |()| ExitCode::SUCCESS);
    }
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return ExitCode::from(code),
    };
    match &arguments.verb {
        // Before anything else is set up: these are small processes and must stay so.
        Some(Verb::Supervise { plan }) => {
            return supervise::supervise(plan).map_or_else(|error| fail(&error.into()), |()| ExitCode::SUCCESS);
        }
        Some(Verb::ProbeKvm) => return print_verdict(),
        _ => {}
    }
    let settings = match Settings::resolve() {
        Ok(settings) => settings,
        Err(error) => return fail(&error.into()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    runtime.block_on(run(arguments, settings))
}

/// The plan, if the arguments are the verb and it.
fn plan_of(wanted: &str, arguments: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = arguments.into_iter().skip(1);
    let plan = words.next().filter(|verb| verb == wanted).and_then(|_| words.next())?;
    words.next().is_none().then(|| plan.into())
}

/// The folder, if the arguments ask whether it could be shared.
fn checked_folder(arguments: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let words: Vec<OsString> = arguments.into_iter().skip(1).take(4).collect();
    match words.as_slice() {
        [verb, flag, folder] if verb == machine_share::SHARE_VERB && flag == machine_share::CHECK_FLAG => {
            Some(folder.into())
        }
        [..] => None,
    }
}

async fn run(arguments: Arguments, settings: Settings) -> ExitCode {
    match &arguments.verb {
        Some(Verb::Serve(asked)) if !asked.stop => {
            let caller = if asked.on_demand { serve::Caller::CommandLine } else { serve::Caller::Person };
            match serve::serve(&settings, caller).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            }
        }
        Some(Verb::Doctor) => {
            let show = if arguments.json { doctor::Show::Json } else { doctor::Show::Lines };
            doctor::doctor(&settings, show).await
        }
        _ => ExitCode::from(cli::run(arguments, context(settings)).await),
    }
}

fn context(settings: Settings) -> cli::Context {
    cli::Context {
        socket: settings.socket(),
        server_log: settings.server_log(),
        home: settings.home,
        program: settings.program,
        color: settings.color,
        ci: settings.ci,
        cwd: settings.cwd,
        term: settings.term,
        personal: settings.personal,
        environment: settings.environment,
    }
}

fn print_verdict() -> ExitCode {
    match serde_json::to_string(&accelerator::probe_in_this_process()) {
        Ok(verdict) => {
            println!("{verdict}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.into()),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("machine: {error:#}");
    ExitCode::FAILURE
}
