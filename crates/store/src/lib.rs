//! What outlives the server: the ledger of machines, intents and events, in one SQLite file.
//! Machines' disks and memory are not here; they belong to the provider.

pub mod ledger;

pub use ledger::SqliteLedger;
