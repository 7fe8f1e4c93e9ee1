//! A file of the guest that is being read or written.
//!
//! ```text
//! FileReader:  Opened ──chunks──▶ End
//! FileWriter:  Open ──write──▶ Open ──finish──▶ Written (dropped before: nothing was written)
//! ```

use crate::error::GuestError;
use crate::stream::{Came, Receiver, Sent};
use bytes::{Bytes, BytesMut};
use machine_agent_protocol::{Answer, FileStat};

/// A file that is being read.
#[derive(Debug)]
pub struct FileReader {
    pub(crate) receiver: Receiver,
    pub(crate) stat: FileStat,
    pub(crate) done: bool,
}

impl FileReader {
    /// What the file was when it was opened.
    #[must_use]
    pub fn stat(&self) -> &FileStat {
        &self.stat
    }

    /// The next bytes; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// If the guest could not read on, or the link broke.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, GuestError> {
        while !self.done {
            match self.receiver.next("read").await? {
                Came::Data(_, bytes) => return Ok(Some(bytes)),
                Came::Last(Answer::Done(_)) => self.done = true,
                Came::Last(_) => return Err(GuestError::Unexpected { question: "read" }),
                Came::Answer(_) | Came::End => {}
            }
        }
        Ok(None)
    }

    /// Everything that is left, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// If it is more, the guest could not read on, or the link broke.
    pub async fn rest(mut self, limit: usize) -> Result<Bytes, GuestError> {
        let mut all = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            if all.len() + bytes.len() > limit {
                return Err(GuestError::TooLarge { limit });
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}

/// A file that is being written. Nobody in the guest sees it before [`Self::finish`].
#[derive(Debug)]
pub struct FileWriter {
    pub(crate) receiver: Receiver,
}

impl FileWriter {
    /// Sends bytes; waits while the guest does not keep up.
    ///
    /// # Errors
    /// If the guest cannot write, or the link is down.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), GuestError> {
        match self.receiver.sender().data(bytes.into()).await? {
            Sent::Taken => Ok(()),
            Sent::Closed => {
                self.receiver.last("write").await?;
                Err(GuestError::Unexpected { question: "write" })
            }
        }
    }

    /// Ends the file and gives it its name; answers how many bytes were written.
    ///
    /// # Errors
    /// If the guest cannot write, or the link is down.
    pub async fn finish(mut self) -> Result<u64, GuestError> {
        self.receiver.sender().end().await?;
        let Answer::Written(written) = self.receiver.last("write").await? else {
            return Err(GuestError::Unexpected { question: "write" });
        };
        Ok(written.bytes)
    }
}
