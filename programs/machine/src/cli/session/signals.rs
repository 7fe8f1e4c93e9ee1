//! Signals that people and programs send us, caught from the moment a verb asks for them.

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

/// The signals that end a program unless it catches them.
#[derive(Debug)]
pub(crate) struct Signals {
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
        let open = |kind| signal(kind).map_err(|error| Failure::file("cannot catch signals", &error));
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            hang_up: open(SignalKind::hangup())?,
            quit: open(SignalKind::quit())?,
        })
    }

    /// The next one. May be cancelled without loss.
    pub(crate) async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::Interrupt,
            _ = self.terminate.recv() => Caught::Terminate,
            _ = self.hang_up.recv() => Caught::HangUp,
            _ = self.quit.recv() => Caught::Quit,
        }
    }
}
