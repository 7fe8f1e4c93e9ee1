//! What a build says while it works. Decides nothing; the caller shows or drops it.

use std::fmt;
use std::time::{Duration, Instant};

/// A stretch of a template's build, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reads the host's sources, asks the mirror for its indexes, picks versions.
    Resolve,
    /// Downloads the kernel package.
    Fetch,
    /// Unpacks the kernel: boot image, modules, load order.
    Kernel,
    /// Downloads and installs the guest's packages.
    Build,
    /// Makes the root disk's file system.
    Disk,
    /// Syncs, digests and puts the template in its place.
    Seal,
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Resolve => "resolve",
            Self::Fetch => "fetch",
            Self::Kernel => "kernel",
            Self::Build => "build",
            Self::Disk => "disk",
            Self::Seal => "seal",
        })
    }
}

/// One piece of news from a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A phase began.
    Started(Phase),
    /// A tool said something within a phase.
    Detail(Phase, &'a str),
    /// A phase ended well.
    Finished(Phase, Duration),
}

/// Takes the news; called on the building thread.
pub type Report<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// Runs `work` as `phase`, telling when it starts and when it ends well.
pub(crate) fn during<T, E>(
    phase: Phase,
    report: Report<'_>,
    work: impl FnOnce(&dyn Fn(&str)) -> Result<T, E>,
) -> Result<T, E> {
    report(Progress::Started(phase));
    let start = Instant::now();
    let done = work(&|detail| report(Progress::Detail(phase, detail)))?;
    report(Progress::Finished(phase, start.elapsed()));
    Ok(done)
}
