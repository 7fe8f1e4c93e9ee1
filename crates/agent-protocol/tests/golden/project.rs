//! Of what is said about projects, as in `main`: append, do not edit.

use machine_agent_protocol::{
    Answer, Change, ChangeKind, Command, Decoded, Ending, EnsureUser, Exec, ListServices, ListenAddress, Listener,
    ListenerNews, Listeners, LoginShell, Mount, MountAccess, Owner, PutSecrets, Request, Restart, Secret, Service,
    ServiceLog, ServiceOrigin, ServiceState, ServiceStatus, Services, SetServices, Touch, Transport, Turn, TurnService,
    Unmount, User, WakeAs, WakeRoot, Woken,
};

use crate::{check, spare_waking};

fn mount() -> Mount {
    let (access, owner) = (MountAccess::ReadOnly, Owner { uid: 1, gid: 2 });
    Mount { tag: "t".into(), target: "/p".into(), access, excludes: vec!["x".into()], owner }
}

fn waking() -> WakeAs {
    let (mounts, root) = (Some(vec![mount()]), Some(WakeRoot::ReadOnly));
    WakeAs { entropy: Vec::new(), mounts, root, ..spare_waking() }
}

fn service() -> Service {
    Service {
        name: "s".into(),
        command: Command::Shell("x".into()),
        user: Some(User::Uid(1)),
        cwd: Some("/".into()),
        env: [("A".into(), "b".into())].into(),
        restart: Restart::Always,
    }
}

fn requests() -> Vec<Request> {
    let kinds = [ChangeKind::Modified, ChangeKind::Created, ChangeKind::Removed, ChangeKind::Attributes];
    let changes = kinds.map(|kind| Change { path: "f".into(), kind }).to_vec();
    let turn = |turn| TurnService { name: "s".into(), turn };
    vec![
        mount().into(),
        Unmount { target: "/p".into() }.into(),
        Touch { target: "/p".into(), changes }.into(),
        SetServices { services: vec![service()] }.into(),
        ListServices {}.into(),
        turn(Turn::Start).into(),
        turn(Turn::Stop).into(),
        turn(Turn::Restart).into(),
        ServiceLog { name: "s".into(), follow: true, tail: Some(3) }.into(),
        Listeners { follow: true }.into(),
        PutSecrets { secrets: vec![Secret { name: "n".into(), value: vec![1] }], uid: 2 }.into(),
        EnsureUser { name: "u".into(), uid: 1, gid: 2, shell: Some("/s".into()), sudo: true }.into(),
        waking().into(),
        Exec { login: Some(LoginShell::Yes), umask: Some(0o77), ..Exec::shell("x") }.into(),
    ]
}

fn answers() -> Vec<Answer> {
    let status = ServiceStatus {
        name: "s".into(),
        state: ServiceState::Failed,
        pid: Some(1),
        restarts: 2,
        ending: Some(Ending::Signal(9)),
        since_unix_ms: 3,
        origin: ServiceOrigin::Image,
        why: Some("w".into()),
    };
    vec![
        Services { services: vec![status] }.into(),
        Woken { failed_hooks: Vec::new(), mounts: Some(1), root: Some(WakeRoot::ReadOnly) }.into(),
    ]
}

fn news() -> ListenerNews {
    let one = |address, program| Listener { port: 80, transport: Transport::Tcp, address, uid: 1, program };
    let opened = vec![one(ListenAddress::Any, Some("p".into())), one(ListenAddress::Loopback, None)];
    ListenerNews { opened, closed: vec![one(ListenAddress::Other, None)] }
}

#[test]
fn what_is_said_about_projects_keeps_its_bytes() {
    assert_eq!((requests().len(), answers().len()), (REQUESTS.len(), ANSWERS.len()));
    for (request, golden) in requests().iter().zip(REQUESTS) {
        check(&request.encode(), golden);
    }
    for (answer, golden) in answers().iter().zip(ANSWERS) {
        check(&answer.encode(), golden);
    }
    check(&news().pack().unwrap(), NEWS);
}

#[test]
fn what_is_written_is_what_is_read() {
    for request in requests() {
        assert_eq!(Request::decode(&request.encode()).unwrap(), Decoded::Known(request));
    }
    for answer in answers() {
        assert_eq!(Answer::decode(&answer.encode()).unwrap(), Decoded::Known(answer));
    }
    assert_eq!(ListenerNews::decode(&news().pack().unwrap()[2..]).unwrap(), news());
}

#[test]
fn no_batch_of_news_is_too_long_for_a_datagram() {
    let program = Some("x".repeat(Listeners::LONGEST_PROGRAM));
    let one =
        Listener { port: 65535, transport: Transport::Udp, address: ListenAddress::Other, uid: u32::MAX, program };
    let all = vec![one; Listeners::MOST];
    assert!(ListenerNews { opened: all.clone(), closed: all }.pack().is_ok());
}

const REQUESTS: [&str; 14] = [
    "821820a500617401422f7002010381417804a200010102",
    "821821a100422f70",
    "821822a200422f700184a20041660100a20041660101a20041660102a20041660103",
    "821823a10081a6006173018201816178028201810103412f04a1614161620502",
    "821824a0",
    "821825a20061730100",
    "821825a20061730101",
    "821825a20061730102",
    "821826a300617301f50203",
    "821827a100f5",
    "821828a20081a200616e0141010102",
    "821829a50061750101020203622f7304f5",
    "82181dab00616d010102010302044005616806616909a00a800d81a500617401422f7002010381417804a2000101020e01",
    "8211a600820181617802a0040007f4080109183f",
];
const ANSWERS: [&str; 2] = ["82186ca10081a8006173010302010302048201810905030601076177", "821869a3008001010201"];
const NEWS: &str = "0026a20082a5001850010002000301046170a40018500100020103010181a4001850010002020301";
