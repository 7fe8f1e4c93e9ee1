//! What `top` shows of each machine. Pure: two looks in, a table out.

use machine_sdk::api::UsageInfo;
use serde::Serialize;

use crate::cli::arguments::Format;
use crate::cli::paint::Paint;
use crate::cli::table::{Cell, table};
use crate::cli::word::size;

/// One machine: what it costs, and how busy it was between two looks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    usage: UsageInfo,
    /// Of one processor of the host. Left out of a machine that was not there at the look before.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
}

/// The machines of the later look.
pub(super) fn rows(before: &[UsageInfo], now: Vec<UsageInfo>) -> Vec<Row> {
    let row = |usage: UsageInfo| {
        let last = before.iter().find(|last| last.id == usage.id && last.generation == usage.generation);
        let cpu_percent = last.and_then(|last| cpu_percent(last, &usage));
        Row { usage, cpu_percent }
    };
    now.into_iter().map(row).collect()
}

/// Tenths of a percent are as fine as the counters are.
fn cpu_percent(before: &UsageInfo, now: &UsageInfo) -> Option<f64> {
    let worked = now.cpu_ms.checked_sub(before.cpu_ms)?;
    let passed = u64::try_from(now.at.as_millisecond() - before.at.as_millisecond()).ok()?;
    let per_mille = worked.checked_mul(1000)?.checked_div(passed)?;
    u32::try_from(per_mille).ok().map(|per_mille| f64::from(per_mille) / 10.0)
}

/// The rows as a table.
pub(super) fn shown(rows: &[Row], format: Format, paint: Paint) -> String {
    let wide = format == Format::Wide;
    let mut headings = vec!["NAME", "CPU %", "RSS", "PRIVATE", "GUEST PRIVATE", "SHARED", "DISK", "GUEST USED"];
    if wide {
        headings.extend(["CPUS", "MEMORY", "CPU TIME", "ID"]);
    }
    let cells = |row: &Row| {
        let Row { usage, cpu_percent } = row;
        let unknown = || "-".to_owned();
        let mut cells = vec![
            Cell::from(usage.called()),
            cpu_percent.map_or_else(unknown, |percent| format!("{percent:.1}")).into(),
            size::bytes(usage.resident_bytes).into(),
            size::bytes(usage.private_bytes).into(),
            size::bytes(usage.guest_private_bytes).into(),
            size::bytes(usage.guest_shared_bytes).into(),
            size::bytes(usage.disk_bytes).into(),
            usage.guest_used_bytes.map_or_else(unknown, size::bytes).into(),
        ];
        if wide {
            cells.push(usage.vcpus.to_string().into());
            cells.push(machine_sdk::api::MiB(usage.memory_mb).to_string().into());
            cells.push(format!("{}.{:02}s", usage.cpu_ms / 1000, usage.cpu_ms % 1000 / 10).into());
            cells.push(usage.id.as_str().into());
        }
        cells
    };
    table(&headings, &rows.iter().map(cells).collect::<Vec<_>>(), paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(id: &str, generation: u64, millis: i64, cpu_ms: u64) -> UsageInfo {
        let at = jiff::Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap();
        let text = serde_json::json!({
            "id": id, "name": "web", "generation": generation, "at": at, "vcpus": 2, "memory_mb": 512,
            "resident_bytes": 90 << 20, "private_bytes": 40 << 20, "guest_private_bytes": 8 << 20,
            "guest_shared_bytes": 50 << 20, "disk_bytes": 1 << 20, "cpu_ms": cpu_ms, "guest_used_bytes": 61 << 20,
        });
        serde_json::from_value(text).unwrap()
    }

    fn check(before: &[UsageInfo], now: UsageInfo, percent: Option<f64>) {
        assert_eq!(rows(before, vec![now])[0].cpu_percent, percent);
    }

    #[test]
    fn cpu_is_what_was_worked_between_two_looks_at_one_launch() {
        let before = [usage("a", 1, 0, 1000), usage("b", 1, 0, 5)];
        check(&before, usage("a", 1, 2000, 1500), Some(25.0));
        check(&before, usage("a", 1, 300, 1600), Some(200.0));
        check(&before, usage("a", 2, 2000, 1500), None);
        check(&before, usage("c", 1, 2000, 1500), None);
        check(&before, usage("a", 1, 0, 1500), None);
        check(&before, usage("a", 1, -5, 1500), None);
        check(&before, usage("a", 1, 2000, 900), None);
    }

    #[test]
    fn machines_are_rows_and_those_that_are_gone_are_not() {
        let rows = rows(&[usage("a", 1, 0, 0), usage("b", 1, 0, 0)], vec![usage("a", 1, 1000, 15)]);
        let expected = "\
NAME  CPU %  RSS        PRIVATE    GUEST PRIVATE  SHARED     DISK      GUEST USED
web   1.5    90.00 MiB  40.00 MiB  8.00 MiB       50.00 MiB  1.00 MiB  61.00 MiB
";
        assert_eq!(shown(&rows, Format::Table, Paint::Plain), expected);
        let wide = shown(&rows, Format::Wide, Paint::Plain);
        assert!(wide.ends_with("2     512 MiB  0.01s     a\n"), "{wide}");
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_no_field() {
        let unknown = UsageInfo { guest_used_bytes: None, ..usage("a", 1, 0, 0) };
        let rows = rows(&[], vec![unknown]);
        assert!(shown(&rows, Format::Table, Paint::Plain).ends_with("1.00 MiB  -\n"));
        let document = serde_json::to_value(&rows).unwrap();
        assert_eq!((&document[0]["id"], document[0].get("cpu_percent")), (&serde_json::json!("a"), None));
    }
}
