//! `kill -9` at every await on a promise: afterwards the machine landed or is clean, there is no
//! orphan, no intent is open, and a second reconcile changes nothing.

mod network;
mod roots;

use std::future::Future;
use std::time::Duration;

use machine_core::{Command, Owner, State};
use machine_engine::Desk;
use machine_testkit::crash::{Moment, Tripwire};
use machine_testkit::provider::Fault;
use machine_testkit::world::{World, asked, small};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs one life of a server in its own runtime, so that dropping the runtime is `kill -9`.
fn life<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    let end = runtime.block_on(async { tokio::time::timeout(PATIENCE, story).await });
    end.expect("the story ends in time")
}

/// Waits until nothing is under way.
async fn settle(world: &World, desk: &Desk) {
    while world.book().open_intents() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let machines = desk.list(&Owner::local_user(0)).await.expect("the desk is open");
    assert!(machines.iter().all(|machine| machine.open.is_none()), "{machines:?}");
}

/// No orphan on either side: what the book knows is at the place, and the other way round.
fn check_agreement(world: &World, story: &str) {
    let book = world.book();
    let site = world.site().everything();
    for machine in book.machines() {
        let remains = site.get(&machine.id);
        match machine.state {
            State::Running => {
                assert_eq!(remains.and_then(|r| r.on), Some(machine.generation), "{story}: {machine:?}");
                assert!(remains.is_some_and(|remains| !remains.paused), "{story}: {machine:?}");
                let follows = remains.and_then(|remains| remains.network.as_ref());
                assert_eq!(follows, Some(&machine.spec.network), "{story}: {machine:?}");
            }
            State::Stopped | State::Failed => assert!(remains.is_some_and(|r| r.on.is_none()), "{story}: {machine:?}"),
            State::Destroyed => assert_eq!(remains, None, "{story}: {machine:?}"),
            State::Paused => {
                let remains = remains.map(|remains| (remains.on, remains.paused));
                assert_eq!(remains, Some((Some(machine.generation), true)), "{story}: {machine:?}");
            }
            State::Hibernated => {
                let remains = remains.map(|remains| (remains.on, remains.saved.is_some()));
                assert_eq!(remains, Some((None, true)), "{story}: {machine:?}");
            }
            State::Absent => {
                assert_eq!(machine.state, State::Stopped, "{story}: rests where nothing brought it: {machine:?}");
            }
        }
    }
    for id in site.keys() {
        assert!(book.machine(id).is_some_and(|machine| machine.state != State::Destroyed), "{story}: orphan {id}");
    }
}

async fn ask(desk: Desk, command: Command) {
    match command {
        Command::Create => drop(desk.create(&asked("first"), small("a")).await),
        Command::Start
        | Command::Pause
        | Command::Resume
        | Command::Hibernate
        | Command::Snapshot
        | Command::Restore
        | Command::Stop
        | Command::Destroy => drop(desk.command(&asked("other"), "a", command).await),
    }
}

/// Kills the server at call `at` of a command; then a new life must settle it.
/// Returns false when the command made fewer calls than that.
fn kill_at(command: Command, before: &[Command], fault: Option<Fault>, at: u64, moment: Moment) -> bool {
    let world = World::new();
    life(async {
        let desk = world.live(&Tripwire::never()).await;
        for command in before {
            ask(desk.clone(), *command).await;
        }
    });
    if let Some(fault) = fault {
        world.site().break_at(fault);
    }
    let calls_to_open = 3;
    let tripwire = Tripwire::at(calls_to_open + at, moment);
    let story = format!("{command:?} killed {moment:?} call {at}, broken: {fault:?}");
    let tripped = life(async {
        let desk = world.live(&tripwire).await;
        tokio::select! {
            () = tripwire.tripped() => true,
            () = ask(desk, command) => false,
        }
    });
    world.site().mend();
    for _ in 0..2 {
        life(async {
            let desk = world.live(&Tripwire::never()).await;
            settle(&world, &desk).await;
        });
        check_agreement(&world, &story);
    }
    check_repeat(&world, command, &story);
    tripped
}

