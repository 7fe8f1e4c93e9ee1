//! What is answered, refused and taken out by the rules.

use hickory_proto::rr::rdata::svcb::{IpHint, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, HTTPS, SOA, SVCB, TXT};
use hickory_proto::rr::{DNSClass, Name, Record};
use machine_core::network::Transport;
use machine_core::policy::egress::Protocol;

use super::server::{address, answer, cname, message};
use super::*;

/// Answers every question for addresses with these.
fn always(addresses: &'static [&'static str]) -> Server {
    Server::new(move |asked| {
        let of = asked.1.queries[0].name.to_ascii();
        let of = of.trim_end_matches('.');
        answer(asked, addresses.iter().map(|text| address(of, 300, text)).collect())
    })
}

#[test]
fn an_allowed_name_is_answered_and_pinned() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(policy(Verdict::Deny, &["example.com"], &[]), &[&server]);
    let mut asked = extended(question("EXAMPLE.com", RecordType::A), 1232);
    let secret = hickory_proto::rr::rdata::opt::EdnsOption::Unknown(65_001, b"carried out".to_vec());
    asked.edns.as_mut().unwrap().options_mut().insert(secret);
    stage.send(GUEST, &asked);
    let reply = stage.reply();
    assert_eq!(reply.metadata.id, 4711);
    assert!(reply.metadata.recursion_available && reply.metadata.recursion_desired);
    assert!(reply.queries[0].name.eq_case(&name("EXAMPLE.com")), "the question as it was asked");
    assert_eq!(addresses(&reply), ["93.184.216.34"]);
    assert_eq!(stage.names_of("93.184.216.34"), ["example.com"]);
    let (transport, upstream, _) = server.asked().remove(0);
    assert_eq!(transport, Transport::Udp);
    assert!(upstream.queries[0].name.eq_case(&name("example.com")), "nothing is told by the case of letters");
    assert!(upstream.edns.unwrap().options().as_ref().is_empty(), "the guest's options stay here");
    stage.now += 300 * SECOND;
    assert!(stage.names_of("93.184.216.34").is_empty());
}

#[test]
fn a_name_that_is_not_allowed_is_refused_and_nobody_is_asked() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(policy(Verdict::Deny, &["example.com"], &[]), &[&server]);
    stage.send(GUEST, &extended(question("evil.com", RecordType::A), 1232));
    let reply = stage.reply();
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    let options = reply.edns.unwrap();
    let (_, option) = &options.options().as_ref()[0];
    let prohibited = [&[0, 18][..], b"default deny"].concat();
    assert_eq!(*option, hickory_proto::rr::rdata::opt::EdnsOption::Unknown(15, prohibited));
    stage.is_refused("www.example.com", RecordType::A, ResponseCode::NXDomain);
    assert!(stage.ask("evil.com", RecordType::TXT).edns.is_none(), "extensions only for who speaks them");
    assert_eq!(stage.refused(), ["default deny", "default deny"]);
    assert!(server.asked().is_empty());
}

#[test]
fn a_closed_gateway_resolves_nothing() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(open(), &[&server]);
    stage.gatekeeper.close("no plan");
    stage.is_refused("example.com", RecordType::A, ResponseCode::NXDomain);
    assert_eq!(stage.refused(), ["closed: no plan"]);
    assert!(server.asked().is_empty());
}

#[test]
fn addresses_in_the_dress_of_names_are_refused() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(open(), &[&server]);
    for spelling in ["127.0.0.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "a.0x7F"] {
        stage.is_refused(spelling, RecordType::A, ResponseCode::NXDomain);
    }
    assert!(server.asked().is_empty());
}

#[test]
fn names_with_letters_that_hosts_do_not_have_are_refused() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(policy(Verdict::Allow, &[], &["*.evil.com"]), &[&server]);
    let odd: [&[&[u8]]; 6] = [
        &[],
        &[b"a.evil", b"com"],
        &[b"*", b"example", b"com"],
        &[b"a b", b"com"],
        &[b"\0", b"com"],
        &[b"\xff\xc3", b"com"],
    ];
    for labels in odd {
        let mut asked = question("x", RecordType::A);
        asked.queries[0].name = Name::from_labels(labels.iter().copied()).unwrap();
        asked.queries[0].name.set_fqdn(true);
        stage.send(GUEST, &asked);
        assert_eq!(stage.reply().metadata.response_code, ResponseCode::NXDomain, "{labels:?}");
    }
    assert!(server.asked().is_empty());
    let longest = [&"a".repeat(63)[..]; 3].join(".") + "." + &"a".repeat(61);
    assert_eq!(addresses(&stage.ask(&longest, RecordType::A)), ["93.184.216.34"]);
}

