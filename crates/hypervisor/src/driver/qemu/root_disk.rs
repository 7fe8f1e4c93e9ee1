//! Growing the root disk of a running machine. QEMU tells the guest; the file system is the agent's affair.

use serde_json::{Value, json};

use super::control::ANSWER;
use super::qmp::Qmp;
use crate::driver::ControlError;

/// The node's name in every plan.
const NODE: &str = "root";

/// QEMU would shrink a disk as well, and cut off what is there.
pub(super) async fn grow(qmp: &Qmp, bytes: u64) -> Result<(), ControlError> {
    const COMMAND: &str = "block_resize";
    let disk = look(qmp).await?;
    if bytes == disk.size {
        return Ok(());
    }
    if bytes < disk.size {
        let reason = format!("the disk has {} bytes, and {bytes} are less", disk.size);
        return Err(ControlError::Refused { command: COMMAND, reason });
    }
    match disk.hold {
        Hold::Ours => {}
        Hold::NotYet => qmp.execute("blockdev-set-active", Some(json!({ "active": true })), ANSWER).await.map(drop)?,
    }
    qmp.execute(COMMAND, Some(json!({ "node-name": NODE, "size": bytes })), ANSWER).await.map(drop)
}

/// Whether QEMU has taken hold of the disk. One that loaded a state does so when it is resumed, since the disk
/// might still be held by the QEMU that the state comes from. Ours is from a file: nobody else holds it.
enum Hold {
    Ours,
    NotYet,
}

struct Disk {
    size: u64,
    hold: Hold,
}

async fn look(qmp: &Qmp) -> Result<Disk, ControlError> {
    const COMMAND: &str = "query-named-block-nodes";
    let nodes = qmp.execute(COMMAND, Some(json!({ "flat": true })), ANSWER).await?;
    let is_root = |node: &&Value| node["node-name"] == NODE;
    let root = nodes.as_array().into_iter().flatten().find(is_root);
    let disk = root.and_then(|node| {
        let hold = if node["active"].as_bool()? { Hold::Ours } else { Hold::NotYet };
        Some(Disk { size: node["image"]["virtual-size"].as_u64()?, hold })
    });
    disk.ok_or_else(|| ControlError::Garbled { command: COMMAND, what: "no size of the root disk".to_owned() })
}
