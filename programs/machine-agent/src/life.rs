//! The one task that wakes the guest and brings it to rest: one after the other, and to the end even if the host
//! that asked has left, so that a second host finds no half of it.
//!
//! ```text
//! resting ──WakeAs──▶ awake ──WakeAs, the same or another──▶ awake ──Settle──▶ resting
//! ```

use crate::line::Teller;
use crate::power::Init;
use crate::settle::settle;
use crate::wake::{Before, Rest, Resting, Waking, World, parse, parse_rest, wake};
use machine_agent_protocol::{Failed, FailureCode, Settle, WakeAs};
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Hosts that wait for their turn.
const ORDERS: usize = 4;

enum Wish {
    Wake(Box<Waking>),
    Settle(Rest),
}

struct Order {
    wish: Wish,
    teller: Teller,
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
        let (orders, inbox) = mpsc::channel(ORDERS);
        let boot_id = world.boot_id.subscribe();
        tokio::spawn(live(inbox, world));
        Self { init, orders, boot_id }
    }

    /// Becomes a machine, as the host said in bytes that came at `arrived`, and tells it so.
    pub(crate) fn wake(&self, wake: WakeAs, arrived: Instant, teller: Teller) {
        match parse(wake, arrived) {
            Ok(waking) => self.ask(Wish::Wake(Box::new(waking)), teller),
            Err(failed) => refuse(failed, teller),
        }
    }

    /// Comes to rest, and tells the host so.
    pub(crate) fn settle(&self, settle: Settle, teller: Teller) {
        match parse_rest(settle) {
            Ok(rest) => self.ask(Wish::Settle(rest), teller),
            Err(failed) => refuse(failed, teller),
        }
    }

    /// What the guest's boot id is, and becomes.
    pub(crate) fn boot_id(&self) -> watch::Receiver<String> {
        self.boot_id.clone()
    }

    fn ask(&self, wish: Wish, teller: Teller) {
        match self.init {
            Init::Us => {}
            Init::Other => {
                // This system is somebody's; it is not ours to rename.
                let message = "the agent is not this system's init and does not change who it is".to_owned();
                return refuse(Failed { code: FailureCode::Unsupported, message }, teller);
            }
        }
        if let Err(error) = self.orders.try_send(Order { wish, teller }) {
            let Order { teller, .. } = error.into_inner();
            let message = format!("{ORDERS} hosts wait to wake or settle this guest, or it ends");
            refuse(Failed { code: FailureCode::Io, message }, teller);
        }
    }
}

fn refuse(failed: Failed, teller: Teller) {
    tokio::spawn(async move { teller.finish(failed).await });
}

async fn live(mut inbox: mpsc::Receiver<Order>, world: World) {
    let mut before = Before::Nothing;
    while let Some(Order { wish, teller }) = inbox.recv().await {
        match wish {
            Wish::Wake(waking) => {
                let rested = become_machine(&world, *waking, &mut before, &teller).await;
                if let Some(resting) = rested {
                    // First the answer leaves.
                    tokio::task::yield_now().await;
                    resting.rise().await;
                }
            }
            Wish::Settle(rest) => {
                let last = std::mem::replace(&mut before, Before::Nothing);
                match settle(&world, last, rest).await {
                    Ok((settled, resting)) => {
                        before = Before::Rested(Box::new(resting));
                        teller.finish(settled).await;
                    }
                    Err(failed) => teller.finish(failed).await,
                }
            }
        }
    }
}

/// Answers what the guest rested with, if it did.
async fn become_machine(world: &World, waking: Waking, before: &mut Before, teller: &Teller) -> Option<Resting> {
    let which = waking.which.clone();
    match wake(world, waking, before).await {
        Ok(woken) => {
            teller.finish(woken.clone()).await;
            match std::mem::replace(before, Before::Woke(which, woken)) {
                Before::Rested(resting) => Some(*resting),
                Before::Nothing | Before::Woke(..) => None,
            }
        }
        Err(failed) => {
            // What it rested with is still there for the next attempt.
            teller.finish(failed).await;
            None
        }
    }
}
