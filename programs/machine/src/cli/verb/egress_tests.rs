//! What `egress` asks for and how it answers.

use super::*;
use clap::Parser;
use serde_json::{Value, json};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    verb: EgressVerb,
}

fn read(line: &str) -> Result<EgressVerb, clap::Error> {
    Line::try_parse_from(line.split(' ')).map(|line| line.verb)
}

fn check(line: &str, wish: &Value) {
    let EgressVerb::Set(asked) = read(line).unwrap() else { panic!("{line}") };
    assert_eq!(serde_json::to_value(asked.wish()).unwrap(), *wish, "{line}");
}

#[test]
fn only_what_is_named_is_changed() {
    check("egress set web", &json!({}));
    check(
        "egress set web --policy deny --allow a.example --allow b.example",
        &json!({"policy": "deny", "allow": ["a.example", "b.example"]}),
    );
    check("egress set web --deny 1.1.1.1", &json!({"deny": ["1.1.1.1"]}));
    check(
        "egress set web --add-allow a.example --add-deny b.example --remove c.example",
        &json!({"add_allow": ["a.example"], "add_deny": ["b.example"], "remove": ["c.example"]}),
    );
}

#[test]
fn a_reset_begins_anew() {
    check("egress set web --reset", &json!({"policy": "allow", "allow": [], "deny": []}));
    check("egress set --reset --policy deny --deny x web", &json!({"policy": "deny", "allow": [], "deny": ["x"]}));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for line in ["egress set web --policy maybe", "egress explain web", "egress explain web 10.0.0.0/8", "egress set"] {
        assert!(read(line).is_err(), "{line}");
    }
}

#[test]
fn rules_are_described_line_by_line() {
    let rules = json!({"machine_id": "m1", "egress": {
        "mode": "custom", "allow_cidrs": [], "deny_cidrs": [], "policy": "deny",
        "allow": ["*.example.com", "10.0.0.1:22/tcp"], "deny": ["x.example.com"],
    }});
    let text = description(&serde_json::from_value(rules).unwrap(), Paint::Plain);
    assert_eq!(text, "policy  deny\nallow   *.example.com\n        10.0.0.1:22/tcp\ndeny    x.example.com\n");
}

#[test]
fn an_answer_says_the_rule_and_every_address() {
    let told = json!({
        "machine_id": "m1", "host": "a.example.com", "port": 443, "protocol": "tcp", "verdict": "allow",
        "rule": "allow *.example.com",
        "resolve": {"verdict": "allow", "rule": "allow *.example.com", "condition": "none"},
        "addresses": [
            {"address": "10.0.0.1", "verdict": "deny", "rule": "reserved 10.0.0.0/8", "condition": "none"},
            {"address": "2606:4700::1", "verdict": "allow", "rule": "allow *.example.com", "condition": "name"},
        ],
    });
    let text = answer(&serde_json::from_value(told).unwrap(), Paint::Plain);
    let expected = "\
PLACE                  VERDICT  RULE
a.example.com:443/tcp  allow    allow *.example.com
resolve a.example.com  allow    allow *.example.com
10.0.0.1               deny     reserved 10.0.0.0/8
2606:4700::1           allow    allow *.example.com, once TLS or HTTP names a host that is allowed
";
    assert_eq!(text, expected);
}

#[test]
fn an_address_is_one_line() {
    let told = json!({
        "machine_id": "m1", "host": "::1", "port": 22, "protocol": "tcp", "verdict": "deny", "rule": "reserved ::/96",
        "addresses": [{"address": "::1", "verdict": "deny", "rule": "reserved ::/96", "condition": "none"}],
    });
    let text = answer(&serde_json::from_value(told).unwrap(), Paint::Plain);
    assert_eq!(text, "PLACE         VERDICT  RULE\n[::1]:22/tcp  deny     reserved ::/96\n");
}
