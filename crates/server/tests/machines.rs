//! Machines over the socket: shapes of the contract, refusals, idempotency, progress.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod stage;

use http::Method;
use machine_api::{CreateMachine, MachineState, ReportInfo, StageWord, Status};
use machine_sdk::{MachineFilter, SdkError};
use machine_testkit::provider::Fault;
use serde_json::json;
use stage::{Stage, named, until};
use tokio::io::AsyncWriteExt as _;

const LINES: (&str, &str) = ("accept", "application/x-ndjson");

#[tokio::test]
async fn a_machine_is_made_seen_listed_stopped_started_and_destroyed() {
    let stage = Stage::open().await;
    let client = &stage.client;
    let made = client.create(&named("web"), &mut |_| ()).await.unwrap();
    assert_eq!((made.status, made.state, made.called()), (Status::Running, MachineState::Running, "web"));
    assert_eq!(client.get("we").await.unwrap().id, made.id);
    assert_eq!(client.list(&MachineFilter::default()).await.unwrap().len(), 1);
    let off = client.stop("web", &mut |_| ()).await.unwrap();
    assert_eq!((off.status, off.state), (Status::Paused, MachineState::Stopped));
    assert_eq!(client.start("web", &mut |_| ()).await.unwrap().generation, made.generation + 1);
    assert_eq!(client.destroy("web", &mut |_| ()).await.unwrap().status, Status::Destroyed);
    assert!(client.list(&MachineFilter::default()).await.unwrap().is_empty());
    assert_eq!(client.get(&made.id).await.unwrap().status, Status::Destroyed);
}

