//! Why a frame of the guest's goes no further, and how often that was.

/// A reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It ends within a header, or before the length that a header says.
    Truncated,
    /// It is larger than the link's MTU allows.
    Oversized,
    /// A header contradicts itself.
    Malformed,
    /// A sum over a header or a message is wrong.
    Checksum,
    /// It is not from the guest's card.
    SpoofedCard,
    /// It is not from the guest's address.
    SpoofedAddress,
    /// It is for another card than the gateway's.
    OtherCard,
    /// Neither ARP, nor IPv4, nor IPv6.
    EtherType,
    /// Neither UDP, TCP nor ICMP.
    Protocol,
    /// Nothing answers this ICMP, ARP or neighbour message.
    Unanswered,
    /// To many, or to an address that nobody can have.
    Destination,
    /// It says which way to go.
    SourceRoute,
    /// Its time to live is over.
    Expired,
    /// IPv6, and the host has none.
    Ipv6Off,
    /// More extension headers than anybody needs.
    Extensions,
    /// A first fragment that hides the ports.
    TinyFragment,
    /// Fragments that overlap, or belong to one that did.
    Overlap,
    /// More fragments, or a larger packet of them, than there is room for.
    TooManyFragments,
    /// Fragments whose others did not come in time, or whose place was needed.
    Incomplete,
    /// The link to the guest is not emptied fast enough.
    LinkFull,
    /// No more flows could be made; or the host refused to make a socket.
    NoSocket,
    /// The host knows no way there.
    NoWay,
    /// The host's socket did not take it.
    HostFull,
}

/// How often each was.
#[derive(Debug, Default, Clone)]
pub(crate) struct Drops([u64; Dropped::ALL.len()]);

impl Dropped {
    /// All reasons, in the order of declaration.
    pub(crate) const ALL: [Self; 23] = [
        Self::Truncated,
        Self::Oversized,
        Self::Malformed,
        Self::Checksum,
        Self::SpoofedCard,
        Self::SpoofedAddress,
        Self::OtherCard,
        Self::EtherType,
        Self::Protocol,
        Self::Unanswered,
        Self::Destination,
        Self::SourceRoute,
        Self::Expired,
        Self::Ipv6Off,
        Self::Extensions,
        Self::TinyFragment,
        Self::Overlap,
        Self::TooManyFragments,
        Self::Incomplete,
        Self::LinkFull,
        Self::NoSocket,
        Self::NoWay,
        Self::HostFull,
    ];

    /// Its word, in a status or a log.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::SpoofedCard => "spoofed_card",
            Self::SpoofedAddress => "spoofed_address",
            Self::OtherCard => "other_card",
            Self::EtherType => "ether_type",
            Self::Protocol => "protocol",
            Self::Unanswered => "unanswered",
            Self::Destination => "destination",
            Self::SourceRoute => "source_route",
            Self::Expired => "expired",
            Self::Ipv6Off => "ipv6_off",
            Self::Extensions => "extensions",
            Self::TinyFragment => "tiny_fragment",
            Self::Overlap => "overlap",
            Self::TooManyFragments => "too_many_fragments",
            Self::Incomplete => "incomplete",
            Self::LinkFull => "link_full",
            Self::NoSocket => "no_socket",
            Self::NoWay => "no_way",
            Self::HostFull => "host_full",
        }
    }
}

impl Drops {
    /// One more.
    pub(crate) fn count(&mut self, reason: Dropped) {
        self.add(reason, 1);
    }

    /// Some more.
    pub(crate) fn add(&mut self, reason: Dropped, times: u64) {
        self.0[reason as usize] = self.0[reason as usize].saturating_add(times);
    }

    /// How often it was.
    #[cfg(test)]
    pub(crate) fn of(&self, reason: Dropped) -> u64 {
        self.0[reason as usize]
    }

    /// Those that were.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (Dropped, u64)> + '_ {
        Dropped::ALL.into_iter().zip(self.0).filter(|&(_, times)| times > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_under_its_own_word() {
        let mut drops = Drops::default();
        for (index, reason) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
            drops.add(reason, index as u64 + 1);
        }
        assert_eq!(drops.of(Dropped::Malformed), 3);
        let words: std::collections::BTreeSet<_> = drops.seen().map(|(reason, _)| reason.word()).collect();
        assert_eq!(words.len(), Dropped::ALL.len());
    }
}
