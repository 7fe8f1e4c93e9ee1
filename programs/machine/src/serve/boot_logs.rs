//! Shows the server the consoles of this host's machines.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use machine_core::{Code, MachineId, Refusal};
use machine_provider::LocalProvider;
use machine_server::Logs;

/// The most of a console that is shown, in bytes; what was kept of it is no larger.
const MOST: usize = 2 << 20;

/// See the module.
pub(super) struct BootLogs(pub(super) Arc<LocalProvider>);

#[async_trait]
impl Logs for BootLogs {
    async fn boot_log(&self, machine: &MachineId) -> Result<Bytes, Refusal> {
        let log = self.0.boot_log(machine, MOST);
        log.map(Bytes::from)
            .map_err(|error| Refusal::new(Code::InternalError, format!("cannot read the boot log: {error}")))
    }
}
