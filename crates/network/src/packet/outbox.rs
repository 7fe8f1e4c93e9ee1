//! Frames on their way to the guest: a queue of a bounded number of bytes, each frame preceded by its length, as
//! the link wants it. One buffer, reused; it costs memory only while it has been used. When it is full,
//! datagrams are dropped and TCP waits.

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpVersion};

use super::{Dropped, ETHERNET, GATEWAY_MAC, LONGEST_FRAME};
use crate::plan::LARGEST_PACKET;

/// Bytes that say how long the frame after them is.
const LENGTH: usize = 4;
/// How many bytes may wait.
const WAITING: usize = 512 * 1024;
/// The buffer; twice of what may wait, so that at most one byte is moved for each that is sent.
const BUFFER: usize = 2 * WAITING;

/// The queue.
pub(crate) struct Outbox {
    guest: EthernetAddress,
    buffer: Vec<u8>,
    sent: usize,
    end: usize,
    identity: u16,
}

impl Outbox {
    /// An empty one; frames go to this card.
    pub(crate) fn new(guest: EthernetAddress) -> Self {
        // Zeroed by the kernel when touched: costs no memory until then.
        Self { guest, buffer: vec![0; BUFFER], sent: 0, end: 0, identity: 0 }
    }

    /// Whether the largest frame would find room.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_for(1, LONGEST_FRAME - ETHERNET)
    }

    /// Whether so many frames, of so many bytes of IP together, would.
    pub(super) fn has_room_for(&self, frames: usize, bytes: usize) -> bool {
        self.end - self.sent + frames * (LENGTH + ETHERNET) + bytes <= WAITING
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.end
    }

    /// What the link shall send as its next packet: as many whole frames, each after its length, as one packet
    /// may have. Empty if nothing waits; an empty packet is not to be sent.
    pub(crate) fn waiting(&self) -> &[u8] {
        let mut rest = &self.buffer[self.sent..self.end];
        let mut length = 0;
        while let Some((told, _)) = rest.split_first_chunk::<LENGTH>() {
            let whole = LENGTH + u32::from_be_bytes(*told) as usize;
            if length + whole > LARGEST_PACKET {
                break;
            }
            length += whole;
            rest = rest.get(whole..).unwrap_or_default();
        }
        &self.buffer[self.sent..self.sent + length]
    }

    /// The link took what waited, or it cannot be sent.
    pub(crate) fn sent(&mut self) {
        self.sent += self.waiting().len();
        if self.is_empty() {
            (self.sent, self.end) = (0, 0);
        }
    }

    /// Puts in an IP packet of `length` bytes. `write` writes all of them: the place holds what was there before.
    /// The frame's header goes by what was written.
    pub(crate) fn ip<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> Result<R, Dropped> {
        let guest = self.guest;
        self.frame(length, |frame| {
            let result = write(&mut frame[ETHERNET..]);
            let (protocol, card) = match IpVersion::of_packet(&frame[ETHERNET..]) {
                Ok(IpVersion::Ipv6) => (EthernetProtocol::Ipv6, card_of_ipv6(&frame[ETHERNET..])),
                Ok(IpVersion::Ipv4) | Err(_) => (EthernetProtocol::Ipv4, card_of_ipv4(&frame[ETHERNET..])),
            };
            head(frame, card.unwrap_or(guest), protocol);
            result
        })
    }

    /// Puts in an ARP packet of `length` bytes, written by `write`.
    pub(crate) fn arp(&mut self, length: usize, write: impl FnOnce(&mut [u8])) -> Result<(), Dropped> {
        let guest = self.guest;
        self.frame(length, |frame| {
            write(&mut frame[ETHERNET..]);
            head(frame, guest, EthernetProtocol::Arp);
        })
    }

    /// An identification for an IPv4 packet that may be fragmented on its way.
    pub(super) fn identity(&mut self) -> u16 {
        self.identity = self.identity.wrapping_add(1);
        self.identity
    }

    fn frame<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> Result<R, Dropped> {
        let whole = ETHERNET + length;
        if whole > LONGEST_FRAME {
            return Err(Dropped::Oversized);
        }
        if !self.has_room_for(1, length) {
            return Err(Dropped::LinkFull);
        }
        if self.end + LENGTH + whole > BUFFER {
            self.buffer.copy_within(self.sent..self.end, 0);
            (self.sent, self.end) = (0, self.end - self.sent);
        }
        let place = &mut self.buffer[self.end..self.end + LENGTH + whole];
        let (before, frame) = place.split_at_mut(LENGTH);
        let told = u32::try_from(whole).map_err(|_| Dropped::LinkFull)?;
        before.copy_from_slice(&told.to_be_bytes());
        let result = write(frame);
        self.end += LENGTH + whole;
        Ok(result)
    }
}

fn head(frame: &mut [u8], to: EthernetAddress, protocol: EthernetProtocol) {
    let mut frame = EthernetFrame::new_unchecked(frame);
    frame.set_src_addr(GATEWAY_MAC);
    frame.set_dst_addr(to);
    frame.set_ethertype(protocol);
}

/// The card that stands for all, if it is for all.
fn card_of_ipv4(packet: &[u8]) -> Option<EthernetAddress> {
    (packet.get(16..20)? == [0xff; 4]).then_some(EthernetAddress::BROADCAST)
}

/// The card that stands for a group, if it is for one.
fn card_of_ipv6(packet: &[u8]) -> Option<EthernetAddress> {
    let destination = packet.get(24..40)?;
    let &[.., a, b, c, d] = destination else { return None };
    (destination[0] == 0xff).then_some(EthernetAddress([0x33, 0x33, a, b, c, d]))
}
