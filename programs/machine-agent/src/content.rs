//! Small files that must hold just this. What is right is not written again.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Names and lists of names are shorter.
const USUAL: usize = 4096;

/// Makes the file hold `content`. It is written over, not emptied first: the kernel would then write it to the
/// disk at once, and whoever waits for this waits for that.
pub(crate) fn ensure(path: &Path, content: &str) -> io::Result<()> {
    edit(path, |_| content.to_owned())
}

/// Makes a file hold what `change` makes of what it holds.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&str) -> String) -> io::Result<()> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    let has = read_all(&file)?;
    // What is no text is not kept: these are files of names.
    let content = change(&String::from_utf8_lossy(&has));
    if has == content.as_bytes() {
        return Ok(());
    }
    file.write_all_at(content.as_bytes(), 0)?;
    if has.len() > content.len() {
        file.set_len(u64::try_from(content.len()).unwrap_or_default())?;
    }
    Ok(())
}

/// In one read, if it is as small as it should be.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let (mut has, mut chunk) = (Vec::new(), [0; USUAL]);
    loop {
        let count = file.read_at(&mut chunk, u64::try_from(has.len()).unwrap_or_default())?;
        has.extend_from_slice(&chunk[..count]);
        if count < USUAL {
            return Ok(has);
        }
    }
}

/// Puts a whole new file in place of whatever has the name; nobody sees half of it, and it never had other rights.
pub(crate) fn replace(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let right = fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.mode_is(mode));
    if right && fs::read(path)? == content.as_bytes() {
        return Ok(());
    }
    let new = path.with_added_extension("machine-new");
    // What an earlier attempt left.
    remove(&new)?;
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(content.as_bytes())?;
    // Whatever the umask says.
    file.set_permissions(Permissions::from_mode(mode))?;
    fs::rename(&new, path)
}

/// Removes a file; one that is not there is removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

trait HasMode {
    fn mode_is(&self, mode: u32) -> bool;
}

impl HasMode for fs::Metadata {
    fn mode_is(&self, mode: u32) -> bool {
        self.permissions().mode() & 0o7777 == mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_just_this_and_is_touched_only_if_it_did_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for content in ["one\n", "longer than one\n", "short\n", ""] {
            ensure(&path, content).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        ensure(&path, "x").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        ensure(&path, "x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("f"), folder.path().join("other"));
        fs::write(&other, "other").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        fs::write(path.with_added_extension("machine-new"), "left by an earlier attempt").unwrap();
        for _ in 0..2 {
            replace(&path, "secret", 0o600).unwrap();
            let found = fs::symlink_metadata(&path).unwrap();
            assert!(found.is_file() && found.mode_is(0o600));
            assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "other");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
