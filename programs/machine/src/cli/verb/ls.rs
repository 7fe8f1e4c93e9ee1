//! `ls`: the machines that are here.

use jiff::Timestamp;
use machine_sdk::MachineFilter;
use machine_sdk::api::{MachineInfo, MachinePhase};

use crate::cli::Desk;
use crate::cli::arguments::Format;
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::table::{Cell, Tone, table};
use crate::cli::word::{age, port};
use machine_sdk::api::MiB;

/// Lists machines.
pub(crate) async fn ls(desk: &Desk) -> Result<u8, Failure> {
    let machines = desk.link.ask(async |client| client.list(&MachineFilter::default()).await).await?;
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&machines)?;
    } else if voice.bare() {
        let handles: String = machines.iter().map(|machine| format!("{}\n", voice.handle(machine))).collect();
        voice.print(&handles)?;
    } else {
        voice.print(&listing(&machines, voice.format, Timestamp::now(), voice.out.paint))?;
    }
    Ok(0)
}

fn listing(machines: &[MachineInfo], format: Format, now: Timestamp, paint: Paint) -> String {
    let wide = format == Format::Wide;
    let mut headings = vec!["NAME", "STATE", "TEMPLATE", "CPUS", "MEMORY", "AGE"];
    if wide {
        headings.extend(["DISK", "ID", "PORTS", "REASON"]);
    }
    let row = |machine: &MachineInfo| {
        let mut cells = vec![
            Cell::from(machine.called()),
            state(machine.phase),
            machine.template.as_str().into(),
            machine.config.vcpus.to_string().into(),
            MiB(machine.config.memory_mb).to_string().into(),
            age::show(machine.created_at, now).into(),
        ];
        if wide {
            let reason = machine.reason.as_deref().unwrap_or_default();
            cells.push(MiB(machine.config.disk_mb).to_string().into());
            cells.push(machine.id.as_str().into());
            let ports: Vec<String> = machine.network.forwards.iter().map(port::show).collect();
            cells.push(ports.join(",").into());
            cells.push(reason.into());
        }
        cells
    };
    table(&headings, &machines.iter().map(row).collect::<Vec<_>>(), paint)
}

/// What people see of a machine, with its tone.
pub(super) fn state(phase: MachinePhase) -> Cell {
    let tone = match phase {
        MachinePhase::Running => Tone::Good,
        MachinePhase::Failed => Tone::Bad,
        MachinePhase::Absent
        | MachinePhase::Stopped
        | MachinePhase::Paused
        | MachinePhase::Hibernated
        | MachinePhase::Destroyed => Tone::Quiet,
        MachinePhase::Creating
        | MachinePhase::Starting
        | MachinePhase::Pausing
        | MachinePhase::Resuming
        | MachinePhase::Hibernating
        | MachinePhase::Snapshotting
        | MachinePhase::Restoring
        | MachinePhase::Stopping
        | MachinePhase::Destroying => Tone::Busy,
    };
    Cell::toned(phase.word(), tone)
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;

    pub(in crate::cli) fn machine() -> MachineInfo {
        let text = serde_json::json!({
            "id": "m0123456789abcdefghij", "status": "running", "name": "web", "template": "base",
            "config": {"vcpus": 2, "memory_mb": 512, "disk_mb": 10240},
            "created_at": "2026-01-02T03:04:05Z", "metadata": {}, "timeout_ms": 0, "labels": {"team": "web"},
            "state": "running", "phase": "running", "allowed_commands": ["stop", "destroy"],
            "generation": 1, "served_by": "boot", "stages": [{"stage": "boot", "micros": 1_900_000}], "template_digest": "sha256:00",
        });
        serde_json::from_value(text).unwrap()
    }

    fn later() -> Timestamp {
        "2026-01-02T05:04:05Z".parse().unwrap()
    }

    #[test]
    fn the_table_is_plain_without_colour() {
        let text = listing(&[machine()], Format::Table, later(), Paint::Plain);
        assert_eq!(text, "NAME  STATE    TEMPLATE  CPUS  MEMORY   AGE\nweb   running  base      2     512 MiB  2h\n");
    }

    #[test]
    fn the_wide_table_says_more() {
        let mut failed =
            MachineInfo { phase: MachinePhase::Failed, reason: Some("it died".into()), name: None, ..machine() };
        let port = serde_json::json!({"listen": "127.0.0.1:8080", "guest": 80, "transport": "tcp"});
        failed.network.forwards = vec![serde_json::from_value(port).unwrap()];
        let text = listing(&[failed], Format::Wide, later(), Paint::Plain);
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("m0123456789abcdefghij  failed"), "{line}");
        assert!(line.ends_with("10 GiB  m0123456789abcdefghij  8080:80  it died"), "{line}");
    }

    #[test]
    fn colour_is_only_added() {
        let colored = listing(&[machine()], Format::Table, later(), Paint::Colored);
        assert!(colored.contains("\x1b[32mrunning\x1b[0m"));
        let mut plain = colored;
        for style in ["\x1b[32m", "\x1b[1m", "\x1b[0m"] {
            plain = plain.replace(style, "");
        }
        assert_eq!(plain, listing(&[machine()], Format::Table, later(), Paint::Plain));
    }

    #[test]
    fn no_machines_are_a_heading() {
        assert_eq!(listing(&[], Format::Table, later(), Paint::Plain).lines().count(), 1);
    }
}
