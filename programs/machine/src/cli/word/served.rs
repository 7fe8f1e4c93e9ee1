//! What a machine's last start was served by, for people: `restored from image in 140 ms`.

use std::time::Duration;

use machine_sdk::api::{MachineInfo, MachinePhase, ServiceWord, StageWord};

use super::duration;

/// What a machine is, and, of one that runs, how it came to.
pub(crate) fn standing(machine: &MachineInfo) -> String {
    let is = format!("{} is {}", machine.called(), machine.phase);
    match (machine.phase, how(machine)) {
        (MachinePhase::Running, Some(how)) => format!("{is}, {how}"),
        _ => is,
    }
}

/// How its last start was served, and how long that took until its agent answered.
fn how(machine: &MachineInfo) -> Option<String> {
    let (first, how) = match machine.served_by? {
        ServiceWord::Image => (StageWord::Restore, "restored from image"),
        ServiceWord::Boot => (StageWord::Boot, "booted"),
        ServiceWord::Saved => (StageWord::Load, "resumed from disk"),
    };
    // Stages before it made the disk, or the image on the way.
    let first = machine.stages.iter().rposition(|time| time.stage == first)?;
    let micros = machine.stages[first..].iter().map(|time| time.micros).sum();
    Some(format!("{how} in {}", duration::show(Duration::from_micros(micros))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verb::ls::tests::machine;

    fn check(served_by: Option<ServiceWord>, stages: serde_json::Value, text: &str) {
        let stages = serde_json::from_value(stages).unwrap();
        assert_eq!(standing(&MachineInfo { served_by, stages, ..machine() }), text);
    }

    #[test]
    fn a_start_is_told_by_what_served_it() {
        let times = serde_json::json!([
            {"stage": "boot", "micros": 3_000_000}, {"stage": "agent", "micros": 300_000},
            {"stage": "keep", "micros": 800_000}, {"stage": "restore", "micros": 95_000},
            {"stage": "agent", "micros": 45_000},
        ]);
        check(Some(ServiceWord::Image), times, "web is running, restored from image in 140 ms");
        let times = serde_json::json!([{"stage": "disk", "micros": 9}, {"stage": "boot", "micros": 3_300_000}]);
        check(Some(ServiceWord::Boot), times, "web is running, booted in 3.3 s");
        let times = serde_json::json!([{"stage": "load", "micros": 90_000}, {"stage": "agent", "micros": 30_000}]);
        check(Some(ServiceWord::Saved), times, "web is running, resumed from disk in 120 ms");
        check(None, serde_json::json!([]), "web is running");
        let stopped = MachineInfo { phase: MachinePhase::Stopped, ..machine() };
        assert_eq!(standing(&stopped), "web is stopped");
    }
}
