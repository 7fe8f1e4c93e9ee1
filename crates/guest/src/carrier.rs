//! The one task that owns the connection: carries bytes between the stream and the state
//! machine, asks in, letters out.
//!
//! ```text
//! Running ──stream ends, guest lies, or no handle is left──▶ Down (the reason stays readable)
//! ```

use crate::error::GuestError;
use crate::mailbox::{Close, Letter, Mailbox};
use bytes::{Buf, Bytes};
use machine_agent_protocol::{
    Channel, Control, Decoded, Ended, HostConnection, HostEvent, Request, ResetCode, StreamGone, StreamId, Welcome,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

/// Letters that wait in a stream's channel; more wait in its mailbox.
const LETTERS: usize = 4;
/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// What a handle asks of the carrier.
#[derive(Debug)]
pub(crate) enum Ask {
    Open { request: Box<Request>, reply: oneshot::Sender<Result<Opened, GuestError>> },
    Control { stream: StreamId, control: Control },
    Data { stream: StreamId, channel: Channel, bytes: Bytes, taken: oneshot::Sender<Result<(), StreamGone>> },
    End { stream: StreamId, channel: Channel },
}

/// What a handle tells the carrier without waiting.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A letter was taken; so many bytes of credit go back.
    Took { stream: StreamId, bytes: Option<(Channel, usize)> },
    /// Nobody is interested in the stream any more.
    Dropped { stream: StreamId },
}

/// A stream that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: StreamId,
    pub(crate) letters: mpsc::Receiver<Letter>,
}

/// Where the carrier hears from its handles.
pub(crate) struct Doors {
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
    pub(crate) welcome: Option<oneshot::Sender<Welcome>>,
    pub(crate) down: watch::Sender<Option<GuestError>>,
}

struct Open {
    letters: mpsc::Sender<Letter>,
    mailbox: Mailbox,
}

enum Waiting {
    Data(Bytes, oneshot::Sender<Result<(), StreamGone>>),
    End,
}

