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
    let has = size(qmp).await?;
    if bytes == has {
        return Ok(());
    }
    if bytes < has {
        let reason = format!("the disk has {has} bytes, and {bytes} are less");
        return Err(ControlError::Refused { command: COMMAND, reason });
    }
    qmp.execute(COMMAND, Some(json!({ "node-name": NODE, "size": bytes })), ANSWER).await.map(drop)
}

async fn size(qmp: &Qmp) -> Result<u64, ControlError> {
    const COMMAND: &str = "query-named-block-nodes";
    let nodes = qmp.execute(COMMAND, Some(json!({ "flat": true })), ANSWER).await?;
    let is_root = |node: &&Value| node["node-name"] == NODE;
    let root = nodes.as_array().into_iter().flatten().find(is_root);
    root.and_then(|node| node["image"]["virtual-size"].as_u64())
        .ok_or_else(|| ControlError::Garbled { command: COMMAND, what: "no size of the root disk".to_owned() })
}
