//! The calls that need `unsafe`, each behind a safe function.
#![expect(unsafe_code, reason = "this is where it lives")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::thread::UnshareFlags;

/// The sizes of the file system that a file is on.
pub(crate) fn file_system(file: impl AsFd) -> io::Result<libc::statvfs64> {
    let mut sizes = MaybeUninit::<libc::statvfs64>::uninit();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and there is room for the answer.
    let answer = unsafe { libc::fstatvfs64(file.as_fd().as_raw_fd(), sizes.as_mut_ptr()) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, and has filled it.
    Ok(unsafe { sizes.assume_init() })
}

/// Closes every descriptor from `first` on. For the first line of a process: nothing of Rust's may hold one yet.
pub(crate) fn close_inherited_descriptors(first: i32) -> io::Result<()> {
    // SAFETY: takes no pointer; the caller is at its start and owns no descriptor from there on.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The descriptor by which the end of a strongbox is inherited into which is put.
pub(crate) const STRONGBOX: i32 = 3;

/// The end of a strongbox that we were started with. Only once, and only by a process that was started with one.
pub(crate) fn inherited_strongbox() -> OwnedFd {
    // SAFETY: whoever starts us with a strongbox has put it there, and nobody else of ours knows of it.
    unsafe { OwnedFd::from_raw_fd(STRONGBOX) }
}

/// Another descriptor of the same.
pub(crate) fn copy(of: &impl AsRawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open for as long as `of` is borrowed.
    unsafe { BorrowedFd::borrow_raw(of.as_raw_fd()) }.try_clone_to_owned()
}

/// Gives this thread name spaces of its own, or a working directory of its own (`FS`).
pub(crate) fn unshare(what: UnshareFlags) -> io::Result<()> {
    debug_assert!(!what.contains(UnshareFlags::FILES), "descriptors are shared by all threads");
    // SAFETY: the table of descriptors is not among what our callers ask for.
    unsafe { rustix::thread::unshare_unsafe(what) }?;
    Ok(())
}
