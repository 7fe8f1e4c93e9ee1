//! Who works on which machine, and the connections to the guests that answered.
//!
//! A launch is not taken back halfway: it holds its machine's seat until the VMM is on record, also
//! when the command that asked for it was given up. Whoever pulls the plug waits for the seat.
//! An agent serves one host at a time: whoever knocks at its port waits for those who knock already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use machine_core::MachineId;
use machine_core::machine::Generation;
use machine_core::promise::guest::Guest;
use tokio::sync::OwnedMutexGuard;

/// One seat and at most one guest a machine.
#[derive(Default)]
pub(super) struct Seats(Mutex<HashMap<MachineId, Seat>>);

#[derive(Default)]
struct Seat {
    taken: Arc<tokio::sync::Mutex<()>>,
    knocked: Arc<tokio::sync::Mutex<()>>,
    guest: Option<(Generation, Arc<dyn Guest>)>,
}

impl Seats {
    /// Waits for a machine's seat and takes it.
    pub(super) async fn take(&self, machine: &MachineId) -> OwnedMutexGuard<()> {
        let taken = self.held().entry(machine.clone()).or_default().taken.clone();
        taken.lock_owned().await
    }

    /// Waits for a machine's port, to knock at it.
    pub(super) async fn knock(&self, machine: &MachineId) -> OwnedMutexGuard<()> {
        let knocked = self.held().entry(machine.clone()).or_default().knocked.clone();
        knocked.lock_owned().await
    }

    /// The guest of a machine, if its connection lives.
    pub(super) fn guest(&self, machine: &MachineId) -> Option<Arc<dyn Guest>> {
        let (_, guest) = self.held().get(machine)?.guest.clone()?;
        (!guest.is_lost()).then_some(guest)
    }

    /// Keeps the connection to a guest. One to an earlier launch, from somebody who is late, is not kept.
    pub(super) fn keep_guest(&self, machine: &MachineId, generation: Generation, guest: Arc<dyn Guest>) {
        let mut held = self.held();
        let seat = held.entry(machine.clone()).or_default();
        if seat.guest.as_ref().is_none_or(|(kept, _)| *kept <= generation) {
            seat.guest = Some((generation, guest));
        }
    }

    /// Drops the connection to a guest, and the seat if nobody holds or awaits it.
    pub(super) fn forget_guest(&self, machine: &MachineId) {
        if let Some(seat) = self.held().get_mut(machine) {
            seat.guest = None;
        }
        self.held().retain(|_, seat| {
            seat.guest.is_some() || [&seat.taken, &seat.knocked].iter().any(|held| Arc::strong_count(held) > 1)
        });
    }

    fn held(&self) -> MutexGuard<'_, HashMap<MachineId, Seat>> {
        // Nothing that holds it can panic halfway: the map stays whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    /// What a future says each time it is asked, with nobody to wake.
    fn asking<T>(asked: impl Future<Output = T>) -> impl FnMut() -> Option<T> {
        let mut asked = Box::pin(asked);
        move || match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn who_knocks_waits_for_who_knocks_already_and_a_forgotten_guest_does_not_part_them() {
        let seats = Seats::default();
        let machine = MachineId::from_entropy(&[7; machine_core::id::ID_ENTROPY]);
        let first = seats.knock(&machine).await;
        seats.forget_guest(&machine);
        let mut second = asking(seats.knock(&machine));
        assert!(second().is_none());
        drop(first);
        assert!(second().is_some());
    }
}
