//! Keeps the image's own services running.
//!
//! ```text
//! each executable in /etc/machine/services:
//! Running ──ends badly──▶ Waiting (250 ms, doubling to 30 s) ──▶ Running
//!    └──ends well──▶ Done
//! ```
//! Output goes to /var/log/machine/NAME.log, at most 1 MiB: then it begins anew, with the old one
//! beside it as NAME.log.1. At power off services get SIGTERM like everybody.

use crate::console::say;
use crate::exec::sys::{Launch, Terminal};
use crate::house::House;
use machine_agent_protocol::Ending;
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

const FOLDER: &str = "/etc/machine/services";
const LOGS: &str = "/var/log/machine";
const LOG_LIMIT: u64 = 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// One that ran so long did start well; its next failure is a new one.
const STEADY: Duration = Duration::from_secs(60);
const LOOK_AT_LOG: Duration = Duration::from_secs(10);

/// Starts every service and sees to it.
pub(crate) async fn run(house: House) {
    let mut services: Vec<PathBuf> = fs::read_dir(FOLDER)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0))
        .collect();
    services.sort();
    for service in services {
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
    let launch = launch(house, program, &log)?;
    let mut launched = house.reaper.launch(launch).await.map_err(io::Error::other)?;
    loop {
        tokio::select! {
            ended = &mut launched.ending => return ended.map_err(io::Error::other),
            () = tokio::time::sleep(LOOK_AT_LOG) => trim(&log),
        }
    }
}

fn launch(house: &House, program: &Path, log: &Path) -> io::Result<Launch> {
    fs::create_dir_all(LOGS)?;
    trim(log);
    let output: OwnedFd = OpenOptions::new().append(true).create(true).open(log)?.into();
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let own = [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root"), ("LANG", "C.UTF-8")];
    let mut env: crate::house::DefaultEnv = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    env.extend(house.env.borrow().clone());
    let env = env.into_iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let program = CString::new(program.as_os_str().as_encoded_bytes())?;
    Ok(Launch {
        argv: vec![program.clone()],
        program,
        env: env.collect::<Result<_, _>>()?,
        cwd: c"/".to_owned(),
        uid: 0,
        gid: 0,
        groups: vec![0],
        stdio: [null, output.try_clone()?, output],
        terminal: Terminal::None,
    })
}

/// A log that is too long becomes the old one. The service writes on with append, so what it
/// still has open is emptied rather than moved.
fn trim(log: &Path) {
    let too_long = fs::metadata(log).is_ok_and(|found| found.len() > LOG_LIMIT);
    if too_long && let Err(error) = keep_tail(log) {
        say(format_args!("cannot trim {}: {error}", log.display()));
    }
}

fn keep_tail(log: &Path) -> io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_LIMIT / 2)))?;
    let mut tail = Vec::new();
    file.take(LOG_LIMIT / 2).read_to_end(&mut tail)?;
    fs::write(log.with_extension("log.1"), tail)?;
    OpenOptions::new().write(true).open(log)?.set_len(0)
}
