//! Takes commands and finds the machine's keeper. The one list of machines is in `desk/seats.rs`.
//!
//! What users call create is Create and then Start: two intents under one idempotency key. A repeat
//! after a crash between them finds the machine and starts it. Each intent is written twice, when it is
//! opened (nothing in the world changes before that is durable) and when it is closed (nobody is answered
//! before that is): four writes, each a sync of the disk, and no more; `tests/desk.rs` counts them.

mod figures;
mod images;
mod network;
mod seats;
mod templates;

use std::collections::BTreeMap;
use std::sync::Arc;

use machine_core::mount::MountSpec;
use machine_core::network::NetworkSpec;
use machine_core::policy::admit::admit;
use machine_core::promise::folders::Sharing;
use machine_core::promise::guest::Guest;
use machine_core::promise::ledger::LedgerError;
use machine_core::promise::provider::Offer;
use machine_core::spec::{Deadlines, FirstStart, RootLife};
use machine_core::{
    Code, Command, Machine, MachineId, MachineName, MiB, Owner, Progress, Refusal, State, TemplateName,
};
use tokio::sync::{mpsc, oneshot};

use crate::keeper::{Answer, KeeperHandle};
use crate::promises::Promises;
use crate::reconcile;
use seats::{Errand, attend, choose, is_there};

pub use images::NewImage;
pub use templates::{NewTemplate, RemovedTemplate, TemplateFrom};

/// A machine as it is asked for; the template's name is pinned here.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of MachineSpec, before the template is pinned")]
pub struct NewMachine {
    pub name: Option<MachineName>,
    pub template: TemplateName,
    pub cpus: u32,
    pub memory: MiB,
    pub disk: MiB,
    pub envs: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub metadata: String,
    pub cwd: Option<String>,
    pub first_start: FirstStart,
    pub network: NetworkSpec,
    pub root: RootLife,
    pub mounts: Vec<MountSpec>,
    pub deadlines: Deadlines,
    /// Whether it is started, too.
    pub then: AfterCreate,
}

/// What follows a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCreate {
    /// It is started, and answers when the create returns.
    Start,
    /// It rests stopped.
    Rest,
}

/// Who asks, and with which key and request id.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whose machines are meant.
    pub owner: Owner,
    /// A repeat with the same key means the same create.
    pub key: Option<String>,
    /// The request it came with.
    pub request: Option<String>,
    /// Who is told of the stages.
    pub progress: Progress,
}

/// The engine's front: cloned freely.
#[derive(Clone)]
pub struct Desk {
    promises: Promises,
    mailbox: mpsc::Sender<Errand>,
}

