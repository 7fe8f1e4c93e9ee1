//! The guest's side of a copy: what a path is there, and its `tar`.

use machine_sdk::api::Code;
use machine_sdk::api::attach::{AttachStart, CommandEnd};
use machine_sdk::api::file::{FileInfo, FileType};

use super::Copy;
use super::landing::{Found, Refused};
use crate::cli::exit::Failure;
use crate::cli::verb::exec;

/// How many symbolic links are followed to what a path means.
const LINKS: usize = 16;
/// How much of what `tar` complains is kept.
const COMPLAINTS: usize = 4096;

/// What a path in a guest means, links followed.
pub(super) async fn look(copy: &Copy<'_>, path: &str) -> Result<Option<FileInfo>, Failure> {
    let mut path = trimmed(path).to_owned();
    for _ in 0..LINKS {
        let info = match stat(copy, &path).await {
            Ok(info) => info,
            Err(failure) if failure.is_file_not_found() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        match (info.kind, &info.symlink_target) {
            (FileType::Symlink, Some(target)) => path = beside(&path, target),
            (FileType::Symlink, None) | (FileType::File | FileType::Dir | FileType::Other, _) => return Ok(Some(info)),
        }
    }
    Err(Failure::new(Code::FileError, format!("too many symbolic links: {}:{path}", copy.machine)))
}

async fn stat(copy: &Copy<'_>, path: &str) -> Result<FileInfo, Failure> {
    copy.desk.link.ask(async |client| client.stat_file(copy.machine, path).await).await
}

/// What it is to a copy that ends there.
pub(super) fn found(info: Option<&FileInfo>) -> Found {
    match info.map(|info| info.kind) {
        None => Found::Nothing,
        Some(FileType::Dir) => Found::Folder,
        Some(FileType::File | FileType::Symlink | FileType::Other) => Found::File,
    }
}

/// The refusal as it is told, whichever side the path is on.
pub(super) fn refusal(refused: Refused, destination: &str) -> Failure {
    match refused {
        Refused::NotAFolder => Failure::new(Code::FileError, format!("not a folder: {destination}")),
        Refused::NoSuchFolder => {
            Failure::new(Code::FileNotFound, format!("no such folder: {destination}")).hint("make it first")
        }
    }
}

/// A path without slashes at its end.
pub(super) fn trimmed(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// A path below a folder.
pub(super) fn below(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// The folder that a path is in.
pub(super) fn parent(path: &str) -> &str {
    match trimmed(path).rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

fn beside(path: &str, target: &str) -> String {
    if target.starts_with('/') { trimmed(target).to_owned() } else { below(parent(path), trimmed(target)) }
}

/// The guest's `tar`, with these arguments.
pub(crate) fn tar(arguments: &[&str], stdin: bool) -> AttachStart {
    let command = ["tar"].iter().chain(arguments).map(|&word| word.to_owned()).collect();
    AttachStart { stdin, ..exec::start(command, Vec::new(), Some("/".to_owned()), None, None) }
}

/// What `tar` wrote to its standard error, the beginning of it.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<u8>);

impl Complaints {
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let room = COMPLAINTS - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What it means that `tar` ended so.
    pub(super) fn judge(&self, end: CommandEnd, tried: &str) -> Result<(), Failure> {
        let how = match end {
            CommandEnd::Code(0) => return Ok(()),
            CommandEnd::Code(code) => format!("exit code {code}"),
            CommandEnd::Signal(number) => format!("signal {number}"),
            CommandEnd::TimedOut | CommandEnd::Detached => "it was not waited for".to_owned(),
        };
        let said = String::from_utf8_lossy(&self.0).trim().to_owned();
        let said = if said.is_empty() { how } else { format!("{said} ({how})") };
        Err(Failure::new(Code::FileError, format!("cannot {tried}: the guest's tar failed: {said}")))
    }
}

/// A command that could not be started: a guest without `tar` can be helped.
pub(super) fn without_tar(failure: Failure) -> Failure {
    match &failure {
        Failure::Told { detail, .. } if detail.shell_exit_code().is_some() => {
            failure.hint("folders are copied with the guest's tar; install it there")
        }
        Failure::Told { .. } | Failure::Quiet { .. } => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_where_they_are() {
        assert_eq!(beside("/a/link", "b"), "/a/b");
        assert_eq!(beside("/link", "../b/"), "/../b");
        assert_eq!(beside("/a/link", "/x/"), "/x");
    }

    #[test]
    fn paths_have_parents() {
        for (path, above) in [("/a/b", "/a"), ("/a/", "/"), ("/", "/"), ("/a/b//", "/a")] {
            assert_eq!(parent(path), above, "{path}");
        }
        assert_eq!(below("/", "x"), "/x");
    }

    #[test]
    fn complaints_are_bounded() {
        let mut complaints = Complaints::default();
        complaints.hear(&[b'x'; 10_000]);
        complaints.hear(b"y");
        assert_eq!(complaints.0.len(), COMPLAINTS);
        assert!(complaints.judge(CommandEnd::Code(0), "copy").is_ok());
        assert!(complaints.judge(CommandEnd::Code(2), "copy").is_err());
    }
}
