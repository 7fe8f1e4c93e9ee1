//! What a gateway is started with: one JSON file, written whole by whoever launches or changes the machine. It
//! is also what a gateway that is started anew, after its predecessor died, goes on with.

use std::path::PathBuf;

use machine_core::MachineId;
use machine_core::machine::Generation;
use machine_core::network::NetworkSpec;
use serde::{Deserialize, Serialize};

/// The hidden verb of the program that runs a gateway; its one argument is the plan's path.
pub const GATEWAY_VERB: &str = "gateway";

/// The descriptor by which a gateway is given its end of the wire to the VMM's network card: a socket of
/// sequenced packets. Whoever starts gateways keeps that end too, so that it outlives each of them.
///
/// What the VMM sends is one frame a packet, after its length, 32 bits in network order. What is sent to it is
/// one or more whole frames a packet, each after its length, together at most `LARGEST_PACKET` bytes. An empty
/// packet, or a wrong length, makes the VMM close its end for good.
pub const LINK_DESCRIPTOR: i32 = 3;

/// The VMM reads no more than this of a packet.
pub const LARGEST_PACKET: usize = 69_632;

/// One machine's gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayPlan {
    /// Whose gateway it is.
    pub machine: MachineId,
    /// Which launch of the machine.
    pub generation: Generation,
    /// The address of the guest's card; frames from others are dropped.
    pub mac: [u8; 6],
    /// The Unix socket where the gateway listens for its server.
    pub control: PathBuf,
    /// Where the gateway keeps which connections it carries, for the one after it to reset.
    pub flows: PathBuf,
    /// The host's resolver configuration, followed when it changes.
    pub resolver: PathBuf,
    /// What the machine's network shall be. Every forward has a port.
    pub network: NetworkSpec,
}
