//! How others reach a keeper, and what it is asked.

use machine_core::state::{self, Decision, Why};
use machine_core::{Code, Command, Machine, Progress, Refusal, State};
use tokio::sync::{mpsc, oneshot, watch};

use super::network::NetworkOrder;
use crate::network::NetworkChange;

/// How a command ended, for each who waits for it.
pub type Answer = Result<Machine, Refusal>;

/// A command that a keeper is asked.
pub(super) struct Order {
    /// The command.
    pub(super) command: Command,
    /// The request it came with.
    pub(super) request: Option<String>,
    /// Who is told of the stages.
    pub(super) progress: Progress,
    /// Who waits for the end.
    pub(super) reply: oneshot::Sender<Answer>,
}

/// What a keeper is asked.
pub(super) enum Errand {
    /// A command.
    Command(Order),
    /// A change of the network.
    Network(NetworkOrder),
}

/// How others reach a keeper.
#[derive(Clone)]
pub struct KeeperHandle {
    pub(super) orders: mpsc::Sender<Errand>,
    pub(super) record: watch::Receiver<Machine>,
}

impl KeeperHandle {
    /// The machine as it is now.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.record.borrow().clone()
    }

    /// Whether its task still runs.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Asks a command and waits for its end.
    ///
    /// # Errors
    /// The refusal, or why the command failed.
    pub async fn ask(&self, command: Command, request: Option<String>, progress: Progress) -> Answer {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Errand::Command(Order { command, request, progress, reply })).await;
        if sent.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        // The keeper has ended: its machine is destroyed, or was never made.
        let machine = self.machine();
        match state::decide(machine.standing(), command) {
            Decision::Already => Ok(machine),
            Decision::Refuse(why) => Err(Refusal::of_lifecycle(why, machine.called(), machine.state, command)),
            Decision::Open(_) | Decision::Supersede(_) | Decision::Join => Err(shutting_down()),
        }
    }

    /// Asks for a change of its network and waits until it holds.
    ///
    /// # Errors
    /// The refusal, or why it does not hold.
    pub(crate) async fn change_network(&self, change: NetworkChange) -> Answer {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Errand::Network(NetworkOrder { change, reply })).await;
        if sent.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        let machine = self.machine();
        let why = match machine.state {
            State::Absent => Why::NotFound,
            State::Destroyed => Why::Gone,
            State::Stopped | State::Running | State::Paused | State::Hibernated | State::Failed => {
                return Err(shutting_down());
            }
        };
        Err(Refusal::of_lifecycle(why, machine.called(), machine.state, Command::Destroy))
    }
}

fn shutting_down() -> Refusal {
    Refusal::new(Code::InternalError, "the server is shutting down").hint("try again")
}
