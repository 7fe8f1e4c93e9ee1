//! Ways in: ports of the host that lead to a machine.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::guest::Guest;
use crate::home::until;
use crate::stage::{Stage, places};

crate::stories![
    a_port_leads_to_a_service_wherever_it_listens,
    datagrams_find_their_way_in_and_back,
    a_service_that_is_not_there_refuses_and_one_that_resets_resets,
    ports_come_and_go_while_a_machine_runs_and_stay_over_a_stop,
    a_busy_port_is_told_with_who_holds_it,
    a_port_is_on_loopback_unless_asked,
    a_transfer_through_a_port_is_whole_and_ends_half,
    a_guest_that_sleeps_is_waited_for,
];

/// Python that echoes on these addresses, and says `ready` when it does.
fn echoes(on: &[(&str, u16)]) -> String {
    let listeners: Vec<String> = on.iter().map(|(host, port)| format!("('{host}', {port})")).collect();
    format!(
        "def serve(s):\n\
         \x20   while some := s.recv(65536): s.sendall(some)\n\
         \x20   s.close()\n\
         def accept(at):\n\
         \x20   family = socket.AF_INET6 if ':' in at[0] else socket.AF_INET\n\
         \x20   l = socket.create_server(at, family=family); l.settimeout(None)\n\
         \x20   def loop():\n\
         \x20       while True:\n\
         \x20           s = l.accept()[0]; s.settimeout(None)\n\
         \x20           threading.Thread(target=serve, args=(s,), daemon=True).start()\n\
         \x20   threading.Thread(target=loop).start()\n\
         for at in [{}]: accept(at)\n\
         say('ready')",
        listeners.join(", ")
    )
}

/// The port of the host that leads to this one of the guest.
fn host_port(stage: &Stage, guest: &Guest<'_>, of: u16) -> u16 {
    let ports: serde_json::Value =
        serde_json::from_str(&stage.home.ok(&["ports", guest.name(), "--json"])).expect("ports prints JSON");
    let text = ports.to_string();
    let all =
        ports.as_array().or(ports["ports"].as_array()).unwrap_or_else(|| unreachable!("no list of ports: {text}"));
    let found = all.iter().find(|port| port["guest"] == of);
    let listen = found.and_then(|port| port["listen"].as_str()).unwrap_or_default();
    listen.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
}

/// What comes back from a port of the host.
fn through(port: u16, said: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(said)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    Ok(back)
}

fn a_port_leads_to_a_service_wherever_it_listens(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "0:8080", "-p", "0:8081", "-p", "0:8082"]);
    guest.leave_python(&echoes(&[("0.0.0.0", 8080), ("127.0.0.1", 8081), ("::1", 8082)]), "ready");
    for of in [8080, 8081, 8082] {
        let port = host_port(stage, &guest, of);
        assert_eq!(through(port, b"hello").expect("it is reached"), b"hello", "the guest's port {of}");
    }
    // The server's end does not cut what it carries for the guest's own loopback for ever.
    stage.home.kill_server();
    until("a new server carries on", || {
        stage.home.ok(&["ls", "-q"]);
        through(host_port(stage, &guest, 8081), b"again").is_ok_and(|back| back == b"again")
    });
}

fn datagrams_find_their_way_in_and_back(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "0:5300/udp", "-p", "0:5301/udp"]);
    let mut running = guest.start_python(
        "def loop(at):\n\
         \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(None); s.bind(at)\n\
         \x20   def turn():\n\
         \x20       while True: data, who = s.recvfrom(65536); s.sendto(data.upper(), who)\n\
         \x20   threading.Thread(target=turn).start()\n\
         loop(('0.0.0.0', 5300)); loop(('127.0.0.1', 5301))\n\
         say('ready')",
    );
    running.says("ready");
    for of in [5300, 5301] {
        let port = host_port(stage, &guest, of);
        let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port is free"));
        for (number, socket) in sockets.iter().enumerate() {
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("it is a socket");
            let mut back = [0; 2000];
            // Datagrams may be lost.
            let said = format!("datagram {number}");
            let came = (0..10).find_map(|_| {
                socket.send_to(said.as_bytes(), (Ipv4Addr::LOCALHOST, port)).ok()?;
                socket.recv(&mut back).ok()
            });
            assert_eq!(came.map(|count| back[..count].to_vec()), Some(said.to_uppercase().into_bytes()), "{of}");
        }
    }
}

