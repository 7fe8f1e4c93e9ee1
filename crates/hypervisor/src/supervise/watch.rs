//! Waits for the VMM's end, and for a signal to bring it about, while the VMM's two streams go into their
//! bounded logs. A log that cannot be written loses bytes; the VMM never waits for a disk because of it.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::bounded_log::BoundedLog;
use crate::process::{Asked, ExitStatus};

const CHUNK: usize = 64 << 10;

/// What can be in a pipe when its writer is dead, and not more: someone else may hold it open and write.
const LEFT_OVER: usize = 1 << 20;

/// One of the VMM's streams; closed once it has ended.
struct Stream {
    pipe: Option<Box<dyn Pipe>>,
    log: BoundedLog,
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

pub(super) fn watch(
    child: &mut Child,
    termination: &OwnedFd,
    console: BoundedLog,
    log: BoundedLog,
) -> io::Result<(ExitStatus, Asked)> {
    let pid = Pid::from_child(child);
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let mut streams = [
        Stream { pipe: child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>), log: console },
        Stream { pipe: child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>), log },
    ];
    let mut asked = Asked::No;
    loop {
        let [told, ended, first, second] = ready(termination.as_fd(), process.as_fd(), &streams)?;
        if told && asked == Asked::No {
            asked = Asked::Yes;
            pidfd_send_signal(&process, Signal::KILL)?;
        }
        if ended {
            break;
        }
        for (stream, ready) in streams.iter_mut().zip([first, second]) {
            if ready {
                stream.take();
            }
        }
        if asked == Asked::Yes {
            // The signal stays readable; from here on only the end matters.
            wait_for(process.as_fd())?;
        }
    }
    let status = child.wait()?;
    for stream in &mut streams {
        stream.drain();
    }
    Ok((meaning(status), asked))
}

fn meaning(status: std::process::ExitStatus) -> ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Signal(0),
    }
}

/// Waits until something can be said of: the termination signal, the process, the two streams.
fn ready(termination: BorrowedFd<'_>, process: BorrowedFd<'_>, streams: &[Stream; 2]) -> io::Result<[bool; 4]> {
    // A closed stream is waited for as a second look at the process, so that the places stay.
    let [first, second] = streams.each_ref().map(|stream| stream.pipe.as_deref().map_or(process, |pipe| pipe.as_fd()));
    let mut places = [termination, process, first, second].map(|it| PollFd::from_borrowed_fd(it, PollFlags::IN));
    retry(|| poll(&mut places, None))?;
    Ok(places.map(|place| !place.revents().is_empty()))
}

fn wait_for(process: BorrowedFd<'_>) -> io::Result<()> {
    let mut places = [PollFd::from_borrowed_fd(process, PollFlags::IN)];
    retry(|| poll(&mut places, None))
}

fn retry(mut poll: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<()> {
    loop {
        match poll() {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Stream {
    /// Moves what is there. How much that was.
    fn take(&mut self) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        let mut chunk = [0; CHUNK];
        match pipe.read(&mut chunk) {
            Ok(0) | Err(_) => {
                self.pipe = None;
                0
            }
            Ok(read) => {
                // A full disk costs log lines, not the machine.
                let _ = self.log.write(&chunk[..read]);
                read
            }
        }
    }

    fn drain(&mut self) {
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
