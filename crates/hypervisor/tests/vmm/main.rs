//! Promises about real processes. This binary is its own supervisor and KVM probe: it has the two hidden
//! verbs, as `machine` has, and else runs the promises whose names contain one of its arguments.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is the message")]

mod adopt;
mod companion;
mod companion_stand_in;
mod hibernate;
mod image;
mod kvm;
mod qemu;
mod stage;
mod stand_in;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use machine_hypervisor::accelerator::{PROBE_VERB, probe_in_this_process};
use machine_hypervisor::supervise::{SUPERVISE_VERB, supervise};

type Promise = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// Names the promises of a module.
#[macro_export]
macro_rules! promises {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const PROMISES: &[$crate::Promise] =
            &[$((concat!(module_path!(), "::", stringify!($name)), || Box::pin($name()))),+];
    };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [SUPERVISE_VERB, plan] => match supervise(Path::new(plan)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        [PROBE_VERB] => {
            println!("{}", serde_json::to_string(&probe_in_this_process()).unwrap());
            ExitCode::SUCCESS
        }
        [companion_stand_in::COMPANION, what] => companion_stand_in::be(what),
        [companion_stand_in::VMM, packets] => companion_stand_in::be_vmm(packets.parse().unwrap()),
        wanted => run(wanted),
    }
}

fn run(wanted: &[&str]) -> ExitCode {
    let wanted: Vec<&&str> = wanted.iter().filter(|word| !word.starts_with('-')).collect();
    let processes = [stand_in::PROMISES, companion::PROMISES, adopt::PROMISES, kvm::PROMISES];
    let chosen = [processes.concat(), [qemu::PROMISES, image::PROMISES, hibernate::PROMISES].concat()].concat();
    let (mut kept_ones, mut failed) = (0, 0);
    for (name, promise) in chosen {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(**word)) {
            continue;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let started = std::time::Instant::now();
        let kept = runtime.block_on(runtime.spawn(promise())).is_ok();
        println!("{name} ... {} ({} ms)", if kept { "ok" } else { "FAILED" }, started.elapsed().as_millis());
        failed += u32::from(!kept);
        kept_ones += u32::from(kept);
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    // As cargo's own harness closes, so that whoever sums up sees us.
    println!("\ntest result: {word}. {kept_ones} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
