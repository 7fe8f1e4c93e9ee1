//! Whatever bytes come from the guest: nothing panics, and nothing grows without a bound.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::neighbour::Neighbours;
use crate::packet::samples::{MAC, each_kind, framed, guest};
use crate::packet::{Drops, Outbox, Packet, Reason, Reassembly, echo_reply, read, read_ip, reset, unreachable};

/// All that is done with a frame before a rule or a socket is asked.
struct Door {
    now: Instant,
    reassembly: Reassembly,
    drops: Drops,
    outbox: Outbox,
    neighbours: Neighbours,
}

impl Door {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            reassembly: Reassembly::default(),
            drops: Drops::default(),
            outbox: Outbox::new(MAC),
            neighbours: Neighbours::new(guest(), Some("web".to_owned())),
        }
    }

    fn take(&mut self, frame: &[u8]) {
        self.now += Duration::from_millis(1);
        match read(frame, &guest()) {
            Ok(Packet::Fragment(fragment)) => {
                let whole = self.reassembly.add(self.now, &fragment, &mut self.drops);
                if let Some(whole) = whole {
                    assert!(whole.len() <= usize::from(u16::MAX));
                    match read_ip(&whole, &guest()) {
                        Ok(packet) => self.dispatch(&packet),
                        Err(reason) => self.drops.count(reason),
                    }
                }
            }
            Ok(packet) => self.dispatch(&packet),
            Err(reason) => self.drops.count(reason),
        }
        assert!(self.outbox.waiting().len() <= crate::plan::LARGEST_PACKET);
    }

    fn dispatch(&mut self, packet: &Packet<'_>) {
        let outbox = &mut self.outbox;
        let done = match packet {
            Packet::Local(local) => self.neighbours.answer(local, outbox),
            Packet::Udp(udp) => unreachable(outbox, udp.ip, Reason::Prohibited),
            Packet::Tcp(tcp) => reset(outbox, tcp).and_then(|()| unreachable(outbox, tcp.ip, Reason::Host)),
            Packet::Echo(echo) => echo_reply(outbox, echo).and_then(|()| unreachable(outbox, echo.ip, Reason::Port)),
            Packet::Refused(_) => Ok(()),
            Packet::Fragment(_) => panic!("a fragment of fragments"),
        };
        if let Err(reason) = done {
            self.drops.count(reason);
        }
    }
}

/// A frame of each kind with a few bytes changed, cut off or added.
fn nearly_a_frame() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let frame = prop::sample::select(each_kind());
    (frame, prop::collection::vec(change, 0..6), any::<prop::sample::Index>(), prop::bool::weighted(0.2)).prop_map(
        |(mut frame, changes, end, cut)| {
            for (place, byte) in changes {
                // The addresses of the cards stay, so that more than the first check is met.
                let place = 12 + place.index(frame.len() - 12);
                frame[place] = byte;
            }
            if cut {
                frame.truncate(end.index(frame.len()));
            }
            mended(frame)
        },
    )
}

/// With the checksum of its IPv4 header made right, where there is one.
fn mended(mut frame: Vec<u8>) -> Vec<u8> {
    if let Some(packet) = frame.get_mut(14..)
        && packet.len() >= 20
        && packet[0] >> 4 == 4
        && packet.len() >= usize::from(packet[0] & 0xf) * 4
        && packet[0] & 0xf >= 5
    {
        smoltcp::wire::Ipv4Packet::new_unchecked(packet).fill_checksum();
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_whatever_kind_are_answered(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let mut door = Door::new();
        for frame in frames {
            door.take(&frame);
            for kind in [0x0800, 0x0806, 0x86dd] {
                door.take(&framed(kind.into(), &frame));
            }
        }
    }

    #[test]
    fn frames_that_are_nearly_right_are_answered(frames in prop::collection::vec(nearly_a_frame(), 1..40)) {
        let mut door = Door::new();
        for frame in frames {
            door.take(&frame);
        }
    }
}
