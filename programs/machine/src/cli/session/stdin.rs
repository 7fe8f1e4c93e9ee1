//! Our standard input, read by a thread of its own: a read that waits for a person cannot be cancelled,
//! and must not keep the program from ending.

use std::io::Read as _;
use std::thread;

use bytes::Bytes;
use machine_sdk::AttachInput;
use tokio::sync::mpsc;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// Forwards our standard input to a command until either ends.
pub(super) fn forward(input: AttachInput) {
    // One piece waits at most: what the command does not read, we do not read either.
    let (pieces, mut queue) = mpsc::channel::<Bytes>(1);
    thread::spawn(move || read(&pieces));
    tokio::spawn(async move {
        while let Some(bytes) = queue.recv().await {
            if input.stdin(bytes).await.is_err() {
                return;
            }
        }
        let _ = input.close_stdin().await;
    });
}

/// An input that cannot be read has ended.
fn read(pieces: &mpsc::Sender<Bytes>) {
    let mut stdin = std::io::stdin().lock();
    let mut buffer = vec![0; PIECE];
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                if pieces.blocking_send(Bytes::copy_from_slice(&buffer[..length])).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