#[test]
fn names_below_a_denied_one_are_refused_and_its_neighbours_are_not() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(policy(Verdict::Allow, &[], &["*.evil.com"]), &[&server]);
    for below in ["a.evil.com", "A.b.EVIL.com"] {
        stage.is_refused(below, RecordType::A, ResponseCode::NXDomain);
    }
    for beside in ["evil.com", "aevil.com", "evil.com.example.com"] {
        assert_eq!(addresses(&stage.ask(beside, RecordType::A)).len(), 1, "{beside}");
    }
}

#[test]
fn questions_for_everything_and_transfers_are_refused() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(open(), &[&server]);
    for kind in [RecordType::ANY, RecordType::AXFR, RecordType::IXFR, RecordType::ZERO, RecordType::Unknown(249)] {
        stage.is_refused("example.com", kind, ResponseCode::Refused);
    }
    let mut chaos = question("version.bind", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    stage.send(GUEST, &chaos);
    assert!(server.asked().is_empty());
}

#[test]
fn keys_that_hide_names_are_not_answered_where_names_decide() {
    let https = |asked: &server::Asked| {
        let hint = |address: [u8; 4]| {
            let hint = SvcParamValue::Ipv4Hint(IpHint(vec![A(address.into())]));
            let data = SVCB::new(1, Name::root(), vec![(SvcParamKey::Ipv4Hint, hint)]);
            Record::from_rdata(name("example.com"), 300, RData::HTTPS(HTTPS(data)))
        };
        answer(asked, vec![hint([93, 184, 216, 34]), hint([10, 0, 0, 1])])
    };
    let server = Server::new(https);
    let mut stage = Stage::new(policy(Verdict::Deny, &["example.com"], &[]), &[&server]);
    let reply = stage.ask("example.com", RecordType::HTTPS);
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(stage.ask("example.com", RecordType::SVCB).answers.len(), 0);
    assert!(server.asked().is_empty());
    stage.gatekeeper.follow(open());
    assert_eq!(stage.ask("example.com", RecordType::HTTPS).answers.len(), 1, "without the reserved hint");
    assert_eq!(stage.refused(), ["reserved 10.0.0.0/8 10.0.0.1"]);
}

#[test]
fn no_ipv6_is_answered_where_the_host_has_no_way_there() {
    let server = always(&["2606:2800::1"]);
    let mut stage = Stage::new(open(), &[&server]);
    stage.resolver.set_ipv6(Ipv6::NoRoute);
    let reply = stage.ask("example.com", RecordType::AAAA);
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0));
    assert!(server.asked().is_empty());
    stage.resolver.set_ipv6(Ipv6::Route);
    assert_eq!(addresses(&stage.ask("example.com", RecordType::AAAA)), ["2606:2800::1"]);
}

#[test]
fn a_name_that_is_rebound_to_a_reserved_address_has_none() {
    let inside = always(&["192.168.1.1", "127.0.0.1"]);
    let mut stage = Stage::new(policy(Verdict::Deny, &["evil.com"], &[]), &[&inside]);
    let reply = stage.ask("evil.com", RecordType::A);
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(stage.refused(), ["reserved 192.168.0.0/16 192.168.1.1", "reserved 127.0.0.0/8 127.0.0.1"]);
    assert!(stage.names_of("192.168.1.1").is_empty());
    let mixed = always(&["::ffff:10.0.0.1", "64:ff9b::a00:1", "2606:2800::1", "fe80::1"]);
    let mut stage = Stage::new(open(), &[&mixed]);
    assert_eq!(addresses(&stage.ask("evil.com", RecordType::AAAA)), ["2606:2800::1"]);
    assert_eq!(stage.refused().len(), 3);
}

#[test]
fn an_exception_lets_its_address_be_answered() {
    let server = always(&["192.168.1.5", "192.168.1.6"]);
    let mut stage = Stage::new(policy(Verdict::Allow, &["192.168.1.5:5432"], &[]), &[&server]);
    assert_eq!(addresses(&stage.ask("db.example.com", RecordType::A)), ["192.168.1.5"]);
}

/// Answers with a chain of so many other names before the address.
fn chained(links: usize) -> Server {
    Server::new(move |asked| {
        let of = |number: usize| if number == 0 { "example.com".to_owned() } else { format!("n{number}.net") };
        let mut records: Vec<_> = (0..links).map(|number| cname(&of(number), 300, &of(number + 1))).collect();
        records.push(address(&of(links), 30, "93.184.216.34"));
        records.reverse();
        answer(asked, records)
    })
}

