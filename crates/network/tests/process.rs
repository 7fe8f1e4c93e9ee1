//! The gateway as it really runs: a process of its own, confined, started with its wire as descriptor 3. This
//! program is the suite, and with the hidden verb it is the gateway.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of it is a test, which no attribute says: it has its own main"
)]

#[allow(dead_code, unreachable_pub, reason = "the suite of threads uses another part of it")]
mod guest;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use guest::{Conn, Guest, LONG};
use machine_core::machine::Generation;
use machine_core::network::NetworkSpec;
use machine_core::policy::egress::{EgressPolicy, Protocol, Verdict};
use machine_core::promise::network::{Host, Question};
use machine_network::control::Client;
use machine_network::{GATEWAY_VERB, GatewayPlan};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

type Story = (&'static str, fn());

const STORIES: [Story; 5] = [
    ("a_confined_gateway_does_all_it_is_for", a_confined_gateway_does_all_it_is_for),
    ("a_killed_gateway_is_followed_by_one_that_ends_its_connections", a_killed_gateway_is_followed_by_another),
    ("a_gateway_ends_with_its_vmm", a_gateway_ends_with_its_vmm),
    ("a_plan_that_cannot_be_read_is_told", a_plan_that_cannot_be_read_is_told),
    ("ten_thousand_connections_cost_little_and_silent_ones_wake_nobody", ten_thousand_connections),
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let first = words.next();
    if first.as_deref() == Some(GATEWAY_VERB) {
        let plan = PathBuf::from(words.next().unwrap_or_default());
        return machine_network::run(&plan).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let is_asked = |name: &str| first.as_deref().is_none_or(|word| word.starts_with('-') || name.contains(word));
    let mut failed = 0;
    for (name, story) in STORIES.into_iter().filter(|(name, _)| is_asked(name)) {
        let end = catch_unwind(AssertUnwindSafe(story));
        println!("test {name} ... {}", if end.is_ok() { "ok" } else { "FAILED" });
        failed += usize::from(end.is_err());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A gateway's process, and all around it.
struct Stage {
    guest: Guest,
    /// The end that whoever starts gateways keeps.
    kept: OwnedFd,
    gateway: Child,
    folder: tempfile::TempDir,
    plan: GatewayPlan,
    runtime: Runtime,
}

fn rules(otherwise: Verdict, allow: &[&str]) -> NetworkSpec {
    let allow = allow.iter().map(|entry| entry.parse().unwrap()).collect();
    NetworkSpec { egress: EgressPolicy { otherwise, allow, deny: Vec::new() }, ..NetworkSpec::default() }
}

fn loopback() -> NetworkSpec {
    rules(Verdict::Deny, &["127.0.0.1"])
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = GatewayPlan {
            machine: "m0123456789abcdefghij".parse().unwrap(),
            generation: Generation(1),
            mac: guest::MAC,
            control: folder.path().join("control.sock"),
            flows: folder.path().join("flows"),
            resolver: folder.path().join("resolv.conf"),
            network: loopback(),
        };
        fs::write(&plan.resolver, "nameserver 127.0.0.1\n").unwrap();
        fs::write(folder.path().join("plan.json"), serde_json::to_vec(&plan).unwrap()).unwrap();
        let (kept, vmm) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let gateway = start(&kept, folder.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { guest: Guest::new(vmm), kept, gateway, folder, plan, runtime }
    }

    /// A server of the host's that says everything again.
    fn echo(&self) -> SocketAddr {
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        self.runtime.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                });
            }
        });
        address
    }

    fn control<R>(&self, ask: impl AsyncFnOnce(&mut Client) -> R) -> R {
        self.runtime.block_on(async { ask(&mut Client::connect(&self.plan.control, LONG).await.unwrap()).await })
    }

    fn speak(&mut self, conn: Conn) {
        self.guest.established(conn);
        self.guest.send(conn, b"hello");
        assert_eq!(self.guest.read(conn, 5), b"hello");
    }

    /// One of the numbers that the kernel keeps of the gateway's process.
    fn number(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    /// What it told; it has ended.
    fn told(&mut self) -> String {
        let mut told = String::new();
        self.gateway.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        told
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

/// As a supervisor does it, by way of a shell, which can name descriptors without unsafe code.
fn start(wire: &OwnedFd, folder: &Path) -> Child {
    let us = std::env::current_exe().unwrap();
    Command::new("/bin/sh")
        .args(["-c", "exec 3<&0 </dev/null; exec \"$0\" \"$@\""])
        .arg(us)
        .arg(GATEWAY_VERB)
        .arg(folder.join("plan.json"))
        .env_clear()
        .current_dir(folder)
        .stdin(wire.try_clone().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn a_confined_gateway_does_all_it_is_for() {
    let mut stage = Stage::new();
    let server = stage.echo();
    let conn = stage.guest.connect(guest::host(server), 4096);
    stage.speak(conn);
    assert_eq!(stage.number("Seccomp"), 2);
    assert_eq!((stage.number("NoNewPrivs"), stage.number("CapEff"), stage.number("Threads")), (1, 0, 1));
    if rustix::process::getuid().is_root() {
        assert_eq!((stage.number("Uid"), stage.number("Gid")), (65_534, 65_534));
    }
    // It asks, is answered, and follows a configuration that is replaced.
    let question = Question { host: Host::Address("10.0.0.1".parse().unwrap()), port: 80, protocol: Protocol::Tcp };
    let explained = stage.control(async |client| client.explain(&question).await).unwrap();
    assert_eq!(explained.addresses[0].1.verdict, Verdict::Deny);
    let resolver = stage.guest.connect(SocketAddrV4::new(guest::RESOLVER, 53), 4096);
    stage.guest.established(resolver);
    stage.guest.send(resolver, b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07machine\x04test\0\0\x01\0\x01");
    assert_eq!(stage.guest.read(resolver, 4)[2..], [0x12, 0x34]);
    // A forward is added, and used.
    let (forward, socket) = machine_network::bind(&"0:80".parse().unwrap()).unwrap();
    let network = NetworkSpec { forwards: vec![forward], ..loopback() };
    stage.control(async |client| client.set(&network, vec![(forward, socket)]).await).unwrap();
    let listener = stage.guest.listen(80, 4096);
    let mut stream = TcpStream::connect(forward.listen).unwrap();
    stream.write_all(b"hello").unwrap();
    stage.guest.established(listener);
    assert_eq!(stage.guest.read(listener, 5), b"hello");
    // A refusal is told, which the pipe takes.
    let refused = stage.guest.connect("192.168.7.7:80".parse().unwrap(), 4096);
    stage.guest.turn();
    stage.guest.gone(refused);
    stage.gateway.kill().unwrap();
    stage.gateway.wait().unwrap();
    let told = stage.told();
    assert!(told.contains("reserved 192.168.0.0/16"), "{told}");
    assert!(!told.contains("goes without user"), "{told}");
}

fn a_killed_gateway_is_followed_by_another() {
    let mut stage = Stage::new();
    let server = stage.echo();
    let conns = [(); 5].map(|()| stage.guest.connect(guest::host(server), 4096));
    for conn in conns {
        stage.speak(conn);
    }
    stage.gateway.kill().unwrap();
    stage.gateway.wait().unwrap();
    // What the guest says meanwhile waits in the wire.
    for conn in conns {
        stage.guest.socket(conn).send_slice(b"?").unwrap();
    }
    stage.guest.turn();
    stage.gateway = start(&stage.kept, stage.folder.path());
    for conn in conns {
        stage.guest.gone(conn);
    }
    let conn = stage.guest.connect(guest::host(server), 4096);
    stage.speak(conn);
}

fn a_gateway_ends_with_its_vmm() {
    let mut stage = Stage::new();
    stage.control(async |client| client.status().await).unwrap();
    let (other, unplugged) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    drop(other);
    stage.guest.replug(unplugged);
    let end = stage.gateway.wait().unwrap();
    assert!(!end.success());
    let told = stage.told();
    assert!(told.contains("the VMM closed the wire"), "{told}");
}

fn a_plan_that_cannot_be_read_is_told() {
    let mut stage = Stage::new();
    stage.gateway.kill().unwrap();
    stage.gateway.wait().unwrap();
    fs::write(stage.folder.path().join("plan.json"), "{").unwrap();
    stage.gateway = start(&stage.kept, stage.folder.path());
    assert!(!stage.gateway.wait().unwrap().success());
    let told = stage.told();
    let line: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert!(line["message"].as_str().unwrap().contains("cannot read the plan"), "{told}");
}

fn ten_thousand_connections() {
    const IDLE: u64 = 8 * 1024;
    const THOUSAND: u64 = 10 * 1024;
    let mut stage = Stage::new();
    let server = stage.echo();
    let first = stage.guest.connect(guest::host(server), 512);
    stage.speak(first);
    let idle = stage.number("VmRSS");
    println!("idle: {idle} KiB (anonymous {})", stage.number("RssAnon"));
    assert!(idle <= IDLE, "{idle} KiB");
    let mut conns = Vec::new();
    for wanted in [1000, 9000] {
        let end = conns.len() + wanted;
        while conns.len() < end {
            let some: Vec<Conn> = (0..250).map(|_| stage.guest.connect(guest::host(server), 128)).collect();
            for &conn in &some {
                stage.speak(conn);
            }
            conns.extend(some);
        }
        stage.wait_until_silent();
        let resident = stage.number("VmRSS");
        println!("{end} connections: {resident} KiB, {} more", resident - idle);
        assert!(end > 1000 || resident - idle <= THOUSAND, "{} KiB", resident - idle);
    }
    let counts = stage.control(async |client| client.status().await).unwrap().counts;
    assert_eq!((counts.tcp, counts.tcp_half_open), (10_001, 0));
    for conn in [conns[0], conns[9_999]] {
        stage.speak(conn);
    }
}

impl Stage {
    /// Until the gateway is not woken for a while: it has nothing to do then, ever.
    fn wait_until_silent(&mut self) {
        let end = Instant::now() + LONG;
        let mut last = (self.number("voluntary_ctxt_switches"), Instant::now());
        self.guest.until("silence", |_| {
            let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            let woken: u64 = line.trim().parse().unwrap();
            if woken != last.0 {
                last = (woken, Instant::now());
            }
            assert!(Instant::now() < end, "it is woken again and again");
            last.1.elapsed() > Duration::from_secs(4)
        });
    }
}
