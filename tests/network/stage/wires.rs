//! Two network namespaces and the wire between them. The host's side is ours already; the world's is made here.

use std::fs::File;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use super::places;
use crate::home::until;

/// Connects both sides, and gives the world's namespace: whoever enters it serves there.
pub(super) fn lay() -> File {
    let mut holder = Command::new("unshare")
        .args(["--net", "cat"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("unshare is a part of util-linux");
    until("the world's namespace is there", || its(&holder) != ours());
    let world = File::open(format!("/proc/{}/ns/net", holder.id())).expect("its process lives");
    for setting in ["net/ipv4/ping_group_range", "net/ipv6/conf/all/accept_dad"] {
        let value = if setting.contains("ping") { "0 2147483647" } else { "0" };
        std::fs::write(format!("/proc/sys/{setting}"), value).expect("the namespace is ours");
    }
    wire(&holder);
    // The descriptor keeps the namespace.
    drop(holder.stdin.take());
    holder.wait().expect("it was started");
    world
}

fn wire(holder: &Child) {
    let pid = holder.id().to_string();
    ip(
        None,
        &[
            "link set lo up".to_owned(),
            format!("link add name out type veth peer name world netns {pid}"),
            format!("address add {}/24 dev out", places::HOST),
            format!("address add {}/64 dev out nodad", places::HOST_V6),
            "link set out up".to_owned(),
            format!("route add default via {}", places::WORLD),
            format!("route add default via {}", places::WORLD_V6),
        ],
    );
    let mut there = vec![
        "link set lo up".to_owned(),
        format!("address add {}/24 dev world", places::WORLD),
        format!("address add {}/64 dev world nodad", places::WORLD_V6),
        "link set world up".to_owned(),
    ];
    let resolvers = [places::RESOLVER, places::VPN_RESOLVER, places::PUBLIC_RESOLVER];
    let four = places::PUBLIC.iter().chain(places::RESERVED).chain(&resolvers);
    there.extend(four.map(|address| format!("address add {address}/32 dev lo")));
    let six = places::PUBLIC_V6.iter().chain(places::RESERVED_V6);
    there.extend(six.map(|address| format!("address add {address}/128 dev lo nodad")));
    ip(Some(&pid), &there);
}

/// Runs `ip -batch`, here or in the namespace of a process.
fn ip(there: Option<&str>, lines: &[String]) {
    let mut command = match there {
        Some(pid) => {
            let mut command = Command::new("nsenter");
            command.args(["--net", "--target", pid, "ip"]);
            command
        }
        None => Command::new("ip"),
    };
    let mut batch = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("iproute2 is installed");
    let mut stdin = batch.stdin.take().expect("it is piped");
    stdin.write_all(lines.join("\n").as_bytes()).expect("ip reads its batch");
    drop(stdin);
    assert!(batch.wait().expect("it was started").success(), "ip did not take: {lines:#?}");
}

fn its(process: &Child) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{}/ns/net", process.id())).ok()
}

fn ours() -> Option<std::path::PathBuf> {
    std::fs::read_link("/proc/self/ns/net").ok()
}
