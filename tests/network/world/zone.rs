//! What the resolvers answer. Each name is a trick of its own; see the table.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{CNAME, TXT};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::stage::places;

/// Long enough for a story.
const LONG: u32 = 300;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The usual resolver.
    Usual,
    /// The one of the VPN.
    Vpn,
}

/// An answer; none at all is silence.
pub(super) enum Answer {
    /// Name, time to live, data.
    Records(Vec<(String, u32, RData)>),
    /// The name is there, and has nothing of this type.
    Nothing,
    /// There is no such name.
    NoSuchName,
    /// The resolver is at fault.
    Failure,
}

/// What is answered for a name's `nth` question since somebody looked.
pub(super) fn look_up(name: &str, kind: RecordType, view: View, nth: usize) -> Option<Answer> {
    Some(match (name, kind) {
        ("silent.example.com", _) => return None,
        ("fail.example.com", _) => Answer::Failure,
        (_, RecordType::TXT) if name.ends_with("example.com") => Answer::Records(vec![texts(name)]),
        (_, RecordType::AAAA) => six(name),
        (_, RecordType::A) => four(name, view, nth),
        _ => known(name),
    })
}

fn four(name: &str, view: View, nth: usize) -> Answer {
    let one = |ttl, address: &str| Answer::Records(vec![a(name, ttl, address)]);
    match name {
        "www.example.com" if view == View::Vpn => one(LONG, places::OTHER),
        "www.example.com" | "example.com" | "git.example.com" => one(LONG, places::WWW),
        "other.example.com" => one(LONG, places::OTHER),
        "short.example.com" => one(1, places::WWW),
        "evil.example.org" => one(LONG, places::EVIL),
        // The same address as an allowed name's: only SNI and Host tell them apart.
        "neighbour.example.org" => one(LONG, places::WWW),
        _ if name.ends_with(".wild.example.com") => one(LONG, places::WILD),
        "private.example.com" => one(LONG, "192.168.1.1"),
        "metadata.example.com" => one(LONG, "169.254.169.254"),
        "loopback.example.com" => one(LONG, "127.0.0.1"),
        "host.example.com" => one(LONG, places::HOST),
        "mixed.example.com" => Answer::Records(vec![a(name, LONG, "10.1.2.3"), a(name, LONG, places::WWW)]),
        "rebind.example.com" => one(0, if nth <= 1 { places::WWW } else { "192.168.1.1" }),
        "chain.example.com" => Answer::Records(vec![
            alias(name, "one.example.net"),
            alias("one.example.net", "two.example.org"),
            a("two.example.org", LONG, places::WWW),
        ]),
        "inwards.example.com" => {
            Answer::Records(vec![alias(name, "inside.example.net"), a("inside.example.net", LONG, "10.1.2.3")])
        }
        "loop.example.com" => Answer::Records(vec![alias(name, "pool.example.com"), alias("pool.example.com", name)]),
        "many.example.com" => {
            Answer::Records((1..=100).map(|last| a(name, LONG, &format!("198.51.100.{last}"))).collect())
        }
        // An answer to a question that nobody asked.
        "poison.example.com" => {
            Answer::Records(vec![a("www.example.com", LONG, places::EVIL), a(name, LONG, places::WWW)])
        }
        _ => known(name),
    }
}

fn six(name: &str) -> Answer {
    let one = |address: &str| {
        let address: Ipv6Addr = address.parse().expect("a zone's addresses are addresses");
        Answer::Records(vec![(name.to_owned(), LONG, RData::AAAA(address.into()))])
    };
    match name {
        "v6.example.com" => one(places::WWW_V6),
        "mapped.example.com" => one("::ffff:10.1.2.3"),
        "nat64.example.com" => one("64:ff9b::a01:203"),
        "local6.example.com" => one("fd12::1"),
        _ => known(name),
    }
}

/// Of another type, perhaps.
fn known(name: &str) -> Answer {
    let ours = ["example.com", "example.net", "example.org"].iter().any(|domain| name.ends_with(domain));
    if ours && !name.starts_with("missing") { Answer::Nothing } else { Answer::NoSuchName }
}

fn a(name: &str, ttl: u32, address: &str) -> (String, u32, RData) {
    let address: Ipv4Addr = address.parse().expect("a zone's addresses are addresses");
    (name.to_owned(), ttl, RData::A(address.into()))
}

fn alias(name: &str, of: &str) -> (String, u32, RData) {
    let of = Name::from_ascii(format!("{of}.")).expect("a zone's names are names");
    (name.to_owned(), LONG, RData::CNAME(CNAME(of)))
}

fn texts(name: &str) -> (String, u32, RData) {
    (name.to_owned(), LONG, RData::TXT(TXT::new(vec!["x".repeat(200)])))
}
