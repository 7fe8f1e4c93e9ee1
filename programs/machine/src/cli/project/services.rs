//! The services of a project: what the guest's agent is told to keep running.

use machine_machinefile::model::{Restart, Service};
use machine_sdk::api::MachineInfo;
use machine_sdk::api::service::{RestartWord, ServiceInfo, ServiceOriginWord, ServiceStateWord, ServiceWish, TurnWord};

use super::Project;
use crate::cli::Desk;
use crate::cli::exit::Failure;

/// The services of the file run afterwards, and no others.
pub(super) async fn set(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    let services: Vec<_> = project.file.services.iter().map(|service| wish(project, machine, service)).collect();
    let set = desk.link.ask(async |client| client.set_services(&machine.id, &services).await).await?;
    // One that failed before stays so, if nothing of it changed: a start is another try.
    for failed in set.services.iter().filter(|service| is_ours_and_failed(service)) {
        let name = &failed.name;
        desk.link.ask(async |client| client.turn_service(&machine.id, name, TurnWord::Start).await).await?;
    }
    Ok(())
}

fn is_ours_and_failed(service: &ServiceInfo) -> bool {
    service.origin == ServiceOriginWord::Project && service.state == ServiceStateWord::Failed
}

fn wish(project: &Project, machine: &MachineInfo, service: &Service) -> ServiceWish {
    let user = service.user.clone().unwrap_or_else(|| project.file.user.name.clone());
    ServiceWish {
        name: service.name.clone(),
        shell: Some(service.run.clone()),
        argv: None,
        user: Some(user),
        cwd: service.workdir.clone().or_else(|| machine.cwd.clone()),
        envs: service.env.clone(),
        restart: match service.restart {
            Restart::No => RestartWord::No,
            Restart::OnFailure => RestartWord::OnFailure,
            Restart::Always => RestartWord::Always,
        },
    }
}
