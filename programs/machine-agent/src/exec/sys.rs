//! Starts a process the cheap way: the child borrows our memory until it executes its program
//! (`CLONE_VM | CLONE_VFORK`), so nothing is copied however large we are.
//!
//! ```text
//! parent: prepare all memory ──clone──▶ asleep ─────────────────▶ read what the child noted
//! child:                        └─▶ session, terminal, stdio, rights, folder ──▶ execve or _exit
//!                                                 a script without #!: execve /bin/sh ◀──┘
//! ```
//! In between the child may only make system calls: no allocation, no locks, and none of the C
//! library's calls that speak to other threads (setuid and its kin), hence `libc::syscall`.
#![expect(unsafe_code, reason = "no safe interface starts a process with rights, session and terminal at once")]

use rustix::process::Pid;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

const STACK: usize = 64 * 1024;
/// Unless somebody says otherwise.
pub(crate) const UMASK: u32 = 0o022;
const SHELL: &std::ffi::CStr = c"/bin/sh";
/// So much of a program tells whether it is a script.
const START: usize = 64;

/// Whether the process gets standard input as its controlling terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    None,
    Controlling,
}

/// Everything that a process needs to begin.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: CString,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: CString,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) stdio: [OwnedFd; 3],
    pub(crate) terminal: Terminal,
    /// Permission bits that new files do not get.
    pub(crate) umask: u32,
}

/// At which step a child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Prepare,
    Rights,
    Folder,
    Execute,
}

/// Why a process did not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot start a process")]
    Clone(#[source] io::Error),
    #[error("cannot start the program: {step:?}")]
    Child { step: Step, source: io::Error },
    #[error("no process is started any more")]
    NoReaper,
}

/// What the child reads, and where it notes its failure. Made before it exists.
struct Shared<'a> {
    launch: &'a Launch,
    /// The shell, then the program's own: a script without `#!` needs no other array.
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    stdio: [RawFd; 3],
    ignored: &'static [c_int],
    failure: Option<(Step, c_int)>,
}

/// Starts a process in a session of its own. The caller reaps it.
pub(crate) fn start(launch: &Launch) -> Result<Pid, StartError> {
    let pointers = |strings: &[CString], first: Option<*const c_char>| -> Vec<*const c_char> {
        first.into_iter().chain(strings.iter().map(|string| string.as_ptr())).chain([ptr::null()]).collect()
    };
    let mut shared = Shared {
        launch,
        argv: pointers(&launch.argv, Some(SHELL.as_ptr())),
        env: pointers(&launch.env, None),
        ignored: ignored_signals(),
        stdio: [0, 1, 2].map(|at: usize| launch.stdio[at].as_raw_fd()),
        failure: None,
    };
    // Not filled with zeros: the child touches a page or two, and every page touched is a fault.
    let mut stack = Vec::with_capacity(STACK);
    let blocked = block_signals();
    let pid = clone_child(stack.spare_capacity_mut(), &mut shared);
    restore_signals(&blocked);
    let pid = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 0);
    let pid = pid.ok_or_else(|| StartError::Clone(io::Error::last_os_error()))?;
    match shared.failure {
        None => Ok(pid),
        Some((step, errno)) => {
            // It has left already; this only takes its remains away.
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).ok();
            Err(StartError::Child { step, source: io::Error::from_raw_os_error(errno) })
        }
    }
}

