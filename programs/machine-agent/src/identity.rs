//! Who the guest is and what time it is. Every step can be repeated.

use crate::failure::{failed, invalid};
use crate::house::House;
use crate::sys;
use machine_agent_protocol::{Answer, Failed, Identify, SetClock};
use rustix::time::{ClockId, Timespec, clock_settime};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

const LONGEST_NAME: usize = 64;

pub(crate) fn set_clock(clock: &SetClock) -> Result<Answer, Failed> {
    let seconds = i64::try_from(clock.unix_nanos / 1_000_000_000).map_err(|_| invalid("no such time"))?;
    let nanos = i64::try_from(clock.unix_nanos % 1_000_000_000).map_err(|_| invalid("no such time"))?;
    clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: nanos })
        .map_err(|error| failed("cannot set the clock", &error.into()))?;
    Ok(Answer::DONE)
}

pub(crate) fn identify(house: &House, identify: Identify) -> Result<Answer, Failed> {
    if let Some(entropy) = &identify.entropy {
        stir(entropy).map_err(|error| failed("cannot stir in entropy", &error))?;
    }
    if let Some(hostname) = &identify.hostname {
        become_host(hostname)?;
    }
    if let Some(id) = &identify.machine_id {
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid("a machine id has 32 hexadecimal digits"));
        }
        fs::write("/etc/machine-id", format!("{id}\n"))
            .map_err(|error| failed("cannot write /etc/machine-id", &error))?;
    }
    if let Some(env) = identify.env {
        house.env.send_replace(env);
    }
    Ok(Answer::DONE)
}

fn stir(entropy: &[u8]) -> io::Result<()> {
    let mut urandom = File::options().write(true).open("/dev/urandom")?;
    urandom.write_all(entropy)?;
    sys::reseed(urandom.as_fd())
}

fn become_host(hostname: &str) -> Result<(), Failed> {
    let plain = hostname.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if hostname.is_empty() || hostname.len() > LONGEST_NAME || !plain {
        return Err(invalid(format!("not a host name: {hostname}")));
    }
    rustix::system::sethostname(hostname.as_bytes())
        .map_err(|error| failed(format_args!("cannot become {hostname}"), &error.into()))?;
    fs::write("/etc/hostname", format!("{hostname}\n"))
        .map_err(|error| failed("cannot write /etc/hostname", &error))?;
    // Without an address for its own name, sudo and others wait or complain.
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_else(|_| "127.0.0.1\tlocalhost\n".to_owned());
    fs::write("/etc/hosts", hosts_with(&hosts, hostname)).map_err(|error| failed("cannot write /etc/hosts", &error))
}

fn hosts_with(hosts: &str, hostname: &str) -> String {
    let kept = hosts.lines().filter(|line| !line.starts_with("127.0.1.1"));
    kept.chain([format!("127.0.1.1\t{hostname}").as_str()]).fold(String::new(), |all, line| all + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_knows_its_own_name_once() {
        let once = hosts_with("127.0.0.1\tlocalhost\n", "a");
        assert_eq!(hosts_with(&once, "b"), "127.0.0.1\tlocalhost\n127.0.1.1\tb\n");
    }
}
