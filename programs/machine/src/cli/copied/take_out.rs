//! `take_out`: what was copied into a guest, and is there as it was, goes from it: before its disk is kept for others,
//! who get copies of their own. What the guest made or changed stays.

use std::io::Cursor;
use std::os::unix::ffi::OsStrExt as _;

use machine_sdk::WriteFile;
use machine_sdk::api::exec::ExecRequest;
use machine_sdk::api::{Code, MachineInfo};

use super::{CopiedFolder, compare};
use crate::cli::Desk;
use crate::cli::exit::Failure;

/// Where the guest reads what goes: in memory, so that no disk keeps it.
const LIST: &str = "/run/machine-taken-out";
/// The folder may be mounted over itself, read-only. Of what goes, only a folder that has something else in it stays.
const REMOVE: &str = r#"! mountpoint -q "$1" || umount -R -l "$1" || exit
cd "$1" || exit
xargs -0 -r rm -d -f -- < "$2" 2> /dev/null
rm -f "$2""#;

/// Takes it out of a machine that runs.
///
/// # Errors
/// When the machine has no whole copy, or a side fails.
pub(crate) async fn take_out(desk: &Desk, machine: &MachineInfo, folder: &CopiedFolder) -> Result<(), Failure> {
    let mut list = Vec::new();
    for path in compare(desk, &machine.id, folder).await?.unchanged() {
        list.extend_from_slice(path.path().as_os_str().as_bytes());
        list.push(0);
    }
    let client = desk.link.client().await?;
    let how = WriteFile { mode: Some(0o600), user: None };
    client.write_file(&machine.id, LIST, &how, Cursor::new(list)).await?;
    let request = ExecRequest {
        command: "/bin/sh".to_owned(),
        args: ["-c", REMOVE, "sh", &folder.guest, LIST].map(str::to_owned).to_vec(),
        // As many files as there may be.
        timeout_secs: Some(0.0),
        cwd: Some("/".to_owned()),
        ..ExecRequest::default()
    };
    let ended = client.exec(&machine.id, &request).await?;
    if ended.exit_code == 0 {
        return Ok(());
    }
    let message = format!("cannot take the copy at {} out again: {}", folder.guest, ended.stderr.trim());
    Err(Failure::new(Code::ExecFailed, message))
}
