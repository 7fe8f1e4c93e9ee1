//! Memory for the probe's guest, and the alarm that gets us out of it.
#![expect(unsafe_code, reason = "one operation per block, each behind a safe function")]

use std::io;
use std::ptr::{self, NonNull};
use std::time::Duration;

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;

/// Anonymous memory, page aligned, given back when dropped.
pub(super) struct GuestMemory {
    start: NonNull<u8>,
    bytes: usize,
}

impl GuestMemory {
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping anywhere touches no memory that exists.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("memory at address zero"))?;
        Ok(Self { start, bytes })
    }

    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has this many bytes, is zeroed, and is borrowed with us; no guest runs yet.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        // SAFETY: made by `new` with this size; no borrow outlives us. A failure leaks 2 MiB of a probe.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Lets the guest use the memory. The region must lie within it; it does by construction in `timed_loop`,
/// and is compared here.
pub(super) fn give_memory(vm: &VmFd, region: kvm_userspace_memory_region, memory: &GuestMemory) -> io::Result<()> {
    if region.userspace_addr != memory.address() || region.memory_size != memory.bytes as u64 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the region is exactly our mapping, which lives until after the guest's only run.
    unsafe { vm.set_user_memory_region(region) }.map_err(io::Error::from)
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// SIGALRM again and again from then on, which does nothing but end a system call that waits.
pub(super) fn interrupt_us_every(period: Duration) -> io::Result<()> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeroes is a valid sigaction: no flags, an empty mask, the default handler.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = ignore as *const () as libc::sighandler_t;
    // SAFETY: the action is initialised and its handler does nothing, which is safe in a signal.
    let result = unsafe { libc::sigaction(libc::SIGALRM, ptr::from_ref(action), ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let micros = libc::suseconds_t::try_from(period.as_micros()).unwrap_or(libc::suseconds_t::MAX);
    let every = libc::timeval { tv_sec: 0, tv_usec: micros };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the timer is initialised and outlives the call; the old one is not asked for.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
