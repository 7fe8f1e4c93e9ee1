//! Keeps core's promise of a guest's services, and reads what it says of them.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use machine_agent_protocol as wire;
use machine_core::promise::guest::{FileSource, GuestError};
use machine_core::promise::project::Following;
use machine_core::promise::service as core;

use super::project::{follows, plain};
use super::{to_command, to_ending, to_user};
use crate::GuestLink;
use crate::service::LogStream;

/// An image has no more of its own.
const MOST: usize = 4 * core::MOST_SERVICES;
const LONGEST_NAME: usize = 255;
const LONGEST_WHY: usize = 500;

pub(super) struct Kept(pub(super) GuestLink);

struct Log(LogStream);

#[async_trait]
impl core::GuestServices for Kept {
    async fn set(&self, services: Vec<core::ServiceSpec>) -> Result<Vec<core::ServiceStatus>, GuestError> {
        let services = services.into_iter().map(to_service).collect();
        believe(self.0.set_services(wire::SetServices { services }).await?)
    }

    async fn list(&self) -> Result<Vec<core::ServiceStatus>, GuestError> {
        believe(self.0.list_services().await?)
    }

    async fn turn(&self, name: &str, turn: core::ServiceTurn) -> Result<core::ServiceStatus, GuestError> {
        let turn = match turn {
            core::ServiceTurn::Start => wire::Turn::Start,
            core::ServiceTurn::Stop => wire::Turn::Stop,
            core::ServiceTurn::Restart => wire::Turn::Restart,
        };
        let said = self.0.turn_service(wire::TurnService { name: name.to_owned(), turn }).await?;
        let found = believe(said)?.into_iter().find(|status| status.name == name);
        // It was taken away meanwhile.
        found.ok_or_else(|| GuestError::NotFound(format!("no such service in the guest: {name}")))
    }

    async fn log(
        &self,
        name: &str,
        following: Following,
        tail: Option<u32>,
    ) -> Result<Box<dyn FileSource>, GuestError> {
        let log = wire::ServiceLog { name: name.to_owned(), follow: follows(following), tail };
        Ok(Box::new(Log(self.0.service_log(log).await?)))
    }
}

#[async_trait]
impl FileSource for Log {
    async fn next(&mut self) -> Result<Option<Bytes>, GuestError> {
        Ok(self.0.next().await?)
    }
}

fn to_service(spec: core::ServiceSpec) -> wire::Service {
    wire::Service {
        name: spec.name,
        command: to_command(spec.program),
        user: spec.user.as_deref().map(to_user),
        cwd: spec.cwd.map(Into::into),
        env: spec.envs,
        restart: match spec.restart {
            core::RestartPolicy::No => wire::Restart::No,
            core::RestartPolicy::OnFailure => wire::Restart::OnFailure,
            core::RestartPolicy::Always => wire::Restart::Always,
        },
    }
}

/// A guest has no more services than it may, and its words about them are short and plain.
fn believe(said: Vec<wire::ServiceStatus>) -> Result<Vec<core::ServiceStatus>, GuestError> {
    if said.len() > MOST {
        return Err(GuestError::Garbage(format!("{} services", said.len())));
    }
    Ok(said.into_iter().map(to_status).collect())
}

fn to_status(said: wire::ServiceStatus) -> core::ServiceStatus {
    core::ServiceStatus {
        name: plain(&said.name, LONGEST_NAME),
        state: match said.state {
            wire::ServiceState::Running => core::ServiceState::Running,
            wire::ServiceState::Waiting => core::ServiceState::Waiting,
            wire::ServiceState::Ended => core::ServiceState::Ended,
            wire::ServiceState::Failed => core::ServiceState::Failed,
        },
        pid: said.pid,
        restarts: said.restarts,
        exit: said.ending.map(to_ending),
        // A guest that lies about a time it cannot have gets the epoch.
        since: i64::try_from(said.since_unix_ms)
            .ok()
            .and_then(|millis| Timestamp::from_millisecond(millis).ok())
            .unwrap_or_default(),
        origin: match said.origin {
            wire::ServiceOrigin::Project => core::ServiceOrigin::Project,
            wire::ServiceOrigin::Image => core::ServiceOrigin::Image,
        },
        why: said.why.map(|why| plain(&why, LONGEST_WHY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> wire::ServiceStatus {
        wire::ServiceStatus {
            name: "\u{1b}[2J".repeat(1000),
            state: wire::ServiceState::Failed,
            pid: None,
            restarts: u32::MAX,
            ending: Some(wire::Ending::Code(u32::MAX)),
            since_unix_ms: u64::MAX,
            origin: wire::ServiceOrigin::Image,
            why: Some("\n".repeat(10_000)),
        }
    }

    #[test]
    fn a_guests_words_about_services_are_bounded() {
        let believed = believe(vec![said()]).unwrap().remove(0);
        assert!(believed.name.chars().count() <= LONGEST_NAME && !believed.name.contains('\u{1b}'));
        assert_eq!(believed.why.unwrap().trim(), "");
        assert_eq!(believed.since, Timestamp::UNIX_EPOCH);
        assert!(matches!(believe(vec![said(); MOST + 1]), Err(GuestError::Garbage(_))));
    }
}
