//! From this computer into a guest.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use indicatif::ProgressBar;
use machine_sdk::WriteFile;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

use super::guest::{below, found, look, parent, refusal, tar, trimmed};
use super::landing::{Found, Landing, Refused, Source, landing, last, means_content};
use super::pack::{Packing, Root, pack, survey};
use super::selection::Selection;
use super::{Copy, blocking, stream};
use crate::cli::exit::Failure;

/// Copies a file or a folder.
pub(super) async fn copy(copy: &mut Copy<'_>, from: &Path, to: &str) -> Result<(), Failure> {
    let metadata = tokio::fs::metadata(from).await.map_err(|error| Failure::path("cannot copy", from, &error))?;
    let text = from.to_string_lossy();
    let source = match (metadata.is_dir(), means_content(&text)) {
        (true, true) => Source::Content,
        (true, false) => Source::Folder,
        (false, _) => Source::File,
    };
    let there = found(look(copy, to).await?.as_ref());
    let shown = format!("{}:{to}", copy.machine);
    let target = match landing(source, there, to).map_err(|refused| refusal(refused, &shown))? {
        Landing::At => trimmed(to).to_owned(),
        Landing::Into => below(to, last(&text)),
    };
    if there == Found::Nothing {
        has_parent(copy, &target).await?;
    }
    match source {
        Source::File => file(copy, from, &target, metadata.permissions().mode(), metadata.len()).await,
        Source::Folder | Source::Content => folder(copy, from, &target).await,
    }
}

async fn file(copy: &mut Copy<'_>, from: &Path, to: &str, mode: u32, size: u64) -> Result<(), Failure> {
    let content = File::open(from).await.map_err(|error| Failure::path("cannot read", from, &error))?;
    let bar = copy.bar(Some(size), last(to));
    let how = WriteFile { mode: Some(mode & 0o7777), user: None };
    let content = Counted { content, bar: bar.clone() };
    let written = tokio::select! {
        written = copy.client.write_file(copy.machine, to, &how, content) => written,
        caught = copy.signals.next() => return Err(copy.interrupted(caught, &bar)),
    };
    written?;
    copy.done(&bar);
    Ok(())
}

/// A file that counts what is read of it.
struct Counted {
    content: File,
    bar: ProgressBar,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.content).poll_read(context, buffer))?;
        self.bar.inc((buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

async fn folder(copy: &mut Copy<'_>, from: &Path, to: &str) -> Result<(), Failure> {
    let here = from.to_owned();
    let total = blocking(move || survey(&here, &Selection::all())).await??.bytes;
    let how = Packing::all(make_room(copy, to).await?);
    let bar = copy.bar(Some(total), last(to));
    let (here, counter): (PathBuf, _) = (from.to_owned(), bar.clone());
    let start = tar(&["-x", "-f", "-", "-C", to], true);
    let tried = format!("copy into {}:{to}", copy.machine);
    stream::send(copy, start, &tried, &bar, move |writer| ((), pack(&here, &how, writer, &counter, None))).await?;
    copy.done(&bar);
    Ok(())
}

/// The folder to unpack into is there afterwards; whether it takes the mode of what is copied.
async fn make_room(copy: &Copy<'_>, to: &str) -> Result<Root, Failure> {
    match found(look(copy, to).await?.as_ref()) {
        Found::Folder => Ok(Root::LeftOut),
        Found::File => Err(refusal(Refused::NotAFolder, &format!("{}:{to}", copy.machine))),
        Found::Nothing => {
            copy.desk.link.ask(async |client| client.make_folder(copy.machine, to).await).await?;
            Ok(Root::Packed)
        }
    }
}

/// The server would make missing folders; `cp` does not, since they may be slips of the pen.
async fn has_parent(copy: &Copy<'_>, to: &str) -> Result<(), Failure> {
    let above = parent(to);
    let refused = match found(look(copy, above).await?.as_ref()) {
        Found::Folder => return Ok(()),
        Found::File => Refused::NotAFolder,
        Found::Nothing => Refused::NoSuchFolder,
    };
    Err(refusal(refused, &format!("{}:{above}", copy.machine)))
}
