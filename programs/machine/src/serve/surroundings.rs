//! The host's clock and its random numbers.

use jiff::Timestamp;
use machine_core::id::ID_ENTROPY;
use machine_engine::Surroundings;

/// See the module.
pub(super) struct HostSurroundings;

impl Surroundings for HostSurroundings {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn entropy(&self) -> [u8; ID_ENTROPY] {
        let mut bytes = [0; ID_ENTROPY];
        getrandom::fill(&mut bytes).expect("a kernel that runs a server has random numbers");
        bytes
    }
}
