//! Carries the outputs of a command to the host.
//!
//! ```text
//! Flowing ──end of file──▶ done
//!    └──process ended──▶ Draining: what was in the pipe then, and 100 ms more ──▶ done
//! ```
//! A background process may hold the pipe open for ever; it does not hold up the answer.

use super::herald::Herald;
use super::stdio::End;
use crate::line::Gone;
use crate::scratch;
use machine_agent_protocol::Channel;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::watch;
use tokio::time::Instant;

const LINGER: Duration = Duration::from_millis(100);

/// All outputs of one command, being carried. In the task of the command and not in one each: a wake-up less
/// for every output. So whoever waits for the desk must let them go on meanwhile: they may hold the very place
/// at the desk that he waits for.
pub(super) struct Pumps<'a> {
    carrying: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> Pumps<'a> {
    pub(super) fn new(outputs: &'a [(Channel, End)], herald: &'a Herald, over: watch::Receiver<bool>) -> Self {
        Self { carrying: Some(Box::pin(all(outputs, herald, over))) }
    }

    /// Carries until each output is done, or nobody listens.
    pub(super) async fn finished(&mut self) {
        if let Some(carrying) = &mut self.carrying {
            carrying.as_mut().await;
        }
        self.carrying = None;
    }

    /// Carries for ever.
    pub(super) async fn run(&mut self) -> Infallible {
        self.finished().await;
        std::future::pending().await
    }

    /// Carries while `work` is done.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.run() => match never {},
        }
    }
}

async fn all(outputs: &[(Channel, End)], herald: &Herald, over: watch::Receiver<bool>) {
    match outputs {
        [] => {}
        [only] => pump(only, herald, over).await,
        [first, second, ..] => {
            tokio::join!(pump(first, herald, over.clone()), pump(second, herald, over));
        }
    }
}

async fn pump((channel, output): &(Channel, End), herald: &Herald, over: watch::Receiver<bool>) {
    let done = match flow(output, *channel, herald, over).await {
        Ok(Flow::ProcessOver) => drain(output, *channel, herald).await,
        Ok(Flow::EndOfFile) => Ok(()),
        Err(gone) => Err(gone),
    };
    // No word of the end: `Exited` is the last word on every output, and one wake-up less. And who does not
    // listen needs no word either.
    done.unwrap_or_default();
}

enum Flow {
    EndOfFile,
    ProcessOver,
}

async fn flow(output: &End, channel: Channel, herald: &Herald, mut over: watch::Receiver<bool>) -> Result<Flow, Gone> {
    // A writer that never pauses must not keep us from noticing the end.
    while !*over.borrow() {
        let mut chunk = Vec::new();
        let read = output.async_io(Interest::READABLE, |fd| read(fd, &mut chunk));
        let count = tokio::select! {
            biased;
            read = read => read.unwrap_or(0),
            // The sender lives as long as the command is attended.
            _ = over.wait_for(|over| *over) => break,
        };
        if count == 0 {
            return Ok(Flow::EndOfFile);
        }
        herald.data(channel, chunk).await?;
    }
    Ok(Flow::ProcessOver)
}

/// Reads without asking the runtime first: it would hear of the end of file one wake-up later.
async fn drain(output: &End, channel: Channel, herald: &Herald) -> Result<(), Gone> {
    let mut chunk = Vec::new();
    let first = read_now(output, &mut chunk);
    if first == Some(0) {
        return Ok(());
    }
    let until = Instant::now() + LINGER;
    let mut owed = rustix::io::ioctl_fionread(output.get_ref()).unwrap_or(0);
    if first.is_some() {
        herald.data(channel, chunk).await?;
    }
    while owed > 0 || Instant::now() < until {
        let mut chunk = Vec::new();
        let read = output.async_io(Interest::READABLE, |fd| read(fd, &mut chunk));
        let count = tokio::select! {
            biased;
            read = read => read.unwrap_or(0),
            () = tokio::time::sleep_until(until) => 0,
        };
        if count == 0 {
            break;
        }
        owed = owed.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        herald.data(channel, chunk).await?;
    }
    Ok(())
}

/// `None` if there is nothing now, but somebody may still write.
fn read_now(output: &End, chunk: &mut Vec<u8>) -> Option<usize> {
    match read(output.get_ref(), chunk) {
        Ok(count) => Some(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(_) => Some(0),
    }
}

fn read(fd: &OwnedFd, chunk: &mut Vec<u8>) -> io::Result<usize> {
    // A terminal that nobody has open any more says EIO: it is taken for the end.
    *chunk = scratch::read(|scratch| rustix::io::read(fd, scratch))?;
    Ok(chunk.len())
}
