//! Runs one command for one stream.
//!
//! ```text
//! Running ──time is up──▶ SIGTERM ──2 s──▶ SIGKILL
//!    │ ────host is gone──▶ SIGHUP ──5 s──▶ SIGKILL
//!    └──process ends──▶ what it left in its pipes is sent ──▶ Exited
//! ```

mod feed;
mod herald;
mod login;
pub(crate) mod prepare;
mod pump;
pub(crate) mod stdio;
pub(crate) mod sys;

use crate::house::House;
use crate::line::{Inbound, Line};
use crate::reaper::Launched;
use crate::{failure, processes};
use herald::Herald;
use machine_agent_protocol::{Answer, Control, Ending, Exec, Exited, Failed, FailureCode, Started};
use pump::Pumps;
use rustix::process::Pid;
use std::time::Duration;
use stdio::{Input, Ours};
use sys::{StartError, Step};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

const TERM_TO_KILL: Duration = Duration::from_secs(2);
const HANGUP_TO_KILL: Duration = Duration::from_secs(5);

type Inbox = mpsc::UnboundedReceiver<Inbound>;

/// What happens when the clock strikes.
#[derive(Debug, Clone, Copy)]
enum Alarm {
    Never,
    TimeUp(Instant),
    Kill(Instant),
}

/// Whether somebody still wants to hear of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Listens,
    Gone,
}

struct Running {
    pid: Pid,
    alarm: Alarm,
    timed_out: bool,
    host: Host,
    terminal: Option<stdio::Master>,
    stdin: Option<mpsc::UnboundedSender<Vec<u8>>>,
}

/// Does the whole request.
pub(crate) async fn serve(house: House, exec: Exec, line: Line) {
    let (detach, timeout) = (exec.detach, exec.timeout_ms);
    let begun = begin(&house, &exec).await;
    let (launched, ours) = match begun {
        Ok(begun) => begun,
        Err(failed) => return line.teller.finish(failed).await,
    };
    let alarm = timeout.map_or(Alarm::Never, |ms| Alarm::TimeUp(Instant::now() + Duration::from_millis(ms)));
    let pid = u32::try_from(launched.pid.as_raw_nonzero().get()).unwrap_or_default();
    let started = Started { pid };
    if detach {
        line.teller.finish(started).await;
        return alone(launched, alarm).await;
    }
    let Line { teller, inbox } = line;
    attended(launched, ours, alarm, (Herald::new(&exec, started, teller), inbox)).await;
    // The host has its answer: what follows is on nobody's time.
    tokio::task::yield_now().await;
    stdio::restock();
}

async fn begin(house: &House, exec: &Exec) -> Result<(Launched, Ours), Failed> {
    if exec.detach && (exec.tty.is_some() || exec.stdin == machine_agent_protocol::Stdin::Open) {
        return Err(failure::invalid("a detached command has no terminal and no standard input"));
    }
    let (ours, theirs) = stdio::make(exec).map_err(|error| failure::failed("cannot make pipes", &error))?;
    let default_env = house.env.borrow().clone();
    let launch = prepare::launch(exec, default_env, theirs).await?;
    let cwd = launch.cwd.to_string_lossy().into_owned();
    let program = launch.program.to_string_lossy().into_owned();
    match house.reaper.launch(launch).await {
        Ok(launched) => Ok((launched, ours)),
        Err(error) => Err(start_failed(&error, &program, &cwd)),
    }
}

fn start_failed(error: &StartError, program: &str, cwd: &str) -> Failed {
    let io = |message: String| Failed { code: FailureCode::Io, message };
    match error {
        StartError::Clone(source) => io(format!("{error}: {source}")),
        StartError::NoReaper => io(error.to_string()),
        StartError::Child { step, source } => match step {
            Step::Prepare => io(format!("cannot prepare {program}: {source}")),
            Step::Rights => failure::failed("cannot take the user's rights", source),
            Step::Folder => failure::failed(format_args!("cannot enter the folder {cwd}"), source),
            Step::Execute => {
                let code = match source.raw_os_error() {
                    Some(libc::ENOENT | libc::ENOTDIR) => FailureCode::ProgramNotFound,
                    Some(libc::E2BIG) => FailureCode::Invalid,
                    Some(_) | None => FailureCode::NotExecutable,
                };
                Failed { code, message: format!("cannot execute {program}: {source}") }
            }
        },
    }
}

/// A detached command: nobody listens, but its time may be up.
async fn alone(launched: Launched, mut alarm: Alarm) {
    let Launched { pid, mut ending, stdio } = launched;
    drop(stdio);
    loop {
        tokio::select! {
            _ = &mut ending => return,
            () = strike(alarm) => alarm = next_alarm(pid, alarm),
        }
    }
}

