//! Networks of machines: what they may reach, the ports that lead to them, what they were refused.

use std::fmt::Write as _;
use std::net::SocketAddr;

use http::Method;
use machine_api::explain::{ExplainInfo, ExplainQuery};
use machine_api::network::{AddPorts, EgressWish, ForwardWish, MachineEgress, MachinePorts, SetEgress};
use machine_api::word::TransportWord;

use crate::connection::{Call, Client, empty, escape};
use crate::error::SdkError;
use crate::machine::{Follow, of};
use crate::stream::ByteStream;

impl Client {
    /// What a machine may reach.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn egress(&self, machine: &str) -> Result<MachineEgress, SdkError> {
        self.ask(Call::new(Method::GET, &of(machine, "/egress"))).await
    }

    /// Changes what a machine may reach; answers what holds now. Safe to repeat.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn set_egress(&self, machine: &str, wish: &EgressWish) -> Result<MachineEgress, SdkError> {
        self.tell(Call::new(Method::PATCH, &of(machine, "/egress")), &SetEgress { egress: wish.clone() }).await
    }

    /// Whether a machine may reach a place, and why. Nothing is sent there.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn explain(&self, machine: &str, query: &ExplainQuery) -> Result<ExplainInfo, SdkError> {
        let mut path = format!("/egress/explain?host={}", escape(&query.host));
        if let Some(port) = query.port {
            write!(path, "&port={port}").expect("writing to a String cannot fail");
        }
        if let Some(protocol) = query.protocol {
            write!(path, "&protocol={protocol}").expect("writing to a String cannot fail");
        }
        self.ask(Call::new(Method::GET, &of(machine, &path))).await
    }

    /// The ports of the host that lead to a machine.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn ports(&self, machine: &str) -> Result<MachinePorts, SdkError> {
        self.ask(Call::new(Method::GET, &of(machine, "/ports"))).await
    }

    /// Adds ports, all of them or none. A repeat adds no port twice, but one that the host chooses.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn add_ports(&self, machine: &str, forwards: &[ForwardWish]) -> Result<MachinePorts, SdkError> {
        let wish = AddPorts { forwards: forwards.to_vec() };
        self.tell(Call::new(Method::POST, &of(machine, "/ports")), &wish).await
    }

    /// Removes a port; one that is not there stays away.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn remove_port(
        &self,
        machine: &str,
        transport: TransportWord,
        listen: SocketAddr,
    ) -> Result<MachinePorts, SdkError> {
        let place = format!("/ports/{transport}/{}", escape(&listen.to_string()));
        self.ask(Call::new(Method::DELETE, &of(machine, &place))).await
    }

    /// What a machine was refused, one `RefusalLine` as JSON a line.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn network_log(&self, machine: &str, follow: Follow) -> Result<ByteStream, SdkError> {
        let query = match follow {
            Follow::No => "/logs?kind=network",
            Follow::Yes => "/logs?kind=network&follow=true",
        };
        Ok(ByteStream::new(self.send(Call::new(Method::GET, &of(machine, query)), empty()).await?))
    }
}
