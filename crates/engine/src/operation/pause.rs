//! Pause: its processors stop, its memory stays where it is.

use async_trait::async_trait;
use machine_core::Refusal;
use machine_core::promise::provider::Power;

use super::{Scene, taken_back};
use crate::carry_out::Step;

struct Pause(Scene);

/// The steps of pause.
#[must_use]
pub fn steps(scene: &Scene) -> Vec<Box<dyn Step>> {
    vec![Box::new(Pause(scene.clone()))]
}

#[async_trait]
impl Step for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    async fn ensure(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.bring_to(&self.0.plan, Power::Paused, &self.0.progress).await?)
    }

    async fn undo(&self) -> Result<(), Refusal> {
        taken_back(self.0.provider.bring_to(&self.0.plan, Power::Running, &self.0.progress).await)
    }
}
