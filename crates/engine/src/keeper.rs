//! The task that keeps one machine: nobody else changes its state.
//!
//! ```text
//! Idle ──command, decided Open──▶ Working ──landed or turned back──▶ Idle
//!  ▲  └──sighting──▶ Idle (new state)  │  └──stuck──▶ Waiting ──same command──▶ Working
//!  │                                   └──destroy──▶ Working (destroy)
//!  └── ends when the machine is destroyed, or was never made
//! ```
//! A change of its network is taken while it is idle, and refused while it works.

mod finder;
mod handle;
mod mirror;
mod network;
mod relay;

use machine_core::intent::{Direction, Intent, Outcome};
use machine_core::promise::provider::{Ending, Observation, Wait};
use machine_core::stage::{Report, StageTime};
use machine_core::state::{self, Decision};
use machine_core::{Code, Command, IntentId, Machine, Progress, Refusal, State};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::carry_out::{Stuck, carry_out};
use crate::operation::{self, Scene};
use crate::promises::Promises;
use finder::Finder;
use handle::{Errand, Order};
use mirror::Mirror;
use relay::Relay;

pub use handle::{Answer, KeeperHandle};

const RETRY_WITNESS: std::time::Duration = std::time::Duration::from_secs(1);

/// What became of an intent: which way it went last, and its outcome.
type Ended = (Direction, Result<Outcome, Stuck>);

/// The work under way.
struct Work {
    intent: Intent,
    task: Option<JoinHandle<Ended>>,
    reports: broadcast::Sender<Report>,
    waiting: Vec<oneshot::Sender<Answer>>,
    stages: mpsc::UnboundedReceiver<StageTime>,
}

struct Keeper {
    promises: Promises,
    machine: Machine,
    record: watch::Sender<Machine>,
    work: Option<Work>,
    relay: Relay,
    finder: Finder,
    mirror: Mirror,
}

/// Starts a machine's keeper, with the intent that was left unfinished, if any.
pub fn spawn(promises: Promises, machine: Machine, unfinished: Option<Intent>) -> KeeperHandle {
    let (orders, mailbox) = mpsc::channel(64);
    let (record, readable) = watch::channel(machine.clone());
    let (relay, finder, mirror) = (Relay::default(), Finder::default(), Mirror::default());
    let mut keeper = Keeper { promises, machine, record, work: None, relay, finder, mirror };
    tokio::spawn(async move {
        if let Some(intent) = unfinished {
            info!(machine = %intent.machine, operation = intent.command.word(), "going on with an unfinished intent");
            keeper.begin(intent, Progress::silent(), None);
        } else if matches!(keeper.machine.state, State::Destroyed) {
            return;
        } else {
            keeper.forget_saved().await;
            keeper.take_up_network().await;
        }
        keeper.keep(mailbox).await;
    });
    KeeperHandle { orders, record: readable }
}

impl Keeper {
    async fn keep(&mut self, mut mailbox: mpsc::Receiver<Errand>) {
        loop {
            tokio::select! {
                order = mailbox.recv() => match order {
                    Some(Errand::Command(order)) => self.take(order).await,
                    Some(Errand::Network(order)) => self.change_network(order).await,
                    None => return,
                },
                ended = finished(&mut self.work) => self.finish(ended).await,
                ending = run_ends(&self.promises, &self.machine) => self.witness(ending).await,
                listening = self.finder.news() => self.find_ports(&listening).await,
                warnings = self.mirror.news() => self.publish(Machine { warnings, ..self.machine.clone() }),
            }
            if self.work.is_none() && !self.machine.state.exists() {
                return;
            }
        }
    }

    async fn take(&mut self, order: Order) {
        let refused = |why| Refusal::of_lifecycle(why, self.machine.called(), self.machine.state, order.command);
        match state::decide(self.machine.standing(), order.command) {
            Decision::Already => drop(order.reply.send(Ok(self.machine.clone()))),
            Decision::Refuse(why) => drop(order.reply.send(Err(refused(why)))),
            Decision::Join => self.join(order),
            Decision::Open(to) => self.open(order, to).await,
            Decision::Supersede(to) => {
                self.abandon().await;
                self.open(order, to).await;
            }
        }
    }

    fn join(&mut self, order: Order) {
        let Some(mut work) = self.work.take() else { return };
        listen(&work.reports, order.progress);
        work.waiting.push(order.reply);
        if work.task.is_none() {
            // It was stuck: the same command goes on with it.
            work.task = Some(self.start_task(&work.intent, Work::tell(work.reports.clone())));
        }
        self.work = Some(work);
    }

