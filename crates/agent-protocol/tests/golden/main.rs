//! Numbers and tags never change. If a line here fails, old agents inside saved machines would
//! no longer be understood: append, do not edit. What is said about projects is in `project`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod project;

use machine_agent_protocol::{
    Answer, Awake, Command, Connect, Connected, Control, Ending, Exec, Exited, Failed, FailureCode, FileKind, FileStat,
    Hello, HostKey, Identify, List, Measure, Measured, Mkdir, Opened, Ping, Pong, PowerOff, Read, Remove, Rename,
    Request, Resize, Session, SetClock, Settle, Settled, Signal, Started, Stat, Stdin, Transport, Tty, User,
    WakeAddress, WakeAs, WakeOrigin, Welcome, Woken, Write, Written, datagram,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(bytes: &[u8], golden: &str) {
    assert_eq!(hex(bytes), golden);
}

fn stat() -> FileStat {
    let target = Some("t".into());
    FileStat { kind: FileKind::Symlink, size: 1, mode: 0o644, uid: 2, gid: 3, modified_nanos: 4, target }
}

fn full_exec() -> Exec {
    Exec {
        command: Command::Argv(vec!["ls".into()]),
        cwd: Some("/".into()),
        env: [("A".into(), "b".into())].into(),
        user: Some(User::Uid(1)),
        stdin: Stdin::Open,
        tty: Some(Tty { cols: 80, rows: 24, term: "x".into() }),
        timeout_ms: Some(5),
        detach: true,
        login: None,
        umask: None,
    }
}

#[test]
fn session_messages_keep_their_bytes() {
    let hello = Hello { lowest: 1, highest: 1, nonce: 7, host_version: "1".into() };
    check(&Session::Hello(hello).encode(), GOLDEN[0]);
    let welcome = Welcome {
        version: 1,
        nonce: 7,
        agent_version: "1".into(),
        boot_id: "b".into(),
        kernel: "k".into(),
        state: machine_agent_protocol::AgentState::Ready,
    };
    check(&Session::Welcome(welcome).encode(), GOLDEN[1]);
    check(&Session::Awake(Awake { boot_id: "b".into() }).encode(), GOLDEN[2]);
}

fn requests() -> Vec<Request> {
    let (path, user) = (machine_agent_protocol::GuestPath::from("/f"), None);
    vec![
        Ping {}.into(),
        full_exec().into(),
        Exec::shell("x").into(),
        Read { path: path.clone(), offset: Some(1), limit: Some(2), user: Some(User::Name("u".into())) }.into(),
        Write { path: path.clone(), mode: Some(1), user: user.clone(), make_parents: true, truncate: true }.into(),
        List { path: path.clone(), depth: 2, user: user.clone() }.into(),
        Stat { path: path.clone(), follow: true, user: user.clone() }.into(),
        Remove { path: path.clone(), recursive: true, user: user.clone() }.into(),
        Mkdir { path: path.clone(), parents: true, mode: Some(1), user: user.clone() }.into(),
        Rename { from: path.clone(), to: path, user }.into(),
        SetClock { unix_nanos: 1 }.into(),
        Identify {
            hostname: Some("h".into()),
            machine_id: Some("m".into()),
            env: Some([("A".into(), "b".into())].into()),
            entropy: Some(vec![1]),
        }
        .into(),
        Measure {}.into(),
        PowerOff { grace_ms: 1 }.into(),
    ]
}

fn answers() -> Vec<Answer> {
    vec![
        Failed { code: FailureCode::NotFound, message: "m".into() }.into(),
        Answer::DONE,
        Pong {}.into(),
        Started { pid: 1 }.into(),
        Exited { ending: Ending::Code(7), timed_out: true }.into(),
        Exited { ending: Ending::Signal(9), timed_out: false }.into(),
        Opened { stat: stat() }.into(),
        Written { bytes: 1 }.into(),
        stat().into(),
        Measured::default().into(),
    ]
}

#[test]
fn requests_keep_their_bytes() {
    for (request, golden) in requests().iter().zip(&GOLDEN[3..17]) {
        check(&request.encode(), golden);
    }
}

#[test]
fn answers_and_controls_keep_their_bytes() {
    for (answer, golden) in answers().iter().zip(&GOLDEN[17..27]) {
        check(&answer.encode(), golden);
    }
    check(&Control::Signal(Signal { signal: 9 }).encode(), GOLDEN[27]);
    check(&Control::Resize(Resize { cols: 1, rows: 2 }).encode(), GOLDEN[28]);
}

/// All but what was added for projects.
fn full_waking() -> WakeAs {
    let (gateway, dns) = (Some([10, 0, 2, 2]), Some([10, 0, 2, 3]));
    WakeAs {
        id: "m".into(),
        generation: 1,
        origin: WakeOrigin::Image,
        unix_nanos: 2,
        entropy: vec![3],
        hostname: "h".into(),
        machine_id: "i".into(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        address: Some(WakeAddress { ip: [10, 0, 2, 15], prefix: 24, gateway, dns }),
        env: [("A".into(), "b".into())].into(),
        ssh_host_keys: vec![HostKey { kind: "k".into(), private: "p".into(), public: "q".into() }],
        root_bytes: Some(4),
        certificate_authorities: None,
        mounts: None,
        root: None,
    }
}

/// Of an image, with nothing that may be left out.
fn spare_waking() -> WakeAs {
    WakeAs { mac: None, address: None, env: [].into(), ssh_host_keys: Vec::new(), root_bytes: None, ..full_waking() }
}

fn waking_requests() -> Vec<Request> {
    let booted = WakeAs { origin: WakeOrigin::Boot, ..spare_waking() };
    vec![full_waking().into(), booted.into(), Settle { certificate_authorities: None }.into()]
}

fn trusting() -> Request {
    let (entropy, env) = (Vec::new(), [].into());
    let certificate_authorities = Some(vec!["c".into()]);
    WakeAs { entropy, env, ssh_host_keys: Vec::new(), certificate_authorities, ..full_waking() }.into()
}

fn waking_answers() -> Vec<Answer> {
    vec![
        Woken { failed_hooks: vec!["f".into()], ..Woken::default() }.into(),
        Settled { ssh_host_keys: vec!["k".into()] }.into(),
    ]
}

#[test]
fn waking_keeps_its_bytes() {
    for (request, golden) in waking_requests().iter().zip(&GOLDEN[29..32]) {
        check(&request.encode(), golden);
    }
    check(&trusting().encode(), GOLDEN[37]);
    check(&Request::from(Settle { certificate_authorities: Some(vec!["c".into()]) }).encode(), GOLDEN[38]);
    for (answer, golden) in waking_answers().iter().zip(&GOLDEN[32..34]) {
        check(&answer.encode(), golden);
    }
}

fn connecting_requests() -> Vec<Request> {
    vec![
        Connect { port: 8080, transport: Transport::Tcp }.into(),
        Connect { port: 53, transport: Transport::Udp }.into(),
    ]
}

#[test]
fn connecting_keeps_its_bytes() {
    for (request, golden) in connecting_requests().iter().zip(&GOLDEN[34..36]) {
        check(&request.encode(), golden);
    }
    check(&Answer::from(Connected {}).encode(), GOLDEN[36]);
    check(&datagram::packed(b"ab").unwrap(), "00026162");
}

#[test]
fn what_is_written_is_what_is_read() {
    use machine_agent_protocol::Decoded::Known;
    for request in requests().into_iter().chain(waking_requests()).chain(connecting_requests()).chain([trusting()]) {
        assert_eq!(Request::decode(&request.encode()).unwrap(), Known(request));
    }
    for answer in answers().into_iter().chain(waking_answers()).chain([Connected {}.into()]) {
        assert_eq!(Answer::decode(&answer.encode()).unwrap(), Known(answer));
    }
}

#[test]
fn failure_codes_keep_their_numbers() {
    let numbers: Vec<u32> = FailureCode::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(numbers, (1..=14).collect::<Vec<u32>>());
    assert!(FailureCode::ALL.iter().all(|code| FailureCode::from(code.number()) == *code));
}

#[test]
fn unknown_fields_are_skipped() {
    // Pong with a field 9 that this build does not know.
    let bytes = [0x82, 0x18, 98, 0xa1, 0x09, 0x83, 1, 2, 3];
    assert_eq!(Answer::decode(&bytes).unwrap(), machine_agent_protocol::Decoded::Known(Answer::Pong(Pong {})));
}

/// Session messages, then requests, answers and controls, in the order of the tests; then what was added.
const GOLDEN: [&str; 39] = [
    "8201a4000101010207036131",
    "8202a60001010702613103616204616b0500",
    "8204a1006162",
    "8210a0",
    "8211a80082008181626c7301412f02a1614161620382018101040105a3001850011818026178060507f5",
    "8211a400820181617802a0040007f4",
    "8212a400422f6601010202038200816175",
    "8213a400422f66010103f504f5",
    "8214a200422f660102",
    "8215a200422f6601f5",
    "8216a200422f6601f5",
    "8217a300422f6601f50201",
    "821818a200422f6601422f66",
    "821819a10001",
    "82181aa400616801616d02a161416162034101",
    "82181ba0",
    "82181ca10001",
    "821860a2000101616d",
    "821861a0",
    "821862a0",
    "821863a10001",
    "821864a2008200810701f5",
    "821864a2008201810901f4",
    "821865a100a700020101021901a4030204030504064174",
    "821866a10001",
    "821867a700020101021901a4030204030504064174",
    "821868ad000001000200030004a3000001000200050006000700080009000a000ba2000001000c00",
    "821840a10009",
    "821841a200010102",
    "82181dac00616d010102010302044103056168066169074602000000000108a400440a00020f01181802440a00020203440a00020309a1614161620a81a300616b0161700261710b04",
    "82181da900616d01010200030204410305616806616909a00a80",
    "82181ea0",
    "821869a100816166",
    "82186aa10081616b",
    "82181fa200191f900100",
    "82181fa20018350101",
    "82186ba0",
    "82181dad00616d0101020103020440056168066169074602000000000108a400440a00020f01181802440a00020203440a00020309a00a800b040c816163",
    "82181ea100816163",
];
