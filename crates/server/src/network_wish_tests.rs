//! Wishes for networks: what is understood, and what is refused by name.

use super::*;
use machine_core::Code;
use serde_json::{Value, json};

fn read(wish: Value) -> Result<NetworkSpec, Refusal> {
    network(Some(serde_json::from_value(wish).expect("its shape is right")), None)
}

fn rules(otherwise: Verdict, allow: &[&str], deny: &[&str]) -> EgressPolicy {
    let entries = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an entry")).collect();
    EgressPolicy { otherwise, allow: entries(allow), deny: entries(deny) }
}

fn says(wish: Value, policy: &EgressPolicy) {
    assert_eq!(read(wish.clone()).expect("understood").egress, *policy, "{wish}");
}

fn refused(wish: Value, code: Code, names: &[&str]) {
    let refusal = read(wish.clone()).expect_err("refused");
    assert_eq!(refusal.code, code, "{wish}");
    assert!(names.iter().all(|name| refusal.message.contains(name)), "{wish}: {}", refusal.message);
}

#[test]
fn nothing_said_is_a_network_that_reaches_the_internet() {
    assert_eq!(network(None, None).expect("understood"), NetworkSpec::default());
    assert_eq!(network(None, Some(true)).expect("understood"), NetworkSpec::default());
    assert_eq!(
        read(json!({"allow_public_traffic": true, "mode": "user"})).expect("understood"),
        NetworkSpec::default()
    );
}

#[test]
fn no_internet_access_is_a_network_that_reaches_nothing() {
    let closed = network(None, Some(false)).expect("understood");
    assert_eq!((closed.mode, closed.egress), (NetworkMode::User, rules(Verdict::Deny, &[], &[])));
    let wish = NetworkWish { allow_out: Some(vec!["1.1.1.1/32".to_owned()]), ..NetworkWish::default() };
    let refusal = network(Some(wish), Some(false)).expect_err("a contradiction");
    assert!(refusal.message.contains("internet_access"), "{}", refusal.message);
}

#[test]
fn the_contracts_forms_mean_what_it_says() {
    says(json!({"egress": {"mode": "allow_all"}}), &EgressPolicy::default());
    says(json!({"egress": {"mode": "deny_all", "allow_cidrs": []}}), &rules(Verdict::Deny, &[], &[]));
    let allow = json!({"egress": {"mode": "custom", "allow_cidrs": ["1.2.0.0/16"], "deny_cidrs": ["1.2.3.4/32"]}});
    says(allow, &rules(Verdict::Deny, &["1.2.0.0/16"], &["1.2.3.4"]));
    says(
        json!({"egress": {"mode": "custom", "deny_cidrs": ["9.0.0.0/8"]}}),
        &rules(Verdict::Allow, &[], &["9.0.0.0/8"]),
    );
    let old = json!({"allow_out": ["8.8.8.8"], "deny_out": ["1.1.1.1/32"]});
    says(old, &rules(Verdict::Deny, &["8.8.8.8"], &["1.1.1.1"]));
    says(json!({"allow_out": null, "deny_out": []}), &EgressPolicy::default());
}

#[test]
fn our_own_form_says_more() {
    let ours = json!({"egress": {"policy": "deny", "allow": ["*.example.com", "10.0.0.1:5432/tcp"], "deny": ["x.example.com"]}});
    says(ours, &rules(Verdict::Deny, &["*.example.com", "10.0.0.1:5432/tcp"], &["x.example.com"]));
    let spec = read(json!({
        "forwards": ["18080:8080", {"guest": 53, "transport": "udp", "listen": "0.0.0.0:5353"}, {"guest": 7}, {"guest": 8, "listen": "0"}],
        "host_ca": true, "proxy": true,
    }));
    let spec = spec.expect("understood");
    let forwards: Vec<String> = spec.forwards.iter().map(ToString::to_string).collect();
    assert_eq!(forwards, ["127.0.0.1:18080:8080/tcp", "0.0.0.0:5353:53/udp", "127.0.0.1:7:7/tcp", "127.0.0.1:0:8/tcp"]);
    assert!(spec.host_ca && spec.proxy);
    assert_eq!(read(json!({"mode": "none"})).expect("understood").mode, NetworkMode::None);
}

#[test]
fn what_we_do_not_do_is_refused_by_name() {
    refused(json!({"allow_public_traffic": false}), Code::NotImplemented, &["network.allow_public_traffic"]);
    refused(json!({"mask_request_host": "x"}), Code::NotImplemented, &["network.mask_request_host"]);
    let limit = json!({"egress": {"mode": "allow_all", "rate_limit": {"pps": 1}}});
    refused(limit, Code::NotImplemented, &["network.egress.rate_limit"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wish = json!({
        "egress": {"allow": ["a.example", "10.0.0.1/8", "grüße.example"], "add_deny": ["127.1"]},
        "forwards": ["80:0", {"guest": 0}, {"guest": 1, "listen": "here:1"}, "80"],
    });
    let names = [
        "network.egress.allow[1]",
        "network.egress.allow[2]",
        "network.egress.add_deny[0]",
        "network.forwards[0]",
        "network.forwards[1]",
        "network.forwards[2]",
    ];
    refused(wish, Code::InvalidRequest, &names);
}

#[test]
fn forms_are_not_mixed() {
    let bad = Code::InvalidRequest;
    refused(json!({"egress": {"mode": "custom", "allow": []}}), bad, &["network.egress.allow", "mode"]);
    refused(json!({"egress": {"allow_cidrs": [], "policy": "deny"}}), bad, &["network.egress.policy"]);
    refused(json!({"egress": {"mode": "deny_all", "allow_cidrs": ["1.1.1.1/32"]}}), bad, &["allow_cidrs"]);
    refused(json!({"egress": {"allow_cidrs": []}}), bad, &["network.egress.mode"]);
    refused(json!({"egress": {"mode": "deny_all"}, "allow_out": ["1.1.1.1/32"]}), bad, &["network.allow_out"]);
    for not_a_cidr in ["a.example", "1.1.1.1:80", "2001:db8::/32", "1.1.1.1/tcp"] {
        refused(json!({"egress": {"mode": "custom", "allow_cidrs": [not_a_cidr]}}), bad, &["allow_cidrs", not_a_cidr]);
        refused(json!({"deny_out": [not_a_cidr]}), bad, &["network.deny_out"]);
    }
}

#[test]
fn a_change_of_nothing_is_no_change() {
    assert!(egress(EgressWish::default()).expect_err("refused").message.contains("egress"));
    assert!(forwards(&[]).expect_err("refused").message.contains("forwards"));
}

#[test]
fn where_the_host_listens_is_an_address_or_a_port() {
    let here = |port| SocketAddr::from(([127, 0, 0, 1], port));
    for (text, read) in
        [("80", Some(here(80))), ("127.0.0.1:80", Some(here(80))), ("[::1]:80", "[::1]:80".parse().ok())]
    {
        assert_eq!(listen(text), read, "{text}");
    }
    for text in ["", "+80", "65536", "a:80", "::1:80:", "127.0.0.1", ":80"] {
        assert_eq!(listen(text), None, "{text}");
    }
}
