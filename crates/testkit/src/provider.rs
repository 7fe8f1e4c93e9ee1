//! A place whose machines are entries in a map. It can fail, be slow, and lose a VMM.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use machine_core::machine::Generation;
use machine_core::network::{NetworkSpec, Transport};
use machine_core::policy::admit::Capacity;
use machine_core::promise::guest::Guest;
use machine_core::promise::provider::{
    Ending, MachinePlan, Observation, Offer, Power, Provider, ProviderError, SavedFault, Usage, Wait,
};
use machine_core::spec::RootFate;
use machine_core::stage::Progress;
use machine_core::state::Sighting;
use machine_core::{Command, MachineId, MiB, State};
use tokio::sync::Notify;

use crate::crash::Tripwire;
use crate::guest::FakeGuest;

/// What is there of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remains {
    /// The launch that runs.
    pub on: Option<Generation>,
    /// Whether its processors are stopped.
    pub paused: bool,
    /// The launch whose memory is on the disk.
    pub saved: Option<Generation>,
    /// How the last one ended.
    pub ending: Option<Ending>,
    /// What its gateway follows; nothing: it is closed, or gone with the launch.
    pub network: Option<NetworkSpec>,
    /// The launch that was the first on its root disk; nothing: nobody wrote to it yet.
    pub root: Option<Generation>,
}

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Preparing a disk.
    Prepare,
    /// Booting.
    Boot,
    /// Writing memory to the disk.
    Save,
    /// Removing.
    Remove,
    /// Telling a gateway what holds.
    Apply,
}

/// The place, shared between lives of the server.
#[derive(Default)]
pub struct Site {
    machines: Mutex<BTreeMap<MachineId, Remains>>,
    faults: Mutex<BTreeSet<Fault>>,
    held: Mutex<BTreeSet<(Transport, SocketAddr)>>,
    relays: Mutex<BTreeMap<MachineId, usize>>,
    changed: Notify,
}

/// The fake provider of one life of the server.
pub struct FakeProvider {
    site: Arc<Site>,
    tripwire: Tripwire,
}

pub(crate) fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    /// Makes something fail until it is mended.
    pub fn break_at(&self, fault: Fault) {
        held(&self.faults).insert(fault);
    }

    /// Mends everything.
    pub fn mend(&self) {
        held(&self.faults).clear();
    }

    /// What is there of every machine.
    #[must_use]
    pub fn everything(&self) -> BTreeMap<MachineId, Remains> {
        held(&self.machines).clone()
    }

    /// Puts something there that no ledger knows.
    pub fn plant(&self, id: MachineId) {
        held(&self.machines).insert(id, Remains::default());
    }

    /// Ends a machine's run as if from outside.
    pub fn end_run(&self, id: &MachineId, sighting: Sighting) {
        if let Some(remains) = held(&self.machines).get_mut(id)
            && let Some(generation) = remains.on.take()
        {
            remains.paused = false;
            remains.network = None;
            remains.ending = Some(Ending { generation, sighting, detail: "ended by the test".to_owned() });
        }
        self.changed.notify_waiters();
    }

    /// Lets somebody else listen at a port of the host.
    pub fn hold(&self, transport: Transport, listen: SocketAddr) {
        held(&self.held).insert((transport, listen));
    }

    /// How many relays of a machine are running.
    #[must_use]
    pub fn relays(&self, id: &MachineId) -> usize {
        held(&self.relays).get(id).copied().unwrap_or_default()
    }

    pub(crate) fn count_relay(&self, id: &MachineId, change: isize) {
        let mut relays = held(&self.relays);
        let count = relays.entry(id.clone()).or_default();
        *count = count.saturating_add_signed(change);
    }

    /// Who else listens there, another machine or somebody.
    pub(crate) fn holder(&self, own: &MachineId, transport: Transport, listen: SocketAddr) -> Option<String> {
        if held(&self.held).contains(&(transport, listen)) {
            return Some("somebody (pid 12)".to_owned());
        }
        let machines = held(&self.machines);
        let others = machines.iter().filter(|(id, _)| *id != own);
        let mut theirs = others.filter_map(|(id, remains)| Some((id, remains.network.as_ref()?)));
        let found = theirs.find(|(_, network)| {
            network.forwards.iter().any(|forward| (forward.transport, forward.listen) == (transport, listen))
        });
        found.map(|(id, _)| format!("machine {id}"))
    }

    /// What the gateway of a machine follows from now on, if that runs.
    pub(crate) fn follow(&self, id: &MachineId, network: Option<NetworkSpec>) {
        if let Some(remains) = held(&self.machines).get_mut(id).filter(|remains| remains.on.is_some()) {
            remains.network = network;
        }
    }

    pub(crate) fn runs(&self, id: &MachineId) -> bool {
        held(&self.machines).get(id).is_some_and(|remains| remains.on.is_some())
    }

    pub(crate) fn fails(&self, fault: Fault) -> Result<(), ProviderError> {
        if held(&self.faults).contains(&fault) {
            return Err(ProviderError::Host { tried: format!("{fault:?}"), detail: "broken by the test".to_owned() });
        }
        Ok(())
    }

    fn bring_to(&self, plan: &MachinePlan, power: Power) -> Result<(), ProviderError> {
        let mut machines = held(&self.machines);
        match power {
            Power::Running => {
                self.fails(Fault::Boot)?;
                machines.get_mut(&plan.id).ok_or(ProviderError::NotRunning)?.run(plan)?;
            }
            Power::Paused => {
                let remains = machines.get_mut(&plan.id).filter(|remains| remains.on.is_some());
                remains.ok_or(ProviderError::NotRunning)?.paused = true;
            }
            Power::Hibernated => {
                self.fails(Fault::Save)?;
                machines.get_mut(&plan.id).ok_or(ProviderError::NotRunning)?.hibernate(plan)?;
            }
            Power::OffGently | Power::OffNow => {
                if let Some(remains) = machines.get_mut(&plan.id) {
                    remains.end();
                    remains.give_up_root(plan.root);
                }
            }
        }
        drop(machines);
        self.changed.notify_waiters();
        Ok(())
    }

    fn see(&self, id: &MachineId) -> Observation {
        match held(&self.machines).get(id) {
            None => Observation::Nothing,
            Some(Remains { on: Some(generation), .. }) => Observation::On(*generation),
            Some(Remains { on: None, ending, .. }) => Observation::Off(ending.clone()),
        }
    }
}

