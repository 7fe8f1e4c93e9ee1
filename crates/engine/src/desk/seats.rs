//! The one list of machines, in a task of its own, and the one place where a new machine is admitted.
//! Decides nothing of the lifecycle; that is the keepers'.

use machine_core::promise::image_source::Removed;
use machine_core::promise::ledger::LedgerError;
use machine_core::{Code, Machine, MachineSpec, Refusal, State, TemplateName};
use tokio::sync::{mpsc, oneshot};

use super::AfterCreate;
use crate::keeper::{self, KeeperHandle};
use crate::network::is_as_asked;
use crate::promises::Promises;

/// How many destroyed machines are remembered before the oldest are forgotten.
const REMEMBERED: usize = 1024;

/// What the list's task is asked.
pub(super) enum Errand {
    /// A seat for a new machine, or the one that the same create made.
    Admit {
        /// The machine, if it is a new one.
        machine: Box<Machine>,
        /// What is to follow its create.
        then: AfterCreate,
        /// Who waits.
        reply: oneshot::Sender<Result<KeeperHandle, Refusal>>,
    },
    /// A template's name is taken away, between two admissions: whoever stands on it is on the list.
    RemoveTemplate {
        /// Its name.
        name: TemplateName,
        /// Who waits.
        reply: oneshot::Sender<Result<Removed, Refusal>>,
    },
    /// Every keeper.
    List {
        /// Who waits.
        reply: oneshot::Sender<Vec<KeeperHandle>>,
    },
}

/// One machine's place in the list.
struct Seat {
    keeper: KeeperHandle,
    /// What its create asked for. Not written down: of a machine that an earlier server made, what it is now
    /// stands for it, and what was to follow is believed.
    asked: Option<(MachineSpec, AfterCreate)>,
}

/// Keeps the list until nobody can ask any more.
pub(super) async fn attend(promises: Promises, keepers: Vec<KeeperHandle>, mut errands: mpsc::Receiver<Errand>) {
    let mut seats: Vec<Seat> = keepers.into_iter().map(|keeper| Seat { keeper, asked: None }).collect();
    while let Some(errand) = errands.recv().await {
        match errand {
            Errand::List { reply } => drop(reply.send(seats.iter().map(|seat| seat.keeper.clone()).collect())),
            Errand::RemoveTemplate { name, reply } => {
                drop(reply.send(remove_template(&promises, &seats, &name).await));
            }
            Errand::Admit { machine, then, reply } => {
                forget_old(&mut seats);
                drop(reply.send(take_seat(&promises, &mut seats, *machine, then)));
            }
        }
    }
}

/// Refused while machines stand on it, unless another name stands for the same template.
async fn remove_template(promises: &Promises, seats: &[Seat], name: &TemplateName) -> Result<Removed, Refusal> {
    let digest = promises.images.pin(name).await?;
    let names = promises.images.list().await?.iter().filter(|template| template.digest == digest).count();
    let machines = seats.iter().map(|seat| seat.keeper.machine());
    let mut standing = machines.filter(|machine| machine.spec.template_digest == digest && is_needed(machine));
    match standing.next() {
        Some(machine) if names < 2 => {
            let more = match standing.count() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let called = machine.called();
            Err(Refusal::new(Code::TemplateInUse, format!("template {name} is in use: machine {called}{more}"))
                .hint("destroy its machines first; `machine ls -o wide` lists them"))
        }
        Some(_) | None => Ok(promises.images.remove(name).await?),
    }
}

/// Whether it is there, or may be.
fn is_needed(machine: &Machine) -> bool {
    match machine.state {
        State::Destroyed => false,
        State::Absent | State::Stopped | State::Running | State::Paused | State::Hibernated | State::Failed => true,
    }
}

