//! A command's streams over one WebSocket. The protocol is in `machine_api::attach`.
//!
//! ```text
//! Upgraded ──start──▶ Running ──exit or error was sent──▶ Closing ──client closes, or 1 s──▶ done
//!     └──no start in time, no frame──▶ Closing        └──client gone, server ends──▶ hung up
//! ```
//!
//! Four loops side by side: one reads frames (and never waits for the guest's stdin), one feeds
//! stdin and grants credit, one reads the command's events, one writes to the socket.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use machine_api::ErrorBody;
use machine_api::attach::{
    AttachProgram, AttachStart, ClientFrame, LARGEST_JSON, STDIN_WINDOW, ServerFrame, Started, pieces,
};
use machine_core::promise::guest::{
    self, ExecRequest, Guest, GuestProcess, Life, ProcessEvent, ProcessInput, Program, Stdin, TerminalSize,
};
use machine_core::{Code, Machine, Refusal};
use tokio::sync::mpsc;
use tracing::{Instrument as _, debug};

use super::exec::{login, umask};
use super::note_machine;
use super::place::{self, Subject};
use crate::App;
use crate::credit::Credit;
use crate::door::Asker;
use crate::refused::{Refused, invalid};
use crate::wish::check_envs;

/// How long a client may take to say what to run, and to close after the end.
const PATIENCE: Duration = Duration::from_secs(10);
const AFTER_END: Duration = Duration::from_secs(1);
/// A year: longer is a mistake, and would overflow clocks.
const LONGEST_MS: u64 = 366 * 86_400_000;
/// Frames that wait for the socket: a client that does not read stops the command's output.
const QUEUE: usize = 4;

/// What goes to a command's standard input, in order.
enum Input {
    Bytes(Bytes),
    Close,
}

/// `GET /v1/machines/{id}/attach`.
pub(crate) async fn attach(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refused> {
    let (machine, guest) = app.server.desk.guest(&asker.owner, &reference).await?;
    note_machine(&machine);
    let span = tracing::Span::current();
    let upgrade = upgrade.max_message_size(LARGEST_JSON).max_frame_size(LARGEST_JSON);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let ending = app.ending.clone();
        let session = session(socket, guest, machine, asker.request_id);
        let session = async {
            tokio::select! {
                () = session => {}
                () = ending.cancelled() => debug!("the server ends: the command is hung up"),
            }
        };
        app.tasks.track_future(session.instrument(span)).await;
    }))
}

/// One command, from its start to its end.
async fn session(socket: WebSocket, guest: Arc<dyn Guest>, machine: Machine, request_id: String) {
    let (mut sink, mut source) = socket.split();
    let ended = match begin(&mut source, guest.as_ref(), machine.spec.cwd.clone()).await {
        Ok(process) => carry(process, &mut sink, &mut source).await,
        Err(refusal) => ControlFlow::Continue(Err(refusal)),
    };
    let ControlFlow::Continue(result) = ended else { return };
    if let Err(refusal) = result {
        debug!(%refusal, "a command could not be started, or was lost");
        let body = ErrorBody::of(refusal.about(machine.called()), &request_id);
        let _ = send(&mut sink, &ServerFrame::Error(Box::new(body))).await;
    }
    let _ = sink.close().await;
    // Read on until the client has closed: a socket closed with unread input looks broken to it.
    let closed = async { while let Some(Ok(_)) = source.next().await {} };
    let _ = tokio::time::timeout(AFTER_END, closed).await;
}

/// Starts what the client asks for, in the machine's folder if it names none.
async fn begin(
    source: &mut SplitStream<WebSocket>,
    guest: &dyn Guest,
    cwd: Option<String>,
) -> Result<Box<dyn GuestProcess>, Refusal> {
    let first = tokio::time::timeout(PATIENCE, next_frame(source)).await;
    let start = match first {
        Ok(Some(Ok(ClientFrame::Start(start)))) => *start,
        Ok(Some(Ok(_))) => return Err(invalid("attach: the first frame must be a start")),
        Ok(Some(Err(refusal))) => return Err(refusal),
        Ok(None) | Err(_) => return Err(invalid("attach: no start came")),
    };
    let mut request = understand(start)?;
    request.cwd = request.cwd.or(cwd);
    guest.exec(request).await.map_err(|error| place::refusal(Subject::Command, error))
}

fn understand(start: AttachStart) -> Result<ExecRequest, Refusal> {
    check_envs(start.envs.keys())?;
    if let Some(timeout) = start.timeout_ms.filter(|timeout| *timeout > LONGEST_MS) {
        return Err(invalid(format!("timeout_ms: out of range: {timeout} (0, which is never, to {LONGEST_MS})")));
    }
    Ok(ExecRequest {
        program: match start.program {
            AttachProgram::Argv(argv) => Program::Argv(argv),
            AttachProgram::Shell(line) => Program::Shell(line),
        },
        cwd: start.cwd,
        envs: start.envs,
        user: start.user,
        stdin: if start.stdin { Stdin::Open } else { Stdin::Null },
        terminal: start.tty.map(|tty| guest::Terminal {
            size: TerminalSize { cols: tty.cols, rows: tty.rows },
            kind: tty.term.unwrap_or_else(|| "xterm-256color".to_owned()),
        }),
        timeout: start.timeout_ms.filter(|timeout| *timeout > 0).map(Duration::from_millis),
        life: if start.detach { Life::Detached } else { Life::Attached },
        login: login(start.login),
        umask: umask(start.umask.as_deref())?,
    })
}

