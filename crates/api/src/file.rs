//! Files of a guest, as the contract has them. `FileInfo` has exactly the contract's fields: its
//! published client fails on an extra one.

use jiff::Timestamp;
use machine_core::promise::guest::{self, FileKind};
use serde::{Deserialize, Serialize};

/// What a path in a guest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// The last part of the path.
    pub name: String,
    /// Absolute path.
    pub path: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Size in bytes.
    pub size: u64,
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Permission bits as `ls` writes them, without the kind: `rwxr-xr-x`.
    pub permissions: String,
    /// Owner's number.
    pub owner: String,
    /// Group's number.
    pub group: String,
    /// Last change of its content.
    pub modified_time: Timestamp,
    /// Where a symbolic link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symlink_target: Option<String>,
}

/// Kinds of things with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// How content is written in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As text.
    #[default]
    Utf8,
    /// Any bytes.
    Base64,
}

/// A path, for `exists`, `info`, `remove` and `mkdir`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRequest {
    /// The path.
    pub path: String,
    /// The guest's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A file to read into JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadRequest {
    /// The path.
    pub path: String,
    /// How the content is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// The guest's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A file's content in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadResponse {
    /// It.
    pub content: String,
    /// How it is written.
    pub encoding: Encoding,
    /// Its size in bytes.
    pub size: u64,
}

/// A file to write from JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteRequest {
    /// The path.
    pub path: String,
    /// The content.
    pub content: String,
    /// How it is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// The guest's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Whether there is something at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistsResponse {
    /// Whether there is.
    pub exists: bool,
}

impl From<FileKind> for FileType {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::File => Self::File,
            FileKind::Folder => Self::Dir,
            FileKind::Symlink => Self::Symlink,
            FileKind::Other => Self::Other,
        }
    }
}

impl From<guest::FileInfo> for FileInfo {
    fn from(info: guest::FileInfo) -> Self {
        let last = info.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Self {
            name: if last.is_empty() { "/".to_owned() } else { last.to_owned() },
            is_dir: matches!(info.kind, FileKind::Folder),
            size: info.size,
            kind: info.kind.into(),
            mode: info.mode & 0o7777,
            permissions: permissions(info.mode),
            owner: info.uid.to_string(),
            group: info.gid.to_string(),
            modified_time: info.modified,
            symlink_target: info.target,
            path: info.path,
        }
    }
}

fn permissions(mode: u32) -> String {
    let letters = ['r', 'w', 'x'].iter().cycle().take(9).enumerate();
    let mut text: Vec<char> =
        letters.map(|(place, letter)| if mode & (0o400 >> place) == 0 { '-' } else { *letter }).collect();
    for (bit, place, with, without) in [(0o4000, 2, 's', 'S'), (0o2000, 5, 's', 'S'), (0o1000, 8, 't', 'T')] {
        if mode & bit != 0 {
            text[place] = if text[place] == 'x' { with } else { without };
        }
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_as_ls_writes_them() {
        for (mode, text) in [
            (0o755, "rwxr-xr-x"),
            (0o100_644, "rw-r--r--"),
            (0o1777, "rwxrwxrwt"),
            (0o4711, "rws--x--x"),
            (0o2040, "---r-S---"),
        ] {
            assert_eq!(permissions(mode), text, "{mode:o}");
        }
    }

    #[test]
    fn the_root_has_a_name_too() {
        let info = guest::FileInfo {
            path: "/".to_owned(),
            kind: FileKind::Folder,
            size: 0,
            mode: 0o40_755,
            uid: 0,
            gid: 0,
            modified: Timestamp::UNIX_EPOCH,
            target: None,
        };
        assert_eq!(FileInfo::from(info).name, "/");
    }
}
