//! The files around the machines' server that a story may change: an `/etc` and a `/run` of the stage's own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::places;

const RESOLVER_FILE: &str = "/etc/resolv.conf";
/// Where an administrator adds authorities, as Fedora has it; Debian's place is outside of `/etc`.
const AUTHORITIES: &str = "/etc/pki/ca-trust/source/anchors";

/// Puts a copy of `/etc` over it, and an empty `/run`; both live in memory, and go with the namespace.
pub(super) fn own() {
    run("mount", &["-t", "tmpfs", "-o", "mode=755", "stage", "/run"]);
    fs::create_dir("/run/etc").expect("the stage's own /run can be written");
    run("cp", &["-a", "/etc/.", "/run/etc"]);
    run("mount", &["--bind", "/run/etc", "/etc"]);
    use_resolver(places::RESOLVER);
}

/// Makes this the host's resolver, as programs do that know how: by a new file in the place of the old.
pub(crate) fn use_resolver(address: &str) {
    let new = format!("{RESOLVER_FILE}.new");
    fs::write(&new, format!("nameserver {address}\n")).expect("the stage's own /etc can be written");
    fs::rename(&new, RESOLVER_FILE).expect("the stage's own /etc can be written");
}

/// Makes the host trust one authority more.
pub(super) fn trust(authority: &str) {
    fs::create_dir_all(AUTHORITIES).expect("the stage's own /etc can be written");
    fs::write(format!("{AUTHORITIES}/stage.crt"), authority).expect("the stage's own /etc can be written");
}

fn run(program: &str, words: &[&str]) {
    assert!(Path::new("/proc/self/ns/mnt").exists(), "mount namespaces are needed");
    let ended = Command::new(program).args(words).status();
    assert!(ended.is_ok_and(|status| status.success()), "failed: {program} {words:?}");
}
