//! What a root disk lives for, with `kill -9` at every await: a start that is repeated decides as the first try
//! did, and a disk that is in use is never given up.

use machine_core::machine::Generation;
use machine_core::spec::RootLife;
use machine_core::state::Sighting;
use machine_core::{Command, MachineId, State};
use machine_engine::{Desk, NewMachine};
use machine_testkit::crash::{Moment, Tripwire};
use machine_testkit::world::{World, asked, small};

use super::{check_agreement, life, settle};

const LIVES: [RootLife; 3] = [RootLife::Persistent, RootLife::Ephemeral, RootLife::ReadOnly];

/// How the run before a start ended.
#[derive(Debug, Clone, Copy)]
enum Before {
    Stopped,
    Seen(Sighting),
}

const ENDS: [Before; 4] = [
    Before::Stopped,
    Before::Seen(Sighting::PoweredOff),
    Before::Seen(Sighting::HostRebooted),
    Before::Seen(Sighting::VmmDied),
];

async fn make(desk: &Desk, root: RootLife) -> MachineId {
    let made = desk.create(&asked("first"), NewMachine { root, ..small("a") }).await;
    made.expect("nothing is broken").id
}

async fn end_run(world: &World, desk: &Desk, id: &MachineId, before: Before) {
    match before {
        Before::Stopped => drop(desk.command(&asked("stop"), "a", Command::Stop).await.expect("it stops")),
        Before::Seen(sighting) => {
            world.site().end_run(id, sighting);
            while world.book().machine(id).is_some_and(|machine| machine.state == State::Running) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

/// The launch that was the first on the root disk of the one machine.
fn root(world: &World) -> Option<Generation> {
    world.site().everything().values().next().and_then(|remains| remains.root)
}

/// The first launch on the disk of a machine that was made, ended so, and started again.
fn first_on_it(life: RootLife, before: Before) -> Generation {
    match (life, before) {
        (RootLife::Persistent, _) | (_, Before::Seen(Sighting::VmmDied)) => Generation(1),
        (
            RootLife::Ephemeral | RootLife::ReadOnly,
            Before::Stopped | Before::Seen(Sighting::PoweredOff | Sighting::HostRebooted),
        ) => Generation(2),
    }
}

/// Kills the server at call `at` of a start. Returns false when the start made fewer calls than that.
fn kill_start_at(root_life: RootLife, before: Before, at: u64, moment: Moment) -> bool {
    let world = World::new();
    life(async {
        let desk = world.live(&Tripwire::never()).await;
        let id = make(&desk, root_life).await;
        end_run(&world, &desk, &id, before).await;
    });
    let story = format!("{root_life:?} after {before:?}, killed {moment:?} call {at}");
    let calls_to_open = 3;
    let tripwire = Tripwire::at(calls_to_open + at, moment);
    let tripped = life(async {
        let (desk, asked) = (world.live(&tripwire).await, asked("start"));
        tokio::select! {
            () = tripwire.tripped() => true,
            _ = desk.command(&asked, "a", Command::Start) => false,
        }
    });
    let in_use = world.site().everything().values().find_map(|remains| remains.on.and(remains.root));
    life(async {
        let desk = world.live(&Tripwire::never()).await;
        settle(&world, &desk).await;
        if let Some(first) = in_use {
            assert_eq!(root(&world), Some(first), "{story}: a disk in use was given up");
        }
        desk.command(&asked("again"), "a", Command::Start).await.expect("nothing is broken");
    });
    check_agreement(&world, &story);
    assert_eq!(root(&world), Some(first_on_it(root_life, before)), "{story}");
    tripped
}

#[test]
fn a_start_survives_a_kill_at_every_call_with_the_root_that_it_decided_on() {
    for root_life in LIVES {
        for before in ENDS {
            for moment in [Moment::Before, Moment::After] {
                let mut calls = 1;
                while kill_start_at(root_life, before, calls, moment) {
                    calls += 1;
                }
                assert!(calls > 3, "start makes more calls than {calls}");
            }
        }
    }
}

#[test]
fn a_stop_gives_up_what_is_not_to_be_kept_also_after_a_failure() {
    for root_life in LIVES {
        for before in [None, Some(Before::Seen(Sighting::VmmDied))] {
            let world = World::new();
            life(async {
                let desk = world.live(&Tripwire::never()).await;
                let id = make(&desk, root_life).await;
                if let Some(before) = before {
                    end_run(&world, &desk, &id, before).await;
                    assert_eq!(root(&world), Some(Generation(1)), "a machine that failed keeps its root");
                }
                desk.command(&asked("stop"), "a", Command::Stop).await.expect("it stops");
            });
            let kept = (root_life == RootLife::Persistent).then_some(Generation(1));
            assert_eq!(root(&world), kept, "{root_life:?} {before:?}");
        }
    }
}
