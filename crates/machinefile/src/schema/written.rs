//! The Machinefile as it is written. Only the schema is made from these types; what a file means is in `model/`.
//! Their comments are what an editor shows.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::work::{Hooks, Ready, Service, Step};

/// A project's machine.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Machinefile {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// Files that this one is laid over, first to last: ./FILE or template:NAME.
    extends: Option<OneOrMore>,
    /// The machine's name. Default: the folder's, and 4 hexadecimal digits of its path.
    #[schemars(regex(pattern = r"^[a-z]([a-z0-9-]{0,37}[a-z0-9])?$"))]
    name: Option<String>,
    /// What the disk begins as. Default: debian:12.
    base: Option<Base>,
    /// The machine's size.
    resources: Option<Resources>,
    /// What becomes of the root disk. Default: ephemeral.
    root: Option<Root>,
    /// Packages that are installed in its image; a list means Debian's.
    packages: Option<Packages>,
    /// What runs containers. Default: none.
    containers: Option<Containers>,
    /// Coding agents that are installed in its image. Default: none.
    agents: Option<Agents>,
    /// Environment of every command; ${VAR} and ${VAR:?message} come from the host.
    env: Option<BTreeMap<String, Scalar>>,
    /// Files with more environment, KEY=VALUE; one that ends in ? may be missing.
    env_files: Option<Vec<String>>,
    /// Secrets of the host, in the guest a file in memory that only its user reads.
    secrets: Option<Vec<Secret>>,
    /// Who works in the machine.
    user: Option<User>,
    /// The folder in which commands start. Default: /workspace.
    workdir: Option<String>,
    /// Folders of the host. Default: the project's, at /workspace.
    mounts: Option<Vec<Mount>>,
    /// Ports of the host that lead to the machine: PORT, HOST:GUEST, ADDRESS:HOST:GUEST, with /udp if it is that.
    ports: Option<Vec<Port>>,
    /// The network.
    network: Option<Network>,
    /// What is done to the machine, in order.
    provision: Option<Vec<Step>>,
    /// Programs that are kept running.
    services: Option<Vec<Service>>,
    /// When the machine counts as ready: all of them.
    ready: Option<Vec<Ready>>,
    /// Commands on the host. They ask for trust.
    hooks: Option<Hooks>,
    /// How long is waited: 30s, 10m, 2h.
    timeouts: Option<Timeouts>,
    /// How much the machine may share with the host. Default: standard.
    isolation: Option<Isolation>,
    /// Labels.
    labels: Option<BTreeMap<String, Scalar>>,
}

/// One text, or a list.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A text; plain numbers and flags are taken as they are written.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Number(f64),
    Flag(bool),
}

/// What a disk begins as.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Base {
    Release(Release),
    Source(BaseSource),
}

/// A release.
#[derive(JsonSchema)]
pub(crate) enum Release {
    #[schemars(rename = "debian:12")]
    Debian12,
}

/// A source by its name.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct BaseSource {
    /// A template of this computer: `machine template ls` lists them.
    template: Option<String>,
}

/// The machine's size.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Resources {
    /// Virtual processors. Default: 2.
    #[schemars(range(min = 1))]
    cpus: Option<u32>,
    /// Memory: 512M, 4GiB, or a number of MiB. Default: 4 GiB, at most half of the host's.
    memory: Option<Size>,
    /// The root disk. Default: 20GiB.
    disk: Option<Size>,
}

/// 512M, 4GiB, or a number of MiB.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Size {
    MiB(u64),
    Text(String),
}

/// A number, or a text.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum NumberOrText {
    Number(u64),
    Text(String),
}

/// What becomes of the root disk.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Root {
    /// Made anew with each machine.
    Ephemeral,
    /// Kept.
    Persistent,
    /// Never written.
    Readonly,
}

/// Packages.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Packages {
    Apt(Vec<String>),
    ByTool(PackagesByTool),
}

/// Packages by who installs them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct PackagesByTool {
    /// Debian's.
    apt: Option<Vec<String>>,
    /// npm's, for all users.
    npm: Option<Vec<String>>,
    /// Python's.
    pip: Option<Vec<String>>,
}

/// What runs containers.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Containers {
    Docker,
    None,
}

/// Coding agents, or `none`.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Agents {
    Nobody(Nobody),
    Some(Vec<AgentTool>),
}

/// None.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Nobody {
    None,
}

/// A coding agent.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(crate) enum AgentTool {
    /// The Claude Code CLI.
    ClaudeCode,
    /// The Codex CLI.
    Codex,
}

/// A secret of the host.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Secret {
    /// What the guest calls it.
    name: String,
    /// env:NAME, file:PATH, or cmd:COMMAND, which asks for trust.
    from: String,
}

/// Who works in the machine.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct User {
    /// Default: dev.
    name: Option<String>,
    /// A number, or host: that of the project folder's owner, which is the default.
    uid: Option<NumberOrText>,
    /// Default: /bin/bash.
    shell: Option<String>,
    /// Whether it may become root. Default: true.
    sudo: Option<bool>,
}

/// A folder of the host in the guest.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Mount {
    /// From the project's folder. What is outside of it asks for trust.
    host: String,
    /// Where it appears.
    guest: String,
    /// Who may write: both, the host, or the guest to a copy of its own. Default: rw.
    mode: Option<MountMode>,
    /// Paths in it that the guest has for itself.
    exclude: Option<Vec<String>>,
    /// Whether what the host runs or obeys (git's hooks and configuration, the editor's settings, the Machinefile)
    /// is read-only in the guest. Default: true.
    guard: Option<bool>,
}

/// Who may write to a mount.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum MountMode {
    Rw,
    Ro,
    Copy,
}

/// A port of the host that leads to the machine.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Port {
    Same(u16),
    Text(String),
    Parts(PortParts),
}

/// A port in parts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct PortParts {
    /// The machine's port.
    #[schemars(range(min = 1))]
    guest: u16,
    /// The host's; 0: it chooses one. Default: the same.
    host: Option<u16>,
    /// Default: tcp.
    proto: Option<Proto>,
    /// Where the host listens. Default: 127.0.0.1; others ask for trust.
    address: Option<String>,
}

/// What carries the bytes.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Proto {
    Tcp,
    Udp,
}

/// The network.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Network {
    /// Default: user.
    mode: Option<NetworkMode>,
    /// What the machine may reach.
    egress: Option<Egress>,
    /// Whether certificate authorities that the host trusts are trusted in the guest, too. Default: true.
    host_ca: Option<bool>,
    /// Names with fixed addresses in the guest.
    hosts: Option<BTreeMap<String, String>>,
}

/// Whether there is a network.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum NetworkMode {
    User,
    None,
}

/// What the machine may reach: ADDRESS, CIDR, HOST or *.DOMAIN, with an optional :PORT and /tcp, /udp or /icmp.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Egress {
    /// For what no entry fits. Default: allow; with `isolation: strict`, deny.
    policy: Option<Policy>,
    /// What is allowed. Private addresses and the host are reached only if named here, which asks for trust.
    allow: Option<Vec<String>>,
    /// What is denied; wins over allow.
    deny: Option<Vec<String>>,
}

/// Allowed or denied.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Policy {
    Allow,
    Deny,
}

/// How long is waited: 30s, 10m, 2h.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// For a boot. Default: 150s.
    boot: Option<String>,
    /// For a stop, before the power is cut; 0 cuts it at once. Default: 30s.
    stop: Option<NumberOrText>,
}

/// How much the machine may share with the host.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Isolation {
    /// What the file says.
    Standard,
    /// No mounts of the host; what is not allowed cannot be reached.
    Strict,
}
