//! How many bytes of standard input a client may still send: it bounds what the server holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use machine_api::attach::STDIN_WINDOW;

/// Shared by the one who reads frames and the one who feeds the command.
#[derive(Clone)]
pub(crate) struct Credit(Arc<AtomicUsize>);

impl Credit {
    /// The window that every client has at first.
    pub(crate) fn first() -> Self {
        Self(Arc::new(AtomicUsize::new(STDIN_WINDOW as usize)))
    }

    /// Takes what a frame costs; says whether there was enough.
    #[must_use]
    pub(crate) fn spend(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes)).is_ok()
    }

    /// Gives back what the command took.
    pub(crate) fn grant(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let credit = Credit::first();
        assert!(credit.spend(STDIN_WINDOW as usize) && !credit.spend(1));
        credit.grant(2);
        assert!(!credit.spend(3) && credit.spend(2));
    }
}