/// Runs the four loops until the end was sent, or the client is gone (`Break`).
async fn carry(
    process: Box<dyn GuestProcess>,
    sink: &mut SplitSink<WebSocket, Message>,
    source: &mut SplitStream<WebSocket>,
) -> ControlFlow<(), Result<(), Refusal>> {
    let input = process.input();
    let (frames, queue) = mpsc::channel(QUEUE);
    // Bounded by the credit: the reader refuses what exceeds it, so it never waits here.
    let (feed, fed) = mpsc::unbounded_channel();
    let credit = Credit::first();
    let side = async {
        tokio::join!(read_events(process, frames.clone()), feed_stdin(input.clone(), fed, credit.clone(), frames));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        written = write_frames(sink, queue) => written,
        refusal = read_frames(source, input.as_ref(), feed, credit.clone()) => match refusal {
            Some(refusal) => ControlFlow::Continue(Err(refusal)),
            None => ControlFlow::Break(()),
        },
        () = side => ControlFlow::Break(()),
    }
}

/// Reads frames until the client is gone, or breaks the protocol.
async fn read_frames(
    source: &mut SplitStream<WebSocket>,
    input: &dyn ProcessInput,
    feed: mpsc::UnboundedSender<Input>,
    credit: Credit,
) -> Option<Refusal> {
    loop {
        let frame = match next_frame(source).await? {
            Ok(frame) => frame,
            Err(refusal) => return Some(refusal),
        };
        // A command that has ended takes no input and no signals; its exit is on its way.
        match frame {
            ClientFrame::Start(_) => return Some(invalid("attach: a second start")),
            ClientFrame::Stdin(bytes) => {
                if !credit.spend(bytes.len()) {
                    return Some(invalid("attach: more standard input than credit"));
                }
                let _ = feed.send(Input::Bytes(bytes));
            }
            ClientFrame::StdinClose => {
                let _ = feed.send(Input::Close);
            }
            ClientFrame::Resize(size) => {
                let _ = input.resize(TerminalSize { cols: size.cols, rows: size.rows }).await;
            }
            ClientFrame::Signal(number) => {
                let _ = input.signal(i32::from(number)).await;
            }
        }
    }
}

/// Writes standard input as fast as the guest takes it, and grants credit for what it took.
async fn feed_stdin(
    input: Arc<dyn ProcessInput>,
    mut fed: mpsc::UnboundedReceiver<Input>,
    credit: Credit,
    frames: mpsc::Sender<Result<ServerFrame, Refusal>>,
) {
    while let Some(next) = fed.recv().await {
        match next {
            Input::Bytes(bytes) => {
                let length = bytes.len();
                // What a command no longer reads is thrown away, as a shell's pipe would end.
                let _ = input.write(bytes).await;
                credit.grant(length);
                let more = u32::try_from(length).unwrap_or(STDIN_WINDOW);
                let _ = frames.send(Ok(ServerFrame::StdinCredit(more))).await;
            }
            Input::Close => {
                let _ = input.close().await;
            }
        }
    }
}

/// Reads what happens to the command, until its end.
async fn read_events(mut process: Box<dyn GuestProcess>, frames: mpsc::Sender<Result<ServerFrame, Refusal>>) {
    let _ = frames.send(Ok(ServerFrame::Started(Started { pid: process.pid() }))).await;
    loop {
        match process.next().await {
            Ok(ProcessEvent::Stdout(bytes)) => {
                for piece in pieces(bytes) {
                    let _ = frames.send(Ok(ServerFrame::Stdout(piece))).await;
                }
            }
            Ok(ProcessEvent::Stderr(bytes)) => {
                for piece in pieces(bytes) {
                    let _ = frames.send(Ok(ServerFrame::Stderr(piece))).await;
                }
            }
            Ok(ProcessEvent::Exited(exit)) => {
                let _ = frames.send(Ok(ServerFrame::Exit(exit.into()))).await;
                return;
            }
            Err(error) => {
                let lost = Refusal::new(Code::ExecFailed, format!("the command was lost: {error}")).reason("lost");
                let _ = frames.send(Err(lost)).await;
                return;
            }
        }
    }
}

/// Writes frames until the last one was written, or the client is gone.
async fn write_frames(
    sink: &mut SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Result<ServerFrame, Refusal>>,
) -> ControlFlow<(), Result<(), Refusal>> {
    while let Some(frame) = queue.recv().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(refusal) => return ControlFlow::Continue(Err(refusal)),
        };
        send(sink, &frame).await?;
        if matches!(frame, ServerFrame::Exit(_)) {
            return ControlFlow::Continue(Ok(()));
        }
    }
    ControlFlow::Break(())
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, frame: &ServerFrame) -> ControlFlow<()> {
    match sink.send(Message::Binary(frame.encode())).await {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// The next frame; `None` if the client is gone.
async fn next_frame(source: &mut SplitStream<WebSocket>) -> Option<Result<ClientFrame, Refusal>> {
    loop {
        match source.next().await? {
            Ok(Message::Binary(message)) => {
                return Some(ClientFrame::decode(&message).map_err(|error| invalid(format!("attach: {error}"))));
            }
            Ok(Message::Text(_)) => return Some(Err(invalid("attach: a text message; frames are binary"))),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(_)) | Err(_) => return None,
        }
    }
}
