//! The folders of a project that its machine has copies of.

use machine_machinefile::model::{MountMode, Root};
use machine_sdk::api::MachineInfo;

use super::{Project, wish};
use crate::cli::Desk;
use crate::cli::copied::{CopiedFolder, Lasts, compare, copy_in};
use crate::cli::exit::Failure;

/// All of them, as the file says.
pub(crate) fn all(project: &Project) -> Vec<CopiedFolder> {
    let copied = project.file.mounts.iter().enumerate().filter(|(_, mount)| mount.mode == MountMode::Copy);
    let user = (project.file.user.uid, project.file.user.uid);
    let lasts = match project.file.root {
        Root::Persistent => Lasts::Always,
        Root::Ephemeral | Root::Readonly => Lasts::UntilStopped,
    };
    copied
        .map(|(place, mount)| CopiedFolder {
            here: mount.source.clone(),
            guest: mount.guest.clone(),
            exclude: mount.exclude.clone(),
            guard: wish::guard(mount),
            owner: Some(user),
            lasts,
            ledger: project.notes.folder().join(format!("copy-{place}.json")),
        })
        .collect()
}

/// The machine has fresh copies afterwards.
pub(super) async fn bring(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    for folder in all(project) {
        copy_in(desk, &machine.id, &folder).await?;
    }
    Ok(())
}

/// Whether the guest changed copies that a stop of the machine would give up.
pub(super) async fn would_be_lost(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<bool, Failure> {
    for folder in all(project).iter().filter(|folder| folder.lasts == Lasts::UntilStopped) {
        if folder.is_whole_in(machine)? && !compare(desk, &machine.id, folder).await?.changes.all.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
