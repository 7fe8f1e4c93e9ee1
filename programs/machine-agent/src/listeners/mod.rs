//! Tells the host who listens in the guest: all that there are first, then what changes. Looks only while somebody
//! wants to know, four small files a look, and at processes only when there is somebody new.
//!
//! ```text
//! asked ──all──▶ following ──a look finds a change──▶ told ──▶ following ──the host leaves──▶ done
//!           └──not followed──▶ done
//! ```

mod owners;
mod sockets;

use crate::failure::failed;
use crate::line::{Gone, Line, Teller};
use machine_agent_protocol::{Answer, Channel, Failed, Listener, ListenerNews, Listeners};
use sockets::{Key, Socket};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

type Known = BTreeMap<Key, Listener>;

/// Tells the host until it has heard enough.
pub(crate) async fn serve(asked: Listeners, line: Line) {
    let Line { teller, mut inbox } = line;
    let telling = async {
        match tell(asked, &teller).await {
            Ok(Ok(())) => {
                teller.end(Channel::Content).await;
                teller.finish(Answer::DONE).await;
            }
            Ok(Err(Gone)) => {}
            Err(failed) => teller.finish(failed).await,
        }
    };
    tokio::select! {
        () = telling => {}
        // The host has nothing to say here but that it left.
        () = async { while inbox.recv().await.is_some() {} } => {}
    }
}

async fn tell(asked: Listeners, teller: &Teller) -> Result<Result<(), Gone>, Failed> {
    let mut known = Known::new();
    let mut first = true;
    loop {
        let tried = |error: io::Error| failed("cannot read who listens", &error);
        let news = look(&mut known, sockets::all().map_err(tried)?, owners::of);
        if first || !(news.opened.is_empty() && news.closed.is_empty()) {
            let packed = news.pack().map_err(|error| tried(io::Error::other(error)))?;
            if teller.data(Channel::Content, packed).await.is_err() {
                return Ok(Err(Gone));
            }
        }
        if !asked.follow {
            return Ok(Ok(()));
        }
        first = false;
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// What changed between what is known and the sockets that there are; it is known then. `owners` says which process
/// has each of some sockets.
fn look(
    known: &mut Known,
    sockets: Vec<Socket>,
    owners: impl FnOnce(&[u64]) -> BTreeMap<u64, owners::Owner>,
) -> ListenerNews {
    let mut now: BTreeMap<Key, Socket> = BTreeMap::new();
    for socket in sockets {
        if now.len() < Listeners::MOST {
            // One that listens over IPv4 and over IPv6 is one.
            now.entry(socket.key).or_insert(socket);
        }
    }
    let mut news = ListenerNews::default();
    known.retain(|key, listener| {
        let stays = now.get(key).is_some_and(|socket| socket.uid == listener.uid);
        if !stays {
            news.closed.push(listener.clone());
        }
        stays
    });
    now.retain(|key, _| !known.contains_key(key));
    let fresh: Vec<u64> = now.values().map(|socket| socket.inode).collect();
    let owners = if fresh.is_empty() { BTreeMap::new() } else { owners(&fresh) };
    for (key, socket) in now {
        let owner = owners.get(&socket.inode);
        if owner.is_some_and(owners::Owner::is_us) {
            continue;
        }
        let program = owner.map(|owner| owner.program.clone());
        let (transport, address, port) = key;
        let listener = Listener { port, transport, address, uid: socket.uid, program };
        news.opened.push(listener.clone());
        known.insert(key, listener);
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_agent_protocol::{ListenAddress, Transport};

    fn socket(port: u16, inode: u64) -> Socket {
        Socket { key: (Transport::Tcp, ListenAddress::Any, port), uid: 7, inode }
    }

    fn named(inodes: &[u64]) -> BTreeMap<u64, owners::Owner> {
        inodes.iter().map(|inode| (*inode, owners::Owner { pid: 1 << 30, program: format!("p{inode}") })).collect()
    }

    #[test]
    fn only_what_changed_is_told_and_processes_are_looked_at_only_then() {
        let mut known = Known::new();
        let first = look(&mut known, vec![socket(80, 1), socket(80, 2), socket(81, 3)], named);
        let told: Vec<_> = first.opened.iter().map(|one| (one.port, one.program.clone().unwrap())).collect();
        assert_eq!(told, [(80, "p1".to_owned()), (81, "p3".to_owned())]);
        let nobody = |_: &[u64]| -> BTreeMap<u64, owners::Owner> { panic!("nobody is new") };
        assert_eq!(look(&mut known, vec![socket(80, 1), socket(81, 3)], nobody), ListenerNews::default());
        let last = look(&mut known, vec![socket(81, 3)], nobody);
        assert_eq!((last.opened.len(), last.closed[0].port), (0, 80));
    }

    #[test]
    fn our_own_and_more_than_anybody_has_are_not_told() {
        let us = |inodes: &[u64]| {
            let owner = owners::Owner { pid: std::process::id(), program: "us".to_owned() };
            inodes.iter().map(|inode| (*inode, owner.clone())).collect()
        };
        assert_eq!(look(&mut Known::new(), vec![socket(80, 1)], us), ListenerNews::default());
        let many = (1..2000).map(|port| socket(port, port.into())).collect();
        let news = look(&mut Known::new(), many, named);
        assert_eq!(news.opened.len(), Listeners::MOST);
        assert!(news.pack().is_ok());
    }
}
