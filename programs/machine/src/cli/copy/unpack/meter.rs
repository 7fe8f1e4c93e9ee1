//! What a stream may take of our memory: the library holds long names whole, so that what is not a
//! file's content is measured.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// How much may come before a file's content: its headers, with the longest names there are.
const HEADERS: u64 = 1 << 20;

/// How much may be read yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Rc<Cell<u64>>);

/// A stream that is measured.
#[derive(Debug)]
pub(super) struct Metered<R> {
    stream: R,
    meter: Meter,
}

impl Meter {
    /// Headers come now.
    pub(super) fn header(&self) {
        self.0.set(HEADERS);
    }

    /// A file's content comes now; it goes to the disk.
    pub(super) fn content(&self) {
        self.0.set(u64::MAX);
    }
}

impl<R> Metered<R> {
    pub(super) fn new(stream: R, meter: &Meter) -> Self {
        Self { stream, meter: meter.clone() }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.meter.0.get();
        if left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a header is too long"));
        }
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.stream.read(&mut buffer[..room])?;
        self.meter.0.set(left.saturating_sub(read as u64));
        Ok(read)
    }
}
