//! Commands over the socket: in the foreground, and attached with all their streams.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails as a test does")]

mod stage;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use machine_api::attach::{AttachProgram, AttachStart, ClientFrame, CommandEnd, STDIN_WINDOW, ServerFrame, Tty};
use machine_api::exec::ExecRequest;
use machine_sdk::{AttachEvent, AttachOutput, SdkError};
use stage::{Stage, until};
use tokio_tungstenite::tungstenite::Message;

fn start(argv: &[&str]) -> AttachStart {
    AttachStart {
        program: AttachProgram::Argv(argv.iter().map(|part| (*part).to_owned()).collect()),
        cwd: None,
        envs: BTreeMap::new(),
        user: None,
        stdin: true,
        tty: None,
        timeout_ms: None,
        detach: false,
        login: false,
        umask: None,
    }
}

fn command(command: &str, args: &[&str]) -> ExecRequest {
    let args = args.iter().map(|part| (*part).to_owned()).collect();
    ExecRequest { command: command.to_owned(), args, ..ExecRequest::default() }
}

/// What a command wrote to its standard output, and how it ended.
async fn to_end(output: &mut AttachOutput) -> (Vec<u8>, CommandEnd) {
    let mut written = Vec::new();
    loop {
        match output.next().await.unwrap().unwrap() {
            AttachEvent::Stdout(bytes) => written.extend_from_slice(&bytes),
            AttachEvent::Exited(end) => {
                assert_eq!(output.next().await.unwrap(), None);
                return (written, end);
            }
            AttachEvent::Started { .. } | AttachEvent::Stderr(_) => {}
        }
    }
}

