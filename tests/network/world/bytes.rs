//! Servers of bytes: those that answer, and those that reset, say nothing, never end or never read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Seen, locked, port, serve_tcp, serve_udp};

/// How long `DRIP` waits between two drops.
const DROP: Duration = Duration::from_millis(20);

pub(super) fn open(seen: &Arc<Seen>) {
    serve_tcp(seen, "echo", port::ECHO, echo);
    serve_udp(seen, "echo", port::ECHO, |_, _, bytes| Some(bytes.to_vec()));
    serve_udp(seen, "quic", 443, |_, _, bytes| Some(bytes.to_vec()));
    serve_tcp(seen, "dns over tls", 853, |seen, stream, at| listen(seen, "dns over tls", stream, at));
    serve_tcp(seen, "reset", port::RESET, |_, stream, _| reset(&stream));
    let held = Arc::new(Mutex::new(Vec::new()));
    serve_tcp(seen, "mute", port::MUTE, move |_, stream, _| locked(&held).push(stream));
    serve_tcp(seen, "source", port::SOURCE, |_, stream, _| pour(stream));
    serve_tcp(seen, "sink", port::SINK, |_, stream, _| count(stream));
    serve_tcp(seen, "drip", port::DRIP, |_, stream, _| drip(stream));
}

fn echo(seen: &Seen, mut stream: TcpStream, at: SocketAddr) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        seen.add("echo", at, &bytes[..count]);
        if stream.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

fn listen(seen: &Seen, service: &'static str, mut stream: TcpStream, at: SocketAddr) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        seen.add(service, at, &bytes[..count]);
    }
}

/// Closing with nothing to linger for sends a reset.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("it is a socket");
}

fn pour(mut stream: TcpStream) {
    let bytes = vec![b'x'; 65_536];
    while stream.write_all(&bytes).is_ok() {}
}

fn count(mut stream: TcpStream) {
    let (mut bytes, mut sum) = (vec![0; 65_536], 0);
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        sum += count;
    }
    let _ = stream.write_all(format!("{sum}\n").as_bytes());
}

/// Waits for the other side's word, which never comes, between two drops.
fn drip(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(DROP));
    while stream.write_all(&[b'.'; 64]).is_ok() {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Ok(_) | Err(_) => (),
        }
    }
}
