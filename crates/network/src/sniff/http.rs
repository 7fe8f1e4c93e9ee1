//! The host in the head of an HTTP/1 request (RFC 9112, section 3; RFC 9110, section 7.2), line by line as it comes.
//! Strict: what servers are known to read in two ways is refused.
//!
//! ```text
//! request line ──▶ header ──▶ ... ──▶ empty line: the host of both, if they agree
//! ```

use super::{Step, Verdict, host, refused};

/// A head as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line begins that is read now.
    line: usize,
    /// Up to where no end of it was found.
    scanned: usize,
    request: Option<Request>,
    header: Option<Vec<u8>>,
}

/// The host that a request line names.
#[derive(Debug)]
enum Request {
    Nothing,
    Host(Vec<u8>),
}

type Bad = &'static str;

const MALFORMED: Bad = "a malformed HTTP request";

impl Head {
    pub(super) fn step(&mut self, seen: &[u8]) -> Step {
        while let Some(length) = seen[self.scanned..].iter().position(|&byte| byte == b'\n') {
            let end = self.scanned + length;
            let line = seen[self.line..end].strip_suffix(b"\r");
            self.line = end + 1;
            self.scanned = end + 1;
            match line.ok_or(MALFORMED).and_then(|line| self.read(line)) {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(bad) => return refused(bad),
            }
        }
        self.scanned = seen.len();
        Step::Needs(seen.len() + 1)
    }

    /// Reads a line; the last says what it all means.
    fn read(&mut self, line: &[u8]) -> Result<Option<Step>, Bad> {
        if line.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control()) {
            return Err(MALFORMED);
        }
        let Some(request) = &self.request else {
            self.request = Some(request(line)?);
            return Ok(None);
        };
        if line.is_empty() {
            return Ok(Some(conclude(request, self.header.as_deref())));
        }
        if let Some(value) = host_header(line)? {
            let value = host_of(value)?.to_vec();
            if self.header.replace(value).is_some() {
                return Err("two Host headers in one HTTP request");
            }
        }
        Ok(None)
    }
}

fn conclude(request: &Request, header: Option<&[u8]>) -> Step {
    match (request, header) {
        (Request::Nothing, None) => Step::Done(Verdict::NoName),
        (Request::Nothing, Some(header)) => host(header),
        (Request::Host(target), None) => host(target),
        (Request::Host(target), Some(header)) if target.eq_ignore_ascii_case(header) => host(target),
        (Request::Host(_), Some(_)) => refused("two different hosts in one HTTP request"),
    }
}

/// `GET /path HTTP/1.1`, or with a whole URL in place of the path.
fn request(line: &[u8]) -> Result<Request, Bad> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("neither TLS nor HTTP");
    };
    if (method, version) == (b"PRI", b"HTTP/2.0") {
        return Err("HTTP/2 without TLS hides the name");
    }
    if !method.iter().all(|&byte| is_token(byte)) || !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
        return Err("neither TLS nor HTTP");
    }
    if method == b"CONNECT" {
        return Err("a tunnel through a proxy hides the name");
    }
    match target {
        b"*" | [b'/', ..] => Ok(Request::Nothing),
        url => Ok(Request::Host(host_of(authority(url).ok_or(MALFORMED)?)?.to_vec())),
    }
}

/// What stands between `http://` and the path.
fn authority(url: &[u8]) -> Option<&[u8]> {
    let scheme = url.windows(3).position(|three| three == b"://")?;
    let known = [&b"http"[..], b"https", b"ws", b"wss"].iter().any(|known| url[..scheme].eq_ignore_ascii_case(known));
    let rest = &url[scheme + 3..];
    let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
    (known && end > 0).then_some(&rest[..end])
}

/// `host` or `host:port`, without the port.
fn host_of(authority: &[u8]) -> Result<&[u8], Bad> {
    let after_brackets = match authority {
        [b'[', ..] => authority.iter().position(|&byte| byte == b']').ok_or(MALFORMED)? + 1,
        [..] => 0,
    };
    let Some(colon) = authority[after_brackets..].iter().position(|&byte| byte == b':') else {
        return Ok(authority);
    };
    let (host, port) = authority.split_at(after_brackets + colon);
    if port[1..].iter().all(u8::is_ascii_digit) { Ok(host) } else { Err(MALFORMED) }
}

/// The value of a line that is a Host header.
fn host_header(line: &[u8]) -> Result<Option<&[u8]>, Bad> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(MALFORMED)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    // A line that goes on from the one before begins with a space, which is no token.
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(MALFORMED);
    }
    Ok(name.eq_ignore_ascii_case(b"host").then_some(value))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