impl Desk {
    /// Opens the desk: goes on with every unfinished intent, removes what belongs to no machine.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn open(promises: Promises) -> Result<Self, LedgerError> {
        let keepers = reconcile::take_up(&promises).await?;
        let (mailbox, errands) = mpsc::channel(64);
        tokio::spawn(attend(promises.clone(), keepers, errands));
        Ok(Self { promises, mailbox })
    }

    /// Makes a machine, and starts it if asked. The same key again answers the same machine.
    ///
    /// # Errors
    /// A refusal; nothing is left of a machine that could not be made or started.
    pub async fn create(&self, asked: &Asked, new: NewMachine) -> Answer {
        let keeper = self.admit(asked, &new).await?;
        match keeper.machine().state {
            State::Absent => drop(self.ask(&keeper, Command::Create, asked).await?),
            State::Destroyed => {
                let machine = keeper.machine();
                return Err(Refusal::new(Code::MachineNotFound, format!("machine {} was destroyed", machine.called()))
                    .hint("the idempotency key belongs to a machine that is gone: use a new key"));
            }
            State::Stopped | State::Running | State::Paused | State::Hibernated | State::Failed => {}
        }
        // A repeat finds the machine as it is: one that ran since and was stopped is not started again.
        match new.then {
            AfterCreate::Rest => Ok(keeper.machine()),
            AfterCreate::Start if keeper.machine().started_at.is_some() => Ok(keeper.machine()),
            AfterCreate::Start => match self.ask(&keeper, Command::Start, asked).await {
                Ok(machine) => Ok(machine),
                Err(refusal) => Err(self.clear_away(&keeper, asked, refusal).await),
            },
        }
    }

    /// A first start that failed leaves no machine behind.
    async fn clear_away(&self, keeper: &KeeperHandle, asked: &Asked, refusal: Refusal) -> Refusal {
        let never_ran = keeper.machine().started_at.is_none();
        if never_ran && refusal.code != Code::TransitionInProgress {
            drop(keeper.ask(Command::Destroy, asked.request.clone(), Progress::silent()).await);
        }
        refusal
    }

    async fn admit(&self, asked: &Asked, new: &NewMachine) -> Result<KeeperHandle, Refusal> {
        let spec = machine_core::MachineSpec {
            name: new.name.clone(),
            template: new.template.clone(),
            template_digest: self.promises.images.pin(&new.template).await?,
            cpus: new.cpus,
            memory: new.memory,
            disk: new.disk,
            envs: new.envs.clone(),
            labels: new.labels.clone(),
            metadata: new.metadata.clone(),
            cwd: new.cwd.clone(),
            first_start: new.first_start,
            network: new.network.clone(),
            root: new.root,
            mounts: new.mounts.clone(),
            deadlines: new.deadlines,
        };
        crate::network::check(&spec.network)?;
        admit(&spec, self.promises.provider.offers().await?.capacity)?;
        let surroundings = &self.promises.surroundings;
        let machine = Machine {
            id: MachineId::from_entropy(&surroundings.entropy()),
            owner: asked.owner.clone(),
            spec,
            state: State::Absent,
            open: None,
            reason: None,
            generation: machine_core::machine::Generation::default(),
            create_key: asked.key.clone(),
            created_at: surroundings.now(),
            started_at: None,
            stages: Vec::new(),
            found_ports: Vec::new(),
            warnings: Vec::new(),
        };
        self.errand(|reply| Errand::Admit { machine: Box::new(machine), then: new.then, reply }).await?
    }

    /// Asks a command of a machine and waits for its end.
    ///
    /// # Errors
    /// A refusal, or why the command failed.
    pub async fn command(&self, asked: &Asked, reference: &str, command: Command) -> Answer {
        match (self.keeper(&asked.owner, reference).await, command) {
            (Ok(keeper), _) => self.ask(&keeper, command, asked).await,
            // The goal of a repeated destroy holds: the machine is known, and gone.
            (Err(refusal), Command::Destroy) => self.destroyed(&asked.owner, reference).await?.ok_or(refusal),
            (
                Err(refusal),
                Command::Create
                | Command::Start
                | Command::Pause
                | Command::Resume
                | Command::Hibernate
                | Command::Snapshot
                | Command::Restore
                | Command::Stop,
            ) => Err(refusal),
        }
    }

    async fn destroyed(&self, owner: &Owner, name: &str) -> Result<Option<Machine>, Refusal> {
        let machines = self.keepers().await?.into_iter().map(|keeper| keeper.machine());
        let mut gone = machines.filter(|machine| machine.state == State::Destroyed && machine.owner == *owner);
        Ok(gone.rfind(|machine| machine.is_called(name)))
    }

    async fn ask(&self, keeper: &KeeperHandle, command: Command, asked: &Asked) -> Answer {
        keeper.ask(command, asked.request.clone(), asked.progress.clone()).await
    }

    /// The machine that a reference means: an exact name beats an id, an id beats a unique prefix.
    ///
    /// # Errors
    /// `machine_not_found`; `invalid_request` for a prefix that several begin with.
    pub async fn find(&self, owner: &Owner, reference: &str) -> Answer {
        Ok(self.keeper(owner, reference).await?.machine())
    }

    /// An owner's machines that are not destroyed, oldest first.
    ///
    /// # Errors
    /// If the server is shutting down.
    pub async fn list(&self, owner: &Owner) -> Result<Vec<Machine>, Refusal> {
        let mut machines: Vec<Machine> = self.keepers().await?.iter().map(KeeperHandle::machine).collect();
        machines.retain(|machine| machine.owner == *owner && is_there(machine));
        machines.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(machines)
    }

    /// The agent of a running machine.
    ///
    /// # Errors
    /// `machine_not_ready` if it does not run.
    pub async fn guest(&self, owner: &Owner, reference: &str) -> Result<(Machine, Arc<dyn Guest>), Refusal> {
        let machine = self.find(owner, reference).await?;
        if machine.state != State::Running || machine.open.is_some() {
            return Err(not_running(&machine));
        }
        let guest = self.promises.provider.reach_guest(&machine.id).await;
        let guest = guest.map_err(|error| Refusal::from(error).about(machine.called()))?;
        Ok((machine, guest))
    }

    /// What this place offers.
    ///
    /// # Errors
    /// If the host cannot run machines.
    pub async fn offers(&self) -> Result<Offer, Refusal> {
        Ok(self.promises.provider.offers().await?)
    }

    /// Whether machines can be shown folders of the host here.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub async fn sharing(&self) -> Result<Sharing, Refusal> {
        Ok(self.promises.folders.sharing().await?)
    }

    /// What happened to machines, after event number `after`.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<machine_core::intent::Event>, Refusal> {
        Ok(self.promises.ledger.events(after, limit).await?)
    }

    async fn keeper(&self, owner: &Owner, reference: &str) -> Result<KeeperHandle, Refusal> {
        let mine: Vec<KeeperHandle> =
            self.keepers().await?.into_iter().filter(|keeper| keeper.machine().owner == *owner).collect();
        choose(&mine, reference).cloned()
    }

    async fn keepers(&self) -> Result<Vec<KeeperHandle>, Refusal> {
        self.errand(|reply| Errand::List { reply }).await
    }

    async fn errand<T>(&self, errand: impl FnOnce(oneshot::Sender<T>) -> Errand) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let shut = || Refusal::new(Code::InternalError, "the server is shutting down").hint("try again");
        self.mailbox.send(errand(reply)).await.map_err(|_| shut())?;
        answer.await.map_err(|_| shut())
    }
}

fn not_running(machine: &Machine) -> Refusal {
    let called = machine.called();
    match machine.open {
        Some(open) => Refusal::of_lifecycle(machine_core::state::Why::Busy(open), called, machine.state, open),
        None => {
            let reason = machine.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let verb = match machine.state {
                State::Paused | State::Hibernated => "resume",
                State::Absent | State::Stopped | State::Running | State::Failed | State::Destroyed => "start",
            };
            Refusal::new(Code::MachineNotReady, format!("machine {called} is {}{reason}", machine.state.word()))
                .hint(format!("{verb} it with `machine {verb} {called}`"))
                .reason("not_running")
                .about(called)
        }
    }
}
