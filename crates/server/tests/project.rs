//! What a machine does for a project, over the SDK and raw.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod stage;

use http::Method;
use machine_api::project::{EnsureUser, ListenAddressWord, PutSecrets};
use machine_api::service::{RestartWord, ServiceStateWord, ServiceWish, TurnWord};
use machine_sdk::Follow;
use stage::Stage;

fn wish(name: &str) -> ServiceWish {
    let restart = RestartWord::Always;
    ServiceWish { name: name.to_owned(), shell: Some("serve".to_owned()), restart, ..ServiceWish::default() }
}

#[tokio::test]
async fn services_are_set_looked_at_turned_and_read() {
    let stage = Stage::with_web().await;
    let set = stage.client.set_services("web", &[wish("a"), wish("b")]).await.unwrap();
    assert_eq!(set.services.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(stage.client.services("web").await.unwrap(), set);
    let stopped = stage.client.turn_service("web", "a", TurnWord::Stop).await.unwrap();
    assert_eq!(stopped.state, ServiceStateWord::Ended);
    let missing = stage.client.turn_service("web", "no", TurnWord::Start).await.unwrap_err();
    assert_eq!(missing.refusal().unwrap().reason.as_deref(), Some("service_not_found"));
    let log = stage.client.service_log("web", "a", Follow::No, Some(7)).await.unwrap();
    assert_eq!(log.collect().await.unwrap(), b"a said 7\n");
    assert!(stage.client.service_log("web", "no", Follow::Yes, None).await.is_err());
}

#[tokio::test]
async fn what_is_no_service_is_refused_before_the_guest_is_asked() {
    let stage = Stage::with_web().await;
    for body in [r#"{"services":[{"name":"a"}]}"#, r#"{"services":[{"name":"a","shell":"x","envs":{"A=":"b"}}]}"#, "{}"]
    {
        let raw = stage.call(Method::PUT, "/v1/machines/web/services", &[], body).await;
        assert_eq!((raw.status, raw.code().as_str()), (400, "invalid_request"), "{body}");
    }
    let raw = stage.post("/v1/machines/web/services/a/dance", "").await;
    assert_eq!((raw.status, raw.code().as_str()), (400, "invalid_request"));
    assert!(stage.client.services("web").await.unwrap().services.is_empty());
}

#[tokio::test]
async fn who_listens_is_told_once_or_as_it_changes() {
    let stage = Stage::with_web().await;
    let now = stage.client.listeners("web").await.unwrap();
    assert_eq!((now.listeners[0].port, now.listeners[0].address), (80, ListenAddressWord::Any));
    let mut lines = stage.client.follow_listeners("web").await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().opened, now.listeners);
    assert_eq!(lines.next().await.unwrap().unwrap().closed, now.listeners);
    assert_eq!(lines.next().await.unwrap(), None);
}

#[tokio::test]
async fn secrets_go_to_the_guest_and_into_no_answer() {
    let stage = Stage::with_web().await;
    let put = PutSecrets { secrets: [("KEY".to_owned(), "hidden".to_owned())].into(), uid: 1000 };
    stage.client.put_secrets("web", &put).await.unwrap();
    let seen = stage.guest.project.secrets.lock().unwrap().clone().unwrap();
    assert_eq!((seen.entries, seen.uid), (vec![("KEY".to_owned(), b"hidden".to_vec())], 1000));
    let raw = stage.call(Method::PUT, "/v1/machines/web/secrets", &[], r#"{"secrets":{"A":4711}}"#).await;
    assert_eq!(raw.status, 400);
    assert!(!String::from_utf8_lossy(&raw.body).contains("4711"));
    let raw = stage.call(Method::PUT, "/v1/machines/web/secrets", &[], r#"{"secrets":{}}"#).await;
    assert_eq!((raw.status, raw.body.len()), (204, 0));
}

#[tokio::test]
async fn a_user_has_the_group_of_the_same_number_unless_said() {
    let stage = Stage::with_web().await;
    let user = EnsureUser { name: "ann".to_owned(), uid: 501, gid: None, shell: None, sudo: true };
    stage.client.ensure_user("web", &user).await.unwrap();
    let seen = stage.guest.project.user.lock().unwrap().clone().unwrap();
    assert_eq!((seen.name.as_str(), seen.owner.uid, seen.owner.gid), ("ann", 501, 501));
}

#[tokio::test]
async fn a_machine_that_does_not_run_is_not_asked() {
    let stage = Stage::with_web().await;
    stage.client.stop("web", &mut |_| ()).await.unwrap();
    for path in ["services", "listeners"] {
        let raw = stage.get(&format!("/v1/machines/web/{path}")).await;
        assert_eq!((raw.status, raw.code().as_str()), (409, "machine_not_ready"), "{path}");
    }
}
