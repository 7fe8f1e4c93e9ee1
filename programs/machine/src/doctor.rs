//! What this host can do, what it lacks, and the command that fixes it. Asks the host itself, so that it
//! helps where no server can start.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use machine_core::promise::folders::Sharing;
use machine_hypervisor::accelerator::{Accelerator, probe_cached};
use machine_hypervisor::driver::qemu::Installation;
use machine_hypervisor::process::this_program;
use machine_image::{RECIPE_TOOLS, TOOLS, Template, Tool, ToolError};
use serde::Serialize;

use crate::settings::Settings;

const QEMU: &str = "qemu-system-x86_64";
const INSTALL: &str = "run scripts/install-host of the source tree, or `apt-get install";
const PROBE: Duration = Duration::from_secs(6);
/// What a build of the base template and a few machines need.
const ROOMY: u64 = 4 << 30;
const NOT_CAPABLE: u8 = 9;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Ok,
    /// Something that only some need is not there.
    Note,
    /// It works, but worse than it could.
    Warning,
    /// Machines cannot be made or run.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// How the checks are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Show {
    /// Lines for a person.
    Lines,
    /// One JSON document.
    Json,
}

/// Looks at everything and prints it; fails if machines cannot be made here.
pub(crate) async fn doctor(settings: &Settings, show: Show) -> ExitCode {
    let checks = examine(settings).await;
    let text = match show {
        Show::Json => format!("{}\n", serde_json::json!({ "checks": checks })),
        Show::Lines => checks.iter().map(lines).collect(),
    };
    // A reader that went away has seen what it wanted.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let missing = checks.iter().any(|check| check.verdict == Verdict::Missing);
    if missing { ExitCode::from(NOT_CAPABLE) } else { ExitCode::SUCCESS }
}

async fn examine(settings: &Settings) -> Vec<Check> {
    let cache = settings.home.join("cache");
    let home = home(settings);
    let mut checks = accelerator_and_qemu(settings, &cache).await;
    checks.extend(TOOLS.into_iter().map(|tool| match tool.find() {
        Ok(path) => ok(tool.name, path.display().to_string()),
        Err(error) => missing(tool.name, error.to_string(), format!("{INSTALL} {}`", tool.package)),
    }));
    checks.extend(RECIPE_TOOLS.into_iter().map(|(tool, recipes)| of_recipes(tool, recipes, tool.find())));
    checks.extend(user_namespaces());
    checks.push(home);
    checks.push(folders(settings).await);
    checks.push(template(settings));
    checks
}

async fn accelerator_and_qemu(settings: &Settings, cache: &Path) -> Vec<Check> {
    let verdict = probe_cached(&this_program(), PROBE, cache).await;
    let accelerator = match verdict.accelerator {
        Accelerator::Kvm => ok("kvm", verdict.reason.clone()),
        Accelerator::Tcg => warning(
            "kvm",
            format!("no usable KVM, machines are emulated: {}", verdict.reason),
            "use a host with hardware virtualization and access to /dev/kvm".to_owned(),
        ),
    };
    let found = settings.search.iter().map(|folder| folder.join(QEMU)).find(|path| path.is_file());
    let qemu = match found {
        Some(path) => qemu(&path, verdict.accelerator, cache).await,
        None => missing("qemu", format!("no {QEMU}"), format!("{INSTALL} qemu-system-x86`")),
    };
    vec![accelerator, qemu]
}

async fn qemu(path: &Path, accelerator: Accelerator, cache: &Path) -> Check {
    match Installation::probe(path, accelerator, cache).await {
        Ok(found) => ok("qemu", format!("{} {}", path.display(), found.version)),
        Err(error) => {
            missing("qemu", format!("{:#}", anyhow::Error::from(error)), format!("{INSTALL} qemu-system-x86`"))
        }
    }
}

/// A registry's client, which only those need who build templates with its packages.
fn of_recipes(tool: Tool, recipes: &str, found: Result<PathBuf, ToolError>) -> Check {
    match found {
        Ok(path) => ok(tool.name, path.display().to_string()),
        Err(_) => note(
            tool.name,
            format!("not installed for all users: templates with {recipes} cannot be built"),
            format!("run `scripts/install-host recipes` of the source tree, or `apt-get install {}`", tool.package),
        ),
    }
}

