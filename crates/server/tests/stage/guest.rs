//! A guest with a handful of commands and a map of files.
//!
//! `echo ARGS` · `cat` · `both` · `exit N` · `sleep` (until a signal) · `deaf` (never reads its stdin)
//! · `flood BYTES` · `size` (tells resizes) · `missing`, `folder` (cannot be started) · `late` (times out)

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use machine_core::network::Transport;
use machine_core::promise::awakening::{Awakening, Settled, Vitals, Woken};
use machine_core::promise::guest::{
    ExecRequest, Exit, FileInfo, FileKind, FileSink, FileSource, Guest, GuestConnection, GuestError, GuestFiles,
    GuestProcess, Life, ProcessEvent, ProcessInput, Program, Stdin, TerminalSize, WriteOptions,
};
use machine_core::promise::project::GuestProject;
use tokio::sync::mpsc;

use super::project::TestProject;

#[derive(Default)]
pub(crate) struct TestGuest {
    pub(crate) seen: Mutex<Vec<ExecRequest>>,
    pub(crate) hung_up: Arc<AtomicUsize>,
    pub(crate) files: Disk,
    pub(crate) project: TestProject,
    /// What it says of itself, one after the other.
    pub(crate) vitals: Mutex<VecDeque<Vitals>>,
    /// Whether it does not answer.
    pub(crate) mute: AtomicBool,
}

#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) content: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) modes: Arc<Mutex<BTreeMap<String, u32>>>,
}

struct Process {
    events: mpsc::Receiver<Result<ProcessEvent, GuestError>>,
    input: Arc<Input>,
    hung_up: Arc<AtomicUsize>,
    ended: bool,
}

struct Input {
    tell: mpsc::Sender<Result<ProcessEvent, GuestError>>,
    program: String,
}

#[async_trait]
impl Guest for TestGuest {
    async fn set_clock(&self, _now: jiff::Timestamp) -> Result<(), GuestError> {
        Ok(())
    }

    async fn wake_as(&self, _awakening: &Awakening) -> Result<Woken, GuestError> {
        Ok(Woken::default())
    }

    async fn settle(&self, _authorities: &[String]) -> Result<Settled, GuestError> {
        Ok(Settled::default())
    }

    async fn measure(&self) -> Result<Vitals, GuestError> {
        if self.mute.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        Ok(self.vitals.lock().unwrap().pop_front().unwrap_or_default())
    }

    async fn exec(&self, request: ExecRequest) -> Result<Box<dyn GuestProcess>, GuestError> {
        self.seen.lock().unwrap().push(request.clone());
        if request.cwd.as_deref() == Some("/nowhere") {
            return Err(GuestError::NotFound("/nowhere".to_owned()));
        }
        let argv = match &request.program {
            Program::Argv(argv) => argv.clone(),
            Program::Shell(line) => vec!["echo".to_owned(), format!("sh: {line}")],
        };
        match argv[0].as_str() {
            "missing" => return Err(GuestError::ProgramNotFound("missing".to_owned())),
            "folder" => return Err(GuestError::NotExecutable("folder".to_owned())),
            _ => {}
        }
        let (tell, events) = mpsc::channel(2);
        let input = Arc::new(Input { tell: tell.clone(), program: argv[0].clone() });
        tokio::spawn(run(argv, request, tell));
        Ok(Box::new(Process { events, input, hung_up: self.hung_up.clone(), ended: false }))
    }

    fn files(&self) -> Arc<dyn GuestFiles> {
        Arc::new(self.files.clone())
    }

    fn project(&self) -> Arc<dyn GuestProject> {
        Arc::new(self.project.clone())
    }

    async fn connect(&self, port: u16, _transport: Transport) -> Result<Box<dyn GuestConnection>, GuestError> {
        Err(GuestError::Refused(port))
    }

    async fn power_off(&self, _grace: Duration) -> Result<(), GuestError> {
        Ok(())
    }

    fn is_lost(&self) -> bool {
        false
    }
}

async fn run(argv: Vec<String>, request: ExecRequest, tell: mpsc::Sender<Result<ProcessEvent, GuestError>>) {
    let out = |text: String| Ok(ProcessEvent::Stdout(Bytes::from(text)));
    let end = |exit| Ok(ProcessEvent::Exited(exit));
    if request.life == Life::Detached {
        let _ = tell.send(end(Exit::Detached)).await;
        return;
    }
    let last = match argv[0].as_str() {
        "echo" => {
            let _ = tell.send(out(argv[1..].join(" ") + "\n")).await;
            end(Exit::Code(0))
        }
        "both" => {
            let _ = tell.send(Ok(ProcessEvent::Stdout(Bytes::from_static(b"out\0\xff")))).await;
            let _ = tell.send(Ok(ProcessEvent::Stderr(Bytes::from_static(b"err")))).await;
            end(Exit::Code(3))
        }
        "exit" => end(Exit::Code(argv[1].parse().unwrap())),
        "flood" => {
            for _ in 0..argv[1].parse::<usize>().unwrap() >> 20 {
                let _ = tell.send(Ok(ProcessEvent::Stdout(Bytes::from(vec![b'x'; 1 << 20])))).await;
            }
            end(Exit::Code(0))
        }
        "late" => {
            tokio::time::sleep(request.timeout.unwrap()).await;
            end(Exit::TimedOut)
        }
        "lost" => Err(GuestError::Lost),
        "cat" if request.stdin == Stdin::Null => end(Exit::Code(0)),
        // The rest is ended by its input or by a signal.
        _ => return,
    };
    let _ = tell.send(last).await;
}

