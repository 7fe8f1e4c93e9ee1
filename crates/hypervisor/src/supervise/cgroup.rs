//! A cgroup of its own for each VMM, where the host lets us make one: `machine/<id>` under the highest
//! cgroup v2 folder that we may write to. It keeps the VMM alive when the server's cgroup is cleared away;
//! limits come later.
//!
//! Moving a process makes the kernel wait, often for 10 ms and more. So the VMM is moved while it starts, not
//! before: in that moment it would go down with the server's cgroup, as a start that was not yet answered may.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use machine_core::MachineId;

const OURS: &str = "machine";

/// Whoever writes this number into `cgroup.procs`.
const OURSELVES: u32 = 0;

/// The cgroup that this process and its VMM are in.
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the cgroup and moves this process into it, and the VMM's.
    pub(super) fn enter(machine: &MachineId, vmm: u32) -> io::Result<Self> {
        let root = mount_point(&fs::read_to_string("/proc/self/mountinfo")?)
            .ok_or_else(|| io::Error::other("no cgroup v2 is mounted"))?;
        let own = own(&fs::read_to_string("/proc/self/cgroup")?).unwrap_or_default();
        let mut refused = io::Error::other("no cgroup to start from");
        for above in highest_first(&root, &own) {
            match enter_below(&above, machine, vmm) {
                Ok(path) => return Ok(Self { path }),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Steps out and removes it. What stays, the server removes when it hears of our end.
    pub(super) fn leave(self) {
        if let Some(above) = self.path.parent() {
            let _ = move_in(above, OURSELVES);
        }
        let _ = fs::remove_dir(&self.path);
    }
}

fn enter_below(above: &Path, machine: &MachineId, vmm: u32) -> io::Result<PathBuf> {
    let ours = above.join(OURS);
    make(&ours)?;
    let path = ours.join(machine.as_str());
    make(&path)?;
    match move_in(&path, OURSELVES).and_then(|()| move_in(&path, vmm)) {
        Ok(()) => Ok(path),
        // A VMM that has ended already is in no cgroup that matters.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(path),
        Err(error) => {
            // We may be in it, if only the VMM could not be moved.
            let _ = move_in(above, OURSELVES);
            let _ = fs::remove_dir(&path);
            let _ = fs::remove_dir(&ours);
            Err(error)
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn move_in(cgroup: &Path, process: u32) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), process.to_string())
}

fn highest_first(root: &Path, own: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = own.ancestors().map(|above| root.join(above)).collect();
    found.reverse();
    found
}

fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    let is_v2 = |line: &&str| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("cgroup2 "));
    mountinfo.lines().find(is_v2)?.split(' ').nth(4).map(PathBuf::from)
}

/// Our place in the v2 hierarchy, relative to its root.
fn own(cgroups: &str) -> Option<PathBuf> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_v2_hierarchy_is_found_beside_v1() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(own("9:cpu:/a\n0::/user.slice/x\n"), Some(PathBuf::from("user.slice/x")));
        assert_eq!(mount_point("1 2 3 / / rw - ext4 /dev/vda rw\n"), None);
    }

    #[test]
    fn the_highest_place_is_tried_first() {
        let tried = highest_first(Path::new("/cg"), Path::new("a/b"));
        assert_eq!(tried, ["/cg/", "/cg/a", "/cg/a/b"].map(PathBuf::from));
    }
}
