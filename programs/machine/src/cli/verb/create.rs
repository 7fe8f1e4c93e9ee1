//! `create`: a machine without a Machinefile.

use clap::Args;
use machine_sdk::api::{Code, CreateMachine, MachineInfo};

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::session::Signals;
use crate::cli::wanted::Wanted;
use crate::cli::word::pair::{self, Pair};
use crate::cli::word::{port, served};
use machine_sdk::api::MiB;

const AFTER_HELP: &str = "\
Prints the machine's name, or its id if it has none; a summary on a terminal.
The first machine of a template, cpus and memory boots, and its memory is kept as an image;
later ones are made of that. `machine image ls` lists the images.

Examples:
  machine create --name web
  machine create --cpus 4 --memory 2GiB --disk 20GiB --env MODE=test --label team=web
  machine create --name web --port 8080:80 --egress deny --allow '*.debian.org'
  id=$(machine create -q) && machine exec $id -- uname -a";

/// What is to be made.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CreateArguments {
    /// name to call it by; else it has only an id
    #[arg(long, value_name = "NAME", help_heading = "Machine")]
    name: Option<String>,

    #[command(flatten)]
    wanted: Wanted,

    /// label to select it by, may be repeated
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Machine")]
    label: Vec<Pair>,

    /// folder in which its commands start
    #[arg(long, value_name = "DIR", help_heading = "Machine")]
    cwd: Option<String>,

    /// boot it, whatever memory images there are
    #[arg(long)]
    cold: bool,

    /// make it and leave it stopped
    #[arg(long)]
    no_start: bool,
}

/// Makes a machine.
pub(crate) async fn create(asked: CreateArguments, desk: &Desk) -> Result<u8, Failure> {
    let request = CreateMachine {
        name: asked.name,
        labels: pair::map(&asked.label),
        cwd: asked.cwd,
        start: Some(!asked.no_start),
        cold: asked.cold,
        ..asked.wanted.request()
    };
    let mut signals = Signals::catch()?;
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let machine = tokio::select! {
        made = ask(desk, &request, &mut progress) => made?,
        caught = signals.next() => {
            drop(progress);
            desk.voice.say("interrupted; the server may finish it, see `machine ls`");
            return Err(Failure::quiet(caught.exit()));
        }
    };
    progress.done(&served::standing(&machine));
    answer(desk, &machine)?;
    Ok(0)
}

/// Asks for a machine under one key, so that a repeat after a broken connection means the same one.
pub(crate) async fn ask(desk: &Desk, request: &CreateMachine, progress: &mut Progress) -> Result<MachineInfo, Failure> {
    let key = fresh_key()?;
    let asked = async |client: &machine_sdk::Client| {
        client.create_with_key(request, &key, &mut |report| progress.tell(&report)).await
    };
    desk.link.ask(asked).await
}

fn answer(desk: &Desk, machine: &MachineInfo) -> Result<(), Failure> {
    let voice = &desk.voice;
    if voice.json() {
        voice.document(machine)
    } else if voice.bare() || !voice.out.terminal {
        voice.print(voice.handle(machine))
    } else {
        voice.print(&summary(machine))
    }
}

fn summary(machine: &MachineInfo) -> String {
    let size = &machine.config;
    let ports: Vec<String> = machine.network.forwards.iter().map(port::show).collect();
    let ports = if ports.is_empty() { String::new() } else { format!("\nports: {}", ports.join(", ")) };
    format!(
        "{}  {}, {} cpus, {} memory, {} disk{ports}\nrun a command in it: machine exec {} -- CMD",
        machine.id,
        machine.template,
        size.vcpus,
        MiB(size.memory_mb),
        MiB(size.disk_mb),
        machine.called(),
    )
}

fn fresh_key() -> Result<String, Failure> {
    let failed = |error| Failure::new(Code::InternalError, format!("cannot make an idempotency key: {error}"));
    let (high, low) = (getrandom::u64().map_err(failed)?, getrandom::u64().map_err(failed)?);
    Ok(format!("{high:016x}{low:016x}"))
}
