//! Fitting a running machine out with what its file says: copies of folders, names of hosts, secrets, provisioning,
//! services. In this order: nothing runs before what it needs is there.

use machine_machinefile::model::{ProvisionWhen, Root};
use machine_sdk::api::MachineInfo;

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

/// Fits a machine out. What a repetition would find done, it does again, except provisioning of a root that is kept.
pub(super) async fn out(
    project: &Project,
    machine: &MachineInfo,
    fitted: &mut Fitted,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<(), Failure> {
    user::ensure(project, machine, desk).await?;
    copies::bring(project, machine, desk).await?;
    names::tell(project, machine, desk).await?;
    environment::give_secrets(project, machine, desk).await?;
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
    services::set(project, machine, desk).await
}
