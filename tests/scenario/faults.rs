//! VMMs that die, guests that panic, say nothing or lie, disks that are full.

use std::process::{Command, Stdio};

use crate::home::{Ended, Home, alive, kill, until};

/// Probes go to the real QEMU; a machine's run is what the test wants it to be.
fn on_a_run(script: &str) -> String {
    format!("case \"$*\" in *agent.sock*) ;; *) exec \"$REAL\" \"$@\" ;; esac\n{script}")
}

/// A create that fails must say why and leave nothing.
fn check_create_fails(home: &Home, code: i32, says: &[&str]) {
    let told = home.refused(&["create", "--name", "a", "--memory", "256M"], code);
    for word in says {
        assert!(told.contains(word), "'{word}' is not in:\n{told}");
    }
    assert_eq!(home.ok(&["ls", "-q"]), "");
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
    let vmms: Vec<_> = home.processes().into_iter().filter(|(_, line)| line.contains("supervise")).collect();
    assert_eq!(vmms, []);
}

#[test]
fn a_qemu_that_dies_at_once_is_told_with_its_last_words() {
    let home = Home::with_qemu("dies", &on_a_run("echo 'could not open the thing' >&2; exit 3"));
    check_create_fails(&home, 8, &["could not open the thing"]);
}

#[test]
fn a_kernel_that_panics_is_told_with_the_boot_logs_tail() {
    let swap = "words=(); for word in \"$@\"; do case \"$word\" in *panic=-1*) word=\"$word rdinit=/missing init=/missing\";; esac; words+=(\"$word\"); done; exec \"$REAL\" \"${words[@]}\"";
    let mut home = Home::with_qemu("panics", &on_a_run(swap));
    std::fs::write(home.folder().join("config.toml"), "boot_timeout = 120\n").expect("it is ours");
    check_create_fails(&home, 8, &["Kernel panic"]);
    home.set_path("/usr/bin:/bin");
}

#[test]
fn an_agent_that_never_answers_is_told_after_the_deadline() {
    let home = Home::with_qemu("silent", &on_a_run("exec \"$REAL\" \"$@\" -S"));
    check_create_fails(&home, 8, &["did not answer within 8 s"]);
}

/// The real agent does not lie; a few lines of Perl on the agent's socket do.
#[test]
fn a_guest_that_sends_garbage_is_refused() {
    let liar = r#"for word in "$@"; do case "$word" in *path=*agent.sock*) agent=${word#*path=}; agent=${agent%%,*};; *unix:*qmp.sock*) ;; esac; done
exec perl -MIO::Socket::UNIX -e '
  $SIG{PIPE} = "IGNORE"; my $s = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $ARGV[0], Listen => 1) or die $!;
  while (my $c = $s->accept) { for (1..2000) { print $c pack("N*", map { int rand 2**32 } 1..256) or last } close $c }' "$agent""#;
    let home = Home::with_qemu("garbage", &on_a_run(liar));
    check_create_fails(&home, 8, &[]);
}

#[test]
fn a_vmm_that_is_killed_leaves_a_failed_machine_with_its_root_that_starts_again() {
    let home = Home::new("killed");
    home.ok(&["create", "--name", "a"]);
    home.ok(&["exec", "a", "--", "sh", "-c", "echo kept > /var/kept; sync"]);
    kill(home.vmm_pid());
    until("it is seen", || home.state("a") == "failed");
    let shown = home.inspect("a");
    assert_eq!(shown["status"], "error");
    assert!(shown["reason"].as_str().unwrap_or_default().contains("signal 9"), "{shown:#}");
    let told = home.refused(&["exec", "a", "--", "true"], 125);
    assert!(told.contains("machine start a"), "{told}");
    home.ok(&["start", "a"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/var/kept"]), "kept");
    kill(home.vmm_pid());
    until("it is seen", || home.state("a") == "failed");
    home.ok(&["destroy", "a", "--yes"]);
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_guest_that_powers_off_is_stopped_and_one_that_panics_is_failed() {
    let home = Home::new("poweroff");
    home.ok(&["create", "--name", "a"]);
    home.machine(&["exec", "a", "--", "sh", "-c", "kill -TERM 1"]);
    until("it is seen", || home.state("a") == "stopped");
    home.ok(&["start", "a"]);
    home.machine(&["exec", "a", "--", "sh", "-c", "echo c > /proc/sysrq-trigger"]);
    until("it is seen", || home.state("a") == "failed");
    assert!(home.inspect("a")["reason"].as_str().unwrap_or_default().contains("Kernel panic"));
    home.ok(&["destroy", "a", "--yes"]);
}

/// A small disk under the machines, in a mount namespace that ends with the server.
#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let home = Home::new("full");
    let machines = home.folder().join("machines");
    std::fs::create_dir_all(&machines).expect("the tests' folder can be written");
    let mount = format!(
        "mount -t tmpfs -o size=1m tmpfs '{0}' && head -c 2m /dev/zero > '{0}/filler'; exec \"$0\" serve",
        machines.display()
    );
    let program = home.command(&[]).get_program().to_owned();
    let mut server = home.command(&[]);
    let environment: Vec<_> = server.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    server = Command::new("unshare");
    server.args(["-m", "sh", "-c", &mount]).arg(program).envs(environment).stderr(Stdio::null()).stdout(Stdio::null());
    if !may_mount() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let mut server = server.spawn().expect("unshare is there");
    until("the server answers", || answers(&home));
    let told = home.refused(&["create", "--name", "a"], 6);
    assert!(told.contains("full"), "{told}");
    assert_eq!(home.ok(&["ls", "-q"]), "");
    home.ok(&["serve", "--stop"]);
    server.wait().expect("it was started");
}

/// A template cannot be built where there is no space for it; nothing of it is left.
#[test]
fn a_build_on_a_full_disk_is_refused_before_it_begins() {
    let home = Home::new("full-build");
    if !may_mount() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let images = home.folder().join("images");
    let script = format!("mount -t tmpfs -o size=8m tmpfs '{}' && exec \"$0\" serve", images.display());
    let environment: Vec<_> =
        home.command(&[]).get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    let mut server = Command::new("unshare");
    server.args(["-m", "sh", "-c", &script]).arg(home.command(&[]).get_program()).envs(environment);
    let mut server = server.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("unshare is there");
    until("the server answers", || answers(&home));
    let told = home.refused(&["template", "build", "base"], 6);
    assert!(told.contains("full"), "{told}");
    assert_eq!(home.ok(&["template", "ls", "--json"]), "[]");
    home.ok(&["serve", "--stop"]);
    server.wait().expect("it was started");
}

/// Whether a server runs; asking starts none.
pub(crate) fn answers(home: &Home) -> bool {
    let version: serde_json::Value =
        serde_json::from_str(&home.machine(&["version", "--json"]).stdout).unwrap_or_default();
    version["server"].is_object()
}

pub(crate) fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

#[test]
fn a_second_server_for_the_same_home_is_refused() {
    let home = Home::new("second");
    home.ok(&["ls"]);
    let first = home.server_pid().expect("a server runs");
    let second = Ended::of(&home.command(&["serve"]).output().expect("the program was built"));
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains(&first.to_string()), "{second:#?}");
    assert!(alive(first));
}
