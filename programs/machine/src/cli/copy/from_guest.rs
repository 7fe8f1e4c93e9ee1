//! From a guest to this computer. Nothing half is left under its name, whatever interrupts.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use machine_sdk::ByteStream;
use machine_sdk::api::Code;
use machine_sdk::api::file::{FileInfo, FileType};

use super::draft::{Draft, set_mode};
use super::guest::{look, refusal, tar};
use super::landing::{Found, Landing, Source, landing, last, means_content};
use super::unpack::{Root, Unpacking, unpack};
use super::{Copy, stream};
use crate::cli::exit::Failure;

/// Copies a file or a folder.
pub(super) async fn copy(copy: &mut Copy<'_>, from: &str, to: &Path) -> Result<(), Failure> {
    let shown = format!("{}:{from}", copy.machine);
    let Some(info) = look(copy, from).await? else {
        return Err(Failure::new(Code::FileNotFound, format!("no such file or folder: {shown}")));
    };
    let source = match (info.kind, means_content(from)) {
        (FileType::Dir, true) => Source::Content,
        (FileType::Dir, false) => Source::Folder,
        (FileType::File, _) => Source::File,
        (FileType::Symlink | FileType::Other, _) => {
            return Err(Failure::new(Code::FileError, format!("cannot copy {shown}: it is a special file")));
        }
    };
    let text = to.to_string_lossy();
    let target = match landing(source, found(to)?, &text).map_err(|refused| refusal(refused, &text))? {
        Landing::At => to.to_owned(),
        Landing::Into => to.join(last(from)),
    };
    match source {
        Source::File => file(copy, &info, &target).await,
        Source::Folder | Source::Content => folder(copy, &info.path, &target).await,
    }
}

/// What is at a path here, links followed.
fn found(path: &Path) -> Result<Found, Failure> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Found::Folder),
        Ok(_) => Ok(Found::File),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(Failure::path("cannot copy to", path, &error)),
    }
}

async fn file(copy: &mut Copy<'_>, info: &FileInfo, to: &Path) -> Result<(), Failure> {
    let failed = |error: &io::Error| Failure::path("cannot write", to, error);
    let content = copy.client.read_file(copy.machine, &info.path, None).await?;
    let bar = copy.bar(Some(info.size), last(&info.path));
    // A link stays one: what it leads to is replaced.
    let target = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    match fs::metadata(&target) {
        // A pipe or a device is written as it is.
        Ok(there) if !there.is_file() && !there.is_dir() => {
            let mut pipe = fs::OpenOptions::new().write(true).open(&target).map_err(|error| failed(&error))?;
            pour(copy, content, &mut pipe, to, &bar).await?;
        }
        Ok(_) | Err(_) => {
            let (draft, mut file) = Draft::file(&target).map_err(|error| failed(&error))?;
            pour(copy, content, &mut file, to, &bar).await?;
            set_mode(&file, info.mode).and_then(|()| draft.name(&target)).map_err(|error| failed(&error))?;
        }
    }
    copy.done(&bar);
    Ok(())
}

async fn pour(
    copy: &mut Copy<'_>,
    mut content: ByteStream,
    file: &mut fs::File,
    to: &Path,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    loop {
        let bytes = tokio::select! {
            bytes = content.next() => bytes?,
            caught = copy.signals.next() => return Err(copy.interrupted(caught, bar)),
        };
        let Some(bytes) = bytes else { return Ok(()) };
        // Blocks for the length of one piece; nothing else runs meanwhile but this copy.
        file.write_all(&bytes).map_err(|error| Failure::path("cannot write", to, &error))?;
        bar.inc(bytes.len() as u64);
    }
}

async fn folder(copy: &mut Copy<'_>, from: &str, to: &Path) -> Result<(), Failure> {
    let (draft, into, root) = make_room(to)?;
    let bar = copy.bar(None, last(from));
    let counter = bar.clone();
    let start = tar(&["-c", "-f", "-", "-C", from, "."], false);
    let tried = format!("copy {}:{from} whole", copy.machine);
    // After a 1 of tar what is there is kept, and it is said.
    let received = stream::receive(copy, start, &tried, &bar, move |reader| {
        unpack(reader, &into, Unpacking::all(root), &counter).map(drop)
    });
    let received = received.await?;
    if let Some(draft) = draft {
        draft.name(to).map_err(|error| Failure::path("cannot write", to, &error))?;
    }
    copy.done(&bar);
    received.whole
}

/// Where to unpack: into the folder that is there, else into one that is not named yet.
fn make_room(to: &Path) -> Result<(Option<Draft>, PathBuf, Root), Failure> {
    match found(to)? {
        Found::Folder => Ok((None, to.to_owned(), Root::Theirs)),
        Found::File => Err(Failure::new(Code::FileError, format!("not a folder: {}", to.display()))),
        Found::Nothing => {
            let draft = Draft::folder(to).map_err(|error| Failure::path("cannot write", to, &error))?;
            let path = draft.path().to_owned();
            Ok((Some(draft), path, Root::Ours))
        }
    }
}
