//! What is at a path of a folder that is copied. Knows nothing of where the folder is.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file, by its content.
    File { mode: Mode, size: u64, digest: Digest },
    /// A folder; what is in it has entries of its own.
    Folder { mode: Mode },
    /// A symbolic link, by its text.
    Link { target: PathBuf },
    /// None of these.
    Other,
}

impl Entry {
    /// Its mode, if it has one that counts.
    pub(crate) const fn mode(&self) -> Option<Mode> {
        match self {
            Self::File { mode, .. } | Self::Folder { mode } => Some(*mode),
            Self::Link { .. } | Self::Other => None,
        }
    }
}

/// Permission bits. What a guest calls setuid is not so here, so that nobody compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode(u32);

impl Mode {
    /// The bits of a mode that count.
    pub(crate) const fn of(bits: u32) -> Self {
        Self(bits & 0o777)
    }

    /// As the system takes them.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

/// The SHA-256 of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

/// Digests what it is fed.
#[derive(Debug, Default)]
pub(crate) struct Digesting(Sha256);

impl Digesting {
    /// More of the content.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// That was all.
    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Digest {
    /// Reads a content to its end; gives its length, too.
    pub(crate) fn of(mut content: impl Read) -> io::Result<(u64, Self)> {
        let mut digesting = Digesting::default();
        let (mut buffer, mut size) = (vec![0; 64 << 10], 0);
        loop {
            match content.read(&mut buffer)? {
                0 => return Ok((size, digesting.finish())),
                read => {
                    digesting.feed(&buffer[..read]);
                    size += read as u64;
                }
            }
        }
    }

    /// Reads it as it is displayed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let (size, digest) = Digest::of(&b"abc"[..]).unwrap();
        assert_eq!(size, 3);
        assert!(digest.to_string().starts_with("ba7816bf"));
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("ba78"), None);
    }
}
