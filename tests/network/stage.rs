//! The stage: a host of its own, on which machines run, and the world that it is connected to.
//!
//! ```text
//!  this namespace: server, gateways, VMMs          │  the world's: `world` serves at all of its addresses
//!    lo 127.0.0.1, ::1                             │    lo: public, private, metadata, resolver addresses
//!    out 192.0.2.2/24 ──────────── veth pair ──────┼──▶ world 192.0.2.1/24 (default route)
//! ```
//!
//! The mount namespace gives it an `/etc` that it may change, and a `/run` that goes with it. Everything here
//! ends with the processes: there is nothing to clean up but the folders of the machines.

pub(crate) mod alone;
pub(crate) mod places;
mod surroundings;
mod wires;

use crate::home::Home;
use crate::world::World;

pub(crate) use surroundings::use_resolver;

/// See the module.
pub(crate) struct Stage {
    /// What the machines may find out there, and what it saw.
    pub(crate) world: World,
    /// The server and its machines.
    pub(crate) home: Home,
}

impl Stage {
    /// Sets it up; `suite` tells its folders from those of another run.
    pub(crate) fn set(suite: &str) -> Self {
        surroundings::own();
        let world = World::open(wires::lay());
        surroundings::trust(&world.authority);
        Self { world, home: Home::new(&format!("network-{suite}")) }
    }
}
