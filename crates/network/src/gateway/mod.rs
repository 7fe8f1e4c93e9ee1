//! The gateway itself: one thread, one loop over everything that can become ready.

// Taken away when the gateway that dispatches them is here.
#![expect(dead_code, reason = "the parts come before the whole")]

pub(crate) mod reactor;
pub(crate) mod slots;
