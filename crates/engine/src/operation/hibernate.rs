//! Hibernate: its memory goes to the disk and its VMM ends. What is not whole on the disk is not used: until then the
//! machine is where it was.

use async_trait::async_trait;
use machine_core::promise::provider::Power;
use machine_core::{Refusal, State};

use super::{Scene, taken_back};
use crate::carry_out::Step;

struct Save(Scene);

/// The steps of hibernate.
#[must_use]
pub fn steps(scene: &Scene) -> Vec<Box<dyn Step>> {
    vec![Box::new(Save(scene.clone()))]
}

#[async_trait]
impl Step for Save {
    fn name(&self) -> &'static str {
        "save"
    }

    async fn ensure(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.bring_to(&self.0.plan, Power::Hibernated, &self.0.progress).await?)
    }

    async fn undo(&self) -> Result<(), Refusal> {
        let before = match self.0.plan.from {
            State::Paused => Power::Paused,
            State::Absent | State::Stopped | State::Running | State::Hibernated | State::Failed | State::Destroyed => {
                Power::Running
            }
        };
        taken_back(self.0.provider.bring_to(&self.0.plan, before, &self.0.progress).await)
    }
}
