//! Every rule, broken: the code, the line and the column are told.

use crate::stage::{Stage, broken, places};

/// A file with a version and these lines below; so the first of them is line 2.
fn breaks(lines: &str, wanted: &[&str]) {
    assert_eq!(broken(&format!("version: 1\n{lines}\n")), wanted, "{lines}");
}

#[test]
fn e001_the_version() {
    assert_eq!(broken("name: a\n"), ["E001 1:1"]);
    assert_eq!(broken(""), ["E001 1:1"]);
    assert_eq!(broken("name: a\nversion: 2\n"), ["E001 2:10"]);
    assert_eq!(broken("version: [1]\n"), ["E001 1:10"]);
}

#[test]
fn e002_keys_tabs_and_what_is_not_yaml() {
    breaks("port: 3000", &["E002 2:1"]);
    breaks("resources: {cpu: 1, memory: 1GiB}", &["E002 2:13"]);
    breaks("mounts:\n  - host: .\n    guest: /w\n    owner: me", &["E002 5:5"]);
    breaks("name: a\nname: b", &["E002 3:1"]);
    breaks("resources:\n\tcpus: 1", &["E002 3:1"]);
    breaks("resources:\n  cpus: 1\n\tmemory: 1GiB", &["E002 4:1"]);
    breaks("packages: [git", &["E002 2:14"]);
    breaks("name: a: b", &["E002 2:8"]);
    breaks("env: {A: &x 1, B: *x}", &["E002 2:10", "E002 2:19"]);
    breaks("name: !tag a", &["E002 2:7"]);
    breaks("name: a\n---\nname: b", &["E002 3:1"]);
    breaks("x-free: 1\nresources: {x-free: {a: [1]}}", &[]);
}

#[test]
fn e003_types_and_values() {
    breaks("root: temporary", &["E003 2:7"]);
    breaks("ports: 3000", &["E003 2:8"]);
    breaks("resources: [1]", &["E003 2:12"]);
    breaks("containers: dokcer", &["E003 2:13"]);
    breaks("agents: [claude]", &["E003 2:10"]);
    breaks("user: {sudo: yes}", &["E003 2:14"]);
    breaks("user: {name: root}", &["E003 2:14"]);
    breaks("workdir: workspace", &["E003 2:10"]);
    breaks("packages: [\"--option\"]", &["E003 2:12"]);
    breaks("env: {2A: x}", &["E003 2:7"]);
    breaks("env: {A: [x]}", &["E003 2:10"]);
    breaks("env: {A: \"${B\"}", &["E003 2:10"]);
    breaks("env_files: [.missing]", &["E003 2:13"]);
    breaks("secrets: [{name: A}]", &["E003 2:11"]);
    breaks("secrets: [{name: A, from: vault:x}]", &["E003 2:27"]);
    breaks("services: [{name: web, run: a}, {name: web, run: b}]", &["E003 2:33"]);
    breaks("services: [{name: web, run: a, restart: sometimes}]", &["E003 2:41"]);
    breaks("ready: [{port: 1, run: a}]", &["E003 2:9"]);
    breaks("network: {hosts: {db: nowhere}}", &["E003 2:23"]);
    breaks("network: {egress: {allow: [\"a b\"]}}", &["E003 2:28"]);
    breaks("isolation: strict\nmounts: [{host: ., guest: /w}]", &["E003 3:10"]);
    assert_eq!(broken("[1]\n"), ["E001 1:1", "E003 1:1"]);
}

/// What the hint of an E003 in this file shows as the form of the key.
fn form(file: &str) -> String {
    let reading = Stage::new(file).read();
    let findings = reading.report.findings();
    assert_eq!(findings.len(), 1, "{file}: {}", reading.report.render());
    let hint = &findings[0].hint;
    let form = hint.split('`').nth(1).unwrap_or_default();
    assert!(!form.is_empty(), "{file}: {hint}");
    form.to_owned()
}

