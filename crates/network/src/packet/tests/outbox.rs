//! What the queue to the guest holds, and how it is taken out.

use crate::packet::samples::{MAC, at, taken};
use crate::packet::{Dropped, Outbox, udp};
use crate::plan::LARGEST_PACKET;

const FROM: &str = "192.0.2.1:53";
const TO: &str = "10.0.2.15:4000";

fn put(outbox: &mut Outbox, length: usize, byte: u8) -> Result<(), Dropped> {
    udp(outbox, at(FROM), at(TO), &vec![byte; length])
}

#[test]
fn it_holds_so_many_bytes_and_no_more_for_ever() {
    let mut outbox = Outbox::new(MAC);
    for round in 0..50 {
        let mut held = 0;
        while outbox.has_room() {
            put(&mut outbox, 60_000 + round, 1).unwrap();
            held += 1;
        }
        assert_eq!(held, 8);
        assert_eq!(put(&mut outbox, 65_000, 1), Err(Dropped::LinkFull));
        // There is still room for small ones, and the order stays.
        put(&mut outbox, 10, 2).unwrap();
        let frames = taken(&mut outbox);
        assert_eq!((frames.len(), frames[8].len()), (9, 52));
    }
}

#[test]
fn a_packet_of_the_link_has_whole_frames_and_is_never_too_long() {
    let mut outbox = Outbox::new(MAC);
    assert_eq!(outbox.waiting(), b"");
    outbox.sent();
    for length in [65_478, 1, 2, 30_000, 30_000, 30_000] {
        put(&mut outbox, length, 3).unwrap();
    }
    let mut lengths = Vec::new();
    while !outbox.is_empty() {
        lengths.push(outbox.waiting().len());
        outbox.sent();
    }
    assert!(lengths.iter().all(|&length| length <= LARGEST_PACKET));
    assert_eq!(lengths, [65_478 + 46 + 47 + 48, 2 * 30_046, 30_046]);
}

#[test]
fn what_is_slowly_taken_out_is_not_mixed_up() {
    let mut outbox = Outbox::new(MAC);
    let (mut put_in, mut taken_out) = (0_u8, 0_u8);
    for _ in 0..300 {
        while put(&mut outbox, 50_000, put_in).is_ok() {
            put_in = put_in.wrapping_add(1);
        }
        let waiting = outbox.waiting();
        assert_eq!((waiting.len(), waiting[50_000]), (50_046, taken_out));
        taken_out = taken_out.wrapping_add(1);
        outbox.sent();
    }
}