/// The client's retry after the crash reaches the goal, and destroy always works.
fn check_repeat(world: &World, command: Command, story: &str) {
    life(async {
        let desk = world.live(&Tripwire::never()).await;
        settle(world, &desk).await;
        ask(desk.clone(), command).await;
        let machines = desk.list(&Owner::local_user(0)).await.expect("the desk is open");
        let states: Vec<State> = machines.iter().map(|machine| machine.state).collect();
        match command {
            Command::Create | Command::Start | Command::Resume => assert_eq!(states, [State::Running], "{story}"),
            Command::Stop => assert_eq!(states, [State::Stopped], "{story}"),
            Command::Destroy => assert_eq!(states, [], "{story}"),
            Command::Pause => assert_eq!(states, [State::Paused], "{story}"),
            Command::Hibernate => assert_eq!(states, [State::Hibernated], "{story}"),
            Command::Snapshot | Command::Restore => {}
        }
        if command != Command::Destroy {
            let gone = desk.command(&asked("end"), "a", Command::Destroy).await.expect("destroy always works");
            assert_eq!(gone.state, State::Destroyed);
        }
    });
    check_agreement(world, story);
    assert!(world.site().everything().is_empty(), "{story}: something is left");
}

fn kill_everywhere(command: Command, before: &[Command], fault: Option<Fault>) {
    for moment in [Moment::Before, Moment::After] {
        let mut calls = 1;
        while kill_at(command, before, fault, calls, moment) {
            calls += 1;
        }
        assert!(calls > 3, "{command:?} makes more calls than {calls}");
    }
}

#[test]
fn create_survives_a_kill_at_every_call() {
    kill_everywhere(Command::Create, &[], None);
}

#[test]
fn start_survives_a_kill_at_every_call() {
    kill_everywhere(Command::Start, &[Command::Create, Command::Stop], None);
}

#[test]
fn stop_survives_a_kill_at_every_call() {
    kill_everywhere(Command::Stop, &[Command::Create], None);
}

#[test]
fn destroy_survives_a_kill_at_every_call() {
    kill_everywhere(Command::Destroy, &[Command::Create], None);
}

#[test]
fn turning_back_survives_a_kill_at_every_call() {
    kill_everywhere(Command::Create, &[], Some(Fault::Prepare));
    kill_everywhere(Command::Create, &[], Some(Fault::Boot));
    kill_everywhere(Command::Start, &[Command::Create, Command::Stop], Some(Fault::Boot));
}

#[test]
fn pause_and_its_resume_survive_a_kill_at_every_call() {
    kill_everywhere(Command::Pause, &[Command::Create], None);
    kill_everywhere(Command::Resume, &[Command::Create, Command::Pause], None);
    kill_everywhere(Command::Resume, &[Command::Create, Command::Pause], Some(Fault::Boot));
    kill_everywhere(Command::Stop, &[Command::Create, Command::Pause], None);
}

#[test]
fn hibernate_survives_a_kill_at_every_call() {
    kill_everywhere(Command::Hibernate, &[Command::Create], None);
    kill_everywhere(Command::Hibernate, &[Command::Create, Command::Pause], None);
    kill_everywhere(Command::Hibernate, &[Command::Create], Some(Fault::Save));
}

#[test]
fn what_was_saved_survives_a_kill_at_every_call_of_its_resume() {
    let hibernated = [Command::Create, Command::Hibernate];
    kill_everywhere(Command::Resume, &hibernated, None);
    kill_everywhere(Command::Start, &hibernated, None);
    kill_everywhere(Command::Resume, &hibernated, Some(Fault::Boot));
    kill_everywhere(Command::Stop, &hibernated, None);
    kill_everywhere(Command::Destroy, &hibernated, None);
}
