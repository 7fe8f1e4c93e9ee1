//! Ports of this host that lead to machines: bound here, so that one that is taken is told at once.

use std::os::fd::OwnedFd;

use machine_core::network::{Forward, NetworkSpec};
use machine_core::promise::network::NetworkError;
use machine_network::{ListenError, bind};

/// Whether all of them could be had now; those that the host chooses are chosen, and may be taken again soon.
pub(super) fn free(network: &NetworkSpec) -> Result<Vec<Forward>, NetworkError> {
    Ok(bind_missing(network, &[])?.0.forwards)
}

/// Binds those of a network that nobody listens for yet: all of them or none.
pub(super) fn bind_missing(
    network: &NetworkSpec,
    listening: &[Forward],
) -> Result<(NetworkSpec, Vec<(Forward, OwnedFd)>), NetworkError> {
    let mut sockets = Vec::new();
    let mut forwards = Vec::new();
    for forward in &network.forwards {
        let bound = match listening.contains(forward) {
            true => *forward,
            false => {
                let (bound, socket) = bind(forward).map_err(refused)?;
                sockets.push((bound, socket));
                bound
            }
        };
        forwards.push(bound);
    }
    Ok((NetworkSpec { forwards, ..network.clone() }, sockets))
}

fn refused(error: ListenError) -> NetworkError {
    match error {
        ListenError::Busy { forward, by } => NetworkError::PortBusy { forward, by },
        ListenError::Refused { forward, source } => NetworkError::CannotListen { forward, detail: source.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn network(forwards: &[&str]) -> NetworkSpec {
        NetworkSpec { forwards: forwards.iter().map(|text| text.parse().unwrap()).collect(), ..NetworkSpec::default() }
    }

    #[test]
    fn ports_are_chosen_and_free_again_afterwards() {
        let chosen = free(&network(&["0:80", "0:53/udp"])).unwrap();
        assert!(chosen.iter().all(|forward| forward.listen.port() != 0));
        let again = NetworkSpec { forwards: chosen.clone(), ..NetworkSpec::default() };
        assert_eq!(free(&again).unwrap(), chosen);
    }

    #[test]
    fn one_that_is_taken_is_named_with_its_holder_and_none_is_kept() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let first = free(&network(&["0:1"])).unwrap()[0];
        let both = network(&[&first.listen.port().to_string(), &port.to_string()]);
        match bind_missing(&both, &[]) {
            Err(NetworkError::PortBusy { forward, by: Some(by) }) => {
                assert_eq!(forward, both.forwards[1]);
                assert!(by.ends_with(&format!("(pid {})", std::process::id())), "{by}");
            }
            other => panic!("{other:?}"),
        }
        TcpListener::bind(first.listen).unwrap();
    }

    #[test]
    fn those_that_are_listened_for_are_left_alone() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = network(&[&taken.local_addr().unwrap().port().to_string()]);
        let (same, sockets) = bind_missing(&one, &one.forwards).unwrap();
        assert_eq!((same, sockets.len()), (one, 0));
    }
}
