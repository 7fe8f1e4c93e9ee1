//! A path inside a copied folder: never absolute, never upwards. How it is kept in JSON, and how it is
//! shown to a person whose terminal must not obey it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use crate::cli::word::escape::{escaped, unseen};

/// A path from the folder's root, of plain names alone; at least one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Inside(PathBuf);

impl Inside {
    /// The path, if it stays inside. `.` between names is dropped.
    pub(crate) fn new(path: &Path) -> Option<Self> {
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => plain.push(name),
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        (!plain.as_os_str().is_empty()).then_some(Self(plain))
    }

    /// As a path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Its names, from the root.
    pub(crate) fn names(&self) -> Vec<OsString> {
        self.0.iter().map(OsStr::to_owned).collect()
    }

    /// Its last name.
    pub(crate) fn name(&self) -> &OsStr {
        self.0.file_name().expect("it has a name, and no `..` in it")
    }
}

/// Bytes as JSON text that can be read back: UTF-8 as it is, else `%XX`, as `%` itself.
pub(crate) fn written(bytes: &OsStr) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.as_bytes().utf8_chunks() {
        text += &chunk.valid().replace('%', "%25");
        chunk.invalid().iter().for_each(|byte| text += &format!("%{byte:02X}"));
    }
    text
}

/// Reads what `written` wrote.
pub(crate) fn read(text: &str) -> Option<OsString> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let code = part.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(OsString::from_vec(bytes))
}

/// A name for a person: what a terminal would obey, or an eye would not see, is escaped.
pub(crate) fn shown(bytes: &OsStr) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.as_bytes().utf8_chunks() {
        text += &escaped(chunk.valid(), |letter| letter == '\\');
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text
}

/// Whether a letter is passed over by file systems that compare names kindly.
pub(crate) const fn is_passed_over(letter: char) -> bool {
    unseen(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_inside_is_a_path_of_it() {
        assert_eq!(Inside::new(Path::new("./a/./b")).unwrap().path(), Path::new("a/b"));
        for path in ["", ".", "/a", "../a", "a/../b", "a/.."] {
            assert_eq!(Inside::new(Path::new(path)), None, "{path}");
        }
        let path = Inside::new(Path::new("a/b/c")).unwrap();
        assert_eq!((path.names().len(), path.name()), (3, OsStr::new("c")));
    }

    #[test]
    fn every_name_is_read_as_it_was_written() {
        let strange: Vec<u8> = (1..=255).collect();
        for name in [&b"a"[..], b"50%", b"%41", b"\xff\xfe", b"a\nb", "mönch".as_bytes(), &strange] {
            let name = OsStr::from_bytes(name);
            assert_eq!(read(&written(name)).as_deref(), Some(name), "{name:?}");
        }
        for text in ["%", "%4", "%zz", "a%é"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_terminal_obeys_no_name() {
        let name = OsStr::from_bytes(b"a\x1b[2J\nb\xffc\\");
        assert_eq!(shown(name), "a\\u{1b}[2J\\nb\\xffc\\\\");
        assert_eq!(shown(OsStr::new("x\u{202e}gnp.exe")), "x\\u{202e}gnp.exe");
        assert_eq!(shown(OsStr::new("mönch 1")), "mönch 1");
    }
}
