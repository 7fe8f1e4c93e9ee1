//! The rules of the Machinefile by their codes. What a finding is, is in `finding.rs`.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $code:ident,)+) => {
        /// A rule. Codes are stable and only ever added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The code as text.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)+
                }
            }
        }
    };
}

rules! {
    /// `version` missing or not one that this build reads.
    E001,
    /// Unknown key, duplicate key, tab indentation; not YAML.
    E002,
    /// Wrong type or wrong value.
    E003,
    /// Not a machine's name.
    E004,
    /// `base` with no or several sources, or an unknown release.
    E005,
    /// A malformed digest, or one that differs from the lock.
    E006,
    /// A size or duration that cannot be read or is out of range.
    E007,
    /// Not honoured by this build yet.
    E011,
    /// A mount's source is missing or no folder; the guest's path is one of the system.
    E020,
    /// One guest path twice.
    E021,
    /// A symbolic link on a mount's path leaves the project.
    E022,
    /// A port out of range, taken twice, or privileged.
    E030,
    /// Egress entries that contradict the policy, or with no network.
    E034,
    /// A provision entry with no or several actions, a missing file, or a bad octal mode.
    E040,
    /// A secret's source that gives nothing.
    E050,
    /// Timeouts that contradict each other.
    E080,
    /// Not trusted.
    E090,
    /// Memory below 128 MiB.
    W001,
    /// Something that the lock does not pin.
    W002,
    /// A variable of the host that is not set.
    W003,
}

impl Rule {
    /// Whether it is a warning: told, but refusing nothing.
    #[must_use]
    pub fn is_warning(self) -> bool {
        self.code().starts_with('W')
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