/// Finds the machine that the same key made, refuses a name that is taken, or seats a new keeper.
fn take_seat(
    promises: &Promises,
    seats: &mut Vec<Seat>,
    machine: Machine,
    then: AfterCreate,
) -> Result<KeeperHandle, Refusal> {
    for seat in seats.iter() {
        let other = seat.keeper.machine();
        if other.owner != machine.owner {
            continue;
        }
        if machine.create_key.is_some() && other.create_key == machine.create_key && answers_its_key(&seat.keeper) {
            return if seat.answers(&other, &machine, then) {
                Ok(seat.keeper.clone())
            } else {
                Err(Refusal::new(Code::InvalidRequest, "the idempotency key was used for another machine")
                    .hint("use a new key for a different machine"))
            };
        }
        let named_so = other.spec.name.is_some() && other.spec.name == machine.spec.name;
        if named_so && other.state != State::Destroyed && (seat.keeper.is_kept() || other.state.exists()) {
            return Err(LedgerError::NameTaken(machine.called().to_owned()).into());
        }
    }
    let asked = Some((machine.spec.clone(), then));
    let keeper = keeper::spawn(promises.clone(), machine, None);
    seats.push(Seat { keeper: keeper.clone(), asked });
    Ok(keeper)
}

/// Whether a repeat of its create means this machine. One that was never made, or was cleared away
/// before it ever ran, is no answer: the repeat makes a new one.
fn answers_its_key(keeper: &KeeperHandle) -> bool {
    let machine = keeper.machine();
    match machine.state {
        State::Absent => keeper.is_kept(),
        State::Destroyed => machine.started_at.is_some(),
        State::Stopped | State::Running | State::Paused | State::Hibernated | State::Failed => true,
    }
}

impl Seat {
    /// Whether the create of a new machine wishes what that of this one did.
    fn answers(&self, is: &Machine, new: &Machine, then: AfterCreate) -> bool {
        match &self.asked {
            Some((asked, before)) => same_wish(asked, &new.spec) && *before == then,
            None => same_wish(&is.spec, &new.spec),
        }
    }
}

/// Whether two creates wish the same; the template's digest may have moved on in between, and the host may
/// have chosen ports.
fn same_wish(old: &MachineSpec, new: &MachineSpec) -> bool {
    let mut wish = new.clone();
    wish.template_digest = old.template_digest.clone();
    if is_as_asked(&old.network, &wish.network) {
        wish.network = old.network.clone();
    }
    wish == *old
}

/// Drops keepers of machines that were never made, and the oldest of those destroyed.
fn forget_old(seats: &mut Vec<Seat>) {
    seats.retain(|seat| seat.keeper.machine().state != State::Absent || seat.keeper.is_kept());
    let destroyed = seats.iter().filter(|seat| seat.keeper.machine().state == State::Destroyed).count();
    let mut surplus = destroyed.saturating_sub(REMEMBERED);
    seats.retain(|seat| {
        let forgotten = surplus > 0 && seat.keeper.machine().state == State::Destroyed;
        surplus -= usize::from(forgotten);
        !forgotten
    });
}

/// Whether people see a machine: it exists, or is being made.
pub(super) fn is_there(machine: &Machine) -> bool {
    machine.state.exists() || (machine.state == State::Absent && machine.open.is_some())
}

/// The machine that a reference means: an exact name beats an id, an id beats a unique prefix.
pub(super) fn choose<'k>(mine: &'k [KeeperHandle], reference: &str) -> Result<&'k KeeperHandle, Refusal> {
    let named = |keeper: &&KeeperHandle| {
        let machine = keeper.machine();
        is_there(&machine) && machine.spec.name.as_ref().is_some_and(|name| name.as_str() == reference)
    };
    if let Some(found) = mine.iter().find(named) {
        return Ok(found);
    }
    if let Some(found) = mine.iter().find(|keeper| keeper.machine().id.as_str() == reference) {
        return Ok(found);
    }
    let begins = |keeper: &&KeeperHandle| {
        let machine = keeper.machine();
        let name = machine.spec.name.as_ref().is_some_and(|name| name.as_str().starts_with(reference));
        is_there(&machine) && !reference.is_empty() && (name || machine.id.as_str().starts_with(reference))
    };
    let mut found = mine.iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Refusal::machine_not_found(reference)),
        (Some(_), Some(_)) => {
            Err(Refusal::new(Code::InvalidRequest, format!("several machines begin with: {reference}"))
                .hint("say more of the name or id; `machine ls` lists them"))
        }
    }
}
