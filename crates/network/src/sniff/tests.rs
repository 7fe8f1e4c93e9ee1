//! What first bytes name, however they are cut.

use proptest::prelude::*;

use super::*;

fn whole(bytes: &[u8]) -> Verdict {
    Sniffer::default().push(bytes)
}

/// The same verdict, whether it comes at once, byte by byte, or in two pieces.
#[track_caller]
fn says(bytes: &[u8], verdict: &Verdict) {
    assert_eq!(whole(bytes), *verdict);
    let mut sniffer = Sniffer::default();
    let last = bytes.iter().fold(Verdict::NeedMore, |_, byte| sniffer.push(&[*byte]));
    assert_eq!(last, *verdict, "byte by byte");
    assert_eq!(sniffer.into_seen(), bytes);
}

fn name(text: &str) -> Verdict {
    Verdict::Name(text.parse().unwrap())
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted(body)].concat()
}

fn server_name(host: &[u8]) -> Vec<u8> {
    extension(0, &counted(&[&[0][..], &counted(host)].concat()))
}

/// A handshake message of a client.
fn hello(extensions: Option<&[u8]>) -> Vec<u8> {
    let mut body = [&[3, 3][..], &[7; 32], &[0], &counted(&[0x13, 1]), &[1, 0]].concat();
    if let Some(extensions) = extensions {
        body.extend(counted(extensions));
    }
    [&[1, 0][..], &counted(&body)].concat()
}

/// In records with so many bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[0x16, 3, 1][..], &counted(part)].concat()).collect()
}

fn tls(extensions: &[u8]) -> Vec<u8> {
    records(&hello(Some(extensions)), 1 << 14)
}

#[test]
fn a_hello_names_its_server_in_however_many_records_it_comes() {
    let extensions = [extension(10, &[0, 2, 0, 29]), server_name(b"Example.COM"), extension(16, b"")].concat();
    let message = hello(Some(&extensions));
    for size in [1, 2, 3, 5, 40, 1 << 14] {
        says(&records(&message, size), &name("example.com"));
    }
    says(&[&tls(&extensions)[..], b"early data"].concat(), &name("example.com"));
}

#[test]
fn a_hello_without_a_name_says_so() {
    says(&records(&hello(None), 100), &Verdict::NoName);
    says(&tls(&extension(10, &[0, 2, 0, 29])), &Verdict::NoName);
    says(&tls(&server_name(b"192.0.2.1")), &Verdict::NoName);
}

#[test]
fn a_hello_that_hides_its_name_is_refused() {
    for kind in [0xfe0d, 0xffce] {
        let hidden = [server_name(b"outer.com"), extension(kind, &[0; 40])].concat();
        says(&tls(&hidden), &Verdict::Refused("an encrypted client hello hides the name"));
    }
}

#[test]
fn a_hello_that_could_be_read_differently_is_refused() {
    let two = [server_name(b"a.com"), server_name(b"b.com")].concat();
    says(&tls(&two), &Verdict::Refused("two server names in one TLS hello"));
    let one = [&[0][..], &counted(b"a.com")].concat();
    let list = extension(0, &counted(&[&one[..], &one].concat()));
    let other_kind = extension(0, &counted(&[&[1][..], &counted(b"a.com")].concat()));
    let more = extension(0, &[&counted(&one)[..], b"x"].concat());
    let empty = extension(0, &counted(&[]));
    for bad in [list, other_kind, more, empty, server_name(b"")] {
        says(&tls(&bad), &Verdict::Refused("a malformed server name"));
    }
    for spelling in ["a..com", "0x7f.1", "2130706433", "a.com\0.b.com", "a com", "-a.com", "[::1"] {
        says(&tls(&server_name(spelling.as_bytes())), &Verdict::Refused("what it names is no host's name"));
    }
    let two = [hello(None), hello(None)].concat();
    says(&records(&two, 1 << 14), &Verdict::Refused("more than one TLS hello"));
    says(&tls(&[0, 0, 0]), &Verdict::Refused("a malformed TLS hello"));
    let longer = records(&[&[1, 0, 0, 50][..], &[0; 50]].concat(), 100);
    says(&longer, &Verdict::Refused("a malformed TLS hello"));
}

#[test]
fn what_is_neither_is_refused_at_once() {
    let garbage: [&[u8]; 9] = [
        b"\0",
        b"ssh-2.0",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"\x80\x2e\x01",
        b"\x16\x02\x00\x00\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x04\x02\0\0\x05",
    ];
    for bytes in garbage {
        says(bytes, &Verdict::Refused("neither TLS nor HTTP"));
    }
    let interrupted = [&records(&hello(None), 10)[..15], b"\x17\x03\x01\x00\x01x"].concat();
    says(&interrupted, &Verdict::Refused("neither TLS nor HTTP"));
}

#[test]
fn what_ends_before_it_names_a_host_is_refused() {
    for bytes in [&b""[..], b"\x16\x03", b"GET / HTTP/1.1\r\nHost: a.com\r\n"] {
        let mut sniffer = Sniffer::default();
        assert_eq!(sniffer.push(bytes), Verdict::NeedMore);
        assert_eq!(sniffer.at_end(), Verdict::Refused("ended before it named a host"));
    }
    let mut sniffer = Sniffer::default();
    sniffer.push(b"GET / HTTP/1.1\r\nHost: a.com\r\n\r\n");
    assert_eq!(sniffer.at_end(), name("a.com"));
}