pub(crate) struct Carrier<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    /// Where bytes are read into.
    chunk: Box<[u8]>,
    connection: HostConnection,
    streams: HashMap<StreamId, Open>,
    /// Streams whose mailbox has something new.
    fresh: HashSet<StreamId>,
    /// Bytes and ends that wait for credit, in order.
    waiting: HashMap<(StreamId, Channel), VecDeque<Waiting>>,
    doors: Doors,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Carrier<S> {
    pub(crate) fn new(io: S, connection: HostConnection, doors: Doors) -> Self {
        let (streams, fresh, waiting) = (HashMap::new(), HashSet::new(), HashMap::new());
        let (reader, writer) = tokio::io::split(io);
        let chunk = vec![0; CHUNK].into_boxed_slice();
        Self { reader, writer, chunk, connection, streams, fresh, waiting, doors }
    }

    /// Carries until the link is down, and leaves the reason.
    pub(crate) async fn run(mut self) {
        let reason = loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => break GuestError::LinkLost { source: None },
                Err(error) => break error,
            }
        };
        tracing::debug!(error = %reason, "link to the guest is down");
        self.doors.down.send_replace(Some(reason));
    }

    /// One thing; false when the link is over.
    async fn step(&mut self) -> Result<bool, GuestError> {
        self.send_waiting();
        self.deliver();
        let congested = self.connection.is_congested();
        let output = self.connection.output();
        tokio::select! {
            read = self.reader.read(&mut self.chunk) => {
                let count = read.map_err(lost)?;
                let heard = self.connection.receive(&self.chunk[..count]);
                self.take_events()?;
                heard.map_err(protocol)?;
                Ok(count > 0)
            }
            written = self.writer.write(output), if !output.is_empty() => {
                let count = written.map_err(lost)?;
                self.connection.wrote(count);
                Ok(count > 0)
            }
            notice = self.doors.notices.recv() => {
                let Some(notice) = notice else { return Ok(false) };
                self.notice(notice);
                Ok(true)
            }
            ask = self.doors.asks.recv(), if !congested => {
                let Some(ask) = ask else { return Ok(false) };
                self.ask(ask);
                Ok(true)
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Open { request, reply } => {
                let opened = self.open(&request);
                let stream = opened.as_ref().ok().map(|opened| opened.stream);
                if let (Err(_), Some(stream)) = (reply.send(opened), stream) {
                    self.dropped(stream);
                }
            }
            // A stream that closed meanwhile tells its owner by its last letter.
            Ask::Control { stream, control } => self.connection.control(stream, &control).unwrap_or_default(),
            Ask::Data { stream, channel, bytes, taken } => {
                self.waiting.entry((stream, channel)).or_default().push_back(Waiting::Data(bytes, taken));
            }
            Ask::End { stream, channel } => {
                self.waiting.entry((stream, channel)).or_default().push_back(Waiting::End);
            }
        }
    }

    fn open(&mut self, request: &Request) -> Result<Opened, GuestError> {
        let stream = self.connection.open(request)?;
        let (sender, letters) = mpsc::channel(LETTERS);
        self.streams.insert(stream, Open { letters: sender, mailbox: Mailbox::default() });
        Ok(Opened { stream, letters })
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Took { stream, bytes } => {
                if let Some((channel, count)) = bytes {
                    self.connection.consume(stream, channel, count);
                }
                self.fresh.insert(stream);
            }
            Notice::Dropped { stream } => self.dropped(stream),
        }
    }

    fn dropped(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.connection.reset(stream, ResetCode::Cancelled, "the host is not interested any more");
    }

    fn take_events(&mut self) -> Result<(), GuestError> {
        while let Some(event) = self.connection.next_event() {
            match event {
                HostEvent::Welcomed(welcome) => {
                    if let Some(waiting) = self.doors.welcome.take() {
                        // Nobody waits for it if the deadline has just passed.
                        waiting.send(welcome).ok();
                    }
                }
                HostEvent::Answer { stream, answer, ended } => {
                    let flooded = self.mailbox(stream, |mailbox| match (answer, ended) {
                        (Decoded::Known(answer), Ended::Yes) => {
                            mailbox.close(Close::Answered(answer));
                            Ok(())
                        }
                        (Decoded::Unknown(_), Ended::Yes) => {
                            mailbox.close(Close::Unknown);
                            Ok(())
                        }
                        (Decoded::Known(answer), Ended::No) => mailbox.answer(answer),
                        (Decoded::Unknown(_), Ended::No) => Ok(()),
                    });
                    if let Some(Err(_)) = flooded {
                        return Err(protocol(machine_agent_protocol::ProtocolError::BadFrame { stream }));
                    }
                }
                HostEvent::Data { stream, channel, bytes } => {
                    self.mailbox(stream, |mailbox| mailbox.data(channel, bytes));
                }
                HostEvent::End { stream, channel } => {
                    self.mailbox(stream, |mailbox| mailbox.end(channel));
                }
                HostEvent::Reset { stream, code, text } => {
                    self.mailbox(stream, |mailbox| mailbox.close(Close::Reset(code, text)));
                }
            }
        }
        Ok(())
    }

    fn mailbox<T>(&mut self, stream: StreamId, put: impl FnOnce(&mut Mailbox) -> T) -> Option<T> {
        let open = self.streams.get_mut(&stream)?;
        self.fresh.insert(stream);
        Some(put(&mut open.mailbox))
    }

    /// Moves letters from mailboxes into channels that have room.
    fn deliver(&mut self) {
        for stream in std::mem::take(&mut self.fresh) {
            let Some(open) = self.streams.get_mut(&stream) else { continue };
            let mut over = false;
            while let Ok(room) = open.letters.try_reserve() {
                let Some(letter) = open.mailbox.take() else { break };
                over = matches!(letter, Letter::Last(_));
                room.send(letter);
            }
            if over {
                self.streams.remove(&stream);
            }
        }
    }

    /// Sends what waits for credit, as far as there is some.
    fn send_waiting(&mut self) {
        let connection = &mut self.connection;
        self.waiting.retain(|(stream, channel), queue| {
            while let Some(front) = queue.pop_front() {
                match front {
                    Waiting::End => connection.end(*stream, *channel).unwrap_or_default(),
                    Waiting::Data(mut bytes, taken) => match connection.send_data(*stream, *channel, &bytes) {
                        // A caller that no longer waits needs no answer.
                        Err(gone) => taken.send(Err(gone)).unwrap_or_default(),
                        Ok(count) if count == bytes.len() => taken.send(Ok(())).unwrap_or_default(),
                        Ok(count) => {
                            bytes.advance(count);
                            queue.push_front(Waiting::Data(bytes, taken));
                            return true;
                        }
                    },
                }
            }
            false
        });
    }
}

fn lost(error: std::io::Error) -> GuestError {
    GuestError::LinkLost { source: Some(Arc::new(error)) }
}

fn protocol(error: machine_agent_protocol::ProtocolError) -> GuestError {
    GuestError::Protocol { source: Arc::new(error) }
}
