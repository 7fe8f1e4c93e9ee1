//! Folders of the host in a machine: what serves each, beside the VMM, and the device by which the guest sees it.
//! How a folder is served, and what of it, is the daemon's affair: the hidden verb `share`.
//!
//! ```text
//! start ──▶ share<n>.json ──▶ VMM, and its companions share<n> ──listen──▶ attached as machine<n> ──▶ guest mounts
//!                                                  ▲                                ▲    │
//!                                                  └──started again by the VMM's────┼────┘ killed
//!                                                     supervisor: `mend`────────────┘
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use machine_core::MachineId;
use machine_core::mount::{Access, MountSpec};
use machine_core::promise::guest::Guest;
use machine_core::promise::project::{GuestMount, GuestOwner};
use machine_core::promise::provider::{MachinePlan, ProviderError};
use machine_hypervisor::boot_plan::{RunFolder, Share};
use machine_hypervisor::driver::{Attached, Control, ControlError};
use machine_hypervisor::launch_plan::{Companion, Holds};
use machine_hypervisor::process::{Found, Vmm};
use serde_json::{Value, json};
use tracing::warn;

use super::{CONTROL, LOG_TAIL, LocalProvider, ending, host, host_refused, of_io, remove_if_there};

/// The hidden verb of the program that serves a folder.
pub(super) const SHARE_VERB: &str = "share";
/// Whose a folder appears to be in the guest that is root's on the host: the template's first user.
const FIRST_USER: u32 = 1000;
/// The host's root.
const ROOT: u32 = 0;

/// Whose the files of a folder are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl LocalProvider {
    /// Whether a start would find the machine's folders, and could show them: asked before anything else is done.
    pub(super) async fn check_folders(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        let mounts = &plan.spec.mounts;
        mounts.iter().try_for_each(|mount| owner(&mount.source).map(drop))?;
        if mounts.is_empty() { Ok(()) } else { self.check_sharing().await }
    }

    /// What the guest's devices connect to.
    pub(super) fn shares(&self, plan: &MachinePlan) -> Vec<Share> {
        let run = self.run(&plan.id);
        (0..plan.spec.mounts.len()).map(|place| share(&run, place)).collect()
    }

    /// Writes down what a launch's folders are, and says which companions serve them.
    pub(super) fn share_companions(&self, plan: &MachinePlan) -> Result<Vec<Companion>, ProviderError> {
        let run = self.run(&plan.id);
        let each = plan.spec.mounts.iter().enumerate();
        each.map(|(place, mount)| {
            host::make_private_folder(run.path())?;
            let owner = owner(&mount.source)?;
            for stale in [share(&run, place).socket, watch_socket(&run, place)] {
                remove_if_there(&stale)?;
            }
            let file = run.path().join(file(place, "json"));
            write(&file, &plan_of(&run, place, mount, owner))
                .map_err(|error| of_io("write a folder's plan", &error))?;
            let arguments = vec![SHARE_VERB.to_owned(), file.to_string_lossy().into_owned()];
            Ok(Companion { name: word(place), arguments, holds: Holds::Strongbox })
        })
        .collect()
    }

    /// Lets the guest see them. Twice is once.
    pub(super) async fn attach(&self, plan: &MachinePlan, control: &dyn Control) -> Result<(), ProviderError> {
        for (place, (mount, share)) in plan.spec.mounts.iter().zip(self.shares(plan)).enumerate() {
            let attached = control.attach(&share, None, CONTROL).await;
            attached.map_err(|error| self.not_served(&plan.id, place, mount, &error))?;
        }
        Ok(())
    }

    /// Sees to it that the guest of a machine that runs sees its folders. One whose daemon was killed it sees by a new
    /// device, at the same place; what it had open there stays lost. Twice is once.
    pub(super) async fn mend(
        &self,
        machine: &MachineId,
        mounts: &[MountSpec],
        guest: &dyn Guest,
    ) -> Result<(), ProviderError> {
        let Found::Alive(vmm) = self.find(machine).await? else { return Err(ProviderError::NotRunning) };
        let ready = self.host.ready().await?;
        let control = vmm.control(ready.driver(), CONTROL).await;
        let control = control.map_err(|error| host_refused("reach the VMM", error))?;
        let run = self.run(machine);
        for (place, (mount, wanted)) in mounts.iter().zip(guest_mounts(mounts)?).enumerate() {
            let attached = control.attach(&share(&run, place), None, CONTROL).await;
            let attached = attached.map_err(|error| self.not_served(machine, place, mount, &error))?;
            // Also where nothing is new: an earlier server may have come no further.
            let mounted = tokio::time::timeout(CONTROL, guest.project().mount(&wanted)).await;
            mounted.map_err(|_| ProviderError::Folder {
                path: mount.source.clone(),
                detail: "the guest does not mount it anew".to_owned(),
            })??;
            match attached {
                Attached::Already => {}
                Attached::New | Attached::Again => {
                    let folder = mount.source.display();
                    warn!(%machine, %folder, "a folder's daemon had died: the guest sees the folder by a new one");
                }
            }
        }
        Ok(())
    }

    /// A machine that boots waits for its folders before its first instruction; one without any runs already.
    pub(super) async fn attach_and_begin(
        &self,
        plan: &MachinePlan,
        control: &dyn Control,
    ) -> Result<(), ProviderError> {
        if plan.spec.mounts.is_empty() {
            return Ok(());
        }
        self.attach(plan, control).await?;
        control.resume().await.map_err(|error| host_refused("begin the boot", error))
    }

    /// What the daemon said last says more than that nobody listens.
    fn not_served(&self, machine: &MachineId, place: usize, mount: &MountSpec, error: &ControlError) -> ProviderError {
        let said = Vmm::companion_log_tail(&self.run(machine), &word(place), LOG_TAIL).unwrap_or_default();
        let said = ending::readable(&said);
        let path = mount.source.clone();
        ProviderError::Folder {
            path,
            detail: if said.is_empty() { error.to_string() } else { format!("{error}: {said}") },
        }
    }
}

