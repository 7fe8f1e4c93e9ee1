//! Folders of the host in a running machine: a virtio-fs device each, in a port that was empty. What serves the
//! folder speaks vhost-user at a socket, with QEMU as its client.
//!
//! ```text
//! port empty ──chardev-add──▶ connected ──device_add──▶ attached, until the machine ends
//!   ▲  ▲           └ nobody listens yet: again    │          │ who serves it died
//!   │  └──chardev-remove, the device is refused───┘          ▼
//!   └──chardev-remove, the guest let go───────device_del── dead
//! ```
//! A device whose server died stays dead: QEMU does not speak to a new one. The guest lets go of it only when all that
//! it asked the device is answered, which is the server's affair, not QEMU's.
//! A device is called by its tag and its port, so that nothing need be remembered of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::control::ANSWER;
use super::devices::PORTS;
use super::qmp::Qmp;
use crate::boot_plan::Share;
use crate::driver::{Attached, ControlError};

const CONNECT: &str = "chardev-add";
const ATTACH: &str = "device_add";
const DETACH: &str = "device_del";

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

/// Attaches a folder, as soon as somebody serves it. A device that nobody serves any more is taken away first.
pub(super) async fn attach(qmp: &Qmp, share: &Share, within: Duration) -> Result<Attached, ControlError> {
    let deadline = Instant::now() + within;
    let attached = match place(&devices(qmp).await?, &share.tag) {
        Place::There(name) if is_connected(qmp, &name).await? => return Ok(Attached::Already),
        Place::There(name) => {
            detach(qmp, &name, deadline).await?;
            Attached::Again
        }
        Place::Empty(_) | Place::None => Attached::New,
    };
    match place(&devices(qmp).await?, &share.tag) {
        Place::There(_) => Ok(Attached::Already),
        Place::Empty(port) => put_in(qmp, share, port, deadline).await.map(|()| attached),
        Place::None => {
            let reason = format!("no port is empty for {}", share.tag);
            Err(ControlError::Refused { command: ATTACH, reason })
        }
    }
}

async fn put_in(qmp: &Qmp, share: &Share, port: &str, deadline: Instant) -> Result<(), ControlError> {
    let name = name(&share.tag, port);
    loop {
        // Of an earlier try that came no further, or of a device that is gone: QEMU holds it a moment longer.
        let _ = disconnect(qmp, &name).await;
        match qmp.execute(CONNECT, Some(channel(&name, share)), ANSWER).await {
            Ok(_) => break,
            Err(ControlError::Refused { .. }) if Instant::now() < deadline => tokio::time::sleep(RETRY).await,
            Err(error) => return Err(error),
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

/// Asks the guest to let go of a device, and waits until it has.
async fn detach(qmp: &Qmp, name: &str, deadline: Instant) -> Result<(), ControlError> {
    let asked = qmp.execute(DETACH, Some(json!({ "id": name })), ANSWER).await;
    while devices(qmp).await?.contains(name) {
        match &asked {
            // Asked before, it may still be about to.
            Ok(_) | Err(ControlError::Refused { .. }) if Instant::now() < deadline => tokio::time::sleep(RETRY).await,
            Ok(_) => {
                let reason = format!("the guest does not let go of {name}");
                return Err(ControlError::Refused { command: DETACH, reason });
            }
            Err(_) => return asked.map(drop),
        }
    }
    Ok(())
}

/// Whether somebody is at the other end of a device's channel.
async fn is_connected(qmp: &Qmp, name: &str) -> Result<bool, ControlError> {
    const COMMAND: &str = "query-chardev";
    let channels = qmp.execute(COMMAND, None, ANSWER).await?;
    let channels = channels.as_array();
    Ok(channels.into_iter().flatten().any(|channel| is_connected_one(channel, name)))
}

fn is_connected_one(channel: &Value, name: &str) -> bool {
    let reached = channel["filename"].as_str();
    channel["label"] == name && reached.is_some_and(|reached| !reached.starts_with("disconnected:"))
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

    /// In QEMU's own words.
    #[test]
    fn a_channel_whose_other_end_is_gone_is_told_from_one_that_is_held() {
        let said = |filename: &str| json!({"frontend-open": false, "filename": filename, "label": "machine0.port1"});
        assert!(is_connected_one(&said("unix:/run/machine/m/share0.sock"), "machine0.port1"));
        assert!(!is_connected_one(&said("unix:/run/machine/m/share0.sock"), "machine0.port2"));
        assert!(!is_connected_one(&said("disconnected:unix:/run/machine/m/share0.sock"), "machine0.port1"));
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
