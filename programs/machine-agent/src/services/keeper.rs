//! One service, from its first start until nobody wants it.
//!
//! ```text
//!            ┌──────────────start, restart────────────────┐
//!            ▼                                             │
//! Waiting ──▶ Running ──ends, and that is that──▶ Ended, Failed
//!    ▲          │ │ └──stop: SIGTERM, 10 s, SIGKILL──▶ Ended
//!    └──────────┘ └──not wanted any more: the same──▶ gone
//!  ends, to be started again (250 ms, doubling to 30 s)
//! ```
//! Who cannot be started fails as one that ended badly does. What a service left running in its session ends before
//! the service begins anew.

use super::wanted::{Program, Wanted};
use super::{LOGS, Means, Order, log, log_of};
use crate::console::say;
use crate::exec::{kill_session, prepare, stdio};
use crate::script;
use machine_agent_protocol::{Ending, Restart, ServiceState, ServiceStatus, Turn};
use rustix::process::Pid;
use std::fs;
use std::io;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// One that ran so long did start well; its next failure is a new one.
const STEADY: Duration = Duration::from_secs(60);
const TERM_TO_KILL: Duration = Duration::from_secs(10);
/// What is said of a failure is no longer, in characters.
const LONGEST_WHY: usize = 500;

/// How a service is.
#[derive(Debug, Clone)]
pub(super) struct Status {
    state: ServiceState,
    pid: Option<u32>,
    restarts: u32,
    ending: Option<Ending>,
    since: SystemTime,
    why: Option<String>,
}

impl Status {
    pub(super) fn waiting() -> Self {
        let (state, since) = (ServiceState::Waiting, SystemTime::now());
        Self { state, pid: None, restarts: 0, ending: None, since, why: None }
    }

    pub(super) fn told(&self, wanted: &Wanted) -> ServiceStatus {
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ServiceStatus {
            name: wanted.name.clone(),
            state: self.state,
            pid: self.pid,
            restarts: self.restarts,
            ending: self.ending,
            since_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            origin: wanted.origin(),
            why: self.why.clone(),
        }
    }
}

/// What the keeper does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Run,
    Pause,
    Rest,
    Leave,
}

struct Keeper {
    means: Means,
    wanted: Wanted,
    orders: mpsc::UnboundedReceiver<Order>,
    status: watch::Sender<Status>,
    pause: Duration,
    /// Who waits to hear that the last order is done.
    waiting: Vec<oneshot::Sender<()>>,
    /// The process that was started last.
    last: Option<Pid>,
}

/// Keeps a service, once the one `before` it has ended.
pub(super) async fn keep(
    means: Means,
    wanted: Wanted,
    before: Option<JoinHandle<()>>,
    orders: mpsc::UnboundedReceiver<Order>,
    status: watch::Sender<Status>,
) {
    if let Some(before) = before {
        // However it went: it is gone.
        before.await.ok();
    }
    let (waiting, last) = (Vec::new(), None);
    let mut keeper = Keeper { means, wanted, orders, status, pause: FIRST_PAUSE, waiting, last };
    let mut next = Next::Run;
    loop {
        next = match next {
            Next::Run => keeper.run().await,
            Next::Pause => keeper.pause().await,
            Next::Rest => keeper.rest().await,
            Next::Leave => return,
        };
    }
}

impl Keeper {
    async fn run(&mut self) -> Next {
        if *self.means.off.borrow() {
            return Next::Rest;
        }
        if let Some(left) = self.last.take() {
            kill_session(left);
        }
        let began = Instant::now();
        let (pid, ending) = match self.launch().await {
            Ok(launched) => launched,
            Err(why) => return self.not_started(&why),
        };
        self.last = Some(pid);
        let number = u32::try_from(pid.as_raw_nonzero().get()).ok();
        self.tell(|status| (status.state, status.pid, status.why) = (ServiceState::Running, number, None));
        self.done();
        let next = self.attend(pid, ending).await;
        if began.elapsed() >= STEADY {
            self.pause = FIRST_PAUSE;
        }
        next
    }