    async fn open(&mut self, order: Order, to: State) {
        if let Err(refusal) = operation::steps(order.command, &self.scene(order.command, Progress::silent())) {
            drop(order.reply.send(Err(refusal)));
            return;
        }
        let intent = Intent {
            id: IntentId::from_entropy(&self.promises.surroundings.entropy()),
            machine: self.machine.id.clone(),
            command: order.command,
            from: self.machine.state,
            to,
            direction: Direction::Forward,
            request: order.request.clone(),
            opened_at: self.promises.surroundings.now(),
        };
        let mut next = self.machine.clone();
        next.open = Some(order.command);
        if state::launches(self.machine.state, order.command) {
            next.generation.0 += 1;
            if let Err(refusal) = self.choose_ports(&mut next).await {
                drop(order.reply.send(Err(refusal)));
                return;
            }
        }
        match self.promises.ledger.open(&intent, &next).await {
            Ok(()) => {
                self.publish(next);
                self.begin(intent, order.progress, Some(order.reply));
            }
            Err(error) => drop(order.reply.send(Err(error.into()))),
        }
    }

    fn begin(&mut self, intent: Intent, progress: Progress, reply: Option<oneshot::Sender<Answer>>) {
        info!(machine = %self.machine.id, operation = intent.command.word(), "begun");
        let (reports, _) = broadcast::channel(256);
        listen(&reports, progress);
        let (stage, stages) = mpsc::unbounded_channel();
        let told = reports.clone();
        let tell = Progress::new(move |report| {
            if let Report::Ended(time) = &report {
                let _ = stage.send(*time);
            }
            drop(told.send(report));
        });
        let task = Some(self.start_task(&intent, tell));
        self.work = Some(Work { intent, task, reports, waiting: reply.into_iter().collect(), stages });
    }

    fn start_task(&self, intent: &Intent, progress: Progress) -> JoinHandle<Ended> {
        let (promises, scene, mut intent) =
            (self.promises.clone(), self.scene(intent.command, progress), intent.clone());
        tokio::spawn(async move {
            let ended = match operation::steps(intent.command, &scene) {
                Ok(steps) => carry_out(promises.ledger.as_ref(), &mut intent, &steps).await,
                Err(refusal) => Err(Stuck::Step(refusal)),
            };
            (intent.direction, ended)
        })
    }

    fn scene(&self, command: Command, progress: Progress) -> Scene {
        Scene::of(&self.promises, &self.machine, command, progress)
    }

    async fn abandon(&mut self) {
        let Some(mut work) = self.work.take() else { return };
        if let Some(task) = work.task.take() {
            task.abort();
            drop(task.await);
        }
        let refusal =
            Refusal::new(Code::TransitionInProgress, format!("machine {} is being destroyed", self.machine.called()))
                .reason("superseded")
                .about(self.machine.called());
        for waiting in work.waiting {
            drop(waiting.send(Err(refusal.clone())));
        }
    }

    async fn finish(&mut self, (direction, ended): Ended) {
        let Some(mut work) = self.work.take() else { return };
        work.intent.direction = direction;
        let closed = match ended {
            Ok(outcome) => self.close(&mut work, outcome).await,
            Err(stuck) => Err(stuck.into()),
        };
        match closed {
            Ok(answer) => {
                work.waiting.drain(..).for_each(|waiting| drop(waiting.send(answer.clone())));
                if work.intent.from == State::Hibernated {
                    self.forget_saved().await;
                }
            }
            Err(refusal) => {
                error!(machine = %self.machine.id, operation = work.intent.command.word(), %refusal, "stuck");
                work.waiting.drain(..).for_each(|waiting| drop(waiting.send(Err(refusal.clone()))));
                work.task = None;
                self.work = Some(work);
            }
        }
    }

    /// Closes the intent; the inner answer is for those who wait, the outer error leaves it open.
    async fn close(&mut self, work: &mut Work, outcome: Outcome) -> Result<Answer, Refusal> {
        let mut next = self.machine.clone();
        next.open = None;
        let answer = match &outcome {
            Outcome::Landed => {
                next.state = work.intent.to;
                next.reason = None;
                let launched = state::launches(work.intent.from, work.intent.command);
                if launched || work.intent.command == Command::Create {
                    next.stages = self.stages(work);
                }
                if launched {
                    next.started_at = Some(self.promises.surroundings.now());
                }
                Ok(next.clone())
            }
            Outcome::TurnedBack(why) => {
                next.state = work.intent.from;
                Err(why.clone().about(self.machine.called()))
            }
            Outcome::Superseded => Err(Refusal::new(Code::TransitionInProgress, "superseded")),
        };
        self.promises.ledger.close(&work.intent.id, &outcome, &next).await?;
        info!(machine = %next.id, operation = work.intent.command.word(), state = next.state.word(), "ended");
        self.publish(next);
        Ok(answer)
    }