/// Who is not root builds templates in a user namespace, which needs ids of one's own to map.
fn user_namespaces() -> Option<Check> {
    let uid = rustix::process::geteuid().as_raw();
    if uid == 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of_uid = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
    let name = passwd.lines().find(of_uid).and_then(|line| line.split(':').next()).unwrap_or_default().to_owned();
    let lacks = ["/etc/subuid", "/etc/subgid"].into_iter().find(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        !text.lines().any(|line| line.split(':').next().is_some_and(|who| who == name || who == uid.to_string()))
    });
    Some(match lacks {
        None => ok("subordinate ids", format!("{name} has some to build templates with")),
        Some(file) => warning(
            "subordinate ids",
            format!("{name} has none in {file}: templates cannot be built by this user"),
            format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"),
        ),
    })
}

fn home(settings: &Settings) -> Check {
    let home = &settings.home;
    let free = Settings::make_private(home).map_err(|error| error.to_string()).and_then(|()| free_bytes(home));
    match free {
        Ok(free) if free < ROOMY => warning(
            "home",
            format!("{} has {} MiB free", home.display(), free >> 20),
            "free some space, or set MACHINE_HOME to a folder on a larger disk".to_owned(),
        ),
        Ok(free) => ok("home", format!("{}, {} GiB free", home.display(), free >> 30)),
        Err(why) => missing("home", why, "set MACHINE_HOME to a folder that you may write".to_owned()),
    }
}

/// Whether machines can see folders of this host, or get copies.
async fn folders(settings: &Settings) -> Check {
    const NAME: &str = "folders";
    let mend = "allow user namespaces (sysctl user.max_user_namespaces), or Landlock: `lsm=` of the kernel, and what a \
                container refuses";
    match machine_provider::probe_sharing(&this_program(), &settings.home).await {
        Ok(Sharing::Virtiofs) => ok(NAME, "shared with machines by virtiofs".to_owned()),
        Ok(Sharing::Refused { why }) => {
            warning(NAME, format!("cannot be shared, machines of projects get copies: {why}"), mend.to_owned())
        }
        Err(error) => warning(NAME, error.to_string(), "ask again; if it stays so, look at `dmesg`".to_owned()),
    }
}

fn free_bytes(path: &Path) -> Result<u64, String> {
    let free = rustix::fs::statvfs(path).map_err(|error| format!("cannot look at {}: {error}", path.display()))?;
    Ok(free.f_bavail.saturating_mul(free.f_frsize))
}

fn template(settings: &Settings) -> Check {
    let images: PathBuf = settings.home.join("images");
    match Template::load(&images, "base") {
        Ok(template) => ok("template base", format!("kernel {}", template.manifest.identity.kernel_version)),
        Err(error) => warning("template base", error.to_string(), "machine template build base".to_owned()),
    }
}

fn ok(name: &'static str, detail: String) -> Check {
    Check { name, verdict: Verdict::Ok, detail, fix: None }
}

fn note(name: &'static str, detail: String, fix: String) -> Check {
    Check { name, verdict: Verdict::Note, detail, fix: Some(fix) }
}

fn warning(name: &'static str, detail: String, fix: String) -> Check {
    Check { name, verdict: Verdict::Warning, detail, fix: Some(fix) }
}

fn missing(name: &'static str, detail: String, fix: String) -> Check {
    Check { name, verdict: Verdict::Missing, detail, fix: Some(fix) }
}

fn lines(check: &Check) -> String {
    let word = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Note => "note",
        Verdict::Warning => "warning",
        Verdict::Missing => "missing",
    };
    let fix = check.fix.as_ref().map(|fix| format!("{:<8} {:<16} fix: {fix}\n", "", "")).unwrap_or_default();
    format!("{word:<8} {:<16} {}\n{fix}", check.name, check.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_only_recipes_need_is_noted_with_what_brings_it() {
        let (tool, recipes) = RECIPE_TOOLS[1];
        let missing = ToolError::Missing { tool: tool.name, package: tool.package };
        let expected = "\
note     pip3             not installed for all users: templates with Python packages cannot be built
                          fix: run `scripts/install-host recipes` of the source tree, or `apt-get install python3-pip`
";
        assert_eq!(lines(&of_recipes(tool, recipes, Err(missing))), expected);
        let there = of_recipes(tool, recipes, Ok(PathBuf::from("/usr/bin/pip3")));
        assert_eq!(lines(&there), "ok       pip3             /usr/bin/pip3\n");
    }
}
