//! Who the guest is, what time it is, and what chance it has. Every step can be repeated.

use crate::content;
use crate::failure::{failed, invalid};
use crate::house::House;
use crate::plate::{Neat, Plate, Told};
use crate::sys;
use machine_agent_protocol::{Answer, Failed, Identify, SetClock};
use rustix::time::{ClockId, Timespec, clock_settime};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

const LONGEST_NAME: usize = 64;
/// Debian's address for a host's own name.
const OWN_ADDRESS: &str = "127.0.1.1";
/// For a guest that knows nobody.
const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const MACHINE_ID: &str = "/etc/machine-id";
/// Systemd's word for one that is not known yet.
const NO_ID: &str = "uninitialized\n";
/// In hexadecimal digits.
const MACHINE_ID_LENGTH: usize = 32;
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
        become_host(hostname, None)?;
    }
    if let Some(id) = &identify.machine_id {
        check_machine_id(id)?;
        become_machine(id, None)?;
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
    if id.len() != MACHINE_ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid("a machine id has 32 hexadecimal digits"));
    }
    Ok(())
}

/// The plates of the files that tell who the guest is, while it rests.
#[derive(Debug, Default)]
pub(crate) struct Plates {
    hostname: Option<Plate>,
    hosts: Option<Plate>,
    machine_id: Option<Plate>,
}

impl Plates {
    /// As before the first boot: whoever wakes next gets a name and an id of its own.
    pub(crate) fn lie_down() -> Result<Self, Failed> {
        let plate = |path: &str, kept: &str, nobody: &str, room: usize| {
            Plate::lie_down(Path::new(path), kept, nobody, room)
                .map_err(|error| failed(format_args!("cannot write {path}"), &error))
        };
        let hosts = fs::read_to_string(HOSTS).unwrap_or_default();
        let dbus = fs::symlink_metadata(DBUS_ID).is_ok_and(|found| found.is_file());
        if dbus {
            write(DBUS_ID, NO_ID)?;
            write(MACHINE_ID, NO_ID)?;
        }
        Ok(Self {
            hostname: plate(HOSTNAME, "", "", LONGEST_NAME + 1)?,
            hosts: plate(HOSTS, &hosts_with(&hosts, ""), "", OWN_ADDRESS.len() + 1 + LONGEST_NAME + 1)?,
            // A second file of the id is a thing of the past, and written as any other; and so is then the first.
            machine_id: if dbus { None } else { plate(MACHINE_ID, "", NO_ID, MACHINE_ID_LENGTH + 1)? },
        })
    }

    /// Nothing is written any more until the guest wakes.
    pub(crate) fn ready(&mut self) -> io::Result<()> {
        self.all().try_for_each(Plate::ready)
    }

    /// Files that hold just their names are as they should be; whether others have to wait.
    pub(crate) fn neaten(&mut self) -> io::Result<Neat> {
        self.all().try_fold(Neat::Yes, |neat, plate| match plate.neaten()? {
            Neat::Yes => Ok(neat),
            Neat::Later => Ok(Neat::Later),
        })
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Plate> {
        [&mut self.hostname, &mut self.hosts, &mut self.machine_id].into_iter().flatten()
    }
}

/// By the plate, if there is one and it can.
fn tell(plate: Option<&mut Plate>, text: &str, otherwise: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    match plate.map(|plate| plate.tell(text)) {
        Some(Told::Yes) => Ok(()),
        Some(Told::No) | None => otherwise(),
    }
}

pub(crate) fn become_host(hostname: &str, plates: Option<&mut Plates>) -> Result<(), Failed> {
    rustix::system::sethostname(hostname.as_bytes())
        .map_err(|error| failed(format_args!("cannot become {hostname}"), &error.into()))?;
    let (of_name, of_hosts) = plates.map_or((None, None), |all| (all.hostname.as_mut(), all.hosts.as_mut()));
    let line = [hostname, "\n"].concat();
    tell(of_name, &line, || write(HOSTNAME, &line))?;
    // Without an address for its own name, sudo and others wait or complain.
    let own = [OWN_ADDRESS, "\t", &line].concat();
    tell(of_hosts, &own, || edit(HOSTS, |hosts| hosts_with(hosts, &own)))
}

pub(crate) fn become_machine(id: &str, plates: Option<&mut Plates>) -> Result<(), Failed> {
    let line = [id, "\n"].concat();
    tell(plates.and_then(|all| all.machine_id.as_mut()), &line, || write_machine_id(&line))
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
    // Empty lines at the end are a plate's.
    let kept = hosts.trim_end().lines().filter(|line| !line.starts_with(OWN_ADDRESS));
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
        assert_eq!(hosts_with(&format!("{once}\n\n"), "127.0.1.1\ta\n"), once);
    }

    #[test]
    fn strange_names_are_refused() {
        for name in ["", "-a", ".a", "a b", "a/b", "a\n", &"a".repeat(65)] {
            assert!(check_hostname(name).is_err(), "{name}");
        }
        assert!(check_hostname("web-1.example").is_ok());
    }
}
