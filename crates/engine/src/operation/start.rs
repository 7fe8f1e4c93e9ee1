//! Start and resume: it runs, and its agent answers under the machine's own identity. From memory on the disk, if it
//! was hibernated; from where it stopped, if it was paused; else from its image, or by booting.

use async_trait::async_trait;
use machine_core::promise::provider::Power;
use machine_core::{Refusal, State};

use super::{Scene, taken_back};
use crate::carry_out::Step;

struct PowerOn(Scene);

/// The steps of start, and of resume.
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
        let before = match self.0.plan.from {
            State::Paused => Power::Paused,
            State::Hibernated => Power::Hibernated,
            State::Absent | State::Stopped | State::Running | State::Failed | State::Destroyed => Power::OffNow,
        };
        taken_back(self.0.provider.bring_to(&self.0.plan, before, &self.0.progress).await)
    }
}
