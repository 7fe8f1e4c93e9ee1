//! Waiting until a machine is ready: every probe of its file holds, each within its own time, all at once.

use std::time::{Duration, Instant};

use machine_machinefile::model::{Ready, ReadyCheck};
use machine_sdk::api::attach::AttachProgram;
use machine_sdk::api::service::ServiceStateWord;
use machine_sdk::api::word::StageWord;
use machine_sdk::api::{Code, MachineInfo, ReportInfo};

use super::{Project, provision};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::Progress;
use crate::cli::word::{duration, escape};

/// Between two tries of a probe.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits, and answers how long that took in microseconds.
pub(super) async fn wait(
    project: &Project,
    machine: &MachineInfo,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<u64, Failure> {
    let begun = Instant::now();
    for probe in &project.file.ready {
        progress.tell(&ReportInfo::Told { stage: StageWord::Ready, text: called(probe) });
        until(project, machine, probe, begun, desk).await?;
    }
    Ok(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// All probes begin to be due together: one that holds by the time it is asked costs nothing.
async fn until(
    project: &Project,
    machine: &MachineInfo,
    probe: &Ready,
    begun: Instant,
    desk: &Desk,
) -> Result<(), Failure> {
    loop {
        let left = probe.timeout.saturating_sub(begun.elapsed());
        let why = match tokio::time::timeout(left.max(PAUSE), holds(project, machine, &probe.check, left, desk)).await {
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(why))) => why,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => "it did not answer in time".to_owned(),
        };
        failed_services(machine, desk).await?;
        if begun.elapsed() >= probe.timeout {
            let limit = duration::show(probe.timeout);
            let message = format!("not ready after {limit}: {}: {why}", called(probe));
            return Err(Failure::new(Code::ExecTimeout, message).hint(
                "the machine runs; `machine status` shows its services, `machine logs --service NAME` what they said",
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What waits for a service that will not come waits in vain.
async fn failed_services(machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    let services = desk.link.ask(async |client| client.services(&machine.id).await).await?.services;
    let Some(failed) = services.iter().find(|service| service.state == ServiceStateWord::Failed) else { return Ok(()) };
    let why = failed.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    let code = failed.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
    let message = format!("the service {} failed{code}{why}", failed.name);
    let hint = format!("`machine logs --service {}` shows what it said; the machine runs", failed.name);
    Err(Failure::new(Code::ExecFailed, message).hint(hint))
}

/// Nothing, if it holds; else why not.
async fn holds(
    project: &Project,
    machine: &MachineInfo,
    check: &ReadyCheck,
    left: Duration,
    desk: &Desk,
) -> Result<Option<String>, Failure> {
    match check {
        ReadyCheck::Port(port) => {
            let listeners = desk.link.ask(async |client| client.listeners(&machine.id).await).await?;
            let open = listeners.listeners.iter().any(|listener| listener.port == *port);
            Ok((!open).then(|| "nobody listens there".to_owned()))
        }
        ReadyCheck::Run(line) => {
            let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
            let (program, user) = (AttachProgram::Shell(line.clone()), Some(project.file.user.name.clone()));
            let ran = provision::command(machine, program, user, Some(millis), desk, &mut |_| ()).await;
            match ran {
                Ok(()) => Ok(None),
                Err(Failure::Told { detail, .. }) => Ok(Some(detail.message)),
                Err(quiet @ Failure::Quiet { .. }) => Err(quiet),
            }
        }
    }
}

pub(super) fn called(probe: &Ready) -> String {
    match &probe.check {
        ReadyCheck::Port(port) => format!("port {port}"),
        ReadyCheck::Run(line) => escape::plain(line),
    }
}
