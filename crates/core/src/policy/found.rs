//! Which ports of the host lead to what a guest was found listening at, beside those that were asked for. Pure;
//! who listens, the guest says, and it may say anything.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::network::{Forward, Transport};

/// Ports below are privileged on the host: another one leads there.
const FIRST_UNPRIVILEGED: u16 = 1024;
/// A datagram socket from here on is rather a client's than a service.
const FIRST_OF_CLIENTS: u16 = 32_768;
/// The most that are found in one machine: a guest that listens everywhere shall not take the host's ports.
pub const MOST_FOUND: usize = 32;

/// A port at which a guest listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listening {
    /// By what.
    pub transport: Transport,
    /// Which port.
    pub port: u16,
}

/// The forwards for what a guest listens at: those that it had stay, new ones have the guest's port where that may
/// be had, and else one that the host chooses (port 0). What an asked-for forward leads to is not found again.
#[must_use]
pub fn found(listening: &BTreeSet<Listening>, asked: &[Forward], before: &[Forward]) -> Vec<Forward> {
    let leads = |forward: &Forward, to: &Listening| (forward.transport, forward.guest) == (to.transport, to.port);
    let wanted = listening.iter().filter(|to| is_service(to) && !asked.iter().any(|forward| leads(forward, to)));
    let (kept, new): (Vec<_>, Vec<_>) =
        wanted.map(|to| (to, before.iter().find(|forward| leads(forward, to)))).partition(|(_, had)| had.is_some());
    let kept = kept.into_iter().filter_map(|(_, had)| had.copied());
    let taken = |port: u16| asked.iter().chain(before).any(|forward| forward.listen.port() == port);
    let new = new.into_iter().map(|(to, _)| {
        let same = to.port >= FIRST_UNPRIVILEGED && !taken(to.port);
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), if same { to.port } else { 0 });
        Forward { listen, guest: to.port, transport: to.transport }
    });
    kept.chain(new).take(MOST_FOUND).collect()
}

const fn is_service(listening: &Listening) -> bool {
    match listening.transport {
        Transport::Tcp => listening.port != 0,
        Transport::Udp => listening.port != 0 && listening.port < FIRST_OF_CLIENTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listening: &[&str], asked: &[&str], before: &[&str], expected: &[&str]) {
        let forwards = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Forward>>();
        let listening = forwards(listening).into_iter();
        let listening =
            listening.map(|forward| Listening { transport: forward.transport, port: forward.guest }).collect();
        assert_eq!(found(&listening, &forwards(asked), &forwards(before)), forwards(expected));
    }

    #[test]
    fn a_service_is_found_at_its_own_port() {
        check(&["3000", "5353/udp"], &[], &[], &["3000", "5353/udp"]);
    }

    #[test]
    fn what_was_asked_for_is_not_found_again() {
        check(&["3000", "3001"], &["8080:3000"], &[], &["3001"]);
    }

    #[test]
    fn one_that_was_found_stays_where_it_is_and_goes_with_its_service() {
        check(&["3000", "4000"], &[], &["3999:3000", "5000"], &["3999:3000", "4000"]);
    }

    #[test]
    fn the_host_chooses_where_its_port_cannot_be_had() {
        check(&["80", "3000"], &["3000:9"], &[], &["0:80", "0:3000"]);
    }

    #[test]
    fn sockets_of_clients_are_no_services() {
        check(&["40000/udp", "40000"], &[], &[], &["40000"]);
    }

    #[test]
    fn a_guest_that_listens_everywhere_gets_few() {
        let everywhere = (1..=u16::MAX).map(|port| Listening { transport: Transport::Tcp, port }).collect();
        assert_eq!(found(&everywhere, &[], &[]).len(), MOST_FOUND);
    }
}
