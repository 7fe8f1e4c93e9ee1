//! Why a request failed, in words that programs can act on. Codes are append-only.

use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};
use std::fmt;

/// The answer to a request that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Failed {
    /// What kind of failure.
    #[n(0)]
    pub code: FailureCode,
    /// What was tried on what, and what the system said.
    #[n(1)]
    pub message: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $number:literal $name:ident $text:literal,)*) => {
        /// A kind of failure. Numbers are append-only: an old host shows a new one as
        /// [`FailureCode::Unrecognized`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FailureCode {
            $($(#[$doc])* $name,)*
            /// A code that is younger than this build.
            Unrecognized(u32),
        }

        impl FailureCode {
            /// Every code that this build knows.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unrecognized(number) => number,
                }
            }

            /// The name for programs.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unrecognized(_) => "unrecognized",
                }
            }
        }

        impl From<u32> for FailureCode {
            fn from(number: u32) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Unrecognized(other),
                }
            }
        }
    };
}

codes! {
    /// No such file or folder.
    1 NotFound "not_found",
    /// The user may not do this.
    2 PermissionDenied "permission_denied",
    /// A folder was needed.
    3 NotADirectory "not_a_directory",
    /// The name is taken.
    4 AlreadyExists "already_exists",
    /// The file system is full.
    5 NoSpace "no_space",
    /// A file was needed.
    6 IsDirectory "is_directory",
    /// The request makes no sense.
    7 Invalid "invalid",
    /// This agent cannot do this.
    8 Unsupported "unsupported",
    /// No such program (a shell would say 127).
    9 ProgramNotFound "program_not_found",
    /// The program may not be executed (a shell would say 126).
    10 NotExecutable "not_executable",
    /// No such user.
    11 UserUnknown "user_unknown",
    /// Anything else that the system said.
    12 Io "io",
    /// The folder is not empty.
    13 NotEmpty "not_empty",
    /// Nobody listens there.
    14 Refused "refused",
}

impl<C> Encode<C> for FailureCode {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u32(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for FailureCode {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.u32().map(Self::from)
    }
}
