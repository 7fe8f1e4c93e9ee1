//! Makes a user be there: a line in each book, a home, and what else belongs to one.
//!
//! ```text
//! nobody ─────────────┐
//! another name ───────┼─ books (one by one, each at once) ──▶ home ──▶ sudo ──▶ there
//! there already ──────┘
//! ```
//! A failure ends it there; told again, it goes on. What the books say is decided in `books`, the home is made in
//! `home`.

mod books;
mod home;

use crate::failure::{failed, invalid};
use crate::{content, rights};
use books::{Book, Books};
use machine_agent_protocol::{Answer, EnsureUser, Failed};
use rustix::fs::{Gid, Uid};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const LONGEST_NAME: usize = 32;
const LONGEST_SHELL: usize = 256;
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];
const SUDOERS: &str = "etc/sudoers.d";
const SUDOER: &str = "etc/sudoers.d/machine-user";

/// Makes the user be there.
pub(crate) async fn ensure(user: EnsureUser) -> Result<Answer, Failed> {
    check(&user)?;
    rights::with(None, move || ensure_in(Path::new("/"), &user)).await?;
    Ok(Answer::DONE)
}

fn check(user: &EnsureUser) -> Result<(), Failed> {
    let name = &user.name;
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    if !first || name.len() > LONGEST_NAME || !name.bytes().all(plain) || name == "root" {
        return Err(invalid(format!("not a user's name: {name:.64?}")));
    }
    // The last number means nobody to the kernel.
    if [user.uid, user.gid].iter().any(|number| [0, u32::MAX].contains(number)) {
        return Err(invalid(format!("not a user's numbers: {} and {}", user.uid, user.gid)));
    }
    let strange = |shell: &String| {
        !shell.starts_with('/') || shell.len() > LONGEST_SHELL || shell.contains([':', '\n', '\0', ' '])
    };
    match user.shell.as_ref().filter(|shell| strange(shell)) {
        Some(shell) => Err(invalid(format!("not a shell: {shell:.64?}"))),
        None => Ok(()),
    }
}

fn ensure_in(root: &Path, user: &EnsureUser) -> Result<(), Failed> {
    let shell = shell_of(root, user)?;
    let read = |book: Book| read(&root.join(book.path()));
    let all = [Book::Passwd, Book::Group, Book::Shadow, Book::SubUid, Book::SubGid].map(|book| (book, read(book)));
    let mut before = Books::default();
    for (book, text) in all {
        let text = text.map_err(|error| failed(format_args!("cannot read /{}", book.path()), &error))?;
        before.put(book, text);
    }
    let planned = books::plan(&before, user, &shell)?;
    // Before the books: a home that was not moved yet is found again by the name that it has.
    home::make(root, user, &planned.homes)
        .map_err(|error| failed(format_args!("cannot make the home of {}", user.name), &error))?;
    for (book, text) in planned.books.all() {
        if before.get(book) != text {
            let path = root.join(book.path());
            replace(&path, text, book.mode())
                .map_err(|error| failed(format_args!("cannot write /{}", book.path()), &error))?;
        }
    }
    sudo(root, user).map_err(|error| failed(format_args!("cannot write /{SUDOER}"), &error))
}

fn shell_of(root: &Path, user: &EnsureUser) -> Result<String, Failed> {
    let is_there =
        |shell: &str| fs::metadata(root.join(shell.trim_start_matches('/'))).is_ok_and(|found| found.is_file());
    match &user.shell {
        Some(shell) if is_there(shell) => Ok(shell.clone()),
        Some(shell) => Err(invalid(format!("the guest has no shell {shell}"))),
        None => Ok(SHELLS.into_iter().find(|shell| is_there(shell)).unwrap_or(SHELLS[1]).to_owned()),
    }
}

fn sudo(root: &Path, user: &EnsureUser) -> io::Result<()> {
    let path = root.join(SUDOER);
    if !user.sudo {
        return content::remove(&path);
    }
    let folder = root.join(SUDOERS);
    if fs::symlink_metadata(&folder).is_err() {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o750))?;
    }
    content::replace(&path, &format!("{} ALL=(ALL:ALL) NOPASSWD: ALL\n", user.name), 0o440)
}

/// A book that is not there has no lines.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a new book in the old one's place, with its owner and rights: nobody reads half of it. Nothing waits for the
/// disk, which five books would do five times: of a file that takes another's place, ext4 writes the content first.
fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_added_extension("machine-new");
    content::remove(&new)?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    let mut rights = mode;
    if let Ok(old) = fs::metadata(path) {
        rustix::fs::fchown(&file, Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())))?;
        rights = old.mode() & 0o7777;
    }
    file.set_permissions(Permissions::from_mode(rights))?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests;
