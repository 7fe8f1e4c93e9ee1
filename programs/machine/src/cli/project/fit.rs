//! Fitting a running machine out with what its file says: copies of folders, names of hosts, secrets, provisioning,
//! services. In this order: nothing runs before what it needs is there.

use machine_machinefile::model::{ProvisionWhen, Root};
use machine_sdk::api::{MachineInfo, MachineState};

use super::notes::Fitted;
use super::{Project, copies, environment, names, provision, services, user};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::Progress;

/// Provisions a machine that runs once more, all of it.
pub(crate) async fn provision_again(
    project: &Project,
    machine: &MachineInfo,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let _turn = project.notes.turn(&desk.voice).await?;
    for when in [ProvisionWhen::Create, ProvisionWhen::Boot, ProvisionWhen::Start] {
        provision::run(project, machine, when, desk, progress).await?;
    }
    Ok(())
}

/// What of an earlier fitting a machine may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Launch {
    /// Nothing but what its root keeps: it begins with this start.
    New,
    /// Perhaps all of it: it runs.
    Known,
}

impl Launch {
    /// What the start of a machine as it is now leads to.
    pub(super) fn next_of(machine: &MachineInfo) -> Self {
        match machine.state {
            MachineState::Absent | MachineState::Stopped | MachineState::Failed | MachineState::Destroyed => Self::New,
            MachineState::Running | MachineState::Paused | MachineState::Hibernated => Self::Known,
        }
    }

    /// Whether files of the root may be those of an earlier fitting.
    fn may_have_files(self, root: Root) -> bool {
        match (self, root) {
            (Self::New, Root::Ephemeral | Root::Readonly) => false,
            (Self::New, Root::Persistent) | (Self::Known, _) => true,
        }
    }
}

/// Fits a machine out. What a repetition would find done, it does again, except provisioning of a root that is kept.
pub(super) async fn out(
    project: &Project,
    machine: &MachineInfo,
    launch: Launch,
    fitted: &mut Fitted,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<(), Failure> {
    user::ensure(project, machine, desk).await?;
    copies::bring(project, machine, desk).await?;
    if launch.may_have_files(project.file.root) || !project.file.network.hosts.is_empty() {
        names::tell(project, machine, desk).await?;
    }
    if launch == Launch::Known || !project.file.secrets.is_empty() {
        environment::give_secrets(project, machine, desk).await?;
    }
    let wanted = provision::digest(project)?;
    match project.file.root {
        // Its template has it.
        Root::Ephemeral | Root::Readonly => {}
        Root::Persistent if fitted.provisioned.as_ref() == Some(&wanted) => {}
        Root::Persistent => {
            provision::run(project, machine, ProvisionWhen::Create, desk, progress).await?;
            fitted.provisioned = Some(wanted);
        }
    }
    provision::run(project, machine, ProvisionWhen::Boot, desk, progress).await?;
    provision::run(project, machine, ProvisionWhen::Start, desk, progress).await?;
    match (launch, project.file.services.as_slice()) {
        (Launch::New, []) => Ok(()),
        (Launch::New, [_, ..]) | (Launch::Known, _) => services::set(project, machine, desk).await,
    }
}
