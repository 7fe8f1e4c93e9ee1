//! A command that runs in the guest.
//!
//! ```text
//! Running ──Stdout, Stderr, Refused──▶ Running ──Exited──▶ over
//! ```

use crate::error::GuestError;
use crate::stream::{Came, Receiver, Sender, Sent};
use bytes::{Bytes, BytesMut};
use machine_agent_protocol::{Answer, Channel, Control, Exited, Failed, Resize, Signal};

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// It wrote to its standard output, or its terminal.
    Stdout(Bytes),
    /// It wrote to its standard error.
    Stderr(Bytes),
    /// A signal or resize could not be done; the command goes on.
    Refused(Failed),
    /// It ended, and all that it wrote came before. Nothing comes after.
    Exited(Exited),
}

/// All that a command wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its standard output.
    pub stdout: Bytes,
    /// Its standard error.
    pub stderr: Bytes,
    /// How it ended.
    pub exited: Exited,
}

/// A running command. Dropping it hangs up on the command (SIGHUP, then SIGKILL), unless it was
/// started detached.
#[derive(Debug)]
pub struct ExecStream {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) input: ExecInput,
    pub(crate) pid: u32,
}

impl ExecStream {
    /// Its process id in the guest.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What is sent to the command; may be cloned and used while events are awaited.
    #[must_use]
    pub fn input(&self) -> ExecInput {
        self.input.clone()
    }

    /// What happens next; `None` after the exit, and at once for a detached command. Safe to
    /// cancel.
    ///
    /// # Errors
    /// If the link or the stream broke.
    pub async fn next(&mut self) -> Result<Option<ExecEvent>, GuestError> {
        let Some(receiver) = &mut self.receiver else { return Ok(None) };
        loop {
            let event = match receiver.next("exec").await? {
                Came::Data(Channel::Stderr, bytes) => ExecEvent::Stderr(bytes),
                Came::Data(Channel::Stdout | Channel::Content, bytes) => ExecEvent::Stdout(bytes),
                Came::Answer(Answer::Failed(failed)) => ExecEvent::Refused(failed),
                Came::Answer(_) | Came::End => continue,
                Came::Last(Answer::Exited(exited)) => {
                    self.receiver = None;
                    ExecEvent::Exited(exited)
                }
                Came::Last(_) => return Err(GuestError::Unexpected { question: "exec" }),
            };
            return Ok(Some(event));
        }
    }

    /// Waits for the exit and keeps at most `limit` bytes of output.
    ///
    /// # Errors
    /// If it writes more, the command was detached, or the link broke.
    pub async fn output(mut self, limit: usize) -> Result<ExecOutput, GuestError> {
        let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
        while let Some(event) = self.next().await? {
            match event {
                ExecEvent::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                ExecEvent::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                ExecEvent::Refused(_) => {}
                ExecEvent::Exited(exited) => {
                    return Ok(ExecOutput { stdout: stdout.freeze(), stderr: stderr.freeze(), exited });
                }
            }
            if stdout.len() + stderr.len() > limit {
                return Err(GuestError::TooLarge { limit });
            }
        }
        Err(GuestError::Unexpected { question: "exec" })
    }
}

/// The sending side of a command.
#[derive(Debug, Clone)]
pub struct ExecInput {
    pub(crate) sender: Sender,
}

impl ExecInput {
    /// Sends bytes to the command's standard input; waits while the command does not read. Bytes
    /// for a command that ended are thrown away, as a closed pipe would.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn stdin(&self, bytes: impl Into<Bytes>) -> Result<(), GuestError> {
        match self.sender.data(bytes.into()).await? {
            Sent::Taken | Sent::Closed => Ok(()),
        }
    }

    /// Ends the command's standard input.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn close_stdin(&self) -> Result<(), GuestError> {
        self.sender.end().await
    }

    /// Sends a signal to the command's process group.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn signal(&self, signal: u32) -> Result<(), GuestError> {
        self.sender.control(Control::Signal(Signal { signal })).await
    }

    /// Tells the command's terminal its new size.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn resize(&self, cols: u16, rows: u16) -> Result<(), GuestError> {
        self.sender.control(Control::Resize(Resize { cols, rows })).await
    }
}
