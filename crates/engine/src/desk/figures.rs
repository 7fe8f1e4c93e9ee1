//! Figures of machines that run: what they cost this place, and how their guests are. Wakes nobody.

use machine_core::promise::awakening::Vitals;
use machine_core::promise::provider::{ProviderError, Usage};
use machine_core::{Machine, Owner, Refusal};

use super::{Desk, not_running};

impl Desk {
    /// What a running machine costs this place.
    ///
    /// # Errors
    /// `machine_not_ready` if it does not run.
    pub async fn usage(&self, owner: &Owner, reference: &str) -> Result<(Machine, Usage), Refusal> {
        let machine = self.find(owner, reference).await?;
        if !machine.state.holds_memory() {
            return Err(not_running(&machine));
        }
        let usage = self.promises.provider.usage(&machine.id, machine.spec.memory).await;
        let usage = usage.map_err(|error| Refusal::from(error).about(machine.called()))?;
        Ok((machine, usage))
    }

    /// What each of an owner's running machines costs this place, oldest first. One that ends meanwhile is
    /// left out.
    ///
    /// # Errors
    /// If one that goes on cannot be looked at.
    pub async fn usages(&self, owner: &Owner) -> Result<Vec<(Machine, Usage)>, Refusal> {
        let mut usages = Vec::new();
        for machine in self.list(owner).await?.into_iter().filter(|machine| machine.state.holds_memory()) {
            match self.promises.provider.usage(&machine.id, machine.spec.memory).await {
                Ok(usage) => usages.push((machine, usage)),
                Err(ProviderError::NotRunning) => {}
                Err(error) => {
                    // What it read of a machine that was ending tells nothing.
                    let now = self.find(owner, machine.id.as_str()).await;
                    if now.is_ok_and(|now| now.state.holds_memory() && now.open.is_none()) {
                        return Err(Refusal::from(error).about(machine.called()));
                    }
                }
            }
        }
        Ok(usages)
    }

    /// How the guest of a running machine is, in its own words.
    ///
    /// # Errors
    /// `machine_not_ready` if it does not run.
    pub async fn vitals(&self, owner: &Owner, reference: &str) -> Result<(Machine, Vitals), Refusal> {
        let (machine, guest) = self.guest(owner, reference).await?;
        let vitals = guest.measure().await.map_err(|error| Refusal::from(error).about(machine.called()))?;
        Ok((machine, vitals))
    }
}
