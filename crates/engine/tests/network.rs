//! Networks at the desk, against fakes.

use std::time::Duration;

use machine_core::network::{Forward, NetworkMode, NetworkSpec, Transport};
use machine_core::policy::egress::{EgressPolicy, Protocol, Verdict};
use machine_core::promise::network::{Host, Question};
use machine_core::{Code, Command, Machine, Owner, State};
use machine_engine::desk::AfterCreate;
use machine_engine::{Desk, EgressChange, NetworkChange, NewMachine};
use machine_testkit::crash::Tripwire;
use machine_testkit::networks::{CHOSEN, LOG};
use machine_testkit::provider::Fault;
use machine_testkit::world::{World, asked, small};

fn owner() -> Owner {
    Owner::local_user(0)
}

fn forward(text: &str) -> Forward {
    text.parse().expect("a test writes forwards well")
}

fn ports(texts: &[&str]) -> NetworkSpec {
    NetworkSpec { forwards: texts.iter().map(|text| forward(text)).collect(), ..NetworkSpec::default() }
}

fn with(name: &str, network: NetworkSpec) -> NewMachine {
    NewMachine { network, ..small(name) }
}

fn add(texts: &[&str]) -> NetworkChange {
    NetworkChange::AddForwards(texts.iter().map(|text| forward(text)).collect())
}

fn close() -> NetworkChange {
    NetworkChange::Egress(EgressChange { otherwise: Some(Verdict::Deny), ..EgressChange::default() })
}

struct Scene {
    world: World,
    desk: Desk,
}

impl Scene {
    async fn with(new: NewMachine) -> (Self, Machine) {
        let world = World::new();
        let desk = world.live(&Tripwire::never()).await;
        let machine = desk.create(&asked("first"), new).await.expect("made");
        (Self { world, desk }, machine)
    }

    async fn set(&self, change: NetworkChange) -> Result<NetworkSpec, Code> {
        let set = self.desk.set_network(&asked("other"), "a", change).await;
        set.map(|machine| machine.spec.network).map_err(|refusal| refusal.code)
    }

    fn on_record(&self, machine: &Machine) -> NetworkSpec {
        self.world.book().machine(&machine.id).expect("on record").spec.network.clone()
    }

