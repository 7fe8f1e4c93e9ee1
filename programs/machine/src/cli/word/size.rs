//! Sizes, as people write them and as they are shown. Units are binary.

/// A size in mebibytes, for memory and disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mebibytes(pub(crate) u64);

impl std::str::FromStr for Mebibytes {
    type Err = String;

    /// Reads `512`, `512M`, `512MiB`, `4G`, `4GiB`, `1T`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("not a size: '{text}' (say 512M, 4GiB, or a number of MiB)");
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let factor: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "m" | "mb" | "mib" => 1,
            "g" | "gb" | "gib" => 1 << 10,
            "t" | "tb" | "tib" => 1 << 20,
            _ => return Err(refused()),
        };
        let number: u64 = digits.parse().map_err(|_| refused())?;
        number.checked_mul(factor).filter(|size| *size > 0).map(Self).ok_or_else(refused)
    }
}

impl std::fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 >= 1024 && self.0.is_multiple_of(1024) {
            write!(f, "{} GiB", self.0 / 1024)
        } else {
            write!(f, "{} MiB", self.0)
        }
    }
}

/// Bytes, for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, mib) in [("512", 512), ("512M", 512), ("4GiB", 4096), ("1g", 1024), ("2T", 2 << 20)] {
            assert_eq!(text.parse(), Ok(Mebibytes(mib)), "{text}");
        }
        for text in ["", "0", "-1", "12X", "G", "1.5G", "99999999999999999T", "4 G"] {
            let error = text.parse::<Mebibytes>().unwrap_err();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_divides_them() {
        assert_eq!(Mebibytes(512).to_string(), "512 MiB");
        assert_eq!(Mebibytes(10240).to_string(), "10 GiB");
        assert_eq!(Mebibytes(1500).to_string(), "1500 MiB");
    }
}
