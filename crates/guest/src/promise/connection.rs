//! Keeps core's promise of a connection to a service.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use machine_agent_protocol as wire;
use machine_core::network::Transport;
use machine_core::promise::guest as core;

use crate::{Connection, ConnectionInput, GuestError, GuestLink};

struct Service(Connection);
struct Input(ConnectionInput);

pub(super) async fn connect(
    link: &GuestLink,
    port: u16,
    transport: Transport,
) -> Result<Box<dyn core::GuestConnection>, core::GuestError> {
    let transport = match transport {
        Transport::Tcp => wire::Transport::Tcp,
        Transport::Udp => wire::Transport::Udp,
    };
    match link.dial(wire::Connect { port, transport }).await {
        Ok(connection) => Ok(Box::new(Service(connection))),
        Err(GuestError::Failed(failed)) if failed.code == wire::FailureCode::Refused => {
            Err(core::GuestError::Refused(port))
        }
        Err(error) => Err(error.into()),
    }
}

#[async_trait]
impl core::GuestConnection for Service {
    async fn next(&mut self) -> Result<Option<Bytes>, core::GuestError> {
        Ok(self.0.next().await?)
    }

    fn input(&self) -> Arc<dyn core::ConnectionInput> {
        Arc::new(Input(self.0.input()))
    }
}

#[async_trait]
impl core::ConnectionInput for Input {
    async fn write(&self, bytes: Bytes) -> Result<(), core::GuestError> {
        Ok(self.0.write(bytes).await?)
    }

    async fn close(&self) -> Result<(), core::GuestError> {
        Ok(self.0.close().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_agent_protocol::{AgentConnection, AgentEvent, AgentFacts, AgentState, Failed, FailureCode};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;

    /// An agent that refuses whatever it is asked, with this code.
    async fn refuse(mut stream: DuplexStream, code: FailureCode) {
        let (agent_version, boot_id, kernel) = (String::new(), String::new(), String::new());
        let mut agent = AgentConnection::new(AgentFacts { agent_version, boot_id, kernel, state: AgentState::Ready });
        let mut chunk = vec![0; 4096];
        loop {
            while let Some(event) = agent.next_event() {
                if let AgentEvent::Request { stream, .. } = event {
                    agent.finish(stream, &Failed { code, message: "no".to_owned() }.into()).unwrap();
                }
            }
            let output = agent.output().to_vec();
            agent.wrote(output.len());
            stream.write_all(&output).await.unwrap();
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => agent.receive(&chunk[..count]),
            }
        }
    }

    async fn answer(code: FailureCode) -> Option<core::GuestError> {
        let (host, guest) = tokio::io::duplex(4096);
        tokio::spawn(refuse(guest, code));
        let deadline = Instant::now() + Duration::from_secs(20);
        let (link, _) = GuestLink::connect(host, deadline).await.unwrap();
        connect(&link, 8080, Transport::Tcp).await.err()
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_named() {
        assert_eq!(answer(FailureCode::Refused).await, Some(core::GuestError::Refused(8080)));
        assert_eq!(answer(FailureCode::Io).await, Some(core::GuestError::Failed("no".to_owned())));
        assert_eq!(answer(FailureCode::Unsupported).await, Some(core::GuestError::Unsupported("no".to_owned())));
    }
}
