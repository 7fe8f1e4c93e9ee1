//! What we make of a QEMU that talks: well, badly, or not at all. The other end here is a script.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_hypervisor::driver::qemu::QemuControl;
use machine_hypervisor::driver::{Control, ControlError, GuestEnd, VmmStatus};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
const SOON: Duration = Duration::from_secs(5);

/// For each line that it hears, says the next of these, with ID for the line's id; then closes.
struct Script {
    greeting: &'static str,
    answers: Vec<String>,
}

struct Stage {
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

fn perform(script: Script) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("qmp.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reading, mut writing) = stream.into_split();
        let mut heard = BufReader::new(reading).lines();
        writing.write_all(script.greeting.as_bytes()).await.unwrap();
        for answer in script.answers {
            let Ok(Some(line)) = heard.next_line().await else { return };
            let asked: serde_json::Value = serde_json::from_str(&line).unwrap();
            let answer = answer.replace("ID", &asked["id"].to_string());
            // In small pieces, as a slow pipe would.
            for piece in answer.as_bytes().chunks(7) {
                writing.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    Stage { socket, _folder: folder }
}

async fn after_greeting(answers: &[&str]) -> (Stage, Result<QemuControl, ControlError>) {
    let agreed = "{\"return\": {}, \"id\": ID}\r\n".to_owned();
    let answers = std::iter::once(agreed).chain(answers.iter().map(|&answer| answer.to_owned())).collect();
    let stage = perform(Script { greeting: GREETING, answers });
    let control = QemuControl::connect(&stage.socket, SOON).await;
    (stage, control)
}

async fn status(answer: &str) -> Result<VmmStatus, ControlError> {
    let (_stage, control) = after_greeting(&[answer]).await;
    control.unwrap().status().await
}

#[tokio::test]
async fn every_word_for_a_state_has_a_meaning() {
    for (word, meaning) in [
        ("running", VmmStatus::Running),
        ("paused", VmmStatus::Paused),
        ("prelaunch", VmmStatus::Starting),
        ("shutdown", VmmStatus::Ended),
        ("io-error", VmmStatus::Broken),
        ("guest-panicked", VmmStatus::Broken),
    ] {
        let answer = format!("{{\"return\": {{\"status\": \"{word}\", \"running\": true}}, \"id\": ID}}\r\n");
        assert_eq!(status(&answer).await.unwrap(), meaning, "{word}");
    }
}

#[tokio::test]
async fn an_unknown_word_for_a_state_is_an_error() {
    let answer = "{\"return\": {\"status\": \"dancing\"}, \"id\": ID}\n";
    assert!(matches!(status(answer).await, Err(ControlError::Garbled { command: "query-status", .. })));
}

#[tokio::test]
async fn events_come_at_any_time() {
    let answer = "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1}}\r\n{\"return\": {}, \"id\": ID}\r\n\
                  {\"event\": \"RESUME\", \"data\": {\"why\": 1}}\r\n";
    let (_stage, control) = after_greeting(&[answer]).await;
    let control = control.unwrap();
    let mut events = control.events();
    control.pause().await.unwrap();
    assert_eq!(events.recv().await.unwrap().name, "STOP");
    let resume = events.recv().await.unwrap();
    assert_eq!((resume.name.as_str(), &resume.data["why"]), ("RESUME", &serde_json::json!(1)));
}

#[tokio::test]
async fn an_answer_to_an_older_question_is_not_ours() {
    let answer =
        "{\"return\": {\"status\": \"paused\"}, \"id\": 0}\n{\"return\": {\"status\": \"running\"}, \"id\": ID}\n";
    assert_eq!(status(answer).await.unwrap(), VmmStatus::Running);
}

#[tokio::test]
async fn a_refusal_carries_qemus_words() {
    let answer = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}, \"id\": ID}\n";
    let refused = status(answer).await.unwrap_err();
    assert_eq!(refused.to_string(), "the VMM refused query-status: not now (GenericError)");
}

#[tokio::test]
async fn garbage_ends_the_conversation_with_an_error() {
    let deep = format!("{}\n", "[".repeat(10_000));
    for garbage in ["hello\n", "{\"return\": \n", "\u{0}\u{0}\n", "[]\n", "{\"id\": -1}\n", &deep] {
        let (_stage, control) = after_greeting(&[garbage, garbage]).await;
        let control = control.unwrap();
        assert!(matches!(control.status().await, Err(ControlError::Garbled { .. })), "{garbage:.20}");
        assert!(matches!(control.status().await, Err(ControlError::Closed { .. })), "{garbage:.20}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_given_up() {
    let endless = "x".repeat(2 << 20);
    assert!(matches!(status(&endless).await, Err(ControlError::Garbled { .. })));
}

#[tokio::test]
async fn an_end_of_stream_is_an_error_except_for_quit() {
    let (_stage, control) = after_greeting(&[]).await;
    let control = control.unwrap();
    assert!(matches!(control.resume().await, Err(ControlError::Closed { command: "cont" })));
    assert!(control.quit().await.is_ok());
}

#[tokio::test]
async fn only_a_greeting_begins_a_conversation() {
    let stage = perform(Script { greeting: "{\"return\": {}}\n", answers: vec![] });
    let refused = QemuControl::connect(&stage.socket, SOON).await;
    assert!(matches!(refused, Err(ControlError::Garbled { command: "greeting", .. })));
}

#[tokio::test]
async fn silence_has_a_deadline() {
    let stage = perform(Script { greeting: "", answers: vec![String::new()] });
    let silent = QemuControl::connect(&stage.socket, Duration::from_millis(50)).await;
    assert!(matches!(silent, Err(ControlError::Silent { .. })));
}

#[tokio::test]
async fn a_socket_that_never_appears_has_a_deadline() {
    let missing = QemuControl::connect(Path::new("/nowhere/qmp.sock"), Duration::from_millis(20)).await;
    assert!(matches!(missing, Err(ControlError::Connect { .. })));
}

#[tokio::test]
async fn a_socket_that_appears_late_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("qmp.sock");
    let (connected, ()) = tokio::join!(QemuControl::connect(&socket, SOON), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let listener = UnixListener::bind(&socket).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(GREETING.as_bytes()).await.unwrap();
        let mut asked = String::new();
        BufReader::new(&mut stream).read_line(&mut asked).await.unwrap();
        stream.write_all(b"{\"return\": {}, \"id\": 1}\n").await.unwrap();
    });
    assert!(connected.is_ok());
}

#[tokio::test]
async fn a_guests_end_is_kept_for_who_asks_later() {
    for (reason, meaning) in
        [("guest-shutdown", GuestEnd::PoweredOff), ("guest-reset", GuestEnd::Reset), ("host-qmp-quit", GuestEnd::Quit)]
    {
        let shutdown = format!("{{\"event\": \"SHUTDOWN\", \"data\": {{\"reason\": \"{reason}\"}}}}\n");
        let (_stage, control) = after_greeting(&[&shutdown]).await;
        let control = control.unwrap();
        assert!(control.pause().await.is_err());
        assert_eq!(control.ended().await, meaning);
        assert_eq!(control.ended().await, meaning);
    }
}

#[tokio::test]
async fn an_end_without_a_word_is_unsaid() {
    let (_stage, control) = after_greeting(&[]).await;
    let control = control.unwrap();
    assert!(control.pause().await.is_err());
    assert_eq!(control.ended().await, GuestEnd::Unsaid);
}
