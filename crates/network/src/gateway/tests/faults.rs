//! What goes wrong: frames that are none, gateways that die.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::guest::{self, GATEWAY_MAC, GUEST, MAC, tcp_of};
use super::{Stage, loopback};

/// A frame with an IPv4 packet in it.
fn ip_frame(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpProtocol,
    length: usize,
    write: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let ip = Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len: length, hop_limit: 64 };
    let mut bytes = vec![0; 14 + 20 + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(MAC));
    frame.set_dst_addr(EthernetAddress(GATEWAY_MAC));
    frame.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &ChecksumCapabilities::default());
    write(packet.payload_mut());
    bytes
}

/// A SYN.
pub(super) fn syn_frame(from: Ipv4Addr, from_port: u16, to: Ipv4Addr, to_port: u16) -> Vec<u8> {
    let syn = TcpRepr {
        src_port: from_port,
        dst_port: to_port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1000),
        ack_number: None,
        window_len: 64_000,
        window_scale: Some(2),
        max_seg_size: Some(1460),
        sack_permitted: true,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    ip_frame(from, to, IpProtocol::Tcp, syn.buffer_len(), |place| {
        syn.emit(&mut TcpPacket::new_unchecked(place), &from.into(), &to.into(), &ChecksumCapabilities::default());
    })
}

/// A datagram.
pub(super) fn udp_frame(from_port: u16, to: Ipv4Addr, to_port: u16, payload: &[u8]) -> Vec<u8> {
    let udp = UdpRepr { src_port: from_port, dst_port: to_port };
    ip_frame(GUEST, to, IpProtocol::Udp, 8 + payload.len(), |place| {
        let caps = ChecksumCapabilities::default();
        let put = |place: &mut [u8]| place.copy_from_slice(payload);
        udp.emit(&mut UdpPacket::new_unchecked(place), &GUEST.into(), &to.into(), payload.len(), put, &caps);
    })
}

#[test]
fn a_new_gateway_ends_what_the_old_one_carried() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let conns = [(); 3].map(|()| stage.guest.connect(guest::host(server), 4096));
    for conn in conns {
        stage.guest.established(conn);
        stage.guest.send(conn, b"hello");
        assert_eq!(stage.guest.read(conn, 5), b"hello");
    }
    stage.guest.watch();
    stage.replace();
    // Each of them is asked whether it is still there, so that those that only wait are reset as well.
    let mut asked = 0;
    stage.guest.until("questions", |guest| {
        asked += guest
            .watched()
            .iter()
            .filter_map(|frame| tcp_of(frame).map(|segment| segment.syn()))
            .filter(|&syn| syn)
            .count();
        asked == 3
    });
    for conn in conns {
        stage.guest.socket(conn).send_slice(b"are you there?").unwrap();
        stage.guest.gone(conn);
    }
    let again = stage.guest.connect(guest::host(server), 4096);
    stage.guest.established(again);
    stage.guest.send(again, b"hello");
    assert_eq!(stage.guest.read(again, 5), b"hello");
}

#[test]
fn connections_that_ended_are_not_asked_about() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let conn = stage.guest.connect(guest::host(server), 4096);
    stage.guest.established(conn);
    stage.guest.socket(conn).close();
    stage.until_empty();
    let (_, left) = crate::gateway::FlowsFile::take_over(&stage.path("flows"), 100).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn segments_of_nothing_are_reset_and_resets_are_not_answered() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    stage.guest.watch();
    let mut frame = syn_frame(GUEST, 4000, guest::HOST, server.port());
    let flags = 14 + 20 + 13;
    frame[flags] = 0x10;
    stage.guest.raw(&frame);
    stage.guest.until("a reset", |guest| {
        guest.watched().iter().any(|frame| tcp_of(frame).is_some_and(|segment| segment.rst()))
    });
    frame[flags] = 0x04;
    stage.guest.raw(&frame);
    let conn = stage.guest.connect(guest::host(server), 4096);
    stage.guest.established(conn);
    let resets =
        stage.guest.watched().iter().filter(|frame| tcp_of(frame).is_some_and(|segment| segment.rst())).count();
    assert_eq!(resets, 0);
}

#[test]
fn another_machines_address_is_not_spoken_for() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    stage.guest.raw(&syn_frame(Ipv4Addr::new(10, 0, 2, 16), 4000, guest::HOST, server.port()));
    let conn = stage.guest.connect(guest::host(server), 4096);
    stage.guest.established(conn);
    let counts = stage.control(async |client| client.status().await).unwrap().counts;
    assert_eq!((counts.tcp, counts.dropped.get("spoofed_address")), (1, Some(&1)));
}

#[test]
fn packets_that_are_no_frame_are_counted_and_harm_nobody() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    for packet in [&b"\0"[..], b"\0\0\0\x0a123", b"\xff\xff\xff\xff", &[0; 69_632]] {
        stage.guest.packet(packet);
    }
    let conn = stage.guest.connect(guest::host(server), 4096);
    stage.guest.established(conn);
    let counts = stage.control(async |client| client.status().await).unwrap().counts;
    assert!(counts.dropped.get("malformed").is_some_and(|&times| times >= 4), "{counts:?}");
}

/// A frame that is nearly one: a good one of which some bytes are others, cut or longer.
fn nearly(server: u16) -> impl Strategy<Value = Vec<u8>> {
    let good = (0..4_u8, any::<u16>()).prop_map(move |(kind, port)| match kind {
        0 => syn_frame(GUEST, port | 0x8000, guest::HOST, server),
        1 => udp_frame(port, guest::HOST, server, b"some bytes"),
        2 => udp_frame(port, guest::RESOLVER, 53, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04host\0\0\x01\0\x01"),
        _ => {
            let mut frame = syn_frame(GUEST, port | 0x8000, guest::HOST, server);
            frame[14 + 20 + 13] = port.to_be_bytes()[0];
            frame
        }
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (good, changes, 0..80_usize).prop_map(|(mut frame, changes, cut)| {
        for (place, byte) in changes {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        if cut < frame.len() / 2 {
            frame.truncate(frame.len() - cut);
        }
        frame
    })
}

#[test]
fn whatever_a_guest_sends_others_are_served() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 40, ..ProptestConfig::default() });
    let stage = std::cell::RefCell::new(&mut stage);
    let frames = prop::collection::vec(nearly(server.port()), 0..100);
    runner
        .run(&frames, |frames| {
            let mut stage = stage.borrow_mut();
            for frame in frames {
                stage.guest.raw(&frame);
            }
            let conn = stage.guest.connect(guest::host(server), 4096);
            stage.guest.established(conn);
            stage.guest.send(conn, b"hello");
            assert_eq!(stage.guest.read(conn, 5), b"hello");
            stage.guest.socket(conn).abort();
            stage.guest.turn();
            let counts = stage.control(async |client| client.status().await).unwrap().counts;
            assert!(counts.tcp < 16_384, "{counts:?}");
            Ok(())
        })
        .unwrap();
}
