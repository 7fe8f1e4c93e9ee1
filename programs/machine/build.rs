//! Builds the guest's agent, static and small, and puts it where `include_bytes!` finds it: one binary
//! holds both, and `cargo build` never needs to be told.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = manifest.join("../..");
    for watched in ["programs/machine-agent", "crates/agent-protocol", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = format!("{}-unknown-linux-gnu", variable("CARGO_CFG_TARGET_ARCH"));
    // OUT_DIR is <target>/<profile>/build/<package>/out. One agent serves every profile.
    let folder = out.ancestors().nth(4).unwrap_or(&out).join("agent");
    build(&root, &folder, &target);
    let agent = folder.join(&target).join("agent").join("machine-agent");
    if let Err(error) = std::fs::copy(&agent, out.join("machine-agent")) {
        fail(&format!("cannot copy {}: {error}", agent.display()));
    }
}

fn build(root: &Path, folder: &Path, target: &str) {
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--package", "machine-agent", "--profile", "agent", "--target", target, "--target-dir"])
        .arg(folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // Under clippy the outer build has another compiler; the agent is linted as a package of its own.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER");
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("the agent does not build: {status}")),
        Err(error) => fail(&format!("cannot run cargo: {error}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through its environment")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

fn fail(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1)
}