#[test]
fn who_did_not_write_a_list_is_shown_one_that_is_right() {
    let lists =
        ["packages", "packages.apt", "packages.npm", "packages.pip", "agents", "env_files", "secrets", "mounts"];
    let more = ["ports", "network.egress.deny", "provision", "services", "ready", "hooks.pre_start", "hooks.post_stop"];
    let maps = ["env", "network.hosts", "labels"];
    for path in lists.iter().chain(&more).chain(&maps) {
        let (around, key) = path.rsplit_once('.').unwrap_or(("", path));
        let around: Vec<&str> = around.split('.').filter(|part| !part.is_empty()).collect();
        let opened: String = around.iter().map(|part| format!("{part}: {{")).collect();
        let file = |said: &str| format!("version: 1\n{opened}{said}{}\n", "}".repeat(around.len()));
        let shown = form(&file(&format!("{key}: 8080")));
        assert!(shown.starts_with(&format!("{key}: ")), "{path}: {shown}");
        assert_eq!(broken(&file(&shown)), Vec::<String>::new(), "{shown}");
    }
    assert_eq!(form("version: 1\npackages: git\n"), "packages: [git, curl]");
    assert_eq!(form("version: 1\nmounts: [{host: ., guest: /w, exclude: a}]\n"), "exclude: [node_modules]");
    assert_eq!(broken("version: 1\nagents: none\n"), Vec::<String>::new());
}

#[test]
fn e004_names_and_e005_bases_and_e006_digests() {
    breaks("name: Blog", &["E004 2:7"]);
    breaks("name: a/b", &["E004 2:7"]);
    breaks("base: debian:99", &["E005 2:7"]);
    breaks("base: {}", &["E005 2:7"]);
    breaks("base: {template: a, oci: b}", &["E005 2:7", "E011 2:21"]);
    breaks("base: {image: ./a, digest: sha256:1}", &["E011 2:8", "E011 2:20", "E006 2:28"]);
}

#[test]
fn e007_sizes_and_durations() {
    breaks("resources: {cpus: 5}", &["E007 2:19"]);
    breaks("resources: {cpus: 0}", &["E007 2:19"]);
    breaks("resources: {memory: 9GiB}", &["E007 2:21"]);
    breaks("resources: {memory: much}", &["E007 2:21"]);
    breaks("resources: {disk: 10M}", &["E007 2:19"]);
    breaks("timeouts: {boot: 10}", &["E007 2:18"]);
    breaks("timeouts: {boot: 0}", &["E007 2:18"]);
    breaks("timeouts: {stop: 25h}", &["E007 2:18"]);
    breaks("timeouts: {stop: -1s}", &["E007 2:18"]);
    breaks("ready: [{port: 1, timeout: 99999999999999999999h}]", &["E007 2:28"]);
}

#[test]
fn e020_sources_and_system_paths() {
    breaks("mounts: [{host: missing, guest: /w}]", &["E020 2:17"]);
    breaks("mounts: [{host: Machinefile, guest: /w}]", &["E020 2:17"]);
    for path in ["/", "/etc", "/etc/x", "/proc", "/usr/bin", "/home", "workspace", "/a/../etc"] {
        breaks(&format!("mounts: [{{host: ., guest: {path}}}]"), &["E020 2:27"]);
    }
    breaks("mounts: [{host: ., guest: /srv/blog}]", &[]);
}

#[test]
fn e021_one_guest_path_twice() {
    breaks("mounts: [{host: ., guest: /w}, {host: ., guest: /w/}]", &["E021 2:49"]);
}

#[test]
fn e022_a_link_out_of_the_project() {
    let stage = Stage::new("version: 1\nmounts: [{host: out/x, guest: /w}, {host: in, guest: /v}]\n");
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("x")).unwrap();
    std::fs::create_dir(stage.path().join("real")).unwrap();
    std::os::unix::fs::symlink(other.path(), stage.path().join("out")).unwrap();
    std::os::unix::fs::symlink("real", stage.path().join("in")).unwrap();
    assert_eq!(places(&stage.read()), ["E022 2:17"]);
}

#[test]
fn e030_ports() {
    breaks("ports: [70000]", &["E030 2:9"]);
    breaks("ports: [\"3000:0\"]", &["E030 2:9"]);
    breaks("ports: [80]", &["E030 2:9"]);
    breaks("ports: [\"8080:80\", \"0:80\"]", &[]);
    breaks("ports: [3000, \"3000:80\"]", &["E030 2:15"]);
    breaks("ports: [\"0.0.0.0:3000:1\", \"127.0.0.1:3000:2\"]", &["E030 2:27"]);
    breaks("ports: [3000, 3000/udp]", &[]);
    breaks("ports: [{guest: 0}]", &["E030 2:17"]);
    breaks("ports: [3000]\nnetwork: {mode: none}", &["E030 2:9"]);
}

