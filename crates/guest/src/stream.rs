//! One open stream as its owner sees it: letters in, bytes out. Dropping it tells the guest that
//! nobody is interested any more.

use crate::carrier::{Ask, Notice, Opened};
use crate::error::GuestError;
use crate::mailbox::{Close, Letter};
use bytes::Bytes;
use machine_agent_protocol::{Answer, Channel, Control, StreamId};
use tokio::sync::{mpsc, oneshot, watch};

/// The way to the carrier; every handle has one.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) notices: mpsc::UnboundedSender<Notice>,
    pub(crate) down: watch::Receiver<Option<GuestError>>,
}

impl Ways {
    /// Why the link is down; called when the carrier did not answer.
    pub(crate) async fn why_down(&self) -> GuestError {
        let mut down = self.down.clone();
        let lost = GuestError::LinkLost { source: None };
        match down.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(lost),
            Err(_) => lost,
        }
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Result<(), GuestError> {
        match self.asks.send(ask).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why_down().await),
        }
    }
}

/// The sending side of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    stream: StreamId,
    ways: Ways,
}

/// Whether bytes were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Taken,
    /// The stream is closed; its last letter says why.
    Closed,
}

impl Sender {
    pub(crate) async fn data(&self, bytes: Bytes) -> Result<Sent, GuestError> {
        let (taken, answer) = oneshot::channel();
        let (stream, channel) = (self.stream, Channel::Content);
        self.ways.ask(Ask::Data { stream, channel, bytes, taken }).await?;
        match answer.await {
            Ok(Ok(())) => Ok(Sent::Taken),
            Ok(Err(_)) => Ok(Sent::Closed),
            Err(_) => Err(self.ways.why_down().await),
        }
    }

    pub(crate) async fn end(&self) -> Result<(), GuestError> {
        self.ways.ask(Ask::End { stream: self.stream, channel: Channel::Content }).await
    }

    pub(crate) async fn control(&self, control: Control) -> Result<(), GuestError> {
        self.ways.ask(Ask::Control { stream: self.stream, control }).await
    }
}

/// The receiving side of a stream, and its owner.
#[derive(Debug)]
pub(crate) struct Receiver {
    stream: StreamId,
    letters: mpsc::Receiver<Letter>,
    ways: Ways,
    over: bool,
}

/// One thing that came.
#[derive(Debug)]
pub(crate) enum Came {
    Answer(Answer),
    Data(Channel, Bytes),
    End,
    /// Nothing comes after it.
    Last(Answer),
}

impl Receiver {
    pub(crate) fn new(opened: Opened, ways: Ways) -> Self {
        Self { stream: opened.stream, letters: opened.letters, ways, over: false }
    }

    pub(crate) fn sender(&self) -> Sender {
        Sender { stream: self.stream, ways: self.ways.clone() }
    }

    /// The next thing. A failure as the last answer is an error. Safe to cancel.
    pub(crate) async fn next(&mut self, question: &'static str) -> Result<Came, GuestError> {
        if self.over {
            return Err(GuestError::Unexpected { question });
        }
        let Some(letter) = self.letters.recv().await else {
            self.over = true;
            return Err(self.ways.why_down().await);
        };
        let bytes = match &letter {
            Letter::Data(channel, bytes) => Some((*channel, bytes.len())),
            Letter::Answer(_) | Letter::End | Letter::Last(_) => None,
        };
        // If the carrier is gone, the next call says so.
        self.ways.notices.send(Notice::Took { stream: self.stream, bytes }).ok();
        match letter {
            Letter::Answer(answer) => Ok(Came::Answer(answer)),
            Letter::Data(channel, bytes) => Ok(Came::Data(channel, bytes)),
            Letter::End => Ok(Came::End),
            Letter::Last(close) => {
                self.over = true;
                match close {
                    Close::Answered(Answer::Failed(failed)) => Err(GuestError::Failed(failed)),
                    Close::Answered(answer) => Ok(Came::Last(answer)),
                    Close::Unknown => Err(GuestError::Unexpected { question }),
                    Close::Reset(code, text) => Err(GuestError::Reset { code, text }),
                }
            }
        }
    }

    /// The last answer; anything before it is thrown away.
    pub(crate) async fn last(&mut self, question: &'static str) -> Result<Answer, GuestError> {
        loop {
            match self.next(question).await? {
                Came::Last(answer) => return Ok(answer),
                Came::Answer(_) | Came::Data(..) | Came::End => {}
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.over {
            // Without a carrier there is nobody to tell.
            self.ways.notices.send(Notice::Dropped { stream: self.stream }).ok();
        }
    }
}
