//! Which addresses a name was answered with, and until when. Bounded: the names that were answered longest ago
//! are forgotten first.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use machine_core::policy::egress::DomainName;

/// Names at most.
pub(super) const MOST_NAMES: usize = 4096;
/// Addresses of all names together at most.
pub(super) const MOST_ADDRESSES: usize = 16_384;
/// Names of one address at most, and addresses of one name.
pub(super) const MOST_OF_ONE: usize = 256;

/// What names were answered with.
#[derive(Debug, Default)]
pub(super) struct Pins {
    by_name: HashMap<Arc<DomainName>, Pinned>,
    by_address: HashMap<IpAddr, Vec<Arc<DomainName>>>,
    /// The turn of each name, oldest first.
    order: BTreeMap<u64, Arc<DomainName>>,
    turns: u64,
    addresses: usize,
}

#[derive(Debug)]
struct Pinned {
    turn: u64,
    addresses: Vec<(IpAddr, Instant)>,
}

impl Pins {
    /// Adds addresses of a name, each until then at least.
    pub(super) fn add(&mut self, now: Instant, name: &DomainName, addresses: &[IpAddr], until: Instant) {
        if addresses.is_empty() {
            return;
        }
        let (name, mut known) = self.take(name);
        known.retain(|&(_, end)| end > now);
        for address in addresses.iter().map(IpAddr::to_canonical) {
            if let Some((_, end)) = known.iter_mut().find(|(pinned, _)| *pinned == address) {
                *end = (*end).max(until);
                continue;
            }
            if known.len() == MOST_OF_ONE {
                known.remove(0);
            }
            known.push((address, until));
        }
        self.put(name, known);
        while self.by_name.len() > MOST_NAMES || self.addresses > MOST_ADDRESSES {
            let Some(oldest) = self.order.values().next().cloned() else { break };
            self.take(&oldest);
        }
    }

    /// The names that an address is pinned to now.
    pub(super) fn names_of(&self, now: Instant, address: IpAddr) -> Vec<DomainName> {
        let holds = |name: &&Arc<DomainName>| {
            let pinned = self.by_name.get(*name);
            pinned.is_some_and(|pinned| pinned.addresses.iter().any(|&(known, end)| known == address && end > now))
        };
        let names = self.by_address.get(&address).into_iter().flatten();
        names.filter(holds).map(|name| DomainName::clone(name)).collect()
    }

    /// Keeps the pins of some names alone.
    pub(super) fn retain(&mut self, keep: impl Fn(&DomainName) -> bool) {
        let gone: Vec<_> = self.by_name.keys().filter(|name| !keep(name)).cloned().collect();
        for name in gone {
            self.take(&name);
        }
    }

    /// Takes a name and its addresses out of everything.
    fn take(&mut self, name: &DomainName) -> (Arc<DomainName>, Vec<(IpAddr, Instant)>) {
        let Some((name, pinned)) = self.by_name.remove_entry(name) else {
            return (Arc::new(name.clone()), Vec::new());
        };
        self.order.remove(&pinned.turn);
        self.addresses -= pinned.addresses.len();
        for (address, _) in &pinned.addresses {
            self.unlink(*address, &name);
        }
        (name, pinned.addresses)
    }

    fn put(&mut self, name: Arc<DomainName>, addresses: Vec<(IpAddr, Instant)>) {
        for (address, _) in &addresses {
            let names = self.by_address.entry(*address).or_default();
            if names.len() == MOST_OF_ONE {
                names.remove(0);
            }
            names.push(Arc::clone(&name));
        }
        self.turns += 1;
        self.addresses += addresses.len();
        self.order.insert(self.turns, Arc::clone(&name));
        self.by_name.insert(name, Pinned { turn: self.turns, addresses });
    }

    fn unlink(&mut self, address: IpAddr, name: &DomainName) {
        if let Some(names) = self.by_address.get_mut(&address) {
            names.retain(|known| **known != *name);
            if names.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        assert_eq!(self.by_name.len(), self.order.len());
        assert_eq!(self.addresses, self.by_name.values().map(|pinned| pinned.addresses.len()).sum::<usize>());
        assert!(self.by_address.len() <= self.addresses);
        (self.by_name.len(), self.addresses)
    }
}
