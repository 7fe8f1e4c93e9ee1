//! The parent of one VMM: the hidden verb `machine supervise PLAN`. It leaves the server's session, so that
//! the VMM outlives the server, and takes the VMM with it when it goes. It minds the VMM's companions, too.
//! One thread starts all its children, on purpose: they die with the thread that started them. The only other one
//! serves the VMM's memory (`memory/door.rs`).
//!
//! ```text
//! Apart ──start──▶ Watching ──VMM ends, or a signal ends it──▶ Ended (exit.json)
//!   └──cannot start──────────────────────────────────────────▶ Ended (exit.json)
//! ```

mod cgroup;
mod companions;
mod stream;
mod watch;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Resource, Rlimit};

use crate::boot_plan::RunFolder;
use crate::bounded_log::{BoundedLog, CONSOLE, VMM};
use crate::launch_plan::{LaunchPlan, Wire};
use crate::process::{Asked, ExitRecord, ExitStatus, Identity, SupervisorRecord, boot_id};
use crate::{memory, sys, whole_file};
use cgroup::Cgroup;
use companions::Companions;

/// The hidden verb; its one argument is the plan's path.
pub const SUPERVISE_VERB: &str = "supervise";

/// Memory runs out: a VMM goes before its supervisor, and both before the rest of the host.
const VMM_OOM_SCORE: i32 = 500;
const SUPERVISOR_OOM_SCORE: i32 = 100;

/// Bytes that may be under way on a wire, each way; hosts mostly grant less.
const WIRE_BUFFER: usize = 1 << 20;

