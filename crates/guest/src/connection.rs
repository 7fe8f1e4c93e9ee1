//! A connection to a service on the guest's own loopback.
//!
//! ```text
//! Open ──pieces──▶ Open ──the service ended its side──▶ Ended (ours may still be open)
//! ```

use crate::error::GuestError;
use crate::stream::{Came, Receiver, Sender, Sent};
use bytes::Bytes;
use machine_agent_protocol::datagram::{Unpacker, packed};
use machine_agent_protocol::{Answer, Transport};

/// A connection to a service in the guest. Dropping it closes it: a service that we did not end sees a reset.
#[derive(Debug)]
pub struct Connection {
    receiver: Receiver,
    input: ConnectionInput,
    pieces: Pieces,
    ended: bool,
}

/// What one piece is.
#[derive(Debug)]
enum Pieces {
    /// Whatever came together.
    Bytes,
    /// One datagram.
    Datagrams(Unpacker),
}

impl Connection {
    pub(crate) fn new(receiver: Receiver, transport: Transport) -> Self {
        let input = ConnectionInput { sender: receiver.sender(), transport };
        let pieces = match transport {
            Transport::Tcp => Pieces::Bytes,
            Transport::Udp => Pieces::Datagrams(Unpacker::default()),
        };
        Self { receiver, input, pieces, ended: false }
    }

    /// What is sent to the service; may be cloned and used while pieces are awaited.
    #[must_use]
    pub fn input(&self) -> ConnectionInput {
        self.input.clone()
    }

    /// The next bytes, or the next datagram; `None` when the service has ended its side. Safe to cancel.
    ///
    /// # Errors
    /// If the service broke off, or the link broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, GuestError> {
        loop {
            if let Pieces::Datagrams(unpacker) = &mut self.pieces
                && let Some(datagram) = unpacker.next_datagram()
            {
                return Ok(Some(Bytes::copy_from_slice(datagram)));
            }
            if self.ended {
                return Ok(None);
            }
            match self.receiver.next("connect").await? {
                Came::Data(_, bytes) => match &mut self.pieces {
                    Pieces::Bytes => return Ok(Some(bytes)),
                    Pieces::Datagrams(unpacker) => unpacker.push(&bytes),
                },
                Came::End | Came::Last(Answer::Done(_)) => self.ended = true,
                Came::Answer(_) => {}
                Came::Last(_) => return Err(GuestError::Unexpected { question: "connect" }),
            }
        }
    }
}

/// The sending side of a connection.
#[derive(Debug, Clone)]
pub struct ConnectionInput {
    sender: Sender,
    transport: Transport,
}

impl ConnectionInput {
    /// Sends bytes, or one datagram; waits while the guest does not take them.
    ///
    /// # Errors
    /// If the connection is over, the datagram too long, or the link down.
    pub async fn write(&self, bytes: Bytes) -> Result<(), GuestError> {
        let bytes = match self.transport {
            Transport::Tcp => bytes,
            Transport::Udp => Bytes::from(packed(&bytes)?),
        };
        match self.sender.data(bytes).await? {
            Sent::Taken => Ok(()),
            Sent::Closed => Err(GuestError::Closed),
        }
    }

    /// Ends our side: the service reads its end, and may go on sending.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn close(&self) -> Result<(), GuestError> {
        self.sender.end().await
    }
}
