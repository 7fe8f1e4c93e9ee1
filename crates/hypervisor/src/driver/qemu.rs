//! QEMU: the driver's name and capabilities. The command line is in `plan`, the dialect in `control`, and
//! what is asked of the binary, once, in `probe`. Quirks: `qemu/README.md`.

mod command_line;
mod control;
mod cpu_model;
mod devices;
mod machine_type;
mod plan;
mod probe;
mod qmp;
mod root_disk;
mod shares;
mod state;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

pub use control::QemuControl;
pub use machine_type::Q35;
pub use probe::{Installation, ProbeError};
pub use qmp::{Event, Qmp};

use crate::boot_plan::BootPlan;
use crate::driver::{Capabilities, Control, ControlError, Driver, Feature, Host, PlanRefusal, SaveMode};
use crate::ingredients::Ingredients;
use crate::launch_plan::LaunchPlan;

/// True of this driver as it is; a feature is added with the code that does it.
const CAPABILITIES: Capabilities = Capabilities {
    features: &[Feature::Pause, Feature::PowerButton, Feature::ResizeDisk, Feature::ShareFolders],
    save: SaveMode::InPlace,
};

const NAME: &str = "qemu";

/// The QEMU of this computer.
#[derive(Debug, Clone)]
pub struct Qemu {
    installation: Installation,
}

impl Qemu {
    /// A driver for this binary.
    #[must_use]
    pub fn new(installation: Installation) -> Self {
        Self { installation }
    }

    /// The binary and what it offers.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.installation
    }
}

#[async_trait]
impl Driver for Qemu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn plan(&self, boot: &BootPlan, host: &Host) -> Result<LaunchPlan, PlanRefusal> {
        plan::plan(&self.installation, boot, host)
    }

    fn ingredients(&self, boot: &BootPlan, host: &Host) -> Result<Ingredients, PlanRefusal> {
        plan::ingredients(&self.installation, boot, host)
    }

    async fn connect(&self, socket: &Path, within: Duration) -> Result<Box<dyn Control>, ControlError> {
        Ok(Box::new(QemuControl::connect(socket, within).await?))
    }
}