    /// Until it ends, by itself or since somebody wants it to.
    async fn attend(&mut self, pid: Pid, mut ending: oneshot::Receiver<Ending>) -> Next {
        loop {
            let order = tokio::select! {
                ended = &mut ending => return self.ended(ended.unwrap_or(Ending::Signal(9))),
                order = self.orders.recv() => order,
            };
            let next = match order {
                Some(Order { turn: Turn::Start, done }) => {
                    done.send(()).unwrap_or_default();
                    continue;
                }
                Some(Order { turn: Turn::Stop, done }) => {
                    self.waiting.push(done);
                    Next::Rest
                }
                Some(Order { turn: Turn::Restart, done }) => {
                    self.waiting.push(done);
                    Next::Run
                }
                None => Next::Leave,
            };
            let ended = end(pid, &mut ending).await;
            let state = if next == Next::Rest { ServiceState::Ended } else { ServiceState::Waiting };
            self.tell(|status| (status.state, status.pid, status.ending) = (state, None, Some(ended)));
            return next;
        }
    }

    fn ended(&mut self, ending: Ending) -> Next {
        let well = ending == Ending::Code(0);
        let again = match self.wanted.restart {
            Restart::No => false,
            Restart::OnFailure => !well,
            Restart::Always => true,
        };
        let state = match (again, well) {
            (true, _) => ServiceState::Waiting,
            (false, true) => ServiceState::Ended,
            (false, false) => ServiceState::Failed,
        };
        self.tell(|status| (status.state, status.pid, status.ending) = (state, None, Some(ending)));
        if again { Next::Pause } else { Next::Rest }
    }

    fn not_started(&mut self, why: &str) -> Next {
        say(format_args!("cannot start the service {}: {why}", self.wanted.name));
        let (state, next) = match self.wanted.restart {
            Restart::No => (ServiceState::Failed, Next::Rest),
            Restart::OnFailure | Restart::Always => (ServiceState::Waiting, Next::Pause),
        };
        let why = why.chars().take(LONGEST_WHY).collect();
        self.tell(|status| (status.state, status.pid, status.why) = (state, None, Some(why)));
        next
    }

    async fn pause(&mut self) -> Next {
        self.done();
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = tokio::time::sleep(pause) => {
                self.tell(|status| status.restarts = status.restarts.saturating_add(1));
                Next::Run
            }
            order = self.orders.recv() => self.at_rest(order),
        }
    }

    async fn rest(&mut self) -> Next {
        self.done();
        let order = self.orders.recv().await;
        self.at_rest(order)
    }

    /// What follows an order while nothing runs.
    fn at_rest(&mut self, order: Option<Order>) -> Next {
        let Some(Order { turn, done }) = order else { return Next::Leave };
        self.waiting.push(done);
        match turn {
            Turn::Start | Turn::Restart => {
                self.pause = FIRST_PAUSE;
                Next::Run
            }
            Turn::Stop => {
                self.tell(|status| status.state = ServiceState::Ended);
                Next::Rest
            }
        }
    }

    async fn launch(&self) -> Result<(Pid, oneshot::Receiver<Ending>), String> {
        let in_words = |error: io::Error| error.to_string();
        fs::create_dir_all(LOGS).map_err(in_words)?;
        let (output, theirs) = stdio::output().map_err(in_words)?;
        let streams = || Ok([stdio::null()?, theirs.try_clone()?, theirs.try_clone()?]);
        let env = self.means.env.borrow().clone();
        let launch = match &self.wanted.program {
            Program::Image(program) => {
                streams().and_then(|stdio| script::launch(program, &env, stdio)).map_err(in_words)
            }
            Program::Project(exec) => {
                let stdio = streams().map_err(in_words)?;
                prepare::launch(exec, env, stdio).await.map_err(|failed| failed.message)
            }
        }?;
        let launched = self.means.reaper.launch(launch).await.map_err(|error| in_words(io::Error::other(error)))?;
        tokio::spawn(log::keep(output, log_of(&self.wanted.name)));
        Ok((launched.pid, launched.ending))
    }

    fn tell(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            let before = status.state;
            change(status);
            if status.state != before {
                status.since = SystemTime::now();
            }
        });
    }

    /// Whoever waits may have left.
    fn done(&mut self) {
        self.waiting.drain(..).for_each(|waiting| waiting.send(()).unwrap_or_default());
    }
}

/// Ends a process, and all that it started in its session.
async fn end(pid: Pid, ending: &mut oneshot::Receiver<Ending>) -> Ending {
    // One that is gone already needs no signal; a stopped one must run to hear it.
    crate::sys::signal_group(pid, libc::SIGTERM).unwrap_or_default();
    crate::sys::signal_group(pid, libc::SIGCONT).unwrap_or_default();
    let ended = match timeout(TERM_TO_KILL, &mut *ending).await {
        Ok(ended) => ended,
        Err(_) => {
            kill_session(pid);
            ending.await
        }
    };
    kill_session(pid);
    ended.unwrap_or(Ending::Signal(9))
}
