//! The few operations of the operating system that no safe crate offers.
#![expect(unsafe_code, reason = "one operation per block, each behind a safe function")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Lets tokio wait for a descriptor.
pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps one open descriptor until the AsyncFd drops it.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}
