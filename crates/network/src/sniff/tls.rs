//! The server's name in a TLS ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3). Refuses a hello that
//! hides its name, and one that two readers could read differently.

use super::bytes::Reader;
use super::{HANDSHAKE, Step, Verdict, host, refused};

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
/// What one record may hold.
const LONGEST_RECORD: usize = 1 << 14;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// Encrypted client hello, and the drafts before it that were in use.
const ENCRYPTED_HELLO: [u16; 7] = [0xfe0d, 0xfe0c, 0xfe0b, 0xfe0a, 0xfe09, 0xfe08, 0xffce];

/// Puts the hello together from its records, which may cut it anywhere, and reads it.
pub(super) fn step(seen: &[u8]) -> Step {
    let mut hello = Vec::new();
    let mut at = 0;
    loop {
        let Some(header) = seen.get(at..at + RECORD_HEADER) else { return Step::Needs(at + RECORD_HEADER) };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != HANDSHAKE || header[1] != 3 || length == 0 || length > LONGEST_RECORD {
            return refused("neither TLS nor HTTP");
        }
        let end = at + RECORD_HEADER + length;
        let Some(part) = seen.get(at + RECORD_HEADER..end) else { return Step::Needs(end) };
        hello.extend_from_slice(part);
        at = end;
        let Some((header, body)) = hello.split_at_checked(MESSAGE_HEADER) else { continue };
        if header[0] != CLIENT_HELLO {
            return refused("neither TLS nor HTTP");
        }
        let whole = usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
        if body.len() >= whole {
            return if body.len() == whole { read(body) } else { refused("more than one TLS hello") };
        }
        // As early as it can be known: what is missing comes in another record.
        if at + RECORD_HEADER + whole - body.len() > super::MOST {
            return Step::Needs(at + RECORD_HEADER + whole - body.len());
        }
    }
}

fn read(hello: &[u8]) -> Step {
    match extensions(hello) {
        None => refused("a malformed TLS hello"),
        Some(None) => Step::Done(Verdict::NoName),
        Some(Some(extensions)) => look_through(extensions),
    }
}

/// The extensions, if there are any, of a hello that ends with them.
fn extensions(hello: &[u8]) -> Option<Option<&[u8]>> {
    let mut hello = Reader(hello);
    let _version_and_random = hello.take(2 + 32)?;
    let _session = hello.counted_by_u8()?;
    let _ciphers = hello.counted_by_u16()?;
    let _compression = hello.counted_by_u8()?;
    if hello.is_empty() {
        return Some(None);
    }
    let extensions = hello.counted_by_u16()?;
    hello.is_empty().then_some(Some(extensions))
}

fn look_through(extensions: &[u8]) -> Step {
    let mut rest = Reader(extensions);
    let mut named = None;
    while !rest.is_empty() {
        let (Some(kind), Some(body)) = (rest.u16(), rest.counted_by_u16()) else {
            return refused("a malformed TLS hello");
        };
        if ENCRYPTED_HELLO.contains(&kind) {
            return refused("an encrypted client hello hides the name");
        }
        if kind == SERVER_NAME && named.replace(body).is_some() {
            return refused("two server names in one TLS hello");
        }
    }
    match named {
        None => Step::Done(Verdict::NoName),
        Some(body) => only_name(body).map_or(refused("a malformed server name"), host),
    }
}

/// The name of a list with exactly one.
fn only_name(body: &[u8]) -> Option<&[u8]> {
    let mut body = Reader(body);
    let mut list = Reader(body.counted_by_u16()?);
    let kind = list.u8()?;
    let name = list.counted_by_u16()?;
    (kind == HOST_NAME && !name.is_empty() && list.is_empty() && body.is_empty()).then_some(name)
}
