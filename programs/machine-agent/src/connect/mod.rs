//! Carries bytes between a stream of the host and a service on the guest's own loopback, for the host's ports that
//! lead to services which listen nowhere else.
//!
//! ```text
//! looking ──nobody listens──▶ Failed: refused
//!    └──▶ Connected ──each side ends when it likes──▶ both ended ──▶ Done
//!             ├──the service breaks off──▶ Failed
//!             └──the host has left──▶ the service sees a reset
//! ```

mod tcp;
mod udp;
mod udp_table;

use crate::line::{Gone, Line};
use machine_agent_protocol::{Answer, Connect, Failed, FailureCode, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// So many connections at once: the other streams of a session, and our other descriptors, are for commands and
/// files.
const MOST: usize = 512;
/// Where services are looked for, in this order.
const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The places that connections take. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Semaphore>);

/// Why a connection is over before both sides ended it.
#[derive(Debug)]
enum Over {
    HostLeft,
    Failed(Failed),
}

impl From<Gone> for Over {
    fn from(Gone: Gone) -> Self {
        Self::HostLeft
    }
}

impl From<Failed> for Over {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl Connections {
    pub(crate) fn none_yet() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }

    /// Does the whole request.
    pub(crate) async fn serve(&self, connect: Connect, line: Line) {
        let teller = line.teller.clone();
        let Ok(_place) = self.0.try_acquire() else {
            let message = format!("too many connections to services: {MOST}");
            return teller.finish(Failed { code: FailureCode::Io, message }).await;
        };
        let done = match connect.transport {
            Transport::Tcp => tcp::serve(connect.port, line).await,
            Transport::Udp => udp::serve(connect.port, line).await,
        };
        match done {
            Ok(()) => teller.finish(Answer::DONE).await,
            Err(Over::Failed(failed)) => teller.finish(failed).await,
            Err(Over::HostLeft) => {}
        }
    }
}

fn refused(port: u16) -> Failed {
    Failed { code: FailureCode::Refused, message: format!("nobody listens at port {port}") }
}
