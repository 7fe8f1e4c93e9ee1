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
use rustix::fs::{Mode, OFlags, open};
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

/// The folder from inside, and what could not be had.
pub(crate) struct Confined {
    pub(crate) root: OwnedFd,
    pub(crate) lacking: Vec<String>,
}

/// Enters it.
pub(crate) fn enter(plan: &SharePlan) -> Result<Confined, ShareError> {
    let mut lacking = Vec::new();
    limit(&mut lacking);
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
        (Err(error), Err(_)) => return Err(error).trying("have a root of our own, or Landlock"),
    }
    become_owner(plan)?;
    filter::apply().trying("filter system calls")?;
    Ok(Confined { root, lacking })
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
    if plan.access == Access::ReadOnly {
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
