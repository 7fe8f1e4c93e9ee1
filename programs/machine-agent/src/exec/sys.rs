//! Starts a process the cheap way: the child borrows our memory until it executes its program
//! (`CLONE_VM | CLONE_VFORK`), so nothing is copied however large we are.
//!
//! ```text
//! parent: prepare all memory ──clone──▶ asleep ─────────────────▶ read what the child noted
//! child:                        └─▶ session, terminal, stdio, rights, folder ──▶ execve or _exit
//! ```
//! In between the child may only make system calls: no allocation, no locks, and none of the C
//! library's calls that speak to other threads (setuid and its kin), hence `libc::syscall`.
#![expect(unsafe_code, reason = "no safe interface starts a process with rights, session and terminal at once")]

use rustix::process::Pid;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

const STACK: usize = 64 * 1024;

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
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    stdio: [RawFd; 3],
    failure: Option<(Step, c_int)>,
}

/// Starts a process in a session of its own. The caller reaps it.
pub(crate) fn start(launch: &Launch) -> Result<Pid, StartError> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let mut shared = Shared {
        launch,
        argv: pointers(&launch.argv),
        env: pointers(&launch.env),
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
fn become_program(shared: &Shared<'_>) -> Result<std::convert::Infallible, (Step, c_int)> {
    let launch = shared.launch;
    default_signals();
    schedule_as_usual();
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
    unsafe { libc::syscall(libc::SYS_umask, 0o022) };
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
    let (argv, env) = (shared.argv.as_ptr(), shared.env.as_ptr());
    // SAFETY: arrays of such strings that end with null and live.
    check(Step::Execute, unsafe { libc::syscall(libc::SYS_execve, launch.program.as_ptr(), argv, env) })?;
    Err((Step::Execute, libc::EIO))
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
/// by a shell that started us in the background.
fn default_signals() {
    for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: sets a default, in the child's own table.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = empty_set();
    // SAFETY: `none` is valid for the call.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: reads `none`, writes nothing.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) };
}

/// Takes back `wait_our_turn` of the agent: commands are scheduled like any other.
fn schedule_as_usual() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads one struct through the pointer, which lives for the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const priority) };
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
