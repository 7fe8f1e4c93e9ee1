//! File work with a user's rights, each on a thread of its own.
//!
//! Why the file-system ids of a thread: the kernel then does every check as for that user and new
//! files are theirs from the start, with no moment in between as `chown` afterwards would have,
//! and no effect on other threads as `seteuid` would have. The thread ends with its work, so
//! nothing can forget to take the rights back.

use crate::failure::failed;
use crate::{sys, users};
use machine_agent_protocol::{Failed, User};
use tokio::sync::oneshot;

/// Small: file work recurses by depth of folders only, and there may be many at once.
const STACK: usize = 256 * 1024;

/// Runs `work` as `user` (root if nobody) on its own thread.
pub(crate) async fn with<T: Send + 'static>(
    user: Option<&User>,
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let answer = begin(user, work)?;
    answer.await.unwrap_or_else(|_| Err(crate::failure::invalid("the file thread ended early")))
}

/// Begins `work` as `user`; the answer comes later.
pub(crate) fn begin<T: Send + 'static>(
    user: Option<&User>,
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T, Failed>>, Failed> {
    let account = user.map(|user| users::find(Some(user))).transpose()?;
    let (sender, answer) = oneshot::channel();
    let body = move || {
        let rights = match &account {
            Some(account) if account.uid != 0 => sys::use_file_rights(account.uid, account.gid, &account.groups),
            Some(_) | None => Ok(()),
        };
        let done = match rights {
            Ok(()) => work(),
            Err(error) => Err(failed("cannot take the user's rights", &error)),
        };
        // Whoever asked may have left.
        sender.send(done).ok();
    };
    std::thread::Builder::new()
        .name("file".to_owned())
        .stack_size(STACK)
        .spawn(body)
        .map_err(|error| failed("cannot start a file thread", &error))?;
    Ok(answer)
}
