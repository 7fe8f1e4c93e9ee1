//! What a gateway is started with: one JSON file, written whole by whoever launches or changes the machine. It
//! is also what a gateway that is started anew, after its predecessor died, goes on with.

use std::path::PathBuf;

use machine_core::MachineId;
use machine_core::machine::Generation;
use machine_core::network::NetworkSpec;
use serde::{Deserialize, Serialize};

/// The hidden verb of the program that runs a gateway; its one argument is the plan's path.
pub const GATEWAY_VERB: &str = "gateway";

/// One machine's gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayPlan {
    /// Whose gateway it is.
    pub machine: MachineId,
    /// Which launch of the machine.
    pub generation: Generation,
    /// The address of the guest's card; frames from others are dropped.
    pub mac: [u8; 6],
    /// The Unix socket where the VMM listens for its NIC's other end; it may not be there yet.
    pub link: PathBuf,
    /// The Unix socket where the gateway listens for its server.
    pub control: PathBuf,
    /// Where the gateway keeps which connections it carries, for the one after it to reset.
    pub flows: PathBuf,
    /// The host's resolver configuration, followed when it changes.
    pub resolver: PathBuf,
    /// What the machine's network shall be. Every forward has a port.
    pub network: NetworkSpec,
}
