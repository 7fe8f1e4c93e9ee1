//! One stream as the task that works for it sees it. The desk owns the connection; a line is how
//! a task talks to the desk.
//!
//! ```text
//! Open ──finish, reset, or the session is lost──▶ gone (the inbox ends, sends answer Gone)
//! ```

use machine_agent_protocol::{Answer, Channel, Control, StreamId};
use tokio::sync::{mpsc, oneshot};

/// From the host.
#[derive(Debug)]
pub(crate) enum Inbound {
    Control(Control),
    Data(Vec<u8>),
    End,
}

/// To the host.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// Stream numbers repeat in every session, so a late word names its own.
    pub(crate) session: u64,
    pub(crate) stream: StreamId,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Answer(Answer),
    Finish(Answer),
    Data { channel: Channel, bytes: Vec<u8>, taken: oneshot::Sender<()> },
    End(Channel),
    Consumed(usize),
}

/// The stream or its session is gone; nobody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A stream's task gets one.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) teller: Teller,
    pub(crate) inbox: mpsc::UnboundedReceiver<Inbound>,
}

/// The sending half of a line.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    pub(crate) session: u64,
    pub(crate) stream: StreamId,
    pub(crate) desk: mpsc::Sender<Outbound>,
}

impl Teller {
    pub(crate) async fn answer(&self, answer: impl Into<Answer>) {
        self.send(What::Answer(answer.into())).await;
    }

    pub(crate) async fn finish(&self, answer: impl Into<Answer>) {
        self.send(What::Finish(answer.into())).await;
    }

    /// Waits until all bytes fitted into the window.
    pub(crate) async fn data(&self, channel: Channel, bytes: Vec<u8>) -> Result<(), Gone> {
        let (taken, answer) = oneshot::channel();
        self.send(What::Data { channel, bytes, taken }).await;
        answer.await.map_err(|_| Gone)
    }

    pub(crate) async fn end(&self, channel: Channel) {
        self.send(What::End(channel)).await;
    }

    /// So many bytes from the host were used.
    pub(crate) async fn consumed(&self, count: usize) {
        self.send(What::Consumed(count)).await;
    }

    async fn send(&self, what: What) {
        // The desk ends only with the process.
        self.desk.send(Outbound { session: self.session, stream: self.stream, what }).await.ok();
    }
}