/// The word for one among a VMM's companions.
fn word(place: usize) -> String {
    format!("share{place}")
}

/// Where the host's changes of one are told.
pub(super) fn watch_socket(run: &RunFolder, place: usize) -> PathBuf {
    run.path().join(file(place, "watch.sock"))
}

fn file(place: usize, ending: &str) -> String {
    format!("{}.{ending}", word(place))
}

fn tag(place: usize) -> String {
    format!("machine{place}")
}

/// What the guest knows it by, and where it is served.
fn share(run: &RunFolder, place: usize) -> Share {
    Share { tag: tag(place), socket: run.path().join(file(place, "sock")) }
}

/// What the guest mounts before anybody uses it.
pub(super) fn guest_mounts(mounts: &[MountSpec]) -> Result<Vec<GuestMount>, ProviderError> {
    let each = mounts.iter().enumerate();
    each.map(|(place, mount)| {
        let owner = owner(&mount.source)?;
        Ok(GuestMount {
            tag: tag(place),
            target: mount.target.clone(),
            access: mount.access,
            exclude: mount.exclude.clone(),
            owner: GuestOwner { uid: appears(owner.uid), gid: appears(owner.gid) },
        })
    })
    .collect()
}

/// Whose a folder is, is whose everything in it becomes.
fn owner(source: &Path) -> Result<Owner, ProviderError> {
    let missing = |detail: String| ProviderError::Folder { path: source.to_owned(), detail };
    let facts = fs::symlink_metadata(source).map_err(|error| missing(error.to_string()))?;
    match facts.is_dir() {
        true => Ok(Owner { uid: facts.uid(), gid: facts.gid() }),
        false => Err(missing("it is no folder any more".to_owned())),
    }
}

/// Who somebody of the host is in the guest.
const fn appears(id: u32) -> u32 {
    if id == ROOT { FIRST_USER } else { id }
}

/// What the daemon reads.
fn plan_of(run: &RunFolder, place: usize, mount: &MountSpec, owner: Owner) -> Value {
    let access = match mount.access {
        Access::ReadWrite => "read_write",
        Access::ReadOnly => "read_only",
    };
    json!({
        "socket": share(run, place).socket,
        "folder": mount.source,
        "access": access,
        "owner": {
            "host_uid": owner.uid, "host_gid": owner.gid,
            "guest_uid": appears(owner.uid), "guest_gid": appears(owner.gid),
        },
        "exclude": mount.exclude,
        "guard": mount.guard,
        "watch": { "socket": watch_socket(run, place) },
    })
}

/// Whole or not at all: a daemon may be about to read it.
fn write(path: &Path, plan: &Value) -> io::Result<()> {
    let aside = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(plan.to_string().as_bytes())?;
    fs::rename(aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_told_this() {
        let run = RunFolder("/run/machine/x/m/m0/run".into());
        let mount = MountSpec {
            source: "/projects/web".into(),
            target: "/workspace".to_owned(),
            access: Access::ReadOnly,
            exclude: vec!["node_modules".to_owned()],
            guard: vec![".git/hooks".to_owned()],
        };
        let said = json!({
            "socket": "/run/machine/x/m/m0/run/share1.sock", "folder": "/projects/web", "access": "read_only",
            "owner": {"host_uid": 501, "host_gid": 20, "guest_uid": 501, "guest_gid": 20},
            "exclude": ["node_modules"], "guard": [".git/hooks"],
            "watch": {"socket": "/run/machine/x/m/m0/run/share1.watch.sock"},
        });
        assert_eq!(plan_of(&run, 1, &mount, Owner { uid: 501, gid: 20 }), said);
        let roots = plan_of(&run, 1, &mount, Owner { uid: 0, gid: 0 });
        assert_eq!(roots["owner"], json!({"host_uid": 0, "host_gid": 0, "guest_uid": 1000, "guest_gid": 1000}));
        assert_eq!(share(&run, 1).tag, "machine1");
    }

    #[test]
    fn a_folder_that_is_gone_is_said_by_its_name() {
        let gone = owner(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(gone.contains("/nowhere/at/all"), "{gone}");
        assert!(owner(Path::new("/etc/hostname")).is_err(), "a file is no folder");
    }
}
