//! Ports of the host that lead to the machine. Whether one is busy is seen when it is listened on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use machine_core::network::{Forward, NetworkMode, Transport};

use crate::rule::Rule;
use crate::tree::{Content, Node};

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const KEYS: &[&str] = &["host", "guest", "proto", "address"];

const MOST: u64 = 65_535;
const FORMS: &str = "write PORT, HOST:GUEST or ADDRESS:HOST:GUEST, each with an optional /tcp or /udp";

impl Walk<'_> {
    pub(super) fn ports(&mut self, fields: &Fields<'_>, mode: NetworkMode) -> Vec<Forward> {
        let items = self.items(fields, "ports", "[\"3000\", \"18080:8080\"]").unwrap_or_default();
        let mut forwards: Vec<Forward> = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let Some(forward) = self.forward(item, &format!("ports[{number}]")) else { continue };
            let listen = forward.listen;
            if mode == NetworkMode::None {
                self.note(Rule::E030, item.at, "a port without a network", "take it out, or use `mode: user`");
            }
            if listen.port() != 0 && listen.port() < self.host.first_port {
                let first = self.host.first_port;
                let message = format!("port {} of the host is privileged", listen.port());
                self.note(Rule::E030, item.at, message, format!("use a port of the host from {first} on"));
            }
            if let Some(known) = forwards.iter().find(|known| are_one(known, &forward)) {
                let message = format!("port {} of the host is taken twice: {known} and {forward}", listen.port());
                self.note(Rule::E030, item.at, message, "give each its own: HOST:GUEST");
            }
            forwards.push(forward);
        }
        forwards
    }

    fn forward(&mut self, item: &Node, what: &str) -> Option<Forward> {
        match &item.content {
            Content::Map(_) => self.forward_of_map(item, what),
            Content::Plain(text) | Content::Quoted(text) => match text.parse() {
                Ok(forward) => Some(forward),
                Err(_) if is_out_of_range(text) => {
                    let hint = format!("write a port from 1 to {MOST}");
                    self.note(Rule::E030, item.at, format!("{what} is out of range: {}", short(text)), hint);
                    None
                }
                Err(_) => {
                    self.note(Rule::E003, item.at, format!("{what}: not a port: '{}'", short(text)), FORMS);
                    None
                }
            },
            Content::Null | Content::List(_) => {
                self.wrong_type(item, what, "a port, or {guest: PORT, host: PORT, proto: tcp}");
                None
            }
        }
    }

    fn forward_of_map(&mut self, item: &Node, what: &str) -> Option<Forward> {
        let entry = self.fields(item, what, KEYS);
        let words = [("tcp", Transport::Tcp), ("udp", Transport::Udp)];
        let transport = self.choice(&entry, "proto", &words, &[]).unwrap_or_default();
        let Some(guest_node) = entry.get("guest") else {
            self.note(Rule::E003, item.at, format!("{what} needs guest"), "write {guest: PORT}");
            return None;
        };
        let guest = self.number(guest_node, &entry.path_of("guest"), Rule::E030, 1, MOST);
        let host = match entry.get("host") {
            Some(node) => self.number(node, &entry.path_of("host"), Rule::E030, 0, MOST),
            None => guest,
        };
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        if let (Some(text), Some(node)) = (self.text_of(&entry, "address"), entry.get("address")) {
            match text.parse() {
                Ok(parsed) => address = parsed,
                Err(_) => self.wrong_type(node, &entry.path_of("address"), "an address of the host"),
            }
        }
        let port = |number: u64| u16::try_from(number).ok();
        Some(Forward { listen: SocketAddr::new(address, port(host?)?), guest: port(guest?)?, transport })
    }
}

/// Of the form of a port, but too large or 0.
fn is_out_of_range(text: &str) -> bool {
    let ports = text.trim_end_matches("/tcp").trim_end_matches("/udp");
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    ports.split(':').count() <= 2 && ports.split(':').all(digits)
}

/// Whether two forwards cannot listen at once: one address, or one of them on all addresses.
fn are_one(one: &Forward, other: &Forward) -> bool {
    let (a, b) = (one.listen, other.listen);
    let all = a.ip().is_unspecified() || b.ip().is_unspecified();
    one.transport == other.transport && a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || all)
}
