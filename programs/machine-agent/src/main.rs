//! The guest's agent: its init when it is process 1, else a server on a unix socket.
//!
//! ```text
//! process 1:   boot ──▶ ready ──▶ serve ──▶ power off
//! elsewhere:   --connect unix:PATH | --listen unix:PATH ──▶ serve
//! ```
//! It never asks glibc for users or addresses: as a static binary that would load the guest's
//! own libraries into it. See `users`.

mod accounts;
mod authorities;
mod boot;
mod connect;
mod console;
mod content;
mod desk;
mod door;
mod exec;
mod failure;
mod files;
mod grow;
mod house;
mod identity;
mod life;
mod line;
mod listeners;
mod measure;
mod netlink;
mod network;
mod plate;
mod power;
mod processes;
mod read_only_root;
mod reaper;
mod rights;
mod scratch;
mod script;
mod secrets;
mod services;
mod settle;
mod share;
mod sys;
mod users;
mod wake;

use door::Door;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return boot::as_init();
    }
    match door_from_arguments(std::env::args().skip(1)) {
        Some(door) => serve(door),
        None => {
            eprintln!("usage: machine-agent (--connect | --listen) unix:PATH");
            ExitCode::from(2)
        }
    }
}

fn door_from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Door> {
    let (how, place) = (arguments.next()?, arguments.next()?);
    let path = PathBuf::from(place.strip_prefix("unix:")?);
    match (how.as_str(), arguments.next()) {
        ("--connect", None) => Some(Door::Connect(path)),
        ("--listen", None) => Some(Door::Listen(path)),
        _ => None,
    }
}

fn serve(door: Door) -> ExitCode {
    match house::runtime() {
        Ok(runtime) => match runtime.block_on(house::live(door, power::Init::Other)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                console::say(format_args!("{error}"));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            console::say(format_args!("cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}
