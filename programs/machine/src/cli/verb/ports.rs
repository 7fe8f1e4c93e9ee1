//! `ports`: ports of this host that lead to machines, added and removed while they run.

use clap::{Args, Subcommand};
use machine_sdk::MachineFilter;
use machine_sdk::api::network::{ForwardWish, PortInfo};
use machine_sdk::api::{Code, MachineInfo};
use serde::Serialize;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::project;
use crate::cli::table::{Cell, table};
use crate::cli::word::port::{self, Meant};

const AFTER_HELP: &str = "\
Ports are on 127.0.0.1 unless another ADDRESS is asked for. Services that listen on the machine's
own 127.0.0.1 are reached, too.";

const AFTER_ADD_HELP: &str = "\
Prints where this host listens, one port a line. All ports are added or, if one cannot be had, none.

Examples:
  machine ports add web 8080:80 5353:53/udp
  machine ports add web 0.0.0.0:8443:443
  curl http://$(machine ports add web 0:80)/";

const AFTER_RM_HELP: &str = "\
SPEC says where this host listens: PORT, ADDRESS:PORT, or all of what it was added with.

Examples:
  machine ports rm web 8080
  machine ports rm web 0.0.0.0:8443 5353/udp";

/// Which ports.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct PortsArguments {
    #[command(subcommand)]
    verb: Option<PortsVerb>,

    /// machine whose ports to list; the project's, or where there is none all machines', if left out
    #[arg(value_name = "NAME")]
    machine: Option<String>,
}

/// What to do with ports.
#[derive(Debug, Subcommand)]
pub(crate) enum PortsVerb {
    /// add ports of this host that lead to a machine
    Add(AddArguments),
    /// remove ports of this host that lead to a machine
    Rm(RemoveArguments),
}

/// Which to add.
#[derive(Debug, Args)]
#[command(after_help = AFTER_ADD_HELP)]
pub(crate) struct AddArguments {
    /// machine that they lead to
    #[arg(value_name = "NAME")]
    machine: String,

    /// PORT, HOST:GUEST or ADDRESS:HOST:GUEST, each with an optional /udp; HOST 0 is one that is free
    #[arg(value_name = "SPEC", required = true)]
    ports: Vec<String>,
}

/// Which to remove.
#[derive(Debug, Args)]
#[command(after_help = AFTER_RM_HELP)]
pub(crate) struct RemoveArguments {
    /// machine that they lead to
    #[arg(value_name = "NAME")]
    machine: String,

    /// where this host listens, each with an optional /udp
    #[arg(value_name = "SPEC", required = true)]
    ports: Vec<String>,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    machine_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(flatten)]
    port: PortInfo,
    /// Whether it leads to where the guest was found listening, and nobody asked for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    found: bool,
}

/// Works on ports.
pub(crate) async fn ports(asked: PortsArguments, desk: &Desk) -> Result<u8, Failure> {
    match (asked.verb, asked.machine) {
        (Some(PortsVerb::Add(asked)), _) => add(asked, desk).await,
        (Some(PortsVerb::Rm(asked)), _) => remove(asked, desk).await,
        (None, Some(machine)) => {
            let machine = desk.link.ask(async |client| client.get(&machine).await).await?;
            list(&[machine], desk)
        }
        (None, None) => {
            if let Some(project) = project::known(desk)? {
                return list(&[project.made(desk).await?], desk);
            }
            let machines = desk.link.ask(async |client| client.list(&MachineFilter::default()).await).await?;
            list(&machines, desk)
        }
    }
}

fn list(machines: &[MachineInfo], desk: &Desk) -> Result<u8, Failure> {
    let rows = rows(machines);
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&rows)?;
    } else if voice.bare() {
        voice.print(&rows.iter().map(|row| format!("{}\n", row.port.listen)).collect::<String>())?;
    } else {
        voice.print(&listing(&rows, voice.out.paint))?;
    }
    Ok(0)
}

fn rows(machines: &[MachineInfo]) -> Vec<Row> {
    let of = |machine: &MachineInfo| {
        let (machine_id, name) = (machine.id.clone(), machine.name.clone());
        let row =
            |port: &PortInfo, found| Row { machine_id: machine_id.clone(), name: name.clone(), port: *port, found };
        let asked = machine.network.forwards.iter().map(|port| row(port, false));
        asked.chain(machine.network.found.iter().map(|port| row(port, true))).collect::<Vec<_>>()
    };
    machines.iter().flat_map(of).collect()
}

fn listing(rows: &[Row], paint: Paint) -> String {
    let row = |row: &Row| {
        let called = row.name.as_ref().unwrap_or(&row.machine_id);
        let host = match row.port.listen.port() {
            0 => format!("{} (a port is chosen at its start)", row.port.listen.ip()),
            _ => row.port.listen.to_string(),
        };
        vec![
            Cell::from(called.as_str()),
            host.into(),
            row.port.guest.to_string().into(),
            row.port.transport.word().into(),
            if row.found { "found".into() } else { "".into() },
        ]
    };
    table(&["MACHINE", "HOST", "GUEST", "PROTOCOL", ""], &rows.iter().map(row).collect::<Vec<_>>(), paint)
}

