//! Where `cp` reads and writes: `NAME:/path` in a machine, everything else on this computer.

use std::path::PathBuf;

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this computer.
    Here(PathBuf),
    /// In a machine's guest.
    Guest {
        /// Name, id or unique prefix.
        machine: String,
        /// Absolute path.
        path: String,
    },
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (machine, path) = match text.split_once(':') {
            // A file here may have a colon in its name: `./a:b`.
            Some((before, path)) if !before.contains('/') => (before, path),
            Some(_) | None if text.is_empty() => return Err("an empty path".to_owned()),
            Some(_) | None => return Ok(Self::Here(PathBuf::from(text))),
        };
        if machine.is_empty() {
            return Err(format!("no machine before ':': '{text}'"));
        }
        if !path.starts_with('/') {
            return Err(format!(
                "not an absolute path in a machine: '{text}' (say {machine}:/path; a file here is ./{text})"
            ));
        }
        Ok(Self::Guest { machine: machine.to_owned(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(text: &str) {
        assert_eq!(text.parse(), Ok(Place::Here(PathBuf::from(text))));
    }

    #[test]
    fn a_name_and_a_colon_mean_a_machine() {
        let guest = Place::Guest { machine: "web".to_owned(), path: "/etc/a:b".to_owned() };
        assert_eq!("web:/etc/a:b".parse(), Ok(guest));
    }

    #[test]
    fn everything_else_is_here() {
        for text in ["a", "/a/b", "./a:b", "/a:b", "../x:/y", "."] {
            here(text);
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", ":/x", "web:", "web:x"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
