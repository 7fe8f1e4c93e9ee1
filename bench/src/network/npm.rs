//! `npm ci` in a guest, of a lock that the host's npm has resolved, with the host's own node: the base template has
//! none. Where the host has no node, or the guest finds no registry, that is told and not measured.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

use super::side::Side;
use super::update;
use crate::report::Report;

/// Whom the host trusts; its registry may be one of its own.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What is installed: some seventy packages.
const PROJECT: &str = r#"{"name": "measured", "version": "1.0.0", "dependencies": {"express": "^4.21.0"}}"#;
/// From nothing each time.
const INSTALL: &str = "cd /opt/measured && rm -rf node_modules /opt/npm-cache && \
    NODE_EXTRA_CA_CERTS=/opt/node/authorities.pem PATH=/opt/node/bin:$PATH npm ci --cache /opt/npm-cache --no-audit --no-fund --ignore-scripts";

/// The sides after the first beside it, turn and turn about.
pub(super) async fn measure(room: &Path, sides: &[Side], report: &mut Report) -> anyhow::Result<()> {
    let archive = match pack(room).await {
        Ok(archive) => archive,
        Err(why) => {
            eprintln!("not measured: npm ci: {why:#}");
            return Ok(());
        }
    };
    let registry = output(room, "npm", &["config", "get", "registry"]).await?;
    let install = format!("export npm_config_registry={}; {INSTALL}", registry.trim());
    for side in sides {
        side.put("/opt/measured.tar", &archive).await?;
        side.shell("tar -xf /opt/measured.tar -C /opt && rm /opt/measured.tar").await?.map_err(anyhow::Error::msg)?;
    }
    update::in_turns(sides, "npm ci", &install, report).await
}

/// An archive of `node/bin` and of `measured` with its lock.
async fn pack(room: &Path) -> anyhow::Result<Vec<u8>> {
    let (project, programs) = (room.join("measured"), room.join("node/bin"));
    std::fs::create_dir_all(&project)?;
    std::fs::create_dir_all(&programs)?;
    std::fs::write(project.join("package.json"), PROJECT)?;
    output(&project, "npm", &["install", "--package-lock-only", "--no-audit", "--no-fund"]).await?;
    let node = output(room, "node", &["-p", "process.execPath"]).await?;
    std::fs::copy(node.trim(), programs.join("node"))?;
    std::fs::copy(AUTHORITIES, room.join("node/authorities.pem")).context("the host trusts nobody")?;
    let modules = output(room, "npm", &["root", "-g"]).await?;
    let from = Path::new(modules.trim()).join("npm");
    let to = room.join("node/lib/node_modules/npm");
    std::fs::create_dir_all(to.parent().context("a folder")?)?;
    output(room, "cp", &["-a", &from.display().to_string(), &to.display().to_string()]).await?;
    std::os::unix::fs::symlink("../lib/node_modules/npm/bin/npm-cli.js", programs.join("npm"))?;
    output(room, "tar", &["-cf", "measured.tar", "node", "measured"]).await?;
    Ok(std::fs::read(room.join("measured.tar"))?)
}

async fn output(folder: &Path, program: &str, words: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().await.with_context(|| format!("the host has no {program}"))?;
    anyhow::ensure!(output.status.success(), "{program} {} failed", words.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
