//! Identities that are random and never reused. Names, which people choose, are in `name.rs`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::worded::worded;

const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH: usize = 20;

/// How many random bytes an id is made of.
pub const ID_ENTROPY: usize = 32;

/// A machine's id: `m` and 20 characters of `[a-z0-9]`, so that it is a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

/// The id of one durable intent: `i` and 20 characters of `[a-z0-9]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IntentId(String);

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0}")]
pub struct NotAnId(String);

fn spell(first: char, entropy: &[u8; ID_ENTROPY]) -> String {
    // 36 does not divide 256: bytes above the largest multiple are passed over, and the few
    // ids that run out of bytes are filled from the start, which costs no measurable entropy.
    let fair = entropy.iter().filter(|byte| **byte < 252).chain(entropy.iter());
    let tail = fair.take(LENGTH).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
    std::iter::once(first).chain(tail).collect()
}

fn is_spelled(first: char, text: &str) -> bool {
    let mut letters = text.chars();
    letters.next() == Some(first)
        && text.len() == LENGTH + 1
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
}

macro_rules! identity {
    ($name:ident, $first:literal) => {
        impl $name {
            /// Spells an id from random bytes.
            #[must_use]
            pub fn from_entropy(entropy: &[u8; ID_ENTROPY]) -> Self {
                Self(spell($first, entropy))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if is_spelled($first, text) { Ok(Self(text.to_owned())) } else { Err(NotAnId(text.to_owned())) }
            }
        }

        worded!($name, NotAnId);
    };
}

identity!(MachineId, 'm');
identity!(IntentId, 'i');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_dns_label_and_reads_back() {
        let id = MachineId::from_entropy(&[255; ID_ENTROPY]);
        assert_eq!(id.as_str().len(), 21);
        assert_eq!(id.as_str().parse::<MachineId>(), Ok(id.clone()));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "m", "mABCDEFGHIJKLMNOPQRST", "i0123456789abcdefghij", "m../../../../../../etc"] {
            assert!(text.parse::<MachineId>().is_err(), "{text}");
        }
    }
}
