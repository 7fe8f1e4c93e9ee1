//! Which versioned machine type. Pinned, so that a newer QEMU restores what an older one saved.

use serde::{Deserialize, Serialize};

/// A `pc-q35-X.Y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Q35 {
    major: u16,
    minor: u16,
}

/// Those that were run with this command line, oldest first. A newer one is added when it was tried.
const TRIED: [Q35; 1] = [Q35 { major: 10, minor: 0 }];

impl Q35 {
    /// Reads a machine type's name; `None` for any other kind, the unversioned alias included.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (major, minor) = name.strip_prefix("pc-q35-")?.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// The name that QEMU knows it by.
    #[must_use]
    pub fn name(self) -> String {
        format!("pc-q35-{}.{}", self.major, self.minor)
    }

    /// The oldest that we know.
    #[must_use]
    pub fn oldest() -> Self {
        TRIED[0]
    }
}

/// The newest that we tried and the binary offers.
pub(super) fn choose(offered: &[Q35]) -> Option<Q35> {
    TRIED.iter().rev().find(|tried| offered.contains(tried)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Option<String> {
        let offered: Vec<Q35> = names.iter().filter_map(|name| Q35::parse(name)).collect();
        choose(&offered).map(Q35::name)
    }

    #[test]
    fn the_newest_tried_machine_type_is_chosen() {
        assert_eq!(chosen(&["pc-q35-9.2", "pc-q35-10.0", "q35", "pc-i440fx-10.0"]), Some("pc-q35-10.0".to_owned()));
    }

    #[test]
    fn a_newer_qemu_does_not_change_the_machine() {
        assert_eq!(chosen(&["pc-q35-11.3", "pc-q35-10.2", "pc-q35-10.0"]), Some("pc-q35-10.0".to_owned()));
    }

    #[test]
    fn an_older_qemu_has_none() {
        assert_eq!(chosen(&["pc-q35-7.2", "microvm", "pc-q35-2.4.1"]), None);
    }
}
