//! Commands of a Machinefile that run on this computer: never before the file is trusted. See `trust`.

use std::process::{Command, Stdio};

use machine_sdk::api::Code;

use super::Project;
use crate::cli::exit::Failure;

/// Runs an occasion's commands in the project's folder, each to its end; their output is talk.
pub(super) fn run(project: &Project, lines: &[String], occasion: &str) -> Result<(), Failure> {
    for line in lines {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).current_dir(&project.folder).stdin(Stdio::null()).stdout(std::io::stderr());
        let ended =
            command.status().map_err(|error| Failure::file(format!("cannot run the hook {occasion}"), &error))?;
        if !ended.success() {
            return Err(Failure::new(Code::ExecFailed, format!("the hook {occasion} failed: {line}: {ended}"))
                .hint("hooks run on this computer, in the project's folder; `machine config` shows them"));
        }
    }
    Ok(())
}
