//! By what means a project's machine has its folders: shared, or copied where this host refuses to share them. Decided
//! when the machine is made and written into its metadata, so that `start`, `stop` and `sync back` agree on it also
//! after the host has changed.
//!
//! ```text
//! host shares ──▶ Virtiofs ──▶ mounts of the machine
//!    refuses ──▶ Copies ──▶ none, and a record ──▶ copied in at each start, as `mode: copy`
//! ```

use machine_machinefile::Machinefile;
use machine_machinefile::model::{Isolation, Mount, MountMode, Root};
use machine_sdk::api::server::FoldersInfo;
use machine_sdk::api::{MachineInfo, MachineState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Project;
use crate::cli::Desk;
use crate::cli::exit::Failure;

/// The key in a machine's metadata of what it has copies of that its file would share.
pub(super) const COPIES: &str = "project_copies";

/// By what means folders are brought that a file shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Means {
    /// The guest sees the host's.
    Virtiofs,
    /// The guest has copies.
    Copies { why: String },
}

/// How one mount of a file is brought to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// By virtio-fs.
    Shared,
    /// The file says so.
    Copied,
    /// Since it cannot be shared.
    CopiedInstead { why: String },
    /// Not at all: the file isolates the machine.
    Kept,
}

/// What a machine has copies of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Where they are in the guest.
    guest: Vec<String>,
    /// What this host refused when the machine was made.
    why: String,
}

/// What is to become of a machine that is off and was made by other means than this host has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it is.
    Kept,
    /// It goes on with copies of what could be shared.
    KeptThough,
    /// Nothing of it is lost: it is made anew.
    MadeAnew,
}

/// The means that this host has for a machine of the project. It is asked only if the file shares anything.
pub(crate) async fn here(file: &Machinefile, desk: &Desk) -> Result<Means, Failure> {
    if shared(file).next().is_none() {
        return Ok(Means::Virtiofs);
    }
    let server = desk.link.ask(async |client| client.version().await).await?;
    Ok(match server.folders {
        // Who does not know says so when it is tried.
        None | Some(FoldersInfo::Virtiofs) => Means::Virtiofs,
        Some(FoldersInfo::Refused { why }) => Means::Copies { why },
    })
}

/// The means by which a machine has its folders.
pub(crate) fn of(machine: &MachineInfo) -> Means {
    recorded(machine).map_or(Means::Virtiofs, |record| Means::Copies { why: record.why })
}

/// What a machine of the file is to remember of the means it is made by; nothing, if they are the usual ones.
pub(super) fn record(file: &Machinefile, means: &Means) -> Option<Value> {
    match means {
        Means::Virtiofs => None,
        Means::Copies { why } => {
            let guest = shared(file).map(|mount| mount.guest.clone()).collect();
            serde_json::to_value(Record { guest, why: why.clone() }).ok()
        }
    }
}

/// How a mount is brought by these means.
pub(crate) fn way(file: &Machinefile, mount: &Mount, means: &Means) -> Way {
    match (mount.mode, file.isolation, means) {
        (MountMode::Copy, Isolation::Standard | Isolation::Strict, Means::Virtiofs | Means::Copies { .. }) => {
            Way::Copied
        }
        (MountMode::Rw | MountMode::Ro, Isolation::Strict, Means::Virtiofs | Means::Copies { .. }) => Way::Kept,
        (MountMode::Rw | MountMode::Ro, Isolation::Standard, Means::Virtiofs) => Way::Shared,
        (MountMode::Rw | MountMode::Ro, Isolation::Standard, Means::Copies { why }) => {
            Way::CopiedInstead { why: why.clone() }
        }
    }
}

/// How a machine has a mount of the file, which may have been written after it was made.
pub(super) fn way_in(machine: &MachineInfo, mount: &Mount) -> Way {
    match (mount.mode, recorded(machine)) {
        (MountMode::Copy, _) => Way::Copied,
        (MountMode::Rw | MountMode::Ro, Some(record)) if record.guest.contains(&mount.guest) => {
            Way::CopiedInstead { why: record.why }
        }
        (MountMode::Rw | MountMode::Ro, _) if machine.mounts.iter().any(|shared| shared.target == mount.guest) => {
            Way::Shared
        }
        (MountMode::Rw | MountMode::Ro, Some(_) | None) => Way::Kept,
    }
}

/// The means by which a start would bring the folders of the project.
pub(crate) async fn planned(project: &Project, machine: Option<&MachineInfo>, desk: &Desk) -> Result<Means, Failure> {
    match machine {
        Some(machine) if !rests(machine.state) || project.file.root == Root::Persistent => Ok(of(machine)),
        Some(_) | None => here(&project.file, desk).await,
    }
}

