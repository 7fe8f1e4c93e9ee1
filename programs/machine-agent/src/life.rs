//! The one task that wakes the guest and brings it to rest: one after the other, and to the end even if the host
//! that asked has left, so that a second host finds no half of it.
//!
//! ```text
//! resting ──WakeAs──▶ awake ──WakeAs, the same or another──▶ awake ──Settle──▶ resting
//! ```

use crate::power::Init;
use crate::settle::settle;
use crate::wake::{Before, Waking, World, parse, wake};
use machine_agent_protocol::{Answer, Failed, FailureCode, WakeAs};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// So long the host has for its first questions before the platform is heard again, and what the guest rested
/// with is put away.
const FIRST_QUESTIONS: Duration = Duration::from_millis(300);

enum Wish {
    Wake(Box<Waking>),
    Settle,
}

struct Order {
    wish: Wish,
    reply: oneshot::Sender<Result<Answer, Failed>>,
}

/// The handle on the task.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    init: Init,
    orders: mpsc::Sender<Order>,
    boot_id: watch::Receiver<String>,
}

impl Life {
    pub(crate) fn start(init: Init, world: World) -> Self {
        let (orders, inbox) = mpsc::channel(4);
        let boot_id = world.boot_id.subscribe();
        tokio::spawn(live(inbox, world));
        Self { init, orders, boot_id }
    }

    /// Becomes a machine, as the host said in bytes that came at `arrived`.
    pub(crate) async fn wake(&self, wake: WakeAs, arrived: Instant) -> Result<Answer, Failed> {
        let waking = parse(wake, arrived)?;
        self.ask(Wish::Wake(Box::new(waking))).await
    }

    /// Comes to rest.
    pub(crate) async fn settle(&self) -> Result<Answer, Failed> {
        self.ask(Wish::Settle).await
    }

    /// What the guest's boot id is, and becomes.
    pub(crate) fn boot_id(&self) -> watch::Receiver<String> {
        self.boot_id.clone()
    }

    async fn ask(&self, wish: Wish) -> Result<Answer, Failed> {
        match self.init {
            Init::Us => {}
            // This system is somebody's; it is not ours to rename.
            Init::Other => {
                return Err(Failed {
                    code: FailureCode::Unsupported,
                    message: "the agent is not this system's init and does not change who it is".to_owned(),
                });
            }
        }
        let (reply, answer) = oneshot::channel();
        let gone = || Failed { code: FailureCode::Io, message: "the agent ends".to_owned() };
        self.orders.send(Order { wish, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn live(mut inbox: mpsc::Receiver<Order>, world: World) {
    let mut before = Before::Nothing;
    while let Some(Order { wish, reply }) = inbox.recv().await {
        let last = std::mem::replace(&mut before, Before::Nothing);
        let mut rested = None;
        let answer = match wish {
            Wish::Wake(waking) => match wake(&world, &waking, &last).await {
                Ok(woken) => {
                    if let Before::Rested(resting) = last {
                        rested = Some(resting);
                    }
                    before = Before::Woke(waking.which, woken.clone());
                    Ok(Answer::Woken(woken))
                }
                Err(failed) => {
                    // What it rested with is still there for the next attempt.
                    before = last;
                    Err(failed)
                }
            },
            Wish::Settle => settle(&world, last).await.map(|(settled, resting)| {
                before = Before::Rested(resting);
                Answer::Settled(settled)
            }),
        };
        // Whoever asked may have left.
        reply.send(answer).ok();
        if let Some(resting) = rested {
            tokio::time::sleep(FIRST_QUESTIONS).await;
            resting.held_back.listen();
        }
    }
}
