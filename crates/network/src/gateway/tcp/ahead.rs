//! What a guest says from beyond our window is heard. A sender may be ahead of the window of its receiver: what we
//! tell of ours is rounded down, so that its end goes back by some bytes when it is told again, and Linux numbers
//! its acknowledgments from where it is. smoltcp drops a segment that begins there whole, with what it
//! acknowledges and the window that it tells, and a connection that is full in both directions then waits for ever.
//! RFC 9293 (3.10.7.4) wants valid acknowledgments processed although the segment is not acceptable: so smoltcp is
//! shown them once more, without their bytes, from where it expects them.

use std::time::Instant;

use smoltcp::socket::tcp::{Socket, State};
use smoltcp::wire::{IPV6_HEADER_LEN, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};

use super::owed::Owed;

/// What smoltcp expects next, as far as its answers and its ring tell.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    expected: Option<TcpSeqNumber>,
    owed: Owed,
    queued: usize,
    bare: Vec<u8>,
}

/// How a segment is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// As it is.
    Whole,
    /// Without its bytes, from where it is expected.
    Bare,
}

impl Ahead {
    /// Before smoltcp sees a segment: how it must see it.
    pub(super) fn before(&mut self, socket: &Socket<'_>, ip: &[u8]) -> Shown {
        self.queued = socket.recv_queue();
        match (self.expected, Segment::of(ip)) {
            (Some(expected), Some(segment)) if hears(socket) && segment.length == 0 && segment.sequence > expected => {
                Shown::Bare
            }
            _ => Shown::Whole,
        }
    }

    /// After it saw one whole: whether it must see it bare, too, since it may have taken nothing of it.
    pub(super) fn after(&mut self, now: Instant, socket: &Socket<'_>, ip: &[u8]) -> bool {
        let grown = socket.recv_queue().saturating_sub(self.queued);
        self.expected = self.expected.map(|expected| expected + grown);
        self.owed.came(now, grown);
        let Some(segment) = Segment::of(ip) else { return false };
        let is_elsewhere = self.expected.is_some_and(|expected| segment.sequence != expected);
        hears(socket) && grown == 0 && (segment.length > 0 || is_elsewhere)
    }

    /// The segment without its bytes, from where it is expected.
    pub(super) fn bare(&mut self, ip: &[u8]) -> Option<&[u8]> {
        let (expected, at) = (self.expected?, tcp_at(ip)?);
        let head = at + usize::from(TcpPacket::new_checked(ip.get(at..)?).ok()?.header_len());
        self.bare.clear();
        self.bare.extend_from_slice(ip.get(..head)?);
        let mut segment = TcpPacket::new_unchecked(self.bare.get_mut(at..)?);
        segment.set_seq_number(expected);
        segment.set_fin(false);
        segment.set_psh(false);
        let length = u16::try_from(head).ok()?;
        match IpVersion::of_packet(ip).ok()? {
            IpVersion::Ipv4 => Ipv4Packet::new_unchecked(&mut self.bare).set_total_len(length),
            IpVersion::Ipv6 => {
                let after_head = length - u16::try_from(IPV6_HEADER_LEN).ok()?;
                Ipv6Packet::new_unchecked(&mut self.bare).set_payload_len(after_head);
            }
        }
        Some(&self.bare)
    }

    /// smoltcp said something: it acknowledges all that it has in order.
    pub(super) fn answered(&mut self, acknowledged: Option<TcpSeqNumber>) {
        if acknowledged.is_some() {
            self.expected = acknowledged;
            self.owed.told();
        }
    }

    /// Until when smoltcp need not be asked for packets: it could only acknowledge, and nobody waits for that.
    pub(super) fn may_wait(&self, now: Instant, socket: &Socket<'_>) -> Option<Instant> {
        let only_hears = socket.state() == State::Established && socket.send_queue() == 0;
        if only_hears { self.owed.may_wait(now, socket.recv_capacity()) } else { None }
    }
}

/// What a segment says, if it is one that only carries.
struct Segment {
    sequence: TcpSeqNumber,
    length: usize,
}

impl Segment {
    fn of(ip: &[u8]) -> Option<Self> {
        let segment = TcpPacket::new_checked(ip.get(tcp_at(ip)?..)?).ok()?;
        let carries = segment.ack() && !segment.syn() && !segment.rst();
        carries.then(|| Self { sequence: segment.seq_number(), length: segment.segment_len() })
    }
}

/// What a packet of smoltcp's acknowledges.
pub(super) fn acknowledged(ip: &[u8]) -> Option<TcpSeqNumber> {
    let segment = TcpPacket::new_checked(ip.get(tcp_at(ip)?..)?).ok()?;
    (segment.ack() && !segment.rst()).then(|| segment.ack_number())
}

/// Where the segment begins in its packet.
fn tcp_at(ip: &[u8]) -> Option<usize> {
    // smoltcp panics when it is asked for the version of nothing.
    if ip.is_empty() {
        return None;
    }
    match IpVersion::of_packet(ip).ok()? {
        IpVersion::Ipv4 => {
            let packet = Ipv4Packet::new_checked(ip).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| usize::from(packet.header_len()))
        }
        IpVersion::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ip).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then_some(IPV6_HEADER_LEN)
        }
    }
}

