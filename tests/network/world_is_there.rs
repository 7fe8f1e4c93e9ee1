//! The stage itself, before any machine: a story that fails here says that the others prove nothing.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::stage::{Stage, places};
use crate::world::port;

crate::stories![every_address_answers, nothing_else_does, resolvers_answer, there_is_an_authority];

fn every_address_answers(stage: &Stage) {
    for address in places::PUBLIC.iter().chain(places::RESERVED) {
        let mut stream = reached(address);
        stream.write_all(b"GET /here HTTP/1.1\r\nHost: a\r\n\r\n").expect("it was connected");
        let mut answer = [0; 200];
        let count = stream.read(&mut answer).expect("it answers");
        let text = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(text.contains(&format!(r#""at":"{address}""#)) && text.contains(r#""path":"/here""#), "{text}");
    }
    for address in places::PUBLIC_V6.iter().chain(places::RESERVED_V6) {
        reached(address);
    }
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("it is a socket");
    socket.send_to(b"hello", (places::WWW, port::ECHO)).expect("there is a route");
    let mut bytes = [0; 100];
    let (count, from) = socket.recv_from(&mut bytes).expect("it answers");
    assert_eq!(&bytes[..count], b"hello");
    assert_eq!(from.to_string(), format!("{}:{}", places::WWW, port::ECHO));
    assert!(stage.world.take_sights().iter().any(|sight| sight.service == "echo" && sight.said == b"hello"));
}

fn reached(address: &str) -> TcpStream {
    let reached = TcpStream::connect((address, 80));
    assert!(reached.is_ok(), "{address}: {reached:?}");
    reached.expect("it is")
}

/// The way out of the stage leads to the world alone.
fn nothing_else_does(_: &Stage) {
    let entries = std::fs::read_dir("/sys/class/net").expect("Linux has /sys");
    drop(entries);
    let links = std::fs::read_to_string("/proc/net/dev").expect("Linux has /proc");
    let mut names: Vec<_> = links.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
    names.retain(|name| !["sit0", "tunl0", "gre0", "ip6tnl0", "erspan0", "gretap0"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["lo", "out"]);
    let refused = TcpStream::connect((places::WWW, port::CLOSED)).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

fn resolvers_answer(stage: &Stage) {
    stage.world.take_questions();
    let found = std::net::ToSocketAddrs::to_socket_addrs(&("www.example.com", 80)).expect("it resolves");
    assert_eq!(found.map(|found| found.ip().to_string()).collect::<Vec<_>>(), [places::WWW]);
    let asked = stage.world.take_questions();
    assert!(asked.contains(&format!("www.example.com A at {}", places::RESOLVER)), "{asked:?}");
}

fn there_is_an_authority(stage: &Stage) {
    assert!(stage.world.authority.starts_with("-----BEGIN CERTIFICATE-----"));
}
