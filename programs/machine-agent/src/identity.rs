//! Who the guest is, what time it is, and what chance it has. Every step can be repeated.

use crate::content;
use crate::failure::{failed, invalid};
use crate::house::House;
use crate::sys;
use machine_agent_protocol::{Answer, Failed, Identify, SetClock};
use rustix::time::{ClockId, Timespec, clock_settime};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

const LONGEST_NAME: usize = 64;
/// Debian's address for a host's own name.
const OWN_ADDRESS: &str = "127.0.1.1";
/// For a guest that knows nobody.
const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
const MACHINE_ID: &str = "/etc/machine-id";
/// Most often a link to the other.
const DBUS_ID: &str = "/var/lib/dbus/machine-id";

/// The host's old words for a part of waking.
pub(crate) fn set_clock(clock: &SetClock) -> Result<Answer, Failed> {
    set_time(Duration::from_nanos(clock.unix_nanos))?;
    Ok(Answer::DONE)
}

/// The host's old words for another part.
pub(crate) fn identify(house: &House, identify: Identify) -> Result<Answer, Failed> {
    if let Some(entropy) = &identify.entropy {
        stir(&chance()?, entropy)?;
    }
    if let Some(hostname) = &identify.hostname {
        check_hostname(hostname)?;
        become_host(hostname)?;
    }
    if let Some(id) = &identify.machine_id {
        check_machine_id(id)?;
        become_machine(id)?;
    }
    if let Some(env) = identify.env {
        house.env.send_replace(env);
    }
    Ok(Answer::DONE)
}

/// It is so long after 1970.
pub(crate) fn set_time(since: Duration) -> Result<(), Failed> {
    let seconds = i64::try_from(since.as_secs()).map_err(|_| invalid("no such time"))?;
    clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: i64::from(since.subsec_nanos()) })
        .map_err(|error| failed("cannot set the clock", &error.into()))
}

/// The source of the kernel's random numbers.
pub(crate) fn chance() -> Result<File, Failed> {
    let urandom = File::options().read(true).write(true).open("/dev/urandom");
    urandom.map_err(|error| failed("cannot open the source of chance", &error))
}

/// Stirs into the kernel's random numbers: what their source gives from now on depends on it.
pub(crate) fn stir(mut chance: &File, entropy: &[u8]) -> Result<(), Failed> {
    let stirred = chance.write_all(entropy).and_then(|()| sys::reseed(chance.as_fd()));
    stirred.map_err(|error| failed("cannot stir in entropy", &error))
}

pub(crate) fn check_hostname(hostname: &str) -> Result<(), Failed> {
    let plain = hostname.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if hostname.is_empty() || hostname.len() > LONGEST_NAME || !plain || hostname.starts_with(['-', '.']) {
        return Err(invalid(format!("not a host name: {hostname:.64?}")));
    }
    Ok(())
}

pub(crate) fn check_machine_id(id: &str) -> Result<(), Failed> {
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid("a machine id has 32 hexadecimal digits"));
    }
    Ok(())
}

pub(crate) fn become_host(hostname: &str) -> Result<(), Failed> {
    rustix::system::sethostname(hostname.as_bytes())
        .map_err(|error| failed(format_args!("cannot become {hostname}"), &error.into()))?;
    write("/etc/hostname", &format!("{hostname}\n"))?;
    // Without an address for its own name, sudo and others wait or complain.
    edit("/etc/hosts", |hosts| hosts_with(hosts, &format!("{OWN_ADDRESS}\t{hostname}\n")))
}

/// As before the first boot: whoever wakes next gets a name of its own. Files that were longer would have to be
/// cut then, which costs more than to write.
pub(crate) fn become_no_host() -> Result<(), Failed> {
    write("/etc/hostname", "\n")?;
    edit("/etc/hosts", |hosts| hosts_with(hosts, ""))
}

pub(crate) fn become_machine(id: &str) -> Result<(), Failed> {
    write_machine_id(&format!("{id}\n"))
}

/// As before the first boot, in systemd's word for it: whoever wakes next gets an id of its own.
pub(crate) fn become_no_machine() -> Result<(), Failed> {
    write_machine_id("uninitialized\n")
}

fn write_machine_id(text: &str) -> Result<(), Failed> {
    write(MACHINE_ID, text)?;
    match fs::symlink_metadata(DBUS_ID) {
        Ok(found) if found.is_file() => write(DBUS_ID, text),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn write(path: &str, text: &str) -> Result<(), Failed> {
    content::ensure(Path::new(path), text).map_err(|error| failed(format_args!("cannot write {path}"), &error))
}

fn edit(path: &str, change: impl FnOnce(&str) -> String) -> Result<(), Failed> {
    content::edit(Path::new(path), change).map_err(|error| failed(format_args!("cannot write {path}"), &error))
}

/// With `own`, a line or none, in place of the line of the name.
fn hosts_with(hosts: &str, own: &str) -> String {
    let hosts = if hosts.is_empty() { LOCALHOST } else { hosts };
    let kept = hosts.lines().filter(|line| !line.starts_with(OWN_ADDRESS));
    kept.fold(String::new(), |all, line| all + line + "\n") + own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_knows_its_own_name_once() {
        let once = hosts_with("", "127.0.1.1\ta\n");
        assert_eq!(hosts_with(&once, "127.0.1.1\tb\n"), format!("{LOCALHOST}127.0.1.1\tb\n"));
        assert_eq!(hosts_with(&once, "127.0.1.1\ta\n"), once);
        assert_eq!(hosts_with(&once, ""), LOCALHOST);
    }

    #[test]
    fn strange_names_are_refused() {
        for name in ["", "-a", ".a", "a b", "a/b", "a\n", &"a".repeat(65)] {
            assert!(check_hostname(name).is_err(), "{name}");
        }
        assert!(check_hostname("web-1.example").is_ok());
    }
}
