//! Web servers: they tell what they were asked for, and where. `/bytes/N` is answered by so many bytes.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Seen, serve_tcp};

/// In the clear.
const PLAIN: [u16; 2] = [80, 8080];
/// Under TLS.
const SECRET: [u16; 2] = [443, 8443];

pub(super) fn open(seen: &Arc<Seen>, web: &Arc<ServerConfig>) {
    for port in PLAIN {
        serve_tcp(seen, "http", port, |seen, stream, at| serve(seen, "http", at, None, stream));
    }
    for port in SECRET {
        let web = Arc::clone(web);
        serve_tcp(seen, "https", port, move |seen, stream, at| {
            let session = ServerConnection::new(Arc::clone(&web)).expect("the configuration is whole");
            let mut stream = StreamOwned::new(session, stream);
            // A handshake that fails has been seen as a connection, and as no more.
            while stream.conn.is_handshaking() {
                if stream.conn.complete_io(&mut stream.sock).is_err() {
                    return;
                }
            }
            let name = stream.conn.server_name().map(str::to_owned);
            serve(seen, "https", at, name, stream);
        });
    }
}

/// One request after another, until the client ends.
fn serve(seen: &Seen, service: &'static str, at: SocketAddr, name: Option<String>, stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(stream.read_line(&mut head), Ok(1..)) {
                // What is not a request is seen, too.
                return seen.add(service, at, head.as_bytes());
            }
        }
        seen.add(service, at, head.as_bytes());
        if answer(stream.get_mut(), at, name.as_deref(), &head).is_err() {
            return;
        }
    }
}

fn answer(stream: &mut impl Write, at: SocketAddr, name: Option<&str>, head: &str) -> std::io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let host =
        head.lines().find_map(|line| line.split_once(": ").filter(|(field, _)| field.eq_ignore_ascii_case("host")));
    let body = match path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
        Some(count) => vec![b'x'; count],
        None => {
            let at = at.ip().to_canonical();
            let host = host.map(|(_, host)| host);
            serde_json::json!({ "at": at, "name": name, "host": host, "path": path }).to_string().into_bytes()
        }
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat())?;
    stream.flush()
}
