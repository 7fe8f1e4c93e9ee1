//! Every frame reads back; no bytes make a reader panic.

use super::*;

fn start() -> AttachStart {
    AttachStart {
        program: AttachProgram::Argv(vec!["cat".to_owned(), "-".to_owned()]),
        cwd: Some("/srv".to_owned()),
        envs: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        user: None,
        stdin: true,
        tty: Some(Tty { cols: 80, rows: 24, term: Some("xterm".to_owned()) }),
        timeout_ms: None,
        detach: false,
        login: false,
        umask: None,
    }
}

#[test]
fn every_frame_reads_back() {
    let client = [
        ClientFrame::Start(Box::new(start())),
        ClientFrame::Start(Box::new(AttachStart { program: AttachProgram::Shell("true".to_owned()), ..start() })),
        ClientFrame::Stdin(Bytes::from_static(&[0, 255, 10])),
        ClientFrame::StdinClose,
        ClientFrame::Resize(TtySize { cols: 300, rows: 2 }),
        ClientFrame::Signal(15),
    ];
    for frame in client {
        assert_eq!(ClientFrame::decode(&frame.encode()), Ok(frame));
    }
    let refusal = machine_core::Refusal::new(machine_core::Code::ExecFailed, "no").reason("program_not_found");
    let server = [
        ServerFrame::Started(Started { pid: 7 }),
        ServerFrame::Stdout(Bytes::from_static(b"\0\xff")),
        ServerFrame::Stderr(Bytes::new()),
        ServerFrame::Exit(CommandEnd::Code(-3)),
        ServerFrame::Exit(CommandEnd::Signal(9)),
        ServerFrame::Exit(CommandEnd::TimedOut),
        ServerFrame::Exit(CommandEnd::Detached),
        ServerFrame::Error(Box::new(ErrorBody::of(refusal, "r1"))),
        ServerFrame::StdinCredit(70_000),
    ];
    for frame in server {
        assert_eq!(ServerFrame::decode(&frame.encode()), Ok(frame));
    }
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let mut seed = 1_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    };
    for length in 0..2000 {
        let mut bytes: Vec<u8> = (0..length % 41).map(|_| next()).collect();
        if let Some(first) = bytes.first_mut() {
            *first %= 24;
        }
        let message = Bytes::from(bytes);
        let _ = ClientFrame::decode(&message);
        let _ = ServerFrame::decode(&message);
    }
}

#[test]
fn a_start_says_what_to_run_exactly_once() {
    for text in [r"{}", r#"{"argv":[]}"#, r#"{"argv":["a"],"shell":"b"}"#, r#"{"argv":["a"],"typo":1}"#] {
        assert!(serde_json::from_str::<AttachStart>(text).is_err(), "{text}");
    }
    let start: AttachStart = serde_json::from_str(r#"{"shell":"ls"}"#).unwrap();
    assert_eq!(start.program, AttachProgram::Shell("ls".to_owned()));
    assert!(!start.stdin && !start.detach && start.tty.is_none());
}

#[test]
fn bytes_are_cut_into_frames_that_fit() {
    let cut: Vec<Bytes> = pieces(Bytes::from(vec![7; 150_000])).collect();
    assert_eq!(cut.iter().map(Bytes::len).sum::<usize>(), 150_000);
    for piece in cut {
        assert!(ClientFrame::decode(&ClientFrame::Stdin(piece).encode()).is_ok());
    }
    let long = ClientFrame::Stdin(Bytes::from(vec![0; LARGEST_MESSAGE])).encode();
    assert_eq!(ClientFrame::decode(&long), Err(BadFrame::TooLong(LARGEST_MESSAGE + 1)));
    assert_eq!(pieces(Bytes::new()).count(), 0);
}
