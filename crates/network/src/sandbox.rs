//! What a gateway may still do once it has opened what it needs: wait, speak over sockets of the Internet, read
//! the resolver configuration. The order matters: each step uses what a later one takes away.
//!
//! ```text
//! limits ──▶ landlock ──▶ nobody, without capabilities ──▶ undumpable ──▶ dies with its parent, still ──▶ seccomp
//! ```
//! It holds for the calling thread, which is to be the only one. What a kernel or a container does not offer is
//! told and done without; that the filter of system calls is missing is not.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::gateway::{GatewayError, Trying};

/// Descriptors at most: a socket for each connection, with some room.
const DESCRIPTORS: u64 = 65_536;
/// Nobody, as a user and as a group.
const NOBODY: u32 = 65_534;
/// Where programs that manage names put the configuration that `/etc/resolv.conf` leads to.
const CONFIGURATIONS: [&str; 4] = ["/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf", "/run/connman"];

/// Enters it. `resolver` is the resolver configuration. Answers what could not be had.
pub(crate) fn enter(resolver: &Path) -> Result<Vec<String>, GatewayError> {
    let mut lacking = Vec::new();
    limit(&mut lacking);
    rustix::thread::set_no_new_privs(true).trying("give up new privileges")?;
    if let Err(why) = restrict_files(resolver) {
        lacking.push(format!("landlock: {why}"));
    }
    become_nobody(&mut lacking)?;
    filter().trying("filter system calls")?;
    Ok(lacking)
}

fn limit(lacking: &mut Vec<String>) {
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    let wanted = most.map_or(DESCRIPTORS, |most| most.max(DESCRIPTORS));
    let full = Rlimit { current: Some(wanted), maximum: Some(wanted) };
    let allowed = Rlimit { current: most, maximum: most };
    let raised = rustix::process::setrlimit(Resource::Nofile, full)
        .or_else(|_| rustix::process::setrlimit(Resource::Nofile, allowed));
    if let Err(error) = raised {
        lacking.push(format!("more descriptors: {error}"));
    }
    // What is in our memory is what the guest says.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
}