impl Remains {
    fn run(&mut self, plan: &MachinePlan) -> Result<(), ProviderError> {
        match plan.from {
            State::Running | State::Paused if self.on.is_none() => return Err(ProviderError::NotRunning),
            State::Hibernated if self.on != Some(plan.generation) && self.saved.is_none() => {
                let what = "it is not there".to_owned();
                return Err(ProviderError::Saved { what, fault: SavedFault::Damaged });
            }
            State::Absent
            | State::Stopped
            | State::Running
            | State::Paused
            | State::Hibernated
            | State::Failed
            | State::Destroyed => {}
        }
        if self.on != Some(plan.generation) {
            self.give_up_root(plan.root);
        }
        self.on = Some(plan.generation);
        self.paused = false;
        self.root.get_or_insert(plan.generation);
        self.network = Some(plan.spec.network.clone());
        Ok(())
    }

    /// One that is on its way out of hibernation goes back to what is saved.
    fn hibernate(&mut self, plan: &MachinePlan) -> Result<(), ProviderError> {
        if plan.from != State::Hibernated && self.saved != Some(plan.generation) {
            self.saved = Some(self.on.ok_or(ProviderError::NotRunning)?);
        }
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        self.on = None;
        self.paused = false;
        self.network = None;
    }

    fn give_up_root(&mut self, fate: RootFate) {
        match fate {
            RootFate::GivenUp => self.root = None,
            RootFate::Kept => {}
        }
    }
}

impl FakeProvider {
    /// A life's view of a place.
    #[must_use]
    pub fn new(site: Arc<Site>, tripwire: Tripwire) -> Self {
        Self { site, tripwire }
    }
}

#[async_trait]
impl Provider for FakeProvider {
    async fn offers(&self) -> Result<Offer, ProviderError> {
        Ok(Offer {
            capacity: Capacity { cpus: 2, memory: MiB(4096) },
            commands: Command::ALL.to_vec(),
            accelerator: "none (a fake)".to_owned(),
        })
    }

    async fn prepare(&self, plan: &MachinePlan, _progress: &Progress) -> Result<(), ProviderError> {
        self.tripwire
            .through(|| {
                held(&self.site.machines).entry(plan.id.clone()).or_default();
                self.site.fails(Fault::Prepare)
            })
            .await
    }

    async fn bring_to(&self, plan: &MachinePlan, power: Power, _progress: &Progress) -> Result<(), ProviderError> {
        self.tripwire.through(|| self.site.bring_to(plan, power)).await
    }

    async fn forget_saved(&self, machine: &MachineId) -> Result<(), ProviderError> {
        self.tripwire
            .through(|| {
                held(&self.site.machines).entry(machine.clone()).and_modify(|remains| remains.saved = None);
                Ok(())
            })
            .await
    }

    async fn reach_guest(&self, machine: &MachineId) -> Result<Arc<dyn Guest>, ProviderError> {
        match self.site.see(machine) {
            Observation::On(_) => Ok(Arc::new(FakeGuest)),
            Observation::Nothing | Observation::Off(_) => Err(ProviderError::NotRunning),
        }
    }

    async fn observe(&self, machine: &MachineId, wait: Wait) -> Result<Observation, ProviderError> {
        loop {
            let changed = self.site.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match (wait, self.site.see(machine)) {
                (Wait::UntilOff, Observation::On(_)) => changed.await,
                (Wait::UntilOff | Wait::Now, seen) => return Ok(seen),
            }
        }
    }

    async fn usage(&self, machine: &MachineId, _memory: MiB) -> Result<Usage, ProviderError> {
        match self.site.see(machine) {
            Observation::On(_) => Ok(Usage::default()),
            Observation::Nothing | Observation::Off(_) => Err(ProviderError::NotRunning),
        }
    }

    async fn remove(&self, machine: &MachineId) -> Result<(), ProviderError> {
        self.tripwire
            .through(|| {
                self.site.fails(Fault::Remove)?;
                held(&self.site.machines).remove(machine);
                Ok(())
            })
            .await
    }

    async fn everything_ours(&self) -> Result<Vec<MachineId>, ProviderError> {
        self.tripwire.through(|| Ok(held(&self.site.machines).keys().cloned().collect())).await
    }
}
