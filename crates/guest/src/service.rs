//! The services of a guest: one method, one request.

use crate::error::GuestError;
use crate::link::GuestLink;
use crate::stream::{Came, Receiver};
use bytes::Bytes;
use machine_agent_protocol::{Answer, ListServices, Request, ServiceLog, ServiceStatus, SetServices, TurnService};

/// What a service said, as it comes. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct LogStream {
    receiver: Receiver,
    ended: bool,
}

impl GuestLink {
    /// Keeps exactly these services running, beside the image's.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn set_services(&self, set: SetServices) -> Result<Vec<ServiceStatus>, GuestError> {
        self.services("set services", set).await
    }

    /// How the services are.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn list_services(&self) -> Result<Vec<ServiceStatus>, GuestError> {
        self.services("services", ListServices {}).await
    }

    /// Starts, stops or restarts a service.
    ///
    /// # Errors
    /// If there is none, or the link is down.
    pub async fn turn_service(&self, turn: TurnService) -> Result<Vec<ServiceStatus>, GuestError> {
        self.services("turn a service", turn).await
    }

    /// What a service said.
    ///
    /// # Errors
    /// If there is no such service, or the link is down.
    pub(crate) async fn service_log(&self, log: ServiceLog) -> Result<LogStream, GuestError> {
        let mut receiver = self.open(log).await?;
        let Came::Answer(Answer::Done(_)) = receiver.next("service log").await? else {
            return Err(GuestError::Unexpected { question: "service log" });
        };
        Ok(LogStream { receiver, ended: false })
    }

    async fn services(
        &self,
        question: &'static str,
        request: impl Into<Request>,
    ) -> Result<Vec<ServiceStatus>, GuestError> {
        let Answer::Services(services) = self.last(question, request).await? else {
            return Err(GuestError::Unexpected { question });
        };
        Ok(services.services)
    }
}

impl LogStream {
    /// The next piece; `None` at the end. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, GuestError> {
        while !self.ended {
            match self.receiver.next("service log").await? {
                Came::Data(_, bytes) => return Ok(Some(bytes)),
                Came::Last(Answer::Done(_)) => self.ended = true,
                Came::Last(_) => return Err(GuestError::Unexpected { question: "service log" }),
                Came::Answer(_) | Came::End => {}
            }
        }
        Ok(None)
    }
}
