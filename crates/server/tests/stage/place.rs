//! The testkit's place, with our guest, stages to tell, and a gate before the boot; and templates
//! of which one, `small`, can be built.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use machine_core::promise::guest::Guest;
use machine_core::promise::image_source::{
    BootParts, Freshness, Ground, ImageError, ImageSource, Removed, TemplateInfo, TemplateOrder,
};
use machine_core::promise::provider::{MachinePlan, Observation, Offer, Power, Provider, ProviderError, Usage, Wait};
use machine_core::stage::{Report, Stage, StageTime};
use machine_core::{Digest, MachineId, MiB, Progress, TemplateName};
use tokio::sync::Notify;

use super::guest::TestGuest;

/// Holds boots back while it is shut.
#[derive(Default)]
pub(crate) struct Gate {
    shut: AtomicBool,
    opened: Notify,
    waiting: AtomicBool,
}

pub(crate) struct Place {
    kept: Arc<dyn Provider>,
    guest: Arc<TestGuest>,
    gate: Arc<Gate>,
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    pub(crate) fn is_waited_at(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        loop {
            let opened = self.opened.notified();
            if !self.shut.load(Ordering::SeqCst) {
                return;
            }
            self.waiting.store(true, Ordering::SeqCst);
            opened.await;
        }
    }
}

impl Place {
    pub(crate) fn new(kept: Arc<dyn Provider>, guest: Arc<TestGuest>, gate: Arc<Gate>) -> Self {
        Self { kept, guest, gate }
    }
}

#[async_trait]
impl Provider for Place {
    async fn offers(&self) -> Result<Offer, ProviderError> {
        self.kept.offers().await
    }

    async fn prepare(&self, plan: &MachinePlan, progress: &Progress) -> Result<(), ProviderError> {
        progress.tell(Report::Begun(Stage::Disk));
        progress.tell(Report::Told(Stage::Disk, "copying nothing".to_owned()));
        self.kept.prepare(plan, progress).await?;
        progress.tell(Report::Ended(StageTime { stage: Stage::Disk, micros: 12 }));
        Ok(())
    }

    async fn bring_to(&self, plan: &MachinePlan, power: Power, progress: &Progress) -> Result<(), ProviderError> {
        if power == Power::Running {
            progress.tell(Report::Begun(Stage::Boot));
            self.gate.pass().await;
        }
        self.kept.bring_to(plan, power, progress).await?;
        if power == Power::Running {
            progress.tell(Report::Ended(StageTime { stage: Stage::Boot, micros: 34 }));
        }
        Ok(())
    }

    async fn forget_saved(&self, _machine: &MachineId) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn reach_guest(&self, machine: &MachineId) -> Result<Arc<dyn Guest>, ProviderError> {
        self.kept.reach_guest(machine).await?;
        Ok(self.guest.clone())
    }

    async fn observe(&self, machine: &MachineId, wait: Wait) -> Result<Observation, ProviderError> {
        self.kept.observe(machine, wait).await
    }

    async fn usage(&self, machine: &MachineId, memory: MiB) -> Result<Usage, ProviderError> {
        self.kept.usage(machine, memory).await?;
        let (resident, private) = (90 << 20, 40 << 20);
        Ok(Usage { resident, private, guest_private: 8 << 20, guest_shared: 50 << 20, disk: 1 << 20, cpu_ms: 77 })
    }

    async fn remove(&self, machine: &MachineId) -> Result<(), ProviderError> {
        self.kept.remove(machine).await
    }

    async fn everything_ours(&self) -> Result<Vec<MachineId>, ProviderError> {
        self.kept.everything_ours().await
    }
}

pub(crate) struct Images(pub(crate) Arc<dyn ImageSource>);

#[async_trait]
impl ImageSource for Images {
    async fn pin(&self, name: &TemplateName) -> Result<Digest, ImageError> {
        self.0.pin(name).await
    }

    async fn remove(&self, name: &TemplateName) -> Result<Removed, ImageError> {
        self.0.remove(name).await
    }

    async fn build(&self, order: &TemplateOrder, progress: &Progress) -> Result<TemplateInfo, ImageError> {
        let TemplateOrder { name, fresh, .. } = order;
        if name.as_str() != "small" {
            return self.0.build(order, progress).await;
        }
        progress.tell(Report::Told(Stage::Fetch, "7 packages".to_owned()));
        Ok(TemplateInfo {
            name: name.clone(),
            digest: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
            created_at: Timestamp::UNIX_EPOCH,
            size_bytes: 5,
            kernel: "6.1".to_owned(),
            packages: 7,
            recipe: None,
            built_now: *fresh == Freshness::Rebuild,
        })
    }

    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError> {
        self.0.list().await
    }

    async fn parts(&self, template: &Digest) -> Result<BootParts, ImageError> {
        self.0.parts(template).await
    }

    async fn lay_over(&self, ground: Ground<'_>, path: &Path, size: Option<MiB>) -> Result<(), ImageError> {
        self.0.lay_over(ground, path, size).await
    }
}
