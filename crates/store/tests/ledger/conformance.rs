//! The promises of every ledger. Depends on `machine_core` and `jiff` alone, so that the suite also
//! runs against fakes: include this file, then `conformance(async || MyLedger::new()).await`.

use jiff::{SignedDuration, Timestamp};
use machine_core::id::ID_ENTROPY;
use machine_core::intent::{Direction, Event, Intent, Outcome};
use machine_core::machine::Generation;
use machine_core::network::{NetworkMode, NetworkSpec};
use machine_core::policy::egress::{EgressPolicy, Verdict};
use machine_core::promise::ledger::{Ledger, LedgerError};
use machine_core::stage::{Stage, StageTime};
use machine_core::{Code, Command, IntentId, Machine, MachineId, MachineSpec, MiB, Owner, Refusal, State};

/// Checks every promise, each against a ledger of its own.
pub(crate) async fn conformance<L: Ledger>(make: impl AsyncFn() -> L) {
    an_opened_intent_is_unfinished_until_it_is_closed(&make().await).await;
    a_machine_reads_back_as_it_was_written(&make().await).await;
    opening_the_same_intent_again_changes_nothing(&make().await).await;
    another_open_supersedes(&make().await).await;
    a_late_close_of_a_superseded_intent_changes_nothing(&make().await).await;
    turning_back_is_remembered_with_its_first_reason(&make().await).await;
    closing_again_changes_nothing(&make().await).await;
    a_create_that_turned_back_leaves_its_event_alone(&make().await).await;
    notes_may_be_repeated(&make().await).await;
    an_intent_nobody_opened_is_refused(&make().await).await;
    a_name_is_taken_until_its_machine_is_destroyed(&make().await).await;
    a_refused_open_leaves_no_trace(&make().await).await;
    owners_do_not_share_names(&make().await).await;
    what_was_seen_is_written_with_its_event(&make().await).await;
    events_are_paged(&make().await).await;
    unfinished_comes_oldest_first(&make().await).await;
    a_thousand_machines_are_listed(&make().await).await;
}

/// A mount with something in every field.
fn some_mount() -> machine_core::mount::MountSpec {
    machine_core::mount::MountSpec {
        source: "/srv/blog".into(),
        target: "/workspace".to_owned(),
        access: machine_core::mount::Access::ReadOnly,
        exclude: vec!["node_modules".to_owned()],
        guard: vec![".git/hooks".to_owned()],
    }
}

/// A network with something in every field.
fn some_network() -> NetworkSpec {
    let entries = |texts: [&str; 2]| texts.map(|text| text.parse().expect("an entry")).to_vec();
    NetworkSpec {
        mode: NetworkMode::User,
        egress: EgressPolicy {
            otherwise: Verdict::Deny,
            allow: entries(["*.example.com:443/tcp", "[2001:db8::1]:53/udp"]),
            deny: entries(["192.0.2.0/24", "bad.example.com"]),
        },
        forwards: vec!["8080:80".parse().expect("a forward"), "[::1]:0:53/udp".parse().expect("a forward")],
        host_ca: true,
        proxy: true,
        finds_ports: true,
    }
}

/// A machine at rest, `number` telling it from others.
pub(crate) fn machine(number: u16, name: Option<&str>, state: State) -> Machine {
    Machine {
        id: MachineId::from_entropy(&entropy(number)),
        owner: Owner::local_user(1000),
        spec: MachineSpec {
            name: name.map(|name| name.parse().expect("a name")),
            template: "base:1.2".parse().expect("a template"),
            template_digest: some_digest(),
            cpus: 2,
            memory: MiB(512),
            disk: MiB(8192),
            envs: [("GREETING".to_owned(), "grüß 'dich'\n\"\0".to_owned())].into(),
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            metadata: r#"{"a":[1,2]}"#.to_owned(),
            cwd: Some("/srv".to_owned()),
            first_start: machine_core::spec::FirstStart::Image,
            network: some_network(),
            root: machine_core::spec::RootLife::Ephemeral,
            mounts: vec![some_mount()],
            deadlines: machine_core::spec::Deadlines { boot: Some(std::time::Duration::from_secs(5)), stop: None },
        },
        state,
        open: None,
        reason: None,
        generation: Generation(0),
        create_key: Some(format!("key-{number}")),
        created_at: moment(number),
        started_at: None,
        stages: Vec::new(),
        found_ports: Vec::new(),
        warnings: Vec::new(),
    }
}

/// An intent about a machine, and the machine with that command open.
pub(crate) fn promise(number: u16, machine: &Machine, command: Command, to: State) -> (Intent, Machine) {
    let intent = Intent {
        id: IntentId::from_entropy(&entropy(number)),
        machine: machine.id.clone(),
        command,
        from: machine.state,
        to,
        direction: Direction::Forward,
        request: Some(format!("request-{number}")),
        opened_at: moment(number),
    };
    (intent, Machine { open: Some(command), ..machine.clone() })
}

