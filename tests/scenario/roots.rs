//! What a root disk lives for: kept, or given up when the machine stops. Real machines, by way of the API.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::home::{Home, kill, until};

/// Makes a small machine as the API is asked, and says what served it.
pub(crate) fn make(home: &Home, name: &str, more: &Value) -> String {
    let mut body = json!({"name": name, "vcpus": 1, "memory_mb": 256});
    body.as_object_mut().expect("it is one").extend(more.as_object().cloned().expect("a test gives an object"));
    let answer = post(home, "/v1/machines", &body);
    assert_eq!(answer["state"], "running", "{answer}");
    served_by(home, name)
}

/// One request to the server of a home, which is started if need be; its JSON answer.
pub(crate) fn post(home: &Home, path: &str, body: &Value) -> Value {
    home.ok(&["ls"]);
    let body = body.to_string();
    let mut stream = UnixStream::connect(home.folder().join("api.sock")).expect("the server listens");
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: machine\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    stream.write_all(format!("{head}content-type: application/json\r\n\r\n{body}").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    serde_json::from_str(body).expect("the answer is JSON")
}

fn served_by(home: &Home, name: &str) -> String {
    home.inspect(name)["served_by"].as_str().unwrap_or_default().to_owned()
}

fn mark(home: &Home, name: &str) {
    home.ok(&["exec", name, "--", "sh", "-c", "echo here > /var/mark; sync"]);
}

fn is_marked(home: &Home, name: &str) -> bool {
    home.machine(&["exec", name, "--", "cat", "/var/mark"]).code == 0
}

#[test]
fn an_ephemeral_root_is_new_after_a_stop_and_kept_after_a_failure() {
    let home = Home::new("ephemeral");
    assert_eq!(make(&home, "a", &json!({"root": "ephemeral"})), "image");
    assert_eq!(home.inspect("a")["root"], "ephemeral");
    mark(&home, "a");
    home.ok(&["stop", "a"]);
    let disk = home.machine_folders()[0].join("root.qcow2");
    assert!(!disk.exists(), "a stop gives the root up");
    home.ok(&["start", "a"]);
    assert_eq!((served_by(&home, "a").as_str(), is_marked(&home, "a")), ("image", false));

    // Its VMM dies: what it did is kept, and it boots.
    mark(&home, "a");
    kill(home.vmm_pid());
    until("it is seen", || home.state("a") == "failed");
    home.ok(&["start", "a"]);
    assert_eq!((served_by(&home, "a").as_str(), is_marked(&home, "a")), ("boot", true));

    // Powered off by its guest, while nobody looks.
    home.ok(&["exec", "a", "--", "sh", "-c", "sync"]);
    home.machine(&["exec", "a", "--", "sh", "-c", "kill -TERM 1"]);
    until("it is seen", || home.state("a") == "stopped");
    home.kill_server();
    home.ok(&["start", "a"]);
    assert_eq!((served_by(&home, "a").as_str(), is_marked(&home, "a")), ("image", false));
}

#[test]
fn a_start_that_is_repeated_takes_up_the_disk_in_use() {
    let home = Home::new("repeated");
    make(&home, "a", &json!({"root": "ephemeral"}));
    home.ok(&["stop", "a"]);
    // The server dies in the midst of the start, again and again, at whatever it was doing.
    for wait in [20, 60, 120] {
        let mut start = home.spawn(&["start", "a"]);
        let until_then = std::time::Instant::now() + std::time::Duration::from_millis(wait);
        until("its time has come", || std::time::Instant::now() > until_then);
        home.kill_server();
        let _ = start.wait().expect("it was started");
    }
    home.ok(&["start", "a"]);
    home.ok(&["exec", "a", "--", "sh", "-c", "echo good > /var/good; sync; cat /var/good"]);
    assert!(!is_marked(&home, "a"));
    home.kill_server();
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/var/good"]), "good");
}

#[test]
fn other_roots_live_as_they_are_called() {
    let home = Home::new("roots");
    make(&home, "kept", &json!({"root": "persistent"}));
    mark(&home, "kept");
    home.ok(&["stop", "kept"]);
    home.ok(&["start", "kept"]);
    assert_eq!((served_by(&home, "kept").as_str(), is_marked(&home, "kept")), ("boot", true));
    home.ok(&["destroy", "kept", "--yes"]);

    // Every start of a machine that boots and gives its root up boots on a new one.
    assert_eq!(make(&home, "cold", &json!({"root": "ephemeral", "cold": true})), "boot");
    mark(&home, "cold");
    home.ok(&["stop", "cold"]);
    home.ok(&["start", "cold"]);
    assert_eq!((served_by(&home, "cold").as_str(), is_marked(&home, "cold")), ("boot", false));
}
