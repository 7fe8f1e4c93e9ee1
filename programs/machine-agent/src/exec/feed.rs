//! Carries bytes from the host to a command's standard input, and gives their credit back once
//! the command took them.

use super::stdio::{End, Input};
use crate::line::Teller;
use std::io;
use tokio::io::Interest;
use tokio::sync::mpsc;

/// The key that ends input on a terminal (^D).
const END_OF_INPUT: u8 = 4;

/// Starts the carrying. Dropping the sender is the end of input.
pub(crate) fn start(input: Input, teller: Teller) -> mpsc::UnboundedSender<Vec<u8>> {
    // Not bounded by itself: the window of the channel bounds it.
    let (sender, bytes) = mpsc::unbounded_channel();
    tokio::spawn(feed(input, teller, bytes));
    sender
}

async fn feed(input: Input, teller: Teller, mut bytes: mpsc::UnboundedReceiver<Vec<u8>>) {
    let end = match &input {
        Input::Pipe(end) | Input::Terminal(end) => end.clone(),
    };
    let mut open = true;
    while let Some(chunk) = bytes.recv().await {
        if open {
            open = write_all(&end, &chunk).await.is_ok();
        }
        teller.consumed(chunk.len()).await;
    }
    match input {
        Input::Pipe(_) => {}
        // A terminal that is gone needs no end.
        Input::Terminal(end) => write_all(&end, &[END_OF_INPUT]).await.unwrap_or_default(),
    }
}

async fn write_all(end: &End, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = end.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}
