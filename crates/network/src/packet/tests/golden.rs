//! Frames byte by byte, as they were always understood.

use machine_core::network::{GATEWAY, GUEST};
use smoltcp::wire::{ArpOperation, ArpRepr};

use crate::packet::samples::{MAC, at, guest, taken};
use crate::packet::{GATEWAY_MAC, Local, Outbox, Packet, Segment, arp, read, reset, udp};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn who_has_the_gateway() {
    let asked = bytes(
        "ff ff ff ff ff ff  52 54 00 12 34 56  08 06
         00 01 08 00 06 04 00 01  52 54 00 12 34 56  0a 00 02 0f  00 00 00 00 00 00  0a 00 02 02",
    );
    let read = read(&asked, &guest());
    assert!(matches!(read, Ok(Packet::Local(Local::WhoHas { asked: GATEWAY, asker: GUEST }))), "{read:?}");
    let mut outbox = Outbox::new(MAC);
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: GATEWAY_MAC,
        source_protocol_addr: GATEWAY,
        target_hardware_addr: MAC,
        target_protocol_addr: GUEST,
    };
    arp(&mut outbox, &reply).unwrap();
    let answer = bytes(
        "52 54 00 12 34 56  52 55 0a 00 02 02  08 06
         00 01 08 00 06 04 00 02  52 55 0a 00 02 02  0a 00 02 02  52 54 00 12 34 56  0a 00 02 0f",
    );
    assert_eq!(taken(&mut outbox), [answer]);
}

#[test]
fn a_connection_is_asked_for_and_refused() {
    // From 10.0.2.15:40000 to 192.0.2.1:80, with the options that Linux sends.
    let asked = bytes(
        "52 55 0a 00 02 02  52 54 00 12 34 56  08 00
         45 00 00 3c 1c 46 40 00 40 06 50 66 0a 00 02 0f c0 00 02 01
         9c 40 00 50 01 02 03 04 00 00 00 00 a0 02 fa f0 00 00 00 00
         02 04 05 b4 04 02 08 0a 00 00 00 01 00 00 00 00 01 03 03 07",
    );
    let Ok(Packet::Tcp(segment)) = read(&asked, &guest()) else { panic!("{:?}", read(&asked, &guest())) };
    assert_eq!((segment.kind, segment.source, segment.length), (Segment::Opens, at("10.0.2.15:40000"), 1));
    let mut outbox = Outbox::new(MAC);
    reset(&mut outbox, &segment).unwrap();
    let refused = bytes(
        "52 54 00 12 34 56  52 55 0a 00 02 02  08 00
         45 00 00 28 00 01 00 00 40 06 ac bf c0 00 02 01 0a 00 02 0f
         00 50 9c 40 00 00 00 00 01 02 03 05 50 14 00 00 41 29 00 00",
    );
    assert_eq!(taken(&mut outbox), [refused]);
}

#[test]
fn a_datagram_is_answered() {
    let mut outbox = Outbox::new(MAC);
    udp(&mut outbox, at("10.0.2.3:53"), at("10.0.2.15:40000"), b"ab").unwrap();
    let answer = bytes(
        "52 54 00 12 34 56  52 55 0a 00 02 02  08 00
         45 00 00 1e 00 01 00 00 40 11 62 bd 0a 00 02 03 0a 00 02 0f
         00 35 9c 40 00 0a e9 f0 61 62",
    );
    assert_eq!(taken(&mut outbox), [answer]);
}
