//! The lifecycle's promises, for every state and every command.

use super::*;
use crate::command::Command::{Create, Destroy, Hibernate, Pause, Restore, Resume, Snapshot, Start, Stop};

fn at(state: State) -> Standing {
    Standing { state, open: None }
}

fn check(state: State, command: Command, decision: Decision) {
    assert_eq!(decide(at(state), command), decision, "{command:?} of a machine that is {state:?}");
}

#[test]
fn destroy_is_never_refused() {
    for state in State::ALL {
        for open in [None].into_iter().chain(Command::ALL.into_iter().map(Some)) {
            let decision = decide(Standing { state, open }, Destroy);
            assert!(!matches!(decision, Decision::Refuse(_)), "{state:?} with {open:?}");
        }
    }
}

#[test]
fn a_command_joins_itself() {
    for state in State::ALL {
        for command in Command::ALL {
            assert_eq!(decide(Standing { state, open: Some(command) }, command), Decision::Join);
        }
    }
}

#[test]
fn while_one_command_is_open_every_other_is_busy() {
    for state in [State::Stopped, State::Running, State::Failed] {
        let standing = Standing { state, open: Some(Start) };
        assert_eq!(decide(standing, Stop), Decision::Refuse(Why::Busy(Start)));
        assert_eq!(decide(standing, Pause), Decision::Refuse(Why::Busy(Start)));
    }
}

#[test]
fn the_table_of_the_design_holds() {
    use Decision::{Already, Open, Refuse};
    use State::{Absent, Destroyed, Failed, Hibernated, Paused, Running, Stopped};
    let columns = [Create, Start, Pause, Resume, Hibernate, Snapshot, Restore, Stop, Destroy];
    let no = |why| Refuse(why);
    let exists = no(Why::AlreadyExists);
    let repair = no(Why::NeedsRepair);
    let gone = no(Why::Gone);
    let lost = no(Why::NotFound);
    let off = no(Why::NotRunning);
    let table = [
        (Absent, [Open(Stopped), lost, lost, lost, lost, lost, lost, lost, Already]),
        (
            Stopped,
            [exists, Open(Running), off, Open(Running), off, Open(Stopped), Open(Running), Already, Open(Destroyed)],
        ),
        (
            Running,
            [
                exists,
                Already,
                Open(Paused),
                Already,
                Open(Hibernated),
                Open(Running),
                Open(Running),
                Open(Stopped),
                Open(Destroyed),
            ],
        ),
        (
            Paused,
            [
                exists,
                Open(Running),
                Already,
                Open(Running),
                Open(Hibernated),
                Open(Paused),
                Open(Running),
                Open(Stopped),
                Open(Destroyed),
            ],
        ),
        (
            Hibernated,
            [
                exists,
                Open(Running),
                no(Why::IsHibernated),
                Open(Running),
                Already,
                Open(Hibernated),
                Open(Running),
                Open(Stopped),
                Open(Destroyed),
            ],
        ),
        (
            Failed,
            [
                exists,
                Open(Running),
                repair,
                Open(Running),
                repair,
                repair,
                Open(Running),
                Open(Stopped),
                Open(Destroyed),
            ],
        ),
        (Destroyed, [gone, gone, gone, gone, gone, gone, gone, gone, Already]),
    ];
    for (state, row) in table {
        for (command, decision) in columns.into_iter().zip(row) {
            check(state, command, decision);
        }
    }
}

#[test]
fn a_vmm_that_dies_leaves_the_machine_failed_and_a_guest_that_powers_off_leaves_it_stopped() {
    assert_eq!(witness(at(State::Running), Sighting::VmmDied), Some(State::Failed));
    assert_eq!(witness(at(State::Running), Sighting::PoweredOff), Some(State::Stopped));
    assert_eq!(witness(at(State::Paused), Sighting::HostRebooted), Some(State::Stopped));
}

#[test]
fn nothing_seen_moves_a_machine_that_holds_no_memory_or_has_an_open_command() {
    for sighting in [Sighting::PoweredOff, Sighting::VmmDied, Sighting::HostRebooted] {
        for state in State::ALL.into_iter().filter(|state| !state.holds_memory()) {
            assert_eq!(witness(at(state), sighting), None);
        }
        assert_eq!(witness(Standing { state: State::Running, open: Some(Stop) }, sighting), None);
    }
}

#[test]
fn allowed_commands_name_only_what_would_change_something() {
    let possible = [Create, Start, Stop, Destroy];
    assert_eq!(allowed_commands(at(State::Running), &possible), [Stop, Destroy]);
    assert_eq!(allowed_commands(at(State::Stopped), &possible), [Start, Destroy]);
    assert_eq!(allowed_commands(Standing { state: State::Stopped, open: Some(Start) }, &possible), [Destroy]);
}
