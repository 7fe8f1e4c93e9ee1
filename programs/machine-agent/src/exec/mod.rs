//! Runs one command for one stream.
//!
//! ```text
//! Running ──time is up──▶ SIGTERM ──2 s──▶ SIGKILL
//!    │ ────host is gone──▶ SIGHUP ──5 s──▶ SIGKILL
//!    └──process ends──▶ what it left in its pipes is sent ──▶ Exited
//! ```

mod feed;
mod prepare;
mod pump;
pub(crate) mod stdio;
pub(crate) mod sys;

use crate::house::House;
use crate::line::{Inbound, Line};
use crate::reaper::Launched;
use crate::{failure, processes};
use machine_agent_protocol::{Answer, Control, Ending, Exec, Exited, Failed, FailureCode, Started};
use rustix::process::Pid;
use std::time::Duration;
use stdio::Ours;
use sys::{StartError, Step};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

const TERM_TO_KILL: Duration = Duration::from_secs(2);
const HANGUP_TO_KILL: Duration = Duration::from_secs(5);

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
    line.teller.answer(started).await;
    attended(launched, ours, alarm, line).await;
}

async fn begin(house: &House, exec: &Exec) -> Result<(Launched, Ours), Failed> {
    if exec.detach && (exec.tty.is_some() || exec.stdin == machine_agent_protocol::Stdin::Open) {
        return Err(failure::invalid("a detached command has no terminal and no standard input"));
    }
    let (ours, theirs) = stdio::make(exec).map_err(|error| failure::failed("cannot make pipes", &error))?;
    let default_env = house.env.borrow().clone();
    let launch = prepare::launch(exec, &default_env, theirs)?;
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
    let Launched { pid, mut ending } = launched;
    loop {
        tokio::select! {
            _ = &mut ending => return,
            () = strike(alarm) => alarm = next_alarm(pid, alarm),
        }
    }
}

async fn attended(launched: Launched, ours: Ours, alarm: Alarm, line: Line) {
    let Launched { pid, mut ending } = launched;
    let Line { teller, mut inbox } = line;
    let Ours { stdin, outputs, terminal, slave } = ours;
    let (over, is_over) = watch::channel(false);
    let mut pumps = JoinSet::new();
    for (channel, output) in outputs {
        pumps.spawn(pump::pump(output, channel, teller.clone(), is_over.clone()));
    }
    let stdin = stdin.map(|input| feed::start(input, teller.clone()));
    let mut running = Running { pid, alarm, timed_out: false, host: Host::Listens, terminal, stdin };
    let ending = loop {
        tokio::select! {
            ended = &mut ending => break ended.unwrap_or(Ending::Signal(9)),
            inbound = inbox.recv(), if running.host == Host::Listens => match inbound {
                Some(inbound) => running.inbound(inbound, &teller).await,
                None => running.host_gone(),
            },
            () = strike(running.alarm) => running.strike(),
        }
    };
    drop(slave);
    over.send_replace(true);
    running.after_end();
    running.last_words(&mut pumps, &mut inbox).await;
    match running.host {
        Host::Listens => teller.finish(Exited { ending, timed_out: running.timed_out }).await,
        Host::Gone => {
            drop(pumps);
            running.clear_up().await;
        }
    }
}

impl Running {
    async fn inbound(&mut self, inbound: Inbound, teller: &crate::line::Teller) {
        match inbound {
            Inbound::Data(bytes) => {
                let count = bytes.len();
                let fed = self.stdin.as_ref().is_some_and(|stdin| stdin.send(bytes).is_ok());
                if !fed {
                    // A command that does not read must not stall whoever writes.
                    teller.consumed(count).await;
                }
            }
            Inbound::End => self.stdin = None,
            Inbound::Control(control) => {
                if let Err(failed) = self.control(&control) {
                    teller.answer(Answer::Failed(failed)).await;
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
    async fn last_words(&mut self, pumps: &mut JoinSet<()>, inbox: &mut mpsc::UnboundedReceiver<Inbound>) {
        while self.host == Host::Listens {
            tokio::select! {
                pump = pumps.join_next() => if pump.is_none() { return },
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
fn kill_session(leader: Pid) {
    signal(leader, libc::SIGKILL);
    for pid in processes::of_session(leader) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_default();
    }
}
