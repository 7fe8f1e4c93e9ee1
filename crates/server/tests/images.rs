//! Memory images over the socket: made with a template's build, listed, removed, pruned.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod stage;

use http::Method;
use machine_api::ImageInfo;
use machine_api::image::{BuildImage, FitnessInfo};
use machine_api::template::BuildTemplate;
use machine_core::promise::memory_image::Fitness;
use serde_json::json;
use stage::Stage;

async fn build(stage: &Stage, image: BuildImage) -> ImageInfo {
    let how = BuildTemplate { rebuild: false, image: Some(image) };
    *stage.client.build_template("small", &how, &mut |_| ()).await.unwrap().image.unwrap()
}

const fn shape(vcpus: u32, memory_mb: u64) -> BuildImage {
    BuildImage { vcpus, memory_mb, warm_up: None, anew: false }
}

#[tokio::test]
async fn an_image_is_made_listed_and_removed() {
    let stage = Stage::open().await;
    let made = build(&stage, shape(2, 512)).await;
    assert_eq!((made.template.as_deref(), made.vcpus, made.memory_mb, made.built_now), (Some("small"), 2, 512, true));
    assert!(!build(&stage, shape(2, 512)).await.built_now);
    assert!(build(&stage, BuildImage { anew: true, ..shape(2, 512) }).await.built_now);
    let warm = BuildImage { warm_up: Some("true".to_owned()), ..shape(2, 512) };
    assert!(build(&stage, warm).await.built_now);
    let listed = stage.client.images().await.unwrap();
    let shown = |image: &ImageInfo| (image.id.clone(), image.template_digest.clone(), image.fitness.clone());
    assert_eq!(listed.iter().map(shown).collect::<Vec<_>>(), [shown(&made)]);
    let hex = made.id.strip_prefix("sha256:").unwrap();
    assert_eq!(stage.client.remove_image(&hex[..40]).await.unwrap().id, made.id);
    assert!(stage.client.images().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_template_is_named_by_what_its_digest_is_called_now() {
    let stage = Stage::open().await;
    build(&stage, shape(1, 256)).await;
    let raw = stage.get("/v1/images").await.json();
    assert_eq!(raw[0]["fitness"], json!({"is": "fit"}));
    assert_eq!(raw[0].get("template"), None, "no template here has that digest");
}

#[tokio::test]
async fn prune_removes_what_cannot_be_used() {
    let stage = Stage::open().await;
    for memory in [256, 512] {
        build(&stage, shape(1, memory)).await;
    }
    stage.images.kept()[0].fitness = Fitness::Stale(vec!["kernel".to_owned()]);
    let stale = FitnessInfo::Stale { differs: vec!["kernel".to_owned()] };
    assert_eq!(stage.client.images().await.unwrap()[0].fitness, stale);
    let gone = stage.client.prune_images().await.unwrap();
    assert_eq!(gone.iter().map(|image| image.memory_mb).collect::<Vec<_>>(), [256]);
    assert_eq!(stage.post("/v1/images/prune", "").await.json(), json!([]));
}

#[tokio::test]
async fn a_plain_answer_carries_the_image_and_lines_carry_the_progress() {
    let stage = Stage::open().await;
    let body = r#"{"image": {"vcpus": 1, "memory_mb": 256}}"#;
    let plain = stage.post("/v1/templates/local/small/build", body).await;
    assert_eq!((plain.status, &plain.json()["image"]["memory_mb"]), (200, &json!(256)));
    let lines = [("accept", "application/x-ndjson")];
    let raw = stage.call(Method::POST, "/v1/templates/local/small/build", &lines, body).await.lines();
    assert_eq!(raw.last().unwrap()["template"]["image"]["built_now"], false);
    let without = stage.post("/v1/templates/local/small/build", "{}").await;
    assert_eq!(without.json().get("image"), None);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let stage = Stage::open().await;
    let build = |image: &str| ("/v1/templates/local/small/build", format!(r#"{{"image": {image}}}"#));
    for ((path, body), status, code, says) in [
        (build("true"), 400, "invalid_request", "image"),
        (build("{}"), 400, "invalid_request", "vcpus"),
        (build(r#"{"vcpus": 1}"#), 400, "invalid_request", "memory_mb"),
        (build(r#"{"vcpus": -1, "memory_mb": 256}"#), 400, "invalid_request", "image.vcpus"),
        (build(r#"{"vcpus": 0, "memory_mb": 256}"#), 400, "invalid_request", "cpus"),
        (build(r#"{"vcpus": 1, "memory_mb": 1}"#), 400, "invalid_request", "memory"),
        (build(r#"{"vcpus": 1, "memory_mb": 1048576}"#), 409, "capacity_exceeded", "memory"),
        (build(r#"{"vcpus": 1, "memory_mb": 256, "colour": 1}"#), 400, "invalid_request", "colour"),
        (build(r#"{"vcpus": 1, "memory_mb": 256, "warm_up": " "}"#), 400, "invalid_request", "warm_up"),
        (build(r#"{"vcpus": 1, "memory_mb": 256, "warm_up": "a\u0000"}"#), 400, "invalid_request", "warm_up"),
        (("/v1/images/prune", r#"{"all": true}"#.to_owned()), 400, "invalid_request", "all"),
    ] {
        let raw = stage.post(path, &body).await;
        let message = raw.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((raw.status, raw.code().as_str()), (status, code), "{body}: {message}");
        assert!(message.contains(says), "{body}: {message}");
    }
    assert!(stage.images.kept().is_empty());
}

#[tokio::test]
async fn an_image_that_is_not_there_or_not_one_is_not_removed() {
    let stage = Stage::open().await;
    for memory in [256, 512] {
        build(&stage, shape(1, memory)).await;
    }
    for (reference, status, code) in [
        ("00", 400, "invalid_request"),
        ("sha256:00", 400, "invalid_request"),
        ("feed", 404, "image_not_found"),
        ("sha256%3A", 404, "image_not_found"),
        ("..%2F..", 404, "image_not_found"),
    ] {
        let raw = stage.call(Method::DELETE, &format!("/v1/images/{reference}"), &[], "").await;
        assert_eq!((raw.status, raw.code().as_str()), (status, code), "{reference}");
    }
    assert_eq!(stage.images.kept().len(), 2);
}
