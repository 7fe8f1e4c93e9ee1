//! The desk's promises, against fakes.

use std::time::Duration;

use machine_core::spec::FirstStart;
use machine_core::state::Sighting;
use machine_core::{Code, Command, Machine, MachineId, Owner, State};
use machine_engine::desk::AfterCreate;
use machine_engine::{Desk, NewMachine};
use machine_testkit::crash::Tripwire;
use machine_testkit::provider::Fault;
use machine_testkit::world::{World, asked, small};

fn owner() -> Owner {
    Owner::local_user(0)
}

async fn open(world: &World) -> Desk {
    world.live(&Tripwire::never()).await
}

async fn until(desk: &Desk, name: &str, state: State) -> Machine {
    let there = async {
        loop {
            let machine = desk.find(&owner(), name).await.expect("it is there");
            if machine.state == state && machine.open.is_none() {
                return machine;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), there).await.expect("it comes to be so in time")
}

#[tokio::test(start_paused = true)]
async fn a_created_machine_runs_stops_starts_and_is_destroyed() {
    let world = World::new();
    let desk = open(&world).await;
    let machine = desk.create(&asked("k"), small("a")).await.expect("it can be made");
    assert_eq!((machine.state, machine.generation.0), (State::Running, 1));
    assert_eq!(desk.command(&asked("k2"), "a", Command::Stop).await.expect("stops").state, State::Stopped);
    assert_eq!(desk.command(&asked("k3"), "a", Command::Start).await.expect("starts").generation.0, 2);
    assert_eq!(desk.command(&asked("k4"), "a", Command::Destroy).await.expect("ends").state, State::Destroyed);
    assert_eq!(desk.command(&asked("k5"), "a", Command::Destroy).await.expect("is gone").state, State::Destroyed);
    assert_eq!(desk.command(&asked("k6"), "a", Command::Start).await.expect_err("gone").code, Code::MachineNotFound);
    assert_eq!(desk.list(&owner()).await.expect("open"), []);
    assert!(world.site().everything().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_key_answers_the_same_machine_and_another_wish_is_refused() {
    let desk = open(&World::new()).await;
    let (one, other) = (asked("k"), asked("k"));
    let (first, second) = tokio::join!(desk.create(&one, small("a")), desk.create(&other, small("a")));
    assert_eq!(first.expect("made").id, second.expect("joined").id);
    let other = desk.create(&asked("k"), small("b")).await.expect_err("another wish");
    assert_eq!(other.code, Code::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_does_not_start_a_machine_that_was_stopped_since() {
    let desk = open(&World::new()).await;
    desk.create(&asked("k"), small("a")).await.expect("made");
    desk.command(&asked("k2"), "a", Command::Stop).await.expect("stops");
    assert_eq!(desk.create(&asked("k"), small("a")).await.expect("found").state, State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_want_one_name_one_gets_it() {
    let world = World::new();
    let desk = open(&world).await;
    let (one, other) = (asked("k1"), asked("k2"));
    let (first, second) = tokio::join!(desk.create(&one, small("a")), desk.create(&other, small("a")));
    let refused = [first, second].into_iter().filter_map(Result::err).map(|refusal| refusal.code);
    assert_eq!(refused.collect::<Vec<_>>(), [Code::NameConflict]);
    assert_eq!(world.site().everything().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_fails_leaves_nothing_and_the_name_is_free() {
    let world = World::new();
    let desk = open(&world).await;
    for fault in [Fault::Prepare, Fault::Boot] {
        world.site().break_at(fault);
        assert_eq!(desk.create(&asked("k"), small("a")).await.expect_err("broken").code, Code::InternalError);
        assert!(world.site().everything().is_empty(), "{fault:?}");
        assert_eq!(desk.list(&owner()).await.expect("open"), []);
        world.site().mend();
    }
    assert!(desk.create(&asked("k9"), small("a")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_vmm_that_dies_leaves_a_failed_machine_that_starts_again() {
    let world = World::new();
    let desk = open(&world).await;
    let machine = desk.create(&asked("k"), small("a")).await.expect("made");
    world.site().end_run(&machine.id, Sighting::VmmDied);
    let failed = until(&desk, "a", State::Failed).await;
    assert_eq!(failed.reason.as_deref(), Some("ended by the test"));
    let again = desk.command(&asked("k2"), "a", Command::Start).await.expect("starts again");
    assert_eq!((again.state, again.generation.0, again.reason), (State::Running, 2, None));
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_powers_off_leaves_a_stopped_machine() {
    let world = World::new();
    let desk = open(&world).await;
    let machine = desk.create(&asked("k"), small("a")).await.expect("made");
    world.site().end_run(&machine.id, Sighting::PoweredOff);
    until(&desk, "a", State::Stopped).await;
    let refused = desk.guest(&owner(), "a").await.err().expect("it does not run");
    assert_eq!(refused.code, Code::MachineNotReady);
}

#[tokio::test(start_paused = true)]
async fn destroy_goes_on_after_it_got_stuck() {
    let world = World::new();
    let desk = open(&world).await;
    desk.create(&asked("k"), small("a")).await.expect("made");
    world.site().break_at(Fault::Remove);
    assert!(desk.command(&asked("k2"), "a", Command::Destroy).await.is_err());
    world.site().mend();
    let gone = desk.command(&asked("k3"), "a", Command::Destroy).await.expect("goes on");
    assert_eq!(gone.state, State::Destroyed);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_written_changes_nothing() {
    let world = World::new();
    let desk = open(&world).await;
    desk.create(&asked("k"), small("a")).await.expect("made");
    let before = world.site().everything();
    world.book().set_broken(true);
    for command in [Command::Stop, Command::Destroy] {
        let refused = desk.command(&asked("k2"), "a", command).await.expect_err("nothing is promised");
        assert_eq!(refused.code, Code::DiskFull);
    }
    assert_eq!(desk.create(&asked("k3"), small("b")).await.expect_err("nothing is promised").code, Code::DiskFull);
    assert_eq!(world.site().everything(), before);
    world.book().set_broken(false);
    assert!(desk.create(&asked("k4"), small("b")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_no_machine_is_removed_at_start() {
    let world = World::new();
    world.site().plant(MachineId::from_entropy(&[3; 32]));
    let _desk = open(&world).await;
    assert!(world.site().everything().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_exact_name_beats_an_id_and_an_id_beats_a_unique_prefix() {
    let desk = open(&World::new()).await;
    let web = desk.create(&asked("k1"), small("web")).await.expect("made");
    let webshop = desk.create(&asked("k2"), small("webshop")).await.expect("made");
    for (reference, found) in [("web", &web), ("webs", &webshop), (web.id.as_str(), &web)] {
        assert_eq!(desk.find(&owner(), reference).await.expect(reference).id, found.id);
    }
    assert_eq!(desk.find(&owner(), "we").await.expect_err("two begin so").code, Code::InvalidRequest);
    assert_eq!(desk.find(&owner(), "x").await.expect_err("none begins so").code, Code::MachineNotFound);
    assert_eq!(desk.find(&owner(), "").await.expect_err("nothing asked").code, Code::MachineNotFound);
    assert!(desk.find(&Owner::local_user(7), "web").await.is_err(), "another owner's");
}

#[tokio::test(start_paused = true)]
async fn what_this_version_cannot_do_is_refused_and_writes_nothing() {
    let world = World::new();
    let desk = open(&world).await;
    desk.create(&asked("k"), small("a")).await.expect("made");
    let refused = desk.command(&asked("k2"), "a", Command::Snapshot).await.expect_err("not yet");
    assert_eq!(refused.code, Code::NotImplemented);
    assert_eq!(world.book().open_intents(), 0);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_host_has_is_refused_before_anything_is_made() {
    let world = World::new();
    let desk = open(&world).await;
    let mut large = small("a");
    large.memory = machine_core::MiB(1 << 20);
    assert_eq!(desk.create(&asked("k"), large).await.expect_err("too large").code, Code::CapacityExceeded);
    assert!(world.site().everything().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_create_writes_the_ledger_four_times() {
    let world = World::new();
    let tripwire = Tripwire::never();
    let desk = world.live(&tripwire).await;
    let before = tripwire.calls();
    desk.create(&asked("k"), small("a")).await.expect("made");
    // Create and start: each is opened, done by the provider in one step, and closed.
    assert_eq!(tripwire.calls() - before, 2 * 3);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_with_another_sequel_is_refused_while_it_is_known() {
    let world = World::new();
    let desk = open(&world).await;
    let resting = || NewMachine { then: AfterCreate::Rest, ..small("a") };
    let machine = desk.create(&asked("k"), resting()).await.expect("made");
    assert_eq!(desk.create(&asked("k"), small("a")).await.expect_err("another wish").code, Code::InvalidRequest);
    let cold = NewMachine { first_start: FirstStart::Boot, ..resting() };
    assert_eq!(desk.create(&asked("k"), cold).await.expect_err("another wish").code, Code::InvalidRequest);
    assert_eq!(desk.create(&asked("k"), resting()).await.expect("found").id, machine.id);
    // A later server does not know it any more, and believes the repeat.
    let desk = open(&world).await;
    assert_eq!(desk.create(&asked("k"), small("a")).await.expect("found").state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn figures_are_those_of_machines_that_run() {
    let world = World::new();
    let desk = open(&world).await;
    desk.create(&asked("k1"), small("a")).await.expect("made");
    let gone = desk.create(&asked("k2"), small("b")).await.expect("made");
    desk.command(&asked("k3"), "a", Command::Stop).await.expect("stops");
    let usages = desk.usages(&owner()).await.expect("listed");
    assert_eq!(usages.iter().map(|(machine, _)| machine.called()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(desk.usages(&Owner::local_user(7)).await.expect("listed"), []);
    assert_eq!(desk.vitals(&owner(), "b").await.expect("it runs").0.id, gone.id);
    assert_eq!(desk.usage(&owner(), "b").await.expect("it runs").0.id, gone.id);
    for refused in [desk.usage(&owner(), "a").await.err(), desk.vitals(&owner(), "a").await.err()] {
        assert_eq!(refused.map(|refusal| refusal.code), Some(Code::MachineNotReady));
    }
    assert_eq!(desk.usage(&owner(), "x").await.expect_err("nobody").code, Code::MachineNotFound);
    world.site().end_run(&gone.id, Sighting::VmmDied);
    assert_eq!(desk.usages(&owner()).await.expect("what ended is left out"), []);
}
