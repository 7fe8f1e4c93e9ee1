//! What all tasks of the agent share, and who does which request.

use crate::connect::Connections;
use crate::desk::Desk;
use crate::door::Door;
use crate::life::Life;
use crate::line::Line;
use crate::power::{Init, Power};
use crate::reaper::Reaper;
use crate::wake::{BOOT_ID, World};
use crate::{accounts, exec, files, identity, listeners, measure, secrets, services, share};
use machine_agent_protocol::{AgentFacts, AgentState, Answer, Request};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The environment that every command gets.
pub(crate) type DefaultEnv = BTreeMap<String, String>;

/// Handles on the agent's long-lived tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) reaper: Reaper,
    pub(crate) power: Power,
    pub(crate) life: Life,
    pub(crate) connections: Connections,
    pub(crate) services: services::Desk,
    pub(crate) env: Arc<watch::Sender<DefaultEnv>>,
}

/// One thread runs everything but file work.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Serves hosts until there can be no more.
pub(crate) async fn live(door: Door, init: Init) -> io::Result<()> {
    let reaper = Reaper::start()?;
    let power = Power::start(init)?;
    let env = Arc::new(watch::Sender::new(DefaultEnv::new()));
    let facts = facts();
    let boot_id = watch::Sender::new(facts.boot_id.clone());
    let life = Life::start(init, World { reaper: reaper.clone(), env: env.clone(), boot_id });
    let means = services::Means { reaper: reaper.clone(), env: env.clone(), off: power.going_off() };
    let (connections, services) = (Connections::none_yet(), services::Desk::start(means));
    let house = House { reaper, power, life, connections, services, env };
    let serving = Desk::new(facts, house.clone()).serve(door);
    match init {
        Init::Us => {
            tokio::spawn(crate::boot::afterwards(house));
        }
        Init::Other => {}
    }
    // A task, not the runtime's root: the root looks at the world once more before each of its turns.
    tokio::spawn(serving).await?
}

fn facts() -> AgentFacts {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    AgentFacts {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: read(BOOT_ID),
        kernel: read("/proc/sys/kernel/osrelease"),
        state: AgentState::Ready,
    }
}

impl House {
    /// Starts the task that does a request, whose bytes came at `arrived`.
    pub(crate) fn take(&self, request: Request, line: Line, arrived: Instant) {
        if let Request::WakeAs(wake) = request {
            // On the time of whoever waits for the machine: not by way of a task.
            return self.life.wake(wake, arrived, line.teller);
        }
        tokio::spawn(work(self.clone(), request, line, arrived));
    }
}

async fn work(house: House, request: Request, line: Line, arrived: Instant) {
    let teller = line.teller.clone();
    let answer = match request {
        Request::Exec(exec) => return exec::serve(house, exec, line).await,
        Request::Connect(connect) => return house.connections.serve(connect, line).await,
        Request::ServiceLog(log) => return house.services.log(log, line).await,
        Request::Listeners(asked) => return listeners::serve(asked, line).await,
        Request::Read(read) => files::read::serve(read, &teller).await,
        Request::Write(write) => files::write::serve(write, line).await,
        Request::List(list) => files::list::serve(list, &teller).await,
        Request::Stat(stat) => files::change::stat(stat).await.map(Answer::from),
        Request::Remove(remove) => files::change::remove(remove).await,
        Request::Mkdir(mkdir) => files::change::mkdir(mkdir).await,
        Request::Rename(rename) => files::change::rename(rename).await,
        Request::Ping(_) => Ok(Answer::Pong(machine_agent_protocol::Pong {})),
        Request::SetClock(clock) => identity::set_clock(&clock),
        Request::Identify(identify) => identity::identify(&house, identify),
        Request::Measure(_) => Ok(Answer::Measured(measure::measure())),
        Request::PowerOff(off) => house.power.off(off.grace_ms).await,
        Request::WakeAs(wake) => return house.life.wake(wake, arrived, line.teller),
        Request::Settle(settle) => return house.life.settle(settle, line.teller),
        Request::Mount(mount) => share::mount(mount).await,
        Request::Unmount(unmount) => share::unmount(unmount).await,
        Request::Touch(touch) => share::touch(touch).await,
        Request::SetServices(set) => house.services.set(set).await,
        Request::ListServices(_) => house.services.list().await,
        Request::TurnService(turn) => house.services.turn(turn).await,
        Request::PutSecrets(put) => secrets::put(put).await,
        Request::EnsureUser(user) => accounts::ensure(user).await,
    };
    match answer {
        Ok(answer) => teller.finish(answer).await,
        Err(failed) => teller.finish(failed).await,
    }
}
