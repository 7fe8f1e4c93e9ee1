//! A guest that asks our resolver over a stream.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smoltcp::socket::tcp::Socket;

use super::Tcp;
use super::carry::Moved;
use super::flow::{Asking, Far, Flow};
use crate::gateway::slots::Key;
use crate::resolver::Frames;

/// How long a guest may say nothing.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// Questions of one stream that wait for answers.
const OPEN: usize = 8;
/// Bytes at a time.
const PIECE: usize = 4096;

impl Asking {
    pub(super) fn new(until: Instant) -> Self {
        Self { incoming: Frames::default(), outgoing: VecDeque::new(), open: 0, until }
    }

    /// Takes questions out of the guest's bytes, and puts answers in.
    pub(super) fn carry(&mut self, now: Instant, guest: &mut Socket<'_>, questions: &mut Vec<Vec<u8>>) -> Moved {
        let mut moved = Moved::Nothing;
        while self.open < OPEN && guest.can_recv() {
            let took = guest.recv(|bytes| {
                let piece = bytes.get(..PIECE).unwrap_or(bytes);
                self.incoming.push(piece);
                (piece.len(), ())
            });
            if took.is_err() {
                break;
            }
            (moved, self.until) = (Moved::Something, now + IDLE);
            while let Some(question) = self.incoming.take() {
                questions.push(question);
                self.open += 1;
            }
        }
        while !self.outgoing.is_empty() {
            let (first, _) = self.outgoing.as_slices();
            let put = guest.send_slice(first).unwrap_or(0);
            if put == 0 {
                break;
            }
            self.outgoing.drain(..put);
            moved = Moved::Something;
        }
        if !guest.may_recv() && self.open == 0 && self.outgoing.is_empty() {
            guest.close();
        }
        moved
    }
}

impl Tcp {
    /// The resolver has an answer for a question that came by this connection; it has its length before it.
    pub(crate) fn answer(&mut self, now: Instant, key: Key, answer: &[u8]) {
        if let Some(Flow { far: Far::Resolver(asking), .. }) = self.flows.get_mut(key) {
            asking.open = asking.open.saturating_sub(1);
            asking.until = now + IDLE;
            asking.outgoing.extend(answer);
            self.queue(key);
        }
    }
}