#[tokio::test]
async fn a_created_machine_has_the_contracts_shape_and_no_nulls() {
    let stage = Stage::open().await;
    let body = json!({
        "vcpus": 2, "memory_mb": 512, "metadata": {"team": "a", "deep": {"x": null}},
        "cwd": null, "network": null, "volumes": null, "desktop": null,
    });
    let raw = stage.post("/v1/machines", &body.to_string()).await;
    let machine = raw.json();
    assert_eq!(raw.status, 201);
    assert_eq!(machine["status"], "running");
    assert_eq!((&machine["template"], &machine["served_by"]), (&json!("base"), &json!("boot")));
    assert_eq!(machine["config"], json!({"vcpus": 2, "memory_mb": 512, "disk_mb": 10240}));
    assert_eq!(machine["metadata"], body["metadata"]);
    assert!(machine["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(machine["allowed_commands"].as_array().unwrap().contains(&json!("stop")));
    let nulls: Vec<_> = machine.as_object().unwrap().iter().filter(|(_, value)| value.is_null()).collect();
    assert!(nulls.is_empty(), "{nulls:?}");
    let id = machine["id"].as_str().unwrap();
    let gone = stage.call(Method::DELETE, &format!("/v1/machines/{id}"), &[], "").await;
    assert_eq!((gone.status, gone.json()), (200, json!({"id": id, "status": "destroyed"})));
}

#[tokio::test]
async fn a_machine_tells_its_root_and_its_mounts_as_they_were_asked_for() {
    let stage = Stage::open().await;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().canonicalize().unwrap();
    let mounts = json!([{"source": source, "target": "/workspace", "exclude": ["target"], "guard": [".git/hooks"]}]);
    let body = json!({"name": "web", "root": "ephemeral", "mounts": mounts});
    let made = stage.post("/v1/machines", &body.to_string()).await;
    assert_eq!((made.status, &made.json()["root"]), (201, &json!("ephemeral")));
    let mut told = mounts[0].clone();
    told["access"] = json!("read_write");
    assert_eq!(made.json()["mounts"], json!([told]));
    let plain = stage.post("/v1/machines", "{}").await.json();
    assert_eq!((&plain["root"], &plain["mounts"]), (&json!("persistent"), &json!([])));
    let wrong = json!({"mounts": [{"source": source.join("gone"), "target": "/etc"}]});
    let refused = stage.post("/v1/machines", &wrong.to_string()).await;
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!((refused.status, refused.code()), (400, "invalid_request".to_owned()));
    assert!(message.contains("mounts[0].source: ") && message.contains("mounts[0].target: "), "{message}");
}

#[tokio::test]
async fn lists_are_filtered_paged_and_projected() {
    let stage = Stage::open().await;
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        let new = CreateMachine { start: Some(number > 0), ..named(name) };
        stage.client.create(&new, &mut |_| ()).await.unwrap();
    }
    let page = stage.get("/v1/machines?limit=2&fields=name").await.json();
    assert_eq!(page["items"], json!([{"name": "a"}, {"name": "b"}]));
    let token = page["next_token"].as_str().unwrap();
    let page = stage.get(&format!("/v1/machines?limit=2&fields=name&next_token={token}")).await.json();
    assert_eq!(page, json!({"items": [{"name": "c"}], "has_next": false}));
    let filter = MachineFilter { states: vec!["stopped".to_owned()], ..MachineFilter::default() };
    let stopped = stage.client.list(&filter).await.unwrap();
    assert_eq!(stopped.iter().map(|machine| machine.called().to_owned()).collect::<Vec<_>>(), ["a"]);
}

async fn check_refused(stage: &Stage, method: Method, path: &str, body: &str, status: u16, code: &str, says: &str) {
    let raw = stage.call(method, path, &[("x-request-id", "r-7")], body).await;
    let error = &raw.json()["error"];
    let message = error["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!((raw.status, error["code"].as_str()), (status, Some(code)), "{path} {body}: {message}");
    assert!(message.contains(says), "{path} {body}: {message}");
    assert_eq!((error["request_id"].as_str(), &raw.headers["x-request-id"]), (Some("r-7"), &"r-7".parse().unwrap()));
}

#[tokio::test]
async fn every_refusal_has_its_status_its_code_and_the_requests_id() {
    let stage = Stage::with_web().await;
    stage.client.create(&CreateMachine { start: Some(false), ..named("off") }, &mut |_| ()).await.unwrap();
    let (get, post) = (Method::GET, Method::POST);
    let long = format!(r#"{{"name": "{}"}}"#, "a".repeat(2 << 20));
    for (method, path, body, status, code, says) in [
        (&post, "/v1/machines", "{", 400, "invalid_request", "JSON"),
        (&post, "/v1/machines", r#"{"vcpus": "two"}"#, 400, "invalid_request", "vcpus"),
        (&post, "/v1/machines", r#"{"vcpus": 65}"#, 400, "invalid_request", "cpus"),
        (&post, "/v1/machines", r#"{"memory_mb": -1}"#, 400, "invalid_request", "memory_mb"),
        (&post, "/v1/machines", r#"{"memory_mb": 999999}"#, 409, "capacity_exceeded", "memory"),
        (&post, "/v1/machines", r#"{"timeout_ms": 300000}"#, 501, "not_implemented", "timeout_ms"),
        (&post, "/v1/machines", r#"{"template": "none"}"#, 404, "template_not_found", "none"),
        (&post, "/v1/machines", r#"{"name": "web"}"#, 409, "name_conflict", "web"),
        (&post, "/v1/machines", &long, 400, "invalid_request", "larger"),
        (&get, "/v1/machines/nobody", "", 404, "machine_not_found", "nobody"),
        (&post, "/v1/machines/nobody/start", "", 404, "machine_not_found", "nobody"),
        (&post, "/v1/machines/nobody/exec", r#"{"command": "a"}"#, 404, "machine_not_found", "nobody"),
        (&post, "/v1/machines/off/exec", r#"{"command": "a"}"#, 409, "machine_not_ready", "stopped"),
        (&post, "/v1/machines/web/exec", r#"{"comand": "a"}"#, 400, "invalid_request", "comand"),
        (&get, "/v1/machines/web/attach", "", 400, "invalid_request", ""),
        (&get, "/v1/machines?limit=many", "", 400, "invalid_request", "limit"),
        (&get, "/v1/machines?state=asleep", "", 400, "invalid_request", "asleep"),
        (&get, "/v1/machines/web/logs?kind=other", "", 400, "invalid_request", "kind"),
        (&post, "/v1/machines/web/fork", "", 501, "not_implemented", "/fork"),
        (&get, "/v1/machines/web/ws?channel=exec", "", 501, "not_implemented", "/ws"),
        (&post, "/v1/templates/build", "{}", 501, "not_implemented", "/v1/templates/build"),
        (&Method::PATCH, "/v1/machines/web", "", 501, "not_implemented", "PATCH"),
        (&get, "/nothing", "", 501, "not_implemented", "/nothing"),
        (&post, "/v1/templates/local/none/build", "", 404, "template_not_found", "none"),
        (&post, "/v1/machines", r#"{"cold": 1}"#, 400, "invalid_request", "cold"),
        (&post, "/v1/server/shutdown", r#"{"machines": "explode"}"#, 400, "invalid_request", "machines"),
    ] {
        check_refused(&stage, method.clone(), path, body, status, code, says).await;
    }
}

#[tokio::test]
async fn a_websocket_to_nowhere_is_501_and_to_nobody_404() {
    let stage = Stage::with_web().await;
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (path, status) in [("/v1/machines/web/pty", 501), ("/v1/machines/nobody/attach", 404)] {
        assert_eq!(stage.call(Method::GET, path, &upgrade, "").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_machine_and_another_wish_is_refused() {
    let stage = Stage::open().await;
    let key = [("idempotency-key", "k1")];
    let first = stage.call(Method::POST, "/v1/machines", &key, r#"{"name": "web"}"#).await;
    let again = stage.call(Method::POST, "/v1/machines", &key, r#"{"name": "web"}"#).await;
    assert_eq!((again.status, &again.json()["id"]), (201, &first.json()["id"]));
    for other in [r#""vcpus": 2"#, r#""cold": true"#, r#""start": false"#] {
        let other = stage.call(Method::POST, "/v1/machines", &key, &format!(r#"{{"name": "web", {other}}}"#)).await;
        assert_eq!((other.status, other.code()), (400, "invalid_request".to_owned()));
    }
}

#[tokio::test]
async fn a_create_tells_its_stages_line_by_line_and_ends_with_the_machine() {
    let stage = Stage::open().await;
    let raw = stage.call(Method::POST, "/v1/machines", &[LINES], "{}").await;
    let lines = raw.lines();
    assert_eq!((raw.status, &raw.headers["content-type"]), (200, &"application/x-ndjson".parse().unwrap()));
    assert_eq!(lines[0], json!({"report": {"begun": {"stage": "disk"}}}));
    assert_eq!(lines[1], json!({"report": {"told": {"stage": "disk", "text": "copying nothing"}}}));
    assert_eq!(lines.last().unwrap()["machine"]["status"], "running");
    assert_eq!(lines.len(), 6, "{lines:?}");
    let mut reports = Vec::new();
    stage.client.create(&named("web"), &mut |report| reports.push(report)).await.unwrap();
    assert_eq!(reports.last(), Some(&ReportInfo::Ended { stage: StageWord::Boot, micros: 34 }));
}

#[tokio::test]
async fn a_create_that_fails_ends_with_the_error_and_leaves_nothing() {
    let stage = Stage::open().await;
    stage.world.site().break_at(Fault::Boot);
    let raw = stage.call(Method::POST, "/v1/machines", &[LINES], "{}").await;
    assert_eq!(raw.lines().last().unwrap()["error"]["code"], "internal_error");
    let refused = stage.client.create(&named("web"), &mut |_| ()).await.unwrap_err();
    assert!(matches!(refused, SdkError::Refused(_, 500)), "{refused:?}");
    assert!(stage.client.list(&MachineFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_create_whose_client_goes_away_goes_on() {
    let stage = Stage::open().await;
    stage.place.shut();
    let mut connection = stage.stream().await;
    let body = r#"{"name": "web"}"#;
    let head = format!("POST /v1/machines HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all((head + body).as_bytes()).await.unwrap();
    until("the boot has begun", || stage.place.is_waited_at()).await;
    assert_eq!(stage.client.get("web").await.unwrap().status, Status::Creating);
    drop(connection);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    stage.place.open();
    let on = || stage.world.site().everything().values().any(|remains| remains.on.is_some());
    until("the machine runs", on).await;
    assert_eq!(stage.client.get("web").await.unwrap().status, Status::Running);
}

#[tokio::test]
async fn the_server_says_what_it_is_what_happened_and_ends_when_asked() {
    let mut stage = Stage::with_web().await;
    assert_eq!(stage.client.health().await.unwrap().status, "ok");
    let version = stage.client.version().await.unwrap();
    assert_eq!((version.version.as_str(), version.capacity.unwrap().vcpus), ("1.2.3", 2));
    let events = stage.client.events(0, 10).await.unwrap();
    assert!(!events.events.is_empty());
    assert!(stage.client.events(events.last, 10).await.unwrap().events.is_empty());
    assert!(stage.client.templates().await.unwrap().is_empty());
    stage.client.shutdown(machine_api::server::MachinesThen::Stop).await.unwrap();
    assert_eq!(stage.farewell.recv().await, Some(machine_api::server::MachinesThen::Stop));
    stage.stop.take().unwrap().send(()).unwrap();
    stage.served.await.unwrap();
    assert!(matches!(stage.client.health().await, Err(SdkError::Unreachable { .. })));
}

#[tokio::test]
async fn a_template_is_built_with_its_stages_told() {
    let stage = Stage::open().await;
    let mut reports = Vec::new();
    let how = machine_api::template::BuildTemplate { rebuild: true, image: None };
    let built = stage.client.build_template("small", &how, &mut |report| reports.push(report)).await.unwrap();
    assert!(built.built_now && built.packages == 7);
    assert_eq!(reports, [ReportInfo::Told { stage: StageWord::Fetch, text: "7 packages".to_owned() }]);
    let plain = stage.post("/v1/templates/local/small/build", "").await;
    assert_eq!((plain.status, &plain.json()["built_now"]), (200, &json!(false)));
}

#[tokio::test]
async fn a_followed_log_ends_with_the_machine() {
    let stage = Stage::with_web().await;
    stage.say("booting\n");
    let mut log = stage.client.boot_log("web", machine_sdk::Follow::Yes).await.unwrap();
    assert_eq!(log.next().await.unwrap().unwrap(), "booting\n");
    stage.say("ready\n");
    assert_eq!(log.next().await.unwrap().unwrap(), "ready\n");
    stage.client.stop("web", &mut |_| ()).await.unwrap();
    assert_eq!(log.next().await.unwrap(), None);
    let all = stage.client.boot_log("web", machine_sdk::Follow::No).await.unwrap().collect().await.unwrap();
    assert_eq!(all, b"booting\nready\n");
}

#[tokio::test]
async fn another_user_is_turned_away_unless_it_is_root() {
    let stage = Stage::open_for(Some(4_000_000)).await;
    let root = stage::own_uid(std::path::Path::new("/proc/self")) == 0;
    let raw = stage.get("/v1/machines").await;
    assert_eq!(raw.status, if root { 200 } else { 403 });
    if !root {
        assert_eq!(raw.code(), "permission_denied");
    }
}

#[tokio::test]
async fn a_create_that_told_everything_does_not_dawdle() {
    let stage = Stage::open().await;
    let mut fastest = std::time::Duration::MAX;
    for name in ["a", "b", "c", "d", "e"] {
        let begun = std::time::Instant::now();
        stage.client.create(&named(name), &mut |_| ()).await.unwrap();
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < std::time::Duration::from_millis(90), "{fastest:?}: it waits for reports that never come");
}
