//! A machine that runs, and the part of its guest that a route asks; what that part's errors mean to who asked.

use std::sync::Arc;

use machine_core::promise::guest::{Guest, GuestError};
use machine_core::{Code, Machine, Refusal};

use super::note_machine;
use crate::App;
use crate::door::Asker;
use crate::refused::invalid;

/// What a guest is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A command. What is not found, besides its program, is its folder.
    Command,
    /// Its listeners, secrets and users.
    Project,
    /// A service.
    Service,
}

/// See the module.
pub(crate) struct Place<G: ?Sized> {
    pub(crate) machine: Machine,
    pub(crate) guest: Arc<G>,
    subject: Subject,
}

impl<G: ?Sized> Place<G> {
    /// Finds the machine, and takes the part of its guest.
    pub(crate) async fn find(
        app: &App,
        asker: &Asker,
        reference: &str,
        (subject, part): (Subject, impl FnOnce(&dyn Guest) -> Arc<G>),
    ) -> Result<Self, Refusal> {
        let (machine, guest) = app.server.desk.guest(&asker.owner, reference).await?;
        note_machine(&machine);
        Ok(Self { machine, guest: part(guest.as_ref()), subject })
    }

    /// What the guest's error means, with the machine's name.
    pub(crate) fn refusal(&self, error: GuestError) -> Refusal {
        refusal(self.subject, error).about(self.machine.called())
    }
}

/// What a guest's error means there.
pub(crate) fn refusal(subject: Subject, error: GuestError) -> Refusal {
    match (error, subject) {
        (GuestError::NotFound(path), Subject::Command) => {
            invalid(format!("cwd: no such folder in the guest: {path}")).reason("cwd_not_found")
        }
        (GuestError::NotFound(why), Subject::Service) => {
            Refusal::new(Code::FileNotFound, why).reason("service_not_found")
        }
        (GuestError::Failed(why), Subject::Command) => {
            Refusal::new(Code::ExecFailed, format!("the command could not be started: {why}"))
        }
        (GuestError::Failed(why), Subject::Project | Subject::Service) => Refusal::new(Code::ExecFailed, why),
        (
            other @ (GuestError::Lost
            | GuestError::Garbage(_)
            | GuestError::Late(_)
            | GuestError::NotFound(_)
            | GuestError::ProgramNotFound(_)
            | GuestError::NotExecutable(_)
            | GuestError::Refused(_)
            | GuestError::NoSpace(_)
            | GuestError::Invalid(_)
            | GuestError::Unsupported(_)),
            Subject::Command | Subject::Project | Subject::Service,
        ) => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_found_is_what_was_asked_about() {
        let told = |subject, error| {
            let refusal = refusal(subject, error);
            (refusal.code, refusal.reason, refusal.message)
        };
        let reason = |word: &str| Some(word.to_owned());
        let missing = || GuestError::NotFound("x".to_owned());
        let cwd = "cwd: no such folder in the guest: x".to_owned();
        assert_eq!(told(Subject::Command, missing()), (Code::InvalidRequest, reason("cwd_not_found"), cwd));
        let service = (Code::FileNotFound, reason("service_not_found"), "x".to_owned());
        assert_eq!(told(Subject::Service, missing()), service);
        assert_eq!(told(Subject::Project, missing()).0, Code::FileNotFound);
        for subject in [Subject::Command, Subject::Service, Subject::Project] {
            let failed = told(subject, GuestError::Failed("y".to_owned()));
            assert!(failed.0 == Code::ExecFailed && failed.2.ends_with('y'), "{failed:?}");
        }
    }
}
