//! Promises of the Machinefile, asked of files in folders of their own.

mod bounds;
mod config;
mod extends;
mod later;
mod lock;
mod model;
mod rules;
mod shown;
mod stage;
mod starter;
mod trust;
