//! Lists: filters, pages that survive changes, projections.

use super::*;
use serde_json::json;

fn machine(number: u32, state: &str, metadata: Value) -> MachineInfo {
    let status = if state == "running" { "running" } else { "paused" };
    serde_json::from_value(json!({
        "id": format!("m{number:020}"), "status": status, "template": "base", "metadata": metadata,
        "config": {"vcpus": 1, "memory_mb": 256, "disk_mb": 1024}, "timeout_ms": 0, "labels": {},
        "created_at": Timestamp::from_second(i64::from(number) / 2).unwrap().to_string(), "state": state,
        "phase": state, "allowed_commands": [], "generation": 0, "stages": [], "template_digest": "sha256:0",
    }))
    .unwrap()
}

fn all() -> Vec<MachineInfo> {
    (0..5).map(|n| machine(n, if n % 2 == 0 { "running" } else { "stopped" }, json!({"n": n, "team": "a"}))).collect()
}

fn numbers(page: &Page<Value>) -> Vec<u64> {
    page.items.iter().map(|item| item["metadata"]["n"].as_u64().unwrap()).collect()
}

fn check(query: ListQuery, expected: &[u64]) {
    assert_eq!(numbers(&query.understand().unwrap().page(all())), expected);
}

#[test]
fn filters_choose() {
    check(ListQuery::default(), &[0, 1, 2, 3, 4]);
    check(ListQuery { state: Some("running".into()), ..ListQuery::default() }, &[0, 2, 4]);
    check(ListQuery { state: Some("paused".into()), ..ListQuery::default() }, &[1, 3]);
    check(ListQuery { state: Some("stopped,running".into()), ..ListQuery::default() }, &[0, 1, 2, 3, 4]);
    check(ListQuery { metadata: Some(r#"{"team":"a","n":3}"#.into()), ..ListQuery::default() }, &[3]);
    check(ListQuery { template: Some("base:latest".into()), ..ListQuery::default() }, &[0, 1, 2, 3, 4]);
    check(ListQuery { template: Some("other".into()), ..ListQuery::default() }, &[]);
}

#[test]
fn pages_follow_each_other_although_machines_of_one_instant_lie_across() {
    let mut seen = Vec::new();
    let mut next_token = None;
    loop {
        let query = ListQuery { limit: Some(2), next_token: next_token.take(), ..ListQuery::default() };
        let page = query.understand().unwrap().page(all());
        seen.extend(numbers(&page));
        assert_eq!(page.has_next, page.next_token.is_some());
        match page.next_token {
            Some(token) => next_token = Some(token),
            None => break,
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn a_projection_has_just_those_keys() {
    let query = ListQuery { fields: Some("id,status,unknown".into()), limit: Some(1), ..ListQuery::default() };
    let page = query.understand().unwrap().page(all());
    let keys: Vec<&String> = page.items[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "status"]);
}

#[test]
fn a_bad_query_names_its_field() {
    let bad = [
        ("limit", ListQuery { limit: Some(0), ..ListQuery::default() }),
        ("limit", ListQuery { limit: Some(1001), ..ListQuery::default() }),
        ("state", ListQuery { state: Some("asleep".into()), ..ListQuery::default() }),
        ("metadata", ListQuery { metadata: Some("[1]".into()), ..ListQuery::default() }),
        ("next_token", ListQuery { next_token: Some("x".into()), ..ListQuery::default() }),
    ];
    for (field, query) in bad {
        assert!(query.understand().unwrap_err().message.starts_with(field), "{field}");
    }
}
