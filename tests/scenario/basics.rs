//! Create, exec, stop, start, destroy: the first ten minutes with the tool.

use crate::home::{Ended, Home, until};

#[test]
fn a_new_user_creates_a_machine_runs_commands_and_leaves_nothing_behind() {
    let home = Home::new("first");
    let made = home.ok(&["create", "--name", "a", "--env", "GREETING=hello", "--label", "team=x", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).expect("create prints JSON");
    assert_eq!((made["state"].as_str(), made["status"].as_str()), (Some("running"), Some("running")));

    commands_answer(&home);
    identity_is_its_own(&home, made["id"].as_str().expect("a machine has an id"));
    the_host_is_out_of_reach(&home);
    its_disk_survives_stop_and_start(&home);

    assert_eq!(home.refused(&["destroy", "a"], 2).lines().count(), 2, "destroy asks, or wants --yes");
    home.ok(&["destroy", "a", "--yes"]);
    assert_eq!(home.ok(&["ls", "--json"]), "[]");
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
    assert!(!home.processes().iter().any(|(_, line)| line.contains("qemu")), "{:?}", home.processes());
}

fn commands_answer(home: &Home) {
    assert!(home.ok(&["exec", "a", "--", "python3", "--version"]).starts_with("Python 3"));
    let counted = home.feed(&["exec", "-i", "a", "--", "wc", "-c"], b"x\0y");
    assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "3");
    assert_eq!(home.machine(&["exec", "a", "--", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(home.machine(&["exec", "a", "--", "sh", "-c", "kill -9 $$"]).code, 137);
    assert_eq!(home.machine(&["exec", "a", "--", "no-such-program"]).code, 127);
    assert_eq!(home.machine(&["exec", "a", "--", "/etc/passwd"]).code, 126);
    assert_eq!(home.machine(&["exec", "--timeout", "1s", "a", "--", "sleep", "60"]).code, 124);
    let both = home.machine(&["exec", "a", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((both.stdout.as_str(), both.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(home.ok(&["exec", "a", "--", "sh", "-c", "echo $GREETING; pwd"]), "hello\n/workspace");
    assert_eq!(home.ok(&["exec", "-u", "user", "-w", "/tmp", "a", "--", "sh", "-c", "id -un; pwd"]), "user\n/tmp");
    assert_eq!(home.ok(&["exec", "-u", "user", "a", "--", "sudo", "id", "-u"]), "0");
}

fn identity_is_its_own(home: &Home, id: &str) {
    assert_eq!(home.ok(&["exec", "a", "--", "hostname"]), "a");
    assert_eq!(home.ok(&["exec", id, "--", "cat", "/proc/1/comm"]), "init", "the agent is PID 1");
    assert_eq!(home.ok(&["exec", "a", "--", "sh", "-c", "wc -c < /etc/machine-id"]), "33");
    let guest: u64 = home.ok(&["exec", "a", "--", "date", "+%s"]).parse().expect("date prints seconds");
    let host = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_secs();
    assert!(host.abs_diff(guest) <= 5, "the guest's clock is right: {guest} and {host}");
    let disk: u64 =
        home.ok(&["exec", "a", "--", "sh", "-c", "df -m / | awk 'NR==2 {print $2}'"]).parse().expect("a size");
    assert!(disk > 9000, "the root file system has grown to the disk's 10 GiB: {disk} MiB");
    assert_ne!(home.ok(&["exec", "a", "--", "uname", "-r"]), host_kernel());
}

/// `restrict=on`: a listener on the host's loopback is not reachable from the guest.
fn the_host_is_out_of_reach(home: &Home) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
    let port = listener.local_addr().expect("it is bound").port();
    let knock = format!(
        "import socket\nfor host in ('10.0.2.2', '127.0.0.1'):\n s=socket.socket(); s.settimeout(3)\n try: s.connect((host, {port})); print('REACHED', host)\n except OSError as e: print('no', host)"
    );
    assert_eq!(home.ok(&["exec", "a", "--", "python3", "-c", &knock]), "no 10.0.2.2\nno 127.0.0.1");
}

fn its_disk_survives_stop_and_start(home: &Home) {
    home.ok(&["exec", "a", "--", "sh", "-c", "echo kept > /var/kept"]);
    home.ok(&["stop", "a"]);
    assert_eq!(home.state("a"), "stopped");
    home.ok(&["stop", "a"]);
    let refused = home.refused(&["exec", "a", "--", "true"], 125);
    assert!(refused.contains("machine start a"), "{refused}");
    home.ok(&["start", "a"]);
    home.ok(&["start", "a"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/var/kept"]), "kept");
}

#[test]
fn run_makes_a_machine_for_one_command_and_takes_it_away() {
    let home = Home::new("run");
    let ran = home.feed(&["run", "--", "sh", "-c", "cat; exit 3"], b"through");
    let ended = Ended::of(&ran);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, "through"), "{ended:#?}");
    assert_eq!(home.ok(&["ls", "-q"]), "");
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_interrupt_reaches_the_guests_command() {
    let home = Home::new("interrupt");
    home.ok(&["create", "--name", "a"]);
    let script = "trap 'echo caught; exit 42' INT; echo ready; while :; do sleep 0.1; done";
    let mut child = home.spawn(&["exec", "a", "--", "bash", "-c", script]);
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("it can be read");
    assert_eq!(line, "ready\n");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill is there").success());
    let ended = child.wait().expect("it was started");
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("it can be read");
    assert_eq!((ended.code(), line.as_str()), (Some(42), "ready\ncaught\n"));
    until("the command is gone from the guest", || {
        home.machine(&["exec", "a", "--", "pgrep", "-f", "while"]).code == 1
    });
}

fn host_kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux has it").trim().to_owned()
}