async fn add(asked: AddArguments, desk: &Desk) -> Result<u8, Failure> {
    let wishes: Vec<ForwardWish> = asked.ports.into_iter().map(ForwardWish::Text).collect();
    // Asked once: a repeat would have the host choose a second port where it chooses.
    let ports = desk.link.client().await?.add_ports(&asked.machine, &wishes).await?;
    if desk.voice.json() {
        desk.voice.document(&ports)?;
    } else {
        desk.voice.print(&ports.added.iter().map(|port| format!("{}\n", port.listen)).collect::<String>())?;
    }
    Ok(0)
}

async fn remove(asked: RemoveArguments, desk: &Desk) -> Result<u8, Failure> {
    let meant: Vec<(String, Meant)> = asked
        .ports
        .into_iter()
        .map(|text| text.parse().map(|meant| (text, meant)).map_err(Failure::usage))
        .collect::<Result<_, _>>()?;
    let mut known = desk.link.ask(async |client| client.ports(&asked.machine).await).await?;
    let mut gone = Vec::new();
    for (text, meant) in &meant {
        match choose(&known.ports, text, *meant)? {
            Some(port) => gone.push(port),
            None => desk.voice.say(&format!("no port of {} is {text}: nothing to remove", asked.machine)),
        }
    }
    for port in &gone {
        let (transport, listen) = (port.transport, port.listen);
        known = desk.link.ask(async |client| client.remove_port(&asked.machine, transport, listen).await).await?;
    }
    if desk.voice.json() {
        desk.voice.document(&known)?;
    } else if desk.voice.bare() || !desk.voice.out.terminal {
        desk.voice.print(&gone.iter().map(|port| format!("{}\n", port.listen)).collect::<String>())?;
    }
    Ok(0)
}

/// The port that is meant, if there is one.
fn choose(ports: &[PortInfo], text: &str, meant: Meant) -> Result<Option<PortInfo>, Failure> {
    let mut found = ports.iter().filter(|port| meant.is(port));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => Ok(Some(*only)),
        (Some(one), Some(other)) => {
            let hint = format!("say the address, too: {} or {}", port::show(one), port::show(other));
            Err(Failure::new(Code::InvalidRequest, format!("several ports are {text}")).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verb::ls::tests::machine;
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        asked: PortsArguments,
    }

    fn read(line: &str) -> Option<PortsArguments> {
        Line::try_parse_from(line.split(' ')).ok().map(|line| line.asked)
    }

    fn with_ports() -> MachineInfo {
        let mut machine = machine();
        machine.network.forwards = serde_json::from_value(json!([
            {"listen": "127.0.0.1:8080", "guest": 80, "transport": "tcp"},
            {"listen": "0.0.0.0:8080", "guest": 81, "transport": "tcp"},
            {"listen": "[::1]:0", "guest": 53, "transport": "udp"},
        ]))
        .unwrap();
        machine
    }

    #[test]
    fn ports_are_listed_added_and_removed() {
        assert!(matches!(read("ports"), Some(PortsArguments { verb: None, machine: None })));
        assert!(matches!(read("ports web"), Some(PortsArguments { verb: None, machine: Some(_) })));
        assert!(matches!(read("ports add web 80 81/udp"), Some(PortsArguments { verb: Some(PortsVerb::Add(_)), .. })));
        assert!(matches!(read("ports rm web 80"), Some(PortsArguments { verb: Some(PortsVerb::Rm(_)), .. })));
        for line in ["ports web add 80", "ports add web", "ports rm", "ports web 80"] {
            assert!(read(line).is_none(), "{line}");
        }
    }

    #[test]
    fn the_list_says_where_each_leads() {
        let text = listing(&rows(&[with_ports(), machine()]), Paint::Plain);
        let expected = "\
MACHINE  HOST                                 GUEST  PROTOCOL
web      127.0.0.1:8080                       80     tcp
web      0.0.0.0:8080                         81     tcp
web      ::1 (a port is chosen at its start)  53     udp
";
        assert_eq!(text, expected);
        let row = serde_json::to_value(&rows(&[with_ports()])[0]).unwrap();
        let expected = json!({
            "machine_id": "m0123456789abcdefghij", "name": "web",
            "listen": "127.0.0.1:8080", "guest": 80, "transport": "tcp",
        });
        assert_eq!(row, expected);
    }

    #[test]
    fn a_port_at_two_addresses_must_be_told_apart() {
        let ports = with_ports().network.forwards;
        let choose = |text: &str| choose(&ports, text, text.parse().unwrap());
        let Err(Failure::Told { detail, exit: 2 }) = choose("8080") else { panic!("it is not clear which") };
        assert_eq!(detail.hint.as_deref(), Some("say the address, too: 8080:80 or 0.0.0.0:8080:81"));
        assert_eq!(choose("0.0.0.0:8080").unwrap(), Some(ports[1]));
        assert_eq!(choose("8080/udp").unwrap(), None);
    }
}