/// Why there was nothing to supervise.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The plan cannot be read.
    #[error("cannot read the launch plan {}", path.display())]
    Plan {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something of ours did not work; the VMM, if it ran, ends with us.
    #[error("cannot {what}")]
    Own {
        /// What we tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

trait Trying<T> {
    fn trying(self, what: &'static str) -> Result<T, SuperviseError>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, what: &'static str) -> Result<T, SuperviseError> {
        self.map_err(|source| SuperviseError::Own { what, source })
    }
}

/// Runs the plan's VMM to its end. The first thing that its process does: it closes every descriptor but
/// the standard streams.
pub fn supervise(plan_file: &Path) -> Result<(), SuperviseError> {
    sys::close_inherited_descriptors().trying("close inherited descriptors")?;
    sys::reserve_handed_down().trying("keep a descriptor free")?;
    let plan = read_plan(plan_file)?;
    let mut notes = Vec::new();
    stand_apart(&plan, &mut notes)?;
    let termination = sys::termination_descriptor().trying("catch signals")?;
    let console = BoundedLog::create(CONSOLE, plan.run.path()).trying("create the console log")?;
    let log = BoundedLog::create(VMM, plan.run.path()).trying("create the VMM's log")?;
    let (mut child, companions) = match begin(&plan) {
        Ok(both) => both,
        Err(error) => {
            return write_exit(&plan, (ExitStatus::NotStarted { reason: not_started(&plan, &error) }, Asked::No));
        }
    };
    let cgroup = Cgroup::enter(&plan.machine, child.id());
    let cgroup = cgroup.map_err(|error| notes.push(format!("no cgroup of its own: {error}"))).ok();
    if let Err(error) = memory::door::open(&plan.run.memory_socket(), child.id()) {
        notes.push(format!("its memory cannot be saved: {error}"));
    }
    record(&plan, &child, &cgroup, notes)?;
    let end = watch::watch(&mut child, &termination, [console, log], companions).trying("watch the VMM")?;
    let written = write_exit(&plan, end);
    // Also where nothing can be written any more: nobody else knows of it then.
    if let Some(cgroup) = cgroup {
        cgroup.leave();
    }
    written
}

fn read_plan(path: &Path) -> Result<LaunchPlan, SuperviseError> {
    let failed = |source| SuperviseError::Plan { path: path.to_owned(), source };
    let plan: Option<LaunchPlan> = whole_file::read_json(path).map_err(failed)?;
    plan.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// Away from the server's session and files, with no more rights than it takes.
fn stand_apart(plan: &LaunchPlan, notes: &mut Vec<String>) -> Result<(), SuperviseError> {
    // Refused only to a group's leader, which has left already.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::chdir(plan.run.path()).map_err(io::Error::from).trying("enter the run folder")?;
    rustix::thread::set_no_new_privs(true).map_err(io::Error::from).trying("give up new privileges")?;
    // A core dump of a VMM is the guest's memory on the host's disk.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).map_err(io::Error::from).trying("forbid core dumps")?;
    if let Err(error) = set_oom_score("self", SUPERVISOR_OOM_SCORE) {
        notes.push(format!("cannot set the supervisor's oom_score_adj: {error}"));
    }
    Ok(())
}

fn set_oom_score(process: &str, score: i32) -> io::Result<()> {
    fs::write(format!("/proc/{process}/oom_score_adj"), score.to_string())
}

fn prepare_files(plan: &LaunchPlan) -> io::Result<()> {
    for file in &plan.files {
        let mut made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file.path)?;
        made.write_all(file.contents.as_bytes())?;
    }
    Ok(())
}

/// The VMM, started, and its companions, which are started once it is on record: nobody waits for them here.
fn begin(plan: &LaunchPlan) -> io::Result<(Child, Companions)> {
    prepare_files(plan)?;
    let (near, far) = wire(plan)?;
    let companions = Companions::of(plan, far)?;
    Ok((start(plan, near)?, companions))
}

/// The VMM's end of its wire and its companions', if it has one.
fn wire(plan: &LaunchPlan) -> io::Result<(Option<OwnedFd>, Option<OwnedFd>)> {
    match plan.wire {
        Wire::None => Ok((None, None)),
        Wire::Packets => {
            let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
            for end in [&near, &far] {
                set_socket_send_buffer_size(end, WIRE_BUFFER)?;
            }
            Ok((Some(near), Some(far)))
        }
    }
}

fn start(plan: &LaunchPlan, wire: Option<OwnedFd>) -> io::Result<Child> {
    let mut command = Command::new(&plan.program);
    command.args(&plan.arguments).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::tie_to_us(&mut command);
    if let Some(wire) = wire {
        sys::hand_down(&mut command, wire);
    }
    command.spawn()
}

fn not_started(plan: &LaunchPlan, error: &io::Error) -> String {
    format!("{}: {error}", plan.program.display())
}

/// Written before the server hears of us: it finds the VMM by this alone.
fn record(
    plan: &LaunchPlan,
    child: &Child,
    cgroup: &Option<Cgroup>,
    mut notes: Vec<String>,
) -> Result<(), SuperviseError> {
    let pid = child.id().cast_signed();
    if let Err(error) = set_oom_score(&pid.to_string(), VMM_OOM_SCORE) {
        notes.push(format!("cannot set the VMM's oom_score_adj: {error}"));
    }
    let us = std::process::id().cast_signed();
    let record = SupervisorRecord {
        machine: plan.machine.clone(),
        generation: plan.generation,
        boot: boot_id(),
        supervisor: Identity::of(us).trying("look at our own process")?,
        vmm: Identity::of(pid).trying("look at the VMM's process")?,
        cgroup: cgroup.as_ref().map(Cgroup::path),
        notes,
    };
    whole_file::write_json(&plan.run.supervisor_file(), &record).trying("write supervisor.json")?;
    release_server().trying("close our standard output")
}

/// The server waits for the end of our standard output.
fn release_server() -> io::Result<()> {
    let nowhere = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    Ok(())
}

fn write_exit(plan: &LaunchPlan, (status, asked): (ExitStatus, Asked)) -> Result<(), SuperviseError> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let exit = ExitRecord {
        machine: plan.machine.clone(),
        generation: plan.generation,
        status,
        asked,
        at_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
    };
    write_exit_file(&plan.run, &exit).trying("write exit.json")
}

fn write_exit_file(run: &RunFolder, exit: &ExitRecord) -> io::Result<()> {
    whole_file::write_json(&run.exit_file(), exit)
}
