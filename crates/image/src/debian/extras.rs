//! What goes into the root file system beside Debian's packages, as two tars: before the set-up script
//! runs in it, and at the very end, after mmdebstrap has tidied up behind itself.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header, HeaderMode};

use super::{Rootfs, SETUP};
use crate::host_sources::HostSources;

/// Who a template thinks it is.
pub(crate) const HOSTS: &str = "127.0.0.1\tlocalhost\n127.0.1.1\tmachine\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Put in before the set-up script: modules, the script, certificate authorities.
pub(super) struct Extras<'a> {
    pub(super) rootfs: &'a Rootfs<'a>,
}

impl Extras<'_> {
    pub(super) fn write(&self, target: &Path) -> io::Result<()> {
        let mut tar = Writer::create(target, self.rootfs.epoch)?;
        tar.file(".machine-setup", 0o755, SETUP.as_bytes())?;
        for path in self.rootfs.authorities {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            tar.file(&format!("usr/local/share/ca-certificates/{name}"), 0o644, &fs::read(path)?)?;
        }
        let (folder, version) = self.rootfs.modules;
        // Below usr: `lib` is a link to it in the guest, and must stay one.
        tar.tree(folder, &format!("usr/lib/modules/{version}"), Links::LeftOut)?;
        let ingredients = self.rootfs.ingredients;
        if let Some(script) = &ingredients.setup {
            tar.file(".machine-recipe", 0o755, script.as_bytes())?;
        }
        for file in &ingredients.files {
            tar.file(file.path, file.mode, file.text.as_bytes())?;
        }
        if self.rootfs.local.is_dir() {
            tar.tree(self.rootfs.local, "usr/local", Links::Kept)?;
        }
        tar.finish()
    }
}

/// Put in at the end: the guest's names, its apt sources, its user's rights.
pub(crate) struct Finish<'a> {
    pub(crate) sources: &'a HostSources,
    /// Who becomes root without a password.
    pub(crate) sudoers: &'a [String],
    pub(crate) epoch: i64,
}

impl Finish<'_> {
    /// Files of the build that are removed before these are put in, relative to the guest's root.
    pub(crate) const REMOVED: [&'static str; 7] = [
        "etc/apt/apt.conf.d/99mmdebstrap",
        "etc/apt/sources.list",
        "etc/apt/sources.list.d",
        "etc/resolv.conf",
        "etc/machine-id",
        "var/lib/dbus/machine-id",
        "etc/.pwd.lock",
    ];

    /// Writes the tar `target`.
    pub(crate) fn write(&self, target: &Path) -> io::Result<()> {
        let mut tar = Writer::create(target, self.epoch)?;
        tar.folder("etc/apt/sources.list.d", 0o755)?;
        tar.file("etc/apt/sources.list.d/debian.sources", 0o644, self.sources.deb822().as_bytes())?;
        for key in self.sources.keyrings() {
            tar.keyring(&key)?;
        }
        tar.file("etc/hostname", 0o644, b"machine\n")?;
        tar.file("etc/hosts", 0o644, HOSTS.as_bytes())?;
        tar.file("etc/machine-id", 0o444, b"")?;
        tar.file("etc/resolv.conf", 0o644, b"")?;
        tar.file("etc/default/locale", 0o644, b"LANG=C.UTF-8\n")?;
        for user in self.sudoers {
            let right = format!("{user} ALL=(ALL:ALL) NOPASSWD: ALL\n");
            tar.file(&format!("etc/sudoers.d/{user}"), 0o440, right.as_bytes())?;
        }
        tar.finish()
    }
}

/// What becomes of symbolic links in a tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// They are links in the guest, too.
    Kept,
    /// They lead to a kernel's build folder, which nobody has.
    LeftOut,
}

/// A tar with one date and root as every owner.
struct Writer {
    tar: Builder<File>,
    epoch: u64,
}

impl Writer {
    fn create(target: &Path, epoch: i64) -> io::Result<Self> {
        let mut tar = Builder::new(File::create(target)?);
        tar.mode(HeaderMode::Deterministic);
        Ok(Self { tar, epoch: u64::try_from(epoch).unwrap_or(0) })
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.epoch);
        header
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut header = self.header(EntryType::Regular, mode, size);
        self.tar.append_data(&mut header, path, bytes)
    }

    fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        let mut header = self.header(EntryType::Directory, mode, 0);
        self.tar.append_data(&mut header, path, io::empty())
    }

    /// A key that the sources name, where the host has it; Debian's own comes with its package.
    fn keyring(&mut self, key: &Path) -> io::Result<()> {
        if key.starts_with("/usr/share/keyrings") && key.to_string_lossy().contains("debian-archive-") {
            return Ok(());
        }
        let inside = key.strip_prefix("/").unwrap_or(key).to_string_lossy().into_owned();
        self.file(&inside, 0o644, &fs::read(key)?)
    }

    /// The files below `folder` as `inside`, by name, with the right to be run that they have.
    fn tree(&mut self, folder: &Path, inside: &str, links: Links) -> io::Result<()> {
        self.folder(inside, 0o755)?;
        let mut names: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        names.sort();
        for path in names {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let inside = format!("{inside}/{name}");
            let facts = fs::symlink_metadata(&path)?;
            if facts.is_dir() {
                self.tree(&path, &inside, links)?;
            } else if facts.is_file() {
                let mode = if facts.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                let mut header = self.header(EntryType::Regular, mode, facts.len());
                self.tar.append_data(&mut header, inside, File::open(&path)?)?;
            } else if facts.is_symlink() && links == Links::Kept {
                let mut header = self.header(EntryType::Symlink, 0o777, 0);
                self.tar.append_link(&mut header, inside, fs::read_link(&path)?)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.tar.finish()
    }
}
