//! Keeps the promises: one task per machine decides, writes the intent down, and carries it out.
//! Knows no hypervisor, no database and no cloud; see `machine_core::promise` for its seams.
//!
//! ```text
//! Desk ──finds or makes──▶ Keeper (one per machine) ──decide──▶ open intent ──▶ carry_out ──▶ publish
//!   ▲                          ▲
//!   └── commands               └── sightings of the provider, unfinished intents at start
//! ```

pub mod carry_out;
pub mod desk;
pub mod keeper;
pub mod network;
pub mod operation;
pub mod promises;
mod reconcile;

pub use desk::{Asked, Desk, NewImage, NewMachine};
pub use network::{EgressChange, NetworkChange};
pub use promises::{Promises, Surroundings};
