//! What can go wrong between the host and a guest.

use machine_agent_protocol::datagram::TooLong;
use machine_agent_protocol::{Failed, FailureCode, OpenError, ProtocolError, ResetCode};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why something asked of a guest did not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// There is nobody at the socket.
    #[error("cannot connect to the agent's socket {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said last.
        source: Arc<io::Error>,
    },
    /// The agent did not say welcome.
    #[error("the agent did not answer within {} ms", waited.as_millis())]
    NoAnswer {
        /// How long we waited.
        waited: Duration,
    },
    /// The byte stream broke.
    #[error("the link to the guest was lost")]
    LinkLost {
        /// How; nothing if it simply ended.
        source: Option<Arc<io::Error>>,
    },
    /// The guest does not keep to the protocol; the link is closed.
    #[error("the guest does not speak the agent protocol")]
    Protocol {
        /// What it did.
        source: Arc<ProtocolError>,
    },
    /// The guest could not do it.
    #[error("{0}")]
    Failed(Failed),
    /// The guest broke off one stream; the link lives.
    #[error("the guest broke off: {text}")]
    Reset {
        /// Why.
        code: ResetCode,
        /// Why, in words.
        text: String,
    },
    /// The guest answered something that does not fit what was asked.
    #[error("the guest's answer does not fit the question: {question}")]
    Unexpected {
        /// What was asked.
        question: &'static str,
    },
    /// What was sent came after the end; what was said before tells why.
    #[error("the connection is closed")]
    Closed,
    /// A datagram that cannot be sent.
    #[error(transparent)]
    Datagram(#[from] TooLong),
    /// The request could not be sent.
    #[error("cannot ask the guest")]
    NotAsked(#[from] OpenError),
    /// More came than the caller wanted to hold.
    #[error("the guest sent more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl GuestError {
    /// The guest's own reason, if it gave one.
    #[must_use]
    pub fn failure_code(&self) -> Option<FailureCode> {
        match self {
            Self::Failed(failed) => Some(failed.code),
            Self::Connect { .. }
            | Self::NoAnswer { .. }
            | Self::LinkLost { .. }
            | Self::Protocol { .. }
            | Self::Reset { .. }
            | Self::Unexpected { .. }
            | Self::NotAsked(_)
            | Self::Closed
            | Self::Datagram(_)
            | Self::TooLarge { .. } => None,
        }
    }

    /// Whether the link is gone, so that nothing more can be asked over it.
    #[must_use]
    pub fn is_link_down(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::NoAnswer { .. } | Self::LinkLost { .. } | Self::Protocol { .. } => true,
            Self::Failed(_)
            | Self::Reset { .. }
            | Self::Unexpected { .. }
            | Self::NotAsked(_)
            | Self::Closed
            | Self::Datagram(_)
            | Self::TooLarge { .. } => false,
        }
    }
}
