//! The QEMU Monitor Protocol: a greeting, then one JSON value per line in both directions, with events at
//! any time. A task owns the stream; `Qmp` sends it commands.
//!
//! ```text
//! Greeting ──qmp_capabilities──▶ Idle ⇄ Asked{id}      end of stream, or a line that is not QMP ──▶ Closed
//! ```
//! QEMU may have been broken out of: lines are bounded, and nothing it says can make us panic.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::driver::ControlError;

/// `query-cpu-definitions`, the longest answer that we ask for, has about 100 KiB.
const LONGEST_LINE: usize = 1 << 20;

/// Events that a slow listener may be behind before it loses the oldest.
const EVENTS_KEPT: usize = 64;

/// Something that QEMU reports on its own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// Its name, such as `SHUTDOWN`.
    #[serde(rename = "event")]
    pub name: String,
    /// What comes with it.
    #[serde(default)]
    pub data: Value,
}

/// A conversation past its greeting.
#[derive(Debug, Clone)]
pub struct Qmp {
    requests: mpsc::Sender<Request>,
    /// Weak, so that listeners hear of the conversation's end while someone still holds a `Qmp`.
    events: broadcast::WeakSender<Event>,
}

#[derive(Debug)]
struct Request {
    command: &'static str,
    arguments: Option<Value>,
    answer: oneshot::Sender<Result<Value, ControlError>>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    data: Option<Value>,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

impl Qmp {
    /// Hears the greeting and answers it. The receiver misses no event of the conversation.
    pub async fn greet<S>(stream: S, within: Duration) -> Result<(Self, broadcast::Receiver<Event>), ControlError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        const COMMAND: &str = "greeting";
        let mut lines = Lines { stream, received: Vec::new() };
        let first = tokio::time::timeout(within, lines.next(COMMAND))
            .await
            .map_err(|_| ControlError::Silent { command: COMMAND, within })??;
        if first.greeting.is_none() {
            return Err(ControlError::Garbled { command: COMMAND, what: "not a greeting".to_owned() });
        }
        let (requests, inbox) = mpsc::channel(8);
        let (events, heard) = broadcast::channel(EVENTS_KEPT);
        let qmp = Self { requests, events: events.downgrade() };
        tokio::spawn(converse(lines, inbox, events));
        qmp.execute("qmp_capabilities", None, within).await?;
        Ok((qmp, heard))
    }

    /// Asks one thing and waits for its answer.
    pub async fn execute(
        &self,
        command: &'static str,
        arguments: Option<Value>,
        within: Duration,
    ) -> Result<Value, ControlError> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            let closed = || ControlError::Closed { command };
            self.requests.send(Request { command, arguments, answer }).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        tokio::time::timeout(within, asked).await.unwrap_or(Err(ControlError::Silent { command, within }))
    }

    /// What QEMU reports from now on; closed when the conversation is.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        let silence = || broadcast::channel(1).1;
        self.events.upgrade().map_or_else(silence, |events| events.subscribe())
    }
}

/// The owner of the stream. Ends when the stream does or when the last `Qmp` is dropped.
async fn converse<S>(mut lines: Lines<S>, mut inbox: mpsc::Receiver<Request>, events: broadcast::Sender<Event>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut last_id = 0_u64;
    loop {
        let request = tokio::select! {
            request = inbox.recv() => match request {
                Some(request) => request,
                None => return,
            },
            line = lines.next("event") => match line {
                Ok(message) => { publish(message, &events); continue }
                Err(_) => return,
            },
        };
        last_id += 1;
        let answer = ask(&mut lines, last_id, &request, &events).await;
        let fatal = matches!(answer, Err(ControlError::Closed { .. } | ControlError::Garbled { .. }));
        // Nobody may be waiting any more: the deadline is on the asking side.
        let _ = request.answer.send(answer);
        if fatal {
            return;
        }
    }
}

async fn ask<S>(
    lines: &mut Lines<S>,
    id: u64,
    request: &Request,
    events: &broadcast::Sender<Event>,
) -> Result<Value, ControlError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let command = request.command;
    let mut line = json!({ "execute": command, "id": id });
    if let Some(arguments) = &request.arguments {
        line["arguments"] = arguments.clone();
    }
    let sent = format!("{line}\n");
    lines.stream.write_all(sent.as_bytes()).await.map_err(|_| ControlError::Closed { command })?;
    loop {
        let message = lines.next(command).await?;
        // An answer to a command whose asker gave up has an older id; an error without one is about ours.
        match (message.id, message) {
            (Some(answered), _) if answered != id => {}
            (Some(_), Message { answer: Some(value), .. }) => return Ok(value),
            (_, Message { error: Some(Refusal { class, desc }), .. }) => {
                return Err(ControlError::Refused { command, reason: format!("{desc} ({class})") });
            }
            (_, message) => publish(message, events),
        }
    }
}

fn publish(message: Message, events: &broadcast::Sender<Event>) {
    if let Some(name) = message.event {
        tracing::debug!(event = %name, "qemu event");
        // Nobody needs to listen.
        let _ = events.send(Event { name, data: message.data.unwrap_or(Value::Null) });
    }
}

/// A stream cut into lines. What was received is kept here, so a reader may be dropped at any await.
struct Lines<S> {
    stream: S,
    received: Vec<u8>,
}

impl<S: AsyncRead + Send + Unpin> Lines<S> {
    async fn next(&mut self, command: &'static str) -> Result<Message, ControlError> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = self.received[looked_at..].iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=looked_at + end).collect();
                return serde_json::from_slice(&line).map_err(|error| garbled(command, &line, &error.to_string()));
            }
            looked_at = self.received.len();
            if looked_at > LONGEST_LINE {
                return Err(garbled(command, &self.received, "longer than a line may be"));
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return Err(ControlError::Closed { command }),
                Ok(_) => {}
            }
        }
    }
}

fn garbled(command: &'static str, line: &[u8], why: &str) -> ControlError {
    let start = String::from_utf8_lossy(&line[..line.len().min(80)]);
    ControlError::Garbled { command, what: format!("{why}: {}", start.escape_debug()) }
}