#[tokio::test]
async fn a_command_in_the_foreground_gives_its_output_and_its_exit_code() {
    let stage = Stage::with_web().await;
    let both = stage.client.exec("web", &command("both", &[])).await.unwrap();
    assert_eq!((both.exit_code, both.stdout.as_str(), both.stderr.as_str()), (3, "out\0\u{fffd}", "err"));
    let shell = ExecRequest { shell: true, ..command("a | b", &[]) };
    assert_eq!(stage.client.exec("web", &shell).await.unwrap().stdout, "sh: a | b\n");
    let missing = stage.client.exec("web", &command("missing", &[])).await.unwrap();
    assert_eq!((missing.exit_code, missing.stderr.is_empty()), (127, false));
    assert_eq!(stage.client.exec("web", &command("folder", &[])).await.unwrap().exit_code, 126);
    assert_eq!(stage.guest.seen.lock().unwrap()[0].timeout, Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn what_a_foreground_command_cannot_do_is_refused() {
    let stage = Stage::with_web().await;
    for (request, status, code) in [
        (ExecRequest { timeout_secs: Some(0.05), ..command("late", &[]) }, 504, "exec_timeout"),
        (ExecRequest { cwd: Some("/nowhere".to_owned()), ..command("echo", &[]) }, 400, "invalid_request"),
        (ExecRequest { background: true, ..command("echo", &[]) }, 501, "not_implemented"),
        (ExecRequest { shell: true, ..command("echo", &["a"]) }, 400, "invalid_request"),
        (command("", &[]), 400, "invalid_request"),
        (command("lost", &[]), 502, "exec_failed"),
        (command("flood", &["40000000"]), 502, "exec_failed"),
    ] {
        let refused = stage.client.exec("web", &request).await.unwrap_err();
        let SdkError::Refused(body, said) = &refused else { panic!("{refused:?}") };
        assert_eq!((*said, body.error.code.as_str()), (status, code), "{request:?}");
    }
}

#[tokio::test]
async fn streams_carry_every_byte_both_ways() {
    let stage = Stage::with_web().await;
    let (mut output, input) = stage.client.attach("web", start(&["cat"])).await.unwrap().split();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let writer = tokio::spawn({
        let sent = Bytes::from(sent.clone());
        async move {
            input.stdin(sent).await.unwrap();
            input.close_stdin().await.unwrap();
        }
    });
    assert_eq!(output.next().await.unwrap(), Some(AttachEvent::Started { pid: 42 }));
    let (got, end) = to_end(&mut output).await;
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    assert_eq!(end, CommandEnd::Code(0));
    writer.await.unwrap();
}

#[tokio::test]
async fn a_command_ends_as_it_ended() {
    let stage = Stage::with_web().await;
    for (argv, end) in [
        (["exit", "0"].as_slice(), CommandEnd::Code(0)),
        (&["exit", "77"], CommandEnd::Code(77)),
        (&["both"], CommandEnd::Code(3)),
    ] {
        let (mut output, _input) = stage.client.attach("web", start(argv)).await.unwrap().split();
        assert_eq!(to_end(&mut output).await.1, end, "{argv:?}");
    }
    let late = AttachStart { timeout_ms: Some(20), ..start(&["late"]) };
    let (mut output, _input) = stage.client.attach("web", late).await.unwrap().split();
    assert_eq!(to_end(&mut output).await.1, CommandEnd::TimedOut);
    let detached = AttachStart { detach: true, ..start(&["sleep"]) };
    let (mut output, _input) = stage.client.attach("web", detached).await.unwrap().split();
    assert_eq!(to_end(&mut output).await.1, CommandEnd::Detached);
}

#[tokio::test]
async fn a_signal_never_waits_behind_input_that_is_not_read() {
    let stage = Stage::with_web().await;
    let (mut output, input) = stage.client.attach("web", start(&["deaf"])).await.unwrap().split();
    let writing = tokio::spawn({
        let input = input.clone();
        async move { input.stdin(Bytes::from(vec![0; STDIN_WINDOW as usize * 4])).await }
    });
    assert_eq!(output.next().await.unwrap(), Some(AttachEvent::Started { pid: 42 }));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!writing.is_finished(), "more was sent than there is credit for");
    input.signal(2).await.unwrap();
    assert_eq!(to_end(&mut output).await.1, CommandEnd::Signal(2));
    assert!(writing.await.unwrap().is_err());
}

#[tokio::test]
async fn a_terminal_is_asked_for_and_resized() {
    let stage = Stage::with_web().await;
    let tty = AttachStart { tty: Some(Tty { cols: 80, rows: 24, term: None }), ..start(&["size"]) };
    let (mut output, input) = stage.client.attach("web", tty).await.unwrap().split();
    input.resize(132, 50).await.unwrap();
    input.close_stdin().await.unwrap();
    assert_eq!(to_end(&mut output).await, (b"132x50".to_vec(), CommandEnd::Code(0)));
    let terminal = stage.guest.seen.lock().unwrap()[0].terminal.clone().unwrap();
    assert_eq!((terminal.size.cols, terminal.kind.as_str()), (80, "xterm-256color"));
}

#[tokio::test]
async fn whoever_goes_away_hangs_the_command_up() {
    let stage = Stage::with_web().await;
    let hung_up = || stage.guest.hung_up.load(Ordering::SeqCst);
    let (mut output, input) = stage.client.attach("web", start(&["sleep"])).await.unwrap().split();
    assert_eq!(output.next().await.unwrap(), Some(AttachEvent::Started { pid: 42 }));
    drop(input);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(hung_up(), 0, "only the output's end hangs up");
    drop(output);
    until("the command is hung up", || hung_up() == 1).await;
    let gone = tokio::time::timeout(Duration::from_millis(50), async {
        stage.client.exec("web", &ExecRequest { timeout_secs: Some(0.0), ..command("sleep", &[]) }).await
    });
    assert!(gone.await.is_err());
    until("the foreground command is hung up", || hung_up() == 2).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_told_as_a_shell_tells_it() {
    let stage = Stage::with_web().await;
    for (argv, exit) in [("missing", 127), ("folder", 126)] {
        let mut stream = stage.client.attach("web", start(&[argv])).await.unwrap();
        let refused = stream.next().await.unwrap_err();
        let detail = refused.refusal().unwrap();
        assert_eq!((detail.shell_exit_code(), detail.machine.as_deref()), (Some(exit), Some("web")));
    }
    let elsewhere = AttachStart { cwd: Some("/nowhere".to_owned()), ..start(&["echo"]) };
    let refused = stage.client.attach("web", elsewhere).await.unwrap().next().await.unwrap_err();
    assert!(matches!(refused, SdkError::Refused(_, 400)), "{refused:?}");
    let refused = stage.client.attach("nobody", start(&["echo"])).await.unwrap_err();
    assert!(matches!(refused, SdkError::Refused(_, 404)), "{refused:?}");
}

#[tokio::test]
async fn a_lost_guest_is_an_error_and_a_server_that_ends_breaks_the_stream() {
    let mut stage = Stage::with_web().await;
    let mut stream = stage.client.attach("web", start(&["lost"])).await.unwrap();
    assert_eq!(stream.next().await.unwrap(), Some(AttachEvent::Started { pid: 42 }));
    assert_eq!(stream.next().await.unwrap_err().code(), Some(machine_api::Code::ExecFailed));
    let mut stream = stage.client.attach("web", start(&["sleep"])).await.unwrap();
    assert_eq!(stream.next().await.unwrap(), Some(AttachEvent::Started { pid: 42 }));
    stage.stop.take().unwrap().send(()).unwrap();
    assert!(matches!(stream.next().await, Err(SdkError::Broken { .. })));
    stage.served.await.unwrap();
    assert_eq!(stage.guest.hung_up.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_so_and_hangs_its_command_up() {
    let stage = Stage::with_web().await;
    let frame = |frame: ClientFrame| Message::Binary(frame.encode());
    let deaf = || frame(ClientFrame::Start(Box::new(start(&["deaf"]))));
    let full = || frame(ClientFrame::Stdin(Bytes::from(vec![0; 60_000])));
    for (messages, started) in [
        (vec![Message::Text("{}".into())], false),
        (vec![Message::Binary(Bytes::new())], false),
        (vec![Message::Binary(Bytes::from_static(b"\0{\"argv\":[]}"))], false),
        (vec![frame(ClientFrame::StdinClose)], false),
        (vec![deaf(), deaf()], true),
        (vec![deaf(), Message::Binary(Bytes::from_static(&[99]))], true),
        (vec![deaf(), full(), full(), full(), full(), full()], true),
    ] {
        let before = stage.guest.hung_up.load(Ordering::SeqCst);
        let url = "ws://test/v1/machines/web/attach";
        let (mut socket, _) = tokio_tungstenite::client_async(url, stage.stream().await).await.unwrap();
        for message in messages {
            socket.send(message).await.unwrap();
        }
        let mut last = None;
        while let Some(Ok(Message::Binary(message))) = socket.next().await {
            last = Some(ServerFrame::decode(&message).unwrap());
        }
        let Some(ServerFrame::Error(body)) = last else { panic!("{last:?}") };
        assert_eq!(body.error.code, "invalid_request", "{}", body.error.message);
        until("its command is hung up", || stage.guest.hung_up.load(Ordering::SeqCst) - before == usize::from(started))
            .await;
    }
}
