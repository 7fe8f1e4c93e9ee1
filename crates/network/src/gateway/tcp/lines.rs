//! The guest's ends of connections: a TCP socket of smoltcp each, alone in its set, on two rings of lent memory.
//! Early connections get large rings, a crowd small ones, so that all together they can never hold more than
//! the sum below; what was not touched, or was given back, is not resident.

use std::io;
use std::time::Instant;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};

use super::ahead::Ahead;
use super::owed;
use crate::sys::Region;

/// How large a ring is, and how many connections have such.
const CLASSES: [(usize, u32); 4] = [(1 << 20, 64), (1 << 18, 256), (1 << 16, 1024), (1 << 14, 15_040)];
/// Of address space, at a time.
const REGION: usize = 128 << 20;

/// How many lines there can be.
pub(crate) const MOST: usize = {
    let (mut sum, mut class) = (0, 0);
    while class < CLASSES.len() {
        sum += CLASSES[class].1 as usize;
        class += 1;
    }
    sum
};

/// Memory for lines.
#[derive(Debug)]
pub(crate) struct Lines {
    classes: [Class; CLASSES.len()],
}

#[derive(Debug)]
struct Class {
    ring: usize,
    most: u32,
    regions: Vec<Region>,
    free: Vec<u32>,
    used: u32,
}

/// A guest's end. Its memory comes back only through `Lines::take_back`.
#[derive(Debug)]
pub(crate) struct Line {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    ahead: Ahead,
    class: usize,
    place: u32,
}

impl Lines {
    /// None lent yet.
    pub(crate) fn new() -> Self {
        let class = |(ring, most)| Class { ring, most, regions: Vec::new(), free: Vec::new(), used: 0 };
        Self { classes: CLASSES.map(class) }
    }

    /// A closed socket on the largest rings that are left.
    pub(crate) fn lend(&mut self) -> io::Result<Line> {
        let free = self.classes.iter_mut().enumerate().find(|(_, class)| class.has_room());
        let (number, class) = free.ok_or(io::ErrorKind::QuotaExceeded)?;
        let place = class.take()?;
        let (region, from) = class.locate(place)?;
        let ring = class.ring;
        let region = class.regions.get_mut(region).ok_or(io::ErrorKind::NotFound)?;
        let (receive, send) = region.part(from, 2 * ring).split_at_mut(ring);
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
        // The program at the other end decided what it sends together.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(owed::PATIENCE.into()));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Ok(Line { sockets, handle, ahead: Ahead::default(), class: number, place })
    }

    /// Takes a line's memory back.
    pub(crate) fn take_back(&mut self, line: Line) {
        let Line { sockets, class, place, .. } = line;
        // Nobody may see the memory any more before it is another's.
        drop(sockets);
        self.forget(class, place);
        if let Some(class) = self.classes.get_mut(class) {
            class.free.push(place);
        }
    }

    /// Gives a silent line's pages back to the host: nothing may be in its rings.
    pub(crate) fn rest(&mut self, line: &mut Line) {
        let socket = line.socket();
        if socket.send_queue() == 0 && socket.recv_queue() == 0 {
            self.forget(line.class, line.place);
        }
    }

    fn forget(&mut self, class: usize, place: u32) {
        let Some(class) = self.classes.get_mut(class) else { return };
        let Ok((region, from)) = class.locate(place) else { return };
        if let Some(region) = class.regions.get_mut(region) {
            region.forget(from, 2 * class.ring);
        }
    }
}

impl Class {
    fn has_room(&self) -> bool {
        !self.free.is_empty() || self.used < self.most
    }

    /// The place that was left last, or a new one.
    fn take(&mut self) -> io::Result<u32> {
        if let Some(place) = self.free.pop() {
            return Ok(place);
        }
        let (region, _) = self.locate(self.used)?;
        if region == self.regions.len() {
            self.regions.push(Region::new(REGION)?);
        }
        self.used += 1;
        Ok(self.used - 1)
    }

    /// In which region a place is, and where there.
    fn locate(&self, place: u32) -> io::Result<(usize, usize)> {
        let place = usize::try_from(place).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let in_one = REGION / (2 * self.ring);
        Ok((place / in_one, place % in_one * 2 * self.ring))
    }
}

impl Line {
    /// The socket.
    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// The set that it is alone in.
    pub(crate) fn set(&mut self) -> &mut SocketSet<'static> {
        &mut self.sockets
    }

    /// What it expects of the guest.
    pub(super) fn ahead(&mut self) -> &mut Ahead {
        &mut self.ahead
    }

    /// Until when no packet is to be made of it; see `Ahead::may_wait`.
    pub(super) fn may_wait(&self, now: Instant) -> Option<Instant> {
        self.ahead.may_wait(now, self.sockets.get(self.handle))
    }

    /// The set, which of it the socket is, and what it expects.
    pub(super) fn parts(&mut self) -> (&mut SocketSet<'static>, SocketHandle, &mut Ahead) {
        (&mut self.sockets, self.handle, &mut self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_shrink_as_connections_grow_many_and_come_back() {
        let mut lines = Lines::new();
        let mut lent: Vec<Line> = (0..400).map(|_| lines.lend().unwrap()).collect();
        assert_eq!(lent[63].socket().recv_capacity(), 1 << 20);
        assert_eq!(lent[64].socket().recv_capacity(), 1 << 18);
        assert_eq!(lent[320].socket().send_capacity(), 1 << 16);
        lines.take_back(lent.remove(0));
        assert_eq!(lines.lend().unwrap().socket().recv_capacity(), 1 << 20);
    }

    #[test]
    fn there_is_an_end_to_lines() {
        let mut lines = Lines::new();
        let mut lent: Vec<Line> = (0..MOST).map(|_| lines.lend().unwrap()).collect();
        assert!(lines.lend().is_err());
        assert_eq!(lent[MOST - 1].socket().recv_capacity(), 1 << 14);
        lines.take_back(lent.remove(MOST - 1));
        assert!(lines.lend().is_ok());
    }

    #[test]
    fn all_rings_together_are_bounded() {
        let all: usize = CLASSES.iter().map(|&(ring, most)| 2 * ring * most as usize).sum();
        assert!(all < 1 << 30, "{all}");
        assert_eq!(MOST, 16_384);
    }
}
