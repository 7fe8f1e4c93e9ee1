//! Who listens in a guest, as it comes. The guest may lie: of everything there is at most so much.
//!
//! ```text
//! Open ──news──▶ Open ──Done──▶ Ended
//! ```

use crate::error::GuestError;
use crate::stream::{Came, Receiver};
use machine_agent_protocol::datagram::Unpacker;
use machine_agent_protocol::{Answer, ListenerNews, Listeners};

const QUESTION: &str = "listeners";

/// News of who listens.
#[derive(Debug)]
pub struct ListenerStream {
    receiver: Receiver,
    unpacker: Unpacker,
    ended: bool,
}

impl ListenerStream {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self { receiver, unpacker: Unpacker::default(), ended: false }
    }

    /// The next news; `None` at the end of what is not followed. Safe to cancel.
    ///
    /// # Errors
    /// If the guest cannot, what it says is no news, or the link broke.
    pub async fn next(&mut self) -> Result<Option<ListenerNews>, GuestError> {
        loop {
            if let Some(bytes) = self.unpacker.next_datagram() {
                return believe(bytes).map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            match self.receiver.next(QUESTION).await? {
                Came::Data(_, bytes) => self.unpacker.push(&bytes),
                Came::Last(Answer::Done(_)) => self.ended = true,
                Came::Last(_) => return Err(GuestError::Unexpected { question: QUESTION }),
                Came::Answer(_) | Came::End => {}
            }
        }
    }
}

fn believe(bytes: &[u8]) -> Result<ListenerNews, GuestError> {
    let news = ListenerNews::decode(bytes).map_err(|_| GuestError::Unexpected { question: QUESTION })?;
    if news.opened.len() > Listeners::MOST || news.closed.len() > Listeners::MOST {
        return Err(GuestError::TooLarge { limit: Listeners::MOST });
    }
    Ok(news)
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_agent_protocol::{ListenAddress, Listener, Transport};

    #[test]
    fn no_guest_listens_at_more_than_it_may() {
        let address = ListenAddress::Any;
        let one = Listener { port: 1, transport: Transport::Tcp, address, uid: 0, program: None };
        let news = |count| ListenerNews { opened: vec![one.clone(); count], closed: Vec::new() };
        let bytes = |count| news(count).pack().unwrap()[2..].to_vec();
        assert_eq!(believe(&bytes(Listeners::MOST)).unwrap(), news(Listeners::MOST));
        assert!(matches!(believe(&bytes(Listeners::MOST + 1)), Err(GuestError::TooLarge { .. })));
        assert!(matches!(believe(b"\xff"), Err(GuestError::Unexpected { .. })));
    }
}
