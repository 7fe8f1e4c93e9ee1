//! The Machinefile: a project's machine as a YAML file of the project. Reads files of the folder that it is
//! given, tells all errors at once, and gives a typed model. Runs nothing, talks to nobody, and knows of the host
//! what it is told.
//!
//! ```text
//! find ─▶ merge (text ─▶ tree, and what it extends) ─▶ walk (checks, defaults) ─▶ Machinefile, or a Report
//! ```

pub mod find;
pub mod finding;
pub mod host;
pub mod identity;
mod merge;
pub mod model;
mod nearest;
mod paths;
pub mod read;
pub mod rule;
mod source;
mod tree;
mod walk;

pub use find::{Project, find};
pub use finding::{Finding, Report};
pub use host::Host;
pub use model::{Machinefile, Origin};
pub use read::{ReadFile, Reading, read};
pub use rule::Rule;
pub use walk::Lookup;
