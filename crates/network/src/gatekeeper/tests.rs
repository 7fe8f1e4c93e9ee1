//! What the gatekeeper lets through, and how long it remembers names.

use super::pins::{MOST_ADDRESSES, MOST_NAMES, MOST_OF_ONE};
use super::*;

fn policy(otherwise: Verdict, allow: &[&str], deny: &[&str]) -> EgressPolicy {
    let entries = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    EgressPolicy { otherwise, allow: entries(allow), deny: entries(deny) }
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0800_0000 + number))
}

fn https(address: IpAddr) -> Wanted {
    Wanted { address, port: 443, protocol: Protocol::Tcp, is_host: false }
}

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn an_address_is_reached_by_name_while_the_answer_is_valid() {
    let start = Instant::now();
    let mut keeper = Gatekeeper::new(policy(Verdict::Deny, &["example.com"], &[]));
    let (one, other) = (address(1), address(2));
    assert_eq!(keeper.judge(start, &https(one)).rule, "default deny");
    keeper.pin(start, &name("example.com"), &[one], 5 * MINUTE);
    assert_eq!(keeper.judge(start, &https(one)).rule, "allow example.com");
    assert_eq!(keeper.judge(start, &https(one)).condition, Condition::Name);
    assert_eq!(keeper.judge(start, &https(other)).rule, "default deny");
    assert_eq!(keeper.judge(start + 5 * MINUTE, &https(one)).rule, "default deny");
}

#[test]
fn a_pin_lasts_a_minute_at_least_and_an_hour_at_most() {
    let start = Instant::now();
    let mut keeper = Gatekeeper::new(EgressPolicy::default());
    keeper.pin(start, &name("short.com"), &[address(1)], Duration::ZERO);
    keeper.pin(start, &name("long.com"), &[address(2)], 10_000 * MINUTE);
    let second = Duration::from_secs(1);
    assert_eq!(keeper.names_of(start + MINUTE - second, address(1)).len(), 1);
    assert_eq!(keeper.names_of(start + MINUTE, address(1)).len(), 0);
    assert_eq!(keeper.names_of(start + 60 * MINUTE - second, address(2)).len(), 1);
    assert_eq!(keeper.names_of(start + 60 * MINUTE, address(2)).len(), 0);
}

#[test]
fn other_rules_drop_the_pins_of_names_that_they_do_not_allow() {
    let start = Instant::now();
    let mut keeper = Gatekeeper::new(policy(Verdict::Deny, &["a.com", "b.com"], &[]));
    keeper.pin(start, &name("a.com"), &[address(1)], MINUTE);
    keeper.pin(start, &name("b.com"), &[address(1)], MINUTE);
    keeper.follow(policy(Verdict::Deny, &["b.com"], &[]));
    assert_eq!(keeper.names_of(start, address(1)), [name("b.com")]);
    assert_eq!(keeper.pins.sizes(), (1, 1));
}

#[test]
fn a_closed_gatekeeper_refuses_everything() {
    let now = Instant::now();
    let mut keeper = Gatekeeper::closed("the plan cannot be read");
    let refused = |decision: Decision| {
        assert_eq!(decision.verdict, Verdict::Deny);
        assert_eq!(decision.rule, "closed: the plan cannot be read");
    };
    refused(keeper.judge(now, &https(address(1))));
    refused(keeper.judge_name(&https(address(1)), Some(&name("a.com"))));
    refused(keeper.may_resolve(&name("a.com")));
    refused(keeper.may_answer(address(1)));
    refused(keeper.refuses_name(&name("a.com")).unwrap());
    assert!(keeper.goes_by_names() && keeper.is_closed());
    keeper.follow(EgressPolicy::default());
    assert_eq!(keeper.judge(now, &https(address(1))).verdict, Verdict::Allow);
    keeper.close("the plan cannot be read");
    refused(keeper.judge(now, &https(address(1))));
}

#[test]
fn the_host_is_reached_by_its_own_name_alone() {
    let now = Instant::now();
    let keeper = Gatekeeper::new(policy(Verdict::Deny, &["host.machine.internal:8080"], &[]));
    assert_eq!(keeper.judge(now, &Wanted::host(8080, Protocol::Tcp)).verdict, Verdict::Allow);
    assert_eq!(keeper.judge(now, &Wanted::host(8081, Protocol::Tcp)).verdict, Verdict::Deny);
    let denied = Gatekeeper::new(policy(Verdict::Deny, &["127.0.0.1"], &["host.machine.internal:8080"]));
    assert_eq!(denied.judge(now, &Wanted::host(8080, Protocol::Tcp)).verdict, Verdict::Deny);
    assert_eq!(denied.judge(now, &Wanted::host(8081, Protocol::Tcp)).verdict, Verdict::Allow);
}

#[test]
fn mapped_addresses_are_the_ones_they_stand_for() {
    let now = Instant::now();
    let mut keeper = Gatekeeper::new(EgressPolicy::default());
    keeper.pin(now, &name("a.com"), &["::ffff:8.0.0.1".parse().unwrap()], MINUTE);
    assert_eq!(keeper.names_of(now, address(1)), [name("a.com")]);
    assert_eq!(keeper.names_of(now, "::ffff:8.0.0.1".parse().unwrap()), [name("a.com")]);
}

#[test]
fn the_oldest_names_are_forgotten_first() {
    let now = Instant::now();
    let mut keeper = Gatekeeper::new(EgressPolicy::default());
    let many = u32::try_from(MOST_NAMES).unwrap();
    for number in 0..many + 10 {
        keeper.pin(now, &name(&format!("n{number}.com")), &[address(number)], MINUTE);
        // Asked for again and again, so never the oldest.
        keeper.pin(now, &name("n0.com"), &[address(0)], MINUTE);
    }
    assert_eq!(keeper.pins.sizes(), (MOST_NAMES, MOST_NAMES));
    assert_eq!(keeper.names_of(now, address(0)).len(), 1);
    assert_eq!(keeper.names_of(now, address(1)).len(), 0);
    assert_eq!(keeper.names_of(now, address(many + 9)).len(), 1);
}

#[test]
fn addresses_are_bounded_of_one_name_and_of_all() {
    let now = Instant::now();
    let mut keeper = Gatekeeper::new(EgressPolicy::default());
    let of_one = u32::try_from(MOST_OF_ONE).unwrap();
    for number in 0..u32::try_from(MOST_ADDRESSES).unwrap() / of_one + 3 {
        let addresses: Vec<_> = (0..of_one + 7).map(|low| address(number * 0x1_0000 + low)).collect();
        keeper.pin(now, &name(&format!("n{number}.com")), &addresses, MINUTE);
    }
    assert_eq!(keeper.pins.sizes(), (MOST_ADDRESSES / MOST_OF_ONE, MOST_ADDRESSES));
    for number in 0..MOST_OF_ONE + 9 {
        keeper.pin(now, &name(&format!("same{number}.com")), &[address(5)], MINUTE);
    }
    assert_eq!(keeper.names_of(now, address(5)).len(), MOST_OF_ONE);
}
