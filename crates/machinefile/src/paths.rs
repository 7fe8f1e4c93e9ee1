//! Paths: where one of the file is on the host, and whether one of the guest is plain.

use std::path::{Component, Path, PathBuf};

/// Where a path of the file is on the host: from the project's folder, absolute, or from the home (`~/x`).
/// Nothing is looked up: `..` is taken out by its letters.
pub(crate) fn on_host(folder: &Path, home: Option<&Path>, path: &Path) -> PathBuf {
    let whole = match (path.strip_prefix("~"), home) {
        (Ok(below), Some(home)) => home.join(below),
        (Ok(_) | Err(_), _) => folder.join(path),
    };
    let mut plain = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// A path of the guest: absolute, without `.`, `..` and what would end a line. Its spelling without a last `/`.
pub(crate) fn in_guest(text: &str) -> Option<String> {
    let absolute = text.starts_with('/') && !text.contains(char::is_control);
    let plain = text.split('/').all(|part| part != "." && part != "..") && !text.contains("//");
    let trimmed = text.trim_end_matches('/');
    (absolute && plain).then(|| if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

/// Whether a path below a folder stays in it by its letters.
pub(crate) fn is_below(path: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.is_empty() && !path.contains(char::is_control) && Path::new(path).components().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_file_is_found_from_the_folder_the_root_or_the_home() {
        let at = |path: &str| on_host(Path::new("/p/blog"), Some(Path::new("/h")), Path::new(path));
        assert_eq!(at("."), Path::new("/p/blog"));
        assert_eq!(at("../x/./y"), Path::new("/p/x/y"));
        assert_eq!(at("/srv"), Path::new("/srv"));
        assert_eq!(at("~/notes"), Path::new("/h/notes"));
        assert_eq!(at("../../../.."), Path::new("/"));
    }

    #[test]
    fn a_path_of_the_guest_is_plain() {
        assert_eq!(in_guest("/workspace/").as_deref(), Some("/workspace"));
        assert_eq!(in_guest("/").as_deref(), Some("/"));
        for bad in ["", "workspace", "/a/../b", "/a/./b", "/a//b", "/a\nb"] {
            assert_eq!(in_guest(bad), None, "{bad:?}");
        }
        assert!(is_below("a/b") && !is_below("../a") && !is_below("/a") && !is_below(""));
    }
}
