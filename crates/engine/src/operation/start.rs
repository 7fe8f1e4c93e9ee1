//! Start: boot it, until its agent answers under the machine's own identity.

use async_trait::async_trait;
use machine_core::Refusal;
use machine_core::promise::provider::Power;

use super::Scene;
use crate::carry_out::Step;

struct PowerOn(Scene);

/// The steps of start.
#[must_use]
pub fn steps(scene: &Scene) -> Vec<Box<dyn Step>> {
    vec![Box::new(PowerOn(scene.clone()))]
}

#[async_trait]
impl Step for PowerOn {
    fn name(&self) -> &'static str {
        "power_on"
    }

    async fn ensure(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.bring_to(&self.0.plan, Power::Running, &self.0.progress).await?)
    }

    async fn undo(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.bring_to(&self.0.plan, Power::OffNow, &self.0.progress).await?)
    }
}
