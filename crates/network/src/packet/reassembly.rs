//! Puts packets together of their fragments: few at a time, not for long, and none whose fragments overlap.
//!
//! ```text
//!            ┌──more──┐
//! (new) ──▶ Collecting ──last piece──▶ whole packet
//!               │ overlap, too many, contradiction
//!               ▼
//!            Spoilt: takes the rest of its fragments along     both: gone after LIFETIME, or when pushed out
//! ```

use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::wire::{IPV6_HEADER_LEN, IpProtocol, Ipv4Packet, Ipv6Packet};

use super::{Dropped, Drops};

/// How many packets may be incomplete at a time.
const PACKETS: usize = 16;
/// How many fragments a packet may have; enough for the largest over links of 576 bytes.
const FRAGMENTS: usize = 128;
/// How long a packet may take.
const LIFETIME: Duration = Duration::from_secs(5);
/// The largest IP packet.
const LARGEST: usize = u16::MAX as usize;

/// A part of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment<'a> {
    /// The header in front, as the whole packet will have it but for lengths and sums.
    pub(super) header: &'a [u8],
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) identity: u32,
    /// Where it belongs, in bytes.
    pub(super) offset: usize,
    pub(super) more: bool,
    pub(super) data: &'a [u8],
}

/// The packets that are incomplete.
#[derive(Debug, Default)]
pub(crate) struct Reassembly(Vec<Partial>);

/// To which packet a fragment belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Belonging {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identity: u32,
}

#[derive(Debug)]
struct Partial {
    belonging: Belonging,
    until: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Collecting(Pieces),
    Spoilt,
}

#[derive(Debug, Default)]
struct Pieces {
    header: Option<Box<[u8]>>,
    data: Vec<u8>,
    /// What of `data` came, in order, with gaps in between.
    there: Vec<(usize, usize)>,
    end: Option<usize>,
}

impl Reassembly {
    /// Takes a fragment; gives the packet, if it was the last that was missing.
    pub(crate) fn add(&mut self, now: Instant, fragment: &Fragment<'_>, drops: &mut Drops) -> Option<Vec<u8>> {
        self.expire(now, drops);
        let Fragment { source, destination, protocol, identity, .. } = *fragment;
        let belonging = Belonging { source, destination, protocol, identity };
        let place = self.place(now, belonging, drops);
        let partial = self.0.get_mut(place)?;
        let taken = match &mut partial.state {
            State::Collecting(pieces) => pieces.take(fragment),
            State::Spoilt => Err(Dropped::Overlap),
        };
        match taken {
            Ok(None) => None,
            Ok(Some(whole)) => {
                self.0.swap_remove(place);
                Some(whole)
            }
            Err(reason) => {
                drops.count(reason);
                partial.state = State::Spoilt;
                None
            }
        }
    }

    /// Forgets those whose time is over.
    pub(crate) fn expire(&mut self, now: Instant, drops: &mut Drops) {
        self.0.retain(|partial| {
            let stays = partial.until > now;
            if !stays {
                partial.lost(drops);
            }
            stays
        });
    }

    /// When the next one's time is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().map(|partial| partial.until).min()
    }

    /// Where its packet is; the oldest of too many makes room.
    fn place(&mut self, now: Instant, belonging: Belonging, drops: &mut Drops) -> usize {
        if let Some(place) = self.0.iter().position(|partial| partial.belonging == belonging) {
            return place;
        }
        if self.0.len() >= PACKETS
            && let Some((oldest, partial)) = self.0.iter().enumerate().min_by_key(|(_, partial)| partial.until)
        {
            partial.lost(drops);
            self.0.swap_remove(oldest);
        }
        self.0.push(Partial { belonging, until: now + LIFETIME, state: State::Collecting(Pieces::default()) });
        self.0.len() - 1
    }
}

impl Partial {
    fn lost(&self, drops: &mut Drops) {
        match self.state {
            State::Collecting(_) => drops.count(Dropped::Incomplete),
            // Counted when it was spoilt.
            State::Spoilt => (),
        }
    }
}

impl Pieces {
    fn take(&mut self, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, Dropped> {
        let (start, end) = (fragment.offset, fragment.offset + fragment.data.len());
        if start == end || (fragment.more && !fragment.data.len().is_multiple_of(8)) {
            return Err(Dropped::Malformed);
        }
        if end + fragment.header.len() > LARGEST {
            return Err(Dropped::Oversized);
        }
        self.note_end(end, fragment.more)?;
        self.note(start, end)?;
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[start..end].copy_from_slice(fragment.data);
        if start == 0 {
            self.header = Some(fragment.header.into());
        }
        match (&self.header, self.end, self.there.as_slice()) {
            (Some(header), Some(end), &[(0, reached)]) if reached == end => {
                whole(header, fragment.protocol, &self.data).map(Some)
            }
            (Some(_) | None, Some(_) | None, _) => Ok(None),
        }
    }

    /// No piece may lie behind the end, and there is but one.
    fn note_end(&mut self, end: usize, more: bool) -> Result<(), Dropped> {
        let contradicts = match (self.end, more) {
            (Some(known), true) => end >= known,
            (Some(_), false) => true,
            (None, true) => false,
            (None, false) => self.data.len() > end,
        };
        if contradicts {
            return Err(Dropped::Overlap);
        }
        if !more {
            self.end = Some(end);
        }
        Ok(())
    }

    fn note(&mut self, start: usize, end: usize) -> Result<(), Dropped> {
        let place = self.there.partition_point(|&(there, _)| there < start);
        let before = place.checked_sub(1).and_then(|before| self.there.get(before)).map(|&(_, end)| end);
        let after = self.there.get(place).map(|&(start, _)| start);
        if before.is_some_and(|before| before > start) || after.is_some_and(|after| after < end) {
            return Err(Dropped::Overlap);
        }
        match (before == Some(start), after == Some(end)) {
            (true, true) => {
                let (_, end) = self.there.remove(place);
                self.there[place - 1].1 = end;
            }
            (true, false) => self.there[place - 1].1 = end,
            (false, true) => self.there[place].0 = start,
            (false, false) if self.there.len() < FRAGMENTS => self.there.insert(place, (start, end)),
            (false, false) => return Err(Dropped::TooManyFragments),
        }
        Ok(())
    }
}

fn whole(header: &[u8], protocol: u8, data: &[u8]) -> Result<Vec<u8>, Dropped> {
    let mut whole = [header, data].concat();
    let total = u16::try_from(whole.len()).map_err(|_| Dropped::Oversized)?;
    match whole.first().map(|first| first >> 4) {
        Some(4) => {
            let mut packet = Ipv4Packet::new_unchecked(&mut whole);
            packet.set_total_len(total);
            packet.clear_flags();
            packet.set_frag_offset(0);
            packet.fill_checksum();
        }
        Some(6) if header.len() == IPV6_HEADER_LEN => {
            let mut packet = Ipv6Packet::new_unchecked(&mut whole);
            packet.set_payload_len(total - IPV6_HEADER_LEN as u16);
            packet.set_next_header(IpProtocol::from(protocol));
        }
        Some(_) | None => return Err(Dropped::Malformed),
    }
    Ok(whole)
}
