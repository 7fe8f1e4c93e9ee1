//! The one task that starts processes and hears of their ends, of our own and of orphans.
//!
//! ```text
//! ──launch──▶ running ──SIGCHLD, waitpid──▶ told to whoever launched it
//! ```
//! Starting and reaping are in one task so that no end can come before its start is noted.

use crate::exec::sys::{Launch, StartError, start};
use machine_agent_protocol::Ending;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use std::collections::HashMap;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) ending: oneshot::Receiver<Ending>,
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
        let children = signal(SignalKind::child())?;
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

async fn run(mut orders: mpsc::Receiver<Order>, mut children: Signal) {
    let mut running = HashMap::new();
    loop {
        tokio::select! {
            _ = children.recv() => reap(&mut running),
            order = orders.recv() => {
                let Some(order) = order else { return };
                let started = start(&order.launch).map(|pid| {
                    let (sender, ending) = oneshot::channel();
                    running.insert(pid, sender);
                    Launched { pid, ending }
                });
                // Whoever ordered may have left; the process is then nobody's but still reaped.
                order.reply.send(started).ok();
            }
        }
    }
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
