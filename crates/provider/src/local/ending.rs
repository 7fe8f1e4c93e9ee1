//! What the end of a VMM means for its machine, told from its exit record and its console.

use machine_core::promise::provider::Ending;
use machine_core::state::Sighting;
use machine_hypervisor::boot_plan::RunFolder;
use machine_hypervisor::process::{self, Asked, ExitRecord, ExitStatus, SupervisorRecord, Vmm};

/// Where a panic is looked for, from the console's end, in bytes.
const PANIC_WINDOW: usize = 64 * 1024;
const PANIC: &str = "Kernel panic - not syncing";

/// What an end looked like. A guest that prints a panic by itself deceives nobody but its user.
pub(super) fn of(run: &RunFolder, ended: &process::Ending) -> Ending {
    let launched = SupervisorRecord::read(run).ok().flatten().map(|record| record.generation);
    let (generation, sighting, detail) = match ended {
        process::Ending::HostRebooted => (launched, Sighting::HostRebooted, "the host was booted since".to_owned()),
        process::Ending::SupervisorKilled => {
            (launched, Sighting::VmmDied, "its VMM and the VMM's supervisor were killed".to_owned())
        }
        process::Ending::Recorded(exit) => {
            let (sighting, detail) = of_exit(run, exit);
            (Some(exit.generation), sighting, detail)
        }
    };
    Ending { generation: generation.unwrap_or_default(), sighting, detail }
}

fn of_exit(run: &RunFolder, exit: &ExitRecord) -> (Sighting, String) {
    match (&exit.status, exit.asked) {
        (ExitStatus::Code(0), Asked::No) => match panic_line(run) {
            Some(line) => (Sighting::VmmDied, line),
            None => (Sighting::PoweredOff, "the guest powered off".to_owned()),
        },
        (_, Asked::Yes) => (Sighting::VmmDied, "its supervisor was told to end it".to_owned()),
        (ExitStatus::Signal(signal), Asked::No) => {
            (Sighting::VmmDied, format!("its VMM was killed by signal {signal}"))
        }
        (ExitStatus::Code(_) | ExitStatus::NotStarted { .. }, Asked::No) => {
            let said = readable(&Vmm::log_tail(run, super::LOG_TAIL).unwrap_or_default());
            (Sighting::VmmDied, format!("its VMM ended with {}: {said}", exit.status))
        }
    }
}

fn panic_line(run: &RunFolder) -> Option<String> {
    let console = Vmm::console_tail(run, PANIC_WINDOW).unwrap_or_default();
    let console = readable(&console);
    let line = console.lines().rev().find(|line| line.contains(PANIC))?;
    line.find(PANIC).map(|at| line[at..].trim().to_owned())
}

/// A guest's bytes as text: control characters go, lines stay.
pub(super) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.chars().filter(|letter| *letter == '\n' || *letter == '\t' || !letter.is_control());
    shown.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_prints_cannot_move_the_terminal() {
        assert_eq!(readable(b"\x1b[2Ja\r\nb\x07\xff\n"), "[2Ja\nb\u{fffd}");
    }
}
