//! Signals that people and programs send us, caught as long as a verb asks for them. One that is caught for once is
//! caught for ever, as far as the runtime is concerned: when no verb asks any more, it ends us here, as it did before.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit::Failure;

/// A signal that was caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caught {
    /// Ctrl-C.
    Interrupt,
    /// Asked to end.
    Terminate,
    /// The terminal is gone.
    HangUp,
    /// Ctrl-\.
    Quit,
}

/// How many verbs ask for signals now.
static ASKING: AtomicUsize = AtomicUsize::new(0);

/// The signals that end a program unless it catches them. Dropped, they end us again.
#[derive(Debug)]
pub(crate) struct Signals(Streams);

#[derive(Debug)]
struct Streams {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Caught {
    /// The signal's number, the same on every system that we run on.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }

    /// The exit code of a program that ended by it.
    pub(crate) const fn exit(self) -> u8 {
        128 + self.number()
    }
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let streams = Streams::open()?;
        end_when_nobody_asks()?;
        ASKING.fetch_add(1, Ordering::SeqCst);
        Ok(Self(streams))
    }

    /// The next one. May be cancelled without loss.
    pub(crate) async fn next(&mut self) -> Caught {
        self.0.next().await
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        ASKING.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Streams {
    fn open() -> Result<Self, Failure> {
        let open = |kind| signal(kind).map_err(|error| Failure::file("cannot catch signals", &error));
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            hang_up: open(SignalKind::hangup())?,
            quit: open(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::Interrupt,
            _ = self.terminate.recv() => Caught::Terminate,
            _ = self.hang_up.recv() => Caught::HangUp,
            _ = self.quit.recv() => Caught::Quit,
        }
    }
}

/// Does what the kernel would do by itself if the signals had never been caught.
fn end_when_nobody_asks() -> Result<(), Failure> {
    static BEGUN: Once = Once::new();
    let mut streams = Streams::open()?;
    BEGUN.call_once(|| {
        tokio::spawn(async move {
            loop {
                let caught = streams.next().await;
                if ASKING.load(Ordering::SeqCst) == 0 {
                    std::process::exit(caught.exit().into());
                }
            }
        });
    });
    Ok(())
}
