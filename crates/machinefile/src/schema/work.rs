//! Provisioning, services, readiness and hooks as they are written. The other keys are in `written.rs`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::written::{NumberOrText, Scalar};

/// One thing that is done: exactly one of run, script, file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Step {
    /// A command for the guest's shell.
    run: Option<String>,
    /// A script of the project.
    script: Option<String>,
    /// The path of a file in the guest that is written.
    file: Option<String>,
    /// What the file says.
    content: Option<Scalar>,
    /// The file's permissions, in octal. Default: "0644".
    mode: Option<NumberOrText>,
    /// Who does it. Default: user; for a file, root.
    #[schemars(rename = "as")]
    run_as: Option<RunAs>,
    /// When. Default: create.
    when: Option<When>,
}

/// Who does it.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum RunAs {
    User,
    Root,
}

/// When it is done.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum When {
    /// Once, when the machine is made.
    Create,
    /// At each boot.
    Boot,
    /// At each start.
    Start,
}

/// A program that is kept running.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Service {
    /// What it is called.
    name: String,
    /// The command.
    run: String,
    /// When it is started again. Default: no.
    restart: Option<Restart>,
    /// Who runs it. Default: the machine's user.
    user: Option<String>,
    /// Its environment, over the machine's.
    env: Option<BTreeMap<String, Scalar>>,
    /// Where it runs. Default: the machine's workdir.
    workdir: Option<String>,
}

/// When a service is started again.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(crate) enum Restart {
    No,
    OnFailure,
    Always,
}

/// One condition of readiness: exactly one of port, run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Ready {
    /// Somebody listens on this port in the guest.
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// This command succeeds in the guest.
    run: Option<String>,
    /// How long is waited. Default: 60s.
    timeout: Option<String>,
}

/// Commands on the host, in the project's folder.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Hooks {
    /// Before a start.
    pre_start: Option<Vec<String>>,
    /// After it.
    post_start: Option<Vec<String>>,
    /// Before a stop.
    pre_stop: Option<Vec<String>>,
    /// After it.
    post_stop: Option<Vec<String>>,
}
