//! What came for one stream and was not taken yet. Bounded whatever the guest does: bytes by the
//! window (small pieces are put together), answers by a count.

use bytes::{Bytes, BytesMut};
use machine_agent_protocol::{Answer, Channel};
use std::collections::VecDeque;

/// More answers than this do not wait in one stream.
const MAX_ANSWERS: usize = 64;

/// One thing for the owner of a stream.
#[derive(Debug)]
pub(crate) enum Letter {
    Answer(Answer),
    Data(Channel, Bytes),
    End,
    /// The stream's last letter.
    Last(Close),
}

/// How a stream ended.
#[derive(Debug)]
pub(crate) enum Close {
    Answered(Answer),
    /// With an answer that is younger than we are.
    Unknown,
    Reset(machine_agent_protocol::ResetCode, String),
}

/// The guest sends answers without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flooded;

#[derive(Debug, Default)]
struct Lane {
    bytes: BytesMut,
    /// When the oldest of `bytes` came, relative to the other lanes.
    since: u64,
    ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    answers: VecDeque<Answer>,
    lanes: [Lane; 3],
    clock: u64,
    close: Option<Close>,
}

impl Mailbox {
    pub(crate) fn answer(&mut self, answer: Answer) -> Result<(), Flooded> {
        if self.answers.len() >= MAX_ANSWERS {
            return Err(Flooded);
        }
        self.answers.push_back(answer);
        Ok(())
    }

    pub(crate) fn data(&mut self, channel: Channel, bytes: Vec<u8>) {
        self.clock += 1;
        let clock = self.clock;
        let lane = self.lane(channel);
        if lane.bytes.is_empty() {
            lane.since = clock;
            // The usual case, a reader that keeps up, costs no copy.
            lane.bytes = BytesMut::from(Bytes::from(bytes));
        } else {
            lane.bytes.extend_from_slice(&bytes);
        }
    }

    pub(crate) fn end(&mut self, channel: Channel) {
        self.lane(channel).ended = true;
    }

    pub(crate) fn close(&mut self, close: Close) {
        self.close = Some(close);
    }

    /// The next letter, oldest first: answers, then bytes, then ends, then the last one.
    pub(crate) fn take(&mut self) -> Option<Letter> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(Letter::Answer(answer));
        }
        let oldest = Channel::ALL
            .into_iter()
            .filter(|channel| !self.lanes[index(*channel)].bytes.is_empty())
            .min_by_key(|channel| self.lanes[index(*channel)].since);
        if let Some(channel) = oldest {
            return Some(Letter::Data(channel, std::mem::take(&mut self.lane(channel).bytes).freeze()));
        }
        for channel in Channel::ALL {
            if std::mem::take(&mut self.lane(channel).ended) {
                return Some(Letter::End);
            }
        }
        self.close.take().map(Letter::Last)
    }

    fn lane(&mut self, channel: Channel) -> &mut Lane {
        &mut self.lanes[index(channel)]
    }
}

fn index(channel: Channel) -> usize {
    match channel {
        Channel::Content => 0,
        Channel::Stdout => 1,
        Channel::Stderr => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_put_together_and_the_older_channel_comes_first() {
        let mut mailbox = Mailbox::default();
        for byte in 0..100 {
            mailbox.data(Channel::Stderr, vec![byte]);
            mailbox.data(Channel::Stdout, vec![byte]);
        }
        mailbox.close(Close::Unknown);
        assert!(matches!(mailbox.take(), Some(Letter::Data(Channel::Stderr, bytes)) if bytes.len() == 100));
        assert!(matches!(mailbox.take(), Some(Letter::Data(Channel::Stdout, bytes)) if bytes.len() == 100));
        assert!(matches!(mailbox.take(), Some(Letter::Last(Close::Unknown))));
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn answers_without_end_are_refused() {
        let mut mailbox = Mailbox::default();
        let refused = (0..1000).find(|_| mailbox.answer(Answer::DONE).is_err());
        assert_eq!(refused, Some(64));
    }
}
