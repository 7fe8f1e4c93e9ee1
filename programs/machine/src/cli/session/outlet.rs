//! Our standard output and error, written by a thread of their own, in the order in which the command
//! wrote. Few pieces wait: a reader that is slow slows the command.

use std::io::{self, Write};
use std::thread;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// How many pieces wait for the thread.
const QUEUE: usize = 2;

/// Which of our outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// Why nothing more can be written.
#[derive(Debug)]
pub(super) enum Closed {
    /// Nobody reads.
    Pipe,
    Failed(io::Error),
}

/// The near end of the thread.
#[derive(Debug)]
pub(super) struct Outlet {
    pieces: mpsc::Sender<(Stream, Bytes)>,
    outcome: oneshot::Receiver<io::Result<()>>,
}

impl Outlet {
    /// Starts the thread.
    pub(super) fn open() -> Self {
        let (pieces, mut queue) = mpsc::channel::<(Stream, Bytes)>(QUEUE);
        let (tell, outcome) = oneshot::channel();
        thread::spawn(move || {
            let written = drain(&mut queue);
            // Closes the queue first, so that the other end learns of it even while it waits.
            drop(queue);
            let _ = tell.send(written);
        });
        Self { pieces, outcome }
    }

    /// Gives a piece to the thread; waits while it is busy.
    pub(super) async fn write(&self, stream: Stream, bytes: Bytes) -> Result<(), ()> {
        self.pieces.send((stream, bytes)).await.map_err(|_| ())
    }

    /// Waits until nothing more can be written.
    pub(super) async fn closed(&self) {
        self.pieces.closed().await;
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) -> Result<(), Closed> {
        drop(self.pieces);
        match self.outcome.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed::Pipe),
            Ok(Err(error)) => Err(Closed::Failed(error)),
            Err(_) => Err(Closed::Failed(io::Error::other("the writing thread is gone"))),
        }
    }
}

fn drain(queue: &mut mpsc::Receiver<(Stream, Bytes)>) -> io::Result<()> {
    // Unbuffered: the standard library's own buffer would hold a prompt back until its line ends.
    while let Some((stream, bytes)) = queue.blocking_recv() {
        match stream {
            Stream::Out => write_all(rustix::stdio::stdout(), &bytes)?,
            Stream::Err => io::stderr().write_all(&bytes)?,
        }
    }
    Ok(())
}

fn write_all(to: impl std::os::fd::AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => wait_until_writable(&to)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Somebody who shares our output may have made it non-blocking.
fn wait_until_writable(to: &impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::new(to, PollFlags::OUT)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
