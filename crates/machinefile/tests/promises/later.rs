//! What the full Machinefile has and this build has not is refused by name: never unknown, never passed over.

use crate::stage::{Stage, broken};

const LATER: &[&str] = &[
    "volumes: [{name: a, guest: /b, size: 1GiB}]",
    "gpu: {count: 1}",
    "devices: [{usb: \"0bda:2838\"}]",
    "provider: {name: aws}",
    "provider: aws",
    "hypervisor: firecracker",
    "hypervisor_options: {extra_args: [a]}",
    "snapshots: {before_provision: true}",
    "snapshots: {schedule: daily}",
    "desktop: {resolution: 1280x720}",
    "params: {a: b}",
    "base: ubuntu:24.04",
    "base: {oci: a}",
    "base: {dockerfile: ./Dockerfile}",
    "base: {flake: .#dev}",
    "base: {snapshot: a}",
    "packages: {nix: [a]}",
    "packages: {apk: [a]}",
    "containers: podman",
    "agents: [gemini]",
    "secrets: [{name: A, from: env:WHO, hosts: [a.test]}]",
    "secrets: [{name: A, from: env:WHO, as: proxy}]",
    "provision: [{ansible: site.yml}]",
    "provision: [{cloud_init: a.yaml}]",
    "provision: [{flake: .#dev}]",
    "network: {mode: tap}",
    "network: {mode: bridge}",
    "network: {ip: 192.0.2.1/24}",
    "network: {dns: 192.0.2.1}",
    "timeouts: {idle: 30m}",
    "timeouts: {on_idle: hibernate}",
    "timeouts: {max_lifetime: 1h}",
    "timeouts: {on_timeout: destroy}",
    "timeouts: {auto_resume: true}",
];

#[test]
fn every_key_and_value_of_later_is_refused_by_name() {
    for line in LATER {
        let reading = Stage::new(&format!("version: 1\n{line}\n")).read();
        let codes: Vec<&str> = reading.report.findings().iter().map(|finding| finding.code.code()).collect();
        assert_eq!(codes, ["E011"], "{line}\n{}", reading.report.render());
        let message = &reading.report.findings()[0].message;
        assert!(message.ends_with("is not honoured by this build yet"), "{message}");
    }
}

#[test]
fn what_asks_for_nothing_is_let_be() {
    let nothing = "volumes: []\ngpu: null\ndevices:\nprovider: local\nhypervisor: qemu\nhypervisor_options: {}\n\
                   snapshots: {before_provision: false, schedule: null, keep: 7}\ndesktop: ~\n\
                   timeouts: {idle: 0, max_lifetime: off, auto_resume: false}\nnetwork: {ip: dhcp, dns: host}";
    assert_eq!(broken(&format!("version: 1\n{nothing}\n")), Vec::<String>::new());
}

#[test]
fn a_word_that_nobody_knows_is_no_word_of_later() {
    assert_eq!(broken("version: 1\nhypervisor: firecraker\n"), ["E003 2:13"]);
}
