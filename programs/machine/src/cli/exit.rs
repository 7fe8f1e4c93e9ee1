//! How a verb ends that does not end well: what is told, and the exit code. Codes of the server map to
//! exit codes in `machine-api`; here are only those that no server gives.

use std::error::Error;
use std::io;
use std::path::Path;

use machine_sdk::SdkError;
use machine_sdk::api::{Code, ErrorDetail};

/// The command line cannot be understood.
pub(crate) const USAGE: u8 = 2;
/// A person was asked and said no.
pub(crate) const CONSENT_REFUSED: u8 = 10;
/// `run` and `exec`: the command's own time is up.
pub(crate) const TIMED_OUT: u8 = 124;
/// `run` and `exec`: a failure of ours, not of the command.
pub(crate) const OURS: u8 = 125;
/// Nobody reads our standard output any more (128 + SIGPIPE).
pub(crate) const BROKEN_PIPE: u8 = 141;

/// Why a verb did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A person or a program is told.
    Told {
        /// What.
        detail: Box<ErrorDetail>,
        /// The exit code.
        exit: u8,
    },
    /// All was said, or nobody listens.
    Quiet {
        /// The exit code.
        exit: u8,
    },
}

impl Failure {
    /// A failure with a code.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let detail = ErrorDetail {
            code: code.word().to_owned(),
            message: message.into(),
            hint: None,
            reason: None,
            request_id: String::new(),
            machine: None,
        };
        Self::Told { detail: Box::new(detail), exit: code.exit_code() }
    }

    /// The command line asks for what cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// Something with this computer's files failed: what was tried, and why.
    pub(crate) fn file(tried: impl std::fmt::Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::FileNotFound,
            io::ErrorKind::PermissionDenied => Code::PermissionDenied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
            _ => Code::FileError,
        };
        Self::new(code, format!("{tried}: {error}"))
    }

    /// As `file`, for one path.
    pub(crate) fn path(tried: &str, path: &Path, error: &io::Error) -> Self {
        Self::file(format!("{tried} {}", path.display()), error)
    }

    /// Ends without a word.
    pub(crate) const fn quiet(exit: u8) -> Self {
        Self::Quiet { exit }
    }

    /// With what it was about before the message.
    pub(crate) fn about(mut self, what: &str) -> Self {
        if let Self::Told { detail, .. } = &mut self {
            detail.message = format!("{what}: {}", detail.message);
        }
        self
    }

    /// With the next step.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Told { detail, .. } = &mut self {
            detail.hint = Some(hint.into());
        }
        self
    }

    /// With our own finer word.
    pub(crate) fn reason(mut self, reason: &str) -> Self {
        if let Self::Told { detail, .. } = &mut self {
            detail.reason = Some(reason.to_owned());
        }
        self
    }

    /// With another exit code.
    pub(crate) fn exiting(mut self, code: u8) -> Self {
        match &mut self {
            Self::Told { exit, .. } | Self::Quiet { exit } => *exit = code,
        }
        self
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> u8 {
        match self {
            Self::Told { exit, .. } | Self::Quiet { exit } => *exit,
        }
    }

    /// As `run` and `exec` end on it: 126 and 127 as a shell has them, 124 for a timeout, else 125.
    pub(crate) fn of_a_command(self) -> Self {
        let exit = match &self {
            // A file that was found wanting was told of already; a signal's code is the command's.
            Self::Quiet { exit: USAGE | CONSENT_REFUSED } => OURS,
            Self::Quiet { exit } => *exit,
            Self::Told { detail, .. } => match (detail.shell_exit_code(), detail.code()) {
                (Some(shell), _) => shell,
                (None, Some(Code::ExecTimeout)) => TIMED_OUT,
                (None, _) => OURS,
            },
        };
        self.exiting(exit)
    }

    /// Whether it says that there is no such machine.
    pub(crate) fn is_machine_not_found(&self) -> bool {
        matches!(self, Self::Told { detail, .. } if detail.code() == Some(Code::MachineNotFound))
    }

    /// Whether it says that there is no such file.
    pub(crate) fn is_file_not_found(&self) -> bool {
        matches!(self, Self::Told { detail, .. } if detail.code() == Some(Code::FileNotFound))
    }
}

impl From<SdkError> for Failure {
    fn from(error: SdkError) -> Self {
        let text = with_sources(&error);
        match error {
            SdkError::Refused(body, _) => {
                let exit = body.error.exit_code();
                Self::Told { detail: Box::new(body.error), exit }
            }
            SdkError::Unreachable { .. } => Self::new(Code::InternalError, text).reason("server_unreachable"),
            SdkError::Broken { .. } => Self::new(Code::InternalError, text).reason("connection_broken"),
        }
    }
}

fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some libraries repeat their source in their own text.
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, reason: Option<&str>) -> Failure {
        let text = serde_json::json!({"error": {"code": code, "message": "m", "reason": reason}});
        SdkError::Refused(Box::new(serde_json::from_value(text).unwrap()), 500).into()
    }

    #[test]
    fn every_code_ends_as_the_table_of_exit_codes_says() {
        let table = |code: Code| match code {
            Code::InvalidRequest => 2,
            Code::MachineNotFound | Code::TemplateNotFound | Code::FileNotFound | Code::ImageNotFound => 3,
            Code::Unauthorized => 4,
            Code::PermissionDenied => 5,
            Code::CapacityExceeded | Code::DiskFull => 6,
            Code::NameConflict
            | Code::MachineNotReady
            | Code::TransitionInProgress
            | Code::PortConflict
            | Code::SnapshotIncompatible
            | Code::TemplateInUse => 7,
            Code::BootTimeout | Code::BootFailed | Code::ExecFailed | Code::ExecTimeout | Code::NetworkError => 8,
            Code::HostNotCapable => 9,
            Code::FileError
            | Code::Damaged
            | Code::BuildError
            | Code::NotImplemented
            | Code::LedgerUnavailable
            | Code::InternalError => 1,
        };
        for code in Code::ALL {
            assert_eq!(refused(code.word(), None).exit(), table(*code), "{code:?}");
        }
        assert_eq!(refused("a_code_of_tomorrow", None).exit(), 1);
    }

    #[test]
    fn a_command_ends_with_the_codes_of_a_shell() {
        for (code, reason, exit) in [
            ("exec_failed", Some("program_not_found"), 127),
            ("exec_failed", Some("not_executable"), 126),
            ("exec_failed", None, 125),
            ("exec_timeout", None, 124),
            ("machine_not_found", None, 125),
            ("invalid_request", None, 125),
        ] {
            assert_eq!(refused(code, reason).of_a_command().exit(), exit, "{code} {reason:?}");
        }
        assert_eq!(Failure::quiet(130).of_a_command().exit(), 130);
        for ours in [USAGE, CONSENT_REFUSED] {
            assert_eq!(Failure::quiet(ours).of_a_command().exit(), OURS);
        }
    }
}
