//! Small questions and changes: describe, remove, make a folder, rename.

use super::path;
use crate::failure::failed;
use crate::rights;
use machine_agent_protocol::{Answer, Failed, FileStat, Mkdir, Remove, Rename, Stat};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const DEFAULT_MODE: u32 = 0o755;

pub(crate) async fn stat(stat: Stat) -> Result<FileStat, Failed> {
    let path = path(&stat.path);
    rights::with(stat.user.as_ref(), move || {
        let metadata = if stat.follow { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        let metadata = metadata.map_err(|error| failed(format_args!("cannot describe {}", path.display()), &error))?;
        Ok(super::stat::describe(&path, &metadata))
    })
    .await
}

pub(crate) async fn remove(remove: Remove) -> Result<Answer, Failed> {
    let path = path(&remove.path);
    done(remove.user.as_ref(), format!("cannot remove {}", path.display()), move || {
        let is_dir = fs::symlink_metadata(&path)?.is_dir();
        match (is_dir, remove.recursive) {
            (true, true) => fs::remove_dir_all(&path),
            (true, false) => fs::remove_dir(&path),
            (false, _) => fs::remove_file(&path),
        }
    })
    .await
}

pub(crate) async fn mkdir(mkdir: Mkdir) -> Result<Answer, Failed> {
    let path = path(&mkdir.path);
    done(mkdir.user.as_ref(), format!("cannot make the folder {}", path.display()), move || {
        let existed = make(&path, mkdir.parents)?;
        match (existed, mkdir.mode) {
            (Existed::Yes, None) => Ok(()),
            (_, mode) => fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(DEFAULT_MODE) & 0o7777)),
        }
    })
    .await
}

pub(crate) async fn rename(rename: Rename) -> Result<Answer, Failed> {
    let (from, to) = (path(&rename.from), path(&rename.to));
    let tried = format!("cannot rename {} to {}", from.display(), to.display());
    done(rename.user.as_ref(), tried, move || fs::rename(&from, &to)).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existed {
    Yes,
    No,
}

fn make(path: &Path, parents: bool) -> io::Result<Existed> {
    match (parents, fs::create_dir(path)) {
        (_, Ok(())) => Ok(Existed::No),
        (true, Err(_)) if path.is_dir() => Ok(Existed::Yes),
        (true, Err(_)) => fs::create_dir_all(path).map(|()| Existed::No),
        (false, Err(error)) => Err(error),
    }
}

async fn done(
    user: Option<&machine_agent_protocol::User>,
    tried: String,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<Answer, Failed> {
    rights::with(user, move || work().map_err(|error| failed(tried, &error))).await?;
    Ok(Answer::DONE)
}
