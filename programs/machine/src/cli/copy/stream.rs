//! A folder as a stream between a thread of ours and the guest's `tar`. Knows nothing of what is in it.

use bytes::Bytes;
use indicatif::ProgressBar;
use machine_sdk::api::attach::{AttachStart, CommandEnd};
use machine_sdk::{AttachEvent, AttachInput, AttachOutput};
use tokio::sync::mpsc;

use super::channel::{Piece, ThreadReader, ThreadWriter, from_thread, to_thread};
use super::guest::{Complaints, without_tar};
use super::pack::PackError;
use super::unpack::UnpackError;
use super::{Copy, blocking};
use crate::cli::exit::Failure;
use crate::cli::session::Caught;

/// What came from a guest.
#[derive(Debug)]
pub(crate) struct Received<T> {
    /// What was made of it.
    pub(crate) taken: T,
    /// Whether the guest's `tar` says that it is whole.
    pub(crate) whole: Result<(), Failure>,
}

/// How a stream of `tar` ended for us.
enum Streamed {
    Ended(CommandEnd, Complaints),
    Interrupted(Caught),
    /// Who unpacks took no more; it says why.
    NotTaken,
}

/// Takes what the guest's `tar` writes. Whatever happens, `take` is over afterwards.
pub(crate) async fn receive<T: Send + 'static>(
    copy: &mut Copy<'_>,
    tar: AttachStart,
    tried: &str,
    bar: &ProgressBar,
    take: impl FnOnce(ThreadReader) -> Result<T, UnpackError> + Send + 'static,
) -> Result<Received<T>, Failure> {
    let mut output = copy.client.attach(copy.machine, tar).await?.split().0;
    let (pieces, reader) = to_thread();
    let taking = blocking(move || take(reader));
    let streaming = async {
        let streamed = tokio::select! {
            streamed = stream(&mut output, &pieces) => streamed,
            caught = copy.signals.next() => Ok(Streamed::Interrupted(caught)),
        };
        // Without this the thread waits for ever.
        drop(pieces);
        streamed
    };
    let (streamed, taken) = tokio::join!(streaming, taking);
    let taken = taken?;
    let (end, complaints) = match streamed.map_err(without_tar)? {
        Streamed::Ended(end, complaints) => (end, complaints),
        Streamed::Interrupted(caught) => return Err(copy.interrupted(caught, bar)),
        Streamed::NotTaken => (CommandEnd::Code(0), Complaints::default()),
    };
    let whole = complaints.judge(end, tried);
    match end {
        // 1 is tar's word for files that changed under it.
        CommandEnd::Code(0 | 1) => Ok(Received { taken: taken?, whole }),
        CommandEnd::Code(_) | CommandEnd::Signal(_) | CommandEnd::TimedOut | CommandEnd::Detached => {
            whole?;
            Ok(Received { taken: taken?, whole: Ok(()) })
        }
    }
}

async fn stream(output: &mut AttachOutput, pieces: &mpsc::Sender<Piece>) -> Result<Streamed, Failure> {
    let mut complaints = Complaints::default();
    loop {
        let piece = match output.next().await? {
            Some(AttachEvent::Started { .. }) => continue,
            Some(AttachEvent::Stderr(bytes)) => {
                complaints.hear(&bytes);
                continue;
            }
            Some(AttachEvent::Stdout(bytes)) => Piece::Bytes(bytes),
            Some(AttachEvent::Exited(end)) => {
                let _ = pieces.send(Piece::End).await;
                return Ok(Streamed::Ended(end, complaints));
            }
            None => return Ok(Streamed::NotTaken),
        };
        if pieces.send(piece).await.is_err() {
            return Ok(Streamed::NotTaken);
        }
    }
}

/// Gives the guest's `tar` what `give` writes; gives back what that noted.
pub(crate) async fn send<T: Send + 'static>(
    copy: &mut Copy<'_>,
    tar: AttachStart,
    tried: &str,
    bar: &ProgressBar,
    give: impl FnOnce(ThreadWriter) -> (T, Result<(), PackError>) + Send + 'static,
) -> Result<T, Failure> {
    let (mut output, input) = copy.client.attach(copy.machine, tar).await?.split();
    let (writer, mut pieces) = from_thread();
    let giving = tokio::task::spawn_blocking(move || give(writer));
    let sending = async {
        pass(&mut pieces, &input).await;
        drop(pieces);
        let given = giving.await;
        // What is not complete must not look so.
        if matches!(&given, Ok((_, Ok(())))) {
            let _ = input.close_stdin().await;
        } else {
            input.close();
        }
        given
    };
    let (given, ended) = tokio::select! {
        both = async { tokio::join!(sending, hear(&mut output)) } => both,
        caught = copy.signals.next() => return Err(copy.interrupted(caught, bar)),
    };
    let (noted, given) = blocking_ended(given)?;
    match given {
        Ok(()) | Err(PackError::NotTaken) => {}
        Err(error @ (PackError::Special { .. } | PackError::Read { .. })) => return Err(error.into()),
    }
    let (end, complaints) = ended.map_err(without_tar)?;
    complaints.judge(end, tried)?;
    Ok(noted)
}

fn blocking_ended<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, Failure> {
    ended.map_err(|error| {
        Failure::new(machine_sdk::api::Code::InternalError, format!("a working thread failed: {error}"))
    })
}

async fn pass(pieces: &mut mpsc::Receiver<Bytes>, input: &AttachInput) {
    while let Some(bytes) = pieces.recv().await {
        if input.stdin(bytes).await.is_err() {
            return;
        }
    }
}

/// Hears a command that writes nothing but complaints.
async fn hear(output: &mut AttachOutput) -> Result<(CommandEnd, Complaints), Failure> {
    let mut complaints = Complaints::default();
    loop {
        match output.next().await? {
            Some(AttachEvent::Started { .. } | AttachEvent::Stdout(_)) => {}
            Some(AttachEvent::Stderr(bytes)) => complaints.hear(&bytes),
            Some(AttachEvent::Exited(end)) => return Ok((end, complaints)),
            None => return Ok((CommandEnd::Detached, complaints)),
        }
    }
}
