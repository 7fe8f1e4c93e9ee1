//! `status`, and `machine` alone: how the project's machine is, and what to do next.

use clap::Args;
use machine_sdk::api::network::PortInfo;
use machine_sdk::api::service::{ServiceInfo, ServiceStateWord};
use machine_sdk::api::{MachineInfo, MachinePhase, MachineState};
use serde_json::json;

use super::ls;
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::project;
use crate::cli::table::{Cell, Tone, pairs};
use crate::cli::word::{escape, port, served};

/// Which machine.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// machine to tell about; the project's, if left out
    #[arg(value_name = "NAME")]
    machine: Option<String>,
}

/// Tells how a machine is.
pub(crate) async fn status(asked: StatusArguments, desk: &Desk) -> Result<u8, Failure> {
    let machine = match &asked.machine {
        Some(name) => desk.link.ask(async |client| client.get(name).await).await?,
        None => project::need_known(desk)?.made(desk).await?,
    };
    let services = services(&machine, desk).await?;
    if desk.voice.json() {
        desk.voice.document(&json!({ "machine": machine, "services": services }))?;
        return Ok(0);
    }
    let mut rows: Vec<(&str, Cell)> = vec![("machine", machine.called().into()), ("state", ls::state(machine.phase))];
    rows.extend(machine.reason.as_deref().map(|reason| ("reason", Cell::from(reason))));
    rows.extend(machine.warnings.iter().map(|text| ("warning", Cell::toned(escape::plain(text), Tone::Busy))));
    rows.extend(ports(&machine).map(|forward| ("port", Cell::from(port::show(forward)))));
    rows.extend(services.iter().map(|service| ("service", of_service(service))));
    rows.push(("next", Cell::from(next(machine.state))));
    desk.voice.print(&pairs(&rows, desk.voice.out.paint))?;
    Ok(0)
}

/// `machine` alone, in a project: three lines of what is and what to do next. Nothing, where no project is.
pub(crate) async fn bare(desk: &Desk) -> Result<Option<u8>, Failure> {
    let Some(project) = project::find(desk)? else { return Ok(None) };
    let place = project.folder.display();
    let Some(machine) = project.machine(desk).await? else {
        let what =
            format!("{} in {place} has no machine yet\n`machine plan` says what it will be\n", project.file.name);
        desk.voice.print(&format!("{what}next: machine start, or machine run CMD"))?;
        return Ok(Some(0));
    };
    let services = services(&machine, desk).await?;
    let ports = ports(&machine).map(port::show);
    let services = services.iter().map(|service| format!("{} {}", service.name, word(service.state)));
    let has: Vec<String> = ports.chain(services).collect();
    let has = if has.is_empty() { format!("its folder: {place}") } else { has.join(", ") };
    desk.voice.print(&format!("{}\n{has}\nnext: {}", served::standing(&machine), next(machine.state)))?;
    Ok(Some(0))
}

/// Those that were asked for, and those that were found.
fn ports(machine: &MachineInfo) -> impl Iterator<Item = &PortInfo> {
    machine.network.forwards.iter().chain(&machine.network.found)
}

async fn services(machine: &MachineInfo, desk: &Desk) -> Result<Vec<ServiceInfo>, Failure> {
    if machine.phase != MachinePhase::Running {
        return Ok(Vec::new());
    }
    let listed = desk.link.ask(async |client| client.services(&machine.id).await).await?;
    Ok(listed.services)
}

fn of_service(service: &ServiceInfo) -> Cell {
    let again = match service.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        times => format!(", restarted {times} times"),
    };
    let tone = match service.state {
        ServiceStateWord::Running => Tone::Good,
        ServiceStateWord::Waiting => Tone::Busy,
        ServiceStateWord::Ended => Tone::Quiet,
        ServiceStateWord::Failed => Tone::Bad,
    };
    let why = service.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    Cell::toned(format!("{} {}{again}{why}", service.name, word(service.state)), tone)
}

const fn word(state: ServiceStateWord) -> &'static str {
    match state {
        ServiceStateWord::Running => "running",
        ServiceStateWord::Waiting => "waiting",
        ServiceStateWord::Ended => "ended",
        ServiceStateWord::Failed => "failed",
    }
}

const fn next(state: MachineState) -> &'static str {
    match state {
        MachineState::Running => "machine run CMD, machine shell, or machine stop",
        MachineState::Paused | MachineState::Hibernated => "machine resume, machine stop, or machine destroy",
        MachineState::Stopped => "machine start, or machine destroy",
        MachineState::Failed => "machine start (its root is kept), or machine logs --boot",
        MachineState::Absent | MachineState::Destroyed => "machine start",
    }
}
