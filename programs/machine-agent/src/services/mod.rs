//! Keeps the image's own services running.
//!
//! ```text
//! each executable in /etc/machine/services:
//! Running ──ends badly──▶ Waiting (250 ms, doubling to 30 s) ──▶ Running
//!    └──ends well──▶ Done
//! ```
//! Output goes to /var/log/machine/NAME.log (see `log`). At power off services get SIGTERM like
//! everybody.

mod log;

use crate::console::say;
use crate::exec::stdio;
use crate::house::House;
use crate::script;
use machine_agent_protocol::Ending;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

const FOLDER: &str = "/etc/machine/services";
const LOGS: &str = "/var/log/machine";
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// One that ran so long did start well; its next failure is a new one.
const STEADY: Duration = Duration::from_secs(60);

/// Starts every service and sees to it.
pub(crate) async fn run(house: House) {
    for service in script::of_folder(FOLDER) {
        tokio::spawn(keep(house.clone(), service));
    }
}

async fn keep(house: House, program: PathBuf) {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        match once(&house, &program, &name).await {
            Ok(Ending::Code(0)) => return,
            Ok(_) => {}
            Err(error) => say(format_args!("cannot start the service {name}: {error}")),
        }
        if began.elapsed() >= STEADY {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn once(house: &House, program: &Path, name: &str) -> io::Result<Ending> {
    let log = Path::new(LOGS).join(format!("{name}.log"));
    fs::create_dir_all(LOGS)?;
    let (output, theirs) = stdio::output()?;
    let stdio = [stdio::null()?, theirs.try_clone()?, theirs];
    let launch = script::launch(program, &house.env.borrow(), stdio)?;
    let launched = house.reaper.launch(launch).await.map_err(io::Error::other)?;
    tokio::spawn(log::keep(output, log));
    launched.ending.await.map_err(io::Error::other)
}
