//! The few operations of the operating system that no safe crate offers.
#![expect(unsafe_code, reason = "one operation per block, each behind a safe function")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use tokio::io::unix::AsyncFd;

/// Lets tokio wait for a descriptor.
pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps one open descriptor until the AsyncFd drops it.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}

/// Takes a descriptor that this process was started with. For the first lines of a process, once each.
pub(crate) fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer; a number without a descriptor is answered with an error.
    let flags = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as the line above found, and the caller says that nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor from `first` on. For the first line of a process: nothing of Rust's may hold one yet.
pub(crate) fn close_inherited_descriptors(first: i32) -> io::Result<()> {
    // SAFETY: takes no pointer; the caller is at its start and owns no descriptor from there on.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Zeroed memory of this process, mapped until its end, in pages of the usual size. It costs nothing where it
/// was not touched.
#[derive(Debug)]
pub(crate) struct Region {
    start: NonNull<u8>,
    length: usize,
}

impl Region {
    /// Maps so many bytes.
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: no address is asked for, so nothing that is mapped is changed.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // A page of 2 MiB for the first byte of each connection would be dear. A kernel without them says no.
        // SAFETY: the range was mapped above, and the advice changes no content.
        unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    /// A part of it. The caller lends each byte to one at a time.
    pub(crate) fn part(&mut self, from: usize, length: usize) -> &'static mut [u8] {
        assert!(from <= self.length && length <= self.length - from, "the part lies within the region");
        // SAFETY: the offset lies within the one mapping, as was asserted.
        let start = unsafe { self.start.add(from) };
        // SAFETY: the bytes are mapped and initialised until the process ends; `lines.rs` lends them to one
        // ring at a time, and takes them back when that ring is gone.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) }
    }

    /// Gives the memory of a part of it back to the host: it is zero from now on. Both ends on page borders.
    pub(crate) fn forget(&mut self, from: usize, length: usize) {
        assert!(from <= self.length && length <= self.length - from, "the part lies within the region");
        // SAFETY: the offset lies within the one mapping, as was asserted.
        let start = unsafe { self.start.add(from) };
        // SAFETY: the range is ours; whoever holds the part now holds a ring without content, and reads only
        // what it wrote before.
        unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_DONTNEED) };
    }
}

/// A file's first bytes as memory that outlives this process.
#[derive(Debug)]
pub(crate) struct MappedFile {
    start: NonNull<u8>,
    length: usize,
}

impl MappedFile {
    /// Maps so many bytes of a file that is at least as long, and that nobody makes shorter.
    pub(crate) fn new(file: &File, length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: no address is asked for, so nothing that is mapped is changed.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    /// The bytes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped and initialised until `drop`; no other process writes there while this one runs.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and nobody can hold a part of it: `bytes` borrows us.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A system call without arguments that mean anything.
    pub(crate) fn bare_call(number: libc::c_long) -> io::Result<()> {
        // SAFETY: none of the calls that tests make does anything with four zeros but fail.
        let result = unsafe { libc::syscall(number, 0, 0, 0, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    #[test]
    fn what_was_forgotten_is_zero() {
        let mut region = Region::new(1 << 20).unwrap();
        region.part(4096, 4096).fill(7);
        region.part(8192, 1).fill(8);
        region.forget(4096, 4096);
        assert!(region.part(4096, 4096).iter().all(|&byte| byte == 0));
        assert_eq!(region.part(8192, 1), [8]);
    }
}
