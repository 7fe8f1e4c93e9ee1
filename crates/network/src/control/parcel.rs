//! One message with the descriptors beside it, put into a socket or taken out of it. Blocks if the socket does.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message, in bytes: what a Unix socket of usual size takes whole.
pub(crate) const LONGEST: usize = 128 * 1024;
/// How many descriptors may be beside one; the kernel's limit is 253.
pub(crate) const MOST_DESCRIPTORS: usize = 128;

/// What came.
#[derive(Debug)]
pub(crate) enum Received<T> {
    /// A message, with what was beside it.
    Message(T, Vec<OwnedFd>),
    /// A message that nobody can read.
    Garbled(String),
    /// The other side is gone.
    End,
}

/// Puts one in, whole.
pub(crate) fn send<T: Serialize>(socket: impl AsFd, message: &T, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > LONGEST || beside.len() > MOST_DESCRIPTORS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the message is too long, or has too many descriptors",
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !beside.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(beside)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes one out.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Received<T>> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let came = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut beside = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            beside.extend(descriptors);
        }
    }
    if came.bytes == 0 {
        return Ok(Received::End);
    }
    if came.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Ok(Received::Garbled("the message is too long, or has too many descriptors".to_owned()));
    }
    Ok(match serde_json::from_slice(bytes.get(..came.bytes).unwrap_or_default()) {
        Ok(message) => Received::Message(message, beside),
        Err(error) => Received::Garbled(error.to_string()),
    })
}
