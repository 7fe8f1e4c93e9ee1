//! What a share may still do once it has opened what it needs: work in its folder, as the folder's owner, and speak
//! over the sockets it has. The order matters: each step uses what a later one takes away.
//!
//! ```text
//! limits ──▶ the folder is the root ──▶ landlock ──▶ the owner, without capabilities ──▶ undumpable ──▶ seccomp
//! ```
//! It holds for the calling thread, which is to be the only one, and for those it starts. Where neither a root of
//! our own nor Landlock can be had, nothing is shown; that the filter of system calls is missing is no way either.

use std::io;
use std::os::fd::OwnedFd;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, mount_remount, unmount,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags};

use crate::filter;
use crate::plan::{Access, SharePlan};
use crate::run::{ShareError, Trying};
use crate::sys;

/// Descriptors wanted: large folders have as many files.
const DESCRIPTORS: u64 = 1_000_000;

/// Descriptors of the VMM's memory, of sockets, and of requests that are being answered.
const OTHER_DESCRIPTORS: usize = 1000;

/// The folder from inside, and what could not be had.
pub(crate) struct Confined {
    pub(crate) root: OwnedFd,
    /// How many of its files may be held open.
    pub(crate) files: usize,
    pub(crate) lacking: Vec<String>,
}

/// Enters it.
pub(crate) fn enter(plan: &SharePlan) -> Result<Confined, ShareError> {
    let mut lacking = Vec::new();
    limit(&mut lacking);
    let files = files();
    rustix::thread::set_no_new_privs(true).trying("give up new privileges")?;
    let rooted = change_root(plan);
    let inside = if rooted.is_ok() { std::path::Path::new("/") } else { &plan.folder };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(inside, flags, Mode::empty()).trying("open the folder")?;
    let locked = restrict_files(&root);
    match (rooted, locked) {
        (Ok(()), Ok(())) => {}
        (Err(error), Ok(())) => lacking.push(format!("a root of its own: {error}")),
        (Ok(()), Err(why)) => lacking.push(format!("landlock: {why}")),
        (Err(root), Err(landlock)) => return Err(ShareError::Unconfined { root, landlock }),
    }
    become_owner(plan)?;
    filter::apply().trying("filter system calls")?;
    Ok(Confined { root, files, lacking })
}

/// A descriptor for each file that the machine knows: as many as the host gives to whoever may ask for more, else
/// as many as we are allowed.
fn limit(lacking: &mut Vec<String>) {
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    let wanted = most.map_or(DESCRIPTORS, |most| most.max(DESCRIPTORS));
    let full = Rlimit { current: Some(wanted), maximum: Some(wanted) };
    let allowed = Rlimit { current: most, maximum: most };
    if rustix::process::setrlimit(Resource::Nofile, full).is_err() {
        let raised = rustix::process::setrlimit(Resource::Nofile, allowed);
        let most = most.map_or(DESCRIPTORS, |most| most);
        let why = raised.map_or_else(|error| error.to_string(), |()| format!("at most {most}"));
        lacking.push(format!("descriptors for {DESCRIPTORS} files: {why}"));
    }
    // What is in our memory is what the machine says.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
}

/// Of the descriptors that we may have, some are for other things.
fn files() -> usize {
    let most = rustix::process::getrlimit(Resource::Nofile).current;
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    most.saturating_sub(OTHER_DESCRIPTORS).max(OTHER_DESCRIPTORS / 2)
}

/// Makes the folder the root of a mount name space of our own. Without root's rights that takes a user name space.
fn change_root(plan: &SharePlan) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() {
        sys::unshare(UnshareFlags::NEWNS)?;
    } else {
        sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{0} {0} 1", uid.as_raw()))?;
        std::fs::write("/proc/self/gid_map", format!("{0} {0} 1", gid.as_raw()))?;
    }
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    mount_bind_recursive(&plan.folder, &plan.folder)?;
    let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // What this computer does not let be written to stays so: to mount it again with less would undo that.
    let kept = statvfs(&plan.folder)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    if kept || plan.access == Access::ReadOnly {
        flags |= MountFlags::RDONLY;
    }
    // A name space of a user may not undo flags that the mount already has; then it stays as it is.
    let _ = mount_remount(&plan.folder, flags, "");
    std::env::set_current_dir(&plan.folder)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

