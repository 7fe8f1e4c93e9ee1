//! A machine without a network: no NIC, and everything else works over the agent's channel.

use crate::guest::Guest;
use crate::home::Ended;
use crate::stage::Stage;

crate::stories![a_machine_without_a_network_does_everything_else, what_needs_a_network_is_refused];

fn a_machine_without_a_network_does_everything_else(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--network", "none"]);
    assert_eq!(guest.exec(&["sh", "-c", "ls /sys/class/net"]), "lo");
    assert_eq!(guest.find_gateway(), None, "a gateway for nothing");
    guest
        .expect(&[("tcp('203.0.113.10', 80)", "Network is unreachable"), ("resolve('www.example.com')", "unresolved")]);
    let fed = stage.home.feed(&["exec", "-i", "a", "--", "wc", "-c"], b"12345");
    assert_eq!(Ended::of(&fed).stdout.trim(), "5");
    let file = stage.home.folder().join("file");
    std::fs::write(&file, "there and back").expect("the home is ours");
    let path = file.display().to_string();
    stage.home.ok(&["cp", &path, "a:/workspace/file"]);
    assert_eq!(guest.exec(&["cat", "/workspace/file"]), "there and back");
    // `script` gives the command line a terminal, which it passes on.
    let command = format!("{} exec -it a -- tty", stage.home.command(&[]).get_program().display());
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).current_dir(stage.home.folder());
    terminal.env("MACHINE_HOME", stage.home.folder()).stdin(std::process::Stdio::null());
    let said = Ended::of(&terminal.output().expect("script is a part of util-linux"));
    assert!(said.stdout.contains("/dev/pts/"), "{said:?}");
    stage.home.ok(&["stop", "a"]);
    stage.home.ok(&["start", "a"]);
    assert_eq!(guest.exec(&["sh", "-c", "ls /sys/class/net"]), "lo");
}

fn what_needs_a_network_is_refused(stage: &Stage) {
    let _guest = Guest::create(stage, "a", &["--network", "none"]);
    let told = stage.home.refused(&["ports", "add", "a", "0:80"], 2);
    assert!(told.contains("no network"), "{told}");
    stage.home.refused(&["create", "--name", "b", "--network", "none", "-p", "0:80"], 2);
    assert_eq!(stage.home.ok(&["ls", "-q"]).lines().count(), 1);
}
