//! Copies between this computer and a guest. Files go through the server's own file routes; folders as
//! a tar stream over the guest's `tar`. Nothing is held whole, and what comes from a guest is not trusted.
//!
//! ```text
//! here file   ──▶ write_file                        guest file   ──▶ draft ──all there──▶ named
//! here folder ──pack──▶ channel ──▶ guest's tar -x   guest folder ──tar -c──▶ channel ──unpack──▶ draft ──▶ named
//! ```

pub(crate) mod channel;
pub(crate) mod draft;
pub(crate) mod entry;
mod from_guest;
pub(crate) mod guest;
mod into_guest;
mod landing;
pub(crate) mod pack;
pub(crate) mod selection;
pub(crate) mod stream;
pub(crate) mod unpack;

use std::time::Instant;

use indicatif::ProgressBar;
use machine_sdk::Client;
use machine_sdk::api::Code;

use super::Desk;
use super::exit::Failure;
use super::progress;
use super::session::{Caught, Signals};
use super::word::place::Place;
use super::word::{duration, size};

/// What a copy works with.
#[derive(Debug)]
pub(crate) struct Copy<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) client: Client,
    pub(crate) machine: &'a str,
    pub(crate) signals: Signals,
    began: Instant,
}

/// Copies from one side to the other.
pub(crate) async fn copy(from: &Place, to: &Place, desk: &Desk) -> Result<(), Failure> {
    let machine = match (from, to) {
        (Place::Here(_), Place::Guest { machine, .. }) | (Place::Guest { machine, .. }, Place::Here(_)) => machine,
        (Place::Here(_), Place::Here(_)) => {
            return Err(Failure::usage("neither side is in a machine").hint("name one side NAME:/path"));
        }
        (Place::Guest { .. }, Place::Guest { .. }) => {
            return Err(Failure::usage("both sides are in machines").hint("copy to this computer first"));
        }
    };
    let mut copy = Copy::begin(desk, machine).await?;
    match (from, to) {
        (Place::Here(from), Place::Guest { path, .. }) => into_guest::copy(&mut copy, from, path).await,
        (Place::Guest { path, .. }, Place::Here(to)) => from_guest::copy(&mut copy, path, to).await,
        (Place::Here(_), Place::Here(_)) | (Place::Guest { .. }, Place::Guest { .. }) => Ok(()),
    }
}

impl<'a> Copy<'a> {
    /// Signals are caught from now on.
    pub(crate) async fn begin(desk: &'a Desk, machine: &'a str) -> Result<Self, Failure> {
        let signals = Signals::catch()?;
        let client = desk.link.client().await?;
        Ok(Self { desk, client, machine, signals, began: Instant::now() })
    }

    /// Shows how it goes on.
    pub(crate) fn bar(&self, total: Option<u64>, what: &str) -> ProgressBar {
        progress::byte_bar(&self.desk.voice, total, what)
    }

    /// The bar goes; on a terminal one line stays.
    pub(crate) fn done(&self, bar: &ProgressBar) {
        let (count, shown) = (bar.position(), !bar.is_hidden());
        bar.finish_and_clear();
        if shown {
            self.desk.voice.say(&format!("copied {} ({})", size::bytes(count), duration::show(self.began.elapsed())));
        }
    }

    /// What the verb ends with after a signal.
    pub(crate) fn interrupted(&self, caught: Caught, bar: &ProgressBar) -> Failure {
        bar.finish_and_clear();
        self.desk.voice.say("interrupted; the copy is not complete");
        Failure::quiet(caught.exit())
    }
}

/// Does what blocks, on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(Code::InternalError, format!("a working thread failed: {error}")))
}
