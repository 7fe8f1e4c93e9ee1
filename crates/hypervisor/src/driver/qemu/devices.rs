//! The devices of every machine, in their order, at their addresses. They are the machine: a saved one is
//! loaded only by the same list, so a change here makes every image anew.
//!
//! ```text
//! pcie.0   1 serial   2 root disk   3 network   4 rng   5 balloon   10.0 to 10.3 empty ports
//! ```
//! What is behind a device (a file, a socket, a network) is no part of it, and chosen at each start.

use crate::boot_plan::Nic;

/// What does not differ between machines.
const DEVICES: [&str; 11] = [
    "virtio-serial-pci,id=serial,bus=pcie.0,addr=0x1",
    // The guest finds the agent's port by its name.
    "virtserialport,bus=serial.0,nr=1,chardev=agent,name=org.machine.agent.0",
    "virtio-blk-pci,id=root-disk,bus=pcie.0,addr=0x2,drive=root",
    NIC,
    "virtio-rng-pci,id=rng,bus=pcie.0,addr=0x4",
    // Without free-page reporting, and never inflated while memory is an image's: that would change the image.
    "virtio-balloon-pci,id=balloon,bus=pcie.0,addr=0x5,free-page-reporting=off",
    // Empty, for what is attached to a machine that was not there when its image was made.
    "pcie-root-port,id=port1,bus=pcie.0,addr=0x10.0,multifunction=on,chassis=1,slot=1,io-reserve=0",
    "pcie-root-port,id=port2,bus=pcie.0,addr=0x10.1,chassis=2,slot=2,io-reserve=0",
    "pcie-root-port,id=port3,bus=pcie.0,addr=0x10.2,chassis=3,slot=3,io-reserve=0",
    "pcie-root-port,id=port4,bus=pcie.0,addr=0x10.3,chassis=4,slot=4,io-reserve=0",
    "vmgenid,guid=auto",
];

/// The empty ports. A device that is put into one is seen by a running guest: by ACPI, within some 30 ms.
pub(super) const PORTS: [&str; 4] = ["port1", "port2", "port3", "port4"];

/// Without a ROM: the machine never boots from the network. Packets as large as the wire takes: there is no
/// segmentation offload on it, and each packet costs the same.
/// A restored guest need not announce itself: its network is a new one that knows nobody, and announcing is a
/// seventh of what an emulated guest does until it first answers.
const NIC: &str = "virtio-net-pci,id=nic,bus=pcie.0,addr=0x3,netdev=net,romfile=,guest_announce=off,host_mtu=65520";

/// The values of `-device`.
pub(super) fn of(nic: Option<&Nic>) -> impl Iterator<Item = String> {
    let mac = nic.map(|nic| nic.mac);
    DEVICES.iter().filter_map(move |&device| match mac {
        Some(mac) if device == NIC => Some(format!("{device},mac={mac}")),
        None if device == NIC => None,
        Some(_) | None => Some(device.to_owned()),
    })
}

/// What all machines with a network, or all without, have in common.
pub(super) fn of_all(nic: Option<&Nic>) -> Vec<String> {
    DEVICES.iter().filter(|&&device| nic.is_some() || device != NIC).map(|&device| device.to_owned()).collect()
}