/// Nothing but the folder can be opened.
fn restrict_files(root: &OwnedFd) -> Result<(), String> {
    let abi = ABI::V6;
    let told = |error: &dyn std::error::Error| error.to_string();
    let allowed = AccessFs::from_all(abi) & !AccessFs::Execute & !AccessFs::MakeChar & !AccessFs::MakeBlock;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(root, allowed)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| told(&error))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("not in this kernel".to_owned()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn become_owner(plan: &SharePlan) -> Result<(), ShareError> {
    let parent = rustix::process::getppid();
    let dies_with_parent = rustix::process::parent_process_death_signal().trying("ask how we end")?;
    let (user, group) = (Uid::from_raw(plan.owner.host_uid), Gid::from_raw(plan.owner.host_gid));
    if rustix::process::geteuid() != user || rustix::process::getegid() != group {
        rustix::thread::set_thread_groups(&[]).trying("give up our groups")?;
        rustix::thread::set_thread_res_gid(group, group, group).trying("take the owner's group")?;
        rustix::thread::set_thread_res_uid(user, user, user).trying("become the owner")?;
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).trying("give up capabilities")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).trying("hide our memory")?;
    // Changing the user forgot it.
    rustix::process::set_parent_process_death_signal(dies_with_parent).trying("end with our parent")?;
    if dies_with_parent.is_some() && rustix::process::getppid() != parent {
        return Err(io::Error::from(rustix::io::Errno::SRCH)).trying("find our parent");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use rustix::net::{AddressFamily, SocketType};
    use virtiofsd::filesystem::{Context, Extensions, FileSystem, ROOT_ID};

    use super::*;
    use crate::folder::{Answering, SharedFolder};
    use crate::plan::{Cache, Owner};
    use crate::rules::Rules;

    fn plan(folder: &Path) -> SharePlan {
        let user = |own: u32| if own == 0 { 12_345 } else { own };
        let host_uid = user(rustix::process::getuid().as_raw());
        let host_gid = user(rustix::process::getgid().as_raw());
        SharePlan {
            socket: PathBuf::new(),
            folder: folder.to_owned(),
            access: Access::ReadWrite,
            owner: Owner { host_uid, host_gid, guest_uid: 1000, guest_gid: 1000 },
            exclude: Vec::new(),
            guard: vec!["guarded".to_owned()],
            cache: Cache::default(),
            watch: None,
        }
    }

    /// What is confined stays so: it is a thread of its own, and the rest of the process goes on as it was.
    #[test]
    fn what_is_confined_serves_its_folder_as_its_owner_and_does_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path());
        std::os::unix::fs::chown(folder.path(), Some(plan.owner.host_uid), Some(plan.owner.host_gid)).unwrap();
        let given = plan.clone();
        std::thread::spawn(move || {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let descriptors = open("/proc/thread-self/fd", flags, Mode::empty()).unwrap();
            let rules = Rules::of(&given).unwrap();
            let Confined { root, files, .. } = enter(&given).unwrap();
            let settings = (given.access, given.owner, given.cache);
            let folder = SharedFolder::new(root, descriptors, rules, settings, files).unwrap();
            serves(&Answering(std::sync::Arc::new(folder)));
            does_nothing_else();
        })
        .join()
        .unwrap();
        let made = std::fs::metadata(folder.path().join("made/file")).unwrap();
        assert_eq!((made.uid(), made.gid()), (plan.owner.host_uid, plan.owner.host_gid));
    }

    fn serves(folder: &Answering) {
        let somebody = || Context { uid: 7.into(), gid: 7.into(), pid: 1 };
        let made = folder.mkdir(somebody(), ROOT_ID, c"made", 0o755, 0, Extensions::default()).unwrap();
        let mode = libc::S_IFREG | 0o644;
        folder.mknod(somebody(), made.inode, c"file", mode, 0, 0, Extensions::default()).unwrap();
        folder.readdir(somebody(), made.inode, 0, 4096, 0).unwrap();
        folder.statfs(somebody(), ROOT_ID).unwrap();
        let guarded = folder.mkdir(somebody(), ROOT_ID, c"guarded", 0o755, 0, Extensions::default());
        assert_eq!(guarded.map(drop).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    fn does_nothing_else() {
        for file in ["/etc/passwd", "/proc/self/status", "/etc/shadow"] {
            assert!(std::fs::read(file).is_err(), "{file} can be read");
        }
        assert!(Command::new("/bin/true").status().is_err());
        for family in [AddressFamily::UNIX, AddressFamily::INET, AddressFamily::NETLINK] {
            assert!(rustix::net::socket(family, SocketType::STREAM, None).is_err());
        }
    }
}
