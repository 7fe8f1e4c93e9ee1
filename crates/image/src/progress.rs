//! Tells core's reports of a build: when a stage begins, what its tools say, and when it ends well.

use std::time::Instant;

use machine_core::Progress;
use machine_core::stage::{Report, Stage, StageTime};

/// Runs `work` as `stage`, telling when it begins and when it ends well.
pub(crate) fn during<T, E>(
    stage: Stage,
    progress: &Progress,
    work: impl FnOnce(&dyn Fn(&str)) -> Result<T, E>,
) -> Result<T, E> {
    progress.tell(Report::Begun(stage));
    let begun = Instant::now();
    let done = work(&|detail| progress.tell(Report::Told(stage, detail.to_owned())))?;
    progress.tell(Report::Ended(StageTime::new(stage, begun.elapsed())));
    Ok(done)
}
