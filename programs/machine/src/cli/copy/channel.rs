//! Pipes between a task and a thread: the task waits without blocking, the thread blocks, and few
//! pieces are between them.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// How many pieces are between them.
const QUEUE: usize = 4;
/// How large a piece is that a thread writes.
const PIECE: usize = 64 << 10;

/// What a thread writes.
#[derive(Debug)]
pub(crate) struct ThreadWriter {
    pieces: mpsc::Sender<Bytes>,
    gathered: Vec<u8>,
}

/// What a thread reads. It ends only where the task said so: a task that is gone is an error.
#[derive(Debug)]
pub(crate) struct ThreadReader {
    pieces: mpsc::Receiver<Piece>,
    rest: Bytes,
    ended: bool,
}

/// What a task gives to a `ThreadReader`.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    End,
}

/// A thread writes, a task reads.
pub(super) fn from_thread() -> (ThreadWriter, mpsc::Receiver<Bytes>) {
    let (pieces, queue) = mpsc::channel(QUEUE);
    (ThreadWriter { pieces, gathered: Vec::with_capacity(PIECE) }, queue)
}

/// A task writes, a thread reads.
pub(super) fn to_thread() -> (mpsc::Sender<Piece>, ThreadReader) {
    let (pieces, queue) = mpsc::channel(QUEUE);
    (pieces, ThreadReader { pieces: queue, rest: Bytes::new(), ended: false })
}

impl Write for ThreadWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..length]);
        if self.gathered.len() == PIECE {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE));
        self.pieces.blocking_send(Bytes::from(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Read for ThreadReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.rest = bytes,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the stream broke off")),
            }
        }
        let length = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_writes_comes_in_few_pieces_and_whole() {
        let (mut writer, mut queue) = from_thread();
        let thread = std::thread::spawn(move || {
            writer.write_all(&[7; PIECE + 3]).unwrap();
            writer.flush().unwrap();
        });
        let lengths: Vec<usize> = std::iter::from_fn(|| queue.blocking_recv()).map(|piece| piece.len()).collect();
        thread.join().unwrap();
        assert_eq!(lengths, [PIECE, 3]);
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_end() {
        let (sender, mut reader) = to_thread();
        sender.blocking_send(Piece::Bytes(Bytes::from_static(b"ab"))).unwrap();
        sender.blocking_send(Piece::End).unwrap();
        drop(sender);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "ab");

        let (sender, mut reader) = to_thread();
        sender.blocking_send(Piece::Bytes(Bytes::from_static(b"ab"))).unwrap();
        drop(sender);
        assert!(io::read_to_string(&mut reader).is_err());
    }
}