/// No file but those beside the resolver configuration, and those it may lead to, can be read; none written.
fn restrict_files(resolver: &Path) -> Result<(), String> {
    let abi = ABI::V6;
    let told = |error: &dyn std::error::Error| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .map_err(|error| told(&error))?;
    for folder in folders_of(resolver) {
        if let Ok(folder) = PathFd::new(&folder) {
            let rule = PathBeneath::new(folder, AccessFs::ReadFile);
            ruleset = ruleset.add_rule(rule).map_err(|error| told(&error))?;
        }
    }
    match ruleset.restrict_self().map_err(|error| told(&error))?.ruleset {
        RulesetStatus::NotEnforced => Err("not in this kernel".to_owned()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// The file may be replaced by another of its name, or lead elsewhere tomorrow.
fn folders_of(resolver: &Path) -> Vec<PathBuf> {
    let target = std::fs::canonicalize(resolver).ok();
    let own = [Some(resolver), target.as_deref()].into_iter().flatten().filter_map(Path::parent).map(Path::to_owned);
    own.chain(CONFIGURATIONS.map(PathBuf::from)).collect()
}

fn become_nobody(lacking: &mut Vec<String>) -> Result<(), GatewayError> {
    let parent = rustix::process::getppid();
    let dies_with_parent = rustix::process::parent_process_death_signal().trying("ask how we end")?;
    if rustix::process::geteuid().is_root()
        && let Err(error) = change_user()
    {
        // A container may know no such user; without capabilities its root is not much more.
        lacking.push(format!("user nobody: {error}"));
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).trying("give up capabilities")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).trying("hide our memory")?;
    // Changing the user forgot it.
    rustix::process::set_parent_process_death_signal(dies_with_parent).trying("end with our parent")?;
    if dies_with_parent.is_some() && rustix::process::getppid() != parent {
        return Err(io::Error::from(Errno::SRCH)).trying("find our parent");
    }
    Ok(())
}

fn change_user() -> Result<(), Errno> {
    let (user, group) = (rustix::thread::Uid::from_raw(NOBODY), rustix::thread::Gid::from_raw(NOBODY));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}

/// Any other system call is answered with "not permitted": a library that tries one goes on without.
// A share's filter (crates/share, filter.rs) is set up in the same few lines. They stay two: no room is below both but
// core, which does no I/O, and a room of its own would cost two edges and part each list of calls from what applies it.
fn filter() -> io::Result<()> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let mut rules: std::collections::BTreeMap<_, _> = FREE.iter().map(|&call| (call, Vec::new())).collect();
    rules.extend(bounded().map_err(io::Error::other)?);
    let refusal = SeccompAction::Errno(Errno::PERM.raw_os_error().cast_unsigned());
    let filter = SeccompFilter::new(rules, refusal, SeccompAction::Allow, architecture).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// Calls that are allowed with any arguments.
const FREE: &[libc::c_long] = &[
    // Waiting.
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_create1,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    // Sockets that are there.
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fcntl,
    // The resolver configuration.
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    // Memory, time, chance, and the end.
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
    let internet = vec![rule(is(0, libc::AF_INET))?, rule(is(0, libc::AF_INET6))?];
    let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
    Ok(vec![
        (libc::SYS_socket, internet),
        (libc::SYS_socketpair, vec![rule(is(0, libc::AF_UNIX))?]),
        (libc::SYS_openat, vec![rule(without(2, writing))?]),
        (libc::SYS_mmap, vec![rule(without(2, libc::PROT_EXEC))?]),
        (libc::SYS_mprotect, vec![rule(without(2, libc::PROT_EXEC))?]),
        // FIONBIO; its type differs between C libraries, its number does not.
        (libc::SYS_ioctl, vec![rule(is(1, 0x5421))?]),
    ])
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use rustix::net::{AddressFamily, SocketType};

    use super::*;
    use crate::sys;

    /// What is confined stays so: it is a thread of its own, and the rest of the process goes on as it was.
    #[test]
    fn what_is_confined_can_do_what_it_is_for_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (resolver, secret) = (folder.path().join("here/resolv.conf"), folder.path().join("elsewhere/secret"));
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for file in [&resolver, &secret] {
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            std::fs::write(file, "nameserver 127.0.0.1").unwrap();
            std::fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let parent = rustix::process::getppid().unwrap();
        let confined = std::thread::spawn(move || {
            let lacking = enter(&resolver).unwrap();
            let has = |what: &str| !lacking.iter().any(|lack| lack.starts_with(what));
            forbidden(&secret, &resolver.with_file_name("new"), parent, has("landlock"));
            allowed(&resolver, &listener);
        });
        confined.join().unwrap();
    }

    fn forbidden(secret: &Path, new: &Path, parent: rustix::process::Pid, landlock: bool) {
        let refused = |what: &str, result: io::Result<()>| match result {
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{what}: {error}"),
            Ok(()) => panic!("{what} was allowed"),
        };
        refused("another program", Command::new("/bin/true").status().map(drop));
        refused("the shadow file", std::fs::read("/etc/shadow").map(drop));
        if landlock {
            refused("a file elsewhere", std::fs::read(secret).map(drop));
        }
        refused("a new file", std::fs::write(new, "").map(drop));
        refused("a removal", std::fs::remove_file(secret));
        for family in [AddressFamily::UNIX, AddressFamily::NETLINK, AddressFamily::PACKET] {
            refused("a socket", rustix::net::socket(family, SocketType::DGRAM, None).map(drop).map_err(Into::into));
        }
        refused("a signal", rustix::process::test_kill_process(parent).map_err(Into::into));
        refused("a thread", std::thread::Builder::new().spawn(|| ()).map(drop));
        for call in [libc::SYS_ptrace, libc::SYS_io_uring_setup, libc::SYS_unshare, libc::SYS_keyctl] {
            refused("a call", sys::tests::bare_call(call));
        }
    }

    fn allowed(resolver: &Path, listener: &TcpListener) {
        assert!(std::fs::read_to_string(resolver).unwrap().starts_with("nameserver"));
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        drop(accepted);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        let mut much = vec![1_u8; 64 << 20];
        much.truncate(1);
        drop(much);
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, rustix::net::SocketFlags::CLOEXEC, None)
            .unwrap();
    }
}
