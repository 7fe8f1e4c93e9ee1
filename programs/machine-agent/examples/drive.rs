//! Drives an agent behind a unix socket by hand: `drive SOCKET WORD...`, where a word is `ping`, `measure`,
//! `wake=NAME[:BYTES OF THE ROOT DISK]` (as if restored), `boot=NAME`, `bare=NAME` (as if restored, without a network
//! card), `settle`, `trust=NAME:FILE` (as if restored, trusting the certificate
//! in the file), `clock` (how far off), `wait` (for a line of our input), `off`, `all=LINE`
//! (all that it says), or a line of shell.
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
        let began = Instant::now();
        match line.as_str() {
            "settle" => println!("{:?} {:?}", link.settle().await.unwrap(), began.elapsed()),
            word if ["wake=", "boot=", "bare="].iter().any(|start| word.starts_with(start)) => {
                println!("{:?} {:?}", link.wake_as(waking(word)).await, began.elapsed());
            }
            "ping" => {
                for _ in 0..300 {
                    link.ping().await.unwrap();
                }
                println!("ping {:?}", began.elapsed() / 300);
            }
            word if word.starts_with("trust=") => {
                let (name, path) = word[6..].split_once(':').unwrap();
                let text = std::fs::read_to_string(path).unwrap();
                let certificates = if text.is_empty() { Vec::new() } else { vec![text] };
                let wake = WakeAs { certificate_authorities: Some(certificates), ..waking(&format!("wake={name}")) };
                println!("{:?} {:?}", link.wake_as(wake).await, began.elapsed());
            }
            "measure" => println!("{:?}", link.measure().await.unwrap()),
            "clock" => clock(&link).await,
            "wait" => {
                println!("waiting");
                std::io::stdin().read_line(&mut String::new()).unwrap();
            }
            word if word.starts_with("all=") => {
                let command = link.exec(Exec::shell(&word[4..])).await.unwrap();
                let output = command.output(256 * 1024 * 1024).await.unwrap();
                print!("{}", String::from_utf8_lossy(&output.stdout));
            }
            "off" => {
                link.power_off(Duration::from_secs(3)).await.unwrap();
                println!("off: {} {:?}", link.closed().await, began.elapsed());
            }
            line => match link.exec(Exec::shell(line)).await {
                Ok(command) => {
                    let output = command.output(256 * 1024 * 1024).await.unwrap();
                    let shown = &output.stdout[..output.stdout.len().min(2000)];
                    println!("{} {}", String::from_utf8_lossy(shown), String::from_utf8_lossy(&output.stderr));
                    println!("[{} bytes, {:?}, {:?}]", output.stdout.len(), output.exited, began.elapsed());
                }
                Err(error) => println!("{error}"),
            },
        }
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
    let (name, root_bytes) = name.split_once(':').map_or((name, None), |(name, bytes)| (name, bytes.parse().ok()));
    let number = name.bytes().fold(0_u8, u8::wrapping_add);
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
        root_bytes,
        certificate_authorities: None,
    }
}
