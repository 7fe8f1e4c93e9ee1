//! The environment and the secrets of a project's machine: from its file, from the files that it names, from ours.
//! Values of secrets go to the guest's memory and nowhere else: not into a record, an argument or an error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use machine_machinefile::environment::{self, SecretValue};
use machine_machinefile::model::Secret;
use machine_sdk::api::project::PutSecrets;
use machine_sdk::api::{Code, MachineInfo};

use super::Project;
use crate::cli::Desk;
use crate::cli::exit::Failure;

/// The environment of every command: what the files say, and over it what the Machinefile says.
pub(super) fn of(project: &Project, desk: &Desk) -> Result<BTreeMap<String, String>, Failure> {
    let read = environment::environment(&project.file, &project.folder, home(desk).as_deref());
    read.map_err(|error| Failure::new(Code::InvalidRequest, with_source(&error)))
}

/// The guest has the secrets afterwards, and no others.
pub(super) async fn give_secrets(project: &Project, machine: &MachineInfo, desk: &Desk) -> Result<(), Failure> {
    let mut secrets = BTreeMap::new();
    for secret in &project.file.secrets {
        secrets.insert(secret.name.clone(), value(project, secret, desk)?);
    }
    let put = PutSecrets { secrets, uid: project.file.user.uid };
    desk.link.ask(async |client| client.put_secrets(&machine.id, &put).await).await
}

fn value(project: &Project, secret: &Secret, desk: &Desk) -> Result<String, Failure> {
    let unresolved = |why: String| {
        let message = format!("E050 the secret {} cannot be had: {why}", secret.name);
        Failure::new(Code::InvalidRequest, message).hint("nothing is started without it")
    };
    let lookup = |name: &str| desk.context.environment.get(name);
    let found = environment::secret(&secret.from, &project.folder, home(desk).as_deref(), &lookup);
    let bytes = match found.map_err(|error| unresolved(with_source(&error)))? {
        SecretValue::Known(bytes) => bytes,
        SecretValue::Printed(line) => {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &line]).current_dir(&project.folder).stdin(Stdio::null()).stderr(Stdio::inherit());
            let ran = command.output().map_err(|error| unresolved(format!("its command: {error}")))?;
            if !ran.status.success() {
                return Err(unresolved(format!("its command: {}", ran.status)));
            }
            ran.stdout
        }
    };
    let text = String::from_utf8(bytes).map_err(|_| unresolved("it is no text".to_owned()))?;
    // As editors and `echo` end a line.
    Ok(text.strip_suffix('\n').map_or_else(|| text.clone(), str::to_owned))
}

fn home(desk: &Desk) -> Option<PathBuf> {
    desk.context.personal.as_ref().and_then(|home| std::fs::canonicalize(home).ok())
}

fn with_source(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}
