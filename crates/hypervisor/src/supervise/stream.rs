//! One stream of a process of ours on its way into a bounded log.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bounded_log::BoundedLog;

const CHUNK: usize = 64 << 10;

/// What can be in a pipe when its writer is dead, and not more: someone else may hold it open and write.
const LEFT_OVER: usize = 1 << 20;

/// A pipe with its log; closed once it has ended.
pub(super) struct Stream {
    pipe: Option<Box<dyn Pipe>>,
    log: BoundedLog,
}

pub(super) trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

impl Stream {
    pub(super) fn new(pipe: Option<impl Pipe + 'static>, log: BoundedLog) -> Self {
        Self { pipe: pipe.map(|pipe| Box::new(pipe) as Box<dyn Pipe>), log }
    }

    /// What to wait for; nothing, once it is closed.
    pub(super) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_deref().map(AsFd::as_fd)
    }

    /// Moves what is there. How much that was.
    pub(super) fn take(&mut self) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        let mut chunk = [0; CHUNK];
        match pipe.read(&mut chunk) {
            Ok(0) | Err(_) => {
                self.pipe = None;
                0
            }
            Ok(read) => {
                self.note(&chunk[..read]);
                read
            }
        }
    }

    /// Adds words of ours.
    pub(super) fn note(&mut self, bytes: &[u8]) {
        // A full disk costs log lines, not the machine.
        let _ = self.log.write(bytes);
    }

    /// Moves what its writer left.
    pub(super) fn drain(&mut self) {
        let mut left = LEFT_OVER;
        while left > 0 && self.has_more() {
            left = left.saturating_sub(self.take());
        }
    }

    fn has_more(&self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut places = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut places, Some(&now)), Ok(1..))
    }
}
