//! What the agent promises, checked on the real binary over a unix socket.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bulk;
mod commands;
mod connections;
mod files;
mod project;
mod stage;
mod strangers;
mod waking;
