//! The routes, one resource per file.

pub(crate) mod attach;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod machines;
pub(crate) mod network;
mod place;
pub(crate) mod project;
pub(crate) mod raw_file;
pub(crate) mod server;
pub(crate) mod services;
pub(crate) mod templates;
pub(crate) mod usage;

/// Writes the machine of a request into its span.
pub(crate) fn note_machine(machine: &machine_core::Machine) {
    tracing::Span::current().record("machine", tracing::field::display(&machine.id));
}
