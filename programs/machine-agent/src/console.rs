//! Lines on the console, for a person or the host who reads it.

use std::fmt;
use std::io::Write as _;

/// Says one line. A console that is gone hears nothing.
pub(crate) fn say(what: fmt::Arguments<'_>) {
    // One write, so that lines of the kernel do not fall into it.
    let line = format!("machine-agent: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
}
