//! What a share leaves to its successor: the queues of its device and the machine's memory, by which what was asked
//! can be answered when the one who was asked is dead. What is answered is in `mourner`.
//!
//! ```text
//! share ──put: first kick, and whenever something changed──▶ strongbox ──look──▶ the next share
//!                            the VMM left, or a new one came: empty ◀──┘
//! ```
//! The strongbox is a pair of sockets: a message lies in it, with its descriptors, for as long as whoever starts
//! shares holds both ends. They need not know what is in it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::sys;

/// A machine's memory has a handful of regions, and each queue two descriptors.
const MOST_DESCRIPTORS: usize = 64;
const LONGEST: usize = 16 << 10;

/// The words of a will. Its descriptors: one for each region, then each queue's kick and call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Words {
    pub(crate) event_index: bool,
    pub(crate) memory: Vec<Region>,
    pub(crate) queues: Vec<Place>,
}

/// A region of the machine's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Region {
    pub(crate) at: u64,
    pub(crate) length: usize,
    /// Where it begins in its file.
    pub(crate) offset: u64,
}

/// Where a queue is in the machine's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) size: u16,
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
}

/// What a predecessor left.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) words: Words,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Where it lies. Holds one will at a time, but for a moment while one takes the place of another.
#[derive(Debug)]
pub(crate) struct Strongbox {
    put: OwnedFd,
    look: OwnedFd,
    holds: AtomicBool,
}

impl Strongbox {
    /// That of who started us, if they gave us one. Closes every other descriptor but the standard streams: to be
    /// asked before any is opened.
    pub(crate) fn inherited() -> io::Result<Option<Self>> {
        let look = rustix::stdio::stdin();
        let is_socket = rustix::fs::fstat(look).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_socket());
        if !is_socket {
            sys::close_inherited_descriptors(sys::STRONGBOX)?;
            return Ok(None);
        }
        sys::close_inherited_descriptors(sys::STRONGBOX + 1)?;
        let (put, look) = (sys::inherited_strongbox(), look.try_clone_to_owned()?);
        Ok(Some(Self { put, look, holds: AtomicBool::new(false) }))
    }

    /// The will that lies in it, which stays there.
    pub(crate) fn look(&self) -> Option<Will> {
        let mut last = None;
        while let Ok(Some(will)) = self.take() {
            last = Some(will);
        }
        self.holds.store(false, Ordering::Relaxed);
        let will = last?;
        let descriptors: Vec<BorrowedFd<'_>> = will.descriptors.iter().map(AsFd::as_fd).collect();
        self.put(&will.words, &descriptors).ok();
        Some(will)
    }

    /// In the stead of the one before.
    pub(crate) fn put(&self, words: &Words, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(words)?;
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut with = SendAncillaryBuffer::new(&mut room);
        if text.len() > LONGEST || !with.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&self.put, &[IoSlice::new(&text)], &mut with, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        // Only now: whoever is killed in between leaves two, of which the later one counts.
        if self.holds.swap(true, Ordering::Relaxed) {
            self.take()?;
        }
        Ok(())
    }

    /// Nobody will have to be answered for.
    pub(crate) fn empty(&self) {
        while let Ok(Some(_)) = self.take() {}
        self.holds.store(false, Ordering::Relaxed);
    }

    /// Takes the oldest.
    fn take(&self) -> io::Result<Option<Will>> {
        let mut text = vec![0; LONGEST];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut with = RecvAncillaryBuffer::new(&mut room);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(&self.look, &mut [IoSliceMut::new(&mut text)], &mut with, flags) {
            Ok(received) if received.bytes == 0 => return Ok(None),
            Ok(received) => received,
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut descriptors = Vec::new();
        for message in with.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                descriptors.extend(some);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(Will { words: serde_json::from_slice(&text[..received.bytes])?, descriptors }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn strongbox() -> Strongbox {
        let (put, look) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        Strongbox { put, look, holds: AtomicBool::new(false) }
    }

    fn words(queues: u16) -> Words {
        let place = |size| Place { size, descriptors: 1, available: 2, used: 3 };
        Words { event_index: true, memory: Vec::new(), queues: (0..queues).map(place).collect() }
    }

    #[test]
    fn the_last_will_counts_and_is_there_for_whoever_looks_next() {
        let strongbox = strongbox();
        assert!(strongbox.look().is_none());
        let file = std::fs::File::open("/dev/null").unwrap();
        for round in 0..100 {
            strongbox.put(&words(round), &[file.as_fd(), file.as_fd()]).unwrap();
        }
        for _ in 0..3 {
            let will = strongbox.look().unwrap();
            assert_eq!((will.words, will.descriptors.len()), (words(99), 2));
        }
        strongbox.empty();
        assert!(strongbox.look().is_none());
    }

    #[test]
    fn of_two_that_a_killed_share_left_the_later_one_counts() {
        let strongbox = strongbox();
        let file = std::fs::File::open("/dev/null").unwrap();
        for round in [1, 2] {
            strongbox.put(&words(round), &[file.as_fd()]).unwrap();
            strongbox.holds.store(false, Ordering::Relaxed);
        }
        assert_eq!(strongbox.look().unwrap().words, words(2));
    }
}
