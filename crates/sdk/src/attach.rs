//! A command's streams: events come out, input and signals go in. The protocol is in
//! `machine_api::attach`.
//!
//! ```text
//! AttachInput ──stdin waits for credit──▶ writer task ──▶ socket ──▶ AttachOutput ──▶ events
//!     └──signal, resize wait for nothing but the socket──▶┘              └──credit──▶ AttachInput
//! ```
//!
//! Dropping `AttachOutput` hangs an attached command up; dropping `AttachInput` does not.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::{Method, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use machine_api::attach::{
    AttachStart, ClientFrame, CommandEnd, LARGEST_JSON, STDIN_WINDOW, ServerFrame, TtySize, pieces,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connection::{Call, Client, empty};
use crate::error::SdkError;
use crate::machine::of;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

const TRIED: &str = "attach to the command";
/// How many frames wait in front of the socket.
const QUEUE: usize = 4;

/// What comes from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachEvent {
    /// It runs.
    Started {
        /// Its process id in the guest.
        pid: u32,
    },
    /// It wrote to its standard output, or its terminal.
    Stdout(Bytes),
    /// It wrote to its standard error.
    Stderr(Bytes),
    /// It ended; the last event.
    Exited(CommandEnd),
}

/// Both directions of a command's streams.
#[derive(Debug)]
pub struct AttachStream {
    output: AttachOutput,
    input: AttachInput,
}

/// What comes from a command. Dropping it hangs the command up, unless it is detached.
#[derive(Debug)]
pub struct AttachOutput {
    source: SplitStream<Socket>,
    credit: Arc<Semaphore>,
    ended: bool,
    _hang_up: DropGuard,
}

/// What goes to a command; cloned freely.
#[derive(Debug, Clone)]
pub struct AttachInput {
    frames: mpsc::Sender<ClientFrame>,
    credit: Arc<Semaphore>,
    hung_up: CancellationToken,
}

/// The command has ended, or the connection to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command has ended")]
pub struct Ended;

impl Client {
    /// Starts a command in a machine and attaches to its streams.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached. Whether the program can be started is told by the
    /// first event.
    pub async fn attach(&self, machine: &str, start: AttachStart) -> Result<AttachStream, SdkError> {
        let key = generate_key();
        let call = Call::new(Method::GET, &of(machine, "/attach"))
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key);
        let (tried, response) = self.send(call, empty()).await?;
        let mut socket = upgrade(&tried, &key, response).await?;
        let first = Message::Binary(ClientFrame::Start(Box::new(start)).encode());
        socket.send(first).await.map_err(|error| SdkError::broken(TRIED, error))?;
        Ok(AttachStream::over(socket))
    }
}

async fn upgrade(tried: &str, key: &str, response: Response<Incoming>) -> Result<Socket, SdkError> {
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(http::HeaderValue::as_bytes);
    if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(SdkError::broken(tried, "the server did not accept the upgrade"));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| SdkError::broken(tried, error))?;
    let limits = WebSocketConfig::default().max_message_size(Some(LARGEST_JSON)).max_frame_size(Some(LARGEST_JSON));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(limits)).await)
}

impl AttachStream {
    fn over(socket: Socket) -> Self {
        let (sink, source) = socket.split();
        let credit = Arc::new(Semaphore::new(STDIN_WINDOW as usize));
        let hung_up = CancellationToken::new();
        let (frames, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write(sink, queue, hung_up.clone()));
        let input = AttachInput { frames, credit: credit.clone(), hung_up: hung_up.clone() };
        let output = AttachOutput { source, credit, ended: false, _hang_up: hung_up.drop_guard() };
        Self { output, input }
    }

    /// The two directions, for two tasks.
    #[must_use]
    pub fn split(self) -> (AttachOutput, AttachInput) {
        (self.output, self.input)
    }

    /// What goes to the command.
    #[must_use]
    pub const fn input(&self) -> &AttachInput {
        &self.input
    }

    /// As `AttachOutput::next`.
    ///
    /// # Errors
    /// As `AttachOutput::next`.
    pub async fn next(&mut self) -> Result<Option<AttachEvent>, SdkError> {
        self.output.next().await
    }
}

