//! The user of a project's machine, where the template was not made with it.

use machine_machinefile::model::Base;
use machine_sdk::api::MachineInfo;
use machine_sdk::api::project::EnsureUser;

use super::Project;
use crate::cli::Desk;
use crate::cli::exit::Failure;

/// The user of the file is there afterwards. A template of the file's own recipe has it.
pub(super) async fn ensure(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    match project.file.base {
        Base::Debian12 => return Ok(()),
        Base::Template(_) => {}
    }
    let user = &project.file.user;
    let wish = EnsureUser {
        name: user.name.clone(),
        uid: user.uid,
        gid: None,
        shell: Some(user.shell.clone()),
        sudo: user.sudo,
    };
    desk.link.ask(async |client| client.ensure_user(&machine.id, &wish).await).await
}
