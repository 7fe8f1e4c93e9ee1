//! One running VMM with its supervisor, both held by descriptors.

use std::io;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use super::identity::Held;
use super::{Ending, ExitRecord, SupervisorRecord, boot_id};
use crate::boot_plan::RunFolder;
use crate::bounded_log::{CONSOLE, VMM, of_companion};
use machine_core::MachineId;

/// How long a supervisor may take to end its VMM and write that down.
const POLITE: Duration = Duration::from_secs(2);

/// How long the kernel may take to clear away a killed VMM: its memory can be large, its disk slow.
const FORCED: Duration = Duration::from_secs(20);

/// A VMM that runs, or did a moment ago.
#[derive(Debug)]
pub struct Vmm {
    run: RunFolder,
    record: SupervisorRecord,
    supervisor: Option<Held>,
    vmm: Option<Held>,
}

/// What is in a run folder.
#[derive(Debug)]
pub enum Found {
    /// A VMM that runs.
    Alive(Vmm),
    /// One that ran.
    Ended(Ending),
    /// None was ever started here.
    Never,
}

/// Why we cannot tell what is in a run folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell whether a VMM runs in {}", run.path().display())]
pub struct AdoptError {
    /// The folder.
    pub run: RunFolder,
    /// Why.
    pub source: io::Error,
}

/// Why a VMM may still be there.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// A signal could not be sent, or its effect not be seen.
    #[error("cannot kill the VMM of {machine}")]
    Signal {
        /// Whose VMM.
        machine: MachineId,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not let go of it.
    #[error("the VMM of {machine} is still there {} s after it was killed", FORCED.as_secs())]
    Stuck {
        /// Whose VMM.
        machine: MachineId,
    },
}

impl Vmm {
    /// Holds both processes of a record, as far as they are alive.
    pub(super) fn hold(run: RunFolder, record: SupervisorRecord) -> io::Result<Self> {
        let supervisor = Held::open(record.supervisor)?;
        let vmm = Held::open(record.vmm)?;
        Ok(Self { run, record, supervisor, vmm })
    }

    /// Finds the VMM of a run folder, as after a restart of the server. A VMM whose supervisor is gone is
    /// as good as dead: it is seen off here.
    pub async fn adopt(run: &RunFolder) -> Result<Found, AdoptError> {
        Self::look(run).await.map_err(|source| AdoptError { run: run.clone(), source })
    }

    async fn look(run: &RunFolder) -> io::Result<Found> {
        let Some(record) = SupervisorRecord::read(run)? else {
            let exit = ExitRecord::read(run)?;
            return Ok(exit.map_or(Found::Never, |exit| Found::Ended(Ending::Recorded(exit))));
        };
        if record.boot != boot_id() {
            let exit = ExitRecord::read(run)?.filter(|exit| exit.generation == record.generation);
            return Ok(Found::Ended(exit.map_or(Ending::HostRebooted, Ending::Recorded)));
        }
        let vmm = Self::hold(run.clone(), record)?;
        if vmm.supervisor.is_some() {
            return Ok(Found::Alive(vmm));
        }
        if let Some(process) = &vmm.vmm {
            process.signal(Signal::KILL)?;
        }
        Ok(Found::Ended(vmm.exited().await?))
    }

    /// Whose VMM, and what was noted at its start.
    #[must_use]
    pub fn record(&self) -> &SupervisorRecord {
        &self.record
    }

    /// Where its sockets and logs are.
    #[must_use]
    pub fn run(&self) -> &RunFolder {
        &self.run
    }

    /// Waits until the VMM and its supervisor have ended.
    pub async fn exited(&self) -> io::Result<Ending> {
        self.gone().await?;
        self.record.sweep_cgroup().await;
        let exit = ExitRecord::read(&self.run)?.filter(|exit| exit.generation == self.record.generation);
        Ok(exit.map_or(Ending::SupervisorKilled, Ending::Recorded))
    }

    /// Ends the VMM, whatever it does, and waits until both processes are gone. Twice is once.
    pub async fn kill(&self) -> Result<Ending, KillError> {
        let failed = |source| KillError::Signal { machine: self.record.machine.clone(), source };
        // Politely first, so that the end is recorded as asked for: the VMM itself gets no say.
        self.signal(&self.supervisor, Signal::TERM)?;
        if timeout(POLITE, self.gone()).await.is_err() {
            self.signal(&self.vmm, Signal::KILL)?;
            self.signal(&self.supervisor, Signal::KILL)?;
        }
        match timeout(FORCED, self.exited()).await {
            Ok(ending) => ending.map_err(failed),
            Err(_) => Err(KillError::Stuck { machine: self.record.machine.clone() }),
        }
    }

    /// The last bytes of the guest's console: any bytes, chosen by the guest.
    pub fn console_tail(run: &RunFolder, most: usize) -> io::Result<Vec<u8>> {
        CONSOLE.tail(run.path(), most)
    }

    /// The last bytes of what the VMM itself said.
    pub fn log_tail(run: &RunFolder, most: usize) -> io::Result<Vec<u8>> {
        VMM.tail(run.path(), most)
    }

    /// The last bytes of what a companion of this name said.
    pub fn companion_log_tail(run: &RunFolder, name: &str, most: usize) -> io::Result<Vec<u8>> {
        of_companion(name).tail(run.path(), most)
    }

    async fn gone(&self) -> io::Result<()> {
        for process in [&self.supervisor, &self.vmm].into_iter().flatten() {
            process.gone().await?;
        }
        Ok(())
    }

    fn signal(&self, process: &Option<Held>, signal: Signal) -> Result<(), KillError> {
        let failed = |source| KillError::Signal { machine: self.record.machine.clone(), source };
        process.as_ref().map_or(Ok(()), |process| process.signal(signal)).map_err(failed)
    }
}
