//! The network: its mode, what may be reached, fixed names. Ports of the host are in `ports.rs`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use machine_core::network::{HOST_NAME, NetworkMode};
use machine_core::policy::egress::{DomainName, EgressPolicy, Entry, Peer, Verdict, reserved};

use crate::model::{Isolation, Network};
use crate::rule::Rule;
use crate::tree::Node;

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const KEYS: &[&str] = &["mode", "egress", "host_ca", "hosts"];
pub(crate) const EGRESS: &[&str] = &["policy", "allow", "deny"];

const MODES: &[(&str, NetworkMode)] = &[("user", NetworkMode::User), ("none", NetworkMode::None)];
const POLICIES: &[(&str, Verdict)] = &[("allow", Verdict::Allow), ("deny", Verdict::Deny)];

impl Walk<'_> {
    pub(super) fn network(&mut self, fields: &Fields<'_>, isolation: Isolation) -> Network {
        let otherwise = match isolation {
            Isolation::Standard => Verdict::Allow,
            Isolation::Strict => Verdict::Deny,
        };
        let egress = EgressPolicy { otherwise, ..EgressPolicy::default() };
        let mut network = Network { mode: NetworkMode::User, egress, host_ca: true, hosts: BTreeMap::new() };
        let Some(section) = self.section(fields, "network", KEYS) else { return network };
        let mode = self.choice(&section, "mode", MODES, &["tap", "bridge", "macvtap"]);
        network.mode = mode.unwrap_or(network.mode);
        network.host_ca = self.flag_of(&section, "host_ca").unwrap_or(network.host_ca);
        network.hosts = self.hosts(&section);
        if let Some(egress) = self.section(&section, "egress", EGRESS) {
            network.egress = self.egress(&egress, otherwise, network.mode);
        }
        network
    }

    fn hosts(&mut self, section: &Fields<'_>) -> BTreeMap<String, IpAddr> {
        let mut hosts = BTreeMap::new();
        for (entry, text) in self.texts_by_key(section, "hosts", "db: 192.0.2.7") {
            let name = entry.key.parse::<DomainName>();
            let address = text.parse::<IpAddr>();
            if name.is_err() {
                let message = format!("network.hosts: not a host's name: '{}'", short(&entry.key));
                self.note(Rule::E003, entry.key_at, message, "write a name such as db.test");
            }
            if address.is_err() {
                let message = format!("network.hosts: not an address: '{}'", short(&text));
                self.note(Rule::E003, entry.value.at, message, "write an address such as 192.0.2.1");
            }
            if let (Ok(name), Ok(address)) = (name, address) {
                hosts.insert(name.as_str().to_owned(), address);
            }
        }
        hosts
    }

    fn egress(&mut self, section: &Fields<'_>, usual: Verdict, mode: NetworkMode) -> EgressPolicy {
        let otherwise = self.choice(section, "policy", POLICIES, &[]).unwrap_or(usual);
        if let (Verdict::Deny, Verdict::Allow, Some(node)) = (usual, otherwise, section.get("policy")) {
            let hint = "write `policy: deny`, or `isolation: standard`";
            self.note(Rule::E034, node.at, "isolation: strict denies what is not allowed", hint);
        }
        let allow = self.entries(section, "allow");
        let deny = self.entries(section, "deny");
        for (node, entry) in &allow {
            self.contradiction(node, entry, otherwise, &deny);
        }
        for (node, _) in deny.iter().filter(|_| otherwise == Verdict::Deny && allow.is_empty()) {
            let hint = "take the entry out, or write `policy: allow`";
            self.note(Rule::E034, node.at, "an entry denies what `policy: deny` denies already", hint);
        }
        if mode == NetworkMode::None {
            for (node, _) in allow.iter().chain(&deny) {
                self.note(Rule::E034, node.at, "an egress entry without a network", "take it out, or use `mode: user`");
            }
        }
        let entries = |list: Vec<(&Node, Entry)>| list.into_iter().map(|(_, entry)| entry).collect();
        EgressPolicy { otherwise, allow: entries(allow), deny: entries(deny) }
    }

    fn entries<'n>(&mut self, section: &Fields<'n>, key: &str) -> Vec<(&'n Node, Entry)> {
        let items = self.items(section, key, "[example.com, \"*.example.org:443\"]").unwrap_or_default();
        let mut entries = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let what = format!("{}[{number}]", section.path_of(key));
            match self.text(item, &what).map(|text| text.parse::<Entry>()) {
                Some(Ok(entry)) => entries.push((item, entry)),
                Some(Err(error)) => {
                    let hint = "write ADDRESS, CIDR, HOST or *.DOMAIN, with an optional :PORT and /tcp, /udp or /icmp";
                    self.note(Rule::E003, item.at, format!("{what}: {error}"), hint);
                }
                None => {}
            }
        }
        entries
    }

    fn contradiction(&mut self, node: &Node, entry: &Entry, otherwise: Verdict, deny: &[(&Node, Entry)]) {
        if deny.iter().any(|(_, denied)| denied == entry) {
            self.note(Rule::E034, node.at, format!("{entry} is allowed and denied"), "keep one of them");
        } else if otherwise == Verdict::Allow && !is_exception(entry) {
            let hint = "write `policy: deny` to allow nothing else, or take the entry out";
            self.note(Rule::E034, node.at, format!("{entry} is allowed already by `policy: allow`"), hint);
        }
    }
}

/// Whether an entry opens what `policy: allow` alone does not: one address may be the host's own.
fn is_exception(entry: &Entry) -> bool {
    let one = matches!(&entry.peer, Peer::Net(net) if net.prefix_len() == net.max_prefix_len());
    one || opens_reserved(entry)
}

/// Whether an entry opens a reserved range (loopback, private, link-local), or the host by its name.
pub(crate) fn opens_reserved(entry: &Entry) -> bool {
    match &entry.peer {
        Peer::Net(net) => reserved(net.addr()).is_some_and(|range| net.prefix_len() >= range.prefix_len()),
        Peer::Name(name) => name.as_str() == HOST_NAME,
        Peer::Below(_) => false,
    }
}
