//! Where a copy lands, decided as `cp` decides it: into a folder that is there, else at the path itself.

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    File,
    Folder,
    /// What is in a folder, not the folder: `folder/.`.
    Content,
}

/// What is at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File,
    Folder,
}

/// Where it lands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landing {
    /// At the destination's path.
    At,
    /// In the folder that is there, under the source's name.
    Into,
}

/// Why it cannot land.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Something else than a folder is where a folder is meant.
    NotAFolder,
    /// Nothing is where a folder is meant.
    NoSuchFolder,
}

/// Where a source lands, if the destination is so and was written with a slash at its end or not.
pub(super) fn landing(source: Source, found: Found, destination: &str) -> Result<Landing, Refused> {
    let slash = destination.ends_with('/');
    match (source, found) {
        (Source::File | Source::Folder, Found::Folder) => Ok(Landing::Into),
        (Source::Content, Found::Folder) | (Source::Folder | Source::Content, Found::Nothing) => Ok(Landing::At),
        (Source::File, Found::Nothing) if slash => Err(Refused::NoSuchFolder),
        (Source::File, Found::File) if slash => Err(Refused::NotAFolder),
        (Source::File, Found::Nothing | Found::File) => Ok(Landing::At),
        (Source::Folder | Source::Content, Found::File) => Err(Refused::NotAFolder),
    }
}

/// Whether a path means what is in it: it ends with `.`, or with nothing that could be a name.
pub(super) fn means_content(path: &str) -> bool {
    matches!(last(path), "." | ".." | "")
}

/// The last part of a path; empty for the root.
pub(super) fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_land_as_cp_has_it() {
        assert_eq!(landing(Source::File, Found::Folder, "/a"), Ok(Landing::Into));
        assert_eq!(landing(Source::File, Found::Folder, "/a/"), Ok(Landing::Into));
        assert_eq!(landing(Source::File, Found::File, "/a"), Ok(Landing::At));
        assert_eq!(landing(Source::File, Found::Nothing, "/a"), Ok(Landing::At));
        assert_eq!(landing(Source::File, Found::Nothing, "/a/"), Err(Refused::NoSuchFolder));
        assert_eq!(landing(Source::File, Found::File, "/a/"), Err(Refused::NotAFolder));
    }

    #[test]
    fn folders_land_as_cp_has_it() {
        assert_eq!(landing(Source::Folder, Found::Folder, "/a"), Ok(Landing::Into));
        assert_eq!(landing(Source::Content, Found::Folder, "/a"), Ok(Landing::At));
        for destination in ["/a", "/a/"] {
            assert_eq!(landing(Source::Folder, Found::Nothing, destination), Ok(Landing::At));
            assert_eq!(landing(Source::Folder, Found::File, destination), Err(Refused::NotAFolder));
        }
    }

    #[test]
    fn a_dot_at_the_end_means_the_content() {
        for path in [".", "a/.", "/a/./", "/", ".."] {
            assert!(means_content(path), "{path}");
        }
        for path in ["a", "a/", "/a/b.", ".a"] {
            assert!(!means_content(path), "{path}");
        }
        assert_eq!(last("/a/b//"), "b");
    }
}
