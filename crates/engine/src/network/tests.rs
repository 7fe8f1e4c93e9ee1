//! Changes of networks, and which there can be.

use super::*;

fn forwards(texts: &[&str]) -> Vec<Forward> {
    texts.iter().map(|text| text.parse().expect("a test writes forwards well")).collect()
}

fn entries(texts: &[&str]) -> Vec<Entry> {
    texts.iter().map(|text| text.parse().expect("a test writes entries well")).collect()
}

fn with(texts: &[&str]) -> NetworkSpec {
    NetworkSpec { forwards: forwards(texts), ..NetworkSpec::default() }
}

fn added(before: &[&str], more: &[&str]) -> Result<Vec<String>, Code> {
    let change = NetworkChange::AddForwards(forwards(more));
    let after = change.applied_to(&with(before)).map_err(|refusal| refusal.code)?;
    Ok(after.forwards.iter().map(ToString::to_string).collect())
}

#[test]
fn a_port_that_is_added_twice_is_there_once() {
    let both = vec!["127.0.0.1:80:80/tcp".to_owned(), "127.0.0.1:80:80/udp".to_owned()];
    assert_eq!(added(&["80"], &["80", "80/udp"]), Ok(both));
}

#[test]
fn a_port_that_is_taken_is_refused() {
    assert_eq!(added(&["80"], &["80:81"]), Err(Code::PortConflict));
    assert_eq!(added(&["80"], &["0.0.0.0:80:80"]), Err(Code::PortConflict));
    assert_eq!(added(&["0.0.0.0:80:80"], &["80"]), Err(Code::PortConflict));
    assert_eq!(added(&[], &["80:1", "80:2"]), Err(Code::InvalidRequest));
    assert!(added(&["80"], &["80/udp", "127.0.0.2:80:80", "[::]:80:80"]).is_ok());
}

#[test]
fn the_host_may_choose_as_many_ports_as_it_is_asked_for() {
    assert_eq!(added(&["0:80"], &["0:80", "0:80"]).map(|all| all.len()), Ok(3));
}

#[test]
fn what_is_removed_and_not_there_is_passed_over() {
    let listen = |text: &str| (Transport::Tcp, text.parse().expect("an address"));
    let change = NetworkChange::RemoveForwards(vec![listen("127.0.0.1:80"), listen("127.0.0.1:81")]);
    let after = change.applied_to(&with(&["80:1", "80:1/udp", "82"])).expect("changed");
    assert_eq!(after.forwards, forwards(&["80:1/udp", "82"]));
}

#[test]
fn egress_is_replaced_then_removed_from_then_added_to() {
    let before = EgressPolicy { otherwise: Verdict::Deny, allow: entries(&["a.example"]), deny: entries(&["1.2.3.4"]) };
    let network = NetworkSpec { egress: before, ..NetworkSpec::default() };
    let changed = |change| NetworkChange::Egress(change).applied_to(&network).expect("changed").egress;
    let after = changed(EgressChange {
        allow: Some(entries(&["b.example", "c.example"])),
        remove: entries(&["c.example", "1.2.3.4/32", "nobody.example"]),
        add_allow: entries(&["B.example", "d.example"]),
        ..EgressChange::default()
    });
    let expected = EgressPolicy { otherwise: Verdict::Deny, allow: entries(&["b.example", "d.example"]), deny: vec![] };
    assert_eq!(after, expected);
    assert_eq!(changed(EgressChange::default()), network.egress);
    assert_eq!(changed(EgressChange::to(EgressPolicy::default())), EgressPolicy::default());
}

#[test]
fn a_machine_without_a_network_has_nothing_of_one() {
    let none = NetworkSpec { mode: NetworkMode::None, ..NetworkSpec::default() };
    assert_eq!(check(&none), Ok(()));
    let refusal = NetworkChange::AddForwards(forwards(&["80"])).applied_to(&none).expect_err("refused");
    assert_eq!((refusal.code, refusal.reason.as_deref()), (Code::InvalidRequest, Some("no_network")));
    let mut much = NetworkSpec { proxy: true, forwards: forwards(&["80"]), ..none };
    much.egress.allow = entries(&["1.2.3.4"]);
    let told = check(&much).expect_err("refused").message;
    assert!(["egress", "forwards", "proxy"].iter().all(|field| told.contains(field)), "{told}");
}

#[test]
fn lists_are_bounded() {
    let ports: Vec<String> = (1..=MOST_FORWARDS + 1).map(|port| port.to_string()).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    assert_eq!(check(&with(&ports[1..])), Ok(()));
    assert!(check(&with(&ports)).expect_err("refused").message.contains("forwards"));
    let mut network = NetworkSpec::default();
    network.egress.deny = vec![entries(&["1.2.3.4"])[0].clone(); MOST_ENTRIES + 1];
    assert!(check(&network).expect_err("refused").message.contains("egress.deny"));
}

#[test]
fn a_network_is_as_asked_whichever_port_was_chosen() {
    assert!(is_as_asked(&with(&["40000:80", "81"]), &with(&["0:80", "81"])));
    assert!(!is_as_asked(&with(&["40000:80"]), &with(&["40001:80"])));
    assert!(!is_as_asked(&with(&["40000:80"]), &with(&["0:81"])));
    assert!(!is_as_asked(&with(&["40000:80"]), &with(&[])));
}
