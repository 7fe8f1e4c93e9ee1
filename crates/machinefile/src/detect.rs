//! What kind of project a folder holds, and the file that `machine init` writes for it.

use std::path::Path;

/// A kind of project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectKind {
    /// `package.json`.
    Node,
    /// `pyproject.toml`, `requirements.txt` or `setup.py`.
    Python,
    /// `Cargo.toml`.
    Rust,
    /// `go.mod`.
    Go,
    /// None of them.
    Plain,
}

const SIGNS: &[(&str, ProjectKind)] = &[
    ("package.json", ProjectKind::Node),
    ("pyproject.toml", ProjectKind::Python),
    ("requirements.txt", ProjectKind::Python),
    ("setup.py", ProjectKind::Python),
    ("Cargo.toml", ProjectKind::Rust),
    ("go.mod", ProjectKind::Go),
];

/// What differs between the files of kinds of projects.
struct Starter {
    packages: &'static str,
    exclude: &'static str,
    step: &'static str,
}

/// The kind of the project in a folder: by the first sign that is there.
#[must_use]
pub fn detect(folder: &Path) -> ProjectKind {
    let found = SIGNS.iter().find(|(sign, _)| folder.join(sign).is_file());
    found.map_or(ProjectKind::Plain, |(_, kind)| *kind)
}

/// The file that `machine init` writes: the essential lines live, more as comments.
#[must_use]
pub fn starter_file(kind: ProjectKind) -> String {
    let Starter { packages, exclude, step } = starter(kind);
    let mounts = match exclude {
        "" => String::new(),
        folder => format!(
            "\n# The project's folder. What is excluded the machine has for itself.\n\
             mounts: [{{host: ., guest: /workspace, exclude: [{folder}]}}]\n"
        ),
    };
    format!(
        "# This project's machine: `machine start`, then `machine run CMD` or `machine shell`.\n\
         # Every key has a default; `machine config` shows them all.\n\
         version: 1\n\
         base: debian:12\n\
         packages: {packages}\n\
         containers: docker\n\
         agents: [claude-code]      # brings Node.js, too; also: codex\n\
         {mounts}\n\
         # Its size, if the default (2 processors, up to 4 GiB) does not fit:\n\
         # resources: {{cpus: 4, memory: 8GiB, disk: 40GiB}}\n\
         \n\
         # Ports of the machine that this computer reaches at 127.0.0.1:\n\
         # ports: [\"3000\", \"18080:8080\"]\n\
         \n\
         # What is done once, when the machine is made:\n\
         # provision:\n\
         #   - {{run: {step}}}\n\
         \n\
         # Environment, and secrets out of this computer's:\n\
         # env: {{APP_ENV: dev}}\n\
         # secrets: [{{name: TOKEN, from: env:TOKEN}}]\n\
         \n\
         # What it may reach, if not everything public:\n\
         # network: {{egress: {{policy: deny, allow: [example.com, \"*.example.com\"]}}}}\n"
    )
}

fn starter(kind: ProjectKind) -> Starter {
    match kind {
        ProjectKind::Node => Starter { packages: "{apt: [git], npm: [npm]}", exclude: "node_modules", step: "npm ci" },
        ProjectKind::Python => Starter {
            packages: "{apt: [git, python3, python3-pip, python3-venv]}",
            exclude: "",
            step: "python3 -m venv ~/venv",
        },
        ProjectKind::Rust => {
            Starter { packages: "{apt: [git, build-essential, cargo]}", exclude: "target", step: "cargo fetch" }
        }
        ProjectKind::Go => Starter { packages: "{apt: [git, golang]}", exclude: "", step: "go mod download" },
        ProjectKind::Plain => Starter { packages: "{apt: [git]}", exclude: "", step: "echo hello" },
    }
}

impl ProjectKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Node, Self::Python, Self::Rust, Self::Go, Self::Plain];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Plain => "plain",
        }
    }
}
