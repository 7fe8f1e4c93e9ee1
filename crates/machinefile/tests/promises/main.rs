//! Promises of the Machinefile, asked of files in folders of their own.

mod model;
mod stage;
