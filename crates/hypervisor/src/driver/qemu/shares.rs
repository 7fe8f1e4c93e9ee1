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
//! A device is called by its tag and its port, so that nothing need be remembered of it. A machine that sleeps is
//! loaded only if each is where it was, so whoever saves it asks for that, and says it when it wakes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::control::ANSWER;
use super::devices::PORTS;
use super::qmp::Qmp;
use crate::boot_plan::Share;
use crate::driver::{Attached, ControlError, Port, Seen};

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
    /// It is, but not in the port that was asked for.
    Elsewhere(String),
    /// This port is empty.
    Empty(&'static str),
    /// No port is, or not the one that was asked for.
    None,
}

/// Decides by the names of all devices.
fn place(devices: &BTreeSet<String>, tag: &str, at: Option<Port>) -> Place {
    let there = PORTS.iter().find(|port| devices.contains(&name(tag, port)));
    let is_empty = |port: &&&str| !devices.iter().any(|device| device.ends_with(&format!(".{port}")));
    match (there, at) {
        (Some(port), Some(at)) if numbered(at) != Some(port) => Place::Elsewhere(name(tag, port)),
        (Some(port), _) => Place::There(name(tag, port)),
        (None, Some(at)) => PORTS.iter().filter(is_empty).find(|port| numbered(at) == Some(port)).into(),
        (None, None) => PORTS.iter().find(is_empty).into(),
    }
}

impl From<Option<&&'static str>> for Place {
    fn from(port: Option<&&'static str>) -> Self {
        port.map_or(Self::None, |port| Self::Empty(port))
    }
}

/// Its name, if there is such a port.
fn numbered(port: Port) -> Option<&'static str> {
    usize::from(port.0).checked_sub(1).and_then(|place| PORTS.get(place).copied())
}

/// The folders among the names of all devices.
fn seen(devices: &BTreeSet<String>) -> Vec<Seen> {
    let each =
        devices.iter().flat_map(|device| (1..).zip(PORTS).map(move |(number, port)| (device, Port(number), port)));
    each.filter_map(|(device, port, name)| {
        let tag = device.strip_suffix(name)?.strip_suffix('.')?;
        Some(Seen { tag: tag.to_owned(), port })
    })
    .collect()
}

/// The folders that the guest sees.
pub(super) async fn all(qmp: &Qmp) -> Result<Vec<Seen>, ControlError> {
    Ok(seen(&devices(qmp).await?))
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
pub(super) async fn attach(
    qmp: &Qmp,
    share: &Share,
    at: Option<Port>,
    within: Duration,
) -> Result<Attached, ControlError> {
    let deadline = Instant::now() + within;
    let attached = match place(&devices(qmp).await?, &share.tag, at) {
        Place::There(name) if is_connected(qmp, &name).await? => return Ok(Attached::Already),
        Place::There(name) => {
            detach(qmp, &name, deadline).await?;
            Attached::Again
        }
        Place::Elsewhere(_) | Place::Empty(_) | Place::None => Attached::New,
    };
    let refused = |reason: String| Err(ControlError::Refused { command: ATTACH, reason });
    match (place(&devices(qmp).await?, &share.tag, at), at) {
        (Place::There(_), _) => Ok(Attached::Already),
        (Place::Elsewhere(name), _) => refused(format!("{} is elsewhere already: {name}", share.tag)),
        (Place::Empty(port), _) => put_in(qmp, share, port, deadline).await.map(|()| attached),
        (Place::None, None) => refused(format!("no port is empty for {}", share.tag)),
        (Place::None, Some(Port(number))) => refused(format!("port {number} is not empty for {}", share.tag)),
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
        let place = |devices: &[&str], tag| place(&machine(devices), tag, None);
        assert_eq!(place(&[], "machine0"), Place::Empty("port1"));
        assert_eq!(place(&["machine0.port1"], "machine1"), Place::Empty("port2"));
        assert_eq!(place(&["machine0.port2"], "machine1"), Place::Empty("port1"));
        assert_eq!(place(&["machine0.port2"], "machine0"), Place::There("machine0.port2".to_owned()));
        let full = ["machine0.port1", "machine1.port2", "machine2.port3", "machine3.port4"];
        assert_eq!(place(&full, "machine4"), Place::None);
        assert_eq!(place(&full, "machine3"), Place::There("machine3.port4".to_owned()));
    }

    #[test]
    fn a_folder_goes_where_it_was_or_nowhere() {
        let place = |devices: &[&str], at| place(&machine(devices), "machine1", Some(Port(at)));
        assert_eq!(place(&[], 2), Place::Empty("port2"));
        assert_eq!(place(&["machine0.port2"], 2), Place::None);
        assert_eq!(place(&["machine1.port2"], 2), Place::There("machine1.port2".to_owned()));
        assert_eq!(place(&["machine1.port1"], 2), Place::Elsewhere("machine1.port1".to_owned()));
        assert_eq!([0, 5, 255].map(|at| place(&[], at)), [Place::None, Place::None, Place::None]);
    }

    #[test]
    fn where_folders_are_is_told_and_they_go_there_again() {
        let devices = machine(&["machine1.port1", "machine0.port3"]);
        let seen = seen(&devices);
        let expected =
            [("machine0", 3), ("machine1", 1)].map(|(tag, port)| Seen { tag: tag.to_owned(), port: Port(port) });
        assert_eq!(seen, expected);
        for Seen { tag, port } in &seen {
            assert!(matches!(place(&devices, tag, Some(*port)), Place::There(_)));
            assert!(matches!(place(&machine(&[]), tag, Some(*port)), Place::Empty(_)));
        }
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
