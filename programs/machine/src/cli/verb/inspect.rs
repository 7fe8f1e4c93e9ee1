//! `inspect`: all that is known of one machine: names and values for people, JSON for programs.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use machine_sdk::api::{MachineInfo, NetworkInfo};

use super::ls;
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::project;
use crate::cli::table::{Cell, pairs};
use crate::cli::word::{age, duration, escape, port};
use machine_sdk::api::MiB;

/// Which machine.
#[derive(Debug, Args)]
#[command(after_help = "JSON with --json, and where standard output is no terminal.")]
pub(crate) struct InspectArguments {
    /// machine to show; the project's, if left out
    #[arg(value_name = "NAME")]
    machine: Option<String>,
}

/// Shows one machine.
pub(crate) async fn inspect(asked: InspectArguments, desk: &Desk) -> Result<u8, Failure> {
    let meant = project::meant_one(asked.machine.as_ref(), desk).await?;
    let machine = desk.link.ask(async |client| client.get(&meant).await).await?;
    let voice = &desk.voice;
    if voice.bare() && !voice.json() {
        voice.print(voice.handle(&machine))?;
    } else if voice.json() {
        voice.document(&machine)?;
    } else if !voice.out.terminal {
        voice.spread(&machine)?;
    } else {
        voice.print(&description(&machine, Timestamp::now(), voice.out.paint))?;
    }
    Ok(0)
}

fn description(machine: &MachineInfo, now: Timestamp, paint: Paint) -> String {
    let ago = |then: Timestamp| format!("{then} ({} ago)", age::show(then, now));
    let mut rows: Vec<(&str, Cell)> = vec![("id", machine.id.as_str().into())];
    let mut known = |name, value: Option<String>| rows.extend(value.map(|value| (name, Cell::from(value))));
    known("name", machine.name.clone());
    known("template", Some(format!("{} ({})", machine.template, machine.template_digest)));
    known("cpus", Some(machine.config.vcpus.to_string()));
    known("memory", Some(MiB(machine.config.memory_mb).to_string()));
    known("disk", Some(MiB(machine.config.disk_mb).to_string()));
    known("folder", machine.cwd.clone());
    let labels: Vec<String> = machine.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    known("labels", Some(labels.join(", ")).filter(|labels| !labels.is_empty()));
    for (name, value) in network(&machine.network) {
        known(name, value);
    }
    known("created", Some(ago(machine.created_at)));
    known("started", machine.started_at.map(ago));
    let took = |micros| duration::show(Duration::from_micros(micros));
    let stages = machine.stages.iter().map(|time| format!("{} {}", time.stage, took(time.micros)));
    known("served by", machine.served_by.map(|how| how.to_string()));
    known("last start", Some(stages.collect::<Vec<_>>().join(", ")).filter(|stages| !stages.is_empty()));
    known("reason", machine.reason.clone());
    for warning in &machine.warnings {
        known("warning", Some(escape::plain(warning)));
    }
    let allowed: Vec<&str> = machine.allowed_commands.iter().map(|command| command.word()).collect();
    known("allowed", Some(allowed.join(", ")).filter(|allowed| !allowed.is_empty()));
    let after_name = if machine.name.is_some() { 2 } else { 1 };
    rows.insert(after_name, ("state", ls::state(machine.phase)));
    pairs(&rows, paint)
}

fn network(network: &NetworkInfo) -> [(&'static str, Option<String>); 4] {
    let address = network.address.map(|address| format!(" ({address})")).unwrap_or_default();
    let egress = network.egress.as_ref().map(|egress| {
        let entries = |count: usize, word: &str| if count == 0 { String::new() } else { format!(", {count} {word}") };
        let (allowed, refused) = (entries(egress.allow.len(), "allowed"), entries(egress.deny.len(), "refused"));
        format!("{}{allowed}{refused}", egress.policy)
    });
    let ports: Vec<String> = network.forwards.iter().map(port::show).collect();
    let passed_on = [(network.host_ca, "certificate authorities"), (network.proxy, "proxy")];
    let passed_on: Vec<&str> = passed_on.into_iter().filter(|(is, _)| *is).map(|(_, what)| what).collect();
    let joined = |texts: String| Some(texts).filter(|texts| !texts.is_empty());
    [
        ("network", Some(format!("{}{address}", network.mode))),
        ("egress", egress),
        ("ports", joined(ports.join(", "))),
        ("passed on", joined(passed_on.join(", "))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_described_line_by_line() {
        let text = description(&ls::tests::machine(), "2026-01-02T03:05:05Z".parse().unwrap(), Paint::Plain);
        let expected = "\
id          m0123456789abcdefghij
name        web
state       running
template    base (sha256:00)
cpus        2
memory      512 MiB
disk        10 GiB
labels      team=web
network     user (10.0.2.15)
egress      allow
created     2026-01-02T03:04:05Z (1m ago)
served by   boot
last start  boot 1.9 s
allowed     stop, destroy
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_network_is_described_by_what_is_not_as_always() {
        let told = |wish: serde_json::Value| {
            let rows = network(&serde_json::from_value(wish).unwrap());
            rows.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))).collect::<Vec<_>>()
        };
        let none = serde_json::json!({"mode": "none", "forwards": [], "host_ca": false, "proxy": false});
        assert_eq!(told(none), ["network: none"]);
        let much = serde_json::json!({
            "mode": "user", "address": "10.0.2.15", "host_ca": true, "proxy": true,
            "egress": {"mode": "custom", "allow_cidrs": [], "deny_cidrs": [], "policy": "deny", "allow": ["a", "b"], "deny": ["c"]},
            "forwards": [{"listen": "127.0.0.1:8080", "guest": 80, "transport": "tcp"}],
        });
        let expected = [
            "network: user (10.0.2.15)",
            "egress: deny, 2 allowed, 1 refused",
            "ports: 8080:80",
            "passed on: certificate authorities, proxy",
        ];
        assert_eq!(told(much), expected);
    }
}
