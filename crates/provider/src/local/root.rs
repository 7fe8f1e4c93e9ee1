//! What becomes of a machine's root disk between its runs: given up, or laid anew as before the first start.
//! Knows nothing of what is on it. Whether it is to be kept was decided with the command: `core::spec::RootFate`.
//!
//! ```text
//! laid ──start──▶ in use ──off, kept──▶ used ──start──▶ in use
//!  ▲                 └──off, given up──▶ gone
//!  └──start, given up before it──── used, or gone
//! ```

use machine_core::promise::image_source::Ground;
use machine_core::promise::provider::{MachinePlan, ProviderError};
use machine_core::spec::RootFate;
use machine_hypervisor::process::Found;

use super::layers::Layers;
use super::memory_image::Lent;
use super::{LocalProvider, host_refused, of_io, remove_if_there};

impl LocalProvider {
    /// For a start: a root that was given up is as before the first start. No VMM of the machine may be wanted.
    pub(super) async fn renew_root(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        match plan.root {
            // One that was never launched has used none.
            RootFate::GivenUp if self.unlaunched().contains(&plan.id) => Ok(()),
            RootFate::GivenUp => self.start_over(plan).await,
            RootFate::Kept => Ok(()),
        }
    }

    /// The machine as it was before its first start.
    pub(super) async fn start_over(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        let _seat = self.seats.take(&plan.id).await;
        self.seats.forget_guest(&plan.id);
        if let Found::Alive(vmm) = self.find(&plan.id).await? {
            vmm.kill().await.map_err(|error| host_refused("end the VMM", error))?;
        }
        self.end_strays(&plan.id).await?;
        self.give_up_root(plan)?;
        let template = Ground::Template(&plan.spec.template_digest);
        let disk = Layers::in_folder(&self.folder(&plan.id)).root();
        self.images.lay_over(template, &disk, Some(plan.spec.disk)).await?;
        // Nobody but us starts one, and what was left of it is ended.
        self.unlaunched().insert(plan.id.clone());
        Ok(())
    }

    /// Takes the disk of a machine that is off away, and all that its next start would know it by.
    pub(super) fn give_up_root(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        let layers = Layers::in_folder(&self.folder(&plan.id));
        layers.remove().map_err(|error| of_io("remove the root disk", &error))?;
        remove_if_there(&self.run(&plan.id).plan_file())?;
        Lent::give_back(&self.lent_folder(plan)).map_err(|error| of_io("give the memory image back", &error))
    }
}
