//! What the agent does for a project: services, who listens, and what it refuses.

use crate::stage::{Agent, eventually, is_alive, run};
use machine_guest::protocol::{
    Change, ChangeKind, Command, Ending, EnsureUser, Exec, FailureCode, ListenAddress, Listener, Listeners, LoginShell,
    Mount, MountAccess, Owner, PutSecrets, Restart, Secret, Service, ServiceState, ServiceStatus, SetServices, Touch,
    Transport, Turn, TurnService,
};
use machine_guest::{GuestError, GuestLink, ListenerStream};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Services keep their logs below /var/log/machine of whoever runs the tests, so names are the tests' own.
fn service(name: &str, line: &str, restart: Restart) -> Service {
    let command = Command::Shell(line.to_owned());
    Service { name: unique(name), command, user: None, cwd: Some("/".into()), env: [].into(), restart }
}

fn unique(name: &str) -> String {
    format!("machine-test-{}-{name}", std::process::id())
}

async fn set(link: &GuestLink, services: &[Service]) {
    link.set_services(SetServices { services: services.to_vec() }).await.unwrap();
}

async fn becomes(link: &GuestLink, name: &str, fits: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let all = link.list_services().await.unwrap();
        let found = all.into_iter().find(|status| status.name == unique(name));
        match found {
            Some(status) if fits(&status) => return status,
            other => assert!(Instant::now() < until, "never so: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn runs(status: &ServiceStatus) -> bool {
    status.state == ServiceState::Running
}

fn refused<T: std::fmt::Debug>(answer: Result<T, GuestError>, code: FailureCode) {
    let error = answer.unwrap_err();
    assert_eq!(error.failure_code(), Some(code), "{error}");
}

/// Takes the tests' logs away, whatever became of the test.
struct Logs(Vec<String>);

impl Drop for Logs {
    fn drop(&mut self) {
        for name in &self.0 {
            for end in ["log", "log.1"] {
                std::fs::remove_file(format!("/var/log/machine/{}.{end}", unique(name))).unwrap_or_default();
            }
        }
    }
}

fn logs(names: &[&str]) -> Logs {
    Logs(names.iter().map(|name| (*name).to_owned()).collect())
}

#[tokio::test]
async fn what_is_as_before_goes_on_and_what_changed_begins_anew() {
    let _logs = logs(&["same", "other"]);
    let agent = Agent::start();
    let link = agent.link().await;
    let same = service("same", "exec sleep 1000", Restart::Always);
    set(&link, &[same.clone(), service("other", "exec sleep 1000", Restart::No)]).await;
    let before = becomes(&link, "same", runs).await;
    let other = becomes(&link, "other", runs).await;
    set(&link, &[same.clone(), service("other", "exec sleep 2000", Restart::No)]).await;
    let changed = becomes(&link, "other", |status| runs(status) && status.pid != other.pid).await;
    assert_eq!(becomes(&link, "same", runs).await.pid, before.pid);
    assert!(!is_alive(&other.pid.unwrap().to_string()));
    set(&link, &[same]).await;
    eventually("the removed one ends", || !is_alive(&changed.pid.unwrap().to_string())).await;
    assert_eq!(link.list_services().await.unwrap().len(), 1);
    set(&link, &[]).await;
    eventually("the last one ends", || !is_alive(&before.pid.unwrap().to_string())).await;
}

#[tokio::test]
async fn an_end_is_followed_as_was_asked() {
    let _logs = logs(&["no", "well", "badly", "none"]);
    let agent = Agent::start();
    let link = agent.link().await;
    let nobody = Service {
        user: Some(machine_guest::protocol::User::Name("eve-nobody".into())),
        ..service("none", "x", Restart::No)
    };
    let all = [
        service("no", "exit 3", Restart::No),
        service("well", "exit 0", Restart::OnFailure),
        service("badly", "exit 4", Restart::OnFailure),
        nobody,
    ];
    set(&link, &all).await;
    let no = becomes(&link, "no", |status| status.state == ServiceState::Failed).await;
    assert_eq!((no.ending, no.restarts), (Some(Ending::Code(3)), 0));
    becomes(&link, "well", |status| status.state == ServiceState::Ended).await;
    becomes(&link, "badly", |status| status.restarts >= 2).await;
    let none = becomes(&link, "none", |status| status.state == ServiceState::Failed).await;
    assert!(none.why.unwrap().contains("eve-nobody"));
    set(&link, &[]).await;
}

#[tokio::test]
async fn a_service_is_stopped_with_all_that_it_started_and_started_again() {
    let _logs = logs(&["web"]);
    let agent = Agent::start();
    let link = agent.link().await;
    let line = format!("sleep 1000 & echo $! > {}; wait", agent.text("child"));
    set(&link, &[service("web", &line, Restart::Always)]).await;
    let first = becomes(&link, "web", runs).await;
    eventually("the child runs", || std::fs::read_to_string(agent.path("child")).is_ok_and(|pid| pid.ends_with('\n')))
        .await;
    let child = std::fs::read_to_string(agent.path("child")).unwrap();
    let turn = |turn| link.turn_service(TurnService { name: unique("web"), turn });
    assert_eq!(turn(Turn::Stop).await.unwrap()[0].state, ServiceState::Ended);
    assert!(!is_alive(&first.pid.unwrap().to_string()));
    eventually("the child ends", || !is_alive(&child)).await;
    let second = turn(Turn::Start).await.unwrap().remove(0);
    assert!(runs(&second) && second.pid != first.pid);
    assert_eq!(turn(Turn::Start).await.unwrap()[0].pid, second.pid, "it runs already");
    let third = turn(Turn::Restart).await.unwrap().remove(0);
    assert!(runs(&third) && third.pid != second.pid);
    refused(link.turn_service(TurnService { name: "nobody".into(), turn: Turn::Stop }).await, FailureCode::NotFound);
    set(&link, &[]).await;
    eventually("it ends", || !is_alive(&third.pid.unwrap().to_string())).await;
}

#[tokio::test]
async fn what_is_no_service_is_refused_and_changes_nothing() {
    let _logs = logs(&["kept"]);
    let agent = Agent::start();
    let link = agent.link().await;
    let kept = service("kept", "exec sleep 1000", Restart::No);
    set(&link, std::slice::from_ref(&kept)).await;
    let bad = Service { name: "../x".into(), ..kept.clone() };
    refused(link.set_services(SetServices { services: vec![bad] }).await, FailureCode::Invalid);
    assert!(runs(&becomes(&link, "kept", runs).await));
    set(&link, &[]).await;
}

fn ours(news: &[Listener], port: u16) -> Option<&Listener> {
    news.iter().find(|listener| listener.port == port)
}

async fn next(stream: &mut ListenerStream) -> machine_guest::protocol::ListenerNews {
    timeout(Duration::from_secs(10), stream.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn who_listens_is_told_first_and_then_what_changes() {
    let agent = Agent::start();
    let link = agent.link().await;
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = first.local_addr().unwrap().port();
    let mut stream = link.listeners(Listeners { follow: true }).await.unwrap();
    let news = next(&mut stream).await;
    let found = ours(&news.opened, port).unwrap();
    assert_eq!((found.transport, found.address), (Transport::Tcp, ListenAddress::Loopback));
    drop(first);
    let datagrams = (20_000..30_000).find_map(|port| UdpSocket::bind(("0.0.0.0", port)).ok()).unwrap();
    let number = datagrams.local_addr().unwrap().port();
    let (mut opened, mut closed) = (false, false);
    while !(opened && closed) {
        let news = next(&mut stream).await;
        closed |= ours(&news.closed, port).is_some();
        opened |= ours(&news.opened, number)
            .is_some_and(|found| (found.transport, found.address) == (Transport::Udp, ListenAddress::Any));
    }
    let mut once = link.listeners(Listeners { follow: false }).await.unwrap();
    assert!(ours(&next(&mut once).await.opened, number).is_some());
    assert_eq!(once.next().await.unwrap(), None);
}

#[tokio::test]
async fn what_would_harm_the_system_is_refused() {
    let agent = Agent::start();
    let link = agent.link().await;
    let mount = |target: &str| {
        let (access, owner) = (MountAccess::ReadWrite, Owner::default());
        Mount { tag: "t".into(), target: target.into(), access, excludes: Vec::new(), owner }
    };
    for target in ["/", "/etc", "/usr/lib", "relative", "/srv/../etc"] {
        refused(link.mount(mount(target)).await, FailureCode::Invalid);
    }
    let bad = Secret { name: "../x".into(), value: Vec::new() };
    refused(link.put_secrets(PutSecrets { secrets: vec![bad], uid: 0 }).await, FailureCode::Invalid);
    let root = EnsureUser { name: "root".into(), uid: 1000, gid: 1000, shell: None, sudo: true };
    refused(link.ensure_user(root).await, FailureCode::Invalid);
    let change = Change { path: "a".into(), kind: ChangeKind::Modified };
    let many = Touch { target: "/srv/x".into(), changes: vec![change; Touch::MOST + 1] };
    refused(link.touch(many).await, FailureCode::Invalid);
    link.ping().await.unwrap();
}

#[tokio::test]
async fn a_login_is_called_so_and_new_files_have_the_rights_that_were_asked_for() {
    let agent = Agent::start();
    let link = agent.link().await;
    let login = Some(LoginShell::Yes);
    let called = run(&link, Exec { login, umask: Some(0o027), ..Exec::shell("echo $0; umask") }).await;
    let said = String::from_utf8_lossy(&called.stdout).into_owned();
    let (name, umask) = said.split_once('\n').unwrap();
    assert!(name.starts_with('-') && !name.contains('/'), "{said}");
    assert_eq!(umask.trim(), "0027");
    assert_eq!(String::from_utf8_lossy(&run(&link, Exec::shell("umask")).await.stdout).trim(), "0022");
    refused(link.exec(Exec { umask: Some(0o1000), ..Exec::shell("true") }).await, FailureCode::Invalid);
}
