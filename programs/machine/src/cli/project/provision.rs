//! Provisioning: the entries of one occasion, in order, each to its end, however long that takes. What a command says
//! is told as it comes, and of one that says nothing, that it still runs; of one that fails, the last is in the error.

use std::io::Cursor;
use std::time::{Duration, Instant};

use machine_machinefile::model::{Provision, ProvisionAction, ProvisionWhen, RunAs};
use machine_sdk::api::attach::{AttachProgram, AttachStart, CommandEnd};
use machine_sdk::api::word::StageWord;
use machine_sdk::api::{Code, MachineInfo, ReportInfo};
use machine_sdk::{AttachEvent, WriteFile};
use sha2::{Digest as _, Sha256};

use super::{Project, wish};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::Progress;
use crate::cli::word::{duration, escape};

/// After how much silence a command is said to be still running.
const SILENCE: Duration = Duration::from_secs(30);
/// How much of a failed command's words an error holds, in bytes.
const LAST_WORDS: usize = 2048;

/// What is heard of a command while it runs.
#[derive(Debug)]
pub(super) enum Heard {
    /// A line that it wrote.
    Line(String),
    /// Nothing for a while.
    Silence,
}

/// A digest of all that is provisioned once: entries, and the content of their scripts.
pub(super) fn digest(project: &Project) -> Result<String, Failure> {
    let mut sum = Sha256::new();
    for entry in project.file.provision.iter().filter(|entry| entry.when == ProvisionWhen::Create) {
        let text = serde_json::to_vec(entry).map_err(|error| Failure::file("cannot read provision", &error.into()))?;
        sum.update(text.len().to_le_bytes());
        sum.update(text);
        if let ProvisionAction::Script(path) = &entry.action {
            let content = script(project, path)?;
            sum.update(content.len().to_le_bytes());
            sum.update(content);
        }
    }
    Ok(wish::hex(&sum.finalize()))
}

/// Runs the entries of an occasion.
pub(super) async fn run(
    project: &Project,
    machine: &MachineInfo,
    when: ProvisionWhen,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let all = &project.file.provision;
    for (place, entry) in all.iter().enumerate().filter(|(_, entry)| entry.when == when) {
        let (begun, step) = (Instant::now(), format!("step {} of {}", place + 1, all.len()));
        progress.step(StageWord::Provision, &step, &called(entry));
        let mut tell = |heard| {
            let text = match heard {
                Heard::Line(line) => line,
                Heard::Silence => format!("still running: {step}, {}", duration::show(begun.elapsed())),
            };
            progress.tell(&ReportInfo::Told { stage: StageWord::Provision, text });
        };
        let done = one(project, machine, entry, desk, &mut tell).await;
        done.map_err(|failure| failure.about(&format!("provision[{place}] failed: {}", called(entry))))?;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        progress.tell(&ReportInfo::Ended { stage: StageWord::Provision, micros });
    }
    Ok(())
}

async fn one(
    project: &Project,
    machine: &MachineInfo,
    entry: &Provision,
    desk: &Desk,
    tell: &mut impl FnMut(Heard),
) -> Result<(), Failure> {
    let user = match entry.run_as {
        RunAs::Root => None,
        RunAs::User => Some(project.file.user.name.clone()),
    };
    match &entry.action {
        ProvisionAction::Run(line) => {
            command(machine, AttachProgram::Shell(line.clone()), user, None, desk, tell).await
        }
        ProvisionAction::Script(path) => {
            let content = script(project, path)?;
            // Its own first line says what runs it; without one, the shell does.
            let place = format!("/run/machine-provision-{}", project.id);
            let how = WriteFile { mode: Some(0o755), user: None };
            let client = desk.link.client().await?;
            client.write_file(&machine.id, &place, &how, Cursor::new(content)).await?;
            let run = AttachProgram::Argv(vec![place.clone()]);
            let ran = command(machine, run, user, None, desk, tell).await;
            client.remove_file(&machine.id, &place).await?;
            ran
        }
        ProvisionAction::File { path, content, mode } => {
            let how = WriteFile { mode: Some(*mode), user };
            let client = desk.link.client().await?;
            Ok(client.write_file(&machine.id, path, &how, Cursor::new(content.clone().into_bytes())).await.map(drop)?)
        }
    }
}

/// Runs a command to its end and tells what it says.
pub(super) async fn command(
    machine: &MachineInfo,
    program: AttachProgram,
    user: Option<String>,
    timeout_ms: Option<u64>,
    desk: &Desk,
    tell: &mut impl FnMut(Heard),
) -> Result<(), Failure> {
    let start = AttachStart {
        program,
        cwd: machine.cwd.clone(),
        envs: std::collections::BTreeMap::new(),
        user,
        stdin: false,
        tty: None,
        timeout_ms,
        detach: false,
        login: false,
        umask: None,
    };
    let client = desk.link.client().await?;
    let mut stream = client.attach(&machine.id, start).await?;
    let mut said: Vec<u8> = Vec::new();
    let mut told = 0;
    loop {
        let Ok(event) = tokio::time::timeout(SILENCE, stream.next()).await else {
            tell(Heard::Silence);
            continue;
        };
        match event? {
            Some(AttachEvent::Started { .. }) => {}
            Some(AttachEvent::Stdout(bytes) | AttachEvent::Stderr(bytes)) => {
                said.extend_from_slice(&bytes);
                told = tell_lines(&said, told, tell);
                let surplus = said.len().saturating_sub(LAST_WORDS).min(told);
                said.drain(..surplus);
                told -= surplus;
            }
            Some(AttachEvent::Exited(CommandEnd::Code(0))) => return Ok(()),
            Some(AttachEvent::Exited(end)) => return Err(ended(end, &said)),
            None => return Err(Failure::new(Code::ExecFailed, "the connection ended before the command did")),
        }
    }
}

/// Tells the whole lines from `told` on, and answers how far that was.
fn tell_lines(said: &[u8], told: usize, tell: &mut impl FnMut(Heard)) -> usize {
    let Some(end) = said.iter().rposition(|byte| *byte == b'\n').filter(|end| *end >= told) else { return told };
    for line in String::from_utf8_lossy(&said[told..end]).lines() {
        tell(Heard::Line(line.chars().filter(|letter| !letter.is_control()).collect()));
    }
    end + 1
}

fn ended(end: CommandEnd, said: &[u8]) -> Failure {
    let how = match end {
        CommandEnd::Code(code) => format!("exit code {code}"),
        CommandEnd::Signal(signal) => format!("ended by signal {signal}"),
        CommandEnd::TimedOut => "it took too long".to_owned(),
        CommandEnd::Detached => "it was not waited for".to_owned(),
    };
    let last = &said[said.len().saturating_sub(LAST_WORDS)..];
    let words: String =
        String::from_utf8_lossy(last).chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
    let words = if words.trim().is_empty() { String::new() } else { format!("\n{}", words.trim_end()) };
    Failure::new(Code::ExecFailed, format!("{how}{words}"))
}

/// What an entry is called in front of people.
pub(super) fn called(entry: &Provision) -> String {
    escape::plain(&match &entry.action {
        ProvisionAction::Run(line) => line.lines().next().unwrap_or_default().to_owned(),
        ProvisionAction::Script(path) => path.display().to_string(),
        ProvisionAction::File { path, .. } => format!("write {path}"),
    })
}

fn script(project: &Project, path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let path = project.folder.join(path);
    std::fs::read(&path).map_err(|error| Failure::path("cannot read the script", &path, &error))
}
