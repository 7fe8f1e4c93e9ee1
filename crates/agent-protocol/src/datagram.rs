//! Datagrams in a stream of bytes: each has its length before it, in two bytes, the larger first.
//!
//! Why not one data frame for each: frames are cut where the window ends and where a payload would hold a MAGIC,
//! and there is no empty one.

/// Bytes of a length.
const LENGTH: usize = 2;
/// No datagram is longer.
pub const LONGEST_DATAGRAM: usize = u16::MAX as usize;

/// A datagram that no network carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a datagram has at most {LONGEST_DATAGRAM} bytes, not {length}")]
pub struct TooLong {
    /// Its length.
    pub length: usize,
}

/// The bytes of one datagram in the stream.
///
/// # Errors
/// If it is too long.
pub fn packed(datagram: &[u8]) -> Result<Vec<u8>, TooLong> {
    let length = u16::try_from(datagram.len()).map_err(|_| TooLong { length: datagram.len() })?;
    let mut packed = Vec::with_capacity(LENGTH + datagram.len());
    packed.extend(length.to_be_bytes());
    packed.extend_from_slice(datagram);
    Ok(packed)
}

/// Takes datagrams out of a stream, in whatever chunks it comes. Holds what it was given and not asked for.
#[derive(Debug, Clone, Default)]
pub struct Unpacker {
    bytes: Vec<u8>,
    /// Everything before this was taken.
    start: usize,
}

impl Unpacker {
    /// Takes bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(chunk);
    }

    /// The next whole datagram.
    pub fn next_datagram(&mut self) -> Option<&[u8]> {
        let from = self.start + LENGTH;
        let length: [u8; LENGTH] = self.bytes.get(self.start..from)?.try_into().ok()?;
        let end = from + usize::from(u16::from_be_bytes(length));
        let datagram = self.bytes.get(from..end)?;
        self.start = end;
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_datagram_fits_and_a_longer_one_is_refused() {
        let mut unpacker = Unpacker::default();
        for datagram in [vec![7; LONGEST_DATAGRAM], Vec::new()] {
            unpacker.push(&packed(&datagram).unwrap());
            assert_eq!(unpacker.next_datagram(), Some(&datagram[..]));
            assert_eq!(unpacker.next_datagram(), None);
        }
        let length = LONGEST_DATAGRAM + 1;
        assert_eq!(packed(&vec![7; length]), Err(TooLong { length }));
    }
}
