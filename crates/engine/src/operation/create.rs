//! Create: the machine's folder and root disk. It rests stopped.

use async_trait::async_trait;
use machine_core::Refusal;

use super::Scene;
use crate::carry_out::Step;

struct Disk(Scene);

/// The steps of create.
#[must_use]
pub fn steps(scene: &Scene) -> Vec<Box<dyn Step>> {
    vec![Box::new(Disk(scene.clone()))]
}

#[async_trait]
impl Step for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    async fn ensure(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.prepare(&self.0.plan, &self.0.progress).await?)
    }

    async fn undo(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.remove(&self.0.plan.id).await?)
    }
}
