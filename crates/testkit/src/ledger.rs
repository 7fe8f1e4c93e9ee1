//! A ledger in memory that outlives the lives of the server under test.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use machine_core::intent::{Direction, Event, Outcome};
use machine_core::promise::ledger::{Ledger, LedgerError};
use machine_core::{Command, Intent, IntentId, Machine, MachineId, Refusal, State};

use crate::crash::Tripwire;

/// What the ledger holds.
#[derive(Debug, Default, Clone)]
pub struct Book {
    machines: Vec<Machine>,
    intents: Vec<(Intent, Option<Outcome>)>,
    events: Vec<Event>,
    broken: bool,
}

/// The fake ledger of one life of the server; the book is shared between lives.
pub struct FakeLedger {
    book: Arc<Mutex<Book>>,
    tripwire: Tripwire,
}

impl Book {
    /// Whether writes fail from now on, as on a full disk.
    pub fn set_broken(&mut self, broken: bool) {
        self.broken = broken;
    }

    /// Intents that are open.
    #[must_use]
    pub fn open_intents(&self) -> usize {
        self.intents.iter().filter(|(_, outcome)| outcome.is_none()).count()
    }

    /// The machine with this id.
    #[must_use]
    pub fn machine(&self, id: &MachineId) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.id == *id)
    }

    /// Every machine.
    #[must_use]
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    fn writable(&self) -> Result<(), LedgerError> {
        if self.broken { Err(LedgerError::DiskFull) } else { Ok(()) }
    }

    fn put(&mut self, machine: &Machine) -> Result<(), LedgerError> {
        let other = |m: &&Machine| m.id != machine.id && m.owner == machine.owner && m.state != State::Destroyed;
        if machine.spec.name.is_some() && self.machines.iter().filter(other).any(|m| m.spec.name == machine.spec.name) {
            return Err(LedgerError::NameTaken(machine.called().to_owned()));
        }
        self.machines.retain(|m| m.id != machine.id);
        let unmade = machine.state == State::Absent && machine.open.is_none();
        if !unmade {
            self.machines.push(machine.clone());
        }
        Ok(())
    }

    fn open(&mut self, intent: &Intent, machine: &Machine) -> Result<(), LedgerError> {
        self.writable()?;
        if self.intents.iter().any(|(known, _)| known.id == intent.id) {
            return Ok(());
        }
        self.put(machine)?;
        for (known, outcome) in &mut self.intents {
            if known.machine == intent.machine && outcome.is_none() {
                *outcome = Some(Outcome::Superseded);
            }
        }
        self.intents.push((intent.clone(), None));
        Ok(())
    }

    fn close(&mut self, id: &IntentId, ended: &Outcome, machine: &Machine) -> Result<(), LedgerError> {
        self.writable()?;
        let (intent, outcome) = self.intent(id)?;
        if outcome.is_some() {
            return Ok(());
        }
        let (word, reason) = match ended {
            Outcome::Landed => ("landed", None),
            Outcome::TurnedBack(why) => ("turned_back", Some(why.message.clone())),
            Outcome::Superseded => ("superseded", None),
        };
        let what = format!("{} {word}", intent.command.word());
        *outcome = Some(ended.clone());
        self.put(machine)?;
        self.tell(machine, &what, reason);
        Ok(())
    }

    fn intent(&mut self, id: &IntentId) -> Result<(&mut Intent, &mut Option<Outcome>), LedgerError> {
        let found = self.intents.iter_mut().find(|(intent, _)| intent.id == *id);
        let (intent, outcome) =
            found.ok_or_else(|| LedgerError::Broken { tried: "write", detail: format!("no intent {id}") })?;
        Ok((intent, outcome))
    }

    fn tell(&mut self, machine: &Machine, what: &str, reason: Option<String>) {
        self.events.push(Event {
            number: self.events.len() as u64 + 1,
            at: Timestamp::UNIX_EPOCH,
            machine: machine.id.clone(),
            what: what.to_owned(),
            state: machine.state,
            reason,
        });
    }
}

impl FakeLedger {
    /// A life's view of a book.
    #[must_use]
    pub fn new(book: Arc<Mutex<Book>>, tripwire: Tripwire) -> Self {
        Self { book, tripwire }
    }

    async fn write<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        self.tripwire.through(|| change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

#[async_trait]
impl Ledger for FakeLedger {
    async fn open(&self, intent: &Intent, machine: &Machine) -> Result<(), LedgerError> {
        self.write(|book| book.open(intent, machine)).await
    }

    async fn note(&self, intent: &IntentId, _step: &str) -> Result<(), LedgerError> {
        self.write(|book| {
            book.writable()?;
            book.intent(intent).map(|_| ())
        })
        .await
    }

    async fn turn_back(&self, intent: &IntentId, why: &Refusal) -> Result<(), LedgerError> {
        self.write(|book| {
            book.writable()?;
            let (known, _) = book.intent(intent)?;
            assert!(!matches!(known.command, Command::Stop | Command::Destroy), "stop and destroy only go forward");
            if matches!(known.direction, Direction::Forward) {
                known.direction = Direction::Back(why.clone());
            }
            Ok(())
        })
        .await
    }

    async fn close(&self, intent: &IntentId, outcome: &Outcome, machine: &Machine) -> Result<(), LedgerError> {
        self.write(|book| book.close(intent, outcome, machine)).await
    }

    async fn witness(&self, machine: &Machine, what: &str) -> Result<(), LedgerError> {
        self.write(|book| {
            book.writable()?;
            book.put(machine)?;
            book.tell(machine, what, machine.reason.clone());
            Ok(())
        })
        .await
    }

    async fn machines(&self) -> Result<Vec<Machine>, LedgerError> {
        self.write(|book| Ok(book.machines.clone())).await
    }

    async fn unfinished(&self) -> Result<Vec<Intent>, LedgerError> {
        self.write(|book| {
            let open = book.intents.iter().filter(|(_, outcome)| outcome.is_none());
            Ok(open.map(|(intent, _)| intent.clone()).collect())
        })
        .await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.write(|book| {
            let later = book.events.iter().filter(|event| event.number > after);
            Ok(later.take(limit as usize).cloned().collect())
        })
        .await
    }
}