#[async_trait]
impl GuestProcess for Process {
    fn pid(&self) -> u32 {
        42
    }

    async fn next(&mut self) -> Result<ProcessEvent, GuestError> {
        let event = self.events.recv().await.ok_or(GuestError::Lost)?;
        self.ended |= matches!(event, Ok(ProcessEvent::Exited(_)) | Err(_));
        event
    }

    fn input(&self) -> Arc<dyn ProcessInput> {
        self.input.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            self.hung_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Input {
    async fn tell(&self, event: ProcessEvent) -> Result<(), GuestError> {
        self.tell.send(Ok(event)).await.map_err(|_| GuestError::Lost)
    }
}

#[async_trait]
impl ProcessInput for Input {
    async fn write(&self, bytes: Bytes) -> Result<(), GuestError> {
        match self.program.as_str() {
            "deaf" => std::future::pending().await,
            _ => self.tell(ProcessEvent::Stdout(bytes)).await,
        }
    }

    async fn close(&self) -> Result<(), GuestError> {
        self.tell(ProcessEvent::Exited(Exit::Code(0))).await
    }

    async fn signal(&self, signal: i32) -> Result<(), GuestError> {
        self.tell(ProcessEvent::Exited(Exit::Signal(signal))).await
    }

    async fn resize(&self, size: TerminalSize) -> Result<(), GuestError> {
        self.tell(ProcessEvent::Stdout(Bytes::from(format!("{}x{}", size.cols, size.rows)))).await
    }
}

struct Source(Vec<Bytes>);
struct Sink {
    disk: Disk,
    path: String,
    mode: u32,
    content: Vec<u8>,
}

fn info(path: &str, kind: FileKind, size: u64, mode: u32) -> FileInfo {
    let modified = Timestamp::from_second(1_700_000_000).unwrap();
    FileInfo { path: path.to_owned(), kind, size, mode, uid: 0, gid: 0, modified, target: None }
}

impl Disk {
    fn look(&self, path: &str) -> Result<FileInfo, GuestError> {
        let content = self.content.lock().unwrap();
        let found = content.get(path).ok_or_else(|| GuestError::NotFound(path.to_owned()))?;
        let mode = self.modes.lock().unwrap().get(path).copied().unwrap_or(0o644);
        let kind = if path.ends_with(".d") { FileKind::Folder } else { FileKind::File };
        Ok(info(path, kind, found.len() as u64, mode))
    }
}

#[async_trait]
impl GuestFiles for Disk {
    async fn read(&self, path: &str, _user: Option<&str>) -> Result<(FileInfo, Box<dyn FileSource>), GuestError> {
        let info = self.look(path)?;
        let content = self.content.lock().unwrap()[path].clone();
        let mut pieces: Vec<Bytes> = content.chunks(100_000).map(Bytes::copy_from_slice).collect();
        pieces.reverse();
        Ok((info, Box::new(Source(pieces))))
    }

    async fn write(&self, path: &str, options: WriteOptions) -> Result<Box<dyn FileSink>, GuestError> {
        let (disk, path, mode) = (self.clone(), path.to_owned(), options.mode.unwrap_or(0o644));
        Ok(Box::new(Sink { disk, path, mode, content: Vec::new() }))
    }

    async fn list(&self, path: &str, _depth: u32) -> Result<Vec<FileInfo>, GuestError> {
        let names: Vec<String> =
            self.content.lock().unwrap().keys().filter(|name| name.starts_with(path)).cloned().collect();
        names.iter().map(|name| self.look(name)).collect()
    }

    async fn stat(&self, path: &str) -> Result<FileInfo, GuestError> {
        self.look(path)
    }

    async fn remove(&self, path: &str) -> Result<(), GuestError> {
        let removed = self.content.lock().unwrap().remove(path);
        removed.map(drop).ok_or_else(|| GuestError::NotFound(path.to_owned()))
    }

    async fn make_folder(&self, path: &str) -> Result<(), GuestError> {
        self.content.lock().unwrap().insert(path.to_owned(), Vec::new());
        Ok(())
    }
}

#[async_trait]
impl FileSource for Source {
    async fn next(&mut self) -> Result<Option<Bytes>, GuestError> {
        Ok(self.0.pop())
    }
}

#[async_trait]
impl FileSink for Sink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), GuestError> {
        self.content.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64, GuestError> {
        let size = self.content.len() as u64;
        self.disk.modes.lock().unwrap().insert(self.path.clone(), self.mode);
        self.disk.content.lock().unwrap().insert(self.path, self.content);
        Ok(size)
    }
}
