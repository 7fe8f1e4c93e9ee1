//! Drives an agent behind a unix socket by hand: `drive SOCKET LINE...` runs lines of shell.
#![expect(clippy::unwrap_used, reason = "a tool for whoever works on the agent: the first error ends it")]

use machine_guest::GuestLink;
use machine_guest::protocol::{Exec, Identify};
use std::time::{Duration, Instant, SystemTime};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let began = Instant::now();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let (link, welcome) = GuestLink::connect_unix(arguments[0].as_ref(), deadline).await.unwrap();
    println!("{:?} {welcome:?}", began.elapsed());
    if arguments.get(1).is_some_and(|word| word == "identify") {
        let hostname = Some("smoke".to_owned());
        let entropy = Some(vec![7; 32]);
        link.identify(Identify { hostname, entropy, ..Identify::default() }).await.unwrap();
        link.set_clock(SystemTime::now()).await.unwrap();
    }
    for line in &arguments[1..] {
        let began = Instant::now();
        match line.as_str() {
            "identify" => {}
            "ping" => {
                for _ in 0..300 {
                    link.ping().await.unwrap();
                }
                println!("ping {:?}", began.elapsed() / 300);
            }
            "measure" => println!("{:?}", link.measure().await.unwrap()),
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
