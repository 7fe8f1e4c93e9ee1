//! Error codes: what programs read. Append-only; each maps to one exit code and one HTTP status.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $name:ident = $word:literal, $status:literal, $exit:literal; )+) => {
        /// A stable code for a refusal or a failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $( $(#[doc = $doc])+ #[serde(rename = $word)] $name, )+
        }

        impl Code {
            /// Every code, in the order they came to be.
            pub const ALL: &[Self] = &[$( Self::$name, )+];

            /// The code as it stands on the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( Self::$name => $word, )+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $( Self::$name => $status, )+ }
            }

            /// The exit code of the command line that goes with it.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self { $( Self::$name => $exit, )+ }
            }

            /// Reads a code from the wire.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $( $word => Some(Self::$name), )+ _ => None }
            }
        }
    };
}

codes! {
    /// The request cannot be understood or asks for something out of range.
    InvalidRequest = "invalid_request", 400, 2;
    /// No machine by that id, name or prefix.
    MachineNotFound = "machine_not_found", 404, 3;
    /// No template by that name here.
    TemplateNotFound = "template_not_found", 404, 3;
    /// A machine with that name exists.
    NameConflict = "name_conflict", 409, 7;
    /// The machine rests in a state in which this cannot be done; `reason` says which.
    MachineNotReady = "machine_not_ready", 409, 7;
    /// Another command of this machine is under way.
    TransitionInProgress = "transition_in_progress", 409, 7;
    /// More than this host, or the owner's share of it, can give.
    CapacityExceeded = "capacity_exceeded", 409, 6;
    /// The host's disk is full.
    DiskFull = "disk_full", 507, 6;
    /// The guest did not answer within its deadline.
    BootTimeout = "boot_timeout", 504, 8;
    /// The guest's kernel or its VMM ended while it was starting.
    BootFailed = "boot_failed", 502, 8;
    /// The command could not be started in the guest, or the guest was lost under it.
    ExecFailed = "exec_failed", 502, 8;
    /// The command ran longer than its timeout.
    ExecTimeout = "exec_timeout", 504, 8;
    /// A file operation in the guest failed.
    FileError = "file_error", 400, 1;
    /// No file or folder by that path in the guest.
    FileNotFound = "file_not_found", 404, 3;
    /// This host lacks something that is needed; the hint says how to get it.
    HostNotCapable = "host_not_capable", 503, 9;
    /// A part of an image or of a machine is damaged.
    Damaged = "damaged", 500, 1;
    /// The build of a template failed.
    BuildError = "build_error", 500, 1;
    /// Known, but this version does not do it.
    NotImplemented = "not_implemented", 501, 1;
    /// Who asks is not known here.
    Unauthorized = "unauthorized", 401, 4;
    /// Who asks may not do this.
    PermissionDenied = "permission_denied", 403, 5;
    /// The server cannot keep its promises: its own records cannot be written or read.
    LedgerUnavailable = "ledger_unavailable", 503, 1;
    /// A fault of ours.
    InternalError = "internal_error", 500, 1;
    /// No memory image by that id or prefix.
    ImageNotFound = "image_not_found", 404, 3;
    /// A port of the host cannot be forwarded: somebody listens there, or we may not.
    PortConflict = "port_conflict", 409, 7;
    /// A machine's network does not do as it was told.
    NetworkError = "network_error", 502, 8;
    /// Machines stand on the template.
    TemplateInUse = "template_in_use", 409, 7;
    /// What was saved does not go on here: the VMM or the host is another.
    SnapshotIncompatible = "snapshot_incompatible", 409, 7;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_is_snake_case() {
        for code in Code::ALL {
            assert_eq!(Code::from_word(code.word()), Some(*code));
            assert!(code.word().chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'));
            assert!(code.http_status() >= 400 && code.exit_code() > 0);
        }
    }
}