#[test]
fn a_chain_of_other_names_is_followed_sixteen_links_far() {
    let server = chained(16);
    let mut stage = Stage::new(policy(Verdict::Deny, &["example.com"], &[]), &[&server]);
    let reply = stage.ask("example.com", RecordType::A);
    assert_eq!(reply.answers.len(), 17);
    assert_eq!(stage.names_of("93.184.216.34"), ["example.com"], "what was asked for, and no name between");
    stage.now += 59 * SECOND;
    assert_eq!(stage.names_of("93.184.216.34").len(), 1, "for a minute, although the answer says half of one");
    stage.now += SECOND;
    assert!(stage.names_of("93.184.216.34").is_empty());
    let longer = chained(17);
    Stage::new(open(), &[&longer]).is_refused("example.com", RecordType::A, ResponseCode::ServFail);
}

#[test]
fn a_chain_in_a_circle_is_no_answer() {
    let server = Server::new(|asked| {
        let records =
            vec![cname("a.com", 300, "b.com"), cname("b.com", 300, "a.com"), address("a.com", 300, "93.184.216.34")];
        answer(asked, records)
    });
    let mut stage = Stage::new(open(), &[&server]);
    stage.is_refused("a.com", RecordType::A, ResponseCode::ServFail);
    assert!(stage.names_of("93.184.216.34").is_empty());
}

#[test]
fn a_denied_name_is_denied_under_another_name_too() {
    let server = Server::new(|asked| {
        answer(asked, vec![cname("good.com", 300, "x.evil.com"), address("x.evil.com", 300, "93.184.216.34")])
    });
    let mut stage = Stage::new(policy(Verdict::Allow, &[], &["*.evil.com"]), &[&server]);
    stage.is_refused("good.com", RecordType::A, ResponseCode::NXDomain);
    assert_eq!(stage.refused(), ["deny *.evil.com"]);
    assert!(stage.names_of("93.184.216.34").is_empty());
}

#[test]
fn what_was_not_asked_for_is_left_out() {
    let server = Server::new(|asked| {
        let records = vec![
            address("example.com", 100_000, "93.184.216.34"),
            address("other.com", 300, "93.184.216.35"),
            Record::from_rdata(name("example.com"), 300, RData::TXT(TXT::new(vec!["more".to_owned()]))),
            cname("other.com", 300, "example.com"),
        ];
        let mut message = message(asked, ResponseCode::NoError, records);
        message.additionals.push(address("example.com", 300, "93.184.216.36"));
        message.authorities.push(address("example.com", 300, "93.184.216.37"));
        vec![message.to_vec().unwrap()]
    });
    let mut stage = Stage::new(open(), &[&server]);
    let reply = stage.ask("example.com", RecordType::A);
    assert_eq!(reply.answers.len(), 1);
    assert_eq!(reply.answers[0].ttl, 3600, "no longer than its pin");
    assert!(reply.additionals.is_empty() && reply.authorities.is_empty());
    for address in ["93.184.216.35", "93.184.216.36", "93.184.216.37"] {
        assert!(stage.names_of(address).is_empty());
    }
}

#[test]
fn that_there_is_no_such_name_is_told_with_who_says_so() {
    let server = Server::new(|asked| {
        let mut message = message(asked, ResponseCode::NXDomain, Vec::new());
        let soa = SOA::new(name("a.net"), name("b.net"), 1, 2, 3, 4, 5);
        message.authorities.push(Record::from_rdata(name("com"), 300, RData::SOA(soa)));
        vec![message.to_vec().unwrap()]
    });
    let reply = Stage::new(open(), &[&server]).ask("gone.com", RecordType::A);
    assert_eq!((reply.metadata.response_code, reply.authorities.len()), (ResponseCode::NXDomain, 1));
}

