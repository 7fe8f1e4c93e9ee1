//! One stream's windows. Pure counting; who may send what is decided in `mux`.
//!
//! ```text
//! each channel, each way:  Open ──End──▶ Ended
//! ```

use crate::frame::Channel;

/// How many bytes a sender may have under way on one channel before the receiver used some.
pub const WINDOW: u32 = 256 * 1024;

/// The peer sent more than it was allowed to, or after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overrun;

#[derive(Debug, Clone, Copy)]
struct Lane {
    /// How much we may still send.
    to_send: u32,
    /// How much the peer may still send.
    to_receive: u32,
    /// Used by our side, not yet given back as credit.
    used: u32,
    sent_end: bool,
    received_end: bool,
}

impl Lane {
    const NEW: Self = Self { to_send: WINDOW, to_receive: WINDOW, used: 0, sent_end: false, received_end: false };
}

/// The state that both ends keep for a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    lanes: [Lane; 3],
    /// Pieces of a message whose last frame has not come yet.
    pub(crate) partial: Vec<u8>,
    /// The first message came.
    pub(crate) greeted: bool,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self { lanes: [Lane::NEW; 3], partial: Vec::new(), greeted: false }
    }

    /// How many of `wanted` bytes may be sent now.
    pub(crate) fn sendable(&self, channel: Channel, wanted: usize) -> usize {
        let lane = &self.lanes[channel.index()];
        let allowed = if lane.sent_end { 0 } else { lane.to_send };
        wanted.min(usize::try_from(allowed).unwrap_or(usize::MAX))
    }

    pub(crate) fn sent(&mut self, channel: Channel, count: usize) {
        let lane = &mut self.lanes[channel.index()];
        lane.to_send = lane.to_send.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// True the first time.
    pub(crate) fn send_end(&mut self, channel: Channel) -> bool {
        !std::mem::replace(&mut self.lanes[channel.index()].sent_end, true)
    }

    pub(crate) fn received(&mut self, channel: Channel, count: usize) -> Result<(), Overrun> {
        let lane = &mut self.lanes[channel.index()];
        let count = u32::try_from(count).map_err(|_| Overrun)?;
        // An empty data frame costs no credit: unbounded work for nothing, so it is refused.
        if lane.received_end || count == 0 {
            return Err(Overrun);
        }
        lane.to_receive = lane.to_receive.checked_sub(count).ok_or(Overrun)?;
        Ok(())
    }

    pub(crate) fn received_end(&mut self, channel: Channel) -> Result<(), Overrun> {
        let before = std::mem::replace(&mut self.lanes[channel.index()].received_end, true);
        if before { Err(Overrun) } else { Ok(()) }
    }

    pub(crate) fn received_credit(&mut self, channel: Channel, credit: u32) -> Result<(), Overrun> {
        let lane = &mut self.lanes[channel.index()];
        let total = lane.to_send.checked_add(credit).ok_or(Overrun)?;
        if total > WINDOW || credit == 0 {
            return Err(Overrun);
        }
        lane.to_send = total;
        Ok(())
    }

    /// Our side used `count` bytes; answers the credit to send, if it is worth a frame.
    pub(crate) fn consume(&mut self, channel: Channel, count: usize) -> Option<u32> {
        let lane = &mut self.lanes[channel.index()];
        let room = WINDOW - lane.to_receive;
        lane.used = lane.used.saturating_add(u32::try_from(count).unwrap_or(u32::MAX)).min(room);
        if lane.received_end || lane.used < WINDOW / 4 {
            return None;
        }
        lane.to_receive += lane.used;
        Some(std::mem::take(&mut lane.used))
    }
}
