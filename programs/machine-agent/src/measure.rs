//! Numbers of the guest, from /proc. What cannot be read is zero.

use machine_agent_protocol::{LoadAverage, Measured, NetworkNumbers};
use std::fs::read_to_string;

/// /proc counts processor time in hundredths of a second, whatever the kernel's own tick.
const TICK_MS: u64 = 10;
const SECTOR: u64 = 512;

pub(crate) fn measure() -> Measured {
    let read = |path| read_to_string(path).unwrap_or_default();
    let mut measured = Measured { processes: processes(), ..Measured::default() };
    let uptime = read("/proc/uptime");
    measured.uptime_ms = uptime.split_whitespace().next().map_or(0, thousandths);
    cpu(&read("/proc/stat"), &mut measured);
    measured.load = load(&read("/proc/loadavg"));
    let memory = read("/proc/meminfo");
    measured.memory_total_bytes = kibibytes(&memory, "MemTotal:");
    measured.memory_available_bytes = kibibytes(&memory, "MemAvailable:");
    if let Ok(root) = rustix::fs::statvfs("/") {
        measured.disk_total_bytes = root.f_blocks.saturating_mul(root.f_frsize);
        measured.disk_available_bytes = root.f_bavail.saturating_mul(root.f_frsize);
    }
    disks(&read("/proc/diskstats"), &mut measured);
    measured.network = network(&read("/proc/net/dev"));
    measured
}

fn processes() -> u32 {
    u32::try_from(crate::processes::foreign().count()).unwrap_or(u32::MAX)
}

fn cpu(stat: &str, measured: &mut Measured) {
    for line in stat.lines() {
        let mut fields = line.split_whitespace();
        let name = fields.next().unwrap_or_default();
        if name == "cpu" {
            // user nice system idle iowait irq softirq steal; guest time is part of user.
            let times: Vec<u64> = fields.take(8).map(number).collect();
            let idle: u64 = times.iter().skip(3).take(2).sum();
            measured.cpu_idle_ms = idle * TICK_MS;
            measured.cpu_busy_ms = (times.iter().sum::<u64>() - idle) * TICK_MS;
        } else if name.starts_with("cpu") {
            measured.cpus += 1;
        }
    }
}

fn load(text: &str) -> LoadAverage {
    let mut fields = text.split_whitespace().map(thousandths);
    let mut next = || fields.next().unwrap_or(0);
    LoadAverage { one: next(), five: next(), fifteen: next() }
}

fn disks(text: &str, measured: &mut Measured) {
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, name, _, _, read, _, _, _, written, ..] = fields.as_slice() else { continue };
        // Whole disks only: what a partition or a loop device moves, its disk moves too.
        let whole = name.starts_with("vd") && !name.ends_with(|last: char| last.is_ascii_digit());
        if whole {
            measured.disk_read_bytes += number(read) * SECTOR;
            measured.disk_written_bytes += number(written) * SECTOR;
        }
    }
}

fn network(text: &str) -> NetworkNumbers {
    let mut sum = NetworkNumbers::default();
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        if name.trim() != "lo" {
            let numbers: Vec<u64> = numbers.split_whitespace().map(number).collect();
            sum.received_bytes += numbers.first().copied().unwrap_or(0);
            sum.sent_bytes += numbers.get(8).copied().unwrap_or(0);
        }
    }
    sum
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).map_or(0, number) * 1024
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// A decimal number of at most three decimals, times a thousand.
fn thousandths(text: &str) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    number(whole).saturating_mul(1000).saturating_add(number(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_understood() {
        let mut measured = Measured::default();
        cpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2\ncpu1 1 2\nintr 1\n", &mut measured);
        assert_eq!((measured.cpus, measured.cpu_idle_ms, measured.cpu_busy_ms), (2, 90, 270));
        assert_eq!(load("0.05 1.5 12 1/2 3"), LoadAverage { one: 50, five: 1500, fifteen: 12_000 });
        assert_eq!(kibibytes("MemTotal:       10 kB\n", "MemTotal:"), 10_240);
        let numbers = network("h|h\n lo: 9 0 0 0 0 0 0 0 9\n eth0: 5 0 0 0 0 0 0 0 6 0\n");
        assert_eq!((numbers.received_bytes, numbers.sent_bytes), (5, 6));
        disks(" 254 0 vda 1 0 2 0 3 0 4 0\n 254 1 vda1 1 0 2 0 3 0 4 0\n", &mut measured);
        assert_eq!((measured.disk_read_bytes, measured.disk_written_bytes), (1024, 2048));
    }
}
