//! What is told of a network: what was refused and by which rule, and what would happen.

use crate::guest::Guest;
use crate::home::until;
use crate::reach::nobody_saw;
use crate::stage::Stage;

crate::stories![
    refusals_are_logged_with_the_rule_and_seldom,
    explain_says_what_would_happen_and_dials_nobody,
    what_is_no_rule_is_refused_with_a_word_on_how_to_write_it,
];

fn refusals_are_logged_with_the_rule_and_seldom(stage: &Stage) {
    let guest = Guest::create(stage, "a", &["--deny", "203.0.113.11", "--deny", "evil.example.org"]);
    guest.python(
        "for turn in range(300): tcp('203.0.113.11', 80)\n\
         tcp('192.168.1.1', 443); resolve('evil.example.org')",
    );
    let rules = || guest.refusals().iter().map(|line| line["rule"].to_string()).collect::<Vec<_>>();
    until("all three are told", || {
        let rules = rules();
        ["deny 203.0.113.11", "reserved 192.168.0.0/16", "deny evil.example.org"]
            .iter()
            .all(|rule| rules.iter().any(|told| told.contains(rule)))
    });
    let of_one = rules().iter().filter(|rule| rule.contains("203.0.113.11")).count();
    assert!(of_one < 100, "300 refusals, {of_one} lines");
    let plain = stage.home.ok(&["logs", "a", "--network"]);
    assert!(plain.contains("192.168.1.1"), "{plain}");
}

fn explain_says_what_would_happen_and_dials_nobody(stage: &Stage) {
    let guest = Guest::create(
        stage,
        "a",
        &[
            "--egress",
            "deny",
            "--allow",
            "www.example.com",
            "--allow",
            "198.51.100.0/24:22",
            "--allow",
            "inwards.example.com",
        ],
    );
    let asked = |host: &str| stage.home.machine(&["egress", "explain", guest.name(), host]);
    for (host, words) in [
        ("www.example.com", &["allow www.example.com", "203.0.113.10"][..]),
        ("198.51.100.7:22", &["allow 198.51.100.0/24:22"]),
        ("198.51.100.7:23", &["default deny"]),
        ("10.1.2.3", &["reserved 10.0.0.0/8"]),
        ("evil.example.org", &["default deny"]),
        ("inwards.example.com", &["reserved 10.0.0.0/8"]),
    ] {
        let said = asked(host);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(words.iter().all(|word| text.contains(word)), "{host}: {words:?} not in:\n{text}");
    }
    nobody_saw(&stage.world);
    stage.home.ok(&["stop", "a"]);
    assert!(asked("10.1.2.3").stdout.contains("reserved 10.0.0.0/8"));
    assert!(asked("www.example.com").stdout.contains("allow www.example.com"));
}

fn what_is_no_rule_is_refused_with_a_word_on_how_to_write_it(stage: &Stage) {
    for entry in ["127.1", "0x7f000001", "10.0.0.1/8", "*.*.com", "http://a.com", "a.com:0"] {
        let told = stage.home.refused(&["create", "--name", "a", "--allow", entry], 2);
        assert!(told.contains(entry), "{entry}: {told}");
    }
    for port in ["0", "80:0", "80/sctp", "1:2:3", "999999"] {
        stage.home.refused(&["create", "--name", "a", "-p", port], 2);
    }
    assert_eq!(stage.home.ok(&["ls", "-q"]), "");
}