/// Opens a create and lands it.
pub(crate) async fn create(ledger: &dyn Ledger, number: u16, machine: &Machine) -> Machine {
    let absent = Machine { state: State::Absent, ..machine.clone() };
    let (intent, open) = promise(number, &absent, Command::Create, State::Stopped);
    ledger.open(&intent, &open).await.expect("opens");
    let made = at(&open, State::Stopped);
    ledger.close(&intent.id, &Outcome::Landed, &made).await.expect("closes");
    made
}

fn at(machine: &Machine, state: State) -> Machine {
    Machine { state, open: None, ..machine.clone() }
}

fn entropy(number: u16) -> [u8; ID_ENTROPY] {
    let mut entropy = [7; ID_ENTROPY];
    // Digits below 36: only there do bytes and letters of an id go one to one.
    for (place, byte) in entropy.iter_mut().take(4).enumerate() {
        *byte = u8::try_from(usize::from(number) / 36_usize.pow(place as u32) % 36).expect("below 36");
    }
    entropy
}

fn moment(number: u16) -> Timestamp {
    // Nanoseconds must come back, too.
    Timestamp::UNIX_EPOCH + SignedDuration::new(1_700_000_000 + i64::from(number), 123_456_789)
}

fn some_digest() -> machine_core::Digest {
    format!("sha256:{}", "ab".repeat(32)).parse().expect("a digest")
}

fn why(message: &str) -> Refusal {
    Refusal::new(Code::BootFailed, message).hint("look at `machine logs`").reason("kernel").about("web")
}

async fn machines(ledger: &dyn Ledger) -> Vec<Machine> {
    ledger.machines().await.expect("reads")
}

async fn unfinished(ledger: &dyn Ledger) -> Vec<Intent> {
    ledger.unfinished().await.expect("reads")
}

async fn events(ledger: &dyn Ledger) -> Vec<Event> {
    ledger.events(0, 1000).await.expect("reads")
}

async fn an_opened_intent_is_unfinished_until_it_is_closed(ledger: &dyn Ledger) {
    assert!(machines(ledger).await.is_empty() && unfinished(ledger).await.is_empty());
    let (intent, open) = promise(1, &machine(1, Some("web"), State::Absent), Command::Create, State::Stopped);
    ledger.open(&intent, &open).await.expect("opens");
    assert_eq!(unfinished(ledger).await, std::slice::from_ref(&intent));
    assert_eq!(machines(ledger).await, std::slice::from_ref(&open));
    assert!(events(ledger).await.is_empty(), "nothing happened yet");

    let made = at(&open, State::Stopped);
    ledger.close(&intent.id, &Outcome::Landed, &made).await.expect("closes");
    assert!(unfinished(ledger).await.is_empty());
    assert_eq!(machines(ledger).await, std::slice::from_ref(&made));
    let events = events(ledger).await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0].machine, events[0].what.as_str(), events[0].state),
        (&made.id, "create landed", State::Stopped)
    );
    assert_eq!(events[0].reason, None);
}

async fn a_machine_reads_back_as_it_was_written(ledger: &dyn Ledger) {
    for (number, state) in (0..).zip(State::ALL) {
        let mut written = machine(number, None, state);
        written.open = Command::ALL.get(usize::from(number)).copied();
        written.reason = Some("its kernel panicked: 'not syncing'".to_owned());
        written.generation = Generation(u64::from(number) + 5);
        written.started_at = Some(moment(number + 100));
        written.stages = vec![StageTime { stage: Stage::Boot, micros: 812_345 }];
        ledger.witness(&written, "seen").await.expect("writes");
        assert!(machines(ledger).await.contains(&written), "{state:?}");
    }
}

async fn opening_the_same_intent_again_changes_nothing(ledger: &dyn Ledger) {
    let (intent, open) = promise(1, &machine(1, Some("web"), State::Absent), Command::Create, State::Stopped);
    ledger.open(&intent, &open).await.expect("opens");
    ledger.open(&intent, &open).await.expect("opens again");
    assert_eq!((unfinished(ledger).await.len(), machines(ledger).await.len()), (1, 1));

    let made = at(&open, State::Stopped);
    ledger.close(&intent.id, &Outcome::Landed, &made).await.expect("closes");
    ledger.open(&intent, &open).await.expect("opens after its end");
    assert!(unfinished(ledger).await.is_empty());
    assert_eq!(machines(ledger).await, [made]);
}