fn a_service_that_is_not_there_refuses_and_one_that_resets_resets(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "0:8090", "-p", "0:8091"]);
    let mut running = guest.start_python(
        "l = socket.create_server(('0.0.0.0', 8091)); l.settimeout(None)\n\
         say('ready')\n\
         while True:\n\
         \x20   s = l.accept()[0]\n\
         \x20   s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()",
    );
    running.says("ready");
    for of in [8090, 8091] {
        let ended = through(host_port(stage, &guest, of), b"hello");
        assert!(ended.as_ref().is_err() || ended.as_ref().is_ok_and(Vec::is_empty), "{of}: {ended:?}");
        assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{of} hangs");
    }
    // A guest that sleeps: nothing answers, and nothing breaks; the others are served meanwhile.
    guest.expect(&[("http('203.0.113.10', 'x')", places::WWW)]);
}

fn ports_come_and_go_while_a_machine_runs_and_stay_over_a_stop(stage: &Stage) {
    let guest = Guest::create(stage, "a", &[]);
    guest.leave_python(&echoes(&[("0.0.0.0", 8080)]), "ready");
    stage.home.ok(&["ports", "add", "a", "0:8080"]);
    let port = host_port(stage, &guest, 8080);
    assert_eq!(through(port, b"x").expect("it was added"), b"x");
    stage.home.ok(&["ports", "add", "a", &format!("{port}:8080")]);
    stage.home.ok(&["stop", "a"]);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "a stopped machine is reached");
    stage.home.ok(&["start", "a"]);
    guest.leave_python(&echoes(&[("0.0.0.0", 8080)]), "ready");
    assert_eq!(through(host_port(stage, &guest, 8080), b"y").expect("it was kept"), b"y");
    let port = host_port(stage, &guest, 8080);
    stage.home.ok(&["ports", "rm", "a", &format!("{port}:8080")]);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "a port that was removed leads in");
}

fn a_busy_port_is_told_with_who_holds_it(stage: &Stage) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let ours = std::process::id().to_string();
    let spec = format!("{port}:80");
    let told = stage.home.refused(&["create", "--name", "busy", "-p", &spec], 7);
    assert!(told.contains(&port.to_string()) && told.contains(&ours) && told.contains("network"), "{told}");
    assert_eq!(stage.home.ok(&["ls", "-q"]), "", "a machine is left");
    let guest = Guest::create(stage, "a", &["-p", "0:80"]);
    let told = stage.home.refused(&["ports", "add", "a", &spec], 7);
    assert!(told.contains(&ours), "{told}");
    // Another machine's port is as busy as a stranger's.
    let taken = format!("{}:80", host_port(stage, &guest, 80));
    stage.home.refused(&["create", "--name", "busy", "-p", &taken], 7);
    drop(listener);
    stage.home.ok(&["ports", "add", "a", &spec]);
}

fn a_port_is_on_loopback_unless_asked(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "0:8080", "-p", "0.0.0.0:0:8081"]);
    guest.leave_python(&echoes(&[("0.0.0.0", 8080), ("0.0.0.0", 8081)]), "ready");
    let (narrow, wide) = (host_port(stage, &guest, 8080), host_port(stage, &guest, 8081));
    assert!(TcpStream::connect((places::HOST, narrow)).is_err());
    TcpStream::connect((places::HOST, wide)).expect("it was asked for");
}

fn a_transfer_through_a_port_is_whole_and_ends_half(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "0:8080", "-p", "0:8081"]);
    guest.leave_python(&echoes(&[("0.0.0.0", 8080), ("127.0.0.1", 8081)]), "ready");
    let data: Vec<u8> = (0..8_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for of in [8080, 8081] {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host_port(stage, &guest, of))).expect("it is there");
        let mut writer = stream.try_clone().expect("it is a socket");
        let sent = data.clone();
        let sender = std::thread::spawn(move || {
            writer.write_all(&sent)?;
            writer.shutdown(std::net::Shutdown::Write)
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("it ends well");
        sender.join().expect("it does not panic").expect("all is taken");
        assert!(back == data, "{of}: {} of {} bytes, or others", back.len(), data.len());
    }
}

/// Its VMM does not run for a while, as that of a machine that is paused.
fn a_guest_that_sleeps_is_waited_for(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["-p", "0:8080"]);
    guest.leave_python(&echoes(&[("0.0.0.0", 8080)]), "ready");
    let port = host_port(stage, &guest, 8080);
    let vmm = stage.home.vmm_pid().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &vmm]).status().is_ok_and(|it| it.success()));
    signal("-STOP");
    let waiting: Vec<_> = (0..20).map(|_| std::thread::spawn(move || through(port, b"awake?"))).collect();
    let (gateway, mib) = (guest.gateway(), guest.gateway_mib());
    signal("-CONT");
    for one in waiting {
        assert_eq!(one.join().expect("it does not panic").expect("it is served in the end"), b"awake?");
    }
    assert_eq!(guest.gateway(), gateway, "the gateway died");
    assert!(mib < 64, "{mib} MiB for 20 that wait");
}
