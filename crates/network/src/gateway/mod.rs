//! The gateway itself: one thread, one loop over everything that can become ready.

pub(crate) mod around;
pub(crate) mod flows_file;
pub(crate) mod host;
pub(crate) mod reactor;
pub(crate) mod slots;
pub(crate) mod tcp;
