//! `stop` of a project: its hooks, and the machine between them.

use machine_sdk::api::{MachineInfo, MachineState};

use super::{Project, copies, hooks, trust};
use crate::cli::Desk;
use crate::cli::consent::{self, Deed};
use crate::cli::exit::Failure;
use crate::cli::progress::Progress;

/// Whether a person has agreed already to what a stop gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    Given,
    Asked,
}

/// Stops a project's machine; one that is off stays as it is. What the guest changed in a copy that goes with the
/// root is asked about first.
pub(crate) async fn stop(
    project: &Project,
    consent: Consent,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<MachineInfo, Failure> {
    let machine = project.made(desk).await?;
    let runs = machine.state == MachineState::Running;
    if runs && consent == Consent::Asked && copies::would_be_lost(project, &machine, desk).await? {
        let question = format!("give up what {} changed in its copy of the folder", machine.called());
        let refused = "not stopped; `machine sync back` copies it out";
        let deed = Deed { doing: "giving a copy up", question: &question, refused, names: machine.called() };
        consent::ask(deed, &desk.voice)?;
    }
    // What is no more trusted must not keep a machine from being stopped.
    let trusted = trust::is_trusted(project, desk)?;
    let _turn = project.notes.turn(&desk.voice).await?;
    if runs && trusted {
        hooks::run(project, &project.file.hooks.pre_stop, "pre_stop")?;
    }
    let id = &machine.id;
    let machine = desk.link.ask(async |client| client.stop(id, &mut |report| progress.tell(&report)).await).await?;
    if runs && trusted {
        hooks::run(project, &project.file.hooks.post_stop, "post_stop")?;
    }
    Ok(machine)
}
