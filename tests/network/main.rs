//! The network that the host controls, proven with real machines on a stage of its own: network, process and
//! mount namespaces with no way out. Needs root; see `stage` for what is on it, `harness` for how it is run.
//!
//! ```text
//! cargo test ──▶ this program ──unshare──▶ itself as process 1 (reaps) ──▶ itself on the stage (tells stories)
//!                 sweeps the folders          ends when the first does
//! ```

mod by_name;
mod faults;
mod forwards;
mod guest;
mod harness;
#[path = "../scenario/home.rs"]
#[allow(dead_code, reason = "another suite's home: this one needs a part of it")]
mod home;
mod hostile;
mod isolation;
mod loads;
mod passed_on;
mod reach;
mod resolver;
mod stage;
mod told;
mod without;
mod world;
mod world_is_there;

use std::process::ExitCode;

use harness::Story;
use stage::alone::{self, Role};

fn main() -> ExitCode {
    let (role, words) = alone::role(std::env::args().skip(1).collect());
    match role {
        Role::Outside => alone::go_inside(&words),
        Role::First => alone::reap(&words),
        Role::OnStage { suite } => harness::run(&suite, &words),
    }
}

/// All of them, in the order in which they are told.
fn stories() -> impl Iterator<Item = Story> {
    let all = [
        world_is_there::STORIES,
        reach::STORIES,
        by_name::STORIES,
        resolver::STORIES,
        forwards::STORIES,
        faults::STORIES,
        isolation::STORIES,
        loads::STORIES,
        without::STORIES,
        passed_on::STORIES,
        told::STORIES,
        hostile::STORIES,
    ];
    all.into_iter().flatten().copied()
}
