//! Stop: ask the guest, then pull the plug. Only goes forward.

use async_trait::async_trait;
use machine_core::Refusal;
use machine_core::promise::provider::Power;

use super::Scene;
use crate::carry_out::Step;

struct PowerOff(Scene);

/// The steps of stop.
#[must_use]
pub fn steps(scene: &Scene) -> Vec<Box<dyn Step>> {
    vec![Box::new(PowerOff(scene.clone()))]
}

#[async_trait]
impl Step for PowerOff {
    fn name(&self) -> &'static str {
        "power_off"
    }

    async fn ensure(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.bring_to(&self.0.plan, Power::OffGently, &self.0.progress).await?)
    }

    async fn undo(&self) -> Result<(), Refusal> {
        // Stop never turns back: there is nothing to take back.
        Ok(())
    }
}
