//! Runs a package client where it can do little harm: as nobody, without capabilities or a way to new ones, and
//! with one folder of its own, which it sees as /mnt. It has the network, and what it is configured with.

use std::path::Path;
use std::process::Command;

use crate::ownership::Ownership;
use crate::tool::{SH, Tool, ToolError};

/// Where the client sees its folder: on every Debian, and empty as far as it can tell.
pub(super) const PLACE: &str = "/mnt";
/// `$1` is the folder; the rest is the client. Nobody's files become ours again, however it ends.
const SCRIPT: &str = r#"
set -eu
mount --bind "$1" /mnt
chown -R 65534:65534 /mnt
cd /mnt
shift
code=0
setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  --pdeathsig TERM -- "$@" || code=$?
chown -R 0:0 /mnt
exit "$code"
"#;

/// A command for `client`, to be run by it: its folder is `folder`, and its arguments come behind.
pub(super) fn command(client: Tool, folder: &Path, ownership: Ownership) -> Result<Command, ToolError> {
    let mut command = ownership.apart(SH)?;
    command.args(["-c", SCRIPT, "sh"]).arg(folder).arg(client.find()?);
    // The server's own folder may be one that nobody can enter.
    command.env("HOME", PLACE).env("TMPDIR", PLACE).current_dir("/");
    Ok(command)
}