    fn followed(&self, machine: &Machine) -> Option<NetworkSpec> {
        self.world.site().everything()[&machine.id].network.clone()
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let there = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), there).await.expect(what);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_on_record_followed_and_told() {
    let (scene, machine) = Scene::with(small("a")).await;
    let set = scene.set(close()).await.expect("set");
    assert_eq!(set.egress, EgressPolicy { otherwise: Verdict::Deny, ..EgressPolicy::default() });
    let set = scene.set(add(&["80", "53/udp"])).await.expect("added");
    assert_eq!(scene.on_record(&machine), set);
    assert_eq!(scene.followed(&machine), Some(set));
    let listen = "127.0.0.1:80".parse().expect("an address");
    let set = scene.set(NetworkChange::RemoveForwards(vec![(Transport::Tcp, listen)])).await.expect("removed");
    assert_eq!((&set.forwards, set.egress.otherwise), (&vec![forward("53/udp")], Verdict::Deny));
    assert_eq!((scene.on_record(&machine), scene.followed(&machine)), (set.clone(), Some(set)));
    let told = scene.desk.events(0, 100).await.expect("read");
    let told: Vec<&str> = told.iter().map(|event| event.what.as_str()).collect();
    assert_eq!(told[2..], ["egress changed", "ports added", "ports removed"]);
    assert_eq!(scene.desk.find(&owner(), "a").await.expect("runs").state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_change_writes_nothing() {
    let (scene, _) = Scene::with(small("a")).await;
    for _ in 0..2 {
        scene.set(close()).await.expect("set");
        scene.set(add(&["80"])).await.expect("added");
    }
    assert_eq!(scene.desk.events(0, 100).await.expect("read").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_cannot_be_had_changes_nothing() {
    let (scene, machine) = Scene::with(with("a", ports(&["80"]))).await;
    scene.desk.create(&asked("second"), with("b", ports(&["81"]))).await.expect("made");
    scene.world.site().hold(Transport::Tcp, "127.0.0.1:82".parse().expect("an address"));
    for taken in ["81", "82", "80:81"] {
        assert_eq!(scene.set(add(&["90", taken])).await, Err(Code::PortConflict), "{taken}");
        assert_eq!(scene.on_record(&machine), ports(&["80"]));
        assert_eq!(scene.followed(&machine), Some(ports(&["80"])));
    }
    let refused = scene.desk.set_network(&asked("third"), "a", add(&["82"])).await.expect_err("held");
    assert!(refused.message.contains("somebody (pid 12)") && refused.hint.is_some(), "{}", refused.message);
    assert_eq!(refused.machine.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_written_leaves_the_gateway_as_it_was() {
    let (scene, machine) = Scene::with(small("a")).await;
    scene.world.book().set_broken(true);
    for change in [close(), add(&["80"])] {
        assert_eq!(scene.set(change).await, Err(Code::DiskFull));
    }
    assert_eq!(scene.followed(&machine), Some(NetworkSpec::default()));
    assert_eq!(scene.desk.find(&owner(), "a").await.expect("runs").spec.network, NetworkSpec::default());
}

#[tokio::test(start_paused = true)]
async fn rules_that_a_gateway_does_not_follow_are_kept_and_ports_are_not() {
    let (scene, machine) = Scene::with(small("a")).await;
    scene.world.site().break_at(Fault::Apply);
    assert_eq!(scene.set(add(&["80"])).await, Err(Code::NetworkError));
    assert_eq!((scene.on_record(&machine), scene.followed(&machine)), (NetworkSpec::default(), None));
    let refused = scene.desk.set_network(&asked("k"), "a", close()).await.expect_err("broken");
    assert!(refused.message.contains("kept"), "{}", refused.message);
    assert_eq!(scene.followed(&machine), None, "it is closed");
    scene.world.site().mend();
    let set = scene.set(close()).await.expect("the second try of the same");
    assert_eq!((scene.on_record(&machine), scene.followed(&machine)), (set.clone(), Some(set)));
}

#[tokio::test(start_paused = true)]
async fn a_server_tells_the_gateways_it_finds_what_is_on_record() {
    let (scene, machine) = Scene::with(small("a")).await;
    scene.world.site().break_at(Fault::Apply);
    assert_eq!(scene.set(close()).await, Err(Code::NetworkError));
    // One that cannot tell it serves all the same.
    let deaf = scene.world.live(&Tripwire::never()).await;
    assert_eq!(deaf.find(&owner(), "a").await.expect("known").state, State::Running);
    scene.world.site().mend();
    let _next = scene.world.live(&Tripwire::never()).await;
    until("the gateway follows", || scene.followed(&machine) == Some(scene.on_record(&machine))).await;
    assert_eq!(scene.on_record(&machine).egress.otherwise, Verdict::Deny);
}

#[tokio::test(start_paused = true)]
async fn ports_that_the_host_chooses_are_on_record_from_the_first_start() {
    let chosen = ports(&[&format!("{CHOSEN}:80")]);
    let (scene, machine) = Scene::with(with("a", ports(&["0:80"]))).await;
    assert_eq!((&machine.spec.network, scene.on_record(&machine)), (&chosen, chosen.clone()));
    scene.desk.command(&asked("k"), "a", Command::Stop).await.expect("stops");
    let again = scene.desk.command(&asked("k"), "a", Command::Start).await.expect("starts");
    assert_eq!(again.spec.network, chosen, "chosen once");
    assert_eq!(scene.followed(&machine), Some(chosen));
}

#[tokio::test(start_paused = true)]
async fn a_resting_machine_is_given_ports_that_are_free_now() {
    let new = NewMachine { then: AfterCreate::Rest, ..with("a", ports(&["80"])) };
    let (scene, machine) = Scene::with(new).await;
    let hold = |text: &str| scene.world.site().hold(Transport::Tcp, text.parse().expect("an address"));
    hold("127.0.0.1:80");
    hold("127.0.0.1:81");
    assert_eq!(scene.set(add(&["81"])).await, Err(Code::PortConflict));
    let set = scene.set(add(&["0:82"])).await.expect("80 does not matter until it starts");
    assert_eq!((&set, scene.on_record(&machine)), (&ports(&["80", &format!("{CHOSEN}:82")]), set.clone()));
    let refused = scene.desk.command(&asked("k"), "a", Command::Start).await.expect_err("80 is held");
    assert_eq!((refused.code, refused.machine.as_deref()), (Code::PortConflict, Some("a")));
    assert_eq!(scene.desk.find(&owner(), "a").await.expect("there").state, State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_port_is_busy_leaves_nothing_and_the_key_is_free() {
    let (scene, _) = Scene::with(with("a", ports(&["80"]))).await;
    let refused = scene.desk.create(&asked("second"), with("b", ports(&["80"]))).await.expect_err("taken");
    assert_eq!(refused.code, Code::PortConflict);
    assert_eq!(scene.world.site().everything().len(), 1);
    assert!(scene.desk.create(&asked("second"), with("b", ports(&["81"]))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_network_that_no_machine_has_is_refused_before_anything_is_made() {
    let world = World::new();
    let desk = world.live(&Tripwire::never()).await;
    let refused = desk.create(&asked("k"), with("a", ports(&["80:1", "80:2"]))).await.expect_err("twice");
    assert_eq!(refused.code, Code::InvalidRequest);
    assert!(world.site().everything().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_key_means_what_was_asked_for_at_first() {
    let new = || with("a", ports(&["0:80"]));
    let (scene, machine) = Scene::with(new()).await;
    scene.set(close()).await.expect("set");
    assert_eq!(scene.desk.create(&asked("first"), new()).await.expect("found").id, machine.id);
    let other = scene.desk.create(&asked("first"), small("a")).await.expect_err("another wish");
    assert_eq!(other.code, Code::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_network_refuses_all_of_it() {
    let none = NetworkSpec { mode: NetworkMode::None, ..NetworkSpec::default() };
    let (scene, machine) = Scene::with(with("a", none.clone())).await;
    assert_eq!(scene.set(close()).await, Err(Code::InvalidRequest));
    let question = Question { host: Host::Address([1, 1, 1, 1].into()), port: 443, protocol: Protocol::Tcp };
    let explained = scene.desk.explain(&owner(), "a", &question).await.map(drop);
    let log = scene.desk.network_log(&owner(), "a", 9).await.map(drop);
    for refused in [explained.expect_err("none"), log.expect_err("none")] {
        assert_eq!((refused.reason.as_deref(), refused.machine.as_deref()), (Some("no_network"), Some("a")));
    }
    assert_eq!(scene.on_record(&machine), none);
    assert_eq!(scene.world.site().relays(&machine.id), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_by_the_rules_on_record() {
    let (scene, _) = Scene::with(small("a")).await;
    let question = Question { host: Host::Address([10, 0, 0, 1].into()), port: 443, protocol: Protocol::Tcp };
    let (machine, explained) = scene.desk.explain(&owner(), "a", &question).await.expect("explained");
    assert_eq!((machine.called(), explained.addresses[0].1.verdict), ("a", Verdict::Deny));
    assert_eq!(scene.desk.network_log(&owner(), "a", 1000).await.expect("read"), LOG);
    assert_eq!(scene.desk.explain(&owner(), "x", &question).await.expect_err("none").code, Code::MachineNotFound);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_while_a_command_is_under_way_or_after_the_end() {
    let (scene, machine) = Scene::with(small("a")).await;
    scene.world.site().break_at(Fault::Remove);
    assert!(scene.desk.command(&asked("k"), "a", Command::Destroy).await.is_err());
    assert_eq!(scene.set(close()).await, Err(Code::TransitionInProgress));
    scene.world.site().mend();
    scene.desk.command(&asked("k"), "a", Command::Destroy).await.expect("goes on");
    let gone = scene.desk.set_network(&asked("k"), machine.id.as_str(), close()).await.expect_err("gone");
    assert_eq!(gone.code, Code::MachineNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_guests_own_ports_are_reached_while_its_machine_runs() {
    let (scene, machine) = Scene::with(small("a")).await;
    let relays = |count| move |world: &World, id: &_| world.site().relays(id) == count;
    let (one, none) = (relays(1), relays(0));
    until("one relay", || one(&scene.world, &machine.id)).await;
    scene.set(add(&["80"])).await.expect("added");
    assert!(one(&scene.world, &machine.id), "a change is no new guest");
    scene.desk.command(&asked("k"), "a", Command::Stop).await.expect("stops");
    until("none", || none(&scene.world, &machine.id)).await;
    scene.desk.command(&asked("k"), "a", Command::Start).await.expect("starts");
    until("one relay", || one(&scene.world, &machine.id)).await;
    scene.desk.command(&asked("k"), "a", Command::Destroy).await.expect("ends");
    until("none", || none(&scene.world, &machine.id)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_carries_for_the_machines_it_finds() {
    let (scene, machine) = Scene::with(small("a")).await;
    until("one relay", || scene.world.site().relays(&machine.id) == 1).await;
    let _next = scene.world.live(&Tripwire::never()).await;
    until("the next server's", || scene.world.site().relays(&machine.id) == 2).await;
}
