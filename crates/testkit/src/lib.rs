//! Fakes for every promise and a crash injector, so that `kill -9` at every step is tested in
//! milliseconds. A dev-dependency only; real parts are tested in `tests/` with real machines.

pub mod crash;
mod folders;
pub mod guest;
pub mod images;
pub mod ledger;
pub mod memory_images;
pub mod networks;
pub mod provider;
pub mod surroundings;
pub mod world;

pub use crash::{Moment, Tripwire};
pub use world::World;
