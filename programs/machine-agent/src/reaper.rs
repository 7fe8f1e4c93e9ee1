//! The one task that starts processes and hears of their ends, of our own and of orphans.
//!
//! ```text
//! ──launch──▶ running ──SIGCHLD, waitpid──▶ told to whoever launched it
//! ```
//! Starting and reaping are in one task so that no end can come before its start is noted.

use crate::exec::sys::{Launch, StartError, ends_of_children, start};
use machine_agent_protocol::Ending;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) ending: oneshot::Receiver<Ending>,
    /// Our copies of its standard streams.
    pub(crate) stdio: [OwnedFd; 3],
}

struct Order {
    launch: Launch,
    reply: oneshot::Sender<Result<Launched, StartError>>,
}

/// The handle on the task.
#[derive(Debug, Clone)]
pub(crate) struct Reaper {
    orders: mpsc::Sender<Order>,
}

impl Reaper {
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel(16);
        let children = crate::sys::watch(ends_of_children()?)?;
        tokio::spawn(run(inbox, children));
        Ok(Self { orders })
    }

    /// Starts a process.
    pub(crate) async fn launch(&self, launch: Launch) -> Result<Launched, StartError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order { launch, reply }).await.map_err(|_| StartError::NoReaper)?;
        answer.await.unwrap_or(Err(StartError::NoReaper))
    }
}

async fn run(mut orders: mpsc::Receiver<Order>, children: AsyncFd<OwnedFd>) {
    let mut running = HashMap::new();
    loop {
        tokio::select! {
            () = ended(&children) => reap(&mut running),
            order = orders.recv() => {
                let Some(Order { launch, reply }) = order else { return };
                let started = start(&launch).map(|pid| {
                    let (sender, ending) = oneshot::channel();
                    running.insert(pid, sender);
                    Launched { pid, ending, stdio: launch.stdio }
                });
                // Whoever ordered may have left; the process is then nobody's but still reaped.
                reply.send(started).ok();
            }
        }
    }
}

/// Waits for a SIGCHLD and takes it.
async fn ended(children: &AsyncFd<OwnedFd>) {
    // The descriptor lives as long as the runtime: an error here is the runtime's end.
    let Ok(mut ready) = children.readable().await else { return std::future::pending().await };
    // However many children ended, one signal waits, and one read takes it: no second one to learn that.
    let mut record = [0; 128];
    rustix::io::read(children.get_ref(), &mut record).unwrap_or_default();
    ready.clear_ready();
}

fn reap(running: &mut HashMap<Pid, oneshot::Sender<Ending>>) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if let (Some(waiting), Some(ending)) = (running.remove(&pid), ending(status)) {
            waiting.send(ending).unwrap_or_default();
        }
    }
}

fn ending(status: WaitStatus) -> Option<Ending> {
    let number = |value: i32| u32::try_from(value).unwrap_or_default();
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Ending::Code(number(code))),
        (None, Some(signal)) => Some(Ending::Signal(number(signal))),
        (None, None) => None,
    }
}
