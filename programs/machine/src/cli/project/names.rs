//! Names with fixed addresses in the guest: `network.hosts`, kept in a part of its `/etc/hosts` that is ours.

use std::fmt::Write as _;

use machine_sdk::WriteFile;
use machine_sdk::api::MachineInfo;

use super::Project;
use crate::cli::Desk;
use crate::cli::exit::Failure;

const PATH: &str = "/etc/hosts";
const MARK: &str = "# machine: hosts of the Machinefile\n";
/// More than any table of hosts has.
const MOST: usize = 1 << 20;

/// The guest knows the names afterwards, and none of an earlier file.
pub(super) async fn tell(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    let hosts = &project.file.network.hosts;
    let client = desk.link.client().await?;
    let mut content = client.read_file(&machine.id, PATH, None).await?;
    let mut before = Vec::new();
    while let Some(bytes) = content.next().await? {
        before.extend_from_slice(&bytes);
        before.truncate(MOST);
    }
    let before = String::from_utf8_lossy(&before).into_owned();
    let kept = before.split_once(MARK).map_or(before.as_str(), |(kept, _)| kept);
    let mut after = kept.to_owned();
    if !hosts.is_empty() {
        after.push_str(MARK);
        for (name, address) in hosts {
            let _ = writeln!(after, "{address}\t{name}");
        }
    }
    if after != before {
        let how = WriteFile { mode: Some(0o644), user: None };
        client.write_file(&machine.id, PATH, &how, std::io::Cursor::new(after.into_bytes())).await?;
    }
    Ok(())
}
