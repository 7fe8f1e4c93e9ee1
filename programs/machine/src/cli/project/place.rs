//! Where a folder of this computer is in the project's machine: a command is run in the folder that it was asked
//! for in, if the guest has it.

use std::path::{Component, Path};

/// A folder of this computer and where the guest has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) here: &'a Path,
    pub(crate) guest: &'a str,
    /// Folders below it whose content the guest does not share.
    pub(crate) exclude: &'a [String],
}

/// The guest's name of a folder here, by the deepest folder that shows it. Both sides are absolute and without links.
pub(crate) fn in_guest<'a>(cwd: &Path, shown: impl IntoIterator<Item = Shown<'a>>) -> Option<String> {
    let deepest = shown
        .into_iter()
        .filter_map(|shown| Some((shown, cwd.strip_prefix(shown.here).ok()?)))
        .filter(|(shown, rest)| !shown.exclude.iter().any(|excluded| rest.starts_with(excluded)))
        .max_by_key(|(shown, _)| shown.here.components().count())?;
    let (shown, rest) = deepest;
    let mut path = shown.guest.trim_end_matches('/').to_owned();
    for part in rest.components() {
        // A name that is no text cannot be said to the guest; the folder above it can.
        let Component::Normal(name) = part else { break };
        let Some(name) = name.to_str() else { break };
        path.push('/');
        path.push_str(name);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cwd: &str, guest: Option<&str>) {
        let excluded = ["node_modules".to_owned()];
        let shown = [
            Shown { here: Path::new("/srv/me/blog"), guest: "/workspace", exclude: &excluded },
            Shown { here: Path::new("/srv/me/blog/data"), guest: "/srv/data/", exclude: &[] },
        ];
        assert_eq!(in_guest(Path::new(cwd), shown).as_deref(), guest, "{cwd}");
    }

    #[test]
    fn a_folder_is_where_the_deepest_mount_has_it() {
        check("/srv/me/blog", Some("/workspace"));
        check("/srv/me/blog/src/a b", Some("/workspace/src/a b"));
        check("/srv/me/blog/data/x", Some("/srv/data/x"));
    }

    #[test]
    fn what_the_guest_does_not_have_is_nowhere() {
        check("/srv/me", None);
        check("/srv/me/blog2", None);
        check("/srv/me/blog/node_modules/left-pad", None);
    }
}