fn clone_child(stack: &mut [MaybeUninit<u8>], shared: &mut Shared<'_>) -> c_int {
    let top = stack.as_mut_ptr_range().end;
    let top = top.wrapping_sub(top.addr() % 16).cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let argument = ptr::from_mut(shared).cast::<c_void>();
    // SAFETY: `child` gets a stack of its own that outlives it, since CLONE_VFORK lets us go on
    // only when it has executed or ended; `shared` lives as long and nobody else uses it then.
    // Signals are blocked, so none of our handlers runs in the child.
    unsafe { libc::clone(child, top, flags, argument) }
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `clone_child` passes a `Shared` that lives, and is ours alone, until we are gone.
    let shared = unsafe { &mut *argument.cast::<Shared<'_>>() };
    let Err(failure) = become_program(shared);
    shared.failure = Some(failure);
    // SAFETY: ends the child without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Never returns but with what failed.
fn become_program(shared: &mut Shared<'_>) -> Result<std::convert::Infallible, (Step, c_int)> {
    let launch = shared.launch;
    default_signals(shared.ignored);
    // SAFETY: takes nothing.
    check(Step::Prepare, unsafe { libc::syscall(libc::SYS_setsid) })?;
    for (fd, target) in shared.stdio.into_iter().zip(0_i64..) {
        // SAFETY: takes numbers; the descriptors are above 2, so none is overwritten before use.
        check(Step::Prepare, unsafe { libc::syscall(libc::SYS_dup3, fd, target, 0) })?;
    }
    match launch.terminal {
        Terminal::None => {}
        Terminal::Controlling => {
            // SAFETY: takes numbers.
            check(Step::Prepare, unsafe { libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSCTTY, 0) })?;
        }
    }
    // SAFETY: takes a number.
    unsafe { libc::syscall(libc::SYS_umask, launch.umask) };
    // SAFETY: pointer and count describe `groups`, which is only read.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, launch.groups.len(), launch.groups.as_ptr()) };
    check(Step::Rights, groups)?;
    let (uid, gid) = (launch.uid, launch.gid);
    // SAFETY: takes numbers; the child has one thread, so the bare call is enough.
    check(Step::Rights, unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(Step::Rights, unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    // SAFETY: a string that ends with 0 and lives.
    check(Step::Folder, unsafe { libc::syscall(libc::SYS_chdir, launch.cwd.as_ptr()) })?;
    execute(shared)
}

fn execute(shared: &mut Shared<'_>) -> Result<std::convert::Infallible, (Step, c_int)> {
    let program = shared.launch.program.as_ptr();
    let env = shared.env.as_ptr();
    // Behind the shell: at most the null of an empty list.
    let argv = shared.argv[1..].as_ptr();
    // SAFETY: arrays of strings that end with 0 and live; the arrays end with null.
    let failure = check(Step::Execute, unsafe { libc::syscall(libc::SYS_execve, program, argv, env) });
    if failure == Err((Step::Execute, libc::ENOEXEC)) && !shared.launch.argv.is_empty() && is_bare_script(program) {
        shared.argv[1] = program;
        let argv = shared.argv.as_ptr();
        // SAFETY: as above.
        check(Step::Execute, unsafe { libc::syscall(libc::SYS_execve, SHELL.as_ptr(), argv, env) })?;
    }
    failure?;
    Err((Step::Execute, libc::EIO))
}

/// A script without `#!` is for the shell, as everywhere. What the kernel does not know and is not text
/// is no program.
fn is_bare_script(program: *const c_char) -> bool {
    let mut start = [0_u8; START];
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: a string that ends with 0 and lives.
    let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, program, flags, 0) };
    // SAFETY: pointer and count describe `start`; a descriptor that is none is refused.
    let read = unsafe { libc::syscall(libc::SYS_read, fd, start.as_mut_ptr(), START) };
    usize::try_from(read).is_ok_and(|count| is_text(&start[..count.min(START)]))
}

fn is_text(start: &[u8]) -> bool {
    !start.is_empty() && !start.contains(&0) && !start.starts_with(b"#!") && !start.starts_with(b"\x7fELF")
}

fn check(step: Step, result: i64) -> Result<(), (Step, c_int)> {
    if result >= 0 {
        return Ok(());
    }
    // SAFETY: the address of errno, which the child shares with the sleeping parent.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: it is valid for the life of the thread.
    Err((step, unsafe { *place }))
}

/// Handlers are reset by execve; what is ignored would stay ignored: SIGPIPE by our own runtime, the others
/// by a shell that started us in the background. None of it changes while we live.
fn ignored_signals() -> &'static [c_int] {
    static IGNORED: OnceLock<Vec<c_int>> = OnceLock::new();
    IGNORED.get_or_init(|| {
        let candidates = [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];
        candidates.into_iter().filter(|signal| is_ignored(*signal)).collect()
    })
}

fn is_ignored(signal: c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: changes nothing, and writes one struct through the pointer, which lives for the call.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
    // SAFETY: plain numbers, zero or written by the kernel.
    let now = unsafe { now.assume_init() };
    asked == 0 && now.sa_sigaction == libc::SIG_IGN
}

fn default_signals(ignored: &[c_int]) {
    for signal in ignored {
        // SAFETY: sets a default, in the child's own table.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
    let mut none = empty_set();
    // SAFETY: `none` is valid for the call.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: reads `none`, writes nothing.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) };
}

/// Readable while a child's end is not yet noticed. Unlike a handler it costs no interrupted wait and no
/// second pipe. For the calling thread and those that it starts, so before there are any.
pub(crate) fn ends_of_children() -> io::Result<OwnedFd> {
    let mut set = empty_set();
    // SAFETY: `set` is valid for the call.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
    // SAFETY: sets a default. Whoever started us may have ignored it, and then no end would be kept for us.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // SAFETY: reads `set`, writes nothing.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    // SAFETY: reads `set`.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn block_signals() -> libc::sigset_t {
    let (mut all, mut before) = (empty_set(), empty_set());
    // SAFETY: `all` is valid for the call.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: reads `all`, writes `before`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    before
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: reads `before`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(before), ptr::null_mut()) };
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: a set of signals is plain bits, and none set is the empty set on Linux.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn a_bare_script_is_text_that_the_kernel_does_not_know() {
        assert!(is_text(b"echo a\n"));
        for other in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"MZ\0\x01"] {
            assert!(!is_text(other), "{other:?}");
        }
    }
}
