//! The error body: what a person or a program is told instead of a result.

use std::fmt;

use machine_core::{Code, Refusal};
use serde::{Deserialize, Serialize};

/// `{"error": {...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong and what to do instead. `code` is text, so that a newer server's code is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// The stable code.
    pub code: String,
    /// What was tried on what, and why it failed.
    pub message: String,
    /// The next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Our own finer word, where the contract's code is coarser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request that it answers.
    #[serde(default)]
    pub request_id: String,
    /// The machine it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// A guest has no such program: the `reason` of an `exec_failed`; exit code 127.
pub const PROGRAM_NOT_FOUND: &str = "program_not_found";
/// A program that may not be executed: the `reason` of an `exec_failed`; exit code 126.
pub const NOT_EXECUTABLE: &str = "not_executable";

impl ErrorBody {
    /// The body that answers `request_id` with a refusal.
    #[must_use]
    pub fn of(refusal: Refusal, request_id: &str) -> Self {
        Self {
            error: ErrorDetail {
                code: refusal.code.word().to_owned(),
                message: refusal.message,
                hint: refusal.hint,
                reason: refusal.reason,
                request_id: request_id.to_owned(),
                machine: refusal.machine,
            },
        }
    }
}

impl ErrorDetail {
    /// The code, if this version knows it.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        Code::from_word(&self.code)
    }

    /// The exit code of the command line that goes with it; 1 for a code of a newer server.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.code().map_or(1, Code::exit_code)
    }

    /// The exit code that a shell gives for a program that could not be started, if it is that.
    #[must_use]
    pub fn shell_exit_code(&self) -> Option<u8> {
        match self.reason.as_deref() {
            Some(PROGRAM_NOT_FOUND) => Some(127),
            Some(NOT_EXECUTABLE) => Some(126),
            Some(_) | None => None,
        }
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error.message)
    }
}
