//! `logs`: what a machine's guest, or our agent in it, wrote to its console, what a service said, and what its network
//! refused.

use clap::Args;
use machine_sdk::api::explain::{CompanionLine, RefusalLine};
use machine_sdk::{ByteStream, Follow};
use serde_json::{Map, Value, json};

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::project;
use crate::cli::voice::Voice;

/// What the agent's lines on the guest's console begin with.
const AGENT: &str = "machine-agent: ";

/// Which log, of which machine.
#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// the guest's console since its last start; the default
    #[arg(long)]
    boot: bool,

    /// what our agent in the guest said on its console since its last start
    #[arg(long, conflicts_with = "boot")]
    agent: bool,

    /// what the machine wanted to reach and might not, with the rule that refused it
    #[arg(long, conflicts_with_all = ["boot", "agent"])]
    network: bool,

    /// go on until the machine runs no more
    #[arg(short, long)]
    follow: bool,

    /// what a service of the machine said
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["boot", "agent", "network"])]
    service: Option<String>,

    /// machine whose log to print; the project's, if left out
    #[arg(value_name = "NAME")]
    machine: Option<String>,
}

/// Prints a log as it comes.
pub(crate) async fn logs(asked: LogsArguments, desk: &Desk) -> Result<u8, Failure> {
    let follow = if asked.follow { Follow::Yes } else { Follow::No };
    let machine = project::meant_one(asked.machine.as_ref(), desk).await?;
    if asked.network {
        let log = desk.link.ask(async |client| client.network_log(&machine, follow).await).await?;
        return print_refusals(log, &desk.voice).await;
    }
    let mut log = match &asked.service {
        Some(service) => {
            desk.link.ask(async |client| client.service_log(&machine, service, follow, None).await).await?
        }
        None => desk.link.ask(async |client| client.boot_log(&machine, follow).await).await?,
    };
    if asked.agent {
        return by_line(log, |lines| desk.voice.print(&agents(lines))).await;
    }
    while let Some(bytes) = log.next().await? {
        desk.voice.write(&bytes)?;
    }
    Ok(0)
}

async fn print_refusals(log: ByteStream, voice: &Voice) -> Result<u8, Failure> {
    let shown = |line: &str| if voice.json() { as_json(line) } else { as_text(line) } + "\n";
    by_line(log, |lines| voice.print(&lines.lines().filter(|line| !line.is_empty()).map(shown).collect::<String>()))
        .await
}

/// Prints whole lines as they come.
async fn by_line(mut log: ByteStream, print: impl Fn(&str) -> Result<(), Failure>) -> Result<u8, Failure> {
    let mut begun: Vec<u8> = Vec::new();
    while let Some(bytes) = log.next().await? {
        begun.extend_from_slice(&bytes);
        let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = begun.drain(..whole).collect();
        print(&String::from_utf8_lossy(&lines))?;
    }
    print(&String::from_utf8_lossy(&begun))?;
    Ok(0)
}

/// The lines that begin as the agent's do. A guest may write what it likes, and a terminal is sent text alone.
fn agents(lines: &str) -> String {
    let said = lines.lines().filter_map(|line| line.strip_prefix(AGENT));
    said.map(|line| line.chars().filter(|letter| !letter.is_control()).chain(['\n']).collect::<String>()).collect()
}

/// A line that a program reads; what the gateway itself said is a `message`.
fn as_json(line: &str) -> String {
    match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(_) => line.to_owned(),
        Err(_) => json!({"message": line}).to_string(),
    }
}

/// `TIME  WHERE  RULE`, and how often, if more than once.
fn as_text(line: &str) -> String {
    if let Ok(CompanionLine { at, companion, ended, cannot_start }) = serde_json::from_str(line) {
        let what = match (ended, cannot_start) {
            (Some(how), _) => format!("ended: {how}"),
            (None, why) => format!("cannot be started: {}", why.unwrap_or_default()),
        };
        return format!("{at:.3}  the {companion} process {what}; it is started again");
    }
    let Ok(refusal) = serde_json::from_str::<RefusalLine>(line) else {
        return line.chars().filter(|letter| !letter.is_control()).collect();
    };
    let count = if refusal.count > 1 { format!("  {} times", refusal.count) } else { String::new() };
    let others = if refusal.others > 0 { format!("  ({} others not told)", refusal.others) } else { String::new() };
    format!("{:.3}  {} {}  {}{count}{others}", refusal.at, refusal.protocol, place(&refusal), refusal.rule)
}

fn place(refusal: &RefusalLine) -> String {
    let port = refusal.port.map(|port| format!(":{port}")).unwrap_or_default();
    match (&refusal.address, &refusal.name) {
        (Some(address), name) => {
            let address =
                if address.is_ipv6() && !port.is_empty() { format!("[{address}]") } else { address.to_string() };
            let name = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{address}{port}{name}")
        }
        (None, Some(name)) => format!("{name}{port}"),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-01-02T03:04:05.123456Z";

    fn check(rest: &Value, text: &str) {
        let mut line = json!({"at": AT, "rule": "default deny", "protocol": "tcp", "count": 1});
        line.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let line = line.to_string();
        assert_eq!(as_text(&line), format!("2026-01-02T03:04:05.123Z  {text}"));
        assert_eq!(as_json(&line), line);
    }

    #[test]
    fn a_refusal_is_one_line_for_people() {
        check(&json!({"address": "1.1.1.1", "port": 443}), "tcp 1.1.1.1:443  default deny");
        check(&json!({"address": "2606::1", "port": 443, "count": 7}), "tcp [2606::1]:443  default deny  7 times");
        check(&json!({"address": "1.1.1.1", "protocol": "icmp"}), "icmp 1.1.1.1  default deny");
        check(&json!({"name": "a.example", "protocol": "dns"}), "dns a.example  default deny");
        check(
            &json!({"address": "1.1.1.1", "port": 80, "name": "a.example", "others": 3}),
            "tcp 1.1.1.1:80 (a.example)  default deny  (3 others not told)",
        );
        check(&json!({}), "tcp -  default deny");
    }

    #[test]
    fn the_agents_lines_are_told_from_the_kernels() {
        let console = "[    0.1] Linux\r\nmachine-agent: ready\r\nnot machine-agent: x\nmachine-agent: \x1b[2Jlate\n";
        assert_eq!(agents(console), "ready\n[2Jlate\n");
    }

    #[test]
    fn a_gateway_that_ended_is_told_in_words() {
        let line = json!({"at": AT, "companion": "network", "ended": "signal: 9 (SIGKILL)"}).to_string();
        let told = "the network process ended: signal: 9 (SIGKILL); it is started again";
        assert_eq!(as_text(&line), format!("2026-01-02T03:04:05.123Z  {told}"));
        let line = json!({"at": AT, "companion": "network", "cannot_start": "no memory"}).to_string();
        assert!(as_text(&line).ends_with("the network process cannot be started: no memory; it is started again"));
    }

    #[test]
    fn what_is_no_refusal_is_told_without_what_moves_a_terminal() {
        assert_eq!(as_text("gateway: \x1b[2Jhello"), "gateway: [2Jhello");
        assert_eq!(as_json("a \"b\""), r#"{"message":"a \"b\""}"#);
    }
}
