//! Destroy: pull the plug and remove all that is the machine's own. Only goes forward.

use async_trait::async_trait;
use machine_core::Refusal;
use machine_core::promise::provider::Power;
use machine_core::stage::{Report, Stage, StageTime};

use super::Scene;
use crate::carry_out::Step;

struct PullPlug(Scene);
struct Remove(Scene);

/// The steps of destroy.
#[must_use]
pub fn steps(scene: &Scene) -> Vec<Box<dyn Step>> {
    vec![Box::new(PullPlug(scene.clone())), Box::new(Remove(scene.clone()))]
}

#[async_trait]
impl Step for PullPlug {
    fn name(&self) -> &'static str {
        "pull_plug"
    }

    async fn ensure(&self) -> Result<(), Refusal> {
        Ok(self.0.provider.bring_to(&self.0.plan, Power::OffNow, &self.0.progress).await?)
    }

    async fn undo(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

#[async_trait]
impl Step for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }

    async fn ensure(&self) -> Result<(), Refusal> {
        let begun = tokio::time::Instant::now();
        self.0.progress.tell(Report::Begun(Stage::Remove));
        self.0.provider.remove(&self.0.plan.id).await?;
        self.0.progress.tell(Report::Ended(StageTime::new(Stage::Remove, begun.elapsed())));
        Ok(())
    }

    async fn undo(&self) -> Result<(), Refusal> {
        Ok(())
    }
}
