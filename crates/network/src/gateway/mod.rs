//! The gateway itself: one thread, one loop over everything that can become ready.

pub(crate) mod reactor;
pub(crate) mod slots;