async fn another_open_supersedes(ledger: &dyn Ledger) {
    let stopped = create(ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let (start, starting) = promise(2, &stopped, Command::Start, State::Running);
    ledger.open(&start, &starting).await.expect("opens");
    let (destroy, destroying) = promise(3, &stopped, Command::Destroy, State::Destroyed);
    ledger.open(&destroy, &destroying).await.expect("supersedes");
    assert_eq!(unfinished(ledger).await, [destroy]);
    assert_eq!(machines(ledger).await, [destroying]);
}

async fn a_late_close_of_a_superseded_intent_changes_nothing(ledger: &dyn Ledger) {
    let stopped = create(ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let (start, starting) = promise(2, &stopped, Command::Start, State::Running);
    ledger.open(&start, &starting).await.expect("opens");
    let (destroy, destroying) = promise(3, &stopped, Command::Destroy, State::Destroyed);
    ledger.open(&destroy, &destroying).await.expect("supersedes");
    let before = events(ledger).await;

    ledger.note(&start.id, "boot").await.expect("is too late");
    ledger.turn_back(&start.id, &why("late")).await.expect("is too late");
    ledger.close(&start.id, &Outcome::Landed, &at(&starting, State::Running)).await.expect("is too late");
    assert_eq!(unfinished(ledger).await, [destroy]);
    assert_eq!(machines(ledger).await, [destroying]);
    assert_eq!(events(ledger).await, before);
}

async fn turning_back_is_remembered_with_its_first_reason(ledger: &dyn Ledger) {
    let stopped = create(ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let (start, starting) = promise(2, &stopped, Command::Start, State::Running);
    ledger.open(&start, &starting).await.expect("opens");
    ledger.turn_back(&start.id, &why("the kernel panicked")).await.expect("turns back");
    ledger.turn_back(&start.id, &why("and then some")).await.expect("turns back again");
    let back = Intent { direction: Direction::Back(why("the kernel panicked")), ..start.clone() };
    assert_eq!(unfinished(ledger).await, [back]);

    let outcome = Outcome::TurnedBack(why("the kernel panicked"));
    ledger.close(&start.id, &outcome, &stopped).await.expect("closes");
    assert!(unfinished(ledger).await.is_empty());
    let last = events(ledger).await.pop().expect("an event");
    assert_eq!((last.what.as_str(), last.state), ("start turned_back", State::Stopped));
    assert_eq!(last.reason.as_deref(), Some("the kernel panicked"));
}

async fn closing_again_changes_nothing(ledger: &dyn Ledger) {
    let stopped = create(ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let (start, starting) = promise(2, &stopped, Command::Start, State::Running);
    ledger.open(&start, &starting).await.expect("opens");
    let running = at(&starting, State::Running);
    ledger.close(&start.id, &Outcome::Landed, &running).await.expect("closes");
    let before = events(ledger).await;
    ledger.close(&start.id, &Outcome::TurnedBack(why("no")), &stopped).await.expect("closes again");
    assert_eq!(machines(ledger).await, [running]);
    assert_eq!(events(ledger).await, before);
}

async fn a_create_that_turned_back_leaves_its_event_alone(ledger: &dyn Ledger) {
    let absent = machine(1, Some("web"), State::Absent);
    let (intent, open) = promise(1, &absent, Command::Create, State::Stopped);
    ledger.open(&intent, &open).await.expect("opens");
    ledger.turn_back(&intent.id, &why("no space")).await.expect("turns back");
    ledger.close(&intent.id, &Outcome::TurnedBack(why("no space")), &absent).await.expect("closes");
    ledger.close(&intent.id, &Outcome::TurnedBack(why("no space")), &absent).await.expect("closes again");
    assert!(machines(ledger).await.is_empty() && unfinished(ledger).await.is_empty());
    let events = events(ledger).await;
    assert_eq!(events.iter().map(|event| event.what.as_str()).collect::<Vec<_>>(), ["create turned_back"]);
    // The name is free again.
    create(ledger, 2, &machine(2, Some("web"), State::Stopped)).await;
}

async fn notes_may_be_repeated(ledger: &dyn Ledger) {
    let (intent, open) = promise(1, &machine(1, None, State::Absent), Command::Create, State::Stopped);
    ledger.open(&intent, &open).await.expect("opens");
    for step in ["folder", "disk", "folder"] {
        ledger.note(&intent.id, step).await.expect("notes");
    }
    assert_eq!(unfinished(ledger).await, [intent], "a note is only a hint");
}

async fn an_intent_nobody_opened_is_refused(ledger: &dyn Ledger) {
    let stopped = machine(1, None, State::Stopped);
    let nobodys = IntentId::from_entropy(&entropy(9));
    for result in [
        ledger.note(&nobodys, "disk").await,
        ledger.turn_back(&nobodys, &why("no")).await,
        ledger.close(&nobodys, &Outcome::Landed, &stopped).await,
    ] {
        assert!(matches!(result, Err(LedgerError::Broken { .. })), "{result:?}");
    }
    assert!(machines(ledger).await.is_empty() && events(ledger).await.is_empty());
}

async fn a_name_is_taken_until_its_machine_is_destroyed(ledger: &dyn Ledger) {
    let first = create(ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let (again, second) = promise(2, &machine(2, Some("web"), State::Absent), Command::Create, State::Stopped);
    assert_eq!(ledger.open(&again, &second).await, Err(LedgerError::NameTaken("web".to_owned())));

    let (destroy, destroying) = promise(3, &first, Command::Destroy, State::Destroyed);
    ledger.open(&destroy, &destroying).await.expect("opens");
    assert!(ledger.open(&again, &second).await.is_err(), "it is being destroyed, not destroyed");
    let gone = at(&destroying, State::Destroyed);
    ledger.close(&destroy.id, &Outcome::Landed, &gone).await.expect("closes");

    ledger.open(&again, &second).await.expect("the name is free");
    assert_eq!(machines(ledger).await, [gone, second], "the destroyed one is remembered for a day");
}

async fn a_refused_open_leaves_no_trace(ledger: &dyn Ledger) {
    create(ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let before = (machines(ledger).await, events(ledger).await);
    let (refused, second) = promise(2, &machine(2, Some("web"), State::Absent), Command::Create, State::Stopped);
    ledger.open(&refused, &second).await.expect_err("taken");
    assert!(unfinished(ledger).await.is_empty());
    assert_eq!((machines(ledger).await, events(ledger).await), before);
}

async fn owners_do_not_share_names(ledger: &dyn Ledger) {
    let mine = machine(1, Some("web"), State::Stopped);
    let yours = Machine { owner: Owner::local_user(1001), ..machine(2, Some("web"), State::Stopped) };
    create(ledger, 1, &mine).await;
    create(ledger, 2, &yours).await;
    for number in 3..6 {
        create(ledger, number, &machine(number, None, State::Stopped)).await;
    }
    assert_eq!(machines(ledger).await.len(), 5, "machines without a name do not clash either");
}

async fn what_was_seen_is_written_with_its_event(ledger: &dyn Ledger) {
    let made = create(ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let failed = Machine { reason: Some("its VMM died".to_owned()), ..at(&made, State::Failed) };
    ledger.witness(&failed, "failed").await.expect("writes");
    assert_eq!(machines(ledger).await, std::slice::from_ref(&failed));
    let last = events(ledger).await.pop().expect("an event");
    assert_eq!((last.what.as_str(), last.state, last.machine), ("failed", State::Failed, failed.id));
    assert_eq!(last.reason.as_deref(), Some("its VMM died"));
}

async fn events_are_paged(ledger: &dyn Ledger) {
    let made = machine(1, None, State::Stopped);
    for number in 0..10 {
        ledger.witness(&made, &format!("seen {number}")).await.expect("writes");
    }
    let all = events(ledger).await;
    assert!(all.is_sorted_by(|a, b| a.number < b.number && a.at <= b.at), "{all:?}");
    assert_eq!(
        all.iter().map(|event| event.what.clone()).collect::<Vec<_>>(),
        (0..10).map(|n| format!("seen {n}")).collect::<Vec<_>>()
    );
    assert_eq!(ledger.events(0, 3).await.expect("reads"), all[..3]);
    assert_eq!(ledger.events(all[2].number, 3).await.expect("reads"), all[3..6]);
    assert_eq!(ledger.events(all[9].number, 3).await.expect("reads"), []);
    assert_eq!(ledger.events(0, 0).await.expect("reads"), []);
}

async fn unfinished_comes_oldest_first(ledger: &dyn Ledger) {
    let promises = [5, 3, 4].map(|n| promise(n, &machine(n, None, State::Absent), Command::Create, State::Stopped));
    for (intent, open) in &promises {
        ledger.open(intent, open).await.expect("opens");
    }
    let ids: Vec<IntentId> = unfinished(ledger).await.into_iter().map(|intent| intent.id).collect();
    assert_eq!(ids, promises.map(|(intent, _)| intent.id), "in the order of their opening, whatever the clock did");
}

async fn a_thousand_machines_are_listed(ledger: &dyn Ledger) {
    for number in 0..1000 {
        let stopped = machine(number, Some(&format!("web-{number}")), State::Stopped);
        ledger.witness(&stopped, "seen").await.expect("writes");
    }
    assert_eq!(machines(ledger).await.len(), 1000);
    assert_eq!(events(ledger).await.len(), 1000);
}
