//! A gateway's process, from its first line to its last.
//!
//! ```text
//! (started) ──plan read, everything opened──▶ (confined) ──▶ running ──the VMM is gone──▶ (ended)
//!     └──────────something is missing: ended, and started again by whoever minds it───────▶
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use serde::Serialize;

use crate::gateway::{Gateway, GatewayError, Trying};
use crate::plan::{GatewayPlan, LINK_DESCRIPTOR};
use crate::refusals::Refusals;
use crate::{sandbox, sys};

/// A line of the gateway's own among the refusals.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    message: &'a str,
}

/// Runs the plan's gateway to its end. The first thing that its process does, on its only thread: it closes
/// every descriptor but the standard streams and `LINK_DESCRIPTOR`, which it takes. What it has to tell is one
/// JSON object a line on the standard output.
pub fn run(plan_file: &Path) -> Result<(), GatewayError> {
    let ended = prepare(plan_file).and_then(Gateway::run);
    if let Err(error) = &ended {
        let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        say(&format!("the gateway ends: {error}{why}"));
    }
    ended
}

fn prepare(plan_file: &Path) -> Result<Gateway, GatewayError> {
    sys::close_inherited_descriptors(LINK_DESCRIPTOR + 1).trying("close inherited descriptors")?;
    let wire = sys::inherited(LINK_DESCRIPTOR).trying("take the wire")?;
    // Small pages: what one connection needs is less than a large one. A kernel without them is as well.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let plan = std::fs::read(plan_file).trying("read the plan")?;
    let plan: GatewayPlan = serde_json::from_slice(&plan).trying("read the plan")?;
    let refusals = Refusals::new(Instant::now(), Box::new(told_here()?), Timestamp::now);
    let gateway = Gateway::new(&plan, wire, refusals)?;
    for lacking in sandbox::enter(&plan.resolver)? {
        say(&format!("the gateway goes without {lacking}"));
    }
    Ok(gateway)
}

/// The standard output, which never makes us wait: a line that nobody takes is lost.
fn told_here() -> Result<File, GatewayError> {
    let out: OwnedFd = io::stdout().as_fd().try_clone_to_owned().trying("write to the standard output")?;
    let kind = fstat(&out).trying("look at the standard output")?;
    if FileType::from_raw_mode(kind.st_mode) == FileType::Fifo {
        let flags = fcntl_getfl(&out).trying("look at the standard output")?;
        fcntl_setfl(&out, flags | OFlags::NONBLOCK).trying("never wait for the standard output")?;
    }
    Ok(out.into())
}

fn say(message: &str) {
    let line = Line { at: Timestamp::now(), message };
    if let Ok(mut bytes) = serde_json::to_vec(&line) {
        bytes.push(b'\n');
        // There is nobody else to tell.
        let _ = io::stdout().write_all(&bytes);
    }
}
