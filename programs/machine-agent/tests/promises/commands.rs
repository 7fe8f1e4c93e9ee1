//! Commands: what they get, what they give, how they end.

use crate::stage::{Agent, check, eventually, is_alive, run, shell};
use machine_guest::protocol::{Ending, Exec, FailureCode, Identify, PowerOff, Stdin, Tty, User};
use machine_guest::{ExecEvent, GuestError, GuestLink};
use std::time::{Duration, Instant};

async fn refused(link: &GuestLink, exec: Exec, code: FailureCode) {
    let error = link.exec(exec).await.unwrap_err();
    assert_eq!(error.failure_code(), Some(code), "{error}");
}

#[tokio::test]
async fn a_command_gives_its_output_and_code() {
    let agent = Agent::start();
    let link = agent.link().await;
    check(&run(&link, Exec::argv(["echo", "a b"])).await, "a b\n", "", Ending::Code(0));
    check(&shell(&link, "echo out; echo err >&2; exit 7").await, "out\n", "err\n", Ending::Code(7));
    check(&shell(&link, "kill -9 $$").await, "", "", Ending::Signal(9));
}

#[tokio::test]
async fn standard_input_is_binary_safe_and_ends() {
    let agent = Agent::start();
    let link = agent.link().await;
    let mut command = link.exec(Exec { stdin: Stdin::Open, ..Exec::argv(["cat"]) }).await.unwrap();
    let input = command.input();
    input.stdin(&b"x\0y"[..]).await.unwrap();
    assert_eq!(command.next().await.unwrap(), Some(ExecEvent::Stdout(b"x\0y"[..].into())));
    input.close_stdin().await.unwrap();
    check(&command.output(100).await.unwrap(), "", "", Ending::Code(0));
    check(&run(&link, Exec::argv(["cat"])).await, "", "", Ending::Code(0));
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let agent = Agent::start();
    let link = agent.link().await;
    std::fs::write(agent.path("plain"), "x").unwrap();
    refused(&link, Exec::argv(["no-such-program"]), FailureCode::ProgramNotFound).await;
    refused(&link, Exec::argv(["/no/such/program"]), FailureCode::ProgramNotFound).await;
    refused(&link, Exec::argv([agent.text("plain")]), FailureCode::NotExecutable).await;
    refused(&link, Exec { cwd: Some("/no/such".into()), ..Exec::shell("true") }, FailureCode::NotFound).await;
    refused(&link, Exec { cwd: Some("/etc/passwd".into()), ..Exec::shell("true") }, FailureCode::NotADirectory).await;
    let eve = Some(User::Name("eve-nobody-knows".into()));
    refused(&link, Exec { user: eve, ..Exec::shell("true") }, FailureCode::UserUnknown).await;
    refused(&link, Exec::argv([] as [String; 0]), FailureCode::Invalid).await;
    refused(&link, Exec::argv(["echo", "a\0b"]), FailureCode::Invalid).await;
    let off = link.power_off(Duration::ZERO).await.unwrap_err();
    assert_eq!(off.failure_code(), Some(FailureCode::Unsupported), "{:?}", PowerOff { grace_ms: 0 });
}