async fn attended(launched: Launched, ours: Ours, alarm: Alarm, (herald, mut inbox): (Herald, Inbox)) {
    let Launched { pid, ending, stdio: [their_stdin, their_stdout, their_stderr] } = launched;
    let Ours { stdin, outputs, terminal } = ours;
    // A pipe that only the command reads says so to whoever writes; the others may wait until the end.
    let unread = match &stdin {
        Some(Input::Pipe(_)) => None,
        Some(Input::Terminal(_)) | None => Some(their_stdin),
    };
    let stdin = stdin.map(|input| feed::start(input, herald.teller().clone()));
    let mut running = Running { pid, alarm, timed_out: false, host: Host::Listens, terminal, stdin };
    let (over, is_over) = watch::channel(false);
    let mut pumps = Pumps::new(&outputs, &herald, is_over);
    let ending = running.until_end(ending, &mut pumps, &mut inbox, &herald).await;
    // Held until now: a terminal is not hung up while nobody has it open, and pipes that the command closes as
    // it ends wake nobody.
    drop((their_stdout, their_stderr));
    if running.terminal.is_some() {
        drop(unread);
    }
    over.send_replace(true);
    running.after_end();
    running.last_words(&mut pumps, &mut inbox).await;
    drop(pumps);
    match running.host {
        Host::Listens => {
            herald.say().await;
            herald.teller().finish(Exited { ending, timed_out: running.timed_out }).await;
            // Closing what is ours can wait until the answer is on its way.
            tokio::task::yield_now().await;
        }
        Host::Gone => {
            drop(outputs);
            running.clear_up().await;
        }
    }
}

impl Running {
    async fn until_end(
        &mut self,
        mut ending: oneshot::Receiver<Ending>,
        pumps: &mut Pumps<'_>,
        inbox: &mut Inbox,
        herald: &Herald,
    ) -> Ending {
        loop {
            tokio::select! {
                ended = &mut ending => return ended.unwrap_or(Ending::Signal(9)),
                never = pumps.run() => match never {},
                inbound = inbox.recv(), if self.host == Host::Listens => match inbound {
                    Some(inbound) => pumps.during(self.inbound(inbound, herald)).await,
                    None => self.host_gone(),
                },
                () = herald.say_when_due(), if self.host == Host::Listens => {}
                () = strike(self.alarm) => self.strike(),
            }
        }
    }

    async fn inbound(&mut self, inbound: Inbound, herald: &Herald) {
        match inbound {
            Inbound::Data(bytes) => {
                let count = bytes.len();
                let fed = self.stdin.as_ref().is_some_and(|stdin| stdin.send(bytes).is_ok());
                if !fed {
                    // A command that does not read must not stall whoever writes.
                    herald.teller().consumed(count).await;
                }
            }
            Inbound::End => self.stdin = None,
            Inbound::Control(control) => {
                if let Err(failed) = self.control(&control) {
                    herald.say().await;
                    herald.teller().answer(Answer::Failed(failed)).await;
                }
            }
        }
    }

    fn control(&self, control: &Control) -> Result<(), Failed> {
        match control {
            Control::Signal(signal) => {
                let number = i32::try_from(signal.signal).unwrap_or(-1);
                crate::sys::signal_group(self.pid, number)
                    .map_err(|error| failure::failed(format_args!("cannot send signal {number}"), &error))
            }
            Control::Resize(size) => {
                let Some(terminal) = &self.terminal else {
                    return Err(failure::invalid("the command has no terminal"));
                };
                stdio::resize(terminal, size.cols, size.rows)
                    .map_err(|error| failure::failed("cannot resize the terminal", &error))
            }
        }
    }

    fn host_gone(&mut self) {
        self.host = Host::Gone;
        self.stdin = None;
        hang_up(self.pid);
        let kill = Instant::now() + HANGUP_TO_KILL;
        self.alarm = match self.alarm {
            Alarm::Kill(at) => Alarm::Kill(at.min(kill)),
            Alarm::Never | Alarm::TimeUp(_) => Alarm::Kill(kill),
        };
    }

    fn strike(&mut self) {
        self.timed_out |= matches!(self.alarm, Alarm::TimeUp(_));
        self.alarm = next_alarm(self.pid, self.alarm);
    }

    /// Time up is for all that the command started, not only for its first process.
    fn after_end(&mut self) {
        if self.timed_out {
            kill_session(self.pid);
        }
    }

    /// What the command left behind is sent, unless nobody wants it any more.
    async fn last_words(&mut self, pumps: &mut Pumps<'_>, inbox: &mut Inbox) {
        while self.host == Host::Listens {
            tokio::select! {
                () = pumps.finished() => return,
                inbound = inbox.recv() => if inbound.is_none() { self.host_gone() },
            }
        }
    }

    /// The host is gone: what is left of the command gets its five seconds too.
    async fn clear_up(self) {
        if processes::of_session(self.pid).next().is_some() {
            strike(self.alarm).await;
            kill_session(self.pid);
        }
    }
}

async fn strike(alarm: Alarm) {
    match alarm {
        Alarm::Never => std::future::pending().await,
        Alarm::TimeUp(at) | Alarm::Kill(at) => tokio::time::sleep_until(at).await,
    }
}

fn next_alarm(pid: Pid, alarm: Alarm) -> Alarm {
    match alarm {
        Alarm::TimeUp(_) => {
            signal(pid, libc::SIGTERM);
            Alarm::Kill(Instant::now() + TERM_TO_KILL)
        }
        Alarm::Kill(_) => {
            kill_session(pid);
            Alarm::Never
        }
        Alarm::Never => Alarm::Never,
    }
}

fn hang_up(pid: Pid) {
    signal(pid, libc::SIGHUP);
    // A stopped process must run to hear it.
    signal(pid, libc::SIGCONT);
}

/// A group that is gone already needs no signal.
fn signal(pid: Pid, number: i32) {
    crate::sys::signal_group(pid, number).unwrap_or_default();
}

/// The group, and the groups that a shell with job control made inside the session.
pub(crate) fn kill_session(leader: Pid) {
    signal(leader, libc::SIGKILL);
    for pid in processes::of_session(leader) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_default();
    }
}
