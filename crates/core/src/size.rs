//! Sizes as types: mebibytes, since memory and disks are asked for in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A size in mebibytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MiB(pub u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a size: '{0}' (say 512M, 4GiB, or a number of MiB)")]
pub struct NotASize(String);

impl MiB {
    /// The size in bytes; saturates at the largest number.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0.saturating_mul(1 << 20)
    }
}

impl FromStr for MiB {
    type Err = NotASize;
    /// Reads `512`, `512M`, `512MiB`, `4G`, `4GiB`, `1T`. Units are binary.
    fn from_str(text: &str) -> Result<Self, NotASize> {
        let refused = || NotASize(text.to_owned());
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "m" | "mb" | "mib" => 1,
            "g" | "gb" | "gib" => 1 << 10,
            "t" | "tb" | "tib" => 1 << 20,
            _ => return Err(refused()),
        };
        let number: u64 = digits.parse().map_err(|_| refused())?;
        number.checked_mul(factor).filter(|size| *size > 0).map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for MiB {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1024 && self.0.is_multiple_of(1024) {
            write!(f, "{} GiB", self.0 / 1024)
        } else {
            write!(f, "{} MiB", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, mib) in [("512", 512), ("512M", 512), ("4GiB", 4096), ("1g", 1024), ("2T", 2 << 20)] {
            assert_eq!(text.parse(), Ok(MiB(mib)), "{text}");
        }
        for text in ["", "0", "-1", "12X", "G", "1.5G", "99999999999999999T", "4 G"] {
            let error = text.parse::<MiB>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_divides_them() {
        assert_eq!(MiB(512).to_string(), "512 MiB");
        assert_eq!(MiB(10240).to_string(), "10 GiB");
        assert_eq!(MiB(1500).to_string(), "1500 MiB");
    }
}
