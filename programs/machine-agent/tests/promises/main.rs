//! What the agent promises, checked on the real binary over a unix socket.

mod bulk;
mod commands;
mod files;
mod stage;
mod strangers;