#[test]
fn e034_egress() {
    let egress = |said: &str, wanted: &[&str]| breaks(&format!("network: {{egress: {{{said}}}}}"), wanted);
    egress("policy: allow, allow: [example.com]", &["E034 2:43"]);
    egress("policy: deny, deny: [example.com]", &["E034 2:41"]);
    egress("policy: deny, allow: [a.test], deny: [a.test]", &["E034 2:42"]);
    egress("allow: [10.0.0.0/8, host.machine.internal, 192.0.2.1], deny: [example.com]", &[]);
    breaks("network: {mode: none, egress: {deny: [a.test]}}", &["E034 2:39"]);
    breaks("isolation: strict\nnetwork: {egress: {policy: allow}}", &["E034 3:28"]);
}

#[test]
fn e040_provisioning() {
    breaks("provision: [{as: root}]", &["E040 2:13"]);
    breaks("provision: [{run: a, script: b}]", &["E040 2:13"]);
    breaks("provision: [{script: missing.sh}]", &["E040 2:22"]);
    breaks("provision: [{script: ../x.sh}]", &["E040 2:22"]);
    breaks("provision: [{file: /a, mode: \"0999\"}]", &["E040 2:30"]);
    breaks("provision: [{file: a}]", &["E040 2:20"]);
    breaks("provision: [{run: a, mode: \"0644\"}]", &["E040 2:22"]);
}

#[test]
fn e050_secrets_are_named_and_never_shown() {
    breaks("secrets: [{name: A, from: env:MISSING}]", &["E050 2:27"]);
    let later = Stage::new("version: 1\nsecrets: [{name: A, from: env:MISSING}]\n").read();
    assert!(later.machinefile.is_some() && later.report.refuses_start(), "a machine may be looked at without it");
    breaks("secrets: [{name: A, from: file:missing}]", &["E050 2:27"]);
    breaks("env: {A: \"${MISSING:?ask the team}\"}", &["E050 2:10"]);
    let stage = Stage::new("version: 1\nsecrets: [{name: A, from: env:NPM_TOKEN}]\n");
    assert!(!format!("{:?}", stage.model()).contains("hidden"));
}

#[test]
fn e080_timeouts() {
    breaks("timeouts: {idle: 2h, max_lifetime: 1h}", &["E011 2:12", "E080 2:18", "E011 2:22"]);
}

#[test]
fn warnings_refuse_nothing() {
    breaks("resources: {memory: 100M}", &["W001 2:21"]);
    breaks("env: {A: \"${MISSING}\"}", &["W003 2:10"]);
    let reading = Stage::new("version: 1\nenv: {A: \"x${MISSING}y\"}\n").read();
    assert!(!reading.report.refuses());
    assert_eq!(reading.machinefile.unwrap().env["A"], "xy");
}

#[test]
fn nothing_else_is_interpolated() {
    let file = Stage::new("version: 1\nlabels: {a: \"${WHO}\"}\nprovision: [{run: \"echo ${WHO}\"}]\n").model();
    assert_eq!(file.labels["a"], "${WHO}");
    assert!(format!("{:?}", file.provision).contains("${WHO}"));
}

#[test]
fn all_errors_are_told_at_once() {
    breaks("name: B\nport: 1\nroot: x\nresources: {cpus: 0}", &["E004 2:7", "E002 3:1", "E003 4:7", "E007 5:19"]);
}

#[test]
fn a_machine_is_found_by_its_name_whatever_else_is_wrong() {
    let name = |text: &str| Stage::new(text).read().name.map(|name| name.to_string());
    let wrong = "name: a\nport: 1\nsecrets: [{name: A, from: env:MISSING}]\n";
    assert_eq!(name(wrong).as_deref(), Some("a"));
    assert_eq!(name("version: 1\nname: A\n"), None);
    assert_eq!(name("version: 1\nenv: [\nname: a\n"), None);
}

#[test]
fn lines_may_end_as_on_windows() {
    assert_eq!(broken("version: 1\r\nname: a\r\nroot: x\r\n"), ["E003 3:7"]);
}

#[test]
fn the_reference_names_every_rule() {
    let reference = include_str!("../../../../docs/reference/machinefile.md");
    for rule in machine_machinefile::Rule::ALL {
        assert!(reference.contains(&format!("\n| {rule} |")), "{rule}");
    }
}
