//! Networks over the socket: shapes of the contract and ours, refusals by name, ports, logs.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod stage;

use http::Method;
use machine_api::CreateMachine;
use machine_api::explain::{Conclusion, ExplainQuery};
use machine_api::network::{EgressMode, EgressWish, ForwardWish, NetworkWish};
use machine_api::word::{NetworkModeWord, TransportWord, VerdictWord};
use machine_core::network::Transport;
use machine_sdk::Follow;
use machine_testkit::networks::{CHOSEN, LOG};
use machine_testkit::provider::Fault;
use serde_json::{Value, json};
use stage::{Stage, named};

async fn patch(stage: &Stage, body: &Value) -> stage::Raw {
    stage.call(Method::PATCH, "/v1/machines/web/egress", &[], &body.to_string()).await
}

async fn check_refused(raw: stage::Raw, status: u16, code: &str, says: &str) {
    let message = raw.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!((raw.status, raw.code().as_str()), (status, code), "{message}");
    assert!(message.contains(says), "{message} should say {says}");
}

fn ours(allow: &[&str]) -> EgressWish {
    let allow = Some(allow.iter().map(ToString::to_string).collect());
    EgressWish { policy: Some(VerdictWord::Deny), allow, ..EgressWish::default() }
}

fn texts(texts: &[&str]) -> Vec<ForwardWish> {
    texts.iter().map(|text| ForwardWish::Text((*text).to_owned())).collect()
}

#[tokio::test]
async fn a_machine_is_made_with_its_network_and_told_with_it() {
    let stage = Stage::open().await;
    let body = json!({"name": "web", "network": {
        "egress": {"policy": "deny", "allow": ["*.example.com"]}, "forwards": ["8080:80"], "host_ca": true,
    }});
    let raw = stage.post("/v1/machines", &body.to_string()).await;
    assert_eq!(raw.status, 201);
    let expected = json!({
        "mode": "user",
        "egress": {
            "mode": "custom", "allow_cidrs": [], "deny_cidrs": [],
            "policy": "deny", "allow": ["*.example.com"], "deny": [],
        },
        "forwards": [{"listen": "127.0.0.1:8080", "guest": 80, "transport": "tcp"}],
        "host_ca": true, "proxy": false, "find_ports": false, "address": "10.0.2.15",
    });
    assert_eq!(raw.json()["network"], expected);
    assert_eq!(stage.get("/v1/machines/web").await.json()["network"], expected);
}

#[tokio::test]
async fn a_machine_without_a_network_says_so() {
    let stage = Stage::open().await;
    let network = Some(NetworkWish { mode: Some(NetworkModeWord::None), ..NetworkWish::default() });
    let made = stage.client.create(&CreateMachine { network, ..named("web") }, &mut |_| ()).await.unwrap();
    assert_eq!((made.network.mode, made.network.egress, made.network.address), (NetworkModeWord::None, None, None));
    for path in ["egress", "egress/explain?host=a.example", "logs?kind=network"] {
        let raw = stage.get(&format!("/v1/machines/web/{path}")).await;
        assert_eq!(raw.json()["error"]["reason"], "no_network", "{path}");
    }
    check_refused(patch(&stage, &json!({"egress": {"mode": "deny_all"}})).await, 400, "invalid_request", "no network")
        .await;
    assert_eq!(stage.client.ports("web").await.unwrap().ports, []);
}

#[tokio::test]
async fn the_contracts_change_of_rules_has_the_contracts_shape() {
    let stage = Stage::with_web().await;
    let id = stage.client.get("web").await.unwrap().id;
    let body = json!({"egress": {"mode": "custom", "allow_cidrs": ["1.2.3.0/24"], "deny_cidrs": null}});
    let raw = patch(&stage, &body).await;
    let expected = json!({"machine_id": id, "egress": {
        "mode": "custom", "allow_cidrs": ["1.2.3.0/24"], "deny_cidrs": [],
        "policy": "deny", "allow": ["1.2.3.0/24"], "deny": [],
    }});
    assert_eq!((raw.status, raw.json()), (200, expected.clone()));
    assert_eq!(stage.get("/v1/machines/web/egress").await.json(), expected);
    let raw = patch(&stage, &json!({"egress": {"mode": "deny_all"}})).await;
    assert_eq!(raw.json()["egress"]["mode"], "deny_all");
}

