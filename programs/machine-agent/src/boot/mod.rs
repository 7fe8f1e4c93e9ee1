//! From the kernel's first process to an agent that can answer.
//!
//! ```text
//! initramfs: /proc /sys /dev ──▶ modules ──▶ root device ──▶ mount ──▶ switch root
//! root:      the other file systems ──▶ network ──▶ serve ──▶ (afterwards) grow, services
//! ```
//! What fails before the agent can answer is said on the console, and the guest powers off so
//! that the host sees it.

mod cmdline;
mod modules;
mod mounts;
mod root;

use crate::console::say;
use crate::door::Door;
use crate::house::{self, House};
use crate::power::{self, Init};
use crate::{grow, network};
use cmdline::CommandLine;
use machine_agent_protocol::PORT_NAME;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const PORTS: &str = "/sys/class/virtio-ports";
const PORT_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Why the guest cannot start.
#[derive(Debug, thiserror::Error)]
enum BootError {
    #[error("cannot mount {what}: {source}")]
    Mount { what: String, source: io::Error },
    #[error("cannot find the root device {}", device.display())]
    NoRoot { device: PathBuf },
    #[error("cannot switch to the root file system: {source}")]
    Switch { source: io::Error },
    #[error("cannot find the agent's port {PORT_NAME}")]
    NoPort,
    #[error("cannot serve: {source}")]
    Serve { source: io::Error },
}

/// The life of process 1. Returns only if the guest could not even power off.
pub(crate) fn as_init() -> ExitCode {
    if let Err(error) = boot_and_serve() {
        say(format_args!("{error}"));
    }
    power::off();
    ExitCode::FAILURE
}

fn boot_and_serve() -> Result<(), BootError> {
    mounts::early()?;
    let line = CommandLine::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    modules::load();
    if let Some(device) = &line.root {
        root::wait_for(device)?;
        root::mount(device, &line.root_kind)?;
        root::switch()?;
    }
    mounts::late();
    if let Err(error) = network::up(line.address.as_ref()) {
        say(format_args!("{error}"));
    }
    restore_hostname();
    // Ctrl-Alt-Del becomes a signal to us instead of an instant reset.
    rustix::system::reboot(rustix::system::RebootCommand::CadOff).unwrap_or_default();
    crate::sys::wait_our_turn();
    let port = find_port()?;
    let runtime = house::runtime().map_err(|source| BootError::Serve { source })?;
    runtime.block_on(house::live(Door::Port(port), Init::Us)).map_err(|source| BootError::Serve { source })
}

/// What need not be done before the first answer.
pub(crate) async fn afterwards(house: House) {
    // Growing may read much of a large disk; it has its own thread.
    std::thread::spawn(grow::at_boot);
    house.services.run_image().await;
}

fn restore_hostname() {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    if !name.trim().is_empty() {
        // Without it the guest is called (none), no worse.
        rustix::system::sethostname(name.trim().as_bytes()).unwrap_or_default();
    }
}

fn find_port() -> Result<PathBuf, BootError> {
    let until = Instant::now() + PORT_PATIENCE;
    loop {
        let ports = std::fs::read_dir(PORTS).into_iter().flatten().flatten();
        let ours = ports.map(|port| port.file_name()).find(|port| {
            let name = std::fs::read_to_string(PathBuf::from(PORTS).join(port).join("name"));
            name.is_ok_and(|name| name.trim_end() == PORT_NAME)
        });
        match ours {
            Some(port) => return Ok(PathBuf::from("/dev").join(port)),
            None if Instant::now() >= until => return Err(BootError::NoPort),
            None => pause(LOOK_AGAIN),
        }
    }
}

/// Sleeps, before there is a runtime to sleep in.
fn pause(time: Duration) {
    let time = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
    rustix::event::poll(&mut [], Some(&time)).ok();
}
