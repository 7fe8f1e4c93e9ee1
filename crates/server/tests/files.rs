//! Files over the socket: raw streams of any size, and the contract's JSON operations.

mod stage;

use std::io::Cursor;

use http::Method;
use machine_sdk::{SdkError, WriteFile};
use serde_json::json;
use stage::{Stage, until};
use tokio::io::AsyncWriteExt as _;

fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

#[tokio::test]
async fn five_mebibytes_go_up_and_come_down_unchanged() {
    let stage = Stage::with_web().await;
    let content = noise(5 << 20);
    let how = WriteFile { mode: Some(0o755), user: None };
    stage.client.write_file("web", "/srv/a file", &how, Cursor::new(content.clone())).await.unwrap();
    let info = stage.client.stat_file("web", "/srv/a file").await.unwrap();
    assert_eq!((info.size, info.mode, info.name.as_str()), (5 << 20, 0o755, "a file"));
    let read = stage.client.read_file("web", "/srv/a file", None).await.unwrap().collect().await.unwrap();
    assert!(read == content);
}

#[tokio::test]
async fn a_refused_upload_says_why() {
    let stage = Stage::with_web().await;
    for (machine, path, status) in [("nobody", "/a", 404), ("web", "", 400)] {
        let content = Cursor::new(noise(5 << 20));
        let refused = stage.client.write_file(machine, path, &WriteFile::default(), content).await.unwrap_err();
        assert!(matches!(&refused, SdkError::Refused(_, said) if *said == status), "{refused:?}");
    }
    let multipart = [("content-type", "multipart/form-data; boundary=x")];
    let raw = stage.call(Method::POST, "/v1/machines/web/file?path=/a", &multipart, "--x--").await;
    assert_eq!(raw.status, 501);
}

#[tokio::test]
async fn nothing_is_left_of_an_upload_that_was_cut_off() {
    let stage = Stage::with_web().await;
    let mut connection = stage.stream().await;
    let head = "PUT /v1/machines/web/file?path=/cut HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&[1; 1000]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    drop(connection);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!stage.client.file_exists("web", "/cut").await.unwrap());
    until("the guest's disk is as it was", || stage.guest.files.content.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn the_contracts_file_operations_have_its_shapes() {
    let stage = Stage::with_web().await;
    let written =
        stage.post("/v1/machines/web/files/write", r#"{"path": "/a.txt", "content": "hallo ü", "user": null}"#).await;
    assert_eq!(written.status, 200);
    assert_eq!(
        written.json(),
        json!({
            "name": "a.txt", "path": "/a.txt", "is_dir": false, "size": 8, "type": "file", "mode": 0o644,
            "permissions": "rw-r--r--", "owner": "0", "group": "0", "modified_time": "2023-11-14T22:13:20Z",
        })
    );
    let read =
        stage.post("/v1/machines/web/files/read", r#"{"path": "/a.txt", "encoding": "utf8", "user": null}"#).await;
    assert_eq!(read.json(), json!({"content": "hallo ü", "encoding": "utf8", "size": 8}));
    let body = r#"{"path": "/b", "content": "AP8=", "encoding": "base64"}"#;
    assert_eq!(stage.post("/v1/machines/web/files/write", body).await.json()["size"], 2);
    let read = stage.post("/v1/machines/web/files/read", r#"{"path": "/b", "encoding": "base64"}"#).await;
    assert_eq!(read.json()["content"], "AP8=");
    let read = stage.post("/v1/machines/web/files/read", r#"{"path": "/b", "encoding": "utf8"}"#).await;
    assert_eq!((read.status, read.code()), (400, "file_error".to_owned()));
    assert_eq!(stage.get("/v1/machines/web/files?path=/").await.json().as_array().unwrap().len(), 2);
    assert_eq!(stage.post("/v1/machines/web/files/mkdir", r#"{"path": "/x.d", "user": null}"#).await.status, 204);
    assert!(stage.client.stat_file("web", "/x.d").await.unwrap().is_dir);
    assert_eq!(stage.post("/v1/machines/web/files/remove", r#"{"path": "/x.d"}"#).await.status, 204);
    let gone = stage.post("/v1/machines/web/files/info", r#"{"path": "/x.d"}"#).await;
    assert_eq!((gone.status, gone.code()), (404, "file_not_found".to_owned()));
}

#[tokio::test]
async fn what_is_not_done_yet_or_makes_no_sense_is_refused() {
    let stage = Stage::with_web().await;
    for (path, body, status, says) in [
        ("files/mkdir", r#"{"path": "/a", "user": "nobody"}"#, 501, "user"),
        ("files/read", r#"{"path": "/a", "encoding": "utf7"}"#, 400, "encoding"),
        ("files/write", r#"{"path": "/a", "content": "%", "encoding": "base64"}"#, 400, "content"),
        ("files/info", r#"{"path": ""}"#, 400, "path"),
        ("files/rename", r#"{"old_path": "/a", "new_path": "/b"}"#, 501, "rename"),
    ] {
        let raw = stage.post(&format!("/v1/machines/web/{path}"), body).await;
        let message = raw.json()["error"]["message"].to_string();
        assert!(raw.status == status && message.contains(says), "{path} {body}: {} {message}", raw.status);
    }
    for query in ["path=/a&mode=999", "path=/a&colour=red", ""] {
        let raw = stage.call(Method::PUT, &format!("/v1/machines/web/file?{query}"), &[], "x").await;
        assert_eq!((raw.status, raw.code()), (400, "invalid_request".to_owned()), "{query}");
    }
}