#[test]
fn our_own_names_are_answered_by_nobody_else() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(policy(Verdict::Deny, &[], &[]), &[&server]);
    for (of, kind, wanted) in [
        ("localhost", RecordType::A, &["127.0.0.1"][..]),
        ("a.b.LOCALHOST", RecordType::AAAA, &["::1"]),
        ("localhost", RecordType::TXT, &[]),
        ("host.machine.internal", RecordType::A, &["10.0.2.2"]),
        ("host.machine.internal", RecordType::AAAA, &[]),
    ] {
        let reply = stage.ask(of, kind);
        assert_eq!(
            (reply.metadata.response_code, &addresses(&reply)[..]),
            (ResponseCode::NoError, &wanted.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
        );
    }
    for nobody in ["machine.internal", "other.machine.internal", "x.host.machine.internal"] {
        stage.is_refused(nobody, RecordType::A, ResponseCode::NXDomain);
    }
    let mut stage = Stage::new(open(), &[&server]);
    for backward in ["2.2.0.10.in-addr.arpa", "168.192.in-addr.arpa", "1.0.0.127.in-addr.arpa", "8.e.f.ip6.arpa"] {
        stage.is_refused(backward, RecordType::PTR, ResponseCode::NXDomain);
    }
    assert!(server.asked().is_empty() && stage.refused().is_empty());
    assert_eq!(stage.ask("8.8.8.8.in-addr.arpa", RecordType::PTR).metadata.response_code, ResponseCode::NoError);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_tunnel_of_texts_is_slow() {
    let server = Server::new(|asked| answer(asked, Vec::new()));
    let mut stage = Stage::new(open(), &[&server]);
    let codes: Vec<_> = (0..60)
        .map(|number| stage.ask(&format!("{number}.evil.com"), RecordType::TXT).metadata.response_code)
        .collect();
    assert!(codes[..50].iter().all(|code| *code == ResponseCode::NoError));
    assert!(codes[50..].iter().all(|code| *code == ResponseCode::Refused));
    assert_eq!(stage.refused(), ["resolver: more than 10 questions a second of kinds that tunnels use"]);
    assert_eq!(server.asked().len(), 50);
    assert_eq!(stage.ask("example.com", RecordType::A).metadata.response_code, ResponseCode::NoError);
}

#[test]
fn rules_that_change_meanwhile_decide_the_answer() {
    let server = always(&["93.184.216.34"]);
    let mut stage = Stage::new(open(), &[&server]);
    stage.send(GUEST, &question("example.com", RecordType::A));
    stage.gatekeeper.follow(policy(Verdict::Deny, &[], &[]));
    assert_eq!(stage.reply().metadata.response_code, ResponseCode::NXDomain);
    assert!(stage.names_of("93.184.216.34").is_empty());
}

fn explained(stage: &mut Stage, host: Host) -> (Option<String>, Vec<(String, String)>, Option<String>) {
    let question = Question { host, port: 443, protocol: Protocol::Tcp };
    stage.with(|resolver, moment| resolver.explain(moment, 7, question));
    let Outcome::Found(found) = stage.outcome() else { panic!("a reply") };
    assert_eq!(found.id, 7);
    let explanation = found.explain(stage.now, &stage.gatekeeper, |_| false);
    let addresses = explanation.addresses.into_iter().map(|(address, why)| (address.to_string(), why.rule));
    (explanation.resolve.map(|decision| decision.rule), addresses.collect(), explanation.note)
}

#[test]
fn what_would_happen_is_explained_without_a_trace() {
    let server = Server::new(|asked| {
        let of = asked.1.queries[0].name.to_ascii();
        let of = of.trim_end_matches('.');
        match asked.1.queries[0].query_type {
            RecordType::A => answer(asked, vec![address(of, 300, "93.184.216.34"), address(of, 300, "10.0.0.1")]),
            _ => answer(asked, Vec::new()),
        }
    });
    let allow = ["example.com", "host.machine.internal:443"];
    let mut stage = Stage::new(policy(Verdict::Deny, &allow, &[]), &[&server]);
    let host = |text: &str| Host::Name(text.parse().unwrap());
    let pair = |address: &str, rule: &str| (address.to_owned(), rule.to_owned());
    let (resolve, found, note) = explained(&mut stage, host("example.com"));
    assert_eq!((resolve.as_deref(), note), (Some("allow example.com"), None));
    let wanted = [pair("93.184.216.34", "allow example.com"), pair("10.0.0.1", "reserved 10.0.0.0/8")];
    assert_eq!(found, wanted);
    assert!(stage.names_of("93.184.216.34").is_empty());
    let asked = server.asked().len();
    let (resolve, found, _) = explained(&mut stage, host("evil.com"));
    assert_eq!((resolve.as_deref(), found.len()), (Some("default deny"), 0));
    let (resolve, found, _) = explained(&mut stage, Host::Address("93.184.216.34".parse().unwrap()));
    assert_eq!((resolve, found), (None, vec![pair("93.184.216.34", "default deny")]));
    let (_, found, _) = explained(&mut stage, host("host.machine.internal"));
    assert_eq!(found, [pair("10.0.2.2", "allow host.machine.internal:443")]);
    let (_, found, note) = explained(&mut stage, host("localhost"));
    assert_eq!((found.len(), note.as_deref()), (0, Some("the machine itself; nothing leaves it")));
    assert_eq!(server.asked().len(), asked);
    let mut alone = Stage::new(open(), &[]);
    let (_, found, note) = explained(&mut alone, host("example.com"));
    assert_eq!((found.len(), note.as_deref()), (0, Some("the host's resolver does not answer")));
}
