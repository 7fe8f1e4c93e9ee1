//! Builds the load that guests run while their network is measured: static, so that any guest runs it, and put
//! where `include_bytes!` finds it.

use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "load/main.rs";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let out = PathBuf::from(variable("OUT_DIR")).join("load");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", "load", "--target", &variable("TARGET")]);
    rustc.args([
        "-C",
        "target-feature=+crt-static",
        "-C",
        "opt-level=s",
        "-C",
        "lto=fat",
        "-C",
        "panic=abort",
        "-C",
        "strip=symbols",
    ]);
    rustc.arg("-o").arg(&out).arg(SOURCE);
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("the load does not build: {status}")),
        Err(error) => fail(&format!("cannot run rustc: {error}")),
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
