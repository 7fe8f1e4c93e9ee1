//! Puts a built template in its place: every file on the disk first, then one rename, then the name.
//! A crash before the rename leaves only the build's folder; after it, a template without a name.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::digest::Digest;
use crate::template::manifest::Manifest;
use crate::template::{self, MANIFEST, MODULES, TemplateError};

/// A template whose parts are all in `folder`.
pub(crate) struct Sealed<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) manifest: &'a Manifest,
}

/// Moves the template into `images` and gives it its name.
pub(crate) fn seal(images: &Path, sealed: Sealed<'_>) -> Result<Digest, TemplateError> {
    let Sealed { folder, manifest } = sealed;
    let digest = manifest.identity.digest();
    at(&folder.join(MANIFEST), |path| fs::write(path, manifest.bytes()))?;
    for (file, _) in manifest.identity.parts() {
        settle(&folder.join(file))?;
    }
    settle(&folder.join(MANIFEST))?;
    sync(&folder.join(MODULES))?;
    sync(folder)?;
    place(images, folder, &digest)?;
    name(images, &manifest.name, &digest)?;
    Ok(digest)
}

/// A template of this digest that is there already is exchanged in one step: its paths never lead nowhere.
fn place(images: &Path, folder: &Path, digest: &Digest) -> Result<(), TemplateError> {
    let target = template::folder(images, digest);
    let parent = target.parent().map(PathBuf::from).unwrap_or_default();
    at(&parent, |path| fs::create_dir_all(path))?;
    if target.exists() {
        // The same content, but perhaps damaged since: the old one goes with the build's folder.
        at(&target, |path| Ok(renameat_with(CWD, folder, CWD, path, RenameFlags::EXCHANGE)?))?;
    } else {
        at(&target, |path| fs::rename(folder, path))?;
    }
    sync(&parent)?;
    sync(images)
}

/// Lets `name` stand for the template, which is there.
pub(crate) fn name(images: &Path, name: &str, digest: &Digest) -> Result<(), TemplateError> {
    let path = template::ref_path(images, name)?;
    let parent = path.parent().map(PathBuf::from).unwrap_or_default();
    at(&parent, |path| fs::create_dir_all(path))?;
    let new = parent.join(format!("{name}.new"));
    at(&new, |new| fs::write(new, digest.as_str()))?;
    sync(&new)?;
    at(&path, |path| fs::rename(&new, path))?;
    sync(&parent)
}

/// A part is never written again.
fn settle(path: &Path) -> Result<(), TemplateError> {
    at(path, |path| fs::set_permissions(path, Permissions::from_mode(0o444)))?;
    sync(path)
}

fn sync(path: &Path) -> Result<(), TemplateError> {
    at(path, |path| File::open(path)?.sync_all())
}

fn at(path: &Path, act: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), TemplateError> {
    act(path).map_err(|source| TemplateError::Io { path: path.to_owned(), source })
}