/// What becomes of the project's machine, which fits its file; a person is told if it is not as it was.
pub(super) async fn settle(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<Fate, Failure> {
    if !rests(machine.state) {
        return Ok(Fate::Kept);
    }
    let (was, now) = (of(machine), here(&project.file, desk).await?);
    let fate = fate(&was, &now, project.file.root);
    match (fate, now) {
        (Fate::Kept, _) => {}
        (Fate::KeptThough, _) => desk.voice.say(
            "this machine has copies of folders that could be shared now: `machine sync back`, then `machine reset`",
        ),
        (Fate::MadeAnew, Means::Virtiofs) => desk.voice.say("folders can be shared now; the machine is made anew"),
        (Fate::MadeAnew, Means::Copies { .. }) => {
            desk.voice.say("folders cannot be shared any more; the machine is made anew");
        }
    }
    Ok(fate)
}

/// Of one that failed or runs there is something to lose.
const fn rests(state: MachineState) -> bool {
    match state {
        MachineState::Absent | MachineState::Stopped => true,
        MachineState::Running
        | MachineState::Paused
        | MachineState::Hibernated
        | MachineState::Failed
        | MachineState::Destroyed => false,
    }
}

/// A machine that keeps its disk is never given up for its folders: the server refuses the start of one whose folders
/// cannot be shared any more.
const fn fate(was: &Means, now: &Means, root: Root) -> Fate {
    match (was, now, root) {
        (Means::Virtiofs, Means::Virtiofs, _)
        | (Means::Copies { .. }, Means::Copies { .. }, _)
        | (Means::Virtiofs, Means::Copies { .. }, Root::Persistent) => Fate::Kept,
        (Means::Copies { .. }, Means::Virtiofs, Root::Persistent) => Fate::KeptThough,
        (Means::Virtiofs, Means::Copies { .. }, Root::Ephemeral | Root::Readonly)
        | (Means::Copies { .. }, Means::Virtiofs, Root::Ephemeral | Root::Readonly) => Fate::MadeAnew,
    }
}

/// The mounts that a machine of the file shares, where that can be.
fn shared(file: &Machinefile) -> impl Iterator<Item = &Mount> {
    file.mounts.iter().filter(|mount| way(file, mount, &Means::Virtiofs) == Way::Shared)
}

fn recorded(machine: &MachineInfo) -> Option<Record> {
    serde_json::from_value(machine.metadata.get(COPIES)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verb::ls::tests::machine;

    const FILE: &str = "version: 1\nbase: {template: base}\nmounts:\n  - {host: a, guest: /a}\n\
                        \x20 - {host: b, guest: /b, mode: ro}\n  - {host: c, guest: /c, mode: copy}\n";

    fn file() -> Machinefile {
        let folder = tempfile::tempdir().unwrap();
        ["a", "b", "c"].iter().for_each(|name| std::fs::create_dir(folder.path().join(name)).unwrap());
        let path = folder.path().join("Machinefile");
        std::fs::write(&path, FILE).unwrap();
        let project = machine_machinefile::Project { folder: folder.path().to_owned(), file: path };
        let host =
            machine_machinefile::Host { cpus: 4, memory: machine_sdk::api::MiB(8192), home: None, first_port: 1024 };
        let reading = machine_machinefile::read(&project, &host, &|_| None);
        assert!(!reading.report.refuses(), "{}", reading.report.render());
        reading.machinefile.unwrap()
    }

    fn isolated() -> Machinefile {
        Machinefile { isolation: Isolation::Strict, ..file() }
    }

    fn refused() -> Means {
        Means::Copies { why: "no Landlock".to_owned() }
    }

    fn ways(file: &Machinefile, means: &Means) -> Vec<Way> {
        file.mounts.iter().map(|mount| way(file, mount, means)).collect()
    }

    fn instead() -> Way {
        Way::CopiedInstead { why: "no Landlock".to_owned() }
    }

    #[test]
    fn what_cannot_be_shared_is_copied_and_what_is_isolated_is_not() {
        let usual = file();
        assert_eq!(ways(&usual, &Means::Virtiofs), [Way::Shared, Way::Shared, Way::Copied]);
        assert_eq!(ways(&usual, &refused()), [instead(), instead(), Way::Copied]);
        let strict = isolated();
        for means in [Means::Virtiofs, refused()] {
            assert_eq!(ways(&strict, &means), [Way::Kept, Way::Kept, Way::Copied]);
        }
    }

    #[test]
    fn a_machine_remembers_what_it_has_copies_of_whatever_its_file_says_now() {
        let usual = file();
        let known = |metadata: Option<Value>| {
            let metadata = metadata.map(|record| (COPIES.to_owned(), record)).into_iter().collect();
            MachineInfo { metadata, ..machine() }
        };
        let copied = known(record(&usual, &refused()));
        let ways_in =
            |machine: &MachineInfo| -> Vec<Way> { usual.mounts.iter().map(|mount| way_in(machine, mount)).collect() };
        assert_eq!(ways_in(&copied), [instead(), instead(), Way::Copied]);
        assert_eq!(of(&copied), refused());
        // Made while the file isolated it: of what was not brought there is nothing to look at.
        let isolated = known(record(&isolated(), &refused()));
        assert_eq!(ways_in(&isolated), [Way::Kept, Way::Kept, Way::Copied]);
        let shares = known(record(&usual, &Means::Virtiofs));
        assert_eq!((shares.metadata.len(), of(&shares)), (0, Means::Virtiofs));
    }

    #[test]
    fn a_machine_is_made_anew_for_its_folders_where_nothing_is_lost_by_it() {
        let shared = Means::Virtiofs;
        for root in [Root::Ephemeral, Root::Readonly] {
            assert_eq!(fate(&shared, &refused(), root), Fate::MadeAnew);
            assert_eq!(fate(&refused(), &shared, root), Fate::MadeAnew);
            assert_eq!(fate(&refused(), &refused(), root), Fate::Kept);
        }
        assert_eq!(fate(&refused(), &shared, Root::Persistent), Fate::KeptThough);
        assert_eq!(fate(&shared, &refused(), Root::Persistent), Fate::Kept);
        assert!(rests(MachineState::Stopped) && !rests(MachineState::Failed) && !rests(MachineState::Running));
    }
}