    /// Memory on the disk is of use to a machine that rests hibernated, and to no other.
    async fn forget_saved(&self) {
        match self.machine.state {
            State::Hibernated | State::Absent | State::Destroyed => {}
            State::Stopped | State::Running | State::Paused | State::Failed => {
                if let Err(error) = self.promises.provider.forget_saved(&self.machine.id).await {
                    warn!(machine = %self.machine.id, %error, "saved memory that is of no use any more is still there");
                }
            }
        }
    }

    /// The stages of the last start, those of the create before it included.
    fn stages(&self, work: &mut Work) -> Vec<StageTime> {
        let before = match work.intent.command {
            Command::Start | Command::Resume if self.machine.started_at.is_none() => self.machine.stages.clone(),
            Command::Create
            | Command::Start
            | Command::Pause
            | Command::Resume
            | Command::Hibernate
            | Command::Snapshot
            | Command::Restore
            | Command::Stop
            | Command::Destroy => Vec::new(),
        };
        before.into_iter().chain(std::iter::from_fn(|| work.stages.try_recv().ok())).collect()
    }

    async fn witness(&mut self, ending: Ending) {
        if ending.generation != self.machine.generation {
            return;
        }
        let Some(state) = state::witness(self.machine.standing(), ending.sighting) else { return };
        let mut next = self.machine.clone();
        next.state = state;
        next.reason = Some(ending.detail);
        match self.promises.ledger.witness(&next, state.word()).await {
            Ok(()) => {
                warn!(machine = %next.id, state = state.word(), reason = next.reason.as_deref(), "seen");
                self.publish(next);
            }
            Err(error) => {
                error!(machine = %next.id, %error, "what was seen cannot be written; looking again");
                tokio::time::sleep(RETRY_WITNESS).await;
            }
        }
    }

    fn publish(&mut self, mut next: Machine) {
        if !next.state.holds_memory() {
            next.found_ports.clear();
            next.warnings.clear();
        }
        self.machine = next.clone();
        self.relay.follow(&self.promises, &self.machine);
        self.finder.follow(&self.promises, &self.machine);
        self.mirror.follow(&self.promises, &self.machine);
        self.record.send_replace(next);
    }
}

impl Work {
    fn tell(reports: broadcast::Sender<Report>) -> Progress {
        Progress::new(move |report| drop(reports.send(report)))
    }
}

/// Passes reports on to one listener, until the work ends.
fn listen(reports: &broadcast::Sender<Report>, progress: Progress) {
    let mut heard = reports.subscribe();
    tokio::spawn(async move {
        loop {
            match heard.recv().await {
                Ok(report) => progress.tell(report),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
}

/// The end of the work under way; never, if there is none.
async fn finished(work: &mut Option<Work>) -> Ended {
    let Some(work) = work else { return std::future::pending().await };
    let Some(task) = &mut work.task else { return std::future::pending().await };
    task.await.unwrap_or_else(|panicked| {
        let refusal = Refusal::new(Code::InternalError, format!("an operation broke: {panicked}"));
        (work.intent.direction.clone(), Err(Stuck::Step(refusal)))
    })
}

/// The end of a run that nobody asked for; never, if the machine does not run.
async fn run_ends(promises: &Promises, machine: &Machine) -> Ending {
    if !machine.state.holds_memory() || machine.open.is_some() {
        return std::future::pending().await;
    }
    loop {
        match promises.provider.observe(&machine.id, Wait::UntilOff).await {
            Ok(Observation::Off(Some(ending))) => return ending,
            Ok(Observation::Off(None) | Observation::Nothing) => {
                return Ending {
                    generation: machine.generation,
                    sighting: state::Sighting::VmmDied,
                    detail: "its process and its records are gone".to_owned(),
                };
            }
            Ok(Observation::On(_)) => {}
            Err(error) => warn!(machine = %machine.id, %error, "cannot look at it"),
        }
        tokio::time::sleep(RETRY_WITNESS).await;
    }
}
