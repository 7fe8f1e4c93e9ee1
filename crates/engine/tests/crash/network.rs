//! `kill -9` at every await of a change of the network: afterwards the record says what was before or what was
//! asked, the gateway of a running machine follows the record, and a repeat reaches the goal.

use std::time::Duration;

use machine_core::network::{NetworkSpec, Transport};
use machine_core::policy::egress::{EgressPolicy, Verdict};
use machine_core::{Command, MachineId, State};
use machine_engine::{Desk, EgressChange, NetworkChange, NewMachine};
use machine_testkit::crash::{Moment, Tripwire};
use machine_testkit::networks::CHOSEN;
use machine_testkit::provider::Fault;
use machine_testkit::world::{World, asked, small};

use super::{check_agreement, life, settle};

/// One story: a machine with a forwarded port, running or not, and a change of its network.
struct Story {
    rests: State,
    change: NetworkChange,
    goal: NetworkSpec,
    fault: Option<Fault>,
}

fn before() -> NetworkSpec {
    let forwards = vec!["8080:80".parse().expect("a forward")];
    NetworkSpec { forwards, ..NetworkSpec::default() }
}

fn closed() -> EgressPolicy {
    EgressPolicy { otherwise: Verdict::Deny, ..EgressPolicy::default() }
}

fn changes() -> Vec<(NetworkChange, NetworkSpec)> {
    let listen = "127.0.0.1:8080".parse().expect("an address");
    let mut more = before();
    more.forwards.push(format!("{CHOSEN}:81").parse().expect("a forward"));
    vec![
        (NetworkChange::Egress(EgressChange::to(closed())), NetworkSpec { egress: closed(), ..before() }),
        (NetworkChange::AddForwards(vec!["0:81".parse().expect("a forward")]), more),
        (
            NetworkChange::RemoveForwards(vec![(Transport::Tcp, listen)]),
            NetworkSpec { forwards: Vec::new(), ..before() },
        ),
    ]
}

async fn make(desk: &Desk, rests: State) -> MachineId {
    let machine = desk.create(&asked("first"), NewMachine { network: before(), ..small("a") }).await.expect("made");
    if rests == State::Stopped {
        desk.command(&asked("other"), "a", Command::Stop).await.expect("stops");
    }
    machine.id
}

fn on_record(world: &World, id: &MachineId) -> NetworkSpec {
    world.book().machine(id).expect("it is on record").spec.network.clone()
}

/// Waits until the gateway follows the record: a server tells it when it takes the machine up.
async fn follow(world: &World, id: &MachineId, rests: State) {
    let follows = || world.site().everything().get(id).and_then(|remains| remains.network.clone());
    while rests == State::Running && follows() != Some(on_record(world, id)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Kills the server at call `at` of its life. Returns false when it made fewer calls than that.
fn kill_at(story: &Story, at: u64, moment: Moment) -> bool {
    let told =
        format!("{:?} of {:?} killed {moment:?} call {at}, broken: {:?}", story.change, story.rests, story.fault);
    let world = World::new();
    let id = life(async { make(&world.live(&Tripwire::never()).await, story.rests).await });
    if let Some(fault) = story.fault {
        world.site().break_at(fault);
    }
    let tripwire = Tripwire::at(3 + at, moment);
    let tripped = life(async {
        let desk = world.live(&tripwire).await;
        let third = asked("third");
        tokio::select! {
            () = tripwire.tripped() => true,
            _ = desk.set_network(&third, "a", story.change.clone()) => false,
        }
    });
    world.site().mend();
    for _ in 0..2 {
        life(async {
            let desk = world.live(&Tripwire::never()).await;
            settle(&world, &desk).await;
            follow(&world, &id, story.rests).await;
        });
        check_agreement(&world, &told);
        let recorded = on_record(&world, &id);
        assert!(recorded == before() || recorded == story.goal, "{told}: {recorded:?}");
    }
    if on_record(&world, &id) == before() {
        life(async {
            let desk = world.live(&Tripwire::never()).await;
            let changed = desk.set_network(&asked("fourth"), "a", story.change.clone()).await.expect(&told);
            assert_eq!(changed.spec.network, story.goal, "{told}");
        });
    }
    check_agreement(&world, &told);
    tripped
}

fn kill_everywhere(rests: State, fault: Option<Fault>) {
    for (change, goal) in changes() {
        let story = Story { rests, change, goal, fault };
        for moment in [Moment::Before, Moment::After] {
            let mut calls = 1;
            while kill_at(&story, calls, moment) {
                calls += 1;
            }
            assert!(calls > 1, "{:?} makes calls", story.change);
        }
    }
}

#[test]
fn a_change_of_a_running_machine_survives_a_kill_at_every_call() {
    kill_everywhere(State::Running, None);
}

#[test]
fn a_change_of_a_resting_machine_survives_a_kill_at_every_call() {
    kill_everywhere(State::Stopped, None);
}

#[test]
fn a_gateway_that_does_not_follow_survives_a_kill_at_every_call() {
    kill_everywhere(State::Running, Some(Fault::Apply));
}

#[test]
fn a_start_with_ports_to_choose_survives_a_kill_at_every_call() {
    for at in 1.. {
        let world = World::new();
        let mut network = before();
        network.forwards.push("0:81".parse().expect("a forward"));
        let id = life(async {
            let desk = world.live(&Tripwire::never()).await;
            let then = machine_engine::desk::AfterCreate::Rest;
            desk.create(&asked("first"), NewMachine { network, then, ..small("a") }).await.expect("made").id
        });
        let tripwire = Tripwire::at(3 + at, Moment::After);
        let tripped = life(async {
            let desk = world.live(&tripwire).await;
            let second = asked("second");
            tokio::select! {
                () = tripwire.tripped() => true,
                _ = desk.command(&second, "a", Command::Start) => false,
            }
        });
        life(async {
            let desk = world.live(&Tripwire::never()).await;
            settle(&world, &desk).await;
            let machine = desk.command(&asked("third"), "a", Command::Start).await.expect("starts");
            assert_eq!(machine.spec.network.forwards[1].listen.port(), CHOSEN);
            follow(&world, &id, State::Running).await;
        });
        check_agreement(&world, &format!("a start killed after call {at}"));
        if !tripped {
            assert!(at > 3, "choosing, opening, starting and closing are calls");
            return;
        }
    }
}
