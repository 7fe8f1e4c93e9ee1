//! Figures of machines that run, over the socket.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod stage;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use machine_core::promise::awakening::Vitals;
use machine_sdk::Guests;
use stage::{Stage, named};

fn vitals(busy: u64, idle: u64) -> Vitals {
    Vitals {
        cpu_busy_ms: busy,
        cpu_idle_ms: idle,
        cpus: 2,
        memory_total_bytes: 1000,
        memory_available_bytes: 400,
        disk_total_bytes: 90,
        disk_available_bytes: 100,
        network_received_bytes: 5,
        network_sent_bytes: 6,
        processes: 3,
    }
}

fn guest_says(stage: &Stage, looks: impl IntoIterator<Item = Vitals>) {
    stage.guest.vitals.lock().unwrap().extend(looks);
}

#[tokio::test]
async fn metrics_have_exactly_the_contracts_fields() {
    let stage = Stage::with_web().await;
    guest_says(&stage, [vitals(0, 0), vitals(300, 900)]);
    let raw = stage.get("/v1/machines/web/metrics").await;
    let list = raw.json();
    let fields: Vec<&String> = list[0].as_object().unwrap().keys().collect();
    let contract = [
        "cpu_count",
        "cpu_percent",
        "disk_total_bytes",
        "disk_used_bytes",
        "mem_total_bytes",
        "mem_used_bytes",
        "network_rx_bytes",
        "network_tx_bytes",
        "timestamp",
    ];
    assert_eq!((raw.status, list.as_array().unwrap().len()), (200, 1));
    assert_eq!(fields, contract);
    assert!(list[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(list[0]["cpu_percent"].is_f64());
}

#[tokio::test]
async fn a_guest_is_as_busy_as_it_was_since_the_last_look() {
    let stage = Stage::with_web().await;
    guest_says(&stage, [vitals(0, 0), vitals(300, 900), vitals(1300, 1900), vitals(1300, 1910), vitals(1300, 2910)]);
    let first = stage.client.metrics("web").await.unwrap().remove(0);
    assert_eq!((first.cpu_percent, first.cpu_count, first.mem_used_bytes), (25.0, 2, 600));
    assert_eq!((first.disk_used_bytes, first.network_rx_bytes, first.network_tx_bytes), (0, 5, 6));
    let begun = Instant::now();
    assert_eq!(stage.client.metrics("web").await.unwrap()[0].cpu_percent, 50.0);
    assert!(begun.elapsed() < Duration::from_millis(90), "the last look is kept: nothing is waited for");
    assert_eq!(stage.client.metrics("web").await.unwrap()[0].cpu_percent, 0.0, "too close: it looks again");
}

#[tokio::test]
async fn a_look_at_an_earlier_launch_does_not_count() {
    let stage = Stage::with_web().await;
    guest_says(&stage, [vitals(0, 0), vitals(0, 1000)]);
    stage.client.metrics("web").await.unwrap();
    stage.client.stop("web", &mut |_| ()).await.unwrap();
    stage.client.start("web", &mut |_| ()).await.unwrap();
    guest_says(&stage, [vitals(5000, 6000), vitals(6000, 6000)]);
    assert_eq!(stage.client.metrics("web").await.unwrap()[0].cpu_percent, 100.0);
}

#[tokio::test]
async fn usage_is_told_for_one_machine_and_for_all_that_run() {
    let stage = Stage::with_web().await;
    for name in ["off", "two"] {
        stage.client.create(&named(name), &mut |_| ()).await.unwrap();
    }
    stage.client.stop("off", &mut |_| ()).await.unwrap();
    let all = stage.client.usages(Guests::LeftAlone).await.unwrap();
    assert_eq!(all.iter().map(machine_api::UsageInfo::called).collect::<Vec<_>>(), ["web", "two"]);
    let web = stage.client.usage("web", Guests::LeftAlone).await.unwrap();
    assert_eq!((web.resident_bytes, web.private_bytes, web.disk_bytes, web.cpu_ms), (90 << 20, 40 << 20, 1 << 20, 77));
    assert_eq!((web.guest_private_bytes, web.guest_shared_bytes, web.guest_used_bytes), (8 << 20, 50 << 20, None));
    assert_eq!((web.id, web.generation, web.vcpus, web.memory_mb), (all[0].id.clone(), 1, 1, 256));
}

#[tokio::test]
async fn guests_are_asked_only_if_that_is_wanted_and_not_waited_for() {
    let stage = Stage::with_web().await;
    guest_says(&stage, [vitals(0, 0)]);
    assert_eq!(stage.client.usage("web", Guests::Asked).await.unwrap().guest_used_bytes, Some(600));
    stage.guest.mute.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    assert_eq!(stage.client.usages(Guests::Asked).await.unwrap()[0].guest_used_bytes, None);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_has_no_figures_is_refused() {
    let stage = Stage::with_web().await;
    stage.client.stop("web", &mut |_| ()).await.unwrap();
    for (path, status, code) in [
        ("/v1/machines/web/usage", 409, "machine_not_ready"),
        ("/v1/machines/web/metrics", 409, "machine_not_ready"),
        ("/v1/machines/nobody/usage", 404, "machine_not_found"),
        ("/v1/machines/nobody/metrics", 404, "machine_not_found"),
        ("/v1/usage?guest=perhaps", 400, "invalid_request"),
        ("/v1/usage?colour=red", 400, "invalid_request"),
        ("/v1/machines/web/usage?colour=red", 400, "invalid_request"),
    ] {
        let raw = stage.get(path).await;
        assert_eq!((raw.status, raw.code().as_str()), (status, code), "{path}");
    }
    assert_eq!(stage.get("/v1/usage").await.json(), serde_json::json!([]));
}
