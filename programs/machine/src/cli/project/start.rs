//! `start` of a project: its template is there, its machine is made and runs, it is fitted out, it is ready. Each step
//! looks first, so that a start that was interrupted anywhere is finished by the next.
//!
//! ```text
//! trusted ──▶ template ──▶ machine: none ─▶ made        ──▶ hooks ──▶ runs ──▶ fitted ──▶ ready ──▶ hooks ──▶ noted
//!                            │ of another file, or shares what is copied now, its root is given up ─▶ destroyed, made
//!                            └ runs, noted as fitted ─▶ done
//! ```

use machine_machinefile::model::Root;
use machine_sdk::api::word::StageWord;
use machine_sdk::api::{MachineInfo, MachinePhase, MachineState, ReportInfo};

use super::fit::Launch;
use super::means::{self, Fate};
use super::notes::Fitted;
use super::{FILE, Project, environment, fit, hooks, open, ready, template, trust, wish};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::Progress;
use crate::cli::verb::create;

/// How much is said of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// A person asked for it.
    Asked,
    /// It comes before something else.
    OnTheWay,
}

/// Starts a project's machine; one that is ready stays as it is.
pub(crate) async fn start(
    project: &Project,
    desk: &Desk,
    progress: &mut Progress,
    how: How,
) -> Result<MachineInfo, Failure> {
    trust::need(project, desk)?;
    let envs = environment::of(project, desk)?;
    let template = template::name(project)?;
    let file = wish::digest(&project.file, &template, &envs);
    if let Some(machine) = project.machine(desk).await?
        && is_fitted(project, &machine)
    {
        tell_of_change(&machine, &file, desk, how);
        return Ok(machine);
    }
    if project.report.refuses_start() {
        return Err(open::told(&project.report, desk)?);
    }
    let _turn = project.notes.turn(&desk.voice).await?;
    // Whoever had the turn may have done it.
    let machine = match project.machine(desk).await? {
        Some(machine) if is_fitted(project, &machine) => return Ok(machine),
        found => keep_or_clear(project, found, &file, desk, how).await?,
    };
    let (machine, launch) = match machine {
        Some(machine) => {
            let launch = Launch::next_of(&machine);
            (machine, launch)
        }
        None => {
            template::ensure(project, &template, desk, progress).await?;
            let means = means::here(&project.file, desk).await?;
            (create::ask(desk, &wish::create(project, &template, envs, &means), progress).await?, Launch::New)
        }
    };
    run(project, machine, launch, &file, desk, progress).await
}

async fn run(
    project: &Project,
    machine: MachineInfo,
    launch: Launch,
    file: &str,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<MachineInfo, Failure> {
    let id = &machine.id;
    if is_asleep(project, &machine) {
        return wake(project, &machine, desk, progress).await;
    }
    if machine.state != MachineState::Running {
        hooks::run(project, &project.file.hooks.pre_start, "pre_start")?;
    }
    let machine = desk.link.ask(async |client| client.start(id, &mut |report| progress.tell(&report)).await).await?;
    let before = project.notes.fitted().filter(|fitted| fitted.machine == machine.id);
    let mut fitted = Fitted {
        machine: machine.id.clone(),
        generation: machine.generation,
        file: machine_file(&machine).unwrap_or(file).to_owned(),
        provisioned: before.and_then(|fitted| fitted.provisioned),
    };
    fit::out(project, &machine, launch, &mut fitted, desk, progress).await?;
    progress.tell(&ReportInfo::Begun { stage: StageWord::Ready });
    let waited = ready::wait(project, &machine, desk, progress).await?;
    if !project.file.ready.is_empty() {
        progress.tell(&ReportInfo::Ended { stage: StageWord::Ready, micros: waited });
    }
    project.notes.note(&fitted)?;
    hooks::run(project, &project.file.hooks.post_start, "post_start")?;
    Ok(machine)
}

/// Whether a machine has all that its file says in the memory that it goes on with.
fn is_asleep(project: &Project, machine: &MachineInfo) -> bool {
    let rests = match machine.state {
        MachineState::Paused | MachineState::Hibernated => true,
        MachineState::Absent
        | MachineState::Stopped
        | MachineState::Running
        | MachineState::Failed
        | MachineState::Destroyed => false,
    };
    rests && fitted_as_it_is(project, machine)
}

/// Lets it go on: nothing of it is done anew, and no hook hears of a start.
async fn wake(
    project: &Project,
    machine: &MachineInfo,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<MachineInfo, Failure> {
    let fitted = project.notes.fitted();
    let id = &machine.id;
    let machine = desk.link.ask(async |client| client.resume(id, &mut |report| progress.tell(&report)).await).await?;
    if let Some(fitted) = fitted {
        project.notes.note(&Fitted { generation: machine.generation, ..fitted })?;
    }
    Ok(machine)
}

/// The machine that goes on; none, if one has to be made.
async fn keep_or_clear(
    project: &Project,
    found: Option<MachineInfo>,
    file: &str,
    desk: &Desk,
    how: How,
) -> Result<Option<MachineInfo>, Failure> {
    let Some(machine) = found else { return Ok(None) };
    if machine_file(&machine) == Some(file) {
        return match means::settle(project, &machine, desk).await? {
            Fate::Kept | Fate::KeptThough => Ok(Some(machine)),
            Fate::MadeAnew => clear(project, &machine, desk).await,
        };
    }
    let voice = &desk.voice;
    match (machine.state, project.file.root) {
        (MachineState::Running | MachineState::Paused | MachineState::Hibernated, _) => {
            tell_of_change(&machine, file, desk, how);
            Ok(Some(machine))
        }
        (_, Root::Persistent) => {
            voice.say(
                "the Machinefile has changed since this machine was made; its disk is kept as it is, \
                       `machine reset` makes it anew",
            );
            Ok(Some(machine))
        }
        (_, Root::Ephemeral | Root::Readonly) => {
            voice.say("the Machinefile has changed; the machine is made anew");
            clear(project, &machine, desk).await
        }
    }
}

/// One has to be made.
async fn clear(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<Option<MachineInfo>, Failure> {
    desk.link.ask(async |client| client.destroy(&machine.id, &mut |_| ()).await).await?;
    project.notes.forget();
    Ok(None)
}

fn machine_file(machine: &MachineInfo) -> Option<&str> {
    machine.metadata.get(FILE)?.as_str()
}

/// A machine that runs goes on with the file that it was made for.
fn tell_of_change(machine: &MachineInfo, file: &str, desk: &Desk, how: How) {
    if how == How::Asked && machine_file(machine) != Some(file) {
        desk.voice.say("the Machinefile has changed since this machine was made; `machine restart` applies it");
    }
}

/// Whether this launch has all that the file said that the machine was made for.
fn is_fitted(project: &Project, machine: &MachineInfo) -> bool {
    machine.phase == MachinePhase::Running && fitted_as_it_is(project, machine)
}

fn fitted_as_it_is(project: &Project, machine: &MachineInfo) -> bool {
    project.notes.fitted().is_some_and(|fitted| {
        let file = machine_file(machine) == Some(fitted.file.as_str());
        file && fitted.machine == machine.id && fitted.generation == machine.generation
    })
}
