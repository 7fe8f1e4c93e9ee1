//! The folders of a project that its machine has copies of: those that its file copies, and those that could not be
//! shared when it was made.

use machine_machinefile::model::{MountMode, Root};
use machine_sdk::api::exec::ExecRequest;
use machine_sdk::api::{Code, MachineInfo};

use super::means::{self, Way};
use super::{Project, wish};
use crate::cli::Desk;
use crate::cli::copied::{self, CopiedFolder, CopiedIn, Lasts, compare, copy_in};
use crate::cli::exit::Failure;

/// Lets nobody write to the folder `$1`; the user and group `$2` keep what is below it for themselves, each of `$3` and
/// on. Twice is once: the folder's own mount is known by its options. Not proof against the guest's root.
const PROTECT: &str = r#"set -e
folder=$1 owner=$2; shift 2
mountpoint -q "$folder" || mount --bind "$folder" "$folder"
for own; do
    mountpoint -q "$folder/$own" && continue
    test -d "$folder/$own" || install -d -o "${owner%:*}" -g "${owner#*:}" "$folder/$own"
    mount --bind "$folder/$own" "$folder/$own"
done
mount -o remount,bind,ro "$folder""#;

/// A folder of the project and its copy.
#[derive(Debug)]
pub(crate) struct ProjectCopy {
    /// What is copied where.
    pub(crate) folder: CopiedFolder,
    /// Who may change it.
    pub(crate) mode: MountMode,
    /// Why it is a copy, where the file says otherwise.
    instead: Option<String>,
}

impl ProjectCopy {
    /// Whether what the guest changes in it may come back.
    pub(crate) const fn comes_back(&self) -> bool {
        match self.mode {
            MountMode::Rw | MountMode::Copy => true,
            MountMode::Ro => false,
        }
    }
}

/// All of them, by what the file says and what the machine remembers.
pub(crate) fn all(project: &Project, machine: &MachineInfo) -> Vec<ProjectCopy> {
    let user = (project.file.user.uid, project.file.user.uid);
    let lasts = match project.file.root {
        Root::Persistent => Lasts::Always,
        Root::Ephemeral | Root::Readonly => Lasts::UntilStopped,
    };
    let mounts = project.file.mounts.iter().enumerate();
    let copies = mounts.filter_map(|(place, mount)| {
        let instead = match means::way_in(machine, mount) {
            Way::Copied => None,
            Way::CopiedInstead { why } => Some(why),
            Way::Shared | Way::Kept => return None,
        };
        let folder = CopiedFolder {
            here: mount.source.clone(),
            guest: mount.guest.clone(),
            exclude: mount.exclude.clone(),
            guard: wish::guard(mount),
            owner: Some(user),
            lasts,
            ledger: project.notes.folder().join(format!("copy-{place}.json")),
        };
        Some(ProjectCopy { folder, mode: mount.mode, instead })
    });
    copies.collect()
}

/// The machine has fresh copies afterwards.
pub(super) async fn bring(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    let mut told = false;
    for copy in all(project, machine) {
        match (copy_in(desk, &machine.id, &copy.folder).await?, &copy.instead) {
            (CopiedIn::Now { .. }, Some(why)) if !told => {
                desk.voice.say(&instead(why, &copy));
                told = true;
            }
            (CopiedIn::Now { .. } | CopiedIn::Before, _) => {}
        }
        if !copy.comes_back() {
            protect(&copy.folder, machine, desk).await?;
        }
    }
    Ok(())
}

/// What a person is to know of a copy that they did not ask for.
fn instead(why: &str, copy: &ProjectCopy) -> String {
    let then = if copy.comes_back() {
        "`machine sync back` brings out what changes in it"
    } else {
        "it is read-only, and as it was when it was copied in"
    };
    format!("{} is a copy, since this host cannot share folders: {why}; {then}", copy.folder.guest)
}

/// The guest's users cannot write to a copy.
async fn protect(folder: &CopiedFolder, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    let (uid, gid) = folder.owner.unwrap_or_default();
    let mut args = vec!["-c".to_owned(), PROTECT.to_owned(), "sh".to_owned(), folder.guest.clone()];
    args.push(format!("{uid}:{gid}"));
    args.extend(folder.exclude.iter().cloned());
    let request =
        ExecRequest { command: "/bin/sh".to_owned(), args, cwd: Some("/".to_owned()), ..ExecRequest::default() };
    let ended = desk.link.ask(async |client| client.exec(&machine.id, &request).await).await?;
    if ended.exit_code == 0 {
        return Ok(());
    }
    let message = format!("cannot make the copy at {} read-only: {}", folder.guest, ended.stderr.trim());
    Err(Failure::new(Code::ExecFailed, message))
}

/// The machine has no more of its copies than what it made or changed in them: what is made of its disk gets its own.
pub(super) async fn take_out(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    for copy in all(project, machine) {
        copied::take_out(desk, machine, &copy.folder).await?;
    }
    Ok(())
}

/// Whether the guest changed copies that a stop of the machine would give up.
pub(super) async fn would_be_lost(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<bool, Failure> {
    let copies = all(project, machine);
    for copy in copies.iter().filter(|copy| copy.comes_back() && copy.folder.lasts == Lasts::UntilStopped) {
        let folder = &copy.folder;
        if folder.is_whole_in(machine)? && !compare(desk, &machine.id, folder).await?.changes.all.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
