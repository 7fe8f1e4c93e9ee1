//! What is installed: packages, containers, agents.

use crate::model::{AgentTool, Containers, Packages};
use crate::rule::Rule;
use crate::tree::{Content, Node};

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const PACKAGES: &[&str] = &["apt", "npm", "pip"];
/// Packages of Debian, as they are written.
const DEBIAN: &str = "[git, curl]";
pub(crate) const AGENTS: &[(&str, AgentTool)] = &[("claude-code", AgentTool::ClaudeCode), ("codex", AgentTool::Codex)];

impl Walk<'_> {
    pub(super) fn packages(&mut self, fields: &Fields<'_>) -> Packages {
        let Some(node) = fields.get("packages") else { return Packages::default() };
        match &node.content {
            Content::List(items) => {
                self.came_from("packages.apt", node.at);
                for (number, item) in items.iter().enumerate() {
                    self.came_from(&format!("packages.apt[{number}]"), item.at);
                }
                Packages { apt: self.package_names(fields, "packages", DEBIAN), ..Packages::default() }
            }
            Content::Map(_) => {
                let section = self.fields(node, "packages", PACKAGES);
                Packages {
                    apt: self.package_names(&section, "apt", DEBIAN),
                    npm: self.package_names(&section, "npm", "[typescript]"),
                    pip: self.package_names(&section, "pip", "[requests]"),
                }
            }
            Content::Null | Content::Plain(_) | Content::Quoted(_) => {
                let by_tool = "`packages: {apt: [git], npm: [typescript], pip: [requests]}`";
                let forms = format!("a list of Debian packages: `packages: {DEBIAN}`, or a map of lists: {by_tool}");
                self.wrong_type(node, "packages", &forms);
                Packages::default()
            }
        }
    }

    /// Names that a package tool could not take for an option or a command.
    fn package_names(&mut self, fields: &Fields<'_>, key: &str, form: &str) -> Vec<String> {
        let items = self.items(fields, key, form).unwrap_or_default();
        let mut names: Vec<String> = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let what = format!("{}[{number}]", fields.path_of(key));
            match self.text(item, &what) {
                Some(name) if !is_package(&name) => {
                    let message = format!("{what}: not a package's name: '{}'", short(&name));
                    self.note(Rule::E003, item.at, message, "write a name, with the tool's own form of a version");
                }
                Some(name) if !names.contains(&name) => names.push(name),
                Some(_) | None => {}
            }
        }
        names
    }

    pub(super) fn containers(&mut self, fields: &Fields<'_>) -> Containers {
        let words = [("docker", Containers::Docker), ("none", Containers::None)];
        self.choice(fields, "containers", &words, &["podman"]).unwrap_or(Containers::None)
    }

    pub(super) fn agents(&mut self, fields: &Fields<'_>) -> Vec<AgentTool> {
        let Some(node) = fields.get("agents") else { return Vec::new() };
        if let Content::Plain(text) | Content::Quoted(text) = &node.content
            && text == "none"
        {
            return Vec::new();
        }
        let items: &[Node] = self.items(fields, "agents", "[claude-code]").unwrap_or_default();
        let mut agents = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let agent = self.word(item, &format!("agents[{number}]"), AGENTS, &["gemini"]);
            agents.extend(agent.filter(|agent| !agents.contains(agent)));
        }
        agents
    }
}

fn is_package(name: &str) -> bool {
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '@');
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"@/._+-:~^=<>![],*".contains(&byte);
    begins && name.len() <= 214 && name.bytes().all(letters) && !name.contains("..")
}
