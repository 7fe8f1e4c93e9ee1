//! The system calls of a share: those on the files of its folder, on the sockets and the memory it has, on threads.

use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Any other system call is answered with "not permitted".
// A gateway's filter (crates/network, sandbox.rs) is set up in the same few lines; there it says why they stay two.
pub(crate) fn apply() -> io::Result<()> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let mut rules: BTreeMap<_, _> = FREE.iter().map(|&call| (call, Vec::new())).collect();
    rules.extend(bounded().map_err(io::Error::other)?);
    let refusal = SeccompAction::Errno(Errno::PERM.raw_os_error().cast_unsigned());
    let filter = SeccompFilter::new(rules, refusal, SeccompAction::Allow, architecture).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// Calls that are allowed with any arguments.
const FREE: &[libc::c_long] = &[
    // Files of the folder. Opening is confined by the root and by Landlock.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_copy_file_range,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    // The watcher.
    libc::SYS_fchdir,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    // The sockets that are there.
    libc::SYS_accept4,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_fcntl,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    // Threads, memory, time, chance, and the end.
    libc::SYS_clone3,
    libc::SYS_clone,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

type Bounded = (libc::c_long, Vec<SeccompRule>);

/// Calls that are allowed with some arguments.
fn bounded() -> Result<Vec<Bounded>, seccompiler::BackendError> {
    let is = |argument, value: libc::c_int| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(value.cast_unsigned()))
    };
    let without = |argument, bits: libc::c_int| {
        let mask = SeccompCmpOp::MaskedEq(u64::from(bits.cast_unsigned()));
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, mask, 0)
    };
    let rule = |condition: Result<_, _>| SeccompRule::new(vec![condition?]);
    Ok(vec![
        (libc::SYS_mmap, vec![rule(without(2, libc::PROT_EXEC))?]),
        (libc::SYS_mprotect, vec![rule(without(2, libc::PROT_EXEC))?]),
        // A working directory of the watcher's own.
        (libc::SYS_unshare, vec![rule(is(0, libc::CLONE_FS))?]),
        (libc::SYS_prctl, vec![rule(is(0, libc::PR_SET_NAME))?]),
        // How long a reader of changes may take.
        (libc::SYS_setsockopt, vec![SeccompRule::new(vec![is(1, libc::SOL_SOCKET)?, is(2, libc::SO_SNDTIMEO)?])?]),
        // FIONBIO; its type differs between C libraries, its number does not.
        (libc::SYS_ioctl, vec![rule(is(1, 0x5421))?]),
    ])
}