/// The one task that writes to the socket.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut queue: mpsc::Receiver<ClientFrame>,
    hung_up: CancellationToken,
) {
    loop {
        let frame = tokio::select! {
            frame = queue.recv() => frame,
            () = hung_up.cancelled() => break,
        };
        let Some(frame) = frame else {
            // Nobody will write any more; the reader still reads.
            hung_up.cancelled().await;
            break;
        };
        if sink.send(Message::Binary(frame.encode())).await.is_err() {
            // The reader learns why from the other half.
            return;
        }
    }
    let _ = sink.close().await;
}

impl AttachOutput {
    /// The next event; `None` after `Exited`. May be cancelled without loss.
    ///
    /// # Errors
    /// `Refused` if the command could not be started (`ErrorDetail::shell_exit_code` tells 126 and
    /// 127 apart) or was lost; `Broken` if the server went away.
    pub async fn next(&mut self) -> Result<Option<AttachEvent>, SdkError> {
        while !self.ended {
            let message = match self.source.next().await {
                Some(Ok(Message::Binary(message))) => message,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => {
                    self.end();
                    return Err(SdkError::broken(TRIED, "the server closed the stream"));
                }
                Some(Err(error)) => {
                    self.end();
                    return Err(SdkError::broken(TRIED, error));
                }
            };
            match ServerFrame::decode(&message).map_err(|error| SdkError::broken(TRIED, error))? {
                ServerFrame::Started(started) => return Ok(Some(AttachEvent::Started { pid: started.pid })),
                ServerFrame::Stdout(bytes) => return Ok(Some(AttachEvent::Stdout(bytes))),
                ServerFrame::Stderr(bytes) => return Ok(Some(AttachEvent::Stderr(bytes))),
                ServerFrame::StdinCredit(more) => self.grant(more),
                ServerFrame::Exit(end) => {
                    self.end();
                    return Ok(Some(AttachEvent::Exited(end)));
                }
                ServerFrame::Error(body) => {
                    self.end();
                    let status = body.error.code().map_or(500, machine_api::Code::http_status);
                    return Err(SdkError::Refused(body, status));
                }
            }
        }
        Ok(None)
    }

    fn grant(&self, more: u32) {
        // A server that grants without measure must not overflow the count.
        let room = (STDIN_WINDOW as usize).saturating_sub(self.credit.available_permits());
        self.credit.add_permits((more as usize).min(room));
    }

    fn end(&mut self) {
        self.ended = true;
        self.credit.close();
    }
}

impl Drop for AttachOutput {
    fn drop(&mut self) {
        self.credit.close();
    }
}

impl AttachInput {
    /// Sends bytes to its standard input; waits while the command does not read.
    ///
    /// # Errors
    /// `Ended` if nobody is there to read.
    pub async fn stdin(&self, bytes: Bytes) -> Result<(), Ended> {
        for piece in pieces(bytes) {
            let length = u32::try_from(piece.len()).map_err(|_| Ended)?;
            self.credit.acquire_many(length).await.map_err(|_| Ended)?.forget();
            self.send(ClientFrame::Stdin(piece)).await?;
        }
        Ok(())
    }

    /// Ends its standard input.
    ///
    /// # Errors
    /// `Ended` if it has ended.
    pub async fn close_stdin(&self) -> Result<(), Ended> {
        self.send(ClientFrame::StdinClose).await
    }

    /// Sends a signal, by number, to its process group.
    ///
    /// # Errors
    /// `Ended` if it has ended.
    pub async fn signal(&self, number: u8) -> Result<(), Ended> {
        self.send(ClientFrame::Signal(number)).await
    }

    /// Tells its terminal's new size.
    ///
    /// # Errors
    /// `Ended` if it has ended.
    pub async fn resize(&self, cols: u16, rows: u16) -> Result<(), Ended> {
        self.send(ClientFrame::Resize(TtySize { cols, rows })).await
    }

    /// Goes away: an attached command is hung up.
    pub fn close(&self) {
        self.hung_up.cancel();
    }

    async fn send(&self, frame: ClientFrame) -> Result<(), Ended> {
        if self.hung_up.is_cancelled() {
            return Err(Ended);
        }
        self.frames.send(frame).await.map_err(|_| Ended)
    }
}
