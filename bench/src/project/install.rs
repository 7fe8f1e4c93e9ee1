//! `npm ci` in the shared folder with `node_modules` excluded, beside the same in a folder of the guest's own disk:
//! what a developer types after each change of branch. The packages are in npm's cache, so that no registry is
//! measured.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

use super::Project;
use crate::figures::Samples;
use crate::home::Home;
use crate::report::Report;

/// A template with Node.js, and a folder of its own disk beside the one for the packages.
pub(super) const MACHINEFILE: &str = "version: 1\nname: installed\npackages: {npm: [npm]}\n\
    resources: {cpus: 2, memory: 1GiB}\n\
    mounts: [{host: ., guest: /workspace, exclude: [node_modules, own]}]\n";
/// What is installed: more than a hundred packages.
const PACKAGE: &str =
    r#"{"name": "installed", "version": "1.0.0", "dependencies": {"express": "^4.21.0", "fastify": "^4.28.0"}}"#;
const INSTALL: &str = "npm ci --cache /var/tmp/npm-cache --prefer-offline --no-audit --no-fund --ignore-scripts";

pub(super) async fn measure(home: &Home, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let project = Project::lay(home, "installed", MACHINEFILE)?;
    let packages = match lock(project.folder()).await {
        Ok(packages) => packages,
        Err(why) => {
            eprintln!("not measured: npm ci in a project: {why:#}");
            return Ok(());
        }
    };
    project.timed(&["start"]).await?;
    // The first fills npm's cache.
    project.seconds(&format!("cp package.json package-lock.json own/ && cd own && {INSTALL}")).await?;
    let (mut shared, mut own) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        for (folder, samples) in [("/workspace", &mut shared), ("/workspace/own", &mut own)] {
            project.seconds(&format!("cd {folder} && rm -rf node_modules/* && sync")).await?;
            samples.push(project.seconds(&format!("cd {folder} && {INSTALL}")).await?);
        }
    }
    project.timed(&["destroy", "--yes"]).await?;
    let plain = own.figures();
    let what = format!("project: npm ci of {packages} packages");
    report.line(format!("{what}, the guest's own disk"), "s", plain, None);
    report.line(format!("{what}, node_modules excluded"), "s", shared.figures(), Some(plain.p50));
    Ok(())
}

/// Has the host's npm resolve the packages; answers how many they are.
async fn lock(folder: &Path) -> anyhow::Result<usize> {
    std::fs::write(folder.join("package.json"), PACKAGE)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--package-lock-only", "--no-audit", "--no-fund"]).current_dir(folder);
    let locked = npm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    anyhow::ensure!(locked.context("the host has no npm")?.success(), "npm could not resolve them");
    let lock: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("package-lock.json"))?)?;
    let packages = lock["packages"].as_object().context("npm wrote another kind of lock")?;
    // One of them is the project itself.
    Ok(packages.len().saturating_sub(1))
}
