//! The layers of a machine's root disk. Each is an overlay over the one below, and only the top is written to; a
//! machine that was never hibernated has one.
//!
//! ```text
//! root.qcow2 ◀── root-7.qcow2 ◀── root-9.qcow2      the numbers are launches
//!                                  ▲ named by `top`; without that file root.qcow2 is the top
//! ```
//! What a machine was hibernated with stands on the layer that was the top then. Its resume writes to a new one, which
//! becomes the top once the guest has answered: until then a resume that failed changed nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use machine_core::machine::Generation;

/// The lowest layer's name, and the only one's.
const ROOT: &str = "root.qcow2";
/// The file that names the top.
const TOP: &str = "top";

/// The layers in a machine's folder.
pub(super) struct Layers(PathBuf);

impl Layers {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The layer that a VMM is given.
    pub(super) fn top(&self) -> PathBuf {
        self.path(&self.top_name())
    }

    pub(super) fn top_name(&self) -> String {
        let named = fs::read_to_string(self.0.join(TOP)).ok();
        named.filter(|name| is_layer(name)).unwrap_or_else(|| ROOT.to_owned())
    }

    /// The lowest layer: the only one of a new machine.
    pub(super) fn root(&self) -> PathBuf {
        self.path(ROOT)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The name of the layer that a launch writes to.
    pub(super) fn of_launch(generation: Generation) -> String {
        format!("root-{}.qcow2", generation.0)
    }

    /// Makes a layer the top, for good.
    pub(super) fn put_on_top(&self, name: &str) -> io::Result<()> {
        let next = self.0.join(format!("{TOP}.next"));
        let mut file = File::create(&next)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, self.0.join(TOP))?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes all of them.
    pub(super) fn remove(&self) -> io::Result<()> {
        for name in self.names()? {
            remove_if_there(&self.path(&name))?;
        }
        remove_if_there(&self.0.join(TOP))
    }

    /// Bytes that they occupy on the host's disk.
    pub(super) fn occupy(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let blocks = |name: &String| fs::metadata(self.path(name)).map_or(0, |facts| facts.blocks() * 512);
        self.names().unwrap_or_default().iter().map(blocks).sum()
    }

    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| is_layer(name)).collect())
    }
}

/// Whether it is the name of a layer, and so of a file in the machine's own folder.
fn is_layer(name: &str) -> bool {
    let number = name.strip_prefix("root-").and_then(|rest| rest.strip_suffix(".qcow2"));
    name == ROOT || number.is_some_and(|number| number.parse::<u64>().is_ok())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_the_only_layer_until_another_is_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let layers = Layers::in_folder(folder.path());
        assert_eq!(layers.top(), folder.path().join("root.qcow2"));
        let name = Layers::of_launch(Generation(7));
        for layer in ["root.qcow2", &name] {
            fs::write(folder.path().join(layer), vec![7; 9000]).unwrap();
        }
        layers.put_on_top(&name).unwrap();
        assert_eq!(layers.top(), folder.path().join("root-7.qcow2"));
        assert!(layers.occupy() >= 18_000);
        layers.remove().unwrap();
        layers.remove().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(layers.top(), folder.path().join("root.qcow2"));
    }

    #[test]
    fn a_top_that_names_something_else_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        for lie in ["../other/root.qcow2", "root-x.qcow2", "image", ""] {
            fs::write(folder.path().join(TOP), lie).unwrap();
            assert_eq!(Layers::in_folder(folder.path()).top_name(), "root.qcow2", "{lie}");
        }
    }
}
