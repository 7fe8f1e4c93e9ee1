//! Programs that a machine keeps running.

use http::Method;
use machine_api::service::{MachineServices, ServiceInfo, ServiceWish, SetServices, TurnWord};

use crate::connection::{Call, Client, empty, escape};
use crate::error::SdkError;
use crate::machine::{Follow, of};
use crate::stream::ByteStream;

impl Client {
    /// Keeps exactly these running, beside the image's own. What is as before goes on.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn set_services(&self, machine: &str, services: &[ServiceWish]) -> Result<MachineServices, SdkError> {
        let wish = SetServices { services: services.to_vec() };
        self.tell(Call::new(Method::PUT, &of(machine, "/services")), &wish).await
    }

    /// How a machine's services are.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn services(&self, machine: &str) -> Result<MachineServices, SdkError> {
        self.ask(Call::new(Method::GET, &of(machine, "/services"))).await
    }

    /// Starts, stops or restarts a service; returns when that is done.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn turn_service(&self, machine: &str, name: &str, turn: TurnWord) -> Result<ServiceInfo, SdkError> {
        let place = format!("/services/{}/{}", escape(name), turn.as_str());
        self.ask(Call::new(Method::POST, &of(machine, &place))).await
    }

    /// What a service said: its last lines, or all that is kept; followed, also what it says from now on.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn service_log(
        &self,
        machine: &str,
        name: &str,
        follow: Follow,
        tail: Option<u32>,
    ) -> Result<ByteStream, SdkError> {
        let follow = match follow {
            Follow::No => "false",
            Follow::Yes => "true",
        };
        let tail = tail.map(|lines| format!("&tail={lines}")).unwrap_or_default();
        let place = format!("/services/{}/logs?follow={follow}{tail}", escape(name));
        Ok(ByteStream::new(self.send(Call::new(Method::GET, &of(machine, &place)), empty()).await?))
    }
}
