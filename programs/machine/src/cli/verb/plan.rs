//! `plan`: what a start of the project would do, and why so. Changes nothing.

use machine_machinefile::model::{Base, Isolation, Machinefile, MountMode, Root};
use machine_sdk::api::MachineInfo;
use machine_sdk::api::word::VerdictWord;
use serde_json::json;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::project::{self, Project};
use crate::cli::table::{Cell, pairs};
use crate::cli::word::escape;

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
    let rows = rows(&project, machine.as_ref(), (&template, built), &accelerator, &asks);
    if desk.voice.json() {
        let plan: serde_json::Map<_, _> =
            rows.iter().map(|(name, text)| ((*name).replace(' ', "_"), json!(text))).collect();
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
    list("mount", mounts(project));
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

fn mounts(project: &Project) -> Vec<String> {
    let file = &project.file;
    let shown = file.mounts.iter().map(|mount| {
        let (mode, by) = match (mount.mode, file.isolation) {
            (MountMode::Copy, _) => ("copy", "copied in at each start; `machine sync back` copies out"),
            (_, Isolation::Strict) => ("none", "isolation strict shares no folder"),
            (MountMode::Rw, Isolation::Standard) => ("rw", "by virtiofs"),
            (MountMode::Ro, Isolation::Standard) => ("ro", "by virtiofs"),
        };
        let own = if mount.exclude.is_empty() {
            String::new()
        } else {
            format!("; the guest's own: {}", mount.exclude.join(", "))
        };
        format!("{} at {}, {mode}, {by}{own}", mount.source.display(), mount.guest)
    });
    shown.collect()
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
