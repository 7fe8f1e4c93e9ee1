//! Waits for the VMM's end, and for a signal to bring it about, while the VMM's two streams go into their
//! bounded logs and its companions are minded. A log that cannot be written loses bytes; the VMM never waits
//! for a disk because of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::companions::{Companions, News};
use super::stream::Stream;
use crate::bounded_log::BoundedLog;
use crate::process::{Asked, ExitStatus};

/// What happened while we waited.
struct Ready {
    told: bool,
    ended: bool,
    streams: [bool; 2],
    companions: Vec<News>,
}

pub(super) fn watch(
    child: &mut Child,
    termination: &OwnedFd,
    [console, log]: [BoundedLog; 2],
    mut companions: Companions,
) -> io::Result<(ExitStatus, Asked)> {
    let pid = Pid::from_child(child);
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let mut streams = [Stream::new(child.stdout.take(), console), Stream::new(child.stderr.take(), log)];
    let asked = loop {
        companions.start_due();
        let ready = wait(termination.as_fd(), process.as_fd(), &streams, &companions)?;
        if ready.told {
            pidfd_send_signal(&process, Signal::KILL)?;
            wait_for(process.as_fd())?;
            break Asked::Yes;
        }
        if ready.ended {
            break Asked::No;
        }
        for (stream, ready) in streams.iter_mut().zip(ready.streams) {
            if ready {
                stream.take();
            }
        }
        companions.hear(ready.companions.into_iter());
    };
    companions.end();
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

/// Waits until something can be said of: the termination signal, the process, the two streams, the companions;
/// or until a companion is to be started.
fn wait(
    termination: BorrowedFd<'_>,
    process: BorrowedFd<'_>,
    streams: &[Stream; 2],
    companions: &Companions,
) -> io::Result<Ready> {
    // A closed stream is waited for as a second look at the process, so that the places stay.
    let [first, second] = streams.each_ref().map(|stream| stream.source().unwrap_or(process));
    let sources = [termination, process, first, second].into_iter().chain(companions.sources());
    let mut places: Vec<_> = sources.map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)).collect();
    wait_on(&mut places, companions.next_due())?;
    let happened: Vec<bool> = places.iter().map(|place| !place.revents().is_empty()).collect();
    let (ours, theirs) = happened.split_at(4);
    let companions = theirs.chunks_exact(2).map(|two| News { ended: two[0], said: two[1] }).collect();
    Ok(Ready { told: ours[0], ended: ours[1], streams: [ours[2], ours[3]], companions })
}

fn wait_for(process: BorrowedFd<'_>) -> io::Result<()> {
    wait_on(&mut [PollFd::from_borrowed_fd(process, PollFlags::IN)], None)
}

/// Waits for any of them, or until the time has come.
fn wait_on(places: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<()> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(places, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
