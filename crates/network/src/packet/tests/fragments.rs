//! Which packets are put together of their fragments.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use machine_core::network::GUEST;
use smoltcp::wire::{EthernetProtocol, IpProtocol};

use crate::packet::samples::{GUEST6, at, datagram, framed, guest, ipv4, ipv6};
use crate::packet::{Dropped, Drops, Packet, Reassembly, read, read_ip};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// What came of fragments.
#[derive(Default)]
struct Collected {
    reassembly: Reassembly,
    drops: Drops,
    whole: Vec<Vec<u8>>,
}

impl Collected {
    fn add(&mut self, now: Instant, frame: &[u8]) {
        match read(frame, &guest()) {
            Ok(Packet::Fragment(fragment)) => self.whole.extend(self.reassembly.add(now, &fragment, &mut self.drops)),
            Ok(other) => panic!("{other:?}"),
            Err(reason) => self.drops.count(reason),
        }
    }

    /// The datagrams' payloads.
    fn payloads(&self) -> Vec<Vec<u8>> {
        let payload = |packet: &Vec<u8>| match read_ip(packet, &guest()) {
            Ok(Packet::Udp(read)) => read.payload.to_vec(),
            other => panic!("{other:?}"),
        };
        self.whole.iter().map(payload).collect()
    }
}