#[test]
fn sixteen_kibibytes_are_enough_for_everybody() {
    let too_much = Verdict::Refused("names no host in its first 16 KiB");
    says(&tls(&[server_name(b"a.com"), extension(21, &[0; MOST])].concat()[..0]), &Verdict::NoName);
    let padded = |padding: usize| {
        records(&hello(Some(&[extension(21, &vec![0; padding]), server_name(b"a.com")].concat())), 4000)
    };
    says(&padded(15_000), &name("a.com"));
    says(&padded(16_350), &too_much);
    let head = |padding: usize| format!("GET / HTTP/1.1\r\nX: {}\r\nHost: a.com\r\n\r\n", "x".repeat(padding));
    says(head(16_000).as_bytes(), &name("a.com"));
    says(head(16_400).as_bytes(), &too_much);
    says(&vec![b'A'; MOST], &too_much);
}

#[track_caller]
fn http(head: &str, verdict: &Verdict) {
    says(head.as_bytes(), verdict);
}

#[test]
fn a_request_names_its_host() {
    http("GET / HTTP/1.1\r\nHost: Example.com\r\n\r\nbody", &name("example.com"));
    http("POST /x HTTP/1.1\r\nAccept: */*\r\nhOST:\t example.com:8080 \r\n\r\n", &name("example.com"));
    http("GET http://example.com/a HTTP/1.1\r\nHost: EXAMPLE.com\r\n\r\n", &name("example.com"));
    http("GET http://example.com:80?a HTTP/1.0\r\n\r\n", &name("example.com"));
    http("OPTIONS * HTTP/1.1\r\nHost: example.com.\r\n\r\n", &name("example.com"));
    http("M-SEARCH / HTTP/1.1\r\nHost: a_b.com\r\n\r\n", &name("a_b.com"));
}

#[test]
fn a_request_without_a_name_says_so() {
    for host in ["", "Host:\r\n", "Host: 192.0.2.1:80\r\n", "Host: [2001:db8::1]:80\r\n", "Host: [2001:db8::1]\r\n"] {
        http(&format!("GET / HTTP/1.1\r\n{host}\r\n"), &Verdict::NoName);
    }
}

#[test]
fn a_request_that_could_be_read_differently_is_refused() {
    let malformed = Verdict::Refused("a malformed HTTP request");
    for lines in [
        "Host: a.com\n",
        "Host : a.com\r\n",
        " Host: a.com\r\n",
        "Host: a.com\r\n b.com\r\n",
        "Host: a.com\rHost: b.com\r\n",
        "Host: a\0.com\r\n",
        "Host: a.com:80@b.com\r\n",
        "Host: [::1\r\n",
        "nothing\r\n",
        ": x\r\n",
    ] {
        http(&format!("GET / HTTP/1.1\r\n{lines}\r\n"), &malformed);
    }
    for target in ["a.com", "ftp://a.com/", "http://", "http:///x", "://a.com"] {
        http(&format!("GET {target} HTTP/1.1\r\nHost: a.com\r\n\r\n"), &malformed);
    }
    let two = Verdict::Refused("two Host headers in one HTTP request");
    http("GET / HTTP/1.1\r\nHost: a.com\r\nHost: a.com\r\n\r\n", &two);
    let different = Verdict::Refused("two different hosts in one HTTP request");
    http("GET http://b.com/ HTTP/1.1\r\nHost: a.com\r\n\r\n", &different);
    let no_name = Verdict::Refused("what it names is no host's name");
    for host in ["a.com/b", "user@a.com", "a.com, b.com", "0x7f000001", "2130706433:80", "127.1", "[::1]x"] {
        http(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), &no_name);
    }
    http("GET http://a.com@b.com/ HTTP/1.1\r\nHost: a.com@b.com\r\n\r\n", &no_name);
}

#[test]
fn what_hides_later_names_is_refused() {
    http("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &Verdict::Refused("HTTP/2 without TLS hides the name"));
    let tunnel = Verdict::Refused("a tunnel through a proxy hides the name");
    http("CONNECT a.com:443 HTTP/1.1\r\nHost: a.com:443\r\n\r\n", &tunnel);
    for line in ["GET /\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/1.1 \r\n", "GET  / HTTP/1.1\r\n", "G(T / HTTP/1.1\r\n"]
    {
        http(line, &Verdict::Refused("neither TLS nor HTTP"));
    }
}

fn pieces(bytes: &[u8], cuts: &[usize]) -> Verdict {
    let mut sniffer = Sniffer::default();
    let mut rest = bytes;
    let mut verdict = Verdict::NeedMore;
    for cut in cuts {
        let (front, back) = rest.split_at((*cut).min(rest.len()));
        verdict = sniffer.push(front);
        rest = back;
    }
    if rest.is_empty() { verdict } else { sniffer.push(rest) }
}

/// A well-formed beginning, changed in a few places.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let tls = (1_usize..200).prop_map(|size| records(&hello(Some(&server_name(b"a.example.com"))), size));
    let http = Just(b"GET http://a.com/x HTTP/1.1\r\nHost: a.com\r\nAccept: */*\r\n\r\n".to_vec());
    let change = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop_oneof![tls, http], change).prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn the_verdict_is_the_same_for_every_way_of_cutting(
        bytes in prop_oneof![nearly(), prop::collection::vec(any::<u8>(), 0..400)],
        cuts in prop::collection::vec(0_usize..60, 0..40),
    ) {
        prop_assert_eq!(pieces(&bytes, &cuts), whole(&bytes));
    }

    #[test]
    fn a_name_is_only_ever_what_the_bytes_hold(bytes in nearly()) {
        if let Verdict::Name(name) = whole(&bytes) {
            let last = name.as_str().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
            let held = bytes.to_ascii_lowercase();
            // Only the end of the name stands in one piece in every cut of the records.
            prop_assert!(last.bytes().all(|byte| held.contains(&byte)));
        }
    }
}
