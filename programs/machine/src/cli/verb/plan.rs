//! `plan`: what a start of the project would do, and why so. Changes nothing.

use machine_machinefile::model::{Base, Machinefile, Mount, MountMode, Root};
use machine_sdk::api::MachineInfo;
use machine_sdk::api::word::VerdictWord;
use serde::Serialize;
use serde_json::json;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::project::means::{self, Means, Way};
use crate::cli::project::{self, Project};
use crate::cli::table::{Cell, pairs};
use crate::cli::word::escape;

const MOUNT: &str = "mount";

/// A folder of this computer, and by what means the guest has it.
#[derive(Debug, Serialize)]
struct MountRow {
    host: String,
    guest: String,
    mode: MountMode,
    by: By,
    /// Why it is not as the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What of it the guest has for itself.
    exclude: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Virtiofs,
    Copy,
    None,
}

/// Prints the plan.
pub(crate) async fn plan(desk: &Desk) -> Result<u8, Failure> {
    let project = project::need(desk)?;
    let asks = project::asks(&project, desk);
    let machine = project.machine(desk).await?;
    let template = project.template()?;
    let templates = desk.link.ask(async |client| client.templates().await).await?;
    let built = templates.iter().any(|known| known.name == template);
    let version = desk.link.ask(async |client| client.version().await).await?;
    let accelerator =
        version.accelerator.unwrap_or_else(|| "this host cannot run machines: `machine doctor`".to_owned());
    let means = means::planned(&project, machine.as_ref(), desk).await?;
    let mounts: Vec<MountRow> = project.file.mounts.iter().map(|mount| MountRow::of(&project, mount, &means)).collect();
    let rows = rows(&project, machine.as_ref(), (&template, built), &accelerator, &mounts, &asks);
    if desk.voice.json() {
        let texts = rows.iter().filter(|(name, _)| *name != MOUNT);
        let mut plan: serde_json::Map<_, _> =
            texts.map(|(name, text)| ((*name).replace(' ', "_"), json!(text))).collect();
        plan.insert("mounts".to_owned(), json!(mounts));
        desk.voice.document(&plan)?;
        return Ok(0);
    }
    let cells: Vec<(&str, Cell)> = rows.iter().map(|(name, text)| (*name, Cell::from(escape::plain(text)))).collect();
    desk.voice.print(&pairs(&cells, desk.voice.out.paint))?;
    Ok(0)
}

fn rows(
    project: &Project,
    machine: Option<&MachineInfo>,
    (template, built): (&str, bool),
    accelerator: &str,
    mounts: &[MountRow],
    asks: &[String],
) -> Vec<(&'static str, String)> {
    let file = &project.file;
    let kind = machine_machinefile::detect::detect(&project.folder).word();
    let is = machine.map_or("made anew".to_owned(), |machine| format!("{} now", machine.phase));
    let size = &file.resources;
    let mut rows = vec![
        ("project", format!("{} ({kind}) in {}", file.name, project.folder.display())),
        (
            "machine",
            format!("{is}; {} cpus, {} memory, {} disk; root {}", size.cpus, size.memory, size.disk, root(file.root)),
        ),
        ("template", format!("{template}, {}: {}", if built { "built" } else { "to be built" }, software(file))),
        ("hypervisor", format!("qemu, {accelerator}")),
    ];
    let mut list = |name, texts: Vec<String>| rows.extend(texts.into_iter().map(|text| (name, text)));
    list(MOUNT, mounts.iter().map(MountRow::line).collect());
    list("port", file.ports.iter().map(ToString::to_string).collect());
    list("egress", vec![egress(file)]);
    list("provision", project.provision_names());
    list("service", file.services.iter().map(|service| format!("{}: {}", service.name, service.run)).collect());
    list("ready", project.probe_names());
    list("needs trust", asks.to_vec());
    rows
}

fn software(file: &Machinefile) -> String {
    let base = match &file.base {
        Base::Debian12 => "debian:12".to_owned(),
        Base::Template(name) => name.to_string(),
    };
    let packages = &file.packages;
    let mut parts = vec![base];
    parts.extend(packages.apt.iter().cloned());
    parts.extend(packages.npm.iter().map(|name| format!("npm {name}")));
    parts.extend(packages.pip.iter().map(|name| format!("pip {name}")));
    match file.containers {
        machine_machinefile::model::Containers::Docker => parts.push("docker".to_owned()),
        machine_machinefile::model::Containers::None => {}
    }
    parts.extend(file.agents.iter().map(|tool| project::wish::agent(tool).word().to_owned()));
    parts.join(", ")
}

impl MountRow {
    fn of(project: &Project, mount: &Mount, means: &Means) -> Self {
        let (by, why) = match means::way(&project.file, mount, means) {
            Way::Shared => (By::Virtiofs, None),
            Way::Copied => (By::Copy, None),
            Way::CopiedInstead { why } => (By::Copy, Some(format!("this host cannot share folders: {why}"))),
            Way::Kept => (By::None, Some("isolation strict shares no folder".to_owned())),
        };
        let (host, guest) = (mount.source.display().to_string(), mount.guest.clone());
        Self { host, guest, mode: mount.mode, by, why, exclude: mount.exclude.clone() }
    }

    fn line(&self) -> String {
        let mode = match self.mode {
            MountMode::Rw => "rw",
            MountMode::Ro => "ro",
            MountMode::Copy => "copy",
        };
        let by = match (self.by, self.mode) {
            (By::Virtiofs, _) => "by virtiofs",
            (By::Copy, MountMode::Rw | MountMode::Copy) => {
                "by copy: copied in at each start; `machine sync back` copies out"
            }
            (By::Copy, MountMode::Ro) => "by copy: copied in at each start, read-only",
            (By::None, _) => "not shown",
        };
        let why = self.why.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        let own = if self.exclude.is_empty() {
            String::new()
        } else {
            format!("; the guest's own: {}", self.exclude.join(", "))
        };
        format!("{} at {}, {mode}, {by}{why}{own}", self.host, self.guest)
    }
}

fn egress(file: &Machinefile) -> String {
    let policy = &file.network.egress;
    if !file.network.mode.is_usual() {
        return "none: it has no network".to_owned();
    }
    let list = |word: &str, entries: Vec<String>| {
        if entries.is_empty() { String::new() } else { format!("; {word} {}", entries.join(", ")) }
    };
    let allowed = list("allowed", policy.allow.iter().map(ToString::to_string).collect());
    let refused = list("refused", policy.deny.iter().map(ToString::to_string).collect());
    let otherwise: VerdictWord = policy.otherwise.into();
    format!("{otherwise} what no rule names{allowed}{refused}")
}

const fn root(root: Root) -> &'static str {
    match root {
        Root::Ephemeral => "ephemeral (given up at stop)",
        Root::Persistent => "persistent",
        Root::Readonly => "readonly",
    }
}
