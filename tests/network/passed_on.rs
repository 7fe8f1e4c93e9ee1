//! What a machine is given of its host's surroundings when that is asked for, and not otherwise.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use crate::guest::Guest;
use crate::stage::{Stage, places};

crate::stories![the_hosts_authorities_are_trusted_when_asked, the_hosts_proxy_is_used_when_asked];

const CURL: &[&str] = &["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "https://www.example.com/"];
/// What curl ends with when it trusts nobody who signed.
const UNTRUSTED: i32 = 60;

fn the_hosts_authorities_are_trusted_when_asked(stage: &Stage) {
    let stranger = Guest::create(stage, "a", &[]);
    let ended = stage.home.machine(&[&["exec", stranger.name(), "--"], CURL].concat());
    assert_eq!(ended.code, UNTRUSTED, "{ended:?}");
    let friend = Guest::create(stage, "b", &["--host-ca"]);
    assert_eq!(friend.exec(CURL), "200");
    friend.expect(&[("https('www.example.com', 'www.example.com', verify=True)", places::WWW)]);
    stage.home.ok(&["stop", "b"]);
    stage.home.ok(&["start", "b"]);
    assert_eq!(friend.exec(CURL), "200", "after a start");
}

/// A proxy on the host's own loopback, which no machine reaches otherwise.
fn the_hosts_proxy_is_used_when_asked(stage: &Stage) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            if matches!(BufReader::new(&stream).read_line(&mut line), Ok(1..)) {
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
            }
        }
    });
    with_environment(stage, &[("http_proxy", &format!("http://127.0.0.1:{port}/"))]);
    let (guest, stranger) = (Guest::create(stage, "a", &["--proxy"]), Guest::create(stage, "b", &[]));
    let fetched = guest.exec(&["curl", "-s", "http://www.example.com/by-proxy"]);
    assert_eq!(fetched, "GET http://www.example.com/by-proxy HTTP/1.1");
    assert_eq!(stranger.exec(&["sh", "-c", "echo $http_proxy"]), "");
    stranger.expect(&[(&format!("tcp('10.0.2.2', {port})"), "refused")]);
    drop((guest, stranger));
    with_environment(stage, &[]);
}

/// Goes on with a new server that has this in its environment.
fn with_environment(stage: &Stage, variables: &[(&str, &str)]) {
    stage.home.ok(&["serve", "--stop"]);
    let mut first = stage.home.command(&["ls"]);
    let started = first.envs(variables.iter().copied()).output().expect("the program was built");
    assert!(started.status.success(), "{started:?}");
}
