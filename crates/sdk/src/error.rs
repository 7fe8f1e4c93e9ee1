//! Why a call did not give its result.

use std::io;

use machine_api::{Code, ErrorBody, ErrorDetail};

/// A cause that comes from a library below.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call did not give its result.
#[derive(Debug, thiserror::Error)]
pub enum SdkError {
    /// The server, or the guest behind it, said no; with the HTTP status.
    #[error("{0}")]
    Refused(Box<ErrorBody>, u16),
    /// No server answers there.
    #[error("no server answers at {endpoint}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// A server was there, and the exchange broke or made no sense.
    #[error("cannot {tried}: the connection to the server broke")]
    Broken {
        /// What was tried.
        tried: String,
        /// What broke.
        source: Cause,
    },
}

impl SdkError {
    pub(crate) fn broken(tried: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Broken { tried: tried.into(), source: source.into() }
    }

    /// What the server said, if it said no.
    #[must_use]
    pub fn refusal(&self) -> Option<&ErrorDetail> {
        match self {
            Self::Refused(body, _) => Some(&body.error),
            Self::Unreachable { .. } | Self::Broken { .. } => None,
        }
    }

    /// The code that the server gave, if it said no and this version knows the code.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.refusal().and_then(ErrorDetail::code)
    }
}
