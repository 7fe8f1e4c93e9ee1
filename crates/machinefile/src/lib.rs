//! The Machinefile: a project's machine as a YAML file of the project. Reads files of the folder that it is
//! given, tells all errors at once, and gives a typed model. Runs nothing, talks to nobody, and knows of the host
//! what it is told.
//!
//! ```text
//! find ─▶ merge (text ─▶ tree, and what it extends) ─▶ walk (checks, defaults) ─▶ Machinefile, or a Report
//!                                                                                      │
//!                     trust: what it asks of the host      lock: what it is made from ◀┤
//!                     environment: files and secrets       identity: whose machine ◀───┘
//! ```

pub mod config;
pub mod detect;
pub mod dotenv;
pub mod environment;
pub mod find;
pub mod finding;
pub mod host;
pub mod identity;
pub mod lock;
mod merge;
pub mod model;
mod nearest;
mod paths;
pub mod read;
pub mod rule;
pub mod schema;
mod source;
mod tree;
pub mod trust;
pub mod trust_record;
mod walk;
mod whole_file;

pub use detect::{ProjectKind, detect, starter_file};
pub use find::{Project, find};
pub use finding::{Finding, Report};
pub use host::Host;
pub use lock::Lock;
pub use model::{Machinefile, Origin};
pub use read::{ReadFile, Reading, read};
pub use rule::Rule;
pub use schema::{schema, schema_text};
pub use trust::{TrustItem, TrustList};
pub use walk::Lookup;