#[tokio::test]
async fn our_change_of_rules_changes_what_it_names() {
    let stage = Stage::with_web().await;
    let set = async |wish| stage.client.set_egress("web", &wish).await.unwrap().egress;
    assert_eq!(set(ours(&["a.example", "b.example"])).await.allow, ["a.example", "b.example"]);
    let more = EgressWish {
        remove: Some(vec!["a.example".to_owned()]),
        add_deny: Some(vec!["1.1.1.1".to_owned()]),
        ..EgressWish::default()
    };
    let after = set(more).await;
    assert_eq!(
        (after.policy, after.allow, after.deny),
        (VerdictWord::Deny, vec!["b.example".into()], vec!["1.1.1.1".into()])
    );
    let all = set(EgressWish { mode: Some(EgressMode::AllowAll), ..EgressWish::default() }).await;
    assert_eq!((all.mode, all.allow.len()), (EgressMode::AllowAll, 0));
}

#[tokio::test]
async fn a_change_that_makes_no_sense_is_refused_by_its_fields() {
    let stage = Stage::with_web().await;
    let bad = "invalid_request";
    check_refused(patch(&stage, &json!({})).await, 400, bad, "egress").await;
    check_refused(patch(&stage, &json!({"egress": {}})).await, 400, bad, "egress").await;
    check_refused(patch(&stage, &json!({"egress": {"mode": "most"}})).await, 400, bad, "egress.mode").await;
    let wrong = json!({"egress": {"mode": "custom", "allow_cidrs": ["1.2.3.0/24", "1.2.3.4/24"]}});
    check_refused(patch(&stage, &wrong).await, 400, bad, "egress.allow_cidrs[1]").await;
    let limit = json!({"egress": {"mode": "allow_all", "rate_limit": {"kbit_per_sec": 5}}});
    check_refused(patch(&stage, &limit).await, 501, "not_implemented", "egress.rate_limit").await;
    let many: Vec<String> = (0..300).map(|number| format!("h{number}.example")).collect();
    check_refused(patch(&stage, &json!({"egress": {"allow": many}})).await, 400, bad, "egress.allow").await;
    let nobody = stage.call(Method::PATCH, "/v1/machines/x/egress", &[], r#"{"egress": {"mode": "deny_all"}}"#).await;
    check_refused(nobody, 404, "machine_not_found", "x").await;
    assert_eq!(stage.client.egress("web").await.unwrap().egress.mode, EgressMode::AllowAll, "nothing changed");
}

#[tokio::test]
async fn a_gateway_that_does_not_follow_is_told() {
    let stage = Stage::with_web().await;
    stage.world.site().break_at(Fault::Apply);
    check_refused(patch(&stage, &json!({"egress": {"mode": "deny_all"}})).await, 502, "network_error", "kept").await;
    assert_eq!(stage.client.egress("web").await.unwrap().egress.mode, EgressMode::DenyAll);
}

#[tokio::test]
async fn a_question_is_answered_with_its_rule() {
    let stage = Stage::with_web().await;
    stage.client.set_egress("web", &ours(&["*.example.com", "10.0.0.1"])).await.unwrap();
    let ask = async |text: &str| stage.client.explain("web", &text.parse::<ExplainQuery>().unwrap()).await.unwrap();
    let allowed = ask("10.0.0.1:22").await;
    assert_eq!((allowed.verdict, allowed.rule.as_str(), allowed.port), (Conclusion::Allow, "allow 10.0.0.1", 22));
    let denied = ask("1.1.1.1/icmp").await;
    assert_eq!((denied.verdict, denied.rule.as_str(), denied.addresses.len()), (Conclusion::Deny, "default deny", 1));
    let name = ask("example.com").await;
    assert_eq!((name.verdict, name.resolve.unwrap().verdict), (Conclusion::Deny, VerdictWord::Deny));
    assert_eq!(ask("a.example.com").await.verdict, Conclusion::Unknown);
    for (query, says) in
        [("host=*", "host"), ("host=a.b&port=0", "port"), ("port=1", "host"), ("host=a.b&protocol=x", "x")]
    {
        let raw = stage.get(&format!("/v1/machines/web/egress/explain?{query}")).await;
        check_refused(raw, 400, "invalid_request", says).await;
    }
}

#[tokio::test]
async fn ports_are_added_listed_and_removed() {
    let stage = Stage::with_web().await;
    let added = stage.client.add_ports("web", &texts(&["8080:80", "0:53/udp"])).await.unwrap();
    assert_eq!(added.added.iter().map(|port| port.listen.port()).collect::<Vec<_>>(), [8080, CHOSEN]);
    let listed = stage.client.ports("web").await.unwrap();
    assert_eq!((&listed.ports, listed.added.len()), (&added.ports, 0));
    let again = stage.client.add_ports("web", &texts(&["8080:80"])).await.unwrap();
    assert_eq!((again.ports.len(), again.added.len()), (2, 1));
    let gone = stage.client.remove_port("web", TransportWord::Udp, listed.ports[1].listen).await.unwrap();
    assert_eq!(gone.ports, listed.ports[..1]);
    let raw = stage.call(Method::DELETE, "/v1/machines/web/ports/tcp/8080", &[], "").await;
    assert_eq!((raw.status, &raw.json()["ports"]), (200, &json!([])));
    stage.client.add_ports("web", &texts(&["[::1]:90:90"])).await.unwrap();
    let gone = stage.client.remove_port("web", TransportWord::Tcp, "[::1]:90".parse().unwrap()).await.unwrap();
    assert_eq!(gone.ports, []);
}

#[tokio::test]
async fn ports_that_cannot_be_are_refused_and_none_is_added() {
    let stage = Stage::with_web().await;
    stage.world.site().hold(Transport::Tcp, "127.0.0.1:99".parse().unwrap());
    let add = async |body: Value| stage.post("/v1/machines/web/ports", &body.to_string()).await;
    check_refused(add(json!({"forwards": ["98", "99"]})).await, 409, "port_conflict", "somebody (pid 12)").await;
    check_refused(add(json!({"forwards": ["98", "0"]})).await, 400, "invalid_request", "forwards[1]").await;
    check_refused(add(json!({"forwards": ["98", "98:1"]})).await, 400, "invalid_request", "127.0.0.1:98").await;
    check_refused(add(json!({"forwards": []})).await, 400, "invalid_request", "forwards").await;
    check_refused(add(json!({})).await, 400, "invalid_request", "forwards").await;
    assert_eq!(stage.client.ports("web").await.unwrap().ports, []);
    for path in ["sctp/80", "tcp/x", "tcp/70000"] {
        let raw = stage.call(Method::DELETE, &format!("/v1/machines/web/ports/{path}"), &[], "").await;
        assert_eq!(raw.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_create_whose_port_is_held_says_by_whom_and_leaves_nothing() {
    let stage = Stage::open().await;
    stage.world.site().hold(Transport::Tcp, "127.0.0.1:99".parse().unwrap());
    let raw = stage.post("/v1/machines", r#"{"network": {"forwards": ["99"]}}"#).await;
    check_refused(raw, 409, "port_conflict", "somebody (pid 12)").await;
    assert!(stage.world.site().everything().is_empty());
}

#[tokio::test]
async fn the_log_of_refusals_is_read_and_followed_to_the_machines_end() {
    let stage = Stage::with_web().await;
    let raw = stage.get("/v1/machines/web/logs?kind=network").await;
    assert_eq!(
        (&raw.headers["content-type"], raw.body.as_ref()),
        (&"application/x-ndjson".parse().unwrap(), LOG.as_bytes())
    );
    let mut log = stage.client.network_log("web", Follow::Yes).await.unwrap();
    assert_eq!(log.next().await.unwrap().unwrap(), LOG);
    stage.client.stop("web", &mut |_| ()).await.unwrap();
    assert_eq!(log.next().await.unwrap(), None);
}