#[tokio::test]
async fn a_bare_script_is_for_the_shell() {
    use std::os::unix::fs::PermissionsExt as _;
    let agent = Agent::start();
    let link = agent.link().await;
    std::fs::write(agent.path("script"), "echo script $1\n").unwrap();
    std::fs::set_permissions(agent.path("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = Exec { cwd: Some(agent.text("").into()), ..Exec::argv(["./script", "a"]) };
    check(&run(&link, script.clone()).await, "script a\n", "", Ending::Code(0));
    let tty = Some(Tty { cols: 80, rows: 24, term: "xterm".into() });
    let on_terminal = run(&link, Exec { tty, ..script }).await;
    check(&on_terminal, "script a\r\n", "", Ending::Code(0));
}

#[tokio::test]
async fn what_is_neither_program_nor_text_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let agent = Agent::start();
    let link = agent.link().await;
    for (name, content) in [("empty", &b""[..]), ("binary", b"MZ\0\x01")] {
        std::fs::write(agent.path(name), content).unwrap();
        std::fs::set_permissions(agent.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        refused(&link, Exec::argv([agent.text(name)]), FailureCode::NotExecutable).await;
    }
    // And a refusal leaves nothing behind that the next command would trip over.
    check(&run(&link, Exec::argv(["echo", "a"])).await, "a\n", "", Ending::Code(0));
}

#[tokio::test]
async fn a_silent_command_is_known_to_run_before_it_ends() {
    let agent = Agent::start();
    let link = agent.link().await;
    let began = Instant::now();
    let command = link.exec(Exec::argv(["sleep", "3"])).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(is_alive(&command.pid().to_string()));
}

#[tokio::test]
async fn what_is_written_just_before_and_after_the_end_arrives() {
    let agent = Agent::start();
    let link = agent.link().await;
    for _ in 0..20 {
        let output = shell(&link, "echo a; echo b >&2; head -c 60000 /dev/zero").await;
        assert_eq!((output.stdout.len(), &output.stderr[..]), (60002, &b"b\n"[..]));
    }
    let late = shell(&link, "(sleep 0.03; echo late) & echo soon").await;
    check(&late, "soon\nlate\n", "", Ending::Code(0));
}

#[tokio::test]
async fn a_command_that_closes_its_output_runs_on() {
    let agent = Agent::start();
    let link = agent.link().await;
    let closed = shell(&link, "exec >&- 2>&-; sleep 0.1; exit 5").await;
    check(&closed, "", "", Ending::Code(5));
    let mut input = link.exec(Exec { stdin: Stdin::Open, ..Exec::shell("exec <&-; sleep 0.2") }).await.unwrap();
    // More than a pipe holds: that nobody reads it must not stall the writer.
    for _ in 0..8 {
        input.input().stdin(vec![0; 64 * 1024]).await.unwrap();
    }
    while input.next().await.unwrap().is_some_and(|event| !matches!(event, ExecEvent::Exited(_))) {}
}

#[tokio::test]
async fn environment_folder_and_user_are_as_asked() {
    let agent = Agent::start();
    let link = agent.link().await;
    let env = Some([("A".into(), "1".into()), ("B".into(), "1".into())].into());
    link.identify(Identify { env, ..Identify::default() }).await.unwrap();
    let exec = Exec {
        cwd: Some("/tmp".into()),
        env: [("B".into(), "2".into())].into(),
        user: Some(User::Name("nobody".into())),
        ..Exec::shell("echo $A $B $USER $LANG; pwd; id -u; id -G; echo $PATH")
    };
    let output = run(&link, exec).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["1 2 nobody C.UTF-8", "/tmp", "65534", "65534"]);
    assert!(lines[4].contains("/usr/bin"));
}

#[tokio::test]
async fn a_terminal_is_a_terminal() {
    let agent = Agent::start();
    let link = agent.link().await;
    let tty = Some(Tty { cols: 100, rows: 30, term: "xterm".into() });
    let line = "tty; stty size; echo $TERM; read x; stty size; echo got $x >/dev/tty; exit 3";
    let mut command = link.exec(Exec { tty, stdin: Stdin::Open, ..Exec::shell(line) }).await.unwrap();
    let input = command.input();
    let mut seen = String::new();
    while !seen.contains("xterm") {
        if let Some(ExecEvent::Stdout(bytes)) = command.next().await.unwrap() {
            seen += &String::from_utf8_lossy(&bytes);
        }
    }
    input.resize(90, 20).await.unwrap();
    input.stdin("word\n").await.unwrap();
    let rest = command.output(1000).await.unwrap();
    let rest_text = String::from_utf8_lossy(&rest.stdout).into_owned();
    assert!(seen.contains("/dev/pts/") && seen.contains("30 100"), "{seen}");
    assert!(rest_text.contains("20 90") && rest_text.contains("got word"), "{rest_text}");
    assert_eq!(rest.exited.ending, Ending::Code(3));
}

#[tokio::test]
async fn the_end_of_input_ends_a_terminal_reader() {
    let agent = Agent::start();
    let link = agent.link().await;
    let tty = Some(Tty { cols: 80, rows: 24, term: "xterm".into() });
    let command = link.exec(Exec { tty, stdin: Stdin::Open, ..Exec::argv(["cat"]) }).await.unwrap();
    command.input().stdin("a\n").await.unwrap();
    command.input().close_stdin().await.unwrap();
    assert_eq!(command.output(100).await.unwrap().exited.ending, Ending::Code(0));
}

#[tokio::test]
async fn time_is_up_for_the_whole_group() {
    let agent = Agent::start();
    let link = agent.link().await;
    let pids = agent.text("pids");
    let line = format!("sleep 100 & echo $! > {pids}; wait");
    let output = run(&link, Exec { timeout_ms: Some(300), ..Exec::shell(line) }).await;
    assert!(output.exited.timed_out);
    assert_eq!(output.exited.ending, Ending::Signal(15));
    let pid = std::fs::read_to_string(pids).unwrap();
    eventually("the background process is killed", || !is_alive(&pid)).await;
    let began = Instant::now();
    let stubborn = Exec { timeout_ms: Some(100), ..Exec::shell("trap '' TERM; while :; do sleep 0.1; done") };
    let output = run(&link, stubborn).await;
    assert!(output.exited.timed_out);
    assert_eq!(output.exited.ending, Ending::Signal(9));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_signal_reaches_the_whole_group() {
    let agent = Agent::start();
    let link = agent.link().await;
    let mut command = link.exec(Exec::shell("sleep 100 & echo $!; wait")).await.unwrap();
    let Some(ExecEvent::Stdout(pid)) = command.next().await.unwrap() else { panic!("no pid") };
    let pid = String::from_utf8_lossy(&pid).into_owned();
    command.input().signal(15).await.unwrap();
    assert_eq!(command.output(100).await.unwrap().exited.ending, Ending::Signal(15));
    eventually("the child is gone", || !is_alive(&pid)).await;
}

#[tokio::test]
async fn an_impossible_signal_is_refused_and_the_command_goes_on() {
    let agent = Agent::start();
    let link = agent.link().await;
    let mut command = link.exec(Exec { stdin: Stdin::Open, ..Exec::argv(["cat"]) }).await.unwrap();
    command.input().signal(999).await.unwrap();
    assert!(matches!(command.next().await.unwrap(), Some(ExecEvent::Refused(_))));
    command.input().close_stdin().await.unwrap();
    assert_eq!(command.output(10).await.unwrap().exited.ending, Ending::Code(0));
}

#[tokio::test]
async fn a_background_process_does_not_hold_up_the_exit() {
    let agent = Agent::start();
    let link = agent.link().await;
    let began = Instant::now();
    let output = shell(&link, "sleep 5 & echo started").await;
    check(&output, "started\n", "", Ending::Code(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let noisy = shell(&link, "(timeout 5 yes & ) ; exit 4").await;
    assert_eq!(noisy.exited.ending, Ending::Code(4));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn dropping_a_command_hangs_up_on_it_but_not_on_a_detached_one() {
    let agent = Agent::start();
    let link = agent.link().await;
    let attended = link.exec(Exec::argv(["sleep", "100"])).await.unwrap();
    let mut detached = link.exec(Exec { detach: true, ..Exec::argv(["sleep", "100"]) }).await.unwrap();
    let (one, two) = (attended.pid().to_string(), detached.pid().to_string());
    assert_eq!(detached.next().await.unwrap(), None);
    drop((attended, detached));
    eventually("the attended one is gone", || !is_alive(&one)).await;
    drop(link);
    agent.link().await.ping().await.unwrap();
    assert!(is_alive(&two));
    std::process::Command::new("kill").arg(&two).status().unwrap();
}

#[tokio::test]
async fn a_lost_session_hangs_up_and_then_kills() {
    let agent = Agent::start();
    let link = agent.link().await;
    let polite = link.exec(Exec::argv(["sleep", "100"])).await.unwrap().pid().to_string();
    let stubborn = link.exec(Exec::shell("trap '' HUP; while :; do sleep 0.1; done")).await.unwrap();
    let pid = stubborn.pid().to_string();
    drop(link);
    drop(stubborn);
    eventually("the polite one is gone", || !is_alive(&polite)).await;
    assert!(is_alive(&pid));
    eventually("the stubborn one is gone", || !is_alive(&pid)).await;
}

#[tokio::test]
async fn the_link_knows_when_it_is_down() {
    let agent = Agent::start();
    let link = agent.link().await;
    let mut command = link.exec(Exec::argv(["sleep", "100"])).await.unwrap();
    drop(agent);
    assert!(matches!(link.closed().await, GuestError::LinkLost { .. }));
    assert!(matches!(command.next().await, Err(GuestError::LinkLost { .. })));
    assert!(link.ping().await.unwrap_err().is_link_down());
    assert!(link.is_closed());
}

#[tokio::test]
async fn the_guest_can_be_measured() {
    let agent = Agent::start();
    let measured = agent.link().await.measure().await.unwrap();
    assert!(measured.cpus > 0 && measured.memory_total_bytes > measured.memory_available_bytes);
    assert!(measured.disk_total_bytes > 0 && measured.uptime_ms > 0 && measured.processes > 0);
}