/// Whether the guest has not ended yet: after its end it is nowhere else than expected.
fn hears(socket: &Socket<'_>) -> bool {
    match socket.state() {
        State::Established | State::FinWait1 | State::FinWait2 => true,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use smoltcp::wire::TcpControl;

    use super::super::lines::{Line, Lines};
    use super::super::stack::{Stack, endpoint};
    use super::*;
    use crate::packet::{ETHERNET, Outbox, samples};

    const GUEST: [&str; 2] = ["10.0.2.15:1234", "[fd6d:6163:68ee::15]:1234"];
    const OTHER: [&str; 2] = ["203.0.113.10:80", "[2001:db8::10]:80"];
    const FIRST: i32 = 1000;

    /// A guest that fills our window, and the connection that it fills.
    struct Full {
        stack: Stack,
        line: Line,
        outbox: Outbox,
        now: Instant,
        ends: (&'static str, &'static str),
        said: i32,
        heard: i32,
        window: usize,
    }

    impl Full {
        fn new((guest, other): (&'static str, &'static str)) -> Self {
            let now = Instant::now();
            let mut outbox = Outbox::new(samples::guest().mac);
            let stack = Stack::new(now, 1, &mut outbox);
            let mut line = Lines::new().lend().unwrap();
            line.socket().listen(endpoint(samples::at(other))).unwrap();
            let ends = (guest, other);
            let mut full = Self { stack, line, outbox, now, ends, said: FIRST, heard: 0, window: 0 };
            full.say(FIRST, TcpControl::Syn, false, b"");
            full.said += 1;
            full.hear();
            full.heard += 1;
            full.say(full.said, TcpControl::None, true, b"");
            while full.window > 0 {
                let bytes = vec![7; full.window.min(60_000)];
                full.say(full.said, TcpControl::None, true, &bytes);
                full.said += i32::try_from(bytes.len()).unwrap();
                full.hear();
            }
            assert_eq!(full.line.socket().recv_queue(), full.line.socket().recv_capacity());
            assert_eq!(full.line.socket().send_slice(&[8; 5000]), Ok(5000));
            full.hear();
            full
        }

        fn say(&mut self, sequence: i32, control: TcpControl, acknowledges: bool, bytes: &[u8]) {
            let heard = acknowledges.then_some(self.heard);
            let mut packet = samples::tcp(self.ends.0, self.ends.1, control, heard, bytes);
            let at = tcp_at(&packet).unwrap();
            TcpPacket::new_unchecked(&mut packet[at..]).set_seq_number(TcpSeqNumber(sequence));
            self.stack.take(self.now, &mut self.line, &packet, &mut self.outbox);
        }

        fn hear(&mut self) {
            // Acknowledgments may be held back for a moment.
            self.now += Duration::from_millis(20);
            while self.stack.give(self.now, &mut self.line, &mut self.outbox) {}
            for frame in samples::taken(&mut self.outbox) {
                let segment = TcpPacket::new_checked(&frame[ETHERNET + tcp_at(&frame[ETHERNET..]).unwrap()..]).unwrap();
                let end = segment.seq_number() + segment.payload().len();
                self.window = usize::from(segment.window_len());
                if segment.syn() {
                    self.heard = end.0;
                } else {
                    self.heard = TcpSeqNumber(self.heard).max(end).0;
                    assert_eq!(segment.ack_number().0, self.said);
                }
            }
        }
    }

    fn both() -> impl Iterator<Item = Full> {
        GUEST.into_iter().zip(OTHER).map(Full::new)
    }

    #[test]
    fn an_acknowledgment_from_beyond_a_closed_window_is_heard() {
        for mut full in both() {
            assert_eq!(full.line.socket().send_queue(), 5000);
            full.say(full.said + 48, TcpControl::None, true, b"");
            assert_eq!(full.line.socket().send_queue(), 0);
        }
    }

    #[test]
    fn bytes_for_which_there_is_no_room_acknowledge() {
        for mut full in both() {
            full.say(full.said, TcpControl::Psh, true, b"probe");
            assert_eq!(full.line.socket().send_queue(), 0);
            assert_eq!(full.line.socket().recv_queue(), full.line.socket().recv_capacity());
            full.line.socket().send_slice(&[9; 70]).unwrap();
            full.hear();
            full.say(full.said + 5, TcpControl::Fin, true, b"");
            assert_eq!(full.line.socket().send_queue(), 0);
            assert_eq!(full.line.socket().state(), State::Established);
        }
    }

    #[test]
    fn a_probe_from_before_the_window_acknowledges_and_is_answered() {
        for mut full in both() {
            full.say(full.said - 1, TcpControl::None, true, b"");
            assert_eq!(full.line.socket().send_queue(), 0);
            assert_eq!(samples::taken(&mut full.outbox).len(), 1);
        }
    }

    #[test]
    fn what_is_no_segment_is_left_alone() {
        let mut ahead = Ahead::default();
        for bytes in [&b""[..], b"\x45", b"\x60\0\0", &samples::udp(GUEST[0], OTHER[0], b"hello")] {
            ahead.answered(Some(TcpSeqNumber(7)));
            assert_eq!(acknowledged(bytes), None);
            assert_eq!(ahead.bare(bytes), None);
        }
    }
}
