//! What is mounted where, in the kernel's words. Looks, and changes nothing.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Of the calling thread: a test may have one of its own.
const TABLE: &str = "/proc/thread-self/mountinfo";

/// Something that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    pub(super) place: PathBuf,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) writing: Writing,
}

/// Whether it can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Allowed,
    Refused,
}

/// What is seen at a place, if something is mounted there.
pub(super) fn at(place: &Path) -> io::Result<Option<Mounted>> {
    let table = std::fs::read(TABLE)?;
    let lines = table.split(|byte| *byte == b'\n');
    // What was mounted last lies on top.
    Ok(lines.filter_map(parse).rfind(|mounted| mounted.place == place))
}

/// `36 35 98:0 /root /place rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let place = PathBuf::from(unescape(fields.nth(4)?));
    let options = fields.next()?;
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = unescape(rest.next()?).to_string_lossy().into_owned();
    let refused = options.split(|byte| *byte == b',').any(|option| option == b"ro");
    let writing = if refused { Writing::Refused } else { Writing::Allowed };
    Some(Mounted { place, kind, source, writing })
}

/// Spaces and the like are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let (mut plain, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                rest = &after[3..];
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_names() {
        let line = br"36 35 0:29 / /srv/a\040b\134c ro,nosuid shared:7 master:1 - virtiofs pro\040ject rw";
        let mounted = parse(line).unwrap();
        assert_eq!(mounted.place, PathBuf::from(r"/srv/a b\c"));
        assert_eq!((mounted.kind.as_str(), mounted.source.as_str()), ("virtiofs", "pro ject"));
        assert_eq!(mounted.writing, Writing::Refused);
        for broken in [&b""[..], b"1 2 3", b"1 2 0:1 / /x rw shared:1", b"1 2 0:1 / /x rw -"] {
            assert_eq!(parse(broken), None);
        }
        assert_eq!(unescape(br"\04").as_bytes(), br"\04");
    }

    #[test]
    fn the_root_is_mounted_and_a_file_is_not() {
        assert!(at(Path::new("/proc")).unwrap().is_some_and(|found| found.kind == "proc"));
        assert_eq!(at(Path::new("/proc/self/status")).unwrap(), None);
    }
}
