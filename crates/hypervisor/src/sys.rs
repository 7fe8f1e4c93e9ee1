//! The few operations of the operating system and the processor that no safe crate offers.
#![expect(unsafe_code, reason = "one operation per block, each behind a safe function")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use tokio::io::unix::AsyncFd;

use crate::launch_plan::WIRE_DESCRIPTOR;

/// Reads the time stamp counter.
pub(crate) fn time_stamp_counter() -> u64 {
    // SAFETY: RDTSC reads a register; user code may run it on every Linux that we support.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// CPUID's answer for a leaf: eax, ebx, ecx, edx.
pub(crate) fn cpuid(leaf: u32) -> [u32; 4] {
    let answer = core::arch::x86_64::__cpuid(leaf);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// Lets tokio wait for a descriptor. Each copy may be watched once at a time.
pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps one open descriptor until the AsyncFd drops it.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}

/// Closes every descriptor above standard error. For the first line of a process that was handed only its
/// standard streams: nothing of Rust's may hold one yet.
pub(crate) fn close_inherited_descriptors() -> io::Result<()> {
    // SAFETY: takes no pointer; the caller is at its start and owns no descriptor above 2.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// SIGTERM, SIGINT and SIGHUP as a descriptor that becomes readable, instead of a death.
pub(crate) fn termination_descriptor() -> io::Result<OwnedFd> {
    let signals = signal_set(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    set_blocked(&signals)?;
    // SAFETY: the set is initialised and outlives the call; -1 asks for a new descriptor.
    let descriptor = unsafe { libc::signalfd(-1, &raw const signals, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Makes the command's process die with us, and lets it have all signals again.
pub(crate) fn tie_to_us(command: &mut Command) {
    let us = rustix::process::getpid();
    let in_child = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // If we died before the line above, no signal will come.
        if rustix::process::getppid() != Some(us) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        set_blocked(&signal_set(&[]))
    };
    // SAFETY: between fork and exec the closure makes system calls only: it neither allocates nor locks.
    unsafe { command.pre_exec(in_child) };
}

/// Takes the number of the descriptor that is handed down, so that nothing of ours gets it: not even the pipe by
/// which a child that could not be started says so.
pub(crate) fn reserve_handed_down() -> io::Result<()> {
    let nothing = std::fs::File::open("/dev/null")?;
    match nothing.into_raw_fd() {
        WIRE_DESCRIPTOR => Ok(()),
        other => Err(io::Error::other(format!("descriptor {WIRE_DESCRIPTOR} is taken: the next one is {other}"))),
    }
}

/// Makes the command's process hold a descriptor of ours as `WIRE_DESCRIPTOR`. Only after `reserve_handed_down`.
pub(crate) fn hand_down(command: &mut Command, ours: OwnedFd) {
    let in_child = move || {
        // SAFETY: takes no pointer; the number is reserved, so what dup2 closes is nobody's.
        let held = unsafe { libc::dup2(ours.as_raw_fd(), WIRE_DESCRIPTOR) };
        if held < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec the closure makes one system call: it neither allocates nor locks.
    unsafe { command.pre_exec(in_child) };
}

/// Makes the command's process begin with this `oom_score_adj`, as far as the host lets it.
pub(crate) fn score_for_oom(command: &mut Command, score: i32) {
    let text = score.to_string();
    let in_child = move || {
        let flags = rustix::fs::OFlags::WRONLY.union(rustix::fs::OFlags::CLOEXEC);
        if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, rustix::fs::Mode::empty()) {
            // Refused to one who may not ask to live longer: it lives as long as its parent then.
            let _ = rustix::io::write(&file, text.as_bytes());
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only: it neither allocates nor locks.
    unsafe { command.pre_exec(in_child) };
}

fn set_blocked(signals: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialised and outlives the call; the old one is not asked for.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, signals, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset writes the whole set that the pointer is for.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: sigemptyset initialised it.
    let mut set = unsafe { set.assume_init() };
    for &signal in signals {
        // SAFETY: the set is initialised; an unknown number is refused, not undefined.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}
