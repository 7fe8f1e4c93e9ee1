//! Our terminal: raw mode, given back on every way out, and its size.

use std::io::IsTerminal as _;

use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::cli::exit::Failure;

/// Raw mode: keys are the guest's. Dropped, by a panic too, the terminal is as it was.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Enters it on standard input.
    pub(crate) fn enter() -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| Failure::file("cannot set the terminal to raw mode", &error.into());
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Columns and rows of the terminal, whichever of our streams is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    let found = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).or_else(|_| tcgetwinsize(stderr()));
    found.ok().map(|size| (size.ws_col, size.ws_row)).filter(|(cols, rows)| *cols > 0 && *rows > 0)
}

/// Whether a person writes our input.
pub(crate) fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether a person reads our output.
pub(crate) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
