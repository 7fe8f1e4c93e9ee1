//! `provision`: the project's provisioning once more, all of it, in the machine as it is.

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};
use crate::cli::project;

/// Provisions the project's machine again.
pub(crate) async fn provision(desk: &Desk) -> Result<u8, Failure> {
    let project = project::need(desk)?;
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let machine = project::start(&project, desk, &mut progress, project::How::Asked).await?;
    project::provision_again(&project, &machine, desk, &mut progress).await?;
    progress.done(&format!("{} is provisioned", machine.called()));
    desk.voice.changed(&machine)?;
    Ok(0)
}
