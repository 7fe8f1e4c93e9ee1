//! Folders of the host in a running machine: a virtio-fs device each, in a port that was empty. What serves the
//! folder speaks vhost-user at a socket, with QEMU as its client.
//!
//! ```text
//! port empty ──chardev-add──▶ connected ──device_add──▶ attached, until the machine ends
//!      ▲           └ nobody listens yet: again    │
//!      └──chardev-remove, the device is refused───┘
//! ```
//! A device is called by its tag and its port, so that nothing need be remembered of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::control::ANSWER;
use super::devices::PORTS;
use super::qmp::Qmp;
use crate::boot_plan::Share;
use crate::driver::ControlError;

const CONNECT: &str = "chardev-add";
const ATTACH: &str = "device_add";

/// Between two looks at what is not there yet.
const RETRY: Duration = Duration::from_millis(5);

/// Requests under way; as many as the daemon takes.
const QUEUE: u32 = 1024;

/// Where a folder is, or may go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Its device is there, by this name.
    There(String),
    /// This port is empty.
    Empty(&'static str),
    /// No port is.
    None,
}

/// Decides by the names of all devices.
fn place(devices: &BTreeSet<String>, tag: &str) -> Place {
    let there = PORTS.iter().map(|port| name(tag, port)).find(|name| devices.contains(name));
    let is_empty = |port: &&&str| !devices.iter().any(|device| device.ends_with(&format!(".{port}")));
    match (there, PORTS.iter().find(is_empty)) {
        (Some(name), _) => Place::There(name),
        (None, Some(port)) => Place::Empty(port),
        (None, None) => Place::None,
    }
}

fn name(tag: &str, port: &str) -> String {
    format!("{tag}.{port}")
}

fn channel(name: &str, share: &Share) -> Value {
    let address = json!({ "type": "unix", "data": { "path": share.socket } });
    json!({ "id": name, "backend": { "type": "socket", "data": { "addr": address, "server": false } } })
}

fn device(name: &str, port: &str, share: &Share) -> Value {
    json!({
        "driver": "vhost-user-fs-pci", "id": name, "bus": port, "chardev": name,
        "tag": share.tag, "queue-size": QUEUE,
    })
}

/// Attaches a folder, as soon as somebody serves it.
pub(super) async fn attach(qmp: &Qmp, share: &Share, within: Duration) -> Result<(), ControlError> {
    let deadline = Instant::now() + within;
    let port = match place(&devices(qmp).await?, &share.tag) {
        Place::There(_) => return Ok(()),
        Place::Empty(port) => port,
        Place::None => {
            let reason = format!("no port is empty for {}", share.tag);
            return Err(ControlError::Refused { command: ATTACH, reason });
        }
    };
    let name = name(&share.tag, port);
    // Of an earlier try that came no further.
    let _ = disconnect(qmp, &name).await;
    while let Err(error) = qmp.execute(CONNECT, Some(channel(&name, share)), ANSWER).await {
        match error {
            ControlError::Refused { .. } if Instant::now() < deadline => tokio::time::sleep(RETRY).await,
            other => return Err(other),
        }
    }
    match qmp.execute(ATTACH, Some(device(&name, port, share)), ANSWER).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = disconnect(qmp, &name).await;
            Err(error)
        }
    }
}

async fn disconnect(qmp: &Qmp, name: &str) -> Result<(), ControlError> {
    qmp.execute("chardev-remove", Some(json!({ "id": name })), ANSWER).await.map(drop)
}

/// The names of all devices that have one.
async fn devices(qmp: &Qmp) -> Result<BTreeSet<String>, ControlError> {
    const COMMAND: &str = "qom-list";
    let listed = qmp.execute(COMMAND, Some(json!({ "path": "/machine/peripheral" })), ANSWER).await?;
    let listed =
        listed.as_array().ok_or_else(|| ControlError::Garbled { command: COMMAND, what: listed.to_string() })?;
    Ok(listed.iter().filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(more: &[&str]) -> BTreeSet<String> {
        let always = ["serial", "root-disk", "nic", "port1", "port2", "port3", "port4", "type"];
        always.iter().chain(more).map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn each_folder_has_a_port_of_its_own_and_keeps_it() {
        assert_eq!(place(&machine(&[]), "machine0"), Place::Empty("port1"));
        assert_eq!(place(&machine(&["machine0.port1"]), "machine1"), Place::Empty("port2"));
        assert_eq!(place(&machine(&["machine0.port2"]), "machine1"), Place::Empty("port1"));
        assert_eq!(place(&machine(&["machine0.port2"]), "machine0"), Place::There("machine0.port2".to_owned()));
        let full = ["machine0.port1", "machine1.port2", "machine2.port3", "machine3.port4"];
        assert_eq!(place(&machine(&full), "machine4"), Place::None);
        assert_eq!(place(&machine(&full), "machine3"), Place::There("machine3.port4".to_owned()));
    }

    /// What QEMU is told, word by word.
    #[test]
    fn what_is_said_is_this() {
        let share = Share { tag: "machine0".to_owned(), socket: "/run/machine/m/share0.sock".into() };
        let address = json!({"type": "unix", "data": {"path": "/run/machine/m/share0.sock"}});
        let connect = json!({
            "id": "machine0.port1",
            "backend": {"type": "socket", "data": {"addr": address, "server": false}},
        });
        let attach = json!({
            "driver": "vhost-user-fs-pci", "id": "machine0.port1", "bus": "port1", "chardev": "machine0.port1",
            "tag": "machine0", "queue-size": 1024,
        });
        assert_eq!(channel("machine0.port1", &share), connect);
        assert_eq!(device("machine0.port1", "port1", &share), attach);
    }
}