fn payload(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

fn whole(length: usize) -> Vec<u8> {
    datagram(at("10.0.2.15:4000"), at("192.0.2.1:53"), &payload(length))
}

fn part(identity: u16, whole: &[u8], from: usize, to: usize) -> Vec<u8> {
    let packet = ipv4((GUEST, OUTSIDE), IpProtocol::Udp, &whole[from..to], |packet| {
        packet.set_ident(identity);
        packet.set_frag_offset(u16::try_from(from).unwrap());
        packet.set_more_frags(to < whole.len());
    });
    framed(EthernetProtocol::Ipv4, &packet)
}

fn part6(whole: &[u8], from: usize, to: usize) -> Vec<u8> {
    let more = u16::from(to < whole.len());
    let [high, low] = (u16::try_from(from).unwrap() | more).to_be_bytes();
    let header = [17, 0, high, low, 0, 0, 0, 9];
    let packet = ipv6((GUEST6, OUTSIDE6), IpProtocol::Ipv6Frag, 64, &[&header, &whole[from..to]].concat());
    framed(EthernetProtocol::Ipv6, &packet)
}

/// Adds parts of one datagram of 1000 bytes; what came of it.
fn collected(ranges: &[(usize, usize)]) -> Collected {
    let (now, whole, mut collected) = (Instant::now(), whole(992), Collected::default());
    for &(from, to) in ranges {
        collected.add(now, &part(1, &whole, from, to));
    }
    collected
}

#[test]
fn parts_are_put_together_in_whatever_order() {
    let orders: [&[(usize, usize)]; 4] = [
        &[(0, 400), (400, 800), (800, 1000)],
        &[(800, 1000), (400, 800), (0, 400)],
        &[(400, 800), (0, 400), (800, 1000)],
        &[(0, 400), (800, 1000), (400, 800)],
    ];
    for order in orders {
        let collected = collected(order);
        assert_eq!(collected.payloads(), [payload(992)], "{order:?}");
        assert_eq!((collected.drops.seen().count(), collected.reassembly.next_deadline()), (0, None));
    }
}

#[test]
fn the_largest_datagram_comes_in_two_parts() {
    let (now, whole, mut collected) = (Instant::now(), whole(65_507), Collected::default());
    collected.add(now, &part(1, &whole, 0, 65_496));
    collected.add(now, &part(1, &whole, 65_496, whole.len()));
    assert_eq!(collected.payloads(), [payload(65_507)]);
}

#[test]
fn parts_that_overlap_spoil_the_whole() {
    let overlaps: [&[(usize, usize)]; 5] = [
        &[(0, 400), (392, 800), (800, 1000), (400, 800)],
        &[(0, 400), (0, 400), (400, 1000)],
        &[(400, 800), (0, 408), (0, 400), (800, 1000)],
        &[(800, 1000), (792, 1000), (0, 800)],
        &[(0, 400), (400, 800), (0, 800), (800, 1000)],
    ];
    for order in overlaps {
        let collected = collected(order);
        assert_eq!(collected.payloads().len(), 0, "{order:?}");
        assert!(collected.drops.of(Dropped::Overlap) > 0, "{order:?}");
    }
}

#[test]
fn nothing_is_behind_the_end() {
    let (now, long, short) = (Instant::now(), whole(992), whole(392));
    for order in [[(0, 400), (400, 800)], [(400, 800), (0, 400)]] {
        let mut collected = Collected::default();
        for (from, to) in order {
            // The short one's only other part is its end; the long one's parts say that there is more.
            collected.add(now, &part(1, &long, from, to));
        }
        collected.add(now, &part(1, &short, 200, 400));
        assert_eq!((collected.whole.len(), collected.drops.of(Dropped::Overlap)), (0, 1));
    }
}

#[test]
fn parts_that_hide_the_ports_or_fit_nowhere_are_dropped() {
    let (now, long, mut collected) = (Instant::now(), whole(992), Collected::default());
    let first = ipv4((GUEST, OUTSIDE), IpProtocol::Tcp, &[0; 16], |packet| packet.set_more_frags(true));
    collected.add(now, &framed(EthernetProtocol::Ipv4, &first));
    collected.add(
        now,
        &framed(EthernetProtocol::Ipv6, &{
            // The first part ends within the extension headers.
            let header = [60, 0, 0, 1, 0, 0, 0, 9, 17, 0, 1, 4, 0, 0, 0, 0];
            ipv6((GUEST6, OUTSIDE6), IpProtocol::Ipv6Frag, 64, &header)
        }),
    );
    assert_eq!(collected.drops.of(Dropped::TinyFragment), 2);
    collected.add(now, &part(1, &long, 0, 401));
    collected.add(now, &part(2, &long, 400, 400));
    assert_eq!(collected.drops.of(Dropped::Malformed), 2);
    let behind = ipv4((GUEST, OUTSIDE), IpProtocol::Udp, &[0; 64], |packet| packet.set_frag_offset(65_528));
    collected.add(now, &framed(EthernetProtocol::Ipv4, &behind));
    assert_eq!(collected.drops.of(Dropped::Oversized), 1);
    assert_eq!(collected.whole.len(), 0);
}

#[test]
fn a_packet_that_stays_incomplete_is_forgotten() {
    let (now, whole, mut collected) = (Instant::now(), whole(992), Collected::default());
    collected.add(now, &part(1, &whole, 0, 400));
    assert_eq!(collected.reassembly.next_deadline(), Some(now + Duration::from_secs(5)));
    collected.add(now + Duration::from_secs(5), &part(1, &whole, 400, 1000));
    assert_eq!((collected.whole.len(), collected.drops.of(Dropped::Incomplete)), (0, 1));
    let Collected { mut reassembly, mut drops, .. } = collected;
    reassembly.expire(now + Duration::from_secs(10), &mut drops);
    assert_eq!((reassembly.next_deadline(), drops.of(Dropped::Incomplete)), (None, 2));
}

#[test]
fn a_flood_pushes_out_the_oldest_and_stays_bounded() {
    let (now, whole, mut collected) = (Instant::now(), whole(992), Collected::default());
    for identity in 0..1000 {
        collected.add(now + Duration::from_millis(u64::from(identity)), &part(identity, &whole, 0, 400));
    }
    assert_eq!(collected.drops.of(Dropped::Incomplete), 1000 - 16);
    for identity in 0..1000 {
        collected.add(now + Duration::from_secs(1), &part(identity, &whole, 400, 1000));
    }
    // The first halves of the last ones were there, until the others' second halves took their places.
    assert!(collected.whole.len() <= 16, "{}", collected.whole.len());
}

#[test]
fn a_packet_of_too_many_pieces_is_dropped() {
    let (now, whole, mut collected) = (Instant::now(), whole(4992), Collected::default());
    for piece in 0..200 {
        collected.add(now, &part(1, &whole, piece * 16 + 8, piece * 16 + 16));
    }
    assert_eq!(collected.drops.of(Dropped::TooManyFragments), 1);
    assert_eq!(collected.drops.of(Dropped::Overlap), 200 - 129);
}

#[test]
fn ipv6_is_put_together_too() {
    let whole = datagram(at(&format!("[{GUEST6}]:4000")), at("[2001:db8::1]:53"), &payload(992));
    let (now, mut collected) = (Instant::now(), Collected::default());
    collected.add(now, &part6(&whole, 400, 1000));
    collected.add(now, &part6(&whole, 0, 400));
    // One that is alone in its fragment is whole at once (RFC 6946).
    collected.add(now, &part6(&whole, 0, 1000));
    assert_eq!(collected.payloads(), [payload(992), payload(992)]);
}

#[test]
fn a_part_within_parts_is_not_read() {
    let inside = [17, 0, 0, 0, 0, 0, 0, 9, 0, 9, 0, 9, 0, 8, 0, 0];
    let packet = ipv6((GUEST6, OUTSIDE6), IpProtocol::Ipv6Frag, 64, &inside);
    assert_eq!(read_ip(&packet, &guest()).map(|_| ()), Err(Dropped::Malformed));
}
