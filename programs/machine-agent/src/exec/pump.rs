//! Carries one output of a command to the host.
//!
//! ```text
//! Flowing ──end of file──▶ done
//!    └──process ended──▶ Draining: what was in the pipe then, and 100 ms more ──▶ done
//! ```
//! A background process may hold the pipe open for ever; it does not hold up the answer.

use super::stdio::End;
use crate::line::Teller;
use machine_agent_protocol::Channel;
use std::cell::RefCell;
use std::io;
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::watch;
use tokio::time::Instant;

const CHUNK: usize = 64 * 1024;
const LINGER: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum State {
    Flowing,
    Draining { owed: u64, until: Instant },
}

pub(crate) async fn pump(output: End, channel: Channel, teller: Teller, mut over: watch::Receiver<bool>) {
    let mut state = State::Flowing;
    while !is_done(state) {
        let mut chunk = Vec::new();
        let read = output.async_io(Interest::READABLE, |fd| read(fd, &mut chunk));
        let count = tokio::select! {
            biased;
            read = read => read.unwrap_or(0),
            () = process_over(&mut over, state) => {
                let owed = rustix::io::ioctl_fionread(output.get_ref()).unwrap_or(0);
                state = State::Draining { owed, until: Instant::now() + LINGER };
                continue;
            }
            () = linger(state) => break,
        };
        if count == 0 {
            break;
        }
        state = after(state, count);
        if teller.data(channel, chunk).await.is_err() {
            return;
        }
        // A writer that never pauses must not keep us from noticing the end.
        if let (State::Flowing, true) = (state, *over.borrow()) {
            let owed = rustix::io::ioctl_fionread(output.get_ref()).unwrap_or(0);
            state = State::Draining { owed, until: Instant::now() + LINGER };
        }
    }
    // No word of the end: `Exited` is the last word on every output, and one wake-up less.
}

thread_local! {
    /// Where every pipe is read to first. A fresh buffer for each read would cost more, in page faults of
    /// an emulated processor, than a short command itself.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

fn read(fd: &std::os::fd::OwnedFd, chunk: &mut Vec<u8>) -> io::Result<usize> {
    SCRATCH.with_borrow_mut(|scratch| {
        // A terminal that nobody has open any more says EIO: `pump` takes it for the end.
        let count = rustix::io::read(fd, &mut scratch[..])?;
        chunk.extend_from_slice(&scratch[..count]);
        Ok(count)
    })
}

fn after(state: State, count: usize) -> State {
    match state {
        State::Flowing => State::Flowing,
        State::Draining { owed, until } => {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            State::Draining { owed: owed.saturating_sub(count), until }
        }
    }
}

fn is_done(state: State) -> bool {
    match state {
        State::Flowing => false,
        State::Draining { owed, until } => owed == 0 && Instant::now() >= until,
    }
}

async fn process_over(over: &mut watch::Receiver<bool>, state: State) {
    match state {
        State::Flowing => {
            // The sender lives as long as the command is attended.
            over.wait_for(|over| *over).await.ok();
        }
        State::Draining { .. } => std::future::pending().await,
    }
}

async fn linger(state: State) {
    match state {
        State::Flowing => std::future::pending().await,
        State::Draining { until, .. } => tokio::time::sleep_until(until).await,
    }
}
