//! System calls that have no safe wrapper. Each is one operation with one reason; starting
//! processes has its own (`exec/sys.rs`).
#![expect(unsafe_code, reason = "the kernel's interface is not typed; every call says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use tokio::io::unix::AsyncFd;

/// `_IOW('f', 16, __u64)`: grow a mounted ext4 to so many blocks.
const EXT4_IOC_RESIZE_FS: libc::c_ulong = 0x4008_6610;
/// `_IO('R', 7)`: take new seed from what was stirred in.
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// The calling thread acts on files as this user until it ends.
pub(crate) fn use_file_rights(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // The C library's own setgroups would change every thread, hence the bare call.
    // SAFETY: the pointer and count describe `groups`, which the kernel only reads.
    let done = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes a number, changes the calling thread only.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) };
    // SAFETY: takes a number, changes the calling thread only.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) };
    // These two answer the id before the call; an impossible id asks without changing.
    // SAFETY: takes a number.
    let now = unsafe { libc::syscall(libc::SYS_setfsuid, u32::MAX) };
    // SAFETY: takes a number.
    let group_now = unsafe { libc::syscall(libc::SYS_setfsgid, u32::MAX) };
    if now == i64::from(uid) && group_now == i64::from(gid) {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(libc::EPERM))
}

/// Sends a signal to every process but us; only process 1 should.
pub(crate) fn signal_everybody(signal: i32) {
    // SAFETY: takes numbers. That nobody is left is no error.
    unsafe { libc::kill(-1, signal) };
}

/// Grows the mounted ext4 file system to `blocks`.
pub(crate) fn grow_ext4(mount: BorrowedFd<'_>, blocks: u64) -> io::Result<()> {
    // SAFETY: the request reads one u64 through the pointer, which lives for the call.
    let done = unsafe { libc::ioctl(mount.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel use what was written to /dev/urandom at once.
pub(crate) fn reseed(urandom: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    let done = unsafe { libc::ioctl(urandom.as_raw_fd(), RNDRESEEDCRNG) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives a network interface the address of another card.
pub(crate) fn set_mac(socket: BorrowedFd<'_>, interface: &std::ffi::CStr, mac: [u8; 6]) -> io::Result<()> {
    // SAFETY: plain numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.to_bytes()) {
        *to = from.cast_signed();
    }
    let mut address = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: [0; 14] };
    for (to, from) in address.sa_data.iter_mut().zip(mac) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_hwaddr = address;
    // SAFETY: the request reads one struct through the pointer, which lives for the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFHWADDR, &raw const request) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal to a process group, by number so that any signal may be sent.
pub(crate) fn signal_group(leader: rustix::process::Pid, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers.
    let done = unsafe { libc::kill(-leader.as_raw_nonzero().get(), signal) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the runtime watch a descriptor.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` answers the same open descriptor for as long as it lives.
    let watched = unsafe { AsyncFd::register(fd) };
    Ok(watched?)
}

/// Asks the scheduler not to interrupt others for us: a command that ends is reaped in one wake-up, not in
/// one for each pipe that it closes. What we start is scheduled as usual.
pub(crate) fn wait_our_turn() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads one struct through the pointer, which lives for the call. A kernel that refuses changes nothing.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH | libc::SCHED_RESET_ON_FORK, &raw const priority) };
}

/// Keeps everybody else from opening the file until the lease ends; whoever tries waits. `WouldBlock` if somebody
/// has it open already.
pub(crate) fn lease(file: BorrowedFd<'_>) -> io::Result<()> {
    set_lease(file, libc::F_WRLCK)
}

/// Lets in who waits.
pub(crate) fn end_lease(file: BorrowedFd<'_>) -> io::Result<()> {
    set_lease(file, libc::F_UNLCK)
}

fn set_lease(file: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The first page of a file, shared with everybody who reads the file.
#[derive(Debug)]
pub(crate) struct Page(NonNull<libc::c_void>);

// SAFETY: it owns its mapping, which no thread is bound to, and nothing is done to it through a shared reference.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// The smallest page that any processor has.
    pub(crate) const LENGTH: usize = 4096;

    pub(crate) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses; no memory of ours changes.
        let place = unsafe { libc::mmap(ptr::null_mut(), Self::LENGTH, rights, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(place).map(Self).ok_or_else(|| io::Error::other("a mapping at no address"))
    }

    /// Stores bytes, as far as the page goes. The file must be longer than that: a store beyond its last page
    /// ends the process.
    pub(crate) fn store(&mut self, at: usize, bytes: &[u8]) {
        let room = Self::LENGTH.saturating_sub(at);
        let bytes = &bytes[..bytes.len().min(room)];
        let at = at.min(Self::LENGTH);
        // SAFETY: `at` is inside the mapping or at its end.
        let to = unsafe { self.0.as_ptr().cast::<u8>().add(at) };
        // SAFETY: the bytes fit between `to` and the mapping's end, and no reference to the mapping exists.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and used by nobody after this.
        unsafe { libc::munmap(self.0.as_ptr(), Self::LENGTH) };
    }
}
