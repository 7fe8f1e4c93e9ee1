//! Words, decisions and promises. No I/O, no async runtime, no clock, no randomness:
//! every choice takes values and returns values, every seam is a trait that others keep.

pub mod code;
pub mod command;
pub mod digest;
pub mod id;
pub mod intent;
pub mod machine;
pub mod mount;
pub mod name;
pub mod network;
pub mod policy;
pub mod promise;
pub mod recipe;
pub mod refusal;
pub mod size;
pub mod spec;
pub mod stage;
pub mod state;
mod worded;

pub use code::Code;
pub use command::Command;
pub use digest::Digest;
pub use id::{IntentId, MachineId};
pub use intent::Intent;
pub use machine::Machine;
pub use name::{MachineName, Owner, TemplateName};
pub use recipe::Recipe;
pub use refusal::Refusal;
pub use size::MiB;
pub use spec::MachineSpec;
pub use stage::{Progress, Stage};
pub use state::State;
