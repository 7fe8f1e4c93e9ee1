//! Segments that are not part of a connection of ours: one that ends what nobody knows, and one that asks.

use std::net::SocketAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::super::{Dropped, Outbox, Segment, Tcp};
use super::{header, ip};

/// Answers a segment that belongs to nothing with a RST that its sender must take (RFC 793, page 36, as RFC 5961
/// asks for it); a RST is not answered.
pub(crate) fn reset(outbox: &mut Outbox, segment: &Tcp<'_>) -> Result<(), Dropped> {
    let (sequence, acknowledges) = match (segment.kind, segment.acknowledges) {
        (Segment::Resets, _) => return Ok(()),
        (Segment::Opens | Segment::Answers | Segment::Carries, Some(acknowledged)) => (acknowledged, None),
        (Segment::Opens | Segment::Answers | Segment::Carries, None) => {
            (TcpSeqNumber(0), Some(segment.sequence + segment.length))
        }
    };
    bare(outbox, segment.destination, segment.source, TcpControl::Rst, (sequence, acknowledges))
}

/// Sends a SYN in the name of `remote` into a connection that a predecessor carried: a guest that still has it
/// answers with an ACK of where it stands (RFC 5961, section 4), and `reset` answers that.
pub(crate) fn provoke(outbox: &mut Outbox, guest: SocketAddr, remote: SocketAddr) -> Result<(), Dropped> {
    bare(outbox, remote, guest, TcpControl::Syn, (TcpSeqNumber(0), None))
}

fn bare(
    outbox: &mut Outbox,
    source: SocketAddr,
    destination: SocketAddr,
    control: TcpControl,
    (seq_number, ack_number): (TcpSeqNumber, Option<TcpSeqNumber>),
) -> Result<(), Dropped> {
    let segment = TcpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
        control,
        seq_number,
        ack_number,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (from, to) = (source.ip(), destination.ip());
    let header = header(from, to, IpProtocol::Tcp, segment.buffer_len())?;
    ip(outbox, &header, |place| {
        let (from, to) = (IpAddress::from(from), IpAddress::from(to));
        segment.emit(&mut TcpPacket::new_unchecked(place), &from, &to, &ChecksumCapabilities::default());
    })
}
