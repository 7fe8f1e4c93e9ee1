//! Which host the first bytes of a connection name: TLS in its ClientHello, HTTP/1 in its request head. What it is
//! tells the first byte, not the port. Copies what it is given until it knows, at most 16 KiB.
//!
//! ```text
//! push ──▶ NeedMore ──push──▶ ... ──▶ Name | NoName | Refused, which stays
//!              └──at_end──▶ Refused
//! ```
//! The parsers are our own: they read three fields, and must refuse what others make the best of (a name that is
//! read differently by us and by the server is a way out), which crates made for servers do not promise.
//!
//! What the first request or hello says, decides; it is not looked at again. A later request of the same plain
//! HTTP connection may name another host, as may every request inside TLS: what bounds both is that the address
//! was pinned to an allowed name. Following HTTP/1's framing would have to agree with every server on what a
//! malformed message is, and would still not see into upgraded connections.

mod bytes;
mod http;
#[cfg(test)]
mod tests;
mod tls;

use machine_core::policy::egress::DomainName;

/// Bytes after which it must be known.
pub(crate) const MOST: usize = 16 * 1024;

/// A TLS record with handshake messages.
const HANDSHAKE: u8 = 0x16;

/// What the first bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    NeedMore,
    /// This host.
    Name(DomainName),
    /// They are well-formed and name none, or an address.
    NoName,
    /// They may not go on, whatever the rules say; this is why.
    Refused(&'static str),
}

/// The first bytes of one connection.
#[derive(Debug)]
pub(crate) struct Sniffer {
    seen: Vec<u8>,
    kind: Kind,
    step: Step,
}

/// What they are.
#[derive(Debug)]
enum Kind {
    Unknown,
    Tls,
    Http(http::Head),
}

/// How far a parser came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// It can say more once there are so many bytes.
    Needs(usize),
    Done(Verdict),
}

impl Default for Sniffer {
    fn default() -> Self {
        Self { seen: Vec::new(), kind: Kind::Unknown, step: Step::Needs(1) }
    }
}

impl Sniffer {
    /// Takes the next bytes. After a verdict they are only kept.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Verdict {
        self.seen.extend_from_slice(bytes);
        if let Step::Needs(needed) = self.step
            && needed <= self.seen.len()
        {
            self.step = match self.parse() {
                Step::Needs(more) if more > MOST => refused("names no host in its first 16 KiB"),
                step @ (Step::Needs(_) | Step::Done(_)) => step,
            };
        }
        self.verdict()
    }

    /// The guest says no more.
    pub(crate) fn at_end(&mut self) -> Verdict {
        if let Step::Needs(_) = self.step {
            self.step = refused("ended before it named a host");
        }
        self.verdict()
    }

    /// Everything that was taken.
    #[cfg(test)]
    pub(crate) fn into_seen(self) -> Vec<u8> {
        self.seen
    }

    fn parse(&mut self) -> Step {
        let seen = &self.seen[..self.seen.len().min(MOST)];
        if let Kind::Unknown = self.kind {
            self.kind = match seen.first() {
                None => return Step::Needs(1),
                Some(&HANDSHAKE) => Kind::Tls,
                Some(byte) if byte.is_ascii_uppercase() => Kind::Http(http::Head::default()),
                Some(_) => return refused("neither TLS nor HTTP"),
            };
        }
        match &mut self.kind {
            Kind::Unknown => Step::Needs(1),
            Kind::Tls => tls::step(seen),
            Kind::Http(head) => head.step(seen),
        }
    }

    fn verdict(&self) -> Verdict {
        match &self.step {
            Step::Needs(_) => Verdict::NeedMore,
            Step::Done(verdict) => verdict.clone(),
        }
    }
}

/// A host as TLS and HTTP write it. An address is no name; a spelling of one that others would understand as an
/// address is refused.
fn host(text: &[u8]) -> Step {
    let Ok(text) = std::str::from_utf8(text) else { return refused("names a host in letters that DNS has not") };
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if unbracketed.parse::<std::net::IpAddr>().is_ok() || text.is_empty() {
        return Step::Done(Verdict::NoName);
    }
    match text.parse() {
        Ok(name) => Step::Done(Verdict::Name(name)),
        Err(_) => refused("what it names is no host's name"),
    }
}

const fn refused(why: &'static str) -> Step {
    Step::Done(Verdict::Refused(why))
}
