//! One verb, one file: the steps of each command.

pub mod create;
pub mod destroy;
pub mod hibernate;
pub mod pause;
pub mod start;
pub mod stop;

use std::sync::Arc;

use machine_core::promise::guest::Identity;
use machine_core::promise::provider::{MachinePlan, Provider, ProviderError};
use machine_core::{Code, Command, Machine, Progress, Refusal};

use crate::carry_out::Step;
use crate::promises::Promises;

/// The commands that have steps.
pub const CARRIED_OUT: [Command; 7] = [
    Command::Create,
    Command::Start,
    Command::Pause,
    Command::Resume,
    Command::Hibernate,
    Command::Stop,
    Command::Destroy,
];

/// What every step works with.
#[derive(Clone)]
pub struct Scene {
    /// The place that holds the machine.
    pub provider: Arc<dyn Provider>,
    /// What the machine shall be.
    pub plan: MachinePlan,
    /// Who is told.
    pub progress: Progress,
}

impl Scene {
    /// The scene of a command on a machine, which rests where it rested before it.
    #[must_use]
    pub fn of(promises: &Promises, machine: &Machine, command: Command, progress: Progress) -> Self {
        let identity = Identity {
            hostname: machine.hostname().to_owned(),
            machine_id: machine_id(machine.id.as_str()),
            envs: machine.spec.envs.clone(),
        };
        let plan = MachinePlan {
            id: machine.id.clone(),
            generation: machine.generation,
            spec: machine.spec.clone(),
            identity,
            root: machine.spec.root.fate(machine.state, command),
            from: machine.state,
        };
        Self { provider: promises.provider.clone(), plan, progress }
    }
}

/// A command that was taken back. Of a machine whose VMM ended meanwhile there is nothing to take back: its keeper
/// sees that end next.
fn taken_back(brought: Result<(), ProviderError>) -> Result<(), Refusal> {
    match brought {
        Ok(()) | Err(ProviderError::NotRunning) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The guest's machine-id: 32 hexadecimal digits that follow from our id, so that a repeat is the same.
fn machine_id(id: &str) -> String {
    id.bytes().skip(1).take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The steps of a command.
///
/// # Errors
/// `not_implemented` for a command that this version does not carry out.
pub fn steps(command: Command, scene: &Scene) -> Result<Vec<Box<dyn Step>>, Refusal> {
    match command {
        Command::Create => Ok(create::steps(scene)),
        Command::Start | Command::Resume => Ok(start::steps(scene)),
        Command::Pause => Ok(pause::steps(scene)),
        Command::Hibernate => Ok(hibernate::steps(scene)),
        Command::Stop => Ok(stop::steps(scene)),
        Command::Destroy => Ok(destroy::steps(scene)),
        Command::Snapshot | Command::Restore => {
            Err(Refusal::new(Code::NotImplemented, format!("{} is not implemented yet", command.word())))
        }
    }
}
