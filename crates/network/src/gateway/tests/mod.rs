//! The gateway as a whole, in a thread, between real sockets of the host's loopback and a guest that speaks
//! real TCP over the wire.

mod crowds;
mod faults;
mod inbound;
mod orders;
mod outbound;

#[path = "../../../tests/guest/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the suite of processes uses another part of it")]
pub(super) mod guest;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use machine_core::MachineId;
use machine_core::machine::Generation;
use machine_core::network::NetworkSpec;
use machine_core::policy::egress::{EgressPolicy, Verdict};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::*;
use crate::control::Client;
use guest::{Guest, LONG};

/// A gateway that runs, and all around it.
struct Stage {
    guest: Guest,
    folder: tempfile::TempDir,
    gateway: Option<JoinHandle<Result<(), GatewayError>>>,
    /// What it told.
    told: Arc<Mutex<Vec<u8>>>,
    /// Runs the host's servers, and the gateway's.
    runtime: Runtime,
    plan: GatewayPlan,
}

struct Told(Arc<Mutex<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rules that allow the host's loopback, and what `allow` says.
fn network(otherwise: Verdict, allow: &[&str]) -> NetworkSpec {
    let allow = allow.iter().map(|entry| entry.parse().unwrap()).collect();
    NetworkSpec { egress: EgressPolicy { otherwise, allow, deny: Vec::new() }, ..NetworkSpec::default() }
}

/// Rules under which a guest may reach the host's loopback, and nothing else.
fn loopback() -> NetworkSpec {
    network(Verdict::Deny, &["host.machine.internal", "host.machine.internal:80", "127.0.0.1"])
}

impl Stage {
    fn new(network: NetworkSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = GatewayPlan {
            machine: "m0123456789abcdefghij".parse::<MachineId>().unwrap(),
            generation: Generation(1),
            mac: guest::MAC,
            control: folder.path().join("control.sock"),
            flows: folder.path().join("flows"),
            resolver: folder.path().join("resolv.conf"),
            network,
        };
        std::fs::write(&plan.resolver, "nameserver 127.0.0.1\n").unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let told = Arc::default();
        let (gateway, wire) = begin(&plan, &told);
        Self { guest: Guest::new(wire), folder, gateway: Some(gateway), told, runtime, plan }
    }

    /// The gateway is gone, as if killed, and another is there.
    fn replace(&mut self) {
        let unplugged = socketpair_of_packets().0;
        self.guest.replug(unplugged);
        let gone = self.gateway.take().unwrap().join().unwrap();
        assert!(matches!(gone, Err(GatewayError::Unplugged)), "{gone:?}");
        let (gateway, wire) = begin(&self.plan, &self.told);
        self.gateway = Some(gateway);
        self.guest.replug(wire);
    }

    /// A server of the host's: each connection is handled by `handle`.
    fn serve<F, Fut>(&self, handle: F) -> SocketAddr
    where
        F: Fn(tokio::net::TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        self.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handle(stream));
            }
        });
        address
    }

    /// A server that says everything again, and the end after the end.
    fn echo(&self) -> SocketAddr {
        self.serve(async |mut stream: tokio::net::TcpStream| {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        })
    }

    /// Speaks with the gateway as a server does.
    fn control<R>(&self, ask: impl AsyncFnOnce(&mut Client) -> R) -> R {
        self.runtime.block_on(async {
            let mut client = Client::connect(&self.plan.control, LONG).await.unwrap();
            ask(&mut client).await
        })
    }

    fn told(&self) -> String {
        String::from_utf8(self.told.lock().unwrap().clone()).unwrap()
    }

    /// Waits until nothing is open any more.
    fn until_empty(&mut self) {
        let end = Instant::now() + LONG;
        loop {
            self.guest.turn();
            let counts = self.control(async |client| client.status().await).unwrap().counts;
            if (counts.tcp, counts.tcp_half_open) == (0, 0) {
                return;
            }
            assert!(Instant::now() < end, "connections stay: {counts:?}");
            self.guest.wait(std::time::Duration::from_millis(20));
        }
    }

    /// A port of the host's where nobody listens.
    fn deaf_port(&self) -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn socketpair_of_packets() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

fn begin(plan: &GatewayPlan, told: &Arc<Mutex<Vec<u8>>>) -> (JoinHandle<Result<(), GatewayError>>, OwnedFd) {
    let (ours, theirs) = socketpair_of_packets();
    let (plan, told) = (plan.clone(), Told(Arc::clone(told)));
    let begun = std::thread::spawn(move || {
        // What is told is not shared with other threads while the gateway lives, but is made here.
        let refusals = Refusals::new(Instant::now(), Box::new(told), jiff::Timestamp::now);
        Gateway::new(&plan, ours, refusals)?.run()
    });
    (begun, theirs)
}

impl Drop for Stage {
    fn drop(&mut self) {
        let unplugged = socketpair_of_packets().0;
        self.guest.replug(unplugged);
        if let Some(gateway) = self.gateway.take() {
            let end = gateway.join();
            if !std::thread::panicking() {
                assert!(matches!(end, Ok(Err(GatewayError::Unplugged))), "{end:?}");
            }
        }
    }
}
