//! The rules of egress, told as what a machine may and may not reach.

use super::*;

fn entry(text: &str) -> Entry {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn policy(otherwise: Verdict, allow: &[&str], deny: &[&str]) -> EgressPolicy {
    EgressPolicy {
        otherwise,
        allow: allow.iter().map(|text| entry(text)).collect(),
        deny: deny.iter().map(|text| entry(text)).collect(),
    }
}

fn names(names: &[&str]) -> Vec<DomainName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn decide(policy: &EgressPolicy, to: &str, protocol: Protocol, known_as: &[&str]) -> Decision {
    let to: std::net::SocketAddr = to.parse().unwrap();
    let names = names(known_as);
    policy.decide(&Destination { address: to.ip(), port: to.port(), protocol, names: &names, is_host: false })
}

#[track_caller]
fn tcp(policy: &EgressPolicy, to: &str, known_as: &[&str], verdict: Verdict, rule: &str) -> Condition {
    let decision = decide(policy, to, Protocol::Tcp, known_as);
    assert_eq!((decision.verdict, decision.rule.as_str()), (verdict, rule), "{to}");
    decision.condition
}

#[test]
fn an_entry_reads_in_every_form_and_back() {
    for text in [
        "1.1.1.1",
        "1.1.1.0/24",
        "1.1.1.1:443",
        "1.1.1.0/24:443/tcp",
        "2001:db8::1",
        "2001:db8::/32",
        "[2001:db8::/32]:443",
        "[2001:db8::1]:53/udp",
        "example.com",
        "example.com:22",
        "*.example.com",
        "*.example.com:8443/tcp",
        "8.8.8.8/icmp",
        "_srv.example.com",
    ] {
        assert_eq!(entry(text).to_string(), text);
    }
    assert_eq!(entry("Example.COM."), entry("example.com"));
    assert_eq!(entry("::ffff:1.1.1.1"), entry("1.1.1.1"));
    assert_eq!(entry("[::ffff:1.1.1.0/120]:53"), entry("1.1.1.0/24:53"));
    assert_eq!(entry("[1.1.1.1]"), entry("1.1.1.1"));
}

#[test]
fn what_is_no_entry_is_refused() {
    for text in [
        "",
        "*",
        "*.",
        ":80",
        "a:",
        "a:0",
        "a:70000",
        "a:+1",
        "a b",
        "a..b",
        "-a.com",
        "ex/ample",
        "1.2.3",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "1.1.1.1/33",
        "10.0.0.1/8",
        "a.com:80/sctp",
        "bücher.de",
        "8.8.8.8:1/icmp",
        "[::1",
        "[::1]80",
        "x*.com",
        "*.*.com",
        "http://a.com",
    ] {
        assert!(text.parse::<Entry>().is_err(), "{text}");
    }
    let long = format!("{}.com", "a".repeat(64));
    assert!(long.parse::<Entry>().is_err());
    assert!(vec!["a"; 128].join(".").parse::<Entry>().is_err());
}

#[test]
fn reserved_addresses_are_refused_in_every_spelling() {
    let all = policy(Verdict::Allow, &["0.0.0.0/0", "::/0", "*.example.com"], &[]);
    for to in [
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "240.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:a00:1::1]",
        "[2001:0:a00:1::]",
        "[fc00::1]",
        "[fd12::1]",
        "[fe80::1]",
        "[ff02::1]",
        "[::ffff:0:10.0.0.1]",
    ] {
        let decision = decide(&all, &format!("{to}:443"), Protocol::Tcp, &["a.example.com"]);
        assert_eq!(decision.verdict, Verdict::Deny, "{to}");
        assert!(decision.rule.starts_with("reserved "), "{to}: {}", decision.rule);
    }
    tcp(&all, "8.8.8.8:1", &[], Verdict::Allow, "allow 0.0.0.0/0");
    tcp(&all, "172.32.0.1:1", &[], Verdict::Allow, "allow 0.0.0.0/0");
}

#[test]
fn a_single_exception_opens_what_it_names_and_no_more() {
    let some = policy(Verdict::Allow, &["192.168.1.5:5432", "10.9.0.0/16", "203.0.113.7"], &["10.9.9.9"]);
    tcp(&some, "192.168.1.5:5432", &[], Verdict::Allow, "allow 192.168.1.5:5432");
    tcp(&some, "192.168.1.5:5433", &[], Verdict::Deny, "reserved 192.168.0.0/16");
    tcp(&some, "192.168.1.6:5432", &[], Verdict::Deny, "reserved 192.168.0.0/16");
    tcp(&some, "10.9.1.1:80", &[], Verdict::Allow, "allow 10.9.0.0/16");
    tcp(&some, "10.9.9.9:80", &[], Verdict::Deny, "deny 10.9.9.9");
    let host = |address: &str| Destination {
        address: address.parse().unwrap(),
        port: 80,
        protocol: Protocol::Tcp,
        names: &[],
        is_host: true,
    };
    assert_eq!(some.decide(&host("203.0.113.8")).rule, "reserved: the host itself");
    assert_eq!(some.decide(&host("203.0.113.7")).rule, "allow 203.0.113.7");
}

#[test]
fn the_hosts_own_name_opens_its_loopback_and_nothing_else() {
    let some = policy(Verdict::Deny, &["host.machine.internal:8080"], &[]);
    tcp(&some, "127.0.0.1:8080", &["host.machine.internal"], Verdict::Allow, "allow host.machine.internal:8080");
    tcp(&some, "127.0.0.1:8081", &["host.machine.internal"], Verdict::Deny, "reserved 127.0.0.0/8");
    tcp(&some, "10.0.0.1:8080", &["host.machine.internal"], Verdict::Deny, "reserved 10.0.0.0/8");
}

#[test]
fn a_name_that_leads_to_a_reserved_address_is_no_exception() {
    let rebinding = policy(Verdict::Deny, &["evil.example.com:80", "*.example.com"], &[]);
    tcp(&rebinding, "192.168.1.1:80", &["evil.example.com"], Verdict::Deny, "reserved 192.168.0.0/16");
}

#[test]
fn a_name_is_allowed_where_it_can_be_seen() {
    let some = policy(Verdict::Deny, &["example.com", "*.example.org:8443", "git.example.com:22"], &[]);
    let seen = tcp(&some, "93.184.216.34:443", &["example.com"], Verdict::Allow, "allow example.com");
    assert_eq!(seen, Condition::Name);
    tcp(&some, "93.184.216.34:8080", &["example.com"], Verdict::Deny, "default deny");
    tcp(&some, "93.184.216.34:443", &[], Verdict::Deny, "default deny");
    let seen = tcp(&some, "93.184.216.34:22", &["git.example.com"], Verdict::Allow, "allow git.example.com:22");
    assert_eq!(seen, Condition::None);
    tcp(&some, "93.184.216.34:8443", &["a.b.example.org"], Verdict::Allow, "allow *.example.org:8443");
    for not_below in ["example.org", "aexample.org", "example.org.evil.com"] {
        tcp(&some, "93.184.216.34:8443", &[not_below], Verdict::Deny, "default deny");
    }
}

#[test]
fn what_hides_names_is_refused_where_names_decide() {
    let some = policy(Verdict::Deny, &["example.com", "93.184.0.0/16", "9.9.9.9:53"], &[]);
    let udp = |to: &str| decide(&some, to, Protocol::Udp, &["example.com"]).rule;
    assert_eq!(udp("93.184.216.34:443"), "names decide: QUIC hides the name");
    assert_eq!(udp("93.184.216.34:53"), "names decide: another resolver");
    assert_eq!(udp("9.9.9.9:53"), "allow 9.9.9.9:53");
    tcp(&some, "8.8.8.8:853", &[], Verdict::Deny, "names decide: another resolver");
    let open = policy(Verdict::Allow, &[], &[]);
    assert_eq!(decide(&open, "8.8.8.8:53", Protocol::Udp, &[]).verdict, Verdict::Allow);
}

#[test]
fn the_resolver_answers_for_allowed_names_alone() {
    let ask = |policy: &EgressPolicy, name: &str| policy.may_resolve(&name.parse().unwrap()).verdict;
    let closed = policy(Verdict::Deny, &["example.com", "*.example.org:22"], &["bad.example.org"]);
    assert_eq!(ask(&closed, "EXAMPLE.com."), Verdict::Allow);
    assert_eq!(ask(&closed, "a.example.org"), Verdict::Allow);
    assert_eq!(ask(&closed, "bad.example.org"), Verdict::Deny);
    assert_eq!(ask(&closed, "www.example.com"), Verdict::Deny);
    let open = policy(Verdict::Allow, &[], &["*.evil.com"]);
    assert_eq!(ask(&open, "x.evil.com"), Verdict::Deny);
    assert_eq!(ask(&open, "evil.com"), Verdict::Allow);
}

#[test]
fn a_connection_must_say_an_allowed_name() {
    let said = |policy: &EgressPolicy, name: Option<&str>| {
        let name: Option<DomainName> = name.map(|name| name.parse().unwrap());
        let wanted = Destination {
            address: "93.184.216.34".parse().unwrap(),
            port: 443,
            protocol: Protocol::Tcp,
            names: &[],
            is_host: false,
        };
        policy.decide_name(&wanted, name.as_ref()).verdict
    };
    let closed = policy(Verdict::Deny, &["example.com", "*.example.org"], &["x.example.org"]);
    assert_eq!(said(&closed, Some("example.com")), Verdict::Allow);
    assert_eq!(said(&closed, Some("evil.com")), Verdict::Deny);
    assert_eq!(said(&closed, Some("x.example.org")), Verdict::Deny);
    assert_eq!(said(&closed, None), Verdict::Deny);
    let open = policy(Verdict::Allow, &[], &["evil.com"]);
    assert_eq!(said(&open, Some("evil.com")), Verdict::Deny);
    assert_eq!(said(&open, Some("good.com")), Verdict::Allow);
    assert_eq!(said(&open, None), Verdict::Allow);
}

#[test]
fn an_entry_travels_as_its_text() {
    let some = policy(Verdict::Deny, &["example.com:22/tcp"], &["10.0.0.0/8"]);
    let json = serde_json::to_string(&some).unwrap();
    assert_eq!(json, r#"{"otherwise":"deny","allow":["example.com:22/tcp"],"deny":["10.0.0.0/8"]}"#);
    assert_eq!(serde_json::from_str::<EgressPolicy>(&json).unwrap(), some);
    assert!(serde_json::from_str::<EgressPolicy>(r#"{"allow":["127.1"]}"#).is_err());
}

#[test]
fn a_name_that_is_denied_is_denied_at_every_address() {
    let some = policy(Verdict::Deny, &["0.0.0.0/0", "93.184.216.34:443"], &["evil.com"]);
    let anywhere = tcp(&some, "93.184.216.35:443", &[], Verdict::Allow, "allow 0.0.0.0/0");
    assert_eq!(anywhere, Condition::Name);
    let wanted = Destination {
        address: "93.184.216.35".parse().unwrap(),
        port: 443,
        protocol: Protocol::Tcp,
        names: &[],
        is_host: false,
    };
    let said = |name: &str| some.decide_name(&wanted, Some(&name.parse().unwrap())).rule;
    assert_eq!(said("evil.com"), "deny evil.com (evil.com)");
    assert_eq!(said("good.com"), "allow 0.0.0.0/0 (good.com)");
    assert_eq!(some.decide_name(&wanted, None).rule, "allow 0.0.0.0/0");
    let exact = policy(Verdict::Deny, &["93.184.216.34:443"], &["evil.com"]);
    assert_eq!(tcp(&exact, "93.184.216.34:443", &[], Verdict::Allow, "allow 93.184.216.34:443"), Condition::None);
}

#[test]
fn names_decide_nothing_where_everything_is_allowed() {
    for entries in [&["example.com"][..], &["host.machine.internal:8080"]] {
        let open = policy(Verdict::Allow, entries, &[]);
        assert!(!open.goes_by_names());
        assert_eq!(tcp(&open, "8.8.8.8:443", &[], Verdict::Allow, "default allow"), Condition::None);
        assert_eq!(decide(&open, "8.8.8.8:443", Protocol::Udp, &[]).verdict, Verdict::Allow);
    }
    assert!(policy(Verdict::Allow, &[], &["evil.com"]).goes_by_names());
    assert!(!policy(Verdict::Deny, &["host.machine.internal"], &["host.machine.internal:22"]).goes_by_names());
    let some = policy(Verdict::Allow, &["127.0.0.1"], &["host.machine.internal"]);
    tcp(&some, "127.0.0.1:9", &["host.machine.internal"], Verdict::Deny, "deny host.machine.internal");
}

#[test]
fn a_name_is_refused_outright_only_where_nothing_of_it_is_wanted() {
    let some = policy(Verdict::Allow, &[], &["evil.com", "tls.com:853", "quic.com/udp"]);
    let refused = |name: &str| some.refuses_name(&name.parse().unwrap()).map(|decision| decision.rule);
    assert_eq!(refused("evil.com").as_deref(), Some("deny evil.com"));
    assert_eq!(refused("tls.com"), None);
    assert_eq!(refused("quic.com"), None);
    assert_eq!(policy(Verdict::Deny, &[], &[]).refuses_name(&"other.com".parse().unwrap()), None);
}

#[test]
fn a_reserved_address_is_answered_only_where_an_exception_was_made() {
    let some = policy(Verdict::Allow, &["192.168.1.5:5432", "0.0.0.0/0", "host.machine.internal"], &[]);
    let answers = |address: &str| some.may_answer(address.parse().unwrap()).rule;
    assert_eq!(answers("192.168.1.5"), "allow 192.168.1.5:5432");
    assert_eq!(answers("::ffff:192.168.1.5"), "allow 192.168.1.5:5432");
    assert_eq!(answers("192.168.1.6"), "reserved 192.168.0.0/16");
    assert_eq!(answers("127.0.0.1"), "reserved 127.0.0.0/8");
    assert_eq!(answers("8.8.8.8"), "not reserved");
}
