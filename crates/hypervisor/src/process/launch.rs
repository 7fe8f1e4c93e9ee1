//! Starts a VMM by way of its supervisor, and reaches its control socket.
//!
//! ```text
//! plan.json ──▶ supervisor ──writes supervisor.json, closes its stdout──▶ Vmm ──control──▶ Control
//!                    └──────writes exit.json, closes its stdout─────────▶ VmmDied
//! ```

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{AdoptError, Ending, ExitRecord, Found, SupervisorRecord, Vmm};
use crate::boot_plan::RunFolder;
use crate::driver::{Control, ControlError, Driver};
use crate::launch_plan::LaunchPlan;
use crate::supervise::SUPERVISE_VERB;
use crate::whole_file;
use machine_core::MachineId;

/// The supervisor has little to do before it answers; a host this slow is not one to start machines on.
const START: Duration = Duration::from_secs(20);

/// A VMM that closes its socket is ending; so long we wait to learn how.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// As much of a log as goes into an error.
const TAIL: usize = 2048;

/// A VMM that ended before it could be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the VMM of {machine} died: {status}: {}", log_tail.trim_end())]
pub struct VmmDied {
    /// Whose VMM.
    pub machine: MachineId,
    /// How it ended.
    pub status: Ending,
    /// The last that it said.
    pub log_tail: String,
}

/// Why there is no VMM.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// One runs there already.
    #[error("{machine} has a VMM already")]
    AlreadyRuns {
        /// Whose.
        machine: MachineId,
    },
    /// It is not known whether one runs there.
    #[error(transparent)]
    Unknown(#[from] AdoptError),
    /// The run folder could not be made ready.
    #[error("cannot prepare {}", path.display())]
    Prepare {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The supervisor could not be started.
    #[error("cannot start the supervisor {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The supervisor ended, or hung, before its VMM ran.
    #[error("the supervisor of {machine} failed: {}", log_tail.trim_end())]
    Supervisor {
        /// Whose.
        machine: MachineId,
        /// The last that it said.
        log_tail: String,
    },
    /// The VMM ended.
    #[error(transparent)]
    Died(#[from] VmmDied),
    /// The VMM runs, but does not talk.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl Vmm {
    /// Starts the plan's VMM under a supervisor of its own and returns once it runs. `program` is one that
    /// has the verb `supervise`: see `this_program`.
    pub async fn launch(plan: &LaunchPlan, program: &Path) -> Result<Self, LaunchError> {
        let run = &plan.run;
        if let Found::Alive(_) = Self::adopt(run).await? {
            return Err(LaunchError::AlreadyRuns { machine: plan.machine.clone() });
        }
        make_ready(plan).map_err(|(path, source)| LaunchError::Prepare { path, source })?;
        let mut child =
            spawn(run, program).map_err(|source| LaunchError::Spawn { program: program.to_owned(), source })?;
        let answered = timeout(START, until_answered(&mut child)).await.is_ok();
        // Someone must take note of its end, or it stays in the process table; its end itself is seen by pidfd.
        tokio::spawn(async move { child.wait().await });
        match SupervisorRecord::read(run) {
            Ok(Some(record)) if answered => {
                Self::hold(run.clone(), record).map_err(|source| AdoptError { run: run.clone(), source }.into())
            }
            Ok(_) | Err(_) => Err(why_not(plan)),
        }
    }

    /// Reaches the VMM's control socket. If the VMM ends meanwhile, says how it did.
    pub async fn control(&self, driver: &dyn Driver, within: Duration) -> Result<Box<dyn Control>, LaunchError> {
        let socket = self.run().control_socket();
        self.or_last_words(driver.connect(&socket, within)).await
    }

    /// Waits until the VMM has loaded its saved state and rests paused. If it ends instead, says how it did.
    pub async fn loaded(&self, control: &dyn Control, within: Duration) -> Result<(), LaunchError> {
        self.or_last_words(control.loaded(within)).await
    }

    /// What a VMM was asked, unless it ends meanwhile: then how it did says more.
    async fn or_last_words<T>(&self, asked: impl Future<Output = Result<T, ControlError>>) -> Result<T, LaunchError> {
        let refused = tokio::select! {
            answered = asked => match answered {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            },
            () = self.died() => return Err(self.last_words().await.into()),
        };
        match timeout(LAST_WORDS, self.died()).await {
            Ok(()) => Err(self.last_words().await.into()),
            Err(_) => Err(refused.into()),
        }
    }

    /// Never, if that cannot be seen: whoever waits has a deadline of its own.
    async fn died(&self) {
        if let Err(error) = self.exited().await {
            tracing::warn!(machine = %self.record().machine, %error, "cannot watch VMM");
            std::future::pending().await
        }
    }

    async fn last_words(&self) -> VmmDied {
        let status = self.exited().await.unwrap_or(Ending::SupervisorKilled);
        VmmDied { machine: self.record().machine.clone(), status, log_tail: said(Self::log_tail(self.run(), TAIL)) }
    }
}

/// The folder is there, and nothing in it tells of an earlier start.
fn make_ready(plan: &LaunchPlan) -> Result<(), (PathBuf, io::Error)> {
    let run = &plan.run;
    let on = |path: &Path| {
        let path = path.to_owned();
        move |source| (path, source)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(run.path()).map_err(on(run.path()))?;
    let sockets = [run.control_socket(), run.agent_socket(), run.memory_socket()];
    for stale in [run.supervisor_file(), run.exit_file()].into_iter().chain(sockets) {
        whole_file::remove(&stale).map_err(on(&stale))?;
    }
    whole_file::write_json(&run.plan_file(), plan).map_err(on(&run.plan_file()))
}

fn spawn(run: &RunFolder, program: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg0("machine")
        .arg(SUPERVISE_VERB)
        .arg(run.plan_file())
        // Neither it nor the VMM needs a setting of ours, and some of them are secrets.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(run.supervisor_log())?)
        .spawn()
}

/// The supervisor writes nothing: it closes its standard output when its record is there, or at its end.
async fn until_answered(child: &mut Child) {
    if let Some(mut stdout) = child.stdout.take() {
        let mut nothing = [0; 64];
        while stdout.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
    }
}

fn why_not(plan: &LaunchPlan) -> LaunchError {
    let machine = plan.machine.clone();
    match ExitRecord::read(&plan.run) {
        Ok(Some(exit)) => {
            let log_tail = said(Vmm::log_tail(&plan.run, TAIL));
            VmmDied { machine, status: Ending::Recorded(exit), log_tail }.into()
        }
        Ok(None) | Err(_) => {
            let log_tail = said(std::fs::read(plan.run.supervisor_log()));
            LaunchError::Supervisor { machine, log_tail }
        }
    }
}

fn said(bytes: io::Result<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
