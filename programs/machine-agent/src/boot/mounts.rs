//! The kernel's own file systems.

use super::BootError;
use crate::console::say;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// Before anything can be said or found: /proc, /sys, /dev, and a console.
pub(super) fn early() -> Result<(), BootError> {
    let wanted = [("proc", "/proc", "proc"), ("sysfs", "/sys", "sysfs"), ("devtmpfs", "/dev", "devtmpfs")];
    let mounted = wanted.map(|(source, place, kind)| attach(source, place, kind, MountFlags::NOSUID, ""));
    // First a console, then complaints.
    open_console();
    for (result, (_, place, _)) in mounted.into_iter().zip(wanted) {
        result.map_err(|source| BootError::Mount { what: place.to_owned(), source })?;
    }
    Ok(())
}

/// The rest, in the root where we stay. What fails is said; the agent answers without it.
pub(super) fn late() {
    let safe = MountFlags::NOSUID | MountFlags::NODEV;
    let wanted = [
        ("devpts", "/dev/pts", "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, "gid=5,mode=620,ptmxmode=666"),
        ("tmpfs", "/dev/shm", "tmpfs", safe, "mode=1777"),
        ("tmpfs", "/run", "tmpfs", safe, "mode=755"),
        ("cgroup2", "/sys/fs/cgroup", "cgroup2", safe | MountFlags::NOEXEC, ""),
    ];
    for (source, place, kind, flags, options) in wanted {
        if let Err(error) = attach(source, place, kind, flags, options) {
            say(format_args!("cannot mount {place}: {error}"));
        }
    }
    make_tmp().unwrap_or_else(|error| say(format_args!("cannot make /tmp: {error}")));
    let links = [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
    for (name, target) in links {
        // There already, if the root brought them.
        symlink(format!("/proc/self/{target}"), format!("/dev/{name}")).unwrap_or_default();
    }
}

/// /tmp stays on the disk: memory is dear in a guest, and a snapshot shall keep it.
fn make_tmp() -> io::Result<()> {
    if fs::symlink_metadata("/tmp").is_ok() {
        return Ok(());
    }
    fs::create_dir("/tmp")?;
    fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777))
}

fn attach(source: &str, place: &str, kind: &str, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = CString::new(options).unwrap_or_default();
    let once = || mount(source, place, kind, flags, options.as_c_str());
    match once() {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::NOENT) => {
            fs::create_dir_all(place)?;
            Ok(once()?)
        }
        // Mounted already.
        Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The kernel may have had no /dev/console to give us.
fn open_console() {
    let Ok(console) = rustix::fs::open("/dev/console", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()) else { return };
    let copied = [
        rustix::stdio::dup2_stdin(&console),
        rustix::stdio::dup2_stdout(&console),
        rustix::stdio::dup2_stderr(&console),
    ];
    if copied.iter().all(Result::is_ok) && std::os::fd::AsRawFd::as_raw_fd(&console) <= 2 {
        // It is itself one of the three; closing it would undo that.
        std::mem::forget(console);
    }
}
