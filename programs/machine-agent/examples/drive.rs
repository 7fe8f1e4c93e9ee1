//! Drives an agent behind a unix socket by hand: `drive SOCKET WORD...`, where a word is `ping`, `measure`,
//! `wake=NAME[:BYTES OF THE ROOT DISK]` (as if restored), `boot=NAME`, `bare=NAME` (restored without a network card),
//! `trust=NAME:FILE` (restored, with the certificate in the file), `settle`, `clock` (how far off), `wait` (for a line of
//! our input), `off`, `all=LINE` (all that it says), or a line of shell.
#![expect(clippy::unwrap_used, reason = "a tool for whoever works on the agent: the first error ends it")]

use machine_guest::GuestLink;
use machine_guest::protocol::{Exec, WakeAs, WakeOrigin};
use std::time::{Duration, Instant, SystemTime};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let began = Instant::now();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let (link, welcome) = GuestLink::connect_unix(arguments[0].as_ref(), deadline).await.unwrap();
    println!("{:?} {welcome:?}", began.elapsed());
    for line in &arguments[1..] {
        obey(&link, line).await;
    }
}

async fn obey(link: &GuestLink, word: &str) {
    let began = Instant::now();
    match word.split_once('=').unwrap_or((word, "")) {
        ("settle", _) => println!("{:?} {:?}", link.settle(Vec::new()).await.unwrap(), began.elapsed()),
        ("wake" | "boot" | "bare" | "trust", _) => {
            println!("{:?} {:?}", link.wake_as(waking(word)).await, began.elapsed());
        }
        ("ping", _) => {
            for _ in 0..300 {
                link.ping().await.unwrap();
            }
            println!("ping {:?}", began.elapsed() / 300);
        }
        ("measure", _) => println!("{:?}", link.measure().await.unwrap()),
        ("clock", _) => clock(link).await,
        ("wait", _) => {
            println!("waiting");
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        ("all", line) => run(link, line, usize::MAX).await,
        ("off", _) => {
            link.power_off(Duration::from_secs(3)).await.unwrap();
            println!("off: {} {:?}", link.closed().await, began.elapsed());
        }
        _ => run(link, word, 2000).await,
    }
}

async fn run(link: &GuestLink, line: &str, most: usize) {
    let began = Instant::now();
    match link.exec(Exec::shell(line)).await {
        Ok(command) => {
            let output = command.output(256 * 1024 * 1024).await.unwrap();
            let shown = &output.stdout[..output.stdout.len().min(most)];
            println!("{} {}", String::from_utf8_lossy(shown), String::from_utf8_lossy(&output.stderr));
            println!("[{} bytes, {:?}, {:?}]", output.stdout.len(), output.exited, began.elapsed());
        }
        Err(error) => println!("{error}"),
    }
}

/// The guest's clock is between these two far from ours.
async fn clock(link: &GuestLink) {
    let ours = || i128::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    for _ in 0..5 {
        let before = ours();
        let output = link.exec(Exec::shell("date +%s%6N")).await.unwrap().output(100).await.unwrap();
        let theirs: i128 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        println!("clock: {} to {} us", theirs - ours(), theirs - before);
    }
}

fn waking(word: &str) -> WakeAs {
    let (origin, name) = word.split_once('=').unwrap();
    let (name, more) = name.split_once(':').map_or((name, None), |(name, more)| (name, Some(more)));
    let number = name.bytes().fold(0_u8, u8::wrapping_add);
    let trusted = more.filter(|_| origin == "trust").map(|path| std::fs::read_to_string(path).unwrap());
    WakeAs {
        id: format!("m{name}"),
        generation: 1,
        origin: if origin == "boot" { WakeOrigin::Boot } else { WakeOrigin::Image },
        unix_nanos: u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap(),
        entropy: vec![number; 64],
        hostname: name.to_owned(),
        machine_id: format!("{number:02x}").repeat(16),
        mac: (origin != "bare").then_some([2, 0, 0, 0, 0, number]),
        address: None,
        env: [("NAME".to_owned(), name.to_owned())].into(),
        ssh_host_keys: Vec::new(),
        root_bytes: more.and_then(|bytes| bytes.parse().ok()),
        certificate_authorities: trusted.map(|text| vec![text].into_iter().filter(|text| !text.is_empty()).collect()),
        mounts: None,
        root: None,
    }
}
